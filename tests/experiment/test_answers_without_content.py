"""Answers that say nothing about the clips are never paid for, whatever their kind."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from rlhf_games.experiment.loop import FeedbackLoop
from rlhf_games.feedback.answers import AnswerValue, Preference, Ranking, Rating
from rlhf_games.feedback.store import AnswerDraft, Query, Store

from .tiny import tiny

MakeLoop = Callable[..., FeedbackLoop]


class Monotonous:
    """Says the same of everything."""

    def __init__(self, store: Store, say: Callable[[Query], AnswerValue]) -> None:
        self._store, self._say = store, say

    def answer_pending(self, count: int) -> int:
        queries = self._store.lease_many("bored", count)
        self._store.post_answers(
            [AnswerDraft("bored", self._say(query), 1.0, 2.0, str(uuid.uuid4()), query_id=query.id) for query in queries]
        )
        return len(queries)


@pytest.mark.parametrize(
    ("kind", "say"),
    [
        ("preference", lambda query: Preference("equal")),
        ("ranking", lambda query: Ranking((0,) * len(query.clips))),
        ("rating", lambda query: Rating(3)),
        ("rating", lambda query: Rating(5)),
    ],
    ids=["all-equal", "all-tied", "all-three-stars", "all-five-stars"],
)
def test_the_same_answer_to_everything_is_never_trusted(make_loop: MakeLoop, kind: str, say: Callable[[Query], Any]) -> None:
    loop = make_loop(tiny(feedback__kind=kind, feedback__budget=60), "monotonous")
    loop.teacher = Monotonous(loop.store, say)  # type: ignore[assignment]
    seen: list[tuple[float, float]] = []

    def watch(progress: Any) -> None:
        metrics = progress.metrics
        seen.append((metrics["reward_model/trusted"], metrics["answers"]))
        assert metrics.get("reward/std", 0.0) == 0.0

    loop.run(watch)
    assert seen
    assert [trusted for trusted, _ in seen] == [0.0] * len(seen)
    assert seen[-1][1] == 60.0
