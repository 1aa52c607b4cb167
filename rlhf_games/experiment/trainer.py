"""The compiled half of an experiment on a device game: train for a while, play for the recorder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from rlhf_games.core.agent import Agent, Imitator, Lessons, PyTree, Rollout
from rlhf_games.core.errors import UserError
from rlhf_games.core.game import DeviceGame
from rlhf_games.core.keys import stream_key
from rlhf_games.core.streams import Stream
from rlhf_games.replay.recorder import Chunk
from rlhf_games.reward.ensemble import RewardEnsemble
from rlhf_games.reward.sources import RewardState, summed_reward, with_score, without_score
from rlhf_games.rollout import device
from rlhf_games.rollout.device import Lanes, Played
from rlhf_games.rollout.evaluate import Episodes, evaluate
from rlhf_games.rollout.turns import Pending, carried_on, nothing_pending

EVALUATION_STEPS = 10_000
"""An evaluation episode is counted as it stands after this many steps (games have limits of their own, mostly shorter)."""


class Learner(NamedTuple):
    """All that learning carries on; one pytree, so that a checkpoint is one call."""

    agent: PyTree
    lanes: Lanes
    recorded: Lanes
    """The recorder's own games."""
    key: jax.Array
    pending: Pending | None = None
    """Moves that wait for the next rollout; None in games in which no seat waits."""


class Recording(NamedTuple):
    """What the recorder's games did."""

    chunk: Chunk
    """``[T, R, ...]``, NumPy: for `EpisodeRecorder`."""
    features: jax.Array
    """``[T·R·P, ...]`` the same transitions, encoded for the reward model."""


class Trainer(Protocol):
    """Trains one agent on one game; the loop knows no more of it."""

    def start(self, seed: int, recorded: int) -> PyTree:
        """A fresh learner with ``recorded`` games for the recorder; ``seed`` determines it."""
        ...

    def train(self, learner: PyTree, reward: RewardState, *, updates: int, begin: float, end: float) -> tuple[PyTree, dict[str, Any]]:
        """``updates`` updates on a frozen reward, from ``begin`` to ``end`` as shares of the whole budget; the learner is consumed."""
        ...

    def imitate(self, learner: PyTree, lessons: Lessons, progress: float) -> tuple[PyTree, dict[str, Any]]:
        """Lets the agent imitate what it was shown, if it can (`rlhf_games.core.agent.Imitator`); ``progress`` as in `Agent.update`."""
        ...

    def record(self, learner: PyTree, reward: RewardState, *, steps: int) -> tuple[PyTree, Recording]:
        """Goes on with the recorder's games under the present policy."""
        ...

    def evaluate(self, learner: PyTree, seed: int, episodes: int) -> Episodes:
        """Plays whole episodes of the present policy from seeds of their own."""
        ...

    def policy(self, learner: PyTree) -> PyTree:
        """The parameters that choose actions, to be published."""
        ...

    def extra_state(self, learner: PyTree) -> dict[str, Any]:
        """What a checkpoint needs beside the learner's arrays, as JSON values."""
        ...

    def restore_extra(self, learner: PyTree, state: Mapping[str, Any]) -> None:
        """Lets a learner whose arrays were restored take up what ``extra_state`` gave."""
        ...


