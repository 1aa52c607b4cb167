"""The host half of an experiment: the agent learns and plays on games that run in ordinary memory (emulators).

Shapes: ``T`` steps, ``N`` training lanes, ``R`` recorded lanes, ``P`` players, ``B`` transitions, ``E`` episodes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rlhf_games.core.agent import Agent, Lessons, PyTree
from rlhf_games.core.game import HostGame
from rlhf_games.core.keys import stream_key
from rlhf_games.core.streams import Stream, generator
from rlhf_games.experiment.host_evaluation import evaluate_host
from rlhf_games.experiment.host_state import from_json, to_json
from rlhf_games.experiment.trainer import Recording, compiled_imitation, learned, scored_metrics
from rlhf_games.replay.recorder import Chunk
from rlhf_games.reward.ensemble import RewardEnsemble
from rlhf_games.reward.sources import RewardState, summed_reward, with_score, without_score
from rlhf_games.rollout.device import Transition
from rlhf_games.rollout.evaluate import Episodes
from rlhf_games.rollout.host import HostCollector, HostExperience, joined
from rlhf_games.rollout.turns import Pending, nothing_pending

EVALUATION_STEPS = 27_000
"""An evaluation episode is counted as it stands after this many steps: 30 minutes of Atari, the limit of Machado et al. 2018."""
CALIBRATION = 2_048
"""Transitions of a recording that are kept for calibrating the reward: pixels of all of them would take hundreds of megabytes."""
_REWARD_ROWS, _REWARD_ROWS_ON_CPU = 256, 4
"""Transitions rewarded at once. On CPU what pixel networks make of four stays in a core's cache (and dense layers do not round so few)."""


_PARTS = 4
"""Of a rollout: while one is played, the one before is paid for. With more, the halves of the emulators wait more often for each other."""


