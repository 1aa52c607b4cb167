"""Playing many host games at once, with the agent's inference overlapped with emulation.

The games are split in two halves, each a batch of its own: while one half emulates (on threads of its own), the agent chooses for the
other. What is played depends on the run's seed, the parameters and the key alone, not on timing.

Shapes: ``T`` steps, ``N`` lanes (games side by side), ``P`` players.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import accumulate
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import numpy as np
from numpy.typing import NDArray

from rlhf_games.core.agent import Action, Agent, PyTree, Rollout
from rlhf_games.core.game import HostGame, TimeStep
from rlhf_games.rollout.device import out_and_waiting
from rlhf_games.rollout.host_lanes import Episode, Lanes

EpisodeEnds: TypeAlias = Literal["visible", "hidden"]


class HostPlayed(NamedTuple):
    """What the steps left behind beside the rollout, NumPy leaves ``[T, N, ...]``."""

    reward: NDArray[np.float32]
    """``[T, N, P]`` the game's own reward."""
    terminated: NDArray[np.bool_]
    """``[T, N]`` the true end, also where the experiment hides it."""
    truncated: NDArray[np.bool_]
    """``[T, N]`` likewise."""
    seed: NDArray[np.uint32]
    """``[T, N]`` of the episode the step belongs to."""


class HostExperience(NamedTuple):
    """One call's experience."""

    rollout: Rollout
    """NumPy leaves; its reward is the game's own: put another in its place with ``rollout._replace``."""
    played: HostPlayed
    episodes: list[Episode]
    """Those that ended, in the order of their ends: true returns, lengths, and all that replays need."""
    last_of_episode: dict[tuple[int, int], NDArray[Any]]
    """``(t, lane) →`` ``[P, ...]``: the last observation of an episode that ended at step ``t``, which ``rollout`` does not hold."""

    def next_observation(self, t: int) -> NDArray[Any]:
        """``[N, P, ...]`` after step ``t``; at an episode's end its own last observation, never the next episode's first."""
        observation = self.rollout.observation
        after = np.array(observation[t + 1] if t + 1 < len(observation) else self.rollout.last_observation)
        for (end, lane), last in self.last_of_episode.items():
            if end == t:
                after[lane] = last
        return after


def joined(parts: Sequence[HostExperience]) -> HostExperience:
    """Experience of the same lanes, one part after the other, as one."""
    rollout: Rollout = jax.tree.map(lambda *leaves: np.concatenate(leaves), *(part.rollout for part in parts))
    played: HostPlayed = jax.tree.map(lambda *leaves: np.concatenate(leaves), *(part.played for part in parts))
    begins = accumulate((len(part.played.seed) for part in parts[:-1]), initial=0)
    return HostExperience(
        rollout._replace(last_observation=parts[-1].rollout.last_observation),
        played,
        [episode for part in parts for episode in part.episodes],
        {(begin + t, lane): last for begin, part in zip(begins, parts, strict=True) for (t, lane), last in part.last_of_episode.items()},
    )


class HostState(NamedTuple):
    """What a collector needs to go on later exactly as it would have: the emulators are rebuilt by playing again."""

    seed: int
    episode: NDArray[np.int64]
    """``[N]`` which episode each lane plays."""
    actions: list[NDArray[Any]]
    """Per lane ``[L, P, ...]``: what was done in it so far."""


class _Step(NamedTuple):
    """One half's step; leaves ``[n, ...]``."""

    action: NDArray[Any]
    reward: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    seed: NDArray[np.uint32]
    legal_action_mask: NDArray[np.bool_]
    acting: NDArray[np.bool_]
    extras: PyTree
    bootstrap: NDArray[np.float32]
    out: NDArray[np.bool_]
    waits: NDArray[np.bool_]


