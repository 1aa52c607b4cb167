"""``feedback.wanted``: several annotators answer each question, are waited for, and each teaches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from rlhf_games.core.errors import UserError
from rlhf_games.experiment.loop import FeedbackLoop
from rlhf_games.feedback.answers import Preference

from .tiny import tiny

MakeLoop = Callable[..., FeedbackLoop]


def test_scripted_teachers_answer_every_question_as_often_as_wanted(make_loop: MakeLoop) -> None:
    loop = make_loop(
        tiny(feedback__wanted=3, feedback__budget=20, feedback__teacher="mistake", feedback__teacher_settings={"mistake": 0.5})
    )
    seen: list[float] = []
    assert loop.run(lambda progress: seen.append(progress.metrics["answers"]))
    assert seen == (3 * np.cumsum(loop.quotas)).tolist(), "each iteration waits for all answers to its questions"
    assert seen[-1] == loop.experiment.feedback.answers == 60
    answers = loop.store.answers().answers
    assert Counter(answer.annotator for answer in answers) == dict.fromkeys(
        ["teacher:mistake", "teacher:mistake-2", "teacher:mistake-3"], 20
    )
    assert set(Counter(answer.query_id for answer in answers).values()) == {3}
    assert loop.store.query_ids(still_wanted=True) == []
    said = {name: [a.value for a in answers if a.annotator == name] for name in ("teacher:mistake", "teacher:mistake-2")}
    assert said["teacher:mistake"] != said["teacher:mistake-2"], "each errs in its own way"
    sides: dict[int, set[bool]] = {}
    for label, held in zip(loop.data.labels, loop.data.holdout, strict=True):
        sides.setdefault(label.query_id, set()).add(bool(held))
    assert all(len(side) == 1 for side in sides.values()), "answers to one question are all trained on, or all held out"


def test_mode_wait_waits_for_every_annotator(make_loop: MakeLoop) -> None:
    loop = make_loop(tiny(feedback__wanted=2, feedback__teacher="human", feedback__budget=4, feedback__initial=1.0, model__trust=0.0))

    def answer(annotator: str, count: int) -> int:
        queries = loop.store.lease_many(annotator, count)
        for query in queries:
            loop.store.answer(query.id, annotator, Preference("left"), 1.0, 2.0, f"{annotator}-{query.id}")
        return len(queries)

    given: list[tuple[int, int]] = []

    def meanwhile() -> bool:
        """What happens each time that the loop finds too few answers."""
        given.append((loop.labels.answered, len(loop.store.query_ids(still_wanted=True))))
        match len(given):
            case 1:
                assert (answer("ann", 9), answer("ann", 9)) == (4, 0), "nobody is asked the same twice"
            case 2:
                assert (answer("bob", 3), answer("eve", 9)) == (3, 1)
        return len(given) > 3

    metrics = loop.step(meanwhile)
    assert given == [(0, 4), (4, 4)], "four answers are not enough: two are wanted of each of the four questions"
    assert metrics is not None
    assert (metrics["answers"], metrics["labels"]) == (8, 8)


def test_it_is_one_at_least() -> None:
    with pytest.raises(UserError, match=r"feedback\.wanted: must be at least 1, got 0"):
        tiny(feedback__wanted=0)
