"""The overlay that lists every key of the present view."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from pygame import Rect

from rlhf_games.arena import theme
from rlhf_games.arena.canvas import Canvas
from rlhf_games.arena.keys import Command
from rlhf_games.arena.pen import Pen
from rlhf_games.arena.view import Playable, View

_WINDOW = (Command("help", ("f1", "?"), "this help"), Command("back", ("escape",), "back; nothing is lost"))


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
    margin, line = pen.px(theme.MARGIN * 2), pen.px(44)
    pen.text((margin, margin), f"{title}: keys", "title")
    pen.text((margin, margin + pen.px(44)), "Press any key to go on.", "body", theme.MUTED)
    top = margin + pen.px(104)
    room = pen.area.h - top - margin
    if len(commands) * line > 2 * room:  # closer together: in more than two columns the words would not fit
        line = max(pen.px(34), room // -(-len(commands) // 2))
    rows = max(1, room // line)
    columns = -(-len(commands) // rows)
    width = (pen.area.w - 2 * margin) // columns
    widest = max(pen.hint_width(key_names(command), "") for command in commands) + pen.px(12)
    for number, command in enumerate(commands):
        x, y = margin + number // rows * width, top + number % rows * line + line // 2
        if command.keys:
            pen.hint((x, y), key_names(command), "")
        else:
            pen.text((x, y), "no key", "small", theme.AMBER, "midleft")
        words = command.help if command.keys else f"{command.help} (the game needs its key: choose another in keys.toml)"
        pen.text((x + widest, y), words, "body", anchor="midleft", width=width - widest - pen.px(16))


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
    typed = tuple(key for key in command.keys if "pad:" not in key)
    pads = tuple(key for key in command.keys if "pad:" in key)
    return (typed if len(typed) <= 3 else (typed[0], "…", typed[-1])) + pads[:1]
