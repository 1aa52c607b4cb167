"""Where the command line prints its tables."""

from __future__ import annotations

import os

from rich.console import Console

_WIDE = 140
"""Columns of a pipe or a log file, which say none themselves."""


def table_console() -> Console:
    """Standard output; where it is no terminal, wide enough for tables to keep their words (COLUMNS says otherwise)."""
    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = max(console.width, _WIDE)
    return console
