"""Where the command line prints its tables and bars."""

from __future__ import annotations

import os

from rich.console import Console

_WIDE = 140
"""Columns of a pipe or a log file, which say none themselves."""


def wide_console(stderr: bool = False) -> Console:
    """Standard output (or error); where it is no terminal, wide enough for tables and bars to keep their words (COLUMNS says otherwise)."""
    console = Console(stderr=stderr)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = max(console.width, _WIDE)
    return console
