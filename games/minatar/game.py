"""The five MinAtar games (Young & Tian 2019, arXiv 1903.03176) as pgx implements them: 10×10 planes, sticky actions 0.1."""

from __future__ import annotations

import dataclasses
import importlib
import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from rlhf_games.core.game import GameSpec, Session, TimeStep
from rlhf_games.core.promotion import third_party
from rlhf_games.core.session import DeviceSession
from rlhf_games.core.spaces import Discrete, Observation

from . import view

_MEANINGS = ("stay", "left", "up", "right", "down", "fire")
_KEYS = {"left": "left", "up": "up", "right": "right", "down": "down", "fire": "space"}
_BUTTONS = {"left": "dpleft", "up": "dpup", "right": "dpright", "down": "dpdown", "fire": "a"}


@dataclass(frozen=True)
class Options:
    """What can be chosen about a MinAtar game."""

    sticky_action_prob: float = 0.1
    """Chance in [0, 1) that the last action is repeated instead of the chosen one."""
    max_steps: int = 5_000
    """An episode is truncated after this many steps (the original has no limit, and good agents never end)."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.sticky_action_prob < 1.0:
            raise ValueError(f"sticky_action_prob must be in [0, 1), got {self.sticky_action_prob}")
        if self.max_steps < 1:
            raise ValueError(f"max_steps must be at least 1, got {self.max_steps}")


class State(NamedTuple):
    """The pgx state and the time."""

    game: Any
    t: jax.Array
    """``[]`` int32 steps since the start of the episode."""


@dataclass(frozen=True)
class MinAtar:
    """One MinAtar game as a device game. Equal name and options make equal games, which share what JAX compiled."""

    name: str
    """As in ``cards.toml``."""
    options: Options

    @cached_property
    def _env(self) -> Any:
        # pgx makes arrays when it is imported and built; the first use may be inside a trace, where they would become tracers.
        with jax.ensure_compile_time_eval():
            rules = importlib.import_module(f"pgx.minatar.{self.name}")
            kind = getattr(rules, f"MinAtar{self.name.title().replace('_', '')}")
            return kind(sticky_action_prob=self.options.sticky_action_prob)

    @cached_property
    def spec(self) -> GameSpec:
        """The game's description."""
        card = tomllib.loads(Path(__file__).with_name("cards.toml").read_text(encoding="utf-8"))
        game = next(entry for entry in card["game"] if entry["name"] == self.name)
        with third_party():
            state = jax.eval_shape(self._env.init, jax.random.key(0))
        meanings = tuple(_MEANINGS[i] for i in np.asarray(self._env.minimal_action_set))
        return GameSpec(
            name=f"minatar/{self.name}",
            version=f"pgx-{self._env.version}",
            players=1,
            observation=Observation(
                state.observation.shape, "bool", "grid", tuple(game["channels"]), tuple(tuple(region) for region in game["regions"])
            ),
            actions=Discrete(meanings),
            decisions_per_second=float(game["decisions_per_second"]),
            turn_based=False,
            aim=game["aim"],
            options=dataclasses.asdict(self.options),
            keys={_KEYS[m]: i for i, m in enumerate(meanings) if m in _KEYS},
            buttons={_BUTTONS[m]: i for i, m in enumerate(meanings) if m in _BUTTONS},
            idle_action=meanings.index("stay"),
            frame_shape=view.frame_shape(state.observation.shape),
            board_in_frame=view.board_place(state.observation.shape),
        )

    def init(self, key: jax.Array) -> State:
        """The start of an episode; the key is consumed."""
        with third_party():
            return State(self._env.init(key), jnp.int32(0))

    def step(self, state: State, action: jax.Array, key: jax.Array) -> State:
        """One step; ``action`` is ``[1]`` int32; the key is consumed. A step after termination changes nothing and earns 0."""
        with third_party():
            return State(self._env.step(state.game, action[0], key), state.t + 1)

    def timestep(self, state: State) -> TimeStep[jax.Array]:
        """What the player sees."""
        game = state.game
        return TimeStep(
            observation=game.observation[None],
            reward=game.rewards.astype(jnp.float32),
            terminated=game.terminated,
            truncated=(state.t >= self.options.max_steps) & ~game.terminated,
            legal_action_mask=game.legal_action_mask[None],
            acting=jnp.ones((1,), bool),
        )

    def draw(self, state: State) -> NDArray[np.uint8]:
        """A picture of one state, coloured by channel."""
        return view.draw(np.asarray(state.game.observation), self.spec.observation.channels)

    def open(self, seed: int) -> Session:
        """One interactive game."""
        return DeviceSession(self, seed)


def make(name: str, options: Options) -> MinAtar:
    """Builds one of the family's games; ``name`` is as in ``cards.toml``."""
    return MinAtar(name, options)
