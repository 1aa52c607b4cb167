"""Many PettingZoo games side by side, on threads: the emulator is called through ctypes, which lets other threads run meanwhile."""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlhf_games.core.game import TimeStep

from .seats import Seats, Setup


class SeatsBatch:
    """``N`` games of one kind."""

    def __init__(self, name: str, setup: Setup, size: int) -> None:
        if size < 1:
            raise ValueError(f"{name}: a batch needs at least one game, got {size}")
        self._name, self._setup, self._size = name, setup, size
        self._pool = ThreadPoolExecutor(min(size, os.cpu_count() or 1), thread_name_prefix=name)
        self._games = list(self._pool.map(lambda _: Seats(setup), range(size)))
        self._seen: list[TimeStep[NDArray[Any]] | None] = [None] * size
        self._sent: list[Future[TimeStep[NDArray[Any]]]] = []

    def reset(self, seeds: NDArray[np.uint32], where: NDArray[np.bool_] | None = None) -> TimeStep[NDArray[Any]]:
        """Starts new episodes in the games ``where`` (``[N]``, default all) from ``seeds`` (``[N]``)."""
        where = np.ones(self._size, bool) if where is None else np.asarray(where, bool)
        if np.shape(seeds) != (self._size,) or where.shape != (self._size,):
            raise ValueError(f"{self._name}: seeds and where must be [{self._size}], got {np.shape(seeds)} and {where.shape}")
        chosen = np.flatnonzero(where)
        fresh = self._pool.map(lambda game: self._games[game].reset(int(seeds[game])), chosen)
        self._seen = [None if seen is None else _quiet(seen) for seen in self._seen]
        for game, seen in zip(chosen, fresh, strict=True):
            self._seen[game] = seen
        return self._stacked()

    def send(self, actions: NDArray[Any]) -> None:
        """Hands in actions ``[N, P]``; raises ``RuntimeError`` where a game is over and has not been reset."""
        chosen = np.asarray(actions).reshape(self._size, self._setup.players)
        over = [index for index, game in enumerate(self._games) if game.over]
        if over:
            raise RuntimeError(f"{self._name}: games {over} must be reset before they are played")
        if self._sent:
            raise RuntimeError(f"{self._name}: send called twice without recv")
        if chosen.min() < 0 or chosen.max() >= self._setup.actions:
            raise ValueError(f"{self._name}: actions must be 0 to {self._setup.actions - 1}, got {chosen.tolist()}")
        self._sent = [self._pool.submit(game.step, row) for game, row in zip(self._games, chosen, strict=True)]

    def recv(self) -> TimeStep[NDArray[Any]]:
        """What the actions handed in last have brought."""
        if not self._sent:
            raise RuntimeError(f"{self._name}: recv called without send")
        self._seen = [future.result() for future in self._sent]
        self._sent = []
        return self._stacked()

    def close(self) -> None:
        """Ends the threads and frees the emulators."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._games, self._sent = [], []

    def _stacked(self) -> TimeStep[NDArray[Any]]:
        seen = [timestep for timestep in self._seen if timestep is not None]
        if len(seen) < self._size:
            raise RuntimeError(f"{self._name}: the first reset must start all games")
        return TimeStep(*(np.stack(leaves) for leaves in zip(*seen, strict=True)))


def _quiet(seen: TimeStep[NDArray[Any]]) -> TimeStep[NDArray[Any]]:
    """The same sight with nothing just happened."""
    return seen._replace(reward=np.zeros_like(seen.reward), terminated=np.array(False), truncated=np.array(False))
