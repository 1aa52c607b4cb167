"""The overlay that lists every key of the present view."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from pygame import Rect

from rlhf_games.arena import theme
from rlhf_games.arena.canvas import Canvas
from rlhf_games.arena.keys import Command, is_pad
from rlhf_games.arena.pen import Pen
from rlhf_games.arena.theme import Style
from rlhf_games.arena.view import Playable, View

_NO_KEY, _MEND = "no key", "choose one in keys.toml"
_WINDOW = (
    Command("help", ("f1", "?"), "this help"),
    Command("full_screen", ("f11",), "full screen, or a window"),
    Command("back", ("escape",), "back; nothing is lost"),
)


def draw_help(canvas: Canvas, view: View) -> None:
    """Paints the whole window."""
    commands = help_lines(view)
    canvas.begin(("help", view.title))
    canvas.part("help", Rect(0, 0, canvas.width, canvas.height), commands, lambda pen: _paint(pen, view.title, commands))


def help_lines(view: View) -> tuple[Command, ...]:
    """Every key that means something now: those of the game first, then the view's, then the window's."""
    played = tuple(view.game_keys) if isinstance(view, Playable) else ()
    return played + _merged(tuple(command for command in view.commands if command.help) + _WINDOW)


def _paint(pen: Pen, title: str, commands: tuple[Command, ...]) -> None:
    margin = pen.px(theme.MARGIN * 2)
    pen.text((margin, margin), f"{title}: keys", "title")
    pen.text((margin, margin + pen.px(44)), "Press any key to go on.", "body", theme.MUTED)
    top = margin + pen.px(104)
    room = pen.area.h - top - margin
    # Closer together where there are many: in more than two columns the words would not fit.
    line = min(pen.px(44), max(pen.px(33), room // -(-len(commands) // 2)))
    rows = max(1, room // line)
    columns = [commands[first : first + rows] for first in range(0, len(commands), rows)]
    x = margin
    style, widths, gap = _widths(pen, columns, pen.area.w - 2 * margin)
    for column, (keys, words) in zip(columns, widths, strict=True):
        for number, command in enumerate(column):
            y = top + number * line + line // 2
            if command.keys:
                pen.hint((x, y), key_names(command), "")
            else:
                pen.text((x, y), _NO_KEY, "small", theme.AMBER, "midleft")
            pen.text((x + keys, y), _meaning(command), style, anchor="midleft", width=words)
        x += keys + words + gap


def _widths(pen: Pen, columns: Sequence[Sequence[Command]], room: int) -> tuple[Style, list[tuple[int, int]], int]:
    """How to write what keys mean so that it fits; for each column the pixels of its keys and of its words; those between columns."""
    keys = [max(_keys_width(pen, command) for command in column) + pen.px(12) for column in columns]
    gap = pen.px(24)
    left = max(1, room - sum(keys) - gap * (len(columns) - 1))
    styles: tuple[Style, ...] = ("body", "small")
    for style in styles:
        words = [max(pen.text_width(_meaning(command), style) for command in column) for column in columns]
        if sum(words) <= left:
            return style, list(zip(keys, words, strict=True)), gap + (left - sum(words)) // len(columns)
    return "small", [(width, entry * left // sum(words)) for width, entry in zip(keys, words, strict=True)], gap


def _keys_width(pen: Pen, command: Command) -> int:
    return pen.hint_width(key_names(command), "") if command.keys else pen.text_width(_NO_KEY, "small")


def _meaning(command: Command) -> str:
    return command.help if command.keys else f"{command.help} ({_MEND})"


def _merged(commands: Sequence[Command]) -> tuple[Command, ...]:
    """Neighbours that say the same (a command for each digit) in one line: the first key to the last."""
    lines = []
    for words, group in groupby(commands, key=lambda command: command.help):
        first, *rest = group
        ends = tuple(command.keys[0] for command in (first, *rest[-1:]) if command.keys)
        lines.append(Command(first.name, (ends[0], "…", ends[-1]) if rest and ends else first.keys, words))
    return tuple(lines)


def key_names(command: Command) -> tuple[str, ...]:
    """Keys of the keyboard (of a long row the first and the last), then a button of the gamepad."""
    typed = tuple(key for key in command.keys if not is_pad(key))
    pads = tuple(key for key in command.keys if is_pad(key))
    return (typed if len(typed) <= 3 else (typed[0], "…", typed[-1])) + pads[:1]
