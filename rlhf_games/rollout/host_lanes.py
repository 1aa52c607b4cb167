"""Lanes of a host game: one batch whose every lane plays one episode after another, each from its own seed.

Shapes: ``n`` lanes of this batch, ``P`` players, ``L`` steps of an episode.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rlhf_games.core.game import HostGame, TimeStep

Ended: TypeAlias = Literal["terminated", "truncated", ""]


def episode_seed(base: int, lane: int, episode: int) -> np.uint32:
    """The seed of a lane's ``episode``-th episode (from 0), a function of the three numbers alone."""
    return np.uint32(np.random.SeedSequence((base, lane, episode)).generate_state(1, np.uint32)[0])


@dataclass(frozen=True)
class Episode:
    """One episode, or the part of it that has been played: all that a replay needs."""

    lane: int
    seed: int
    """uint32."""
    actions: NDArray[Any]
    """``[L, P, ...]``."""
    rewards: NDArray[np.float32]
    """``[L, P]`` the game's own."""
    ended: Ended
    """Empty where it still goes on."""

    @property
    def length(self) -> int:
        """Steps played."""
        return len(self.rewards)

    @property
    def returns(self) -> NDArray[np.float32]:
        """``[P]`` the game's own score."""
        total: NDArray[np.float32] = self.rewards.sum(0)
        return total


@dataclass
class Lanes:
    """``n`` lanes over one batch of emulators. Lane numbers count from ``first``, over all batches of a run."""

    game: HostGame
    base: int
    """The run's seed."""
    first: int
    episode: NDArray[np.int64]
    """``[n]`` which episode each lane plays, from 0."""
    seen: TimeStep[NDArray[Any]] = field(init=False)
    """What the players see now; after an end, the next episode's start."""

    def __post_init__(self) -> None:
        self.size = len(self.episode)
        self._batch = self.game.batch(self.size)
        self.seed = self._seeds()
        self._actions: list[list[NDArray[Any]]] = [[] for _ in range(self.size)]
        self._rewards: list[list[NDArray[np.float32]]] = [[] for _ in range(self.size)]
        self.seen = self._batch.reset(self.seed)

    def send(self, actions: NDArray[Any]) -> None:
        """Hands in ``[n, P, ...]`` and returns at once."""
        self._sent = np.array(actions)
        self._batch.send(self._sent)

    def recv(self) -> tuple[TimeStep[NDArray[Any]], list[Episode]]:
        """What the actions brought, with the ended episodes' own last observations, and the episodes that ended.

        The next episodes have begun when it returns: ``seen`` shows their starts.
        """
        after = self._batch.recv()
        for lane in range(self.size):
            self._actions[lane].append(self._sent[lane])
            self._rewards[lane].append(np.asarray(after.reward[lane], np.float32))
        over: NDArray[np.bool_] = after.terminated | after.truncated
        finished = [self.present(int(lane), "terminated" if after.terminated[lane] else "truncated") for lane in np.flatnonzero(over)]
        self.seen = self._restart(over) if over.any() else after
        return after, finished

    def present(self, lane: int, ended: Ended = "") -> Episode:
        """The episode that ``lane`` (from 0 in this batch) plays, as far as it has come."""
        players = self.game.spec.players
        actions = np.array(self._actions[lane]) if self._actions[lane] else np.zeros((0, players, *self.game.spec.actions.shape), np.int32)
        rewards = np.array(self._rewards[lane], np.float32).reshape(-1, players)
        return Episode(self.first + lane, int(self.seed[lane]), actions, rewards, ended)

    def rebuild(self, actions: list[NDArray[Any]]) -> None:
        """Plays the present episodes again up to where they had come: ``actions[lane]`` is ``[L, P, ...]``, lanes may differ in ``L``.

        All lanes step together, so each starts (again) when as many steps are left as its own history has.

        Raises:
          RuntimeError: an episode ends before its history does: the game no longer plays as it did.
        """
        longest = max((len(history) for history in actions), default=0)
        sample = next((history[0] for history in actions if len(history)), None)
        if sample is None:
            return
        idle = np.full_like(sample, self.game.spec.idle_action if sample.dtype.kind in "iu" else 0)
        for step in range(longest):
            begun = [step - (longest - len(history)) for history in actions]
            self._begin(np.array([at == 0 and step > 0 for at in begun]))
            self.send(np.stack([history[at] if at >= 0 else idle for history, at in zip(actions, begun, strict=True)]))
            after = self._batch.recv()
            over: NDArray[np.bool_] = after.terminated | after.truncated
            self._check(over, begun)
            self.seen = after
            for lane in (lane for lane, at in enumerate(begun) if at >= 0):
                self._actions[lane].append(self._sent[lane])
                self._rewards[lane].append(np.asarray(after.reward[lane], np.float32))
            self._begin(over)
        self._begin(np.array([len(history) == 0 for history in actions]))

    def close(self) -> None:
        """Frees the emulators."""
        self._batch.close()

    def _check(self, over: NDArray[np.bool_], begun: list[int]) -> None:
        early = [self.first + lane for lane, at in enumerate(begun) if over[lane] and at >= 0]
        if early:
            raise RuntimeError(f"{self.game.spec.name}: episodes of lanes {early} end earlier than when they were played: cannot go on")

    def _begin(self, where: NDArray[np.bool_]) -> None:
        """(Re)starts the present episodes of some lanes."""
        if where.any():
            self.seen = self._batch.reset(self.seed, where)

    def _restart(self, over: NDArray[np.bool_]) -> TimeStep[NDArray[Any]]:
        self.episode = self.episode + over
        self.seed = np.where(over, self._seeds(), self.seed)
        for lane in np.flatnonzero(over):
            self._actions[lane], self._rewards[lane] = [], []
        return self._batch.reset(self.seed, over)

    def _seeds(self) -> NDArray[np.uint32]:
        return np.array([episode_seed(self.base, self.first + lane, int(episode)) for lane, episode in enumerate(self.episode)], np.uint32)
