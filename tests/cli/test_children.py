"""Modules that lie in the current folder are not imported: not by the program, and not by the processes that it starts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rlhf_games.cli.window import check_display

TRAP = "import pathlib\npathlib.Path({sign!r}).touch()\nraise SystemExit(3)\n"


@pytest.fixture
def sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Is there once a module of the current folder was imported."""
    sign, here = tmp_path / "was-run", tmp_path / "here"
    here.mkdir()
    for name in ("pygame", "numpy", "tyro", "rich", "multiprocessing", "platformdirs"):
        (here / f"{name}.py").write_text(TRAP.format(sign=str(sign)))
    monkeypatch.chdir(here)
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    return sign


def test_the_look_for_a_display(sign: Path) -> None:
    check_display()
    assert not sign.exists()


def test_python_m(sign: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "rlhf_games", "games", "breakout"], capture_output=True, text=True, check=True)
    assert "minatar/breakout" in done.stdout
    assert not sign.exists()


def test_children_of_libraries(sign: Path) -> None:
    """What multiprocessing starts by ``-c`` is told by the environment that the command line sets."""
    program = (
        "import multiprocessing, operator\n"
        "from rlhf_games.cli.main import main\n"
        "main(['--version'])\n"
        "with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "    print(pool.apply(operator.add, (2, 3)))\n"
    )
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split()[-1] == "5"
    assert not sign.exists()


def test_no_child_is_started_without_safe_path() -> None:
    """Every command line that starts Python says -P or -I."""
    source = Path(__file__).resolve().parents[2] / "rlhf_games"
    lines = [line for path in source.rglob("*.py") for line in path.read_text(encoding="utf-8").splitlines()]
    starts = [line for line in lines if "[sys.executable" in line or "[str(self.python)" in line]
    assert len(starts) >= 6
    assert [line for line in starts if '"-P"' not in line and '"-I"' not in line] == []
