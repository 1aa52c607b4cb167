"""Apples fall one after another; the basket at the bottom catches them. Each game drops the same number of apples."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from rlhf_games.core.card import read_cards
from rlhf_games.core.game import GameSpec, Session, TimeStep
from rlhf_games.core.session import DeviceSession
from rlhf_games.core.spaces import Discrete, Observation

from . import view

_STAY, _LEFT, _RIGHT = range(3)


@dataclass(frozen=True)
class Options:
    """What can be chosen about the game (``rlhf-games check game orchard/apples --set rows=8``)."""

    rows: int = 6
    """Height of the orchard; an apple falls one row per decision."""
    columns: int = 5
    """Width of the orchard; the basket moves one column per decision."""
    apples: int = 10
    """Apples in one episode."""

    def __post_init__(self) -> None:
        if self.rows < 2 or self.columns < 2 or self.apples < 1:
            raise ValueError(f"needs rows >= 2, columns >= 2 and apples >= 1, got {self}")


class State(NamedTuple):
    """Everything that changes; all int32 ``[]``."""

    basket: jax.Array
    """Column of the basket."""
    row: jax.Array
    """Row of the apple, 0 at the top."""
    column: jax.Array
    """Column of the apple."""
    fallen: jax.Array
    """Apples that have reached the bottom row."""
    caught: jax.Array
    """1 if the last decision caught an apple, else 0."""


@dataclass(frozen=True)
class Apples:
    """The rules: pure functions for one game; who needs many uses ``jax.vmap``."""

    options: Options

    @property
    def spec(self) -> GameSpec:
        """The game's description."""
        card = read_cards(Path(__file__).parent)[0]
        shape = (self.options.rows, self.options.columns)
        return GameSpec(
            name=card.name,
            version="1",  # change it whenever the rules change: replays of other versions are refused
            players=1,
            observation=Observation((*shape, 2), "bool", "grid", ("basket", "apple")),
            actions=Discrete(("stay", "left", "right")),
            decisions_per_second=6.0,
            turn_based=False,
            aim=card.aim,
            options=dataclasses.asdict(self.options),
            keys={"left": _LEFT, "right": _RIGHT},
            buttons={"dpleft": _LEFT, "dpright": _RIGHT},
            idle_action=_STAY,
            frame_shape=view.frame_shape(shape),
        )

    def init(self, key: jax.Array) -> State:
        """The first apple at the top, the basket in the middle; the key is consumed."""
        nothing = jnp.int32(0)
        return State(jnp.int32(self.options.columns // 2), nothing, self._drop(key), nothing, nothing)

    def step(self, state: State, action: jax.Array, key: jax.Array) -> State:
        """Moves the basket, then the apple; ``action`` is ``[1]`` int32; the key is consumed."""
        move = jnp.array([0, -1, 1], jnp.int32)[action[0]]
        basket = jnp.clip(state.basket + move, 0, self.options.columns - 1)
        row = state.row + 1
        landed = row == self.options.rows - 1
        return State(
            basket=basket,
            row=jnp.where(landed, 0, row),
            column=jnp.where(landed, self._drop(key), state.column),
            fallen=state.fallen + landed.astype(jnp.int32),
            caught=(landed & (basket == state.column)).astype(jnp.int32),
        )

    def timestep(self, state: State) -> TimeStep[jax.Array]:
        """What the player sees: two planes, one for the basket and one for the apple."""
        planes = jnp.zeros((self.options.rows, self.options.columns, 2), bool)
        planes = planes.at[self.options.rows - 1, state.basket, 0].set(True).at[state.row, state.column, 1].set(True)
        return TimeStep(
            observation=planes[None],
            reward=state.caught.astype(jnp.float32)[None],
            terminated=state.fallen >= self.options.apples,
            truncated=jnp.bool_(False),
            legal_action_mask=jnp.ones((1, 3), bool),
            acting=jnp.ones((1,), bool),
        )

    def draw(self, state: State) -> NDArray[np.uint8]:
        """A picture of one state."""
        return view.draw(np.asarray(self.timestep(state).observation[0]))

    def open(self, seed: int) -> Session:
        """One interactive game."""
        return DeviceSession(self, seed)

    def _drop(self, key: jax.Array) -> jax.Array:
        return jax.random.randint(key, (), 0, self.options.columns, jnp.int32)


def make(name: str, options: Options) -> Apples:
    """Builds the family's game ``name``, one of those in ``cards.toml``; here there is only one."""
    if name != "apples":
        raise ValueError(f"cards.toml names a game {name!r} that game.py does not have")
    return Apples(options)
