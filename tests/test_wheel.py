"""The wheel alone is enough: installed without the checkout it has all games, and its verbs work from any folder."""

from __future__ import annotations

import json
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
from rlhf_games.experiment.rundir import RunDirectory
from rlhf_games.feedback.store import Store
from rlhf_games.published.run import PublishedRun

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
    assert f"{shared}rlhf-games.toml" in names
    assert "rlhf_games/templates/lab/rlhf-games.toml" in names
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
]
"""Command lines that must work from the wheel alone, in an empty folder; the demo has tests of its own below."""


@pytest.mark.parametrize("words", VERBS, ids=" ".join)
def test_verbs_work_from_the_wheel_alone(installed: Path, tmp_path: Path, words: list[str]) -> None:
    assert _run(installed, tmp_path, "rlhf-games", *words).stdout


def test_a_new_lab_is_found_beside_the_installed_games(installed: Path, tmp_path: Path) -> None:
    _run(installed, tmp_path, "rlhf-games", "new", "my-lab")
    found = _run(installed, tmp_path / "my-lab", "python", "-c", LIST).stdout.split()
    assert {"orchard/apples", "reinforce", "minatar/breakout", "ppo"} <= set(found)


STEPS, ANSWERS = 16_384, 16
KEYS = {
    "labels", "return_feedback", "return_true", "return_constant", "return_random_labels", "return_random", "ratio", "seconds",
}  # fmt: skip


@pytest.fixture(scope="module")
def written(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a demo wrote, with a budget that is too small to learn anything but large enough for every part."""
    here = tmp_path_factory.mktemp("elsewhere")
    words = ("demo", "--steps", str(STEPS), "--answers", str(ANSWERS), "--out", "shown", "--seed", "3")
    done = _run(installed, here, "rlhf-games", *words)
    assert f"1/6 {ANSWERS} answers: this agent" in done.stderr
    assert "6/6" in done.stderr
    assert "summary.json" in done.stdout
    assert [path.name for path in here.iterdir()] == ["shown"]
    return here / "shown"


def test_the_summary_of_a_demo_holds_what_it_must(written: Path) -> None:
    summary = json.loads((written / "summary.json").read_text())
    assert set(summary) == KEYS | {"seed", "ratio_constant", "ratio_random_labels"}
    assert summary["seed"] == 3
    assert 0 < summary["labels"] <= ANSWERS
    assert summary["seconds"] > 0
    span = summary["return_true"] - summary["return_random"]
    if summary["ratio"] is not None:
        assert summary["ratio"] * span == pytest.approx(summary["return_feedback"] - summary["return_random"], abs=1e-3)


def test_the_files_of_a_demo_are_whole(written: Path) -> None:
    assert {path.name for path in written.iterdir()} == {"demo.png", "report.html", "summary.json", "curves.json", "runs"}
    assert (written / "demo.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    report = (written / "report.html").read_text()
    assert "What was learned" in report
    assert "which clip is better?" in report
    assert report.count("data:image/png;base64,") >= 6  # the picture for light and dark screens, clips moving and still
    assert "http" not in report.replace("http-equiv", "")


FROM_ANSWERS = ("feedback", "random-labels")
"""Arms that are paid only once their reward model is trusted: an iteration without pay counts no steps."""


def _learned_from(arm: str) -> tuple[list[int], ...]:
    """What an arm may say after each of the two iterations: steps it has learned from."""
    return ([0, 0], [0, STEPS // 2], [STEPS // 2, STEPS]) if arm in FROM_ANSWERS else ([STEPS // 2, STEPS],)


def test_all_arms_of_a_demo_took_the_steps_that_they_were_paid_for(written: Path) -> None:
    curves = json.loads((written / "curves.json").read_text())["arms"]
    assert len(curves) == 6
    for name, arm in curves.items():
        assert arm["steps"] in _learned_from(name.replace(" ", "-"))


def test_the_answers_of_a_demo_are_kept(written: Path) -> None:
    for name in FROM_ANSWERS:
        with Store.open(written / "runs" / name, create=False) as store:
            assert len(store.answers().answers) == ANSWERS
    names = {"feedback", "true", "constant-0.1", "constant+0.1", "constant+1", "random-labels"}
    assert {path.name for path in (written / "runs").iterdir()} == names
    for name in names:
        run = RunDirectory.open(written / "runs" / name)
        assert run.status.state == "finished"
        published = PublishedRun.open(run.path).newest()  # the agent can be watched, asked and coached
        assert published.about.steps in [steps[-1] for steps in _learned_from(name)]
