"""Going back to an earlier checkpoint: nothing of what came after it is learned, and nothing is asked in vain."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlhf_games.experiment.build import Bench
from rlhf_games.experiment.loop import FeedbackLoop
from rlhf_games.experiment.metrics import read_metrics
from rlhf_games.experiment.reproduce import compare
from rlhf_games.experiment.rundir import RunDirectory
from rlhf_games.experiment.runner import Interruption, create_run, execute
from rlhf_games.experiment.spec import Experiment
from rlhf_games.feedback.answers import Preference
from rlhf_games.feedback.store import AnswerDraft, Store

from .tiny import tiny

Until = Callable[..., Any]


def learning() -> Experiment:
    """Answers change what is asked next: the strategy asks the model, and the model moves at once."""
    return tiny(feedback__query__strategy="disagreement", model__fit__learning_rate=0.03, model__trust=0.0, feedback__budget=120)


def outcome(run: RunDirectory) -> tuple[Any, ...]:
    """Metrics and summary, without times."""
    lines = [
        {name: value for name, value in line.items() if not name.startswith(("seconds", "time"))} for line in read_metrics(run.metrics_path)
    ]
    return lines, (run.summary or {}) | {"seconds": 0}


@pytest.fixture(scope="module")
def straight(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """Never interrupted."""
    made = create_run(learning(), tmp_path_factory.mktemp("straight") / "run")
    execute(made, lambda progress: None, Interruption(lambda text: None), bench)
    return RunDirectory.open(made.path)


@pytest.mark.parametrize(("stop", "back"), [(3, 1), (3, 2)])
def test_going_back_learns_nothing_of_what_came_later(until: Until, straight: RunDirectory, tmp_path: Path, stop: int, back: int) -> None:
    run = create_run(learning(), tmp_path / "run")
    until(run, stop)
    assert until(run, back_to=back) is not None
    assert outcome(RunDirectory.open(run.path)) == outcome(straight)
    assert compare(straight, RunDirectory.open(run.path)).differences == ()


class Killed(BaseException):
    """Like a kill: nobody handles it."""


def test_going_back_after_a_kill_between_questions_and_answers(
    until: Until, straight: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = create_run(learning(), tmp_path / "run")
    until(run, 3)

    def killed(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(FeedbackLoop, "_learn_from_answers", killed)
        with pytest.raises(Killed):
            until(run)
    assert open_iterations(run) == {3}
    assert until(RunDirectory.open(run.path), back_to=1) is not None
    assert outcome(RunDirectory.open(run.path)) == outcome(straight)


def open_iterations(run: RunDirectory) -> set[int]:
    """In which the questions were asked that nobody has answered."""
    with Store.open(run.path, create=False) as store:
        return {query.iteration for query in store.queries(store.query_ids(still_wanted=True))}


def test_going_back_and_asking_something_else(until: Until, straight: RunDirectory, tmp_path: Path) -> None:
    """A person's answer to an early question changes what is asked later: the later answers stand in the store and teach nothing."""
    run = create_run(learning(), tmp_path / "run")
    until(run, 3)
    with Store.open(run.path, create=False) as store:
        first = [query.id for query in store.queries(store.query_ids()) if query.iteration == 0]
        for query in first:
            store.post_answers([AnswerDraft("ann", Preference("left"), 1.0, 2.0, f"more {query}", query_id=query)])
        before = store.history()
    summary = until(run, back_to=1)
    with Store.open(run.path, create=False) as store:
        queries = store.queries(store.query_ids())
        assert store.history()[: len(before)] == before
    again = [query.key for query in queries if query.key is not None and query.key.endswith("@1")]
    assert len(again) > 10, "other questions than those that were asked before"
    assert {key.split("/")[1] for key in again} <= {"1", "2"}
    assert len(queries) == 120 + len(again)
    assert summary["answers"] == 120 + len(first), "of 120 questions, the first of which were answered twice"


def test_runs_of_before_units_go_on_in_points(make_loop: Callable[..., FeedbackLoop]) -> None:
    """Revision cd37529 knew no ``reward.true_unit``, and its checkpoints no ``scored``."""
    experiment = tiny(feedback__budget=0, reward={"learned": 0.0, "true": 1.0})
    loop, older = make_loop(experiment), make_loop(experiment, "older")
    assert loop.step() is not None
    state, extra = loop.checkpoint()
    assert extra["true_unit"] == "typical"
    older.restore(state, {name: value for name, value in extra.items() if name not in ("scored", "true_unit")})
    assert not older._reward().typical
    assert older.step() is not None
    state, extra = older.checkpoint()
    loop.restore(state, extra)
    assert not loop._reward().typical, "the next checkpoint says it"
