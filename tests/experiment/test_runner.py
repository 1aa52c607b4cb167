"""A run in its folder: metrics, checkpoints, stopping, going on, and doing it again."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlhf_games.core.errors import UserError
from rlhf_games.experiment.build import Bench
from rlhf_games.experiment.checkpoints import Checkpoints
from rlhf_games.experiment.loop import Progress
from rlhf_games.experiment.metrics import read_metrics
from rlhf_games.experiment.reproduce import compare, reproduce
from rlhf_games.experiment.rundir import RunDirectory
from rlhf_games.experiment.runner import Interruption, create_run, execute, experiment_of
from rlhf_games.feedback.store import Store
from rlhf_games.files import write_atomically
from rlhf_games.published.run import PublishedRun

from .tiny import same, tiny

Go = Callable[..., Any]


def nobody(progress: Progress) -> None:
    """Watches nothing."""


@pytest.fixture
def go(bench: Bench) -> Go:
    """Executes a run, stopping it after the iteration ``stop``."""

    def execute_until(run: RunDirectory, stop: int = 1_000, report: Callable[[Progress], None] = nobody) -> Any:
        interruption = Interruption(lambda text: None)

        def watch(progress: Progress) -> None:
            interruption.asked = progress.iteration >= stop
            report(progress)

        return execute(run, watch, interruption, bench)

    return execute_until


def numbers(run: RunDirectory) -> list[dict[str, Any]]:
    lines = read_metrics(run.metrics_path)
    return [{name: value for name, value in line.items() if name != "time" and not name.startswith("seconds/")} for line in lines]


def test_a_run_stopped_twice_ends_like_one_that_was_not(go: Go, tmp_path: Path) -> None:
    experiment = tiny(model__trust=0.0)
    whole, parts = create_run(experiment, tmp_path / "whole"), create_run(experiment, tmp_path / "parts")
    summary = go(whole)
    assert go(parts, 1) is None
    assert parts.status.state == "stopped"
    assert go(parts, 3) is None
    again = go(RunDirectory.open(parts.path))
    assert parts.status.state == "finished"
    assert numbers(parts) == numbers(whole)
    assert again | {"seconds": 0} == summary | {"seconds": 0}
    assert json.loads((parts.path / "summary.json").read_text()) == again
    assert [line["step"] for line in numbers(parts)] == [128, 256, 384, 512]


def test_a_run_that_failed_goes_on_from_its_last_checkpoint(go: Go, tmp_path: Path) -> None:
    whole, broken = create_run(tiny(), tmp_path / "whole"), create_run(tiny(), tmp_path / "broken")
    go(whole)

    def break_down(progress: Progress) -> None:
        if progress.iteration == 2:
            raise RuntimeError("no more disk")

    with pytest.raises(RuntimeError):
        go(broken, report=break_down)
    assert broken.status.state == "failed"
    assert "no more disk" in broken.status.reason
    go(broken)
    assert numbers(broken) == numbers(whole)


def test_what_was_written_after_the_last_checkpoint_is_not_there_twice(go: Go, tmp_path: Path) -> None:
    run = create_run(tiny(model__trust=0.0), tmp_path / "run")
    go(run, 2)
    with run.metrics_path.open("a") as file:  # killed between the metrics and the checkpoint of iteration 3, and in the middle of a line
        file.write('{"step": 384, "time": 1.0}\n{"step": 51')
    go(run)
    assert [line["step"] for line in numbers(run)] == [128, 256, 384, 512]


def test_killed_before_its_summary_a_run_only_evaluates(go: Go, tmp_path: Path) -> None:
    run = create_run(tiny(), tmp_path / "run")
    summary = go(run)
    (run.path / "summary.json").unlink()
    run.set_status("stopped", "as if killed")
    iterations: list[int] = []
    assert go(run, report=lambda progress: iterations.append(progress.iteration)) | {"seconds": 0} == summary | {"seconds": 0}
    assert iterations == []


def test_a_finished_run_and_a_run_at_work_are_refused(go: Go, tmp_path: Path) -> None:
    run = create_run(tiny(), tmp_path / "run")
    with run.lock(), pytest.raises(UserError, match="already learning in this run"):
        go(run)
    go(run)
    with pytest.raises(UserError, match="is finished"):
        go(run)


def test_ctrl_c_stops_after_the_iteration_and_a_second_one_at_once(bench: Bench, tmp_path: Path) -> None:
    run = create_run(tiny(), tmp_path / "run")
    said: list[str] = []
    interruption = Interruption(said.append)
    with interruption.listening():
        summary = execute(run, lambda progress: os.kill(os.getpid(), signal.SIGINT), interruption, bench)
    assert summary is None
    assert run.status.state == "stopped"
    assert len(numbers(run)) == 1
    assert len(said) == 1
    impatient = Interruption(said.append)

    def twice(progress: Progress) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)

    with impatient.listening(), pytest.raises(KeyboardInterrupt):
        execute(run, twice, impatient, bench)
    assert run.status.state == "stopped"


def test_a_store_of_another_run_is_refused(go: Go, tmp_path: Path) -> None:
    first, other = create_run(tiny(), tmp_path / "first"), create_run(tiny(seed=8), tmp_path / "other")
    go(other)
    go(first, 1)
    shutil.copy(other.path / "store.sqlite", first.path / "store.sqlite")
    with pytest.raises(UserError, match="holds other questions than the checkpoint was made of"):
        go(first)


def test_checkpoints_of_other_settings_and_damaged_ones_are_refused(go: Go, tmp_path: Path) -> None:
    run = create_run(tiny(), tmp_path / "run")
    go(run, 2)
    config = json.loads((run.path / "config.json").read_text())
    config["record"]["lanes"] = 7
    write_atomically(run.path / "config.json", json.dumps(config))
    with pytest.raises(UserError, match="settings that the run was started with"):
        go(RunDirectory.open(run.path))
    for path in (run.path / "checkpoints" / "2").rglob("*"):
        if path.is_file():
            path.write_bytes(b"")
    with pytest.raises(UserError, match=r"checkpoint 2 .* damaged"):
        go(RunDirectory.open(run.path))


def test_reproduce_says_same_or_names_the_first_difference(bench: Bench, go: Go, tmp_path: Path, in_lab: Path) -> None:
    run = create_run(tiny(model__trust=0.0), tmp_path / "run")
    with pytest.raises(UserError, match="is created, not finished"):
        reproduce(run, tmp_path / "early", nobody, Interruption(print))
    go(run)
    found = reproduce(run, tmp_path / "again", nobody, Interruption(print))
    assert found is not None
    assert found.differences == ()
    assert found.numbers > 4 * 20
    again = RunDirectory.open(tmp_path / "again")
    lines = again.metrics_path.read_text().splitlines()
    changed = json.loads(lines[2])
    changed["reward_model/train_loss"] += 1e-12
    again.metrics_path.write_text("\n".join([*lines[:2], json.dumps(changed)]) + "\n")
    (again.path / "summary.json").unlink()
    differences = compare(run, again).differences
    assert differences[0].startswith("metrics.jsonl, step 384: reward_model/train_loss was ")
    assert differences[1] == "metrics.jsonl: 4 lines before, 3 now"
    assert any(line.startswith("summary.json: return was ") for line in differences)


@pytest.mark.parametrize(("changes", "why"), [({"feedback__teacher": "human"}, "people"), ({"feedback__mode": "async"}, "mode 'async'")])
def test_what_cannot_come_out_the_same_is_not_repeated(tmp_path: Path, changes: dict[str, Any], why: str) -> None:
    run = create_run(tiny(**changes), tmp_path / "run")
    run.set_status("finished")
    with pytest.raises(UserError, match=why):
        reproduce(run, tmp_path / "again", nobody, Interruption(print))
    assert not (tmp_path / "again").exists()


def test_answers_of_the_run_are_in_its_store(go: Go, tmp_path: Path) -> None:
    experiment = tiny()
    run = create_run(experiment, tmp_path / "run")
    summary = go(run)
    with Store.open(run.path, create=False) as store:
        assert len(store.answers().answers) == summary["answers"] == experiment.feedback.budget
        assert {person.kind for person in store.annotators()} == {"teacher"}
    assert experiment_of(run) == experiment


def test_a_run_publishes_before_it_begins_and_after_each_iteration(go: Go, bench: Bench, in_lab: Path, tmp_path: Path) -> None:
    run = create_run(tiny(), tmp_path / "run")
    seen: list[int] = []

    def look(progress: Progress) -> None:
        seen.append(PublishedRun.open(run.path).newest().about.iteration)

    go(run, stop=2, report=look)
    assert seen == [1, 2]
    go(run, report=look)
    assert seen == [1, 2, 3, 4]
    last = PublishedRun.open(run.path).newest()
    loop = bench.loop(tiny(), tmp_path / "other.sqlite")
    with loop.store, Checkpoints(run.checkpoints_path, read_only=True) as checkpoints:
        state, _ = checkpoints.restore(4, loop.state)
    same(last.agent_params, loop.trainer.policy(state.learner))
    same(last.reward_params, state.model.params)
    assert last.about.policy == "tiny/4"


def test_progress_goes_into_a_log_file_too(go: Go, tmp_path: Path) -> None:
    run = create_run(tiny(model__trust=0.0), tmp_path / "run")
    go(run, stop=1)
    go(run)
    lines = [line.partition("  ")[2] for line in (run.path / "progress.log").read_text().splitlines()]
    said = [line.partition(" · ")[0] for line in lines]
    assert said == [
        "running",
        "iteration 1 of 4: 128 steps",
        "stopped: interrupted",
        "running",
        "iteration 2 of 4: 256 steps",
        "iteration 3 of 4: 384 steps",
        "iteration 4 of 4: 512 steps",
        "finished",
    ]
    assert "30/30 answers" in lines[-2]


def test_resuming_a_finished_run_of_an_older_version_publishes_it(go: Go, in_lab: Path, tmp_path: Path) -> None:
    run = create_run(tiny(), tmp_path / "run")
    summary = go(run)
    published = PublishedRun.open(run.path).newest()
    shutil.rmtree(run.path / "published")
    with pytest.raises(UserError, match="rlhf-games resume"):
        PublishedRun.open(run.path)
    assert go(run) == summary
    again = PublishedRun.open(run.path).newest()
    same(again.agent_params, published.agent_params)
    assert again.about.trusted == published.about.trusted
    assert run.status.state == "finished"
    with pytest.raises(UserError, match="is finished"):
        go(run)
