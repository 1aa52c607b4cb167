"""Scripted teachers: what they say to worked examples, and how often they err, skip and call pairs equal."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binomtest

from rlhf_games.core.errors import UserError
from rlhf_games.feedback.answers import Preference
from rlhf_games.feedback.labels import LabelReader
from rlhf_games.feedback.store import QueryDraft, Store
from rlhf_games.feedback.teachers import PRESETS, Teacher, TeacherConfig, Thresholds, decide, query_rng, thresholds
from rlhf_games.replay.clip import Clip, Segment

from .conftest import make_replay

NONE = Thresholds()
ORACLE = PRESETS["oracle"]


def say(left: Sequence[float], right: Sequence[float], config: TeacherConfig = ORACLE, limits: Thresholds = NONE, query: int = 0) -> str:
    return decide(np.array(left), np.array(right), limits, config, query_rng(config.seed, query))


def consistent(count: int, trials: int, probability: float) -> bool:
    """Whether a count is what the probability allows: wrong once in a hundred thousand (the seeds are fixed anyway)."""
    return bool(binomtest(count, trials, probability).pvalue > 1e-5)


def test_the_oracle_follows_the_sum_of_rewards() -> None:
    assert say([0, 1, 0], [0, 0, 0]) == "left"
    assert say([0, 1, 0], [1, 1, 0]) == "right"
    assert say([1, 0, 0], [0, 0, 1]) == "equal"
    assert say([1, 1], [1, 0, 0.5]) == "left", "clips may differ in length"
    assert say([0.1] * 10, [1.0]) == "equal", "sums are exactly rounded"
    assert say([0, 1], [0, 0], TeacherConfig(beta=math.inf)) == "left"


def test_a_myopic_teacher_weighs_later_steps_more() -> None:
    # Weights 0.81, 0.9, 1: early 1 against late 0.8.
    assert say([1, 0, 0], [0, 0, 0.8], PRESETS["myopic"]) == "left"
    assert say([1, 0, 0], [0, 0, 0.82], PRESETS["myopic"]) == "right"
    assert say([1, 0, 0], [0, 0, 0.82]) == "left"


def test_thresholds_by_hand() -> None:
    # Ten percent of what 25 steps bring where 500 steps bring 200.
    limits = thresholds(TeacherConfig(skip=0.1, equal=0.05), 200.0, 500.0, 25)
    assert limits == Thresholds(skip=1.0, equal=0.5)
    assert thresholds(TeacherConfig(skip=0.1, equal=0.1), -20.0, 100.0, 25) == Thresholds(skip=-0.5, equal=0.5)
    with pytest.raises(ValueError, match="recent_length"):
        thresholds(ORACLE, 1.0, 0.0, 25)


def test_order_of_the_steps() -> None:
    both = Thresholds(skip=1.0, equal=0.5)
    assert say([1.0], [0.9], ORACLE, both) == "unsure", "skip comes before equal; at the threshold it skips"
    assert say([1.01], [0.9], ORACLE, both) == "equal"
    assert say([1.5], [1.0], ORACLE, both) == "left", "equal only below its threshold"
    always_wrong = TeacherConfig(mistake=1.0)
    assert say([1.5], [1.0], always_wrong, both) == "right"
    assert say([1.4], [1.0], always_wrong, both) == "equal", "near-ties override mistakes"
    assert say([0.5], [0.2], always_wrong, both) == "unsure"
    # The near-tie is measured without gamma: equal sums, very different weighted sums.
    assert say([2, 0, 0], [0, 0, 2], PRESETS["myopic"], both) == "equal"
    assert say([-1.0], [-2.0], ORACLE, Thresholds(skip=-0.5)) == "left", "nothing is skipped where episodes bring less than nothing"


@pytest.mark.parametrize("margin", [-1.5, -0.3, 0.0, 0.7, 2.0])
@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0, 3.0])
def test_a_stochastic_teacher_errs_as_often_as_beta_says(beta: float, margin: float) -> None:
    config = TeacherConfig(beta=beta, seed=11)
    trials = 2_000
    left = sum(say([margin, 0], [0, 0], config, query=query) == "left" for query in range(trials))
    assert consistent(left, trials, 1 / (1 + math.exp(-beta * margin)))


def test_beta_acts_on_the_weighted_sums() -> None:
    config = TeacherConfig(beta=2.0, gamma=0.5, seed=4)
    trials = 4_000
    left = sum(say([1, 0, 0], [0, 0, 0.75], config, query=query) == "left" for query in range(trials))
    assert consistent(left, trials, 1 / (1 + math.exp(-2.0 * (0.25 - 0.75))))


def test_extreme_margins_do_not_overflow() -> None:
    config = TeacherConfig(beta=1e6)
    assert say([1e9], [0], config) == "left"
    assert say([-1e9], [0], config) == "right"


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.3, 1.0])
def test_mistakes_come_at_their_rate_on_either_side(rate: float) -> None:
    config = TeacherConfig(mistake=rate, seed=2)
    trials = 3_000
    for pair, right_answer in ([[1.0], [0.0]], "left"), ([[0.0], [1.0]], "right"):
        wrong = sum(say(pair[0], pair[1], config, query=query) != right_answer for query in range(trials))
        assert consistent(wrong, trials, rate)


def test_mistakes_and_beta_combine() -> None:
    config = TeacherConfig(beta=1.0, mistake=0.2, seed=8)
    trials = 4_000
    honest = 1 / (1 + math.exp(-1.0))
    left = sum(say([1], [0], config, query=query) == "left" for query in range(trials))
    assert consistent(left, trials, 0.8 * honest + 0.2 * (1 - honest))


def test_teachers_with_different_seeds_err_on_different_queries() -> None:
    wrong = [
        {query for query in range(2_000) if say([1], [0], TeacherConfig(mistake=0.3, seed=seed), query=query) == "right"} for seed in (1, 2)
    ]
    assert consistent(len(wrong[0] & wrong[1]), len(wrong[0]), 0.3)


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"beta": -1.0}, "beta"),
        ({"beta": math.nan}, "beta"),
        ({"gamma": 0.0}, "gamma"),
        ({"gamma": 1.1}, "gamma"),
        ({"mistake": 1.5}, "mistake"),
        ({"skip": -0.1}, "skip"),
        ({"equal": math.inf}, "equal"),
        ({"seed": -1}, "seed"),
    ],
)
def test_a_wrong_setting_is_named(fields: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=f"TeacherConfig.{name}"):
        TeacherConfig(**fields)


class Session:
    """Posts rounds of queries about clips whose true rewards are known, and knows them."""

    def __init__(self, store: Store, steps: int = 10) -> None:
        self.store, self.steps = store, steps
        self.rng = np.random.default_rng(0)
        (self.replay_id,) = store.add_replays([make_replay(0, 20_000)])
        self.next = 0
        self.rewards = self.rng.normal(1.0, 1.0, 20_000)

    def rewards_of(self, clips: Sequence[Clip]) -> list[NDArray[Any]]:
        return [self.rewards[clip.segments[0].start : clip.segments[0].stop] for clip in clips]

    def clip(self) -> Clip:
        self.next += self.steps
        return Clip((Segment(self.replay_id, self.next - self.steps, self.steps),))

    def post(self, count: int, recent_return: float | None = 1_000.0, recent_length: float | None = 1_000.0) -> list[int]:
        drafts = [
            QueryDraft("preference", (self.clip(), self.clip()), recent_return=recent_return, recent_length=recent_length)
            for _ in range(count)
        ]
        return self.store.post_queries(drafts, self.rng)

    def right_choices(self, ids: Sequence[int]) -> list[tuple[float, float]]:
        """True returns (left, right) of the clips as shown."""
        pairs = [self.rewards_of(query.shown) for query in self.store.queries(ids)]
        return [(math.fsum(left), math.fsum(right)) for left, right in pairs]


def answer_all(session: Session, config: TeacherConfig, ids: Sequence[int], batch: int = 64) -> list[str]:
    """The teacher's choices to these queries, in their order."""
    teacher = Teacher(session.store, config, session.rewards_of, "t")
    while teacher.answer_pending(batch):
        pass
    given = {answer.query_id: answer.value for answer in session.store.answers().answers}
    values = [given[query_id] for query_id in ids]
    return [value.choice for value in values if isinstance(value, Preference)]


