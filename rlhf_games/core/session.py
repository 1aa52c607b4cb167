"""An interactive session of any device game."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from rlhf_games.core.game import DeviceGame, GameSpec, Session, TimeStep
from rlhf_games.core.keys import step_key


def episode_functions(game: DeviceGame) -> tuple[Any, Any]:
    """How seed and time drive one game: ``start(seed)`` and ``advance(state, action, seed, t)``, both to ``(state, timestep)``; pure."""

    def start(seed: jax.Array) -> Any:
        state = game.init(step_key(seed, 0))
        return state, game.timestep(state)

    def advance(state: Any, action: jax.Array, seed: jax.Array, t: jax.Array) -> Any:
        after = game.step(state, action, step_key(seed, t + 1))
        return after, game.timestep(after)

    return start, advance


@lru_cache(maxsize=64)
def _compiled(game: DeviceGame) -> tuple[Any, Any]:
    start, advance = episode_functions(game)
    return jax.jit(start), jax.jit(advance)


class DeviceSession:
    """One device game, played step by step. Branching is free: states are immutable."""

    def __init__(self, game: DeviceGame, seed: int) -> None:
        self._game = game
        self._seed = np.uint32(seed)
        self._t = 0
        start, self._advance = _compiled(game)
        self._state, timestep = start(self._seed)
        self._timestep: TimeStep[NDArray[Any]] = jax.tree.map(np.asarray, timestep)

    @property
    def spec(self) -> GameSpec:
        """The game's description."""
        return self._game.spec

    @property
    def timestep(self) -> TimeStep[NDArray[Any]]:
        """What the players see now."""
        return self._timestep

    def step(self, action: NDArray[Any]) -> TimeStep[NDArray[Any]]:
        """Plays one decision; raises ``RuntimeError`` when the episode is over."""
        if self._timestep.terminated or self._timestep.truncated:
            raise RuntimeError(f"{self.spec.name}: the episode is over; open a new session with another seed")
        self._state, timestep = self._advance(self._state, jnp.asarray(action), self._seed, np.int32(self._t))
        self._t += 1
        self._timestep = jax.tree.map(np.asarray, timestep)
        return self._timestep

    def frames(self) -> NDArray[np.uint8]:
        """The picture of the present state, ``[1, H, W, 3]``."""
        return self._game.draw(jax.tree.map(np.asarray, self._state))[None]

    def branch(self) -> Session:
        """A copy that goes its own way."""
        copy = object.__new__(DeviceSession)
        copy.__dict__.update(self.__dict__)
        return copy

    def close(self) -> None:
        """Nothing to free."""
