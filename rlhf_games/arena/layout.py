"""Where things lie in a view with a stage, and the parts that such views share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pygame import Rect

from rlhf_games.arena import theme
from rlhf_games.arena.canvas import Canvas
from rlhf_games.arena.keys import Command
from rlhf_games.arena.pen import Pen
from rlhf_games.arena.runs import Learning

_HEADER, _STATUS, _FOOTER = 92, 36, 48
"""Heights in design pixels."""


class Areas(NamedTuple):
    """Places of a view; they do not overlap."""

    heading: Rect
    standing: Rect
    stage: Rect
    status: Rect
    footer: Rect


def frame_areas(canvas: Canvas) -> Areas:
    """Heading and numbers above, the stage, a line of status and the keys below."""
    margin, gap = canvas.px(theme.MARGIN), canvas.px(16)
    width = canvas.width - 2 * margin
    right = min(canvas.px(500), width // 2)
    top = canvas.px(22)
    stage_top = top + canvas.px(_HEADER) + gap
    footer_top = canvas.height - canvas.px(_FOOTER) - canvas.px(10)
    status_top = footer_top - canvas.px(_STATUS)
    return Areas(
        Rect(margin, top, width - right - gap, canvas.px(_HEADER)),
        Rect(margin + width - right, top, right, canvas.px(_HEADER)),
        Rect(margin, stage_top, width, status_top - canvas.px(6) - stage_top),
        Rect(margin, status_top, width, canvas.px(_STATUS)),
        Rect(margin, footer_top, width, canvas.px(_FOOTER)),
    )


def standing(canvas: Canvas, rect: Rect, lines: tuple[str, ...], learning: Learning | None = None) -> None:
    """Up to three lines of numbers in the corner, and the agent's score beside them where it is known."""
    canvas.part("standing", rect, (lines, learning), lambda pen: _standing(pen, lines, learning))


def _standing(pen: Pen, lines: tuple[str, ...], learning: Learning | None) -> None:
    right = pen.area.right
    if learning is not None:
        width = pen.px(130)
        box = Rect(right - width, pen.px(30), width, pen.px(30))
        pen.text((right, 0), learning.words, "small", theme.TEXT, "topright")
        pen.curve(box.inflate(-pen.px(8), -pen.px(6)), learning.scores)
        pen.text((right, pen.px(64)), learning.gain_words, "small", theme.MUTED, "topright")
        right -= max(width, *(pen.text_width(words, "small") for words in (learning.words, learning.gain_words))) + pen.px(24)
    step = pen.px(32 if len(lines) < 3 else 28)
    for number, words in enumerate(lines):
        pen.text((right, number * step), words, "small", theme.MUTED if number else theme.TEXT, "topright", right)


def footer(canvas: Canvas, rect: Rect, commands: Sequence[Command], shown: Sequence[tuple[str, str]]) -> None:
    """The most important keys, clickable; help and back at the right. What does not fit is in the help."""
    keys = {command.name: command.keys[:1] for command in commands}
    entries = tuple((keys.get(name, ()), words, name) for name, words in shown if keys.get(name))
    canvas.part("footer", rect, entries, lambda pen: _footer(pen, entries))


def _footer(pen: Pen, entries: Sequence[tuple[tuple[str, ...], str, str]]) -> None:
    middle, gap = pen.area.h // 2, pen.px(18)
    ends: list[tuple[tuple[str, ...], str, str]] = [(("f1",), "help", "help"), (("escape",), "back", "back")]
    limit = pen.area.w - sum(pen.hint_width(keys, words) + gap for keys, words, _ in ends)
    x = limit + gap
    for keys, words, name in ends:
        x = pen.hint((x, middle), keys, words, name).right + gap
    x = 0
    for keys, words, name in entries:
        width = pen.hint_width(keys, words)
        if x + width > limit:
            break
        pen.hint((x, middle), keys, words, name)
        x += width + gap
