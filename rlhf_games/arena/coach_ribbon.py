"""What a coach said, along time: bars upwards for praise, downwards for scolding, hatched stretches where the coach played.

A bar is hollow until its answer is on the disk; one that was taken back is a cross on the line.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pygame import Rect

from rlhf_games.arena import theme
from rlhf_games.arena.coach_log import MILD, Mark
from rlhf_games.arena.pen import Pen
from rlhf_games.feedback.answers import Evaluation

SECONDS = 12.0
"""Of the game, from the left edge to the right."""
_TICK_SECONDS = 2.0
_SIDE = 96
"""Room for words at the left, in design pixels."""
_BAND = 12
"""Half the height of a stretch in which the coach played."""


class Ribbon(NamedTuple):
    """All that it shows; equal ribbons look alike."""

    decisions: int
    """Decisions on the screen so far: the newest is at the right edge."""
    rate: float
    """Decisions a second at natural speed."""
    version: int
    """Of ``marks``."""
    episode: str
    grip: tuple[int, int] | None
    """A takeover that goes on: from its first decision to one after its last."""

    @property
    def width(self) -> int:
        """Decisions from edge to edge."""
        return max(12, round(SECONDS * self.rate))


def paint_ribbon(pen: Pen, ribbon: Ribbon, marks: Sequence[Mark]) -> None:
    """Paints the whole part."""
    pen.box(pen.area)
    middle = pen.area.h // 2
    for words, y in (("▲ good", pen.px(10)), ("▼ bad", pen.area.h - pen.px(10) - pen.line_height("small"))):
        pen.text((pen.px(18), y), words, "small", theme.MUTED)
    room = Rect(pen.px(_SIDE), pen.px(8), pen.area.w - pen.px(_SIDE + 20), pen.area.h - pen.px(16))
    pen.line((room.x, middle), (room.right, middle), theme.LINE, 2)
    step = max(1, round(_TICK_SECONDS * ribbon.rate))
    first = max(0, ribbon.decisions - ribbon.width)
    for t in range(first - first % step, ribbon.decisions + 1, step):
        if (x := _place(room, ribbon, t)) >= room.x:
            pen.line((x, middle - pen.px(5)), (x, middle + pen.px(5)), theme.LINE, 2)
    mine = [mark for mark in marks if mark.episode == ribbon.episode]
    for mark in mine:
        if not isinstance(mark.value, Evaluation):
            _stretch(pen, room, ribbon, (mark.step, mark.step + mark.value.length), mark)
    if ribbon.grip is not None:
        _stretch(pen, room, ribbon, ribbon.grip, None)
    for mark in mine:
        if isinstance(mark.value, Evaluation):
            _bar(pen, room, ribbon, mark, mark.value.value)


def _place(room: Rect, ribbon: Ribbon, t: int) -> int:
    """Where decision ``t`` begins."""
    return round(room.right - (ribbon.decisions - t) / ribbon.width * room.w)


def _bar(pen: Pen, room: Rect, ribbon: Ribbon, mark: Mark, value: float) -> None:
    x = (_place(room, ribbon, mark.step) + _place(room, ribbon, mark.step + 1)) // 2
    if x < room.x:
        return
    middle, wide = room.centery, pen.px(10)
    if mark.state in ("leaving", "gone"):
        _cross(pen, (x, middle), pen.px(6))
        return
    high = round(room.h / 2 * (0.55 if abs(value) <= MILD else 0.95))
    rect = Rect(x - wide // 2, middle - high if value > 0 else middle, wide, high)
    colour = theme.BLUE if value > 0 else theme.AMBER
    pen.box(rect, colour if mark.state == "stored" else theme.PANEL, colour, 3)
    if mark.state == "failed":
        pen.text((x, rect.centery), "!", "label", theme.TEXT, "center")


def _stretch(pen: Pen, room: Rect, ribbon: Ribbon, steps: tuple[int, int], mark: Mark | None) -> None:
    """``mark``: None while the takeover goes on."""
    left, right = max(room.x, _place(room, ribbon, steps[0])), min(room.right, _place(room, ribbon, steps[1]))
    if right <= room.x:
        return
    if mark is not None and mark.state in ("leaving", "gone"):
        _cross(pen, ((left + right) // 2, room.centery), pen.px(6))
        return
    half = pen.px(_BAND)
    rect = Rect(left, room.centery - half, max(pen.px(6), right - left), 2 * half)
    stored = mark is not None and mark.state == "stored"
    pen.box(rect, theme.RAISED if stored else theme.PANEL, theme.TEXT, 4)
    for x in range(rect.x + half, rect.right, half):
        pen.line((x - half, rect.bottom - 2), (x, rect.y + 2), theme.MUTED if stored else theme.LINE, 1)
    if rect.w > pen.text_width("YOU", "label") + pen.px(12):
        box = pen.text(rect.center, "YOU", "label", theme.TEXT, "center")
        pen.box(box.inflate(pen.px(8), 0), theme.RAISED, radius=3)
        pen.text(rect.center, "YOU", "label", theme.TEXT, "center")


def _cross(pen: Pen, centre: tuple[int, int], size: int) -> None:
    x, y = centre
    pen.line((x - size, y - size), (x + size, y + size), theme.MUTED, 2)
    pen.line((x - size, y + size), (x + size, y - size), theme.MUTED, 2)
