"""Fonts, and text that was drawn before."""

from __future__ import annotations

from collections import OrderedDict
from importlib.util import find_spec
from pathlib import Path

import pygame

from rlhf_games.arena.theme import STYLES, Colour, Style

_KEPT = 600
"""Pieces of text that stay drawn."""


def font_file(bold: bool) -> Path:
    """DejaVu Sans, which has arrows and comes with matplotlib (matplotlib itself is not imported)."""
    spec = find_spec("matplotlib")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf" / ("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf")


class Fonts:
    """Draws text in the styles of the theme at one scale."""

    def __init__(self, scale: float) -> None:
        self._fonts = {style: pygame.font.Font(font_file(bold), max(8, round(size * scale))) for style, (size, bold) in STYLES.items()}
        self._drawn: OrderedDict[tuple[str, Style, Colour], pygame.Surface] = OrderedDict()

    def height(self, style: Style) -> int:
        """Pixels from one line to the next."""
        return self._fonts[style].get_linesize()

    def width(self, words: str, style: Style) -> int:
        """Pixels."""
        return self._fonts[style].size(words)[0]

    def draw(self, words: str, style: Style, colour: Colour) -> pygame.Surface:
        """The text on a transparent ground."""
        key = (words, style, colour)
        surface = self._drawn.pop(key, None)
        if surface is None:
            surface = self._fonts[style].render(words, True, colour)
            if len(self._drawn) >= _KEPT:
                self._drawn.popitem(last=False)
        self._drawn[key] = surface
        return surface

    def shorten(self, words: str, style: Style, width: int) -> str:
        """The words, or as much of their beginning as fits ``width`` pixels and an ellipsis."""
        if self.width(words, style) <= width:
            return words
        low, high = 0, len(words)
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.width(words[:middle].rstrip() + "…", style) <= width else (low, middle - 1)
        return words[:low].rstrip() + "…"

    def wrap(self, words: str, style: Style, width: int, lines: int) -> list[str]:
        """The words in at most ``lines`` lines of at most ``width`` pixels; what is too long is shortened."""
        found: list[str] = []
        rest = words.split()
        while rest and len(found) < lines - 1:
            count = 1
            while count < len(rest) and self.width(" ".join(rest[: count + 1]), style) <= width:
                count += 1
            found.append(self.shorten(" ".join(rest[:count]), style, width))
            rest = rest[count:]
        return [*found, self.shorten(" ".join(rest), style, width)] if rest else found
