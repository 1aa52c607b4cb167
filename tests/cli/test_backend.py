"""The environment may ask JAX for what it does not have: one line and exit status 2, or it works."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECK = ("check", "game", "minatar/breakout", "--steps", "20")


def _run(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "rlhf_games", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=os.environ | variables)


@pytest.mark.parametrize("platform", ["no-such-thing", "cpu,no-such-thing", "tpu"])
@pytest.mark.parametrize("words", [CHECK, ("run",)], ids=" ".join)
def test_a_device_that_is_not_there(tmp_path: Path, platform: str, words: tuple[str, ...]) -> None:
    done = _run(tmp_path, *words, JAX_PLATFORMS=platform)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: JAX finds no device for JAX_PLATFORMS={platform!r}")
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_64_bits_are_switched_off(tmp_path: Path) -> None:
    done = _run(tmp_path, *CHECK, JAX_ENABLE_X64="1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "JAX_ENABLE_X64 is ignored" in done.stderr


def test_a_deleted_current_folder(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    program = "import os; os.rmdir(os.getcwd()); from rlhf_games.cli.main import main; raise SystemExit(main(['run']))"
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=False, cwd=gone)
    assert done.returncode == 2
    assert done.stderr == "error: the current folder is not there any more: go to another one (cd) and try again\n"