class DeviceTrainer:
    """Owns the compiled programs; two arms of an experiment share one trainer and so compile once."""

    def __init__(self, game: DeviceGame, agent: Agent, ensemble: RewardEnsemble, *, games: int, steps: int, hide_ends: bool) -> None:
        self.game, self.agent, self.ensemble = game, agent, ensemble
        self._games, self._steps, self._hide_ends = games, steps, hide_ends
        self._reward = summed_reward(ensemble)
        self._train = jax.jit(self._train_updates, static_argnames=("updates",), donate_argnums=(0,))
        self._record = jax.jit(self._play, static_argnames=("steps",))
        self._imitate = compiled_imitation(agent)
        self._start = jax.jit(self._start_learner, static_argnames=("recorded",))

    def start(self, seed: int, recorded: int) -> Learner:
        """A fresh learner with ``recorded`` lanes for the recorder; ``seed`` determines it."""
        self.agent.init(jax.random.key(0), self.game.spec)  # tells the agent what game it is for
        learner: Learner = self._start(jnp.uint32(seed), recorded=recorded)
        return learner

    def _start_learner(self, seed: jax.Array, recorded: int) -> Learner:
        agent_key, lane_key, record_key, key = jax.random.split(stream_key(Stream.LEARNER, seed), 4)
        lanes = device.start(self.game, jax.random.bits(lane_key, dtype=jnp.uint32), self._games)
        own = device.start(self.game, jax.random.bits(record_key, dtype=jnp.uint32), recorded)
        pending = nothing_pending(self.agent, self.game.spec, self._games, self._hide_ends)
        return Learner(self.agent.init(agent_key, self.game.spec), lanes, own, key, pending)

    def train(self, learner: Learner, reward: RewardState, *, updates: int, begin: float, end: float) -> tuple[Learner, dict[str, Any]]:
        """``updates`` updates of the agent on a frozen reward.

        Args:
          learner: is donated.
          reward: what the agent is paid.
          updates: how many.
          begin: share of the whole budget spent before.
          end: share spent after.

        Returns:
          The learner, and metrics as scalars: means over the updates; ``true_return`` and ``episode_length`` over the episodes that ended
          (NaN where none did); and `scored_metrics`.
        """
        trained: tuple[Learner, dict[str, Any]] = self._train(learner, reward, jnp.float32(begin), jnp.float32(end), updates=updates)
        return trained

    def _train_updates(
        self, learner: Learner, reward: RewardState, begin: jax.Array, end: jax.Array, updates: int
    ) -> tuple[Learner, dict[str, jax.Array]]:
        def update(carry: tuple[Learner, RewardState], i: jax.Array) -> tuple[tuple[Learner, RewardState], Any]:
            learner, reward = carry
            key, play_key, learn_key = jax.random.split(learner.key, 3)
            params = self.agent.params(learner.agent)
            lanes, rollout, played = device.unroll(
                self.game, self.agent, self._reward, params, without_score(reward), learner.lanes, play_key,
                steps=self._steps, hide_ends=self._hide_ends,
            )  # fmt: skip
            total, reward, unit = with_score(reward, rollout.reward, played.reward)
            rollout = rollout._replace(reward=total)
            paid = {"reward/mean": jnp.mean(rollout.reward), "reward/std": jnp.std(rollout.reward), "reward/unit": unit}
            progress = begin + (end - begin) * i / updates
            state, pending, metrics = learned(self.agent, learner.agent, rollout, learner.pending, learn_key, progress)
            return (Learner(state, lanes, learner.recorded, key, pending), reward), (metrics | paid, _episodes(played))

        (learner, reward), (metrics, sums) = jax.lax.scan(update, (learner, reward), jnp.arange(updates, dtype=jnp.float32))
        total, length, count = (jnp.sum(x) for x in sums)
        episodes = {"true_return": total / count, "episode_length": length / count, "episodes": count}
        return learner, jax.tree.map(jnp.mean, metrics) | episodes | scored_metrics(reward)

    def imitate(self, learner: Learner, lessons: Lessons, progress: float) -> tuple[Learner, dict[str, Any]]:
        """Lets the agent imitate what it was shown."""
        key, this = jax.random.split(learner.key)
        agent, metrics = self._imitate(learner.agent, lessons, this, jnp.float32(progress))
        return learner._replace(agent=agent, key=key), metrics

    def record(self, learner: Learner, reward: RewardState, *, steps: int) -> tuple[Learner, Recording]:
        """Goes on with the recorder's games under the present policy; whole episodes stay known through their seeds and actions."""
        learner, rollout, played, features = self._record(learner, reward, steps=steps)
        chunk = Chunk(played.seed, rollout.action, played.reward, played.terminated, played.truncated, played.next_observation)
        return learner, Recording(jax.tree.map(np.asarray, chunk), features)

    def evaluate(self, learner: Learner, seed: int, episodes: int) -> Episodes:
        """Plays whole episodes of the present policy from seeds of their own."""
        return evaluate(self.game, self.agent, self.policy(learner), seed, episodes, EVALUATION_STEPS)

    def policy(self, learner: Learner) -> PyTree:
        """The parameters that choose actions."""
        return self.agent.params(learner.agent)

    def extra_state(self, learner: Learner) -> dict[str, Any]:
        """Nothing: the learner holds the games."""
        return {}

    def restore_extra(self, learner: Learner, state: Mapping[str, Any]) -> None:
        """Nothing to take up."""

    def _play(self, learner: Learner, reward: RewardState, steps: int) -> tuple[Learner, Rollout, Played, jax.Array]:
        key, play_key = jax.random.split(learner.key)
        lanes, rollout, played = device.unroll(
            self.game, self.agent, self._reward, self.agent.params(learner.agent), reward, learner.recorded, play_key,
            steps=steps, hide_ends=self._hide_ends, keep_next=True,
        )  # fmt: skip
        features = self.ensemble.encode(jax.tree.map(_rows, _transitions(rollout, played)))
        return learner._replace(recorded=lanes, key=key), rollout, played, features


def scored_metrics(reward: RewardState) -> dict[str, jax.Array]:
    """`RewardState.scored` after training, for the next `reward_state`."""
    return {"scored/squares": reward.scored[0], "scored/count": reward.scored[1]}


def learned(
    agent: Agent, state: PyTree, rollout: Rollout, pending: Pending | None, key: jax.Array, progress: jax.Array
) -> tuple[PyTree, Pending | None, dict[str, Any]]:
    """One update of the agent, with the moves that were pending before the rollout; returns those that are pending after it."""
    if pending is not None:
        rollout, pending = carried_on(rollout, pending)
    state, metrics = agent.update(state, rollout, key, progress)
    return state, pending, metrics


def compiled_imitation(agent: Agent) -> Callable[[PyTree, Lessons, jax.Array, jax.Array], tuple[PyTree, dict[str, Any]]]:
    """``agent.imitate``, compiled; refuses agents that cannot."""

    def cannot(_state: PyTree, _lessons: Lessons, _key: jax.Array, _progress: jax.Array) -> tuple[PyTree, dict[str, Any]]:
        raise UserError(f"agent {type(agent).__name__} cannot imitate: give it an `imitate`, or set feedback.imitate = false")

    return jax.jit(agent.imitate) if isinstance(agent, Imitator) else cannot


def _transitions(rollout: Rollout, played: Played) -> device.Transition:
    """``[T, N, P, ...]``, the game's own reward."""
    assert played.next_observation is not None, "the recorder asks for next observations"
    return device.Transition(rollout.observation, rollout.action, played.next_observation, played.reward)


def _rows(x: jax.Array) -> jax.Array:
    """``[T, N, P, ...] → [T·N·P, ...]``."""
    return x.reshape(x.shape[0] * x.shape[1] * x.shape[2], *x.shape[3:])


def _episodes(played: Played) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Sum of returns (of the first seat), sum of lengths, and number of the episodes that ended."""
    done = played.terminated | played.truncated
    total = jnp.sum(jnp.where(done, played.episode_return[..., 0], 0.0))
    length = jnp.sum(jnp.where(done, played.length, 0)).astype(jnp.float32)
    return total, length, jnp.sum(done).astype(jnp.float32)
