"""Runs that share a store: each has its own questions, waits for its own answers, and can be found again."""

from __future__ import annotations

import dataclasses
import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlhf_games.core.errors import UserError
from rlhf_games.experiment.build import Bench
from rlhf_games.experiment.loop import FeedbackLoop, Progress
from rlhf_games.experiment.metrics import read_metrics
from rlhf_games.experiment.reproduce import compare, reproduce
from rlhf_games.experiment.rundir import RunDirectory
from rlhf_games.experiment.runner import Interruption, create_run, execute
from rlhf_games.feedback.answers import Demonstration, Preference
from rlhf_games.feedback.store import AnswerDraft, Store

from ..feedback.conftest import KINDS, target  # noqa: F401, TID252 - a fixture; tests are no package
from .tiny import tiny

MakeLoop = Callable[..., FeedbackLoop]


def nobody(progress: Progress) -> None:
    """Watches nothing."""


def go(run: RunDirectory, bench: Bench, stop: int = 1_000) -> Any:
    interruption = Interruption(lambda text: None)

    def watch(progress: Progress) -> None:
        interruption.asked = progress.iteration >= stop

    return execute(run, watch, interruption, bench)


def say(store: Store, query: int, who: str) -> None:
    store.post_answers([AnswerDraft(who, Preference("left"), 1.0, 2.0, uuid.uuid4().hex, query_id=query)])


def test_waiting_is_for_every_question_and_not_for_so_many_answers(make_loop: MakeLoop) -> None:
    loop = make_loop(tiny(feedback__teacher="human", model__trust=0.0))
    waited: list[int] = []

    def people_answer() -> bool:
        asked = loop.store.query_ids()
        if not waited:
            for query in asked[:-1]:
                say(loop.store, query, "ann")
            say(loop.store, asked[0], "bob")  # as where a lease ran out: as many answers as questions, and one question open
        else:
            say(loop.store, asked[-1], "ann")
        waited.append(loop.labels.answered)
        return False

    metrics = loop.step(people_answer)
    assert metrics is not None
    assert waited == [0, loop.quotas[0]], "it waited on for the last question"
    assert (metrics["answers"], loop.iteration) == (loop.quotas[0] + 1, 1)


@pytest.mark.parametrize("teacher", ["oracle", "recorded"])
def test_a_teacher_leaves_the_questions_of_other_runs_alone(make_loop: MakeLoop, tmp_path: Path, teacher: str) -> None:
    assert make_loop(tiny(), "said").run(nobody)
    source = f"recorded:{tmp_path / 'said.sqlite'}" if teacher == "recorded" else teacher
    person = make_loop(tiny(name="people", feedback__teacher="human"), "shared")
    assert person.step(lambda: True) is None
    theirs = person.store.query_ids()
    scripted = make_loop(tiny(name="script", feedback__teacher=source), "shared")
    assert scripted.run(nobody)
    assert scripted.labels.answered == 30
    assert person.store.query_ids(session="people", still_wanted=True) == theirs, "these were put to people"
    assert person.store.query_ids(session="script", still_wanted=True) == []


def test_an_agent_that_is_not_paid_makes_no_steps_and_its_schedules_stand_still(make_loop: MakeLoop, tmp_path: Path, bench: Bench) -> None:
    loop = make_loop(tiny(model__trust=100.0))
    taught: list[tuple[float, float]] = []

    class Noting:
        def __getattr__(self, name: str) -> Any:
            return getattr(bench.trainer, name)

        def train(self, learner: Any, reward: Any, *, updates: int, begin: float, end: float) -> Any:
            taught.append((begin, end))
            return bench.trainer.train(learner, reward, updates=updates, begin=begin, end=end)

    loop.trainer = Noting()  # type: ignore[assignment]
    steps = []
    for trust in (100.0, 100.0, 0.0, 0.0):  # two of four iterations are not paid
        loop.experiment = tiny(model__trust=trust)
        assert loop.step() is not None
        steps.append(loop.steps)
    assert taught == [(0.0, 0.5), (0.5, 1.0)]
    assert steps == [0, 0, 128, 256], "128 steps an iteration"


def test_reports_of_unpaid_iterations_survive_a_resumption(bench: Bench, tmp_path: Path) -> None:
    run = create_run(tiny(model__trust=100.0), tmp_path / "run")
    assert go(run, bench, 2) is None
    summary = go(run, bench)
    assert [line["step"] for line in read_metrics(run.metrics_path)] == [0, 0, 0, 0], "four reports, none twice"
    assert summary["steps"] == 0


def test_k_centre_keeps_away_from_what_was_asked_before(make_loop: MakeLoop) -> None:
    experiment = tiny(feedback__query__strategy="k_centre", feedback__query__control_share=0.0)
    loop = make_loop(experiment)
    seen: list[Any] = []
    scores = loop.asker._scores

    def noting(*arguments: Any) -> Any:
        seen.append(scores(*arguments))
        return seen[-1]

    loop.asker._scores = noting  # type: ignore[method-assign]
    assert loop.run(nobody)
    assert seen[0].asked_features is None
    assert [len(found.asked_features) for found in seen[1:]] == list(np.cumsum(loop.quotas)[:-1])
    resumed = make_loop(experiment, resumed=True)  # the same store: what was asked is read again
    resumed.asker.restore({"playing": [], "finished": []}, 3)
    np.testing.assert_array_equal(resumed.asker._asked_means(), loop.asker._asked_means()[: sum(loop.quotas[:3])])  # type: ignore[index]


