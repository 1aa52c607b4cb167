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
from rlhf_games.experiment.loop import Progress
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
        assert main(["run", "--out", "first", *TINY.flags(TINY.SETTINGS), "--set", "model.trust=0"]) == 130
    out = capsys.readouterr().out
    assert out.startswith("tiny (")
    assert "ppo plays probe/match, 512 steps, 30 answers from oracle; the run is first" in out
    assert "go on with: rlhf-games resume first" in out
    run = RunDirectory.open(lab / "first")
    assert run.status.state == "stopped"
    assert len(run.metrics_path.read_text().splitlines()) == 1

    assert main(["resume", "first"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("tiny (first/config.json)")
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
    assert main(["run", "experiments/mien"]) == 2
    assert "there is no experiment 'experiments/mien'; did you mean 'mine'?" in capsys.readouterr().err
    for file in ("mien.toml", "experiments/mien/experiment.toml"):
        assert main(["run", file]) == 2
        assert f"there is no file {file}; did you mean 'mine'?" in capsys.readouterr().err
    assert main(["run", "mine", "--set", "bugdet=9"]) == 2
    assert "--set bugdet=9: bugdet: there is no such setting; did you mean 'feedback.budget'?" in capsys.readouterr().err


def test_runs_of_one_second_get_folders_of_their_own(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.strftime", lambda form: "20260101-120000")
    quick = ["run", *TINY.flags(TINY.SETTINGS | {"iterations": 1, "steps": 64, "evaluation_episodes": 1})]
    assert main(quick) == main(quick) == 0
    assert sorted(path.name for path in (lab / "runs").iterdir()) == ["tiny-20260101-120000", "tiny-20260101-120000-2"]


def test_a_name_does_not_lead_out_of_the_folder_of_runs(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = TINY.flags(TINY.SETTINGS | {"name": "../../x"})
    assert main(["run", *flags]) == 2
    assert "name '../../x' cannot be the name of a folder: name the run's folder with --out" in capsys.readouterr().err
    assert not (lab / "runs").exists()


def test_what_is_no_experiment_is_named(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (lab / "experiments").mkdir()
    assert main(["run", "experiments"]) == 2
    assert "the folder experiments holds no experiment.toml" in capsys.readouterr().err
    (lab / "experiments" / "study.toml").write_text("")
    assert main(["run", "experiments"]) == 2
    assert "experiments is a study, not one experiment: rlhf-games study experiments/study.toml" in capsys.readouterr().err


def test_without_a_name_the_nearest_workspace_says_what_is_played(lab: Path) -> None:
    assert load_experiment("", ["steps=7"]).game.name in {card.name for card in workspace.cards()}
    folder = lab / "experiments" / "default"
    folder.mkdir(parents=True)
    (folder / "experiment.toml").write_text('game.name = "probe/timed"\nagent.name = "mine"\n')
    workspace.refresh()
    found = load_experiment("", ["steps=7"])
    assert (found.game.name, found.agent.name, found.steps) == ("probe/timed", "mine", 7)


def test_the_bar_says_how_good_the_reward_model_is(lab: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    known = {"true_return": float("nan"), "answers": 30.0}
    fitted = {"reward_model/accuracy": 0.875, "reward_model/holdout": 20.0, "reward_model/tie_share": 0.2, "reward_model/trusted": 0.0}
    for metrics, words in (
        (known, "30/30 answers"),
        (known | fitted, "30/30 answers · right on 88 % of 16 held-out comparisons · not trusted yet"),
        (known | fitted | {"reward_model/trusted": 1.0, "true_return": 0.5}, "score 0.50 · 30/30 answers · right on 88 % of 16 held-out"),
    ):
        with progress.run_progress(TINY.tiny()) as bar:
            bar(Progress(4, 512, metrics, 1.0))
        assert f"512 steps · {words}" in capsys.readouterr().err


def test_wandb_is_refused_before_anything_where_it_is_not_installed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if importlib.util.find_spec("wandb") is not None:
        pytest.skip("Weights & Biases is installed here")
    assert main(["run", "demo", "--wandb", "--out", str(tmp_path / "run")]) == 2
    assert capsys.readouterr().err.startswith("error: Weights & Biases is not installed: pip install 'rlhf-games[wandb]'")
    assert not (tmp_path / "run").exists()
