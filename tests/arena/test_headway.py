"""How far a run is: looked up beside the window, while a learner and people add to it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlhf_games.arena.headway import Headway
from rlhf_games.arena.runs import Learning, Target
from rlhf_games.feedback.answers import Preference
from rlhf_games.feedback.store import AnswerDraft, Store

from .conftest import Inline, Manual, Time


def answer(store: Store, query: int) -> None:
    now = time.time()
    store.post_answers([AnswerDraft("bob", Preference("left"), now, now, f"u{query}", query_id=query)])


def test_answers_and_the_score_are_followed(store: Store, ask: Callable[..., list[int]], tmp_path: Path, clock: Time) -> None:
    ids = ask(3)
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_text('{"step": 10, "true_return": 1.0}\n')
    headway = Headway(Target(store.name, tmp_path, budget=9), Inline(), clock)
    assert (headway.words, headway.learning) == ("", None)
    for _ in range(2):
        headway.tick()
    assert headway.words == "0 answered · 9 left · 0/min"
    answer(store, ids[0])
    with metrics.open("a") as file:
        file.write('{"step": 20, "true_return": 2.5}\n')
    headway.tick()
    assert headway.words.startswith("0 answered"), "it looks every two seconds"
    clock.now += 2.0
    for _ in range(2):
        headway.tick()
    assert headway.words == "1 answered · 8 left · 1/min"
    assert headway.learning == Learning(20, (1.0, 2.5), 1.0)
    headway.close()
    headway.close()
    headway.tick()


def test_without_a_run_it_says_what_is_open(store: Store, ask: Callable[..., list[int]], clock: Time) -> None:
    ask(3)
    headway = Headway(Target(store.name), Inline(), clock)
    for _ in range(2):
        headway.tick()
    assert headway.words == "0 answered · 3 open · 0/min"
    assert headway.learning is None
    headway.close()


def test_a_store_that_cannot_be_read_is_somebody_elses_problem(tmp_path: Path, clock: Time) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 10, "true_return": 1.0}\n')
    headway = Headway(Target(str(tmp_path / "nothing.sqlite"), tmp_path), Inline(), clock)
    for _ in range(2):
        headway.tick()
    assert headway.words == ""
    assert headway.learning is not None
    headway.close()


def test_nobody_waits_for_it(store: Store, clock: Time) -> None:
    worker = Manual()
    headway = Headway(Target(store.name), worker, clock)
    for _ in range(5):
        clock.now += 10.0
        headway.tick()
    assert len(worker.queue) == 1, "one look at a time"
    headway.close()


@pytest.mark.parametrize(
    ("scores", "before", "words", "gain"),
    [
        ((4.82,), None, "4.82", ""),
        ((3.0, 4.82), 4.82, "4.82", ""),
        ((3.0, 4.82), 4.5, "4.82", "+0.32 since you came"),
        ((3.0, -21.0), -20.0, "−21", "−1 since you came"),
    ],
)
def test_what_was_learned_meanwhile_is_said(scores: Any, before: float | None, words: str, gain: str) -> None:
    learning = Learning(1, scores, before)
    assert learning.gain_words == gain
    assert learning.words == f"agent's score {words}"