def test_nobody_waits_for_answers_that_a_recording_does_not_hold(make_loop: MakeLoop, tmp_path: Path) -> None:
    """A question wants two answers: one was given there, or one of two was taken back."""
    assert make_loop(tiny(), "one").run(nobody)
    two = make_loop(tiny(feedback__wanted=2), "two")
    assert two.run(nobody)
    last = two.store.answers().answers[-1]
    two.store.retract(last.id, last.annotator)
    for name, answers in (("one", 30), ("two", 59)):
        polls: list[None] = []
        again = make_loop(tiny(feedback__wanted=2, feedback__teacher=f"recorded:{tmp_path / name}.sqlite"), f"again-{name}")
        assert again.run(nobody, lambda seen=polls: len(seen) > 50 or seen.append(None)), "it waits for ever"  # type: ignore[misc]
        assert again.labels.answered == answers
        assert again.teacher.unmatched == 0  # type: ignore[union-attr]


@pytest.mark.parametrize("target", KINDS, indirect=True)
def test_two_runs_of_one_experiment_share_a_store(bench: Bench, tmp_path: Path, target: str) -> None:  # noqa: F811
    alone = create_run(tiny(), tmp_path / "alone")
    expected = go(alone, bench)
    first, second = (create_run(tiny(), tmp_path / name, store=target) for name in ("first", "second"))
    assert go(first, bench, 2) is None
    go(second, bench)
    summary = go(RunDirectory.open(first.path), bench)
    assert summary["answers"] == 30, "its own, after a resumption too"
    assert not (first.path / "store.sqlite").exists()
    with Store.open(target, create=False) as everything, Store.open(first.path, create=False) as mine:
        assert (len(everything.query_ids()), len(mine.query_ids())) == (60, 30)
        assert (everything.progress().answered, mine.progress().answered, len(mine.history())) == (60, 30, 30)
        [session] = {query.session for query in mine.queries(mine.query_ids())}
    assert session.startswith("tiny-")
    assert expected["answers"] == 30


def test_what_a_person_shows_a_run_is_for_that_run(bench: Bench, tmp_path: Path) -> None:
    runs = [create_run(tiny(), tmp_path / name, store=str(tmp_path / "shared.sqlite")) for name in ("first", "second")]
    for run in runs:
        go(run, bench, 1)
    with Store.open(runs[0].path) as store:
        [replay, *_] = store.replay_ids()
        store.post_answers([AnswerDraft("ann", Demonstration(8), 1.0, 2.0, "shown", replay_id=replay, step=0)])
        store.post_answers([AnswerDraft("ann", Demonstration(8), 1.0, 2.0, "played", episode="e", step=0)])
        played = dataclasses.replace(store.replay(replay), policy="", seed=123_456)
        store.grow_episode("e", played)
    found = []
    for run in runs:
        with Store.open(run.path) as store:
            found.append((len(store.answers(kinds=["demonstration"]).answers), played.id in store.replay_ids()))
            policies = {store.replay(replay_id).policy for replay_id in store.replay_ids() if replay_id != played.id}
            assert policies == {f"{store.session}/0"}, "its own policy's episodes"
    assert found == [(2, True), (0, False)]


def test_passwords_are_written_nowhere(tmp_path: Path) -> None:
    url = "postgresql://ann:s3cr%40t@db.example/games?sslmode=require&password=s3cr%40t"
    run = create_run(tiny(feedback__teacher=f"recorded:{url}"), tmp_path / "run", store=url)
    text = "".join(path.read_text() for path in run.path.glob("*.json"))
    assert "s3cr" not in text
    assert json.loads((run.path / "store.json").read_text())["store"] == "postgresql://ann@db.example/games?sslmode=require"
    assert run.config["feedback"]["teacher"] == "recorded:postgresql://ann@db.example/games?sslmode=require"


def test_a_repetition_compares_the_answers_too(bench: Bench, tmp_path: Path, in_lab: Path) -> None:
    run = create_run(tiny(), tmp_path / "run")
    go(run, bench)
    again = create_run(tiny(), tmp_path / "again")
    go(again, bench)
    same = compare(run, again)
    assert same.differences == ()
    with Store.open(again.path) as store:
        last = store.answers().answers[-1]
        store.retract(last.id, last.annotator)
        say(store, last.query_id or 0, last.annotator)
    other = compare(run, again)
    assert other.differences == ("store, answer 30: taken back was False, now True", "store: 30 answers before, 31 now")
    assert other.numbers == same.numbers
    assert same.numbers > 30 * 6


def test_a_run_whose_chance_hung_on_others_is_not_repeated(bench: Bench, tmp_path: Path) -> None:
    runs = [create_run(tiny(), tmp_path / name, store=str(tmp_path / "shared.sqlite")) for name in ("first", "second")]
    for run in runs:
        go(run, bench)
    with pytest.raises(UserError, match="shared its store"):
        reproduce(runs[1], tmp_path / "again", nobody, Interruption(print))
    assert not (tmp_path / "again").exists()
