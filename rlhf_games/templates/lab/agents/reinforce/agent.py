"""REINFORCE with a learned baseline (Williams 1992; Sutton & Barto 2018, section 13.4): one gradient step per rollout."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from rlhf_games.core.agent import Action, Explanation, PyTree, Rollout
from rlhf_games.core.game import GameSpec
from rlhf_games.core.promotion import third_party
from rlhf_games.core.spaces import Observation
from rlhf_games.learning.distributions import Head, head_for
from rlhf_games.learning.networks import torso
from rlhf_games.learning.returns import rollout_advantages


@dataclass(frozen=True)
class Config:
    """How it learns (``rlhf-games check agent reinforce --set learning_rate=0.003``)."""

    learning_rate: float = 0.02
    """Adam's step size at the start; it falls linearly to 0 over the budget."""
    discount: float = 0.95
    """γ in [0, 1]."""
    hidden: tuple[int, ...] = (64,)
    """Sizes of the dense layers."""
    value_weight: float = 0.5
    """Weight of the baseline's squared error."""
    entropy_weight: float = 0.01
    """Weight of the bonus for trying things."""

    def __post_init__(self) -> None:
        if self.learning_rate <= 0 or not 0 <= self.discount <= 1 or not self.hidden:
            raise ValueError(f"needs learning_rate > 0, discount in [0, 1] and at least one hidden layer, got {self}")


class Network(nnx.Module):
    """A policy and a baseline on one body."""

    def __init__(self, observation: Observation, outputs: int, hidden: tuple[int, ...], *, rngs: nnx.Rngs) -> None:
        self.body: Any = torso(observation, "auto", hidden, "relu", rngs=rngs)
        self.policy = nnx.Linear(self.body.features, outputs, rngs=rngs)
        self.baseline = nnx.Linear(self.body.features, 1, rngs=rngs)

    def __call__(self, observation: jax.Array) -> tuple[jax.Array, jax.Array]:
        """``[B, ...]`` to policy outputs ``[B, K]`` and values ``[B]``."""
        features = self.body(observation)
        return self.policy(features), self.baseline(features)[:, 0]


class State(NamedTuple):
    """What learning changes."""

    params: PyTree
    optimiser: PyTree


class Extras(NamedTuple):
    """What acting leaves for learning, leaves ``[B, ...]``."""

    raw: jax.Array
    """What the head drew: the action before it is cut to its range."""
    value: jax.Array


@dataclass(eq=False)
class Reinforce:
    """The agent."""

    config: Config
    _graph: Any = field(default=None, repr=False)
    _head: Head | None = field(default=None, repr=False)

    @property
    def head(self) -> Head:
        """How network outputs become actions of this game."""
        if self._head is None:
            raise RuntimeError("call init(key, spec) first")
        return self._head

    def init(self, key: jax.Array, spec: GameSpec) -> State:
        """A fresh learner; the key is consumed."""
        self._head = head_for(spec.actions)
        network = Network(spec.observation, self.head.size, self.config.hidden, rngs=nnx.Rngs(key))
        self._graph, params = nnx.split(network)
        return State(params, self._optimiser().init(params))

    def params(self, state: State) -> PyTree:
        """The network's parameters."""
        return state.params

    def act(self, params: PyTree, observation: jax.Array, key: jax.Array, legal_action_mask: jax.Array) -> Action:
        """Samples from the policy; the key is consumed."""
        outputs, value = self._apply(params, observation)
        sample = self.head.sample(outputs, legal_action_mask, key)
        return Action(sample.action, Extras(sample.raw, value))

    def value(self, params: PyTree, observation: jax.Array) -> jax.Array:
        """The baseline, ``[B]``."""
        return self._apply(params, observation)[1]

    def explain(self, params: PyTree, observation: jax.Array, legal_action_mask: jax.Array) -> Explanation:
        """What it would do, and how well it expects to fare."""
        outputs, value = self._apply(params, observation)
        return Explanation(self.head.probabilities(outputs, legal_action_mask), value)

    def update(self, state: State, rollout: Rollout, key: jax.Array, progress: jax.Array) -> tuple[State, dict[str, jax.Array]]:
        """One step along the policy gradient; it draws nothing, so ``key`` stays unused."""
        del key
        (_, metrics), gradient = jax.value_and_grad(self._loss, has_aux=True)(state.params, rollout)
        with third_party():
            updates, optimiser = self._optimiser().update(gradient, state.optimiser)
        params = optax.apply_updates(state.params, jax.tree.map(lambda step: step * (1.0 - progress), updates))
        return State(params, optimiser), metrics

    def _loss(self, params: PyTree, rollout: Rollout) -> tuple[jax.Array, dict[str, jax.Array]]:
        """``-Σ log π(a|s) (G - b(s))`` over the decisions that were taken, and the baseline's error."""
        last = self.value(params, _rows(rollout.last_observation, 2)).reshape(rollout.reward.shape[1:])
        whole = 1.0  # λ: the whole return, as REINFORCE has it
        goal = rollout_advantages(rollout, rollout.extras.value, last, discount=self.config.discount, trace=whole)
        advantage, target = jax.lax.stop_gradient((_rows(goal.advantage, 3), _rows(goal.target, 3)))
        legal = _rows(rollout.legal_action_mask, 3)
        outputs, value = self._apply(params, _rows(rollout.observation, 3))
        weight = _rows(goal.counts, 3).astype(jnp.float32)
        weight = weight / jnp.maximum(jnp.sum(weight), 1.0)
        policy = -jnp.sum(weight * advantage * self.head.log_prob(outputs, legal, _rows(rollout.extras.raw, 3)))
        error = jnp.sum(weight * jnp.square(value - target))
        entropy = jnp.sum(weight * self.head.entropy(outputs, legal))
        total = policy + self.config.value_weight * error - self.config.entropy_weight * entropy
        return total, {"loss/policy": policy, "loss/value": error, "entropy": entropy}

    def _apply(self, params: PyTree, observation: jax.Array) -> tuple[jax.Array, jax.Array]:
        outputs: tuple[jax.Array, jax.Array] = nnx.merge(self._graph, params)(observation)
        return outputs

    def _optimiser(self) -> optax.GradientTransformation:
        return optax.chain(optax.clip_by_global_norm(1.0), optax.adam(self.config.learning_rate))


def _rows(x: jax.Array, axes: int) -> jax.Array:
    """Lays the first ``axes`` axes (time, games, players) into one."""
    return x.reshape(-1, *x.shape[axes:])


def make(config: Config) -> Reinforce:
    """Builds the agent."""
    return Reinforce(config)
