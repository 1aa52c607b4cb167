"""One interactive PettingZoo game with every frame in colour."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlhf_games.core.game import GameSpec, Session, TimeStep

from .seats import Seats, Setup


class SeatsSession:
    """One game, played decision by decision: exactly what a batch plays."""

    def __init__(self, spec: GameSpec, setup: Setup, seed: int) -> None:
        self._spec = spec
        self._frames: list[NDArray[np.uint8]] = []
        self._seats = Seats(setup, watch=lambda emulator: self._frames.append(emulator.getScreenRGB()))
        self._timestep = self._seats.reset(seed)

    @property
    def spec(self) -> GameSpec:
        """The game's description."""
        return self._spec

    @property
    def timestep(self) -> TimeStep[NDArray[Any]]:
        """What the players see now."""
        return self._timestep

    def step(self, action: NDArray[Any]) -> TimeStep[NDArray[Any]]:
        """Plays one decision, ``action`` is ``[P]``; raises ``RuntimeError`` when the episode is over."""
        if self._seats.over:
            raise RuntimeError(f"{self._spec.name}: the episode is over; open a new session with another seed")
        setup = self._seats.setup
        chosen = np.asarray(action).reshape(setup.players)
        if chosen.min() < 0 or chosen.max() >= setup.actions:
            raise ValueError(f"{self._spec.name}: actions must be 0 to {setup.actions - 1}, got {chosen.tolist()}")
        self._frames.clear()
        self._timestep = self._seats.step(chosen)
        return self._timestep

    def frames(self) -> NDArray[np.uint8]:
        """Every frame since the last decision, ``[F, H, W, 3]``."""
        return np.stack(self._frames)

    def branch(self) -> Session:
        """An independent copy, made from the emulator's saved state."""
        copy = SeatsSession(self._spec, self._seats.setup, 0)
        self._seats.copy_to(copy._seats)
        copy._frames[:] = self._frames
        copy._timestep = self._timestep
        return copy

    def close(self) -> None:
        """Nothing to free by hand: the emulator goes with the session."""
