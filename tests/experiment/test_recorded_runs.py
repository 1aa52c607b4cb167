"""A run is repeated from what was answered in it, without those who answered."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlhf_games.core.errors import UserError
from rlhf_games.experiment.evaluating import evaluated
from rlhf_games.experiment.loop import FeedbackLoop
from rlhf_games.experiment.runner import summarise
from rlhf_games.feedback.recorded import RecordedTeacher

from .tiny import same, tiny

MakeLoop = Callable[..., FeedbackLoop]


def run(loop: FeedbackLoop) -> FeedbackLoop:
    assert loop.run(lambda progress: None)
    return loop


def recorded(loop: FeedbackLoop) -> RecordedTeacher:
    assert isinstance(loop.teacher, RecordedTeacher)
    return loop.teacher


@pytest.mark.parametrize("strategy", ["uniform", "disagreement"])
def test_a_scripted_run_replayed_from_its_record_reaches_identical_parameters(make_loop: MakeLoop, tmp_path: Path, strategy: str) -> None:
    settings: dict[str, Any] = {"feedback__query__strategy": strategy, "model__trust": 0.0}
    noisy = run(make_loop(tiny(feedback__teacher="mistake", feedback__teacher_settings={"mistake": 0.4}, **settings), "noisy"))
    teacher = f"recorded:{tmp_path / 'noisy.sqlite'}"
    again = run(make_loop(tiny(name="again", feedback__teacher=teacher, **settings), "again"))
    assert (recorded(again).matched, recorded(again).unmatched) == (30, 0)
    same(again.state, noisy.state)
    assert [label.kind for label in again.labels.labels] == [label.kind for label in noisy.labels.labels]
    honest = run(make_loop(tiny(**settings), "honest"))
    with pytest.raises(AssertionError):
        same(honest.state, noisy.state)


def test_questions_without_a_recorded_answer_are_not_waited_for(make_loop: MakeLoop, tmp_path: Path) -> None:
    run(make_loop(tiny(), "first"))
    other, silent = make_loop(tiny(seed=4, feedback__teacher=f"recorded:{tmp_path / 'first.sqlite'}"), "other"), list[float]()
    assert other.run(lambda progress: silent.append(progress.metrics["unmatched"]))
    assert silent == sorted(silent), "said while the run goes on"
    assert (silent[0] > 0, silent[-1]) == (True, 30)
    summary = summarise(other, evaluated(other.trainer, other.state.learner, other.experiment))
    assert (summary["recorded_matched"], summary["recorded_unmatched"], summary["answers"]) == (0, 30, 0)
    assert len(other.store.query_ids(still_wanted=True)) == 30, "people may answer them still"


def test_a_run_that_is_not_there(make_loop: MakeLoop, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere"):
        make_loop(tiny(feedback__teacher=f"recorded:{tmp_path / 'nowhere'}"))