def test_the_oracle_answers_through_the_store_as_shown(store: Store) -> None:
    session = Session(store)
    ids = session.post(120)
    choices = answer_all(session, ORACLE, ids)
    assert choices == ["left" if left > right else "right" for left, right in session.right_choices(ids)]
    assert Counter(choices).keys() == {"left", "right"}
    reader = LabelReader(store)
    reader.poll()
    for label in reader.labels:
        first, second = (float(rewards.sum()) for rewards in session.rewards_of([label.first, label.second]))
        assert (label.kind == "first") == (first > second)
    (person,) = store.annotators()
    assert (person.kind, person.details["mistake"], person.answers) == ("teacher", 0.0, 120)


def test_mistakes_through_the_store_come_at_their_rate(sqlite_store: Store) -> None:
    session = Session(sqlite_store)
    ids = session.post(900)
    choices = answer_all(session, PRESETS["mistake"], ids)
    true = ["left" if left > right else "right" for left, right in session.right_choices(ids)]
    assert consistent(sum(a != b for a, b in zip(choices, true, strict=True)), len(ids), 0.1)


@pytest.mark.parametrize("eps", [0.1, 0.5])
def test_skips_and_ties_come_at_their_rate_in_every_session(sqlite_store: Store, eps: float) -> None:
    """A clip's return is normal(10, sqrt(10)), a stretch brings 10 on average; the rates below follow from the normal distribution.

    With eps applied twice (0.01 instead of 0.1) the second session would see about a tenth of the ties.
    """
    session = Session(sqlite_store)
    # Differences are normal(0, sqrt(20)); equal below 10 * eps.
    tie = math.erf(10 * eps / math.sqrt(20) / math.sqrt(2))
    for number in range(3):
        ids = session.post(260)
        choices = answer_all(session, replace(PRESETS["equal"], equal=eps, seed=number), ids)
        assert consistent(choices.count("equal"), len(ids), tie), f"session {number}"
        assert choices.count("unsure") == 0
    # A skip needs both returns at 10 * scale or below; scaled up so that it happens.
    below = 0.5 * (1 + math.erf((10 * eps * 8 - 10) / math.sqrt(10) / math.sqrt(2)))
    for number in range(3):
        ids = session.post(60, recent_return=8_000.0)
        choices = answer_all(session, replace(PRESETS["skip"], skip=eps, seed=number), ids)
        assert consistent(choices.count("unsure"), len(ids), below**2), f"session {number}"
        assert choices.count("equal") == 0


