"""Scripted teachers who rank and rate: worked examples, and how often they err, skip and tie."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binomtest

from rlhf_games.feedback.answers import Ranking, Rating
from rlhf_games.feedback.store import QueryDraft, Store
from rlhf_games.feedback.teachers import PRESETS, Teacher, TeacherConfig, Thresholds, query_rng, rank, rate
from rlhf_games.replay.clip import Clip, Segment

from .conftest import make_replay

NONE = Thresholds()
ORACLE = PRESETS["oracle"]


def order(returns: Sequence[float], config: TeacherConfig = ORACLE, limits: Thresholds = NONE, query: int = 0) -> tuple[int, ...]:
    return rank([np.array([value]) for value in returns], limits, config, query_rng(config.seed, query))


def stars(value: float, known: Sequence[float], config: TeacherConfig = ORACLE, limits: Thresholds = NONE, query: int = 0) -> int | None:
    return rate(np.array([value]), np.array(known), limits, config, query_rng(config.seed, query))


def consistent(count: int, trials: int, probability: float) -> bool:
    """Whether a count is what the probability allows: wrong once in a hundred thousand (the seeds are fixed anyway)."""
    return bool(binomtest(count, trials, probability).pvalue > 1e-5)


def test_the_oracle_orders_by_return() -> None:
    assert order([0.0, 3.0, 1.0]) == (2, 0, 1)
    assert order([1.0, 3.0, 1.0, 0.0]) == (1, 0, 1, 2), "exactly equal returns tie"
    assert order([2.0, 2.0, 2.0]) == (0, 0, 0)


def test_the_steps_of_a_pair_hold_for_more_clips() -> None:
    both = Thresholds(skip=1.0, equal=0.5)
    assert order([1.0, 0.9, 0.2], ORACLE, both) == (), "no clip is worth an answer"
    assert order([3.0, 1.0, 1.4, 0.2], ORACLE, both) == (0, 1, 1, 2), "neighbours closer than the threshold tie"
    assert order([2.0, 1.6, 1.2], ORACLE, both) == (0, 0, 0), "ties of neighbours go on"
    wrong = TeacherConfig(mistake=1.0)
    assert sorted(order([3.0, 2.0, 1.0], wrong)) == [0, 1, 2]
    assert order([3.0, 2.0, 1.0], wrong) != (0, 1, 2)
    early, late = np.array([1.0, 0, 0]), np.array([0, 0, 0.82])
    assert rank([early, late], NONE, PRESETS["myopic"], query_rng(0, 0)) == (1, 0)


@pytest.mark.parametrize("beta", [0.0, 1.0])
def test_noisy_rankings_are_plackett_luce(beta: float) -> None:
    returns, trials = [1.0, 0.0, -0.5], 3_000
    config = TeacherConfig(beta=beta, seed=3)
    found = Counter(order(returns, config, query=query) for query in range(trials))
    for best_first in permutations(range(3)):
        strength = [math.exp(beta * returns[place]) for place in best_first]
        chance = strength[0] / sum(strength) * strength[1] / sum(strength[1:])
        ranks = tuple(best_first.index(place) for place in range(3))
        assert consistent(found[ranks], trials, chance)


@pytest.mark.parametrize("rate_of_mistakes", [0.0, 0.1, 0.5])
def test_mistakes_exchange_two_clips_at_their_rate(rate_of_mistakes: float) -> None:
    config, trials = TeacherConfig(mistake=rate_of_mistakes, seed=5), 3_000
    found = Counter(order([3.0, 2.0, 1.0], config, query=query) for query in range(trials))
    assert consistent(found[0, 1, 2], trials, 1.0 - rate_of_mistakes)
    for exchanged in ((1, 0, 2), (0, 2, 1), (2, 1, 0)):
        assert consistent(found[exchanged], trials, rate_of_mistakes / 3)


def test_stars_are_fifths_of_what_was_shown() -> None:
    known = list(range(10))
    assert [stars(value, known) for value in known] == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert stars(7.0, [7.0] * 9) == 3, "where all are worth the same, all are in the middle"
    assert [stars(value, [0.0] * 8 + [1.0, 2.0]) for value in (0.0, 1.0, 2.0)] == [3, 5, 5]
    assert stars(1.0, known, limits=Thresholds(skip=1.0)) is None


@pytest.mark.parametrize("value", [0.0, 4.0, 9.0])
def test_mistakes_are_a_star_off_at_their_rate(value: float) -> None:
    config, known, trials = TeacherConfig(mistake=0.3, seed=6), list(range(10)), 2_000
    right = stars(value, known)
    assert right is not None
    found = Counter(stars(value, known, config, query=query) for query in range(trials))
    near = {right - 1, right + 1} & set(range(1, 6))
    assert set(found) == {right} | near
    assert consistent(found[right], trials, 0.7)
    for other in near:
        assert consistent(found[other], trials, 0.3 / len(near))


def test_noise_moves_a_return_between_the_fifths() -> None:
    known, trials = list(np.linspace(-5.0, 5.0, 101)), 4_000
    found = Counter(stars(0.0, known, TeacherConfig(beta=2.0, seed=7), query=query) for query in range(trials))
    # the middle fifth reaches to ±1 (ten of the hundred steps to either side), a half more with the clip that lies on it
    middle = 2.0 / (1.0 + math.exp(-2.0)) - 1.0
    assert found[3] / trials == pytest.approx(middle, abs=0.04)
    even = Counter(stars(0.0, known, TeacherConfig(beta=0.0, seed=8), query=query) for query in range(trials))
    assert all(consistent(even[star], trials, 0.2) for star in range(1, 6)), "without rationality all stars are alike"


class Session:
    """Posts questions about clips whose true rewards are known."""

    def __init__(self, store: Store) -> None:
        self.store, self.next = store, 0
        (self.replay_id,) = store.add_replays([make_replay(0, 5_000)])
        self.rewards = np.random.default_rng(0).normal(1.0, 1.0, 5_000)

    def rewards_of(self, clips: Sequence[Clip]) -> list[NDArray[Any]]:
        return [self.rewards[clip.segments[0].start : clip.segments[0].stop] for clip in clips]

    def post(self, kind: str, count: int, clips: int, iteration: int = 0) -> list[int]:
        drafts = []
        for _ in range(count):
            starts = range(self.next, self.next + 10 * clips, 10)
            self.next += 10 * clips
            drafts.append(QueryDraft(kind, tuple(Clip((Segment(self.replay_id, start, 10),)) for start in starts), iteration=iteration))
        return self.store.post_queries(drafts, np.random.default_rng(1))

    def answers(self, config: TeacherConfig, batch: int) -> dict[int | None, Any]:
        teacher = Teacher(self.store, config, self.rewards_of, "t")
        while teacher.answer_pending(batch):
            pass
        return {answer.query_id: answer.value for answer in self.store.answers().answers}


def test_rankings_are_answered_as_shown(sqlite_store: Store) -> None:
    session = Session(sqlite_store)
    ids = session.post("ranking", 20, 4)
    given = session.answers(ORACLE, 7)
    for query in sqlite_store.queries(ids):
        totals = [float(rewards.sum()) for rewards in session.rewards_of(query.shown)]
        assert given[query.id] == Ranking(tuple(int(place) for place in np.argsort(np.argsort(-np.array(totals)))))


@pytest.mark.parametrize("batch", [3, 64])
def test_stars_depend_on_what_was_shown_and_not_on_batches(sqlite_store: Store, batch: int) -> None:
    session = Session(sqlite_store)
    early = session.post("rating", 20, 1)
    given = session.answers(ORACLE, batch)
    late = session.post("rating", 20, 1, iteration=1)
    given |= session.answers(ORACLE, batch)
    totals = {query.id: float(session.rewards_of(query.clips)[0].sum()) for query in sqlite_store.queries([*early, *late])}
    for ids, known in ((early, early), (late, [*early, *late])):
        everything = np.array([totals[query] for query in known])
        for query in ids:
            below = np.mean(everything < totals[query])
            assert given[query] == Rating(min(5, 1 + int(5 * (below + 0.5 / len(everything)))))
