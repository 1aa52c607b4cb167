"""Parts of views in which a game runs: its picture, words over it, facts beside it."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray
from pygame import Rect

from rlhf_games.arena import theme
from rlhf_games.arena.canvas import Canvas
from rlhf_games.arena.pen import Pen, cap, fit
from rlhf_games.core.game import GameSpec

INSET = 16
"""Around the picture, in design pixels."""
CELL = "cell "
"""Before the action that a click into a cell of a board plays."""
_TABLE = 12
"""Keys that are named beside a picture."""


def running_picture(
    canvas: Canvas, rect: Rect, picture: NDArray[np.uint8], key: Hashable, still: int, spec: GameSpec | None = None
) -> None:
    """A game that runs: only the picture ``[H, W, 3]`` itself is painted again, where ``key`` differs from last time.

    Args:
      canvas: to paint on.
      rect: the stage.
      picture: to be seen.
      key: of the picture.
      still: grows whenever the whole stage was painted over (as `still_picture` does).
      spec: of a game whose board can be clicked; None: it cannot.
    """
    canvas.part("stage", rect, ("running", still), lambda pen: pen.box(pen.area))
    inset = canvas.px(INSET)
    room = rect.inflate(-2 * inset, -2 * inset)
    if room.w <= 0 or room.h <= 0:
        return
    place = Rect((0, 0), fit((picture.shape[1], picture.shape[0]), room.size)[0])
    place.center = room.center

    def paint(pen: Pen) -> None:
        pen.picture(picture, pen.area)
        if spec is not None:
            _click_cells(pen, spec)

    canvas.part("picture", place, (still, key), paint, theme.PANEL)


def _click_cells(pen: Pen, spec: GameSpec) -> None:
    """Every cell of the board can be clicked; the picture fills the pen's area."""
    top, left, height, width = spec.board_in_frame or (0, 0, *spec.frame_shape)
    across, down = pen.area.w / spec.frame_shape[1], pen.area.h / spec.frame_shape[0]
    for row, actions in enumerate(spec.cells):
        y, bottom = (round(down * (top + height * edge / len(spec.cells))) for edge in (row, row + 1))
        for column, action in enumerate(actions):
            x, right = (round(across * (left + width * edge / len(actions))) for edge in (column, column + 1))
            pen.click(Rect(x, y, right - x, bottom - y), f"{CELL}{action}")


def still_picture(pen: Pen, picture: NDArray[np.uint8], *, dim: bool) -> None:
    """A game that stands still, on its stage."""
    pen.box(pen.area)
    inset = pen.px(INSET)
    pen.picture(picture, pen.area.inflate(-2 * inset, -2 * inset), dim=dim)


def notice(pen: Pen, title: str, words: str, height: float = 130) -> Rect:
    """A box in the middle with a title and a line of text; returns where it is. ``height`` in design pixels."""
    box = Rect(0, 0, min(pen.px(520), pen.area.w - pen.px(32)), pen.px(height))
    box.center = pen.area.center
    pen.box(box, theme.BACKGROUND, theme.LINE)
    pen.text((box.centerx, box.y + pen.px(20)), title, "title", anchor="midtop")
    if pen.text_width(words, "body") <= box.w - pen.px(32):
        pen.text((box.centerx, box.y + pen.px(68)), words, "body", theme.MUTED, "midtop")
    else:
        pen.paragraph((box.centerx, box.y + pen.px(62)), words, box.w - pen.px(32), 2, "small", centred=True)
    return box


def fact(pen: Pen, x: int, y: int, width: int, label: str, words: str) -> int:
    """A small label with its value beneath; returns where the next one begins."""
    pen.text((x, y), label, "label", theme.MUTED)
    pen.text((x, y + pen.px(22)), words, "body", width=width)
    return y + pen.px(68)


def shared_table(pen: Pen, area: Rect, entries: Sequence[tuple[Sequence[str], str]]) -> None:
    """What every person's keys do, one line for each meaning, as close together as the height of ``area`` asks for."""
    if not entries:
        return
    row = min(pen.px(38), area.h // len(entries))
    for number, (keys, meaning) in enumerate(entries):
        y = area.y + number * row + row // 2
        if row >= pen.px(30):
            pen.hint((area.x, y), keys, meaning, colour=theme.TEXT)
        else:
            pen.text((area.x, y), f"{'  '.join(cap(key) for key in keys)}   {meaning}", "label", theme.TEXT, "midleft", area.w)


def key_table(pen: Pen, x: int, y: int, width: int, entries: Sequence[tuple[str, str]]) -> int:
    """Keys of a game and what they do, in two columns (of very many the first ones); returns where what comes next begins."""
    row, shown = pen.px(38), entries if len(entries) <= _TABLE else [*entries[: _TABLE - 1], ("f1", "all keys")]
    for number, (key, meaning) in enumerate(shown):
        pen.hint((x + number % 2 * (width // 2), y + number // 2 * row), (key,), meaning, colour=theme.TEXT)
    return y + (len(shown) + 1) // 2 * row + pen.px(12)