class HostCollector:
    """Collects rollouts from a host game; lanes go on from call to call."""

    def __init__(
        self,
        game: HostGame,
        agent: Agent,
        *,
        games: int,
        seed: int,
        episode_ends: EpisodeEnds = "visible",
        overlap: bool = True,
        state: HostState | None = None,
    ) -> None:
        """Starts the emulators.

        Args:
          game: what is played.
          agent: ``act`` chooses, ``value`` bootstraps where an episode was truncated.
          games: ``N``, at least 1; two or more are needed for overlap.
          seed: of all episodes there will ever be, at least 0.
          episode_ends: ``hidden`` tells the learner of no end: both flags False, so that values are bootstrapped through ends.
          overlap: let one half emulate while the agent chooses for the other; the result is the same without.
          state: of an earlier collector of the same game, agent, number of games and seed: go on from there.
        """
        if games < 1 or seed < 0:
            raise ValueError(f"games must be at least 1 and seed at least 0, got {games}, {seed}")
        if state is not None and (len(state.episode) != games or state.seed != seed):
            raise ValueError(f"the state is of {len(state.episode)} games with seed {state.seed}, not of {games} with {seed}")
        self._game, self._agent, self._seed = game, agent, seed
        self._hidden, self._overlap = episode_ends == "hidden", overlap
        self._act: Any = jax.jit(partial(_act, agent), static_argnums=1)
        self._value: Any = jax.jit(agent.value)
        episode = np.zeros(games, np.int64) if state is None else np.array(state.episode)
        middle = (games + 1) // 2
        bounds = [(0, middle), (middle, games)] if games > 1 else [(0, 1)]
        self._halves = [Lanes(game, seed, first, episode[first:stop]) for first, stop in bounds]
        if state is not None:
            for half, (first, stop) in zip(self._halves, bounds, strict=True):
                half.rebuild(state.actions[first:stop])

    def collect(self, params: PyTree, key: jax.Array, steps: int) -> HostExperience:
        """Plays ``steps`` (``T``, at least 1) steps in every lane; the key is consumed."""
        if steps < 1:
            raise ValueError(f"steps must be at least 1, got {steps}")
        games = sum(half.size for half in self._halves)
        shape = (steps, games, self._game.spec.players, *self._game.spec.observation.shape)
        take = _Take(np.empty(shape, self._game.spec.observation.dtype), [[] for _ in self._halves], [], {}, *jax.tree.flatten(params))
        # their bits, as NumPy: picking a key out of a JAX array is a computation of its own, hundreds of times per rollout
        keys = np.asarray(jax.random.key_data(jax.random.split(key, (steps, len(self._halves)))))
        flying: list[Any] = [None] * len(self._halves)
        for t in range(steps):
            for index in range(len(self._halves)):
                self._land(params, take, index, t - 1, flying)
                flying[index] = self._launch(keys[t, index], take, index, t)
                if not self._overlap:
                    self._land(params, take, index, t, flying)
        for index in range(len(self._halves)):
            self._land(params, take, index, steps - 1, flying)
        return self._experience(take)

    def present(self) -> list[Episode]:
        """The ``N`` episodes that are being played, as far as they have come."""
        return [half.present(lane) for half in self._halves for lane in range(half.size)]

    def state(self) -> HostState:
        """What it takes to go on later; between calls of ``collect``."""
        episode = np.concatenate([half.episode for half in self._halves])
        return HostState(self._seed, episode, [present.actions for present in self.present()])

    def close(self) -> None:
        """Frees the emulators."""
        for half in self._halves:
            half.close()

    def _launch(self, key: NDArray[np.uint32], take: _Take, index: int, t: int) -> tuple[Any, ...]:
        """Chooses for one half and sends it off."""
        half = self._halves[index]
        seen, seats = half.seen, half.seen.acting.shape
        take.observation[t, half.first : half.first + half.size] = seen.observation
        chosen = self._act(take.leaves, take.tree, _flat(seen.observation), key, _flat(seen.legal_action_mask))
        action = np.asarray(chosen.action)
        action = action.reshape(*seats, *action.shape[1:])
        half.send(action)
        return action, half.seed, seen, chosen.extras

    def _land(self, params: PyTree, take: _Take, index: int, t: int, flying: list[Any]) -> None:
        """Waits for one half's step ``t``, if it is under way, and keeps what it brought."""
        if flying[index] is None:
            return
        half = self._halves[index]
        action, seed, before, extras = flying[index]
        flying[index] = None
        after, finished = half.recv()
        take.episodes.extend(finished)
        for lane in np.flatnonzero(after.terminated | after.truncated):
            take.last[t, half.first + int(lane)] = np.array(after.observation[lane])
        seats = before.acting.shape
        kept = jax.tree.map(lambda leaf: np.asarray(leaf).reshape(*seats, *leaf.shape[1:]), extras)
        out, waits = out_and_waiting(after, self._hidden)
        step = _Step(
            action, np.asarray(after.reward, np.float32), after.terminated, after.truncated, seed, before.legal_action_mask, before.acting,
            kept, np.where(out, np.float32(0), self._bootstrap(params, after, seats)), out, waits,
        )  # fmt: skip
        take.steps[index].append(step)

    def _bootstrap(self, params: PyTree, after: TimeStep[NDArray[Any]], seats: tuple[int, ...]) -> NDArray[np.float32]:
        """``[n, P]``; the network runs only where an episode was truncated and the learner may know."""
        if self._hidden or not after.truncated.any():
            return np.zeros(seats, np.float32)
        value = np.asarray(self._value(params, _flat(after.observation))).reshape(seats)
        return np.where(after.truncated[:, None], value, np.float32(0))

    def _experience(self, take: _Take) -> HostExperience:
        halves = [jax.tree.map(lambda *leaves: np.stack(leaves), *steps) for steps in take.steps]
        whole: _Step = jax.tree.map(lambda *leaves: np.concatenate(leaves, 1), *halves)
        none = np.zeros_like(whole.terminated)
        last: Any = np.concatenate([half.seen.observation for half in self._halves])
        if self._hidden:  # the rollout goes on into the episodes that began
            whole.waits[-1] = ~np.concatenate([half.seen.acting for half in self._halves])
        seen: Any = take.observation
        kept: Any = whole if not self._hidden else whole._replace(terminated=none, truncated=none.copy())
        rollout = Rollout(
            observation=seen,
            action=kept.action,
            reward=kept.reward,
            terminated=kept.terminated,
            truncated=kept.truncated,
            legal_action_mask=kept.legal_action_mask,
            acting=kept.acting,
            extras=kept.extras,
            bootstrap=kept.bootstrap,
            last_observation=last,
            out=kept.out,
            waits=kept.waits,
        )
        played = HostPlayed(whole.reward, whole.terminated, whole.truncated, whole.seed)
        return HostExperience(rollout, played, take.episodes, take.last)


class _Take(NamedTuple):
    """What is being collected."""

    observation: NDArray[Any]
    steps: list[list[_Step]]
    episodes: list[Episode]
    last: dict[tuple[int, int], NDArray[Any]]
    leaves: list[Any]
    """Of the parameters: to take a tree of them apart for every decision would cost a tenth of what deciding does."""
    tree: Any


def _act(agent: Agent, leaves: list[Any], tree: Any, seen: jax.Array, key: jax.Array, legal: jax.Array) -> Action:
    """Chooses; the key is given as its bits."""
    return agent.act(jax.tree.unflatten(tree, leaves), seen, jax.random.wrap_key_data(key), legal)


def _flat(x: NDArray[Any]) -> NDArray[Any]:
    """``[n, P, ...] → [n·P, ...]``."""
    return x.reshape(x.shape[0] * x.shape[1], *x.shape[2:])
