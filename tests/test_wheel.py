"""The wheel alone is enough: installed without the checkout it has all games, and its verbs work from any folder."""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from rlhf_games import workspace

CHECKOUT = Path(__file__).resolve().parents[1]
LIST = "from rlhf_games import workspace; print(*(card.name for card in workspace.cards()), *workspace.agents(), sep='\\n')"
PLAY = (
    "from rlhf_games import workspace; session = workspace.load_game('minatar/breakout').open(1); "
    "print(session.frames().shape, session.spec.name, workspace.roots()[0])"
)


def _clean_environment() -> dict[str, str]:
    """The environment without anything that could find the checkout."""
    hidden = {"PYTHONPATH", "RLHF_GAMES_WORKSPACE", "VIRTUAL_ENV", "COVERAGE_PROCESS_START"}
    return {name: value for name, value in os.environ.items() if name not in hidden}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of what git tracks or would track."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (CHECKOUT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(CHECKOUT / name, source / name)
    command = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--sdist", "--outdir", str(out), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=_clean_environment())
    assert done.returncode == 0, done.stdout + done.stderr
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean environment with the wheel; what it depends on is lent by a path file, so that nothing is downloaded."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=_clean_environment())
    assert done.returncode == 0, done.stdout + done.stderr
    own = next((folder / "lib").glob("python*/site-packages"))
    # A path file adds folders only: path files inside them (the checkout's editable install) are not read.
    (own / "lent.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    return folder


def _run(installed: Path, where: Path, *command: str) -> subprocess.CompletedProcess[str]:
    program = [str(installed / "bin" / command[0]), *command[1:]]
    done = subprocess.run(program, capture_output=True, text=True, check=False, cwd=where, env=_clean_environment())
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_one_import_name_and_no_strays(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names}
    version = wheel.name.split("-")[1]
    assert tops == {"rlhf_games", f"rlhf_games-{version}.dist-info", f"rlhf_games-{version}.data"}
    assert not [name for name in names if "__pycache__" in name or name.endswith((".pyc", ".sqlite"))]
    shared = f"rlhf_games-{version}.data/data/share/rlhf-games/workspace/"
    assert f"{shared}games/minatar/game.py" in names
    assert "rlhf_games/templates/lab/gitignore" in names
    assert "rlhf_games/templates/lab/experiments/first/experiment.toml" in names
    with tarfile.open(next(wheel.parent.glob("*.tar.gz"))) as sdist:
        assert any(name.endswith("/Makefile") for name in sdist.getnames())


def test_all_games_and_agents_are_there_from_another_folder(installed: Path, tmp_path: Path, fresh_workspace: None) -> None:
    here = [*(card.name for card in workspace.cards()), *workspace.agents()]
    assert _run(installed, tmp_path, "python", "-c", LIST).stdout.split() == here


def test_a_game_plays_from_the_installed_copy(installed: Path, tmp_path: Path) -> None:
    shape, name, root = _run(installed, tmp_path, "python", "-c", PLAY).stdout.rsplit(maxsplit=2)
    assert shape.startswith("(1, ")
    assert name == "minatar/breakout"
    assert Path(root) == installed.resolve() / "share" / "rlhf-games" / "workspace"


VERBS = [
    ["--help"],
    ["games"],
    ["new", "my-lab"],
    ["demo", "--steps", "8192", "--answers", "8", "--out", "shown"],
]
"""Command lines that must work from the wheel alone, in an empty folder; heavier verbs join with a tiny budget."""


@pytest.mark.parametrize("words", VERBS, ids=" ".join)
def test_verbs_work_from_the_wheel_alone(installed: Path, tmp_path: Path, words: list[str]) -> None:
    assert _run(installed, tmp_path, "rlhf-games", *words).stdout


def test_a_new_lab_is_found_beside_the_installed_games(installed: Path, tmp_path: Path) -> None:
    _run(installed, tmp_path, "rlhf-games", "new", "my-lab")
    found = _run(installed, tmp_path / "my-lab", "python", "-c", LIST).stdout.split()
    assert {"orchard/apples", "reinforce", "minatar/breakout", "ppo"} <= set(found)
