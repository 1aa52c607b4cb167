"""Who sits in front of the screen, and where their settings lie."""

from __future__ import annotations

import getpass
import os
from dataclasses import dataclass, field
from pathlib import Path

from rlhf_games.arena.desk import Desk
from rlhf_games.arena.keys import Keymap
from rlhf_games.core.errors import UserError

_LONGEST = 100
_FILE = "annotator.txt"


@dataclass
class Person:
    """Who uses the arena, and how. ``annotator`` may become another one while a menu is shown."""

    annotator: str
    keymap: Keymap
    hide_score: bool = False
    """Clips are shown with their score hidden, to begin with."""
    desk: Desk = field(default_factory=Desk)


def settings_folder() -> Path:
    """``$XDG_CONFIG_HOME/rlhf-games``, by default ``~/.config/rlhf-games``; holds ``annotator.txt``, ``keys.toml`` and ``arena.toml``."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(base) if base else Path.home() / ".config") / "rlhf-games"


def who(name: str, folder: Path) -> str:
    """The annotator: ``name`` where it is given, which is then remembered; else the remembered one; empty where there is none.

    Raises:
      UserError: the name cannot be one.
    """
    file = folder / _FILE
    if name:
        return remember(name, folder)
    try:
        remembered = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
    if remembered:
        _check(remembered)
    return remembered


def login_name() -> str:
    """What to suggest to somebody who has not said their name; empty where nobody knows."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""


def remember(name: str, folder: Path) -> str:
    """Keeps a name for the next time, and returns it.

    Raises:
      UserError: it cannot be one, or it cannot be written.
    """
    _check(name)
    file = folder / _FILE
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"{file} cannot be written ({error.strerror}), so the name would be forgotten: make the folder writable") from error
    return name


def _check(name: str) -> None:
    if not 1 <= len(name) <= _LONGEST or not name.isprintable() or name != name.strip():
        raise UserError(f"a name (--annotator) must be 1 to {_LONGEST} printable characters without a space at either end, got {name!r}")
