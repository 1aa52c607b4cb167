"""The mark of a workspace, ``rlhf-games.toml``, and whom it belongs to: code is run only from folders that somebody meant to be run."""

from __future__ import annotations

import os
from pathlib import Path

MARK = "rlhf-games.toml"
"""A folder with this file is a workspace where the search for workspaces comes across it. What is in the file is not read."""


def is_marked(folder: Path) -> bool:
    """Whether ``folder`` holds the mark; False for a folder that cannot be read."""
    try:
        return (folder / MARK).is_file()
    except OSError:
        return False


def strange_owner(folder: Path) -> int | None:
    """User id of the owner of ``folder`` or of its mark where that is neither this process's user nor, under sudo, who called it.

    A link counts as its own owner's, not as that of what it points to. None on systems without user ids.

    Raises:
      OSError: the folder or its mark is gone.
    """
    if not hasattr(os, "geteuid"):
        return None
    mine = {os.geteuid()}
    caller = os.environ.get("SUDO_UID", "")
    if os.geteuid() == 0 and caller.isascii() and caller.isdigit():
        mine.add(int(caller))
    owners = (folder.stat().st_uid, (folder / MARK).lstat().st_uid)
    return next((owner for owner in owners if owner not in mine), None)
