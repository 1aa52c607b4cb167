"""What parts are painted with."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import pygame
from numpy.typing import NDArray
from pygame import Rect

from rlhf_games.arena import theme
from rlhf_games.arena.keys import Command, is_pad
from rlhf_games.arena.text import Fonts
from rlhf_games.arena.theme import Colour, Style

Anchor: TypeAlias = Literal["topleft", "midtop", "topright", "midleft", "center", "midright", "bottomleft", "midbottom", "bottomright"]
_CAPS = {
    "left": "←", "right": "→", "up": "↑", "down": "↓", "space": "Space", "backspace": "⌫", "escape": "Esc", "return": "Enter", "tab": "Tab",
    "delete": "Del", "dpleft": "◀", "dpright": "▶", "dpup": "▲", "dpdown": "▼", "page up": "PgUp",
    "page down": "PgDn", "leftstick": "L3", "rightstick": "R3",
}  # fmt: skip
_BLADES = 12
_CRISP_FROM = 4
"""Enlarged that often, whole numbers fill at least 80 % of an area's width or height."""
_WELL_FILLED = 1.1
"""What more than a whole number would give is worth being less crisp from here on."""
_SHARP_PIXELS = 200_000
"""Of a picture between two enlargements; smoothing more takes longer than a frame."""


def cap(key: str) -> str:
    """A key as it is printed on a key cap: ``shift+left`` is ``⇧ ←``; keys of a chord stand side by side."""
    modifier, plain = ("shift", key[6:]) if key.startswith("shift+") else ("", key)
    if "+" in plain[1:-1] and not plain.startswith("["):
        return " ".join(cap(part) for part in plain.split("+"))
    if is_pad(plain):
        pad, button = plain.split(":", 1)
        button = _CAPS.get(button, button.capitalize())
        pad = pad.replace("pad2", "pad 2")
        return f"{pad} L1+{button}" if modifier == "shift" else f"{pad} {button}"
    plain = plain.removeprefix("@")
    name = _CAPS.get(plain, plain.upper() if len(plain) == 1 or (plain[:1] == "f" and plain[1:].isdigit()) else plain.capitalize())
    return f"⇧ {name}" if modifier == "shift" else name


def key_for(commands: Iterable[Command], name: str) -> str:
    """The first key of a command, for a sentence; where it has none, what to click."""
    return next((cap(command.keys[0]) for command in commands if command.name == name and command.keys), f"a click on “{name}”")


