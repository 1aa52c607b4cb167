"""Where publications lie. No JAX here."""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = "published"
"""In the run's folder."""
_NAME = re.compile(r"(\d{8})\.policy")


def file_of(folder: Path, iteration: int) -> Path:
    """The file of one iteration."""
    return folder / f"{iteration:08d}.policy"


def listed(folder: Path) -> list[tuple[int, Path]]:
    """Iterations and files of all publications in ``folder``, ascending; empty where it is missing."""
    try:
        names = [(_NAME.fullmatch(path.name), path) for path in folder.iterdir()]
    except OSError:
        return []
    return sorted((int(match[1]), path) for match, path in names if match)