class Emulators:
    """The games of one run: emulators cannot travel through ``jit``, so the learner carries this beside its arrays.

    They start when they are first needed.
    """

    def __init__(self, game: HostGame, agent: Agent, seed: int, recorded: int, games: int, hide_ends: bool) -> None:
        train, record = (int(word) for word in generator(Stream.EMULATORS, seed).integers(2**32, size=2, dtype=np.uint32))
        ends: Any = "hidden" if hide_ends else "visible"
        collector = partial(HostCollector, game, agent, episode_ends=ends)
        self._make: dict[str, Any] = {
            "train": partial(collector, games=games),
            "record": partial(collector, games=recorded),
        }
        self._seeds = {"train": train, "record": record}
        self._open: dict[str, HostCollector] = {}
        self._saved: dict[str, Any] = {}

    def collector(self, kind: str) -> HostCollector:
        """The games of one kind (``train`` or ``record``), started or gone on with."""
        if kind not in self._open:
            saved = self._saved.pop(kind, None)
            seed = self._seeds[kind] if saved is None else saved.seed
            self._open[kind] = self._make[kind](seed=seed, state=saved)
        return self._open[kind]

    def state(self) -> dict[str, Any]:
        """What it takes to go on in another process, as JSON values; between rollouts."""
        states = self._saved | {kind: collector.state() for kind, collector in self._open.items()}
        return {kind: to_json(state) for kind, state in states.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on where ``state`` was; emulators play their present episodes again when they are first needed."""
        self.close()
        self._saved = {kind: from_json(value) for kind, value in state.items()}

    def close(self) -> None:
        """Frees the emulators."""
        for collector in self._open.values():
            collector.close()
        self._open.clear()


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class HostLearner:
    """All that learning carries on. The arrays are a pytree; the emulators are no part of it and stay in the same process."""

    agent: PyTree
    key: jax.Array
    emulators: Emulators = dataclasses.field(metadata={"static": True})
    pending: Pending | None = None
    """Moves that wait for the next rollout; None in games in which no seat waits."""


class HostTrainer:
    """Trains one agent on one host game; fulfils ``rlhf_games.experiment.trainer.Trainer``."""

    def __init__(self, game: HostGame, agent: Agent, ensemble: RewardEnsemble, *, games: int, steps: int, hide_ends: bool) -> None:
        self.game, self.agent, self.ensemble = game, agent, ensemble
        self._games, self._steps, self._hide_ends = games, steps, hide_ends
        self._reward = jax.jit(_in_parts(summed_reward(ensemble)))
        self._with_score = jax.jit(with_score)
        self._encode = jax.jit(ensemble.encode)
        self._update = jax.jit(partial(learned, agent), donate_argnums=(0,))
        self._act: Any = jax.jit(agent.act)
        self._imitate = compiled_imitation(agent)

    def start(self, seed: int, recorded: int) -> HostLearner:
        """A fresh learner with ``recorded`` games for the recorder; ``seed`` determines it."""
        agent_key, key = jax.random.split(stream_key(Stream.LEARNER, seed))
        emulators = Emulators(self.game, self.agent, seed, recorded, self._games, self._hide_ends)
        state = self.agent.init(agent_key, self.game.spec)
        return HostLearner(state, key, emulators, nothing_pending(self.agent, self.game.spec, self._games, self._hide_ends))

    def train(
        self, learner: HostLearner, reward: RewardState, *, updates: int, begin: float, end: float
    ) -> tuple[HostLearner, dict[str, Any]]:
        """``updates`` updates of the agent on a frozen reward.

        Args:
          learner: its arrays are donated.
          reward: what the agent is paid.
          updates: how many.
          begin: share of the whole budget spent before.
          end: share spent after.

        Returns:
          The learner, and metrics as scalars: means over the updates; ``true_return`` and ``episode_length`` over the episodes that ended
          (NaN where none did); and `scored_metrics`.
        """
        collector = learner.emulators.collector("train")
        state, key, pending = learner.agent, learner.key, learner.pending
        found, ended = [], []
        for i in range(updates):
            key, play_key, reward_key, learn_key = jax.random.split(key, 4)
            experience, others = self._collect(collector, self.agent.params(state), without_score(reward), play_key, reward_key)
            paid, reward, unit = self._with_score(reward, others, jnp.asarray(experience.played.reward))
            progress = jnp.float32(begin + (end - begin) * i / updates)
            state, pending, metrics = self._update(state, experience.rollout._replace(reward=paid), pending, learn_key, progress)
            found.append(metrics | {"reward/mean": jnp.mean(paid), "reward/std": jnp.std(paid), "reward/unit": unit})
            ended += [(float(episode.returns[0]), episode.length) for episode in experience.episodes]
        means = {name: float(np.mean([np.asarray(metrics[name]) for metrics in found])) for name in found[0]}
        means |= {name: float(value) for name, value in scored_metrics(reward).items()}
        return dataclasses.replace(learner, agent=state, key=key, pending=pending), means | _episodes(ended)

    def imitate(self, learner: HostLearner, lessons: Lessons, progress: float) -> tuple[HostLearner, dict[str, Any]]:
        """Lets the agent imitate what it was shown."""
        key, this = jax.random.split(learner.key)
        agent, metrics = self._imitate(learner.agent, lessons, this, jnp.float32(progress))
        return dataclasses.replace(learner, agent=agent, key=key), metrics

    def record(self, learner: HostLearner, reward: RewardState, *, steps: int) -> tuple[HostLearner, Recording]:
        """Goes on with the recorder's games under the present policy.

        The recording's features are of at most ``CALIBRATION`` transitions, evenly spread.
        """
        key, play_key = jax.random.split(learner.key)
        experience = learner.emulators.collector("record").collect(self.policy(learner), play_key, steps)
        rollout, played = experience.rollout, experience.played
        after = _next_observations(experience)
        chunk = Chunk(played.seed, rollout.action, played.reward, played.terminated, played.truncated, after)
        rows = _rows(Transition(rollout.observation, rollout.action, after, jnp.asarray(played.reward)))
        total = len(rows.reward)
        kept = np.linspace(0, total - 1, min(total, CALIBRATION)).astype(int)
        features = self._encode(jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)[kept]), rows))
        return dataclasses.replace(learner, key=key), Recording(chunk, features)

    def evaluate(self, learner: HostLearner, seed: int, episodes: int) -> Episodes:
        """Plays whole episodes of the present policy from seeds of their own."""
        return evaluate_host(self.game, self._act, self.policy(learner), seed, episodes, EVALUATION_STEPS)

    def policy(self, learner: HostLearner) -> PyTree:
        """The parameters that choose actions."""
        return self.agent.params(learner.agent)

    def extra_state(self, learner: HostLearner) -> dict[str, Any]:
        """Where the emulators stand, as JSON values: what a checkpoint needs beside the learner's arrays."""
        return learner.emulators.state()

    def restore_extra(self, learner: HostLearner, state: Mapping[str, Any]) -> None:
        """Lets the learner's emulators go on where ``extra_state`` was taken."""
        learner.emulators.restore(state)

    def _collect(
        self, collector: HostCollector, params: PyTree, reward: RewardState, play_key: jax.Array, reward_key: jax.Array
    ) -> tuple[HostExperience, jax.Array]:
        """A rollout, and ``[T, N, P]`` what the learner is paid for it.

        While one part is played the part before is paid for: emulators and decisions for a few games leave much of the processor idle.
        """
        count = min(_PARTS, self._steps)
        bounds = [self._steps * i // count for i in range(count + 1)]
        parts, paid = [], []
        with ThreadPoolExecutor(1) as beside:
            for i, (play, pay) in enumerate(zip(jax.random.split(play_key, count), jax.random.split(reward_key, count), strict=True)):
                parts.append(collector.collect(params, play, bounds[i + 1] - bounds[i]))
                paid.append(beside.submit(self._paid, reward, parts[-1], pay))
        return joined(parts), jnp.concatenate([part.result() for part in paid])

    def _paid(self, reward: RewardState, experience: HostExperience, key: jax.Array) -> jax.Array:
        """``[T, N, P]`` what the learner is paid."""
        rollout = experience.rollout
        # The pixel network does not look at the next observation: the present one stands in and nothing is copied.
        after: Any = rollout.observation if self.ensemble.pixels else _next_observations(experience)
        transition = Transition(rollout.observation, rollout.action, after, jnp.asarray(experience.played.reward))
        total: jax.Array = self._reward(reward, _rows(transition), key)
        return total.reshape(rollout.reward.shape)


def _in_parts(reward: Any) -> Any:
    """The reward function on any number of transitions, computed a few at a time (the last part padded with the last row)."""
    size = _REWARD_ROWS_ON_CPU if jax.default_backend() == "cpu" else _REWARD_ROWS

    def paid(params: RewardState, transition: Transition, key: jax.Array) -> jax.Array:
        rows = transition.reward.shape[0]
        parts = -(-rows // size)

        def split(leaf: jax.Array) -> jax.Array:
            padded = jnp.pad(leaf, ((0, parts * size - rows), *((0, 0),) * (leaf.ndim - 1)), mode="edge")
            return padded.reshape(parts, size, *leaf.shape[1:])

        def part(args: tuple[Transition, jax.Array]) -> jax.Array:
            return jnp.asarray(reward(params, *args))

        total: jax.Array = jax.lax.map(part, (jax.tree.map(split, transition), jax.random.split(key, parts)))
        return total.reshape(-1)[:rows]

    return paid


def _next_observations(experience: HostExperience) -> Any:
    """NumPy ``[T, N, P, ...]`` after each step; at an episode's end its own last observation."""
    return np.stack([experience.next_observation(t) for t in range(len(experience.rollout.reward))])


def _rows(transition: Transition) -> Transition:
    """``[T, N, P, ...] → [T·N·P, ...]``."""
    rows: Transition = jax.tree.map(lambda x: x.reshape(x.shape[0] * x.shape[1] * x.shape[2], *x.shape[3:]), transition)
    return rows


def _episodes(ended: list[tuple[float, int]]) -> dict[str, float]:
    """Mean return (of the first seat), mean length, and number of the episodes that ended."""
    returns, lengths = np.array(ended, np.float64).reshape(-1, 2).T
    none = float("nan")
    return {
        "true_return": float(returns.mean()) if len(returns) else none,
        "episode_length": float(lengths.mean()) if len(lengths) else none,
        "episodes": float(len(returns)),
    }
