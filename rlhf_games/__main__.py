"""``python -m rlhf_games`` is ``rlhf-games``."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path


def _forget_current_folder() -> None:
    """``-m`` puts the current folder first on the path: where this package does not come from there, nothing else may."""
    with contextlib.suppress(OSError):  # a current folder that was deleted has no modules
        if not sys.flags.safe_path and Path(sys.path[0]).resolve() != Path(__file__).resolve().parents[1]:
            del sys.path[0]


if __name__ == "__main__":
    _forget_current_folder()
    from rlhf_games.cli.main import main

    sys.exit(main())
