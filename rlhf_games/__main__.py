"""``python -m rlhf_games`` is ``rlhf-games``."""

from __future__ import annotations

import sys

from rlhf_games.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
