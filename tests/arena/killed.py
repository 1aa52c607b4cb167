"""Programs that are killed again and again while they write down what they were told is stored."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

KILLS = 3
_FOLDER = Path(__file__).parent
_ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join(str(folder) for folder in (_FOLDER.parents[1], _FOLDER.parent))}


def lines(path: Path) -> list[list[str]]:
    """Whole lines of a journal only."""
    return [line.split() for line in path.read_text().split("\n")[:-1]] if path.exists() else []


def kill_often(program: str, store: str, journal: Path, each: int, seed: int) -> None:
    """Starts ``program STORE JOURNAL`` and kills it at a random moment after ``each`` lines more, `KILLS` times."""
    chance = random.Random(seed)
    for _ in range(KILLS):
        before = len(lines(journal))
        process = subprocess.Popen([sys.executable, str(_FOLDER / program), store, str(journal)], env=_ENVIRONMENT)
        deadline = time.monotonic() + 120
        while len(lines(journal)) < before + each and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "it failed before it was killed"