def test_answers_do_not_depend_on_order_or_batches(tmp_path: Any) -> None:
    config = TeacherConfig(beta=0.3, mistake=0.2, skip=0.9, equal=0.1, gamma=0.9, seed=5)
    found = []
    for batch in (1, 7, 200):
        with Store.open(tmp_path / f"{batch}.sqlite") as store:
            session = Session(store)
            ids = session.post(60)
            if batch == 7:  # somebody else held the first ones for a while: they are answered last
                held = [query.id for query in store.lease_many("bob", 20)]
                teacher = Teacher(store, config, session.rewards_of, "t")
                assert teacher.answer_pending(7) == 7
                store.release("bob", held)
            found.append(answer_all(session, config, ids, batch))
    assert found[0] == found[1] == found[2]
    assert len(set(found[0])) == 4


def test_a_teacher_that_needs_recent_returns_says_so_and_gives_the_queries_back(sqlite_store: Store) -> None:
    session = Session(sqlite_store)
    session.post(3, recent_return=None)
    teacher = Teacher(sqlite_store, PRESETS["skip"], session.rewards_of, "t")
    with pytest.raises(UserError, match="recent_return"):
        teacher.answer_pending()
    assert len(sqlite_store.lease_many("bob", 5)) == 3


def test_a_restarted_teacher_takes_up_what_its_dead_process_held(sqlite_store: Store) -> None:
    session = Session(sqlite_store)
    ids = session.post(5)
    sqlite_store.lease_many("t", 5, seconds=3_000)
    assert len(answer_all(session, ORACLE, ids)) == 5
