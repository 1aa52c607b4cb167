"""Where the command line prints its tables and bars: names come from files, flags and stores, and are shown literally."""

from __future__ import annotations

import os
from typing import Any

from rich.console import Console
from rich.progress import Task, TextColumn
from rich.text import Text

from rlhf_games.core.literal import literal

_WIDE = 140
"""Columns of a pipe or a log file, which say none themselves."""


class LiteralConsole(Console):
    """A console on which a string is only text: no markup, no emoji names, and escapes are shown instead of obeyed."""

    def __init__(self, *, stderr: bool = False, highlight: bool = True) -> None:
        super().__init__(stderr=stderr, highlight=highlight, markup=False, emoji=False)

    def render_str(self, text: str, **how: Any) -> Text:
        """A string that is printed, or stands in a table."""
        return super().render_str(literal(text), **how)


class LiteralColumn(TextColumn):
    """A column of bars whose text is only text."""

    def render(self, task: Task) -> Text:
        """The text of one bar."""
        text = literal(self.text_format.format(task=task))
        return Text(text, style=self.style, justify=self.justify)


class StyledColumn(LiteralColumn):
    """The same, in the style that each bar names in its field ``style``."""

    def render(self, task: Task) -> Text:
        """The text of one bar."""
        text = super().render(task)
        text.stylize(task.fields["style"])
        return text


def wide_console(stderr: bool = False) -> Console:
    """Standard output (or error); where it is no terminal, wide enough for tables and bars to keep their words (COLUMNS says otherwise)."""
    console = LiteralConsole(stderr=stderr)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = max(console.width, _WIDE)
    return console