class Pen:
    """Paints inside one part; positions are relative to its top left corner, sizes in pixels."""

    def __init__(
        self, surface: pygame.Surface, fonts: Fonts, scale: float, origin: tuple[int, int], clicks: list[tuple[Rect, str]]
    ) -> None:
        self._surface, self._fonts, self._scale, self._origin, self._clicks = surface, fonts, scale, origin, clicks

    @property
    def area(self) -> Rect:
        """The whole part."""
        return self._surface.get_rect()

    def px(self, size: float) -> int:
        """Design pixels as pixels of this window."""
        return round(size * self._scale)

    def line_height(self, style: Style) -> int:
        """Pixels from one line of text to the next."""
        return self._fonts.height(style)

    def text_width(self, words: str, style: Style) -> int:
        """Pixels."""
        return self._fonts.width(words, style)

    def text(
        self,
        position: tuple[int, int],
        words: str,
        style: Style = "body",
        colour: Colour = theme.TEXT,
        anchor: Anchor = "topleft",
        width: int | None = None,
    ) -> Rect:
        """One line; returns where it is. ``width``: what is wider is shortened."""
        surface = self._fonts.draw(words if width is None else self._fonts.shorten(words, style, width), style, colour)
        rect = surface.get_rect(**{anchor: position})
        self._surface.blit(surface, rect)
        return rect

    def paragraph(
        self,
        position: tuple[int, int],
        words: str,
        width: int,
        lines: int,
        style: Style = "body",
        colour: Colour = theme.MUTED,
        *,
        centred: bool = False,
    ) -> int:
        """Several lines from ``position`` (the top left, or the top centre) downwards; returns where the next line would begin."""
        x, y = position
        for line in self._fonts.wrap(words, style, width, lines):
            self.text((x, y), line, style, colour, "midtop" if centred else "topleft")
            y += self._fonts.height(style)
        return y

    def box(self, rect: Rect, colour: Colour = theme.PANEL, border: Colour | None = None, radius: float = 12, width: float = 2) -> None:
        """A rounded panel."""
        pygame.draw.rect(self._surface, colour, rect, border_radius=self.px(radius))
        if border is not None:
            pygame.draw.rect(self._surface, border, rect, max(1, self.px(width)), border_radius=self.px(radius))

    def frame(self, rect: Rect, colour: Colour, width: float) -> None:
        """Lines along the inner edge of a rectangle."""
        pygame.draw.rect(self._surface, colour, rect, max(2, self.px(width)))

    def keycap(self, position: tuple[int, int], key: str, colour: Colour = theme.TEXT) -> Rect:
        """A key, its left edge's middle at ``position``."""
        words = cap(key)
        height = self.px(30)
        rect = Rect(0, 0, max(height, self._fonts.width(words, "label") + self.px(16)), height)
        rect.midleft = position
        self.box(rect, theme.RAISED, theme.LINE, 7, 1.5)
        self.text(rect.center, words, "label", colour, "center")
        return rect

    def hint(self, position: tuple[int, int], keys: Sequence[str], words: str, command: str = "", colour: Colour = theme.MUTED) -> Rect:
        """Keys and what they do, in one clickable line; ``position`` is its left edge's middle."""
        x, y = position
        for key in keys:
            x = self.keycap((x, y), key).right + self.px(5)
        end = self.text((x + self.px(5), y), words, "small", colour, "midleft")
        rect = Rect(position[0], y - self.px(17), end.right - position[0], self.px(34))
        if command:
            self.click(rect, command)
        return rect

    def hint_width(self, keys: Sequence[str], words: str) -> int:
        """Pixels that `hint` takes."""
        caps = sum(max(self.px(30), self._fonts.width(cap(key), "label") + self.px(16)) + self.px(5) for key in keys)
        return caps + self.px(5) + self._fonts.width(words, "small")

    def click(self, rect: Rect, command: str) -> None:
        """Clicking there gives the command."""
        self._clicks.append((rect.move(self._origin), command))

    def bar(self, rect: Rect, share: float, colour: Colour = theme.BLUE) -> None:
        """A bar that is filled to ``share`` in [0, 1]."""
        radius = rect.h // 2
        pygame.draw.rect(self._surface, theme.RAISED, rect, border_radius=radius)
        filled = Rect(rect.x, rect.y, round(rect.w * min(1.0, max(0.0, share))), rect.h)
        if filled.w > 0:
            pygame.draw.rect(self._surface, colour, filled, border_radius=radius)

    def line(self, start: tuple[int, int], end: tuple[int, int], colour: Colour = theme.LINE, width: float = 1) -> None:
        """A straight line."""
        pygame.draw.line(self._surface, colour, start, end, max(1, self.px(width)))

    def curve(self, rect: Rect, values: Sequence[float], colour: Colour = theme.BLUE) -> None:
        """A small line chart from the least to the greatest value; its last point is marked."""
        low, high = min(values), max(values)
        span = (high - low) or 1.0
        step = rect.w / max(1, len(values) - 1)
        points = [(rect.x + step * i, rect.bottom - (value - low) / span * rect.h) for i, value in enumerate(values)]
        if len(points) > 1:
            pygame.draw.aalines(self._surface, colour, False, points)
        pygame.draw.circle(self._surface, colour, points[-1], max(2, self.px(3.5)))

    def polygon(self, points: Sequence[tuple[int, int]], colour: Colour, *, filled: bool = True) -> None:
        """A shape by its corners; where it is not ``filled``, its outline."""
        pygame.draw.polygon(self._surface, colour, points, 0 if filled else max(1, self.px(2)))

    def picture(self, frame: NDArray[np.uint8], area: Rect, dim: bool = False) -> Rect:
        """A game's picture ``[H, W, 3]`` in the middle of ``area``, as large as `fit` says; returns where it is."""
        height, width = frame.shape[:2]
        size, crisp = fit((width, height), area.size)
        small = pygame.image.frombuffer(np.ascontiguousarray(frame).tobytes(), (width, height), "RGB").convert(self._surface)
        rect = Rect((0, 0), size)
        rect.center = area.center
        into = self._surface.subsurface(rect)
        if crisp:  # straight onto the window
            pygame.transform.scale(small, size, into)
        else:
            times = _sharpened((width, height), size)
            large = pygame.transform.scale(small, (width * times, height * times)) if times > 1 else small
            pygame.transform.smoothscale(large, size, into)
        if dim:
            into.fill((70, 70, 70), special_flags=pygame.BLEND_RGB_MULT)
        return rect

    def spinner(self, centre: tuple[int, int], turn: float) -> None:
        """A wheel that has turned ``turn`` times."""
        inner, outer = self.px(12), self.px(24)
        for blade in range(_BLADES):
            share = ((turn - blade / _BLADES) % 1.0) ** 0.5
            shade: Any = tuple(round(a + (b - a) * (1 - share)) for a, b in zip(theme.RAISED, theme.BLUE, strict=True))
            angle = 2 * math.pi * blade / _BLADES
            x, y = math.sin(angle), -math.cos(angle)
            start, end = ((centre[0] + x * radius, centre[1] + y * radius) for radius in (inner, outer))
            pygame.draw.line(self._surface, shade, start, end, max(2, self.px(4)))


def fit(picture: tuple[int, int], area: tuple[int, int]) -> tuple[tuple[int, int], bool]:
    """How large a picture is shown: a whole multiple of its size (and True) where that fills the area well, else all that fits, and False.

    Whole multiples are crisp, but of a small one the next comes late: from 1 to 2 three quarters of the area stay empty.
    """
    (width, height), (wide, high) = picture, area
    share = min(wide / width, high / height)
    times = int(share)
    if times >= _CRISP_FROM or (times >= 1 and share < times * _WELL_FILLED):
        return (width * times, height * times), True
    if wide - width * share < 1 and high - height * share < 1:
        return (wide, high), False  # an area that this function found before
    return (max(1, int(width * share)), max(1, int(height * share))), False


def _sharpened(picture: tuple[int, int], size: tuple[int, int]) -> int:
    """By which whole number a picture is enlarged before it is smoothed to ``size``: its pixels keep their edges, where that is quick."""
    times = min(2, size[0] // picture[0])
    return times if times > 1 and picture[0] * picture[1] * times**2 <= _SHARP_PIXELS else 1
