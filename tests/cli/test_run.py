"""``rlhf-games run``, ``resume``, ``teach`` and ``reproduce`` as a person types them."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from rlhf_games import workspace
from rlhf_games.cli import progress
from rlhf_games.cli.main import main
from rlhf_games.experiment.files import load_experiment
from rlhf_games.experiment.rundir import RunDirectory


def _tiny() -> ModuleType:
    """The tiny game of the tests of experiments."""
    path = Path(__file__).parents[1] / "experiment" / "tiny.py"
    spec = importlib.util.spec_from_file_location("tiny_of_cli_tests", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


TINY = _tiny()


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A workspace with the tiny game, and an experiment on it, in the current folder."""
    folder: Path = TINY.make_lab(tmp_path / "lab")
    monkeypatch.setenv(workspace.VARIABLE, str(folder))
    monkeypatch.chdir(folder)
    workspace.refresh()
    yield folder
    monkeypatch.undo()
    workspace.refresh()


def test_run_resume_and_reproduce(lab: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    shown = progress.RunProgress.__call__

    def interrupt(self: Any, seen: Any) -> None:
        shown(self, seen)
        os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(progress.RunProgress, "__call__", interrupt)
        assert main(["run", "--out", "first", *TINY.flags(TINY.SETTINGS)]) == 130
    assert "go on with: rlhf-games resume first" in capsys.readouterr().out
    run = RunDirectory.open(lab / "first")
    assert run.status.state == "stopped"
    assert len(run.metrics_path.read_text().splitlines()) == 1

    assert main(["resume", "first"]) == 0
    said = capsys.readouterr()
    assert "30 answers, 512 steps" in said.out
    assert "30/30 answers" in said.err
    assert json.loads((lab / "first" / "summary.json").read_text())["answers"] == 30

    assert main(["resume", "first"]) == 2
    assert "is finished" in capsys.readouterr().err
    assert main(["run", "--out", "first"]) == 2
    assert "already exists and is never overwritten" in capsys.readouterr().err

    assert main(["reproduce", "first", "--out", "second"]) == 0
    assert "numbers are the same" in capsys.readouterr().out
    (lab / "first" / "summary.json").write_text(json.dumps(json.loads((lab / "first" / "summary.json").read_text()) | {"answers": 31}))
    (lab / "first" / "status.json").write_text(json.dumps({"state": "finished"}))
    assert main(["reproduce", "first", "--out", "third"]) == 1
    assert "the first: summary.json: answers was 31, now 30" in capsys.readouterr().out


def test_teach_answers_what_a_run_asked(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changes = ["--set", "iterations=2", "--set", "reward.true=1", "--teacher", "human", "--no-window"]
    assert main(["run", "--out", "asked", *TINY.flags(TINY.SETTINGS), *changes]) == 0
    assert "0 answers" in capsys.readouterr().out
    assert main(["teach", "asked", "--teacher", "oracle", "--idle", "0.01", "--poll", "0.01"]) == 0
    assert "teacher-oracle gave 30 answers" in capsys.readouterr().out


def test_an_experiment_of_a_workspace_is_found_by_name(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = lab / "experiments" / "mine"
    folder.mkdir(parents=True)
    (folder / "experiment.toml").write_text('name = "mine"\nsteps = 0\ngame.name = "probe/match"\nagent.name = "ppo"\n')
    workspace.refresh()
    assert main(["run", "mine"]) == 2
    assert f"{folder / 'experiment.toml'}: steps: must be at least 1, got 0" in capsys.readouterr().err
    assert main(["run", "mien"]) == 2
    assert "did you mean 'mine'?" in capsys.readouterr().err


def test_without_a_name_the_nearest_workspace_says_what_is_played(lab: Path) -> None:
    assert load_experiment("", ["steps=7"]).game.name in {card.name for card in workspace.cards()}
    folder = lab / "experiments" / "default"
    folder.mkdir(parents=True)
    (folder / "experiment.toml").write_text('game.name = "probe/timed"\nagent.name = "mine"\n')
    workspace.refresh()
    found = load_experiment("", ["steps=7"])
    assert (found.game.name, found.agent.name, found.steps) == ("probe/timed", "mine", 7)
