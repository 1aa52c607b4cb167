"""A scripted person who cheers: worked examples, rates, and a store that holds every cheer once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binomtest

from rlhf_games.feedback.answers import Evaluation
from rlhf_games.feedback.credit import credit, credit_steps
from rlhf_games.feedback.evaluators import Evaluator, EvaluatorConfig, reactions
from rlhf_games.feedback.store import Store
from rlhf_games.replay.clip import Clip

from .conftest import make_replay

RATE = 10.0


def seen(reward: Sequence[float], config: EvaluatorConfig | None = None, seed: int = 0) -> list[tuple[int, float]]:
    return reactions(np.array(reward), RATE, config or EvaluatorConfig(), np.random.default_rng(seed))


def test_every_cheer_comes_late_enough_to_be_credited_to_what_it_is_about() -> None:
    delays = []
    for seed in range(400):
        reward = np.zeros(100)
        reward[20] = 3.0
        [(step, value)] = seen(reward.tolist(), seed=seed)
        assert value == 1.0
        delays.append(step - 20)
    assert min(delays) >= 2
    assert max(delays) <= 41
    weights = credit(credit_steps(RATE), RATE)[::-1]  # by steps back, from 1
    credited = [back <= len(weights) and weights[back - 1] > 0 for back in delays]
    assert np.mean(credited) > 0.95, "but for those between two steps"
    assert np.mean(delays) == pytest.approx(10 * (0.2 + 4.0) / 2, abs=1.5)


def test_what_is_good_is_cheered_and_what_is_bad_scolded_in_the_order_of_the_keys() -> None:
    reward = [0.0] * 100
    reward[10], reward[30] = -2.0, 0.5
    found = seen(reward)
    assert sorted(value for _, value in found) == [-1.0, 1.0]
    assert found == sorted(found)
    assert seen([0.0] * 50) == []
    assert seen([1.0]) == [], "the episode is over before the key goes down"


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_reactions_are_dropped_and_flipped_at_their_rates(share: float) -> None:
    reward = [1.0] * 4_000 + [0.0] * 60
    dropped = seen(reward, EvaluatorConfig(dropped=share))
    assert binomtest(len(dropped), 4_000, 1.0 - share).pvalue > 1e-5
    flipped = seen(reward, EvaluatorConfig(flipped=share))
    assert len(flipped) == 4_000
    assert binomtest(sum(value < 0 for _, value in flipped), 4_000, share).pvalue > 1e-5


@pytest.mark.parametrize("name", ["dropped", "flipped"])
def test_rates_out_of_range_are_named(name: str) -> None:
    with pytest.raises(ValueError, match=f"EvaluatorConfig.{name}"):
        EvaluatorConfig(**{name: 1.5})


def test_a_store_holds_every_cheer_once_however_often_an_episode_is_watched(sqlite_store: Store) -> None:
    ids = sqlite_store.add_replays([make_replay(seed) for seed in range(3)])

    def rewards_of(clips: Sequence[Clip]) -> list[NDArray[Any]]:
        pieces = [clip.segments[0] for clip in clips]
        return [np.where(np.arange(piece.start, piece.stop) % 10 == ids.index(piece.replay_id), 1.0, 0.0) for piece in pieces]

    def evaluator() -> Evaluator:
        return Evaluator(sqlite_store, EvaluatorConfig(dropped=0.2), rewards_of, lambda replay: RATE)

    one = evaluator()
    assert one.watch(2) == 2
    assert one.watch(2) == 1
    assert one.watch(2) == 0
    said = sqlite_store.answers().answers
    assert {answer.replay_id for answer in said} == set(ids)
    assert all(isinstance(answer.value, Evaluation) for answer in said)
    assert evaluator().watch(9) == 3, "another process starts over"
    assert sqlite_store.answers().answers == said
