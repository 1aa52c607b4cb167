"""The reward a learner is paid: a weighted sum of sources. The learner never knows which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from rlhf_games.reward.ensemble import RewardEnsemble, RewardParams
from rlhf_games.rollout.device import RewardFunction, Transition


@dataclass(frozen=True)
class SourceWeights:
    """Weight of each source; 0 leaves it out."""

    learned: float = 1.0
    """The reward model fitted to people's answers."""
    true: float = 0.0
    """The game's own score, in its own unit (see ``true_unit``)."""
    constant: float = 0.0
    """This much at every step (a control: what do episode ends and time limits alone teach?)."""
    random: float = 0.0
    """Standard normal noise at every step (a control)."""
    true_unit: Literal["typical", "point"] = "typical"
    """Unit of the game's own score: the ``typical`` reward (root mean square of those other than 0 so far), so that a score in thousands
    teaches like one in ones; or the ``point``, as the game counts."""


class RewardState(NamedTuple):
    """Everything the reward function needs; frozen while the learner trains on it."""

    weights: jax.Array
    """``[4]`` float32: learned, true, constant, random."""
    model: RewardParams
    typical: jax.Array
    """``[]`` bool: the game's own score is counted in typical rewards."""
    scored: jax.Array
    """``[2]`` float32: sum of squares and number of the game's own rewards that were not 0 so far."""


def reward_state(weights: SourceWeights, model: RewardParams, scored: Sequence[float] = (0.0, 0.0)) -> RewardState:
    """The parameters for `summed_reward`; ``scored`` as in `RewardState`."""
    values = jnp.asarray([weights.learned, weights.true, weights.constant, weights.random], jnp.float32)
    return RewardState(values, model, jnp.asarray(weights.true_unit == "typical"), jnp.asarray(scored, jnp.float32))


def without_score(state: RewardState) -> RewardState:
    """The same, in which `summed_reward` leaves the game's own score out."""
    return state._replace(weights=state.weights.at[1].set(0.0))


def with_score(state: RewardState, paid: jax.Array, score: jax.Array) -> tuple[jax.Array, RewardState, jax.Array]:
    """Adds the game's own score to what other sources pay.

    Args:
      state: knows what was scored before.
      paid: ``[...]`` float32, what the others pay.
      score: ``[...]`` float32, the game's own rewards of the same transitions; they count towards the unit already.

    Returns:
      ``[...]`` the sum, the state after these rewards, and the unit ``[]``.
    """
    scored = state.scored + jnp.stack([jnp.sum(jnp.square(score)), jnp.sum(score != 0).astype(jnp.float32)])
    known = state.typical & (scored[0] > 0)
    unit = jnp.where(known, jnp.sqrt(scored[0] / jnp.maximum(scored[1], 1.0)), 1.0)
    return paid + state.weights[1] * (score / unit), state._replace(scored=scored), unit


def summed_reward(ensemble: RewardEnsemble) -> RewardFunction:
    """The reward function of all arms of an experiment: one compiled program, whatever the weights; a source of weight 0 costs nothing."""

    def reward(params: RewardState, transition: Transition, key: jax.Array) -> jax.Array:
        learned, true, constant, random = params.weights
        nothing = jnp.zeros_like(transition.reward)
        predicted = jax.lax.cond(learned != 0, lambda: ensemble.mean(params.model, transition), lambda: nothing)
        noise = jax.lax.cond(random != 0, lambda: jax.random.normal(key, nothing.shape), lambda: nothing)
        total: jax.Array = learned * predicted + true * transition.reward + constant + random * noise
        return total

    return reward
