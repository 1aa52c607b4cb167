"""The window's picture: made of parts that are painted again only when what they show has changed."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

import pygame
from pygame import Rect

from rlhf_games.arena import theme
from rlhf_games.arena.pen import Pen
from rlhf_games.arena.text import Fonts


class _Part(NamedTuple):
    rect: tuple[int, int, int, int]
    key: Hashable
    clicks: list[tuple[Rect, str]]


class Canvas:
    """Paints on a surface and knows which rectangles changed."""

    def __init__(self, surface: pygame.Surface) -> None:
        self._surface = surface
        self._scene: Hashable = None
        self._parts: dict[str, _Part] = {}
        self._changed: list[Rect] = []
        self.scale = 1.0
        """Pixels per pixel of the design."""
        self._fonts = Fonts(1.0)
        self.use(surface)

    @property
    def width(self) -> int:
        """Pixels."""
        return self._surface.get_width()

    @property
    def height(self) -> int:
        """Pixels."""
        return self._surface.get_height()

    def px(self, size: float) -> int:
        """Design pixels as pixels of this window."""
        return round(size * self.scale)

    def use(self, surface: pygame.Surface) -> None:
        """Another surface, or one whose content was lost: everything is painted again."""
        self._surface = surface
        width, height = theme.DESIGN_SIZE
        scale = max(theme.SMALLEST, min(surface.get_width() / width, surface.get_height() / height))
        if scale != self.scale:
            self.scale, self._fonts = scale, Fonts(scale)
        self.clear()

    def clear(self) -> None:
        """Forgets everything that was painted."""
        self._parts.clear()
        self._surface.fill(theme.BACKGROUND)
        self._changed = [self._surface.get_rect()]

    def begin(self, scene: Hashable) -> None:
        """Starts a frame. Where the scene (which parts there are and where they lie) is another one, everything is painted anew."""
        if scene != self._scene:
            self._scene = scene
            self.clear()

    def part(self, name: str, rect: Rect, key: Hashable, paint: Callable[[Pen], Any], ground: theme.Colour = theme.BACKGROUND) -> None:
        """Paints one part on a plain ``ground`` where ``rect`` or ``key`` differ from last time.

        A part that lies on another one must be painted after it, and its key must hold the other's.
        """
        area = rect.clip(self._surface.get_rect())
        place = (area.x, area.y, area.w, area.h)
        before = self._parts.get(name)
        if before is not None and (before.rect, before.key) == (place, key):
            return
        clicks: list[tuple[Rect, str]] = []
        self._parts[name] = _Part(place, key, clicks)
        if area.w <= 0 or area.h <= 0:
            return
        self._surface.fill(ground, area)
        paint(Pen(self._surface.subsurface(area), self._fonts, self.scale, area.topleft, clicks))
        self._changed.append(area)

    def finish(self) -> list[Rect]:
        """Ends a frame; returns what changed."""
        changed, self._changed = self._changed, []
        return changed

    def command_at(self, position: tuple[int, int]) -> str | None:
        """The command of the clickable place at a point of the window."""
        for part in self._parts.values():
            for rect, command in part.clicks:
                if rect.collidepoint(position):
                    return command
        return None
