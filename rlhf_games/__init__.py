"""Learn to play from what people tell you: reinforcement learning from human feedback in games."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

__version__ = "0.1.0"


class _WorkspaceFinder:
    """Answers imports of ``rlhf_games_workspace``; here, so that a worker can unpickle a game before it has loaded one."""

    @staticmethod
    def find_spec(fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Delegates to ``rlhf_games.workspace`` (``path`` and ``target`` are not needed: a workspace knows its folders)."""
        if fullname.partition(".")[0] != "rlhf_games_workspace":
            return None
        from rlhf_games import workspace

        return workspace.find_spec(fullname)


if not any(isinstance(finder, type) and finder.__name__ == "_WorkspaceFinder" for finder in sys.meta_path):
    sys.meta_path.insert(0, _WorkspaceFinder)
