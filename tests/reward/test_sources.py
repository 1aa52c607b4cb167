"""The unit of the game's own score: what counts in thousands teaches like what counts in ones."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlhf_games.experiment.trainer import DeviceTrainer
from rlhf_games.reward.ensemble import RewardEnsemble
from rlhf_games.reward.networks import NetworkConfig
from rlhf_games.reward.sources import SourceWeights, reward_state, with_score, without_score
from rlhf_games.testing import MatchObservation
from rlhf_games.workspace import load_agent


@dataclass(frozen=True)
class Scaled(MatchObservation):
    """Match the observation for ±``points``."""

    probe: ClassVar[str] = "scaled"
    points: float = 1.0

    def reward(self, observation: jax.Array, action: jax.Array, t: jax.Array) -> jax.Array:
        """±points."""
        return self.points * super().reward(observation, action, t)


def ensemble_of(game: Any) -> tuple[RewardEnsemble, Any]:
    made: tuple[RewardEnsemble, Any] = RewardEnsemble.create(game.spec, NetworkConfig(hidden=(4,)), 1, jax.random.key(0))
    return made


def test_the_unit_by_hand() -> None:
    # Rewards 3, 0 and -4: the root mean square of those that are not 0 is √(25 / 2). Then a 5 more: √(50 / 3).
    _, model = ensemble_of(MatchObservation())
    state = reward_state(SourceWeights(learned=0.0, true=0.5), model)
    others = jnp.array([1.0, 0.0, 0.0])
    paid, state, unit = with_score(state, others, jnp.array([3.0, 0.0, -4.0]))
    assert float(unit) == pytest.approx(math.sqrt(12.5))
    np.testing.assert_allclose(paid, [1 + 1.5 / math.sqrt(12.5), 0, -2 / math.sqrt(12.5)], rtol=1e-6)
    paid, state, unit = with_score(state, jnp.zeros(2), jnp.array([5.0, 0.0]))
    assert float(unit) == pytest.approx(math.sqrt(50 / 3))
    assert state.scored.tolist() == [50.0, 3.0]
    assert without_score(state).weights.tolist() == [0.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("score", [[0.0, 0.0], [1.0, -1.0]])
def test_where_nothing_or_ones_are_scored_the_unit_is_one(score: list[float]) -> None:
    state = reward_state(SourceWeights(learned=0.0, true=1.0), ensemble_of(MatchObservation())[1])
    paid, _, unit = with_score(state, jnp.zeros(2), jnp.array(score))
    assert float(unit) == 1.0
    assert paid.tolist() == score


def test_points_may_be_wanted_as_they_are() -> None:
    state = reward_state(SourceWeights(learned=0.0, true=1.0, true_unit="point"), ensemble_of(MatchObservation())[1])
    paid, _, unit = with_score(state, jnp.zeros(2), jnp.array([1000.0, 0.0]))
    assert float(unit) == 1.0
    assert paid.tolist() == [1000.0, 0.0]


def learn(points: float, unit: Any) -> tuple[Any, dict[str, Any]]:
    """The policy after some updates on the game's own score, in two calls."""
    game = Scaled(points=points)
    ensemble, model = ensemble_of(game)
    agent = load_agent("ppo", {"hidden": [8], "minibatches": 2, "epochs": 2, "learning_rate": 5e-3})
    trainer = DeviceTrainer(game, agent, ensemble, games=16, steps=8, hide_ends=False)
    learner, scored = trainer.start(0, 1), (0.0, 0.0)
    for begin in (0.0, 0.5):
        reward = reward_state(SourceWeights(learned=0.0, true=1.0, true_unit=unit), model, scored)
        learner, metrics = trainer.train(learner, reward, updates=10, begin=begin, end=begin + 0.5)
        scored = float(metrics["scored/squares"]), float(metrics["scored/count"])
    return trainer.policy(learner), metrics


def test_a_score_in_thousands_teaches_what_one_in_ones_teaches() -> None:
    one, told = learn(1.0, "typical")
    thousand, told_thousand = learn(1024.0, "typical")  # a power of two: not a bit is rounded otherwise
    jax.tree.map(np.testing.assert_array_equal, one, thousand)
    assert (float(told["reward/unit"]), float(told_thousand["reward/unit"])) == (1.0, 1024.0)
    assert float(told_thousand["reward/std"]) == pytest.approx(float(told["reward/std"]))
    # A game that counts in ones learns as it did before there was a unit; one in thousands, as points, does not.
    jax.tree.map(np.testing.assert_array_equal, one, learn(1.0, "point")[0])
    assert float(learn(1024.0, "point")[1]["reward/std"]) > 100
