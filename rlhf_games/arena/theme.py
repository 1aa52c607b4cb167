"""Colours and sizes. Blue and amber are told apart by every kind of colour vision; no meaning hangs on colour alone."""

from __future__ import annotations

from typing import Literal, TypeAlias

Colour: TypeAlias = tuple[int, int, int]
Style: TypeAlias = Literal["huge", "title", "body", "strong", "small", "label"]

BACKGROUND: Colour = (16, 19, 24)
PANEL: Colour = (25, 29, 36)
RAISED: Colour = (37, 43, 53)
LINE: Colour = (52, 60, 73)
TEXT: Colour = (232, 236, 242)
MUTED: Colour = (152, 163, 179)
BLUE: Colour = (105, 178, 255)
AMBER: Colour = (246, 184, 74)

DESIGN_SIZE = (1280, 800)
"""Sizes below are pixels in a window of this size, and grow and shrink with it."""
SMALLEST = 0.6
"""The window may be made smaller than this share of the design, the text not."""
MARGIN = 32
STYLES: dict[Style, tuple[int, bool]] = {
    "huge": (52, True),
    "title": (30, True),
    "body": (22, False),
    "strong": (22, True),
    "small": (18, False),
    "label": (16, True),
}
"""Pixels and boldness. The smallest text is an em of 16: 4 mm on a common screen, legible from a metre."""
