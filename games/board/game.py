"""Connect four and tic-tac-toe as two-seat, turn-based device games; the rules are pgx's.

*Seat* is who plays (the player axis ``P`` of every array); *colour* is which stones they have. Colour 0 always moves first, and the seed
draws which seat has it.
"""

from __future__ import annotations

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

_SEATS = 2
_ROWS = ("top", "middle", "bottom")
_COLUMNS = ("left", "centre", "right")
_MEANINGS = {
    "connect_four": tuple(f"column {i}" for i in range(1, 8)),
    "tic_tac_toe": tuple(f"{row} {column}" for row in _ROWS for column in _COLUMNS),
}
_CELLS = {"connect_four": (tuple(range(7)),), "tic_tac_toe": tuple(tuple(range(row, row + 3)) for row in (0, 3, 6))}
"""Actions by place on the board: a whole column, or a cell."""


@dataclass(frozen=True)
class Options:
    """The board games have nothing to choose."""


class State(NamedTuple):
    """The pgx state and what the picture needs beside it."""

    game: Any
    last_action: jax.Array
    """``[]`` int32, -1 before the first move."""


@dataclass(frozen=True)
class Board:
    """One board game as a device game. Equal name and options make equal games, which share what JAX compiled."""

    name: str
    """As in ``cards.toml``."""
    options: Options

    @cached_property
    def _env(self) -> Any:
        # pgx makes arrays when it is imported and built; the first use may be inside a trace, where they would become tracers.
        with jax.ensure_compile_time_eval():
            rules = importlib.import_module(f"pgx.{self.name}")  # deferred: listing games must not pay for it
            return getattr(rules, self.name.title().replace("_", ""))()

    @cached_property
    def _card(self) -> dict[str, Any]:
        table = tomllib.loads(Path(__file__).with_name("cards.toml").read_text(encoding="utf-8"))
        card: dict[str, Any] = next(entry for entry in table["game"] if entry["name"] == self.name)
        return card

    @cached_property
    def spec(self) -> GameSpec:
        """The game's description."""
        with third_party():
            state = jax.eval_shape(self._env.init, jax.random.key(0))
        meanings = _MEANINGS[self.name]
        return GameSpec(
            name=f"board/{self.name}",
            version=f"pgx-{self._env.version}",
            players=_SEATS,
            observation=Observation(state.observation.shape, "bool", "grid", ("mine", "theirs")),
            actions=Discrete(meanings),
            decisions_per_second=float(self._card["decisions_per_second"]),
            turn_based=True,
            aim=self._card["aim"],
            keys={str(i + 1): i for i in range(len(meanings))},
            frame_shape=view.frame_shape(self.name),
            board_in_frame=view.board_place(self.name),
            cells=_CELLS[self.name],
            seats=(f"{self._card['sides'][0]} if first to move, else {self._card['sides'][1]}",) * _SEATS,
        )

    def init(self, key: jax.Array) -> State:
        """An empty board; the key, which is consumed, draws the seat that moves first."""
        with third_party():
            return State(self._env.init(key), jnp.int32(-1))

    def step(self, state: State, action: jax.Array, key: jax.Array) -> State:
        """One move; ``action`` is ``[2]`` int32, of which only the acting seat's entry counts; the key is consumed (no chance here).

        An illegal move loses at once and leaves the board as it was. A step after termination changes nothing and earns 0.
        """
        game = state.game
        chosen = action[game.current_player]
        played = game.legal_action_mask[chosen] & ~game.terminated
        with third_party():
            after = self._env.step(game, chosen, key)
        # pgx plays an illegal move before it ends the game, over stones that lie there; the board must stay what the seats saw.
        refused = game.replace(rewards=after.rewards, terminated=after.terminated, legal_action_mask=after.legal_action_mask)
        kept = jax.tree.map(lambda new, old: jnp.where(played, new, old), after, refused)
        return State(kept, jnp.where(played, chosen, state.last_action))

    def timestep(self, state: State) -> TimeStep[jax.Array]:
        """What the two seats see: the same board, each with its own stones first."""
        game = state.game
        seats = jnp.arange(_SEATS)
        acting = seats == game.current_player
        # pgx observes for the seat to move; the other seat sees the same two planes the other way round.
        observation = jnp.where(acting[:, None, None, None], game.observation[None], game.observation[None, ..., ::-1])
        return TimeStep(
            observation=observation,
            reward=game.rewards.astype(jnp.float32),
            terminated=game.terminated,
            truncated=jnp.zeros((), bool),
            legal_action_mask=jnp.broadcast_to(game.legal_action_mask[None], (_SEATS, game.legal_action_mask.shape[0])),
            acting=acting,
        )

    def draw(self, state: State) -> NDArray[np.uint8]:
        """A picture of one state: the board, the last move, whose turn it is or who won."""
        game = state.game
        mine, theirs = np.moveaxis(np.asarray(game.observation), -1, 0)
        to_move = int(mine.sum() + theirs.sum()) % 2  # the colour: colours alternate and colour 0 starts
        board = np.where(mine, to_move, np.where(theirs, 1 - to_move, -1)).astype(np.int8)
        seat = int(game.current_player)
        if not game.terminated:
            status = f"seat {seat} ({self._card['sides'][to_move]}) to move"
        elif not np.any(game.rewards):
            status = "draw"
        else:
            winner = int(np.argmax(game.rewards))
            status = f"seat {winner} ({self._card['sides'][to_move if winner == seat else 1 - to_move]}) won"
        return view.draw(self.name, board, int(state.last_action), status)

    def open(self, seed: int) -> Session:
        """One interactive game."""
        return DeviceSession(self, seed)


def make(name: str, options: Options) -> Board:
    """Builds one of the family's games; ``name`` is as in ``cards.toml``."""
    return Board(name, options)
