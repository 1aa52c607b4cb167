"""A training process beside a measurement."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SETTINGS = ("steps=1000000000", "iterations=100000", 'feedback.teacher="oracle"', "feedback.budget=200")
_PATIENCE = 300.0


@contextmanager
def trainer() -> Iterator[None]:
    """A run with the default game and agent learns in another process, from its first iteration on, until the body is done."""
    with tempfile.TemporaryDirectory() as folder:
        run, log = Path(folder) / "run", Path(folder) / "log"
        flags = [word for setting in _SETTINGS for word in ("--set", setting)]
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "rlhf_games", "run", "--out", str(run), *flags],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=os.environ | {"JAX_PLATFORMS": "cpu"},
            )
        try:
            _wait_until_it_learns(process, run / "metrics.jsonl", log)
            yield
        finally:
            process.kill()
            process.wait()


def _wait_until_it_learns(process: subprocess.Popen[bytes], metrics: Path, log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not (metrics.exists() and metrics.stat().st_size):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the trainer beside the measurement does not learn: {log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.2)
