"""The reward a learner is paid: a weighted sum of sources. The learner never knows which."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

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
    """The game's own score."""
    constant: float = 0.0
    """This much at every step (a control: what do episode ends and time limits alone teach?)."""
    random: float = 0.0
    """Standard normal noise at every step (a control)."""


class RewardState(NamedTuple):
    """Everything the reward function needs; frozen while the learner trains on it."""

    weights: jax.Array
    """``[4]`` float32: learned, true, constant, random."""
    model: RewardParams


def reward_state(weights: SourceWeights, model: RewardParams) -> RewardState:
    """The parameters for `summed_reward`."""
    return RewardState(jnp.asarray([weights.learned, weights.true, weights.constant, weights.random], jnp.float32), model)


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
