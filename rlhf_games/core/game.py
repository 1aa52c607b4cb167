"""The contract of a game.

Shapes: ``P`` players, ``A`` actions (``spec.actions.n``), ``N`` games in a batch, ``F`` frames.

A *device game* is pure functions that compile under ``jit`` and ``vmap``. A *host game* runs in ordinary memory (an emulator). Both
can be opened as one interactive *session*, which is all that the arena, replays, takeover and what-if questions use.

Seed and actions determine everything: ``init`` takes ``step_key(seed, 0)`` and the ``t``-th step (counted from 0) takes
``step_key(seed, t + 1)``; a host game takes the seed itself at every episode start.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, Protocol, TypeAlias, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from rlhf_games.core.spaces import ActionSpace, Discrete, Observation

Array: TypeAlias = Any
"""A JAX array inside ``jit``, a NumPy array on the host. Shapes are written where the name is used."""
ArrayT = TypeVar("ArrayT")


class TimeStep(NamedTuple, Generic[ArrayT]):
    """What the players see before they choose, and what their last choice brought."""

    observation: ArrayT
    """``[P, ...]``, as ``spec.observation`` says, one row per seat."""
    reward: ArrayT
    """``[P]`` float32: what the last action earned each seat (0 after a reset)."""
    terminated: ArrayT
    """``[]`` bool: the game is over by its own rules."""
    truncated: ArrayT
    """``[]`` bool: stopped from outside (a step limit); the future would have had value."""
    legal_action_mask: ArrayT
    """``[P, A]`` bool; at least one True for each seat that acts."""
    acting: ArrayT
    """``[P]`` bool: who moves now. In a simultaneous game all who are not out, in a turn-based game one; the others wait for their turn."""
    out: ArrayT | None = None
    """``[P]`` bool: who is out of this episode (died, gave up): never moves again in it and earns nothing more. None: nobody ever is."""


def seats_out(timestep: TimeStep[Any]) -> Any:
    """bool, of the shape of ``acting``: who plays no more in this episode."""
    return timestep.acting & ~timestep.acting if timestep.out is None else timestep.out


@dataclass(frozen=True)
class GameSpec:
    """Everything about a game that does not change while it is played."""

    name: str
    """``family/game``, for example ``minatar/breakout``."""
    version: str
    """Changes when behaviour changes: replays of another version are refused."""
    players: int
    observation: Observation
    actions: ActionSpace
    decisions_per_second: float
    """Natural speed for a person; frames per second are this times the frames per decision."""
    turn_based: bool
    aim: str
    """One sentence for a person who has never seen the game."""
    options: dict[str, Any] = field(default_factory=dict)
    """The options the game was made with, as JSON values; with name and version they rebuild it."""
    keys: dict[str, int] = field(default_factory=dict)
    """Default keyboard: names joined by ``+`` for chords (``"left"``, ``"space+up"``) to action index."""
    buttons: dict[str, int] = field(default_factory=dict)
    """Default gamepad: SDL game-controller names (``"dpleft"``, ``"a"``) to action index."""
    idle_action: int = 0
    """Action taken when no key is held (in a game that does not wait for its player)."""
    hides_score: str = ""
    """What ``hide_score`` blanks in this game; empty where the score is not shown to agents at all."""
    shows_end: str = ""
    """What in the observation gives away that an episode ended; empty where nothing does."""
    frame_shape: tuple[int, int] = (0, 0)
    """``(height, width)`` of the pictures a session gives."""
    board_in_frame: tuple[int, int, int, int] | None = None
    """``(top, left, height, width)`` in pixels: where in a picture the observation's rows and columns lie; None: it fills the picture."""
    score_in_frame: tuple[tuple[int, int, int, int], ...] = ()
    """The same for each place where a picture shows score or lives, so that they can be covered; empty where nobody has marked any."""
    seats: tuple[str, ...] = ()
    """What each seat plays, in a few words for a person (``"the green paddle on the right"``); empty where nobody has said."""
    cells: tuple[tuple[int, ...], ...] = ()
    """The action that a click into each row and column of the board (``board_in_frame``, divided evenly) plays; empty: none."""

    def __post_init__(self) -> None:
        if self.seats and len(self.seats) != self.players:
            raise ValueError(f"{self.name}: seats must name all {self.players} players, got {self.seats}")
        if len({len(row) for row in self.cells}) > 1 or any(not row for row in self.cells):
            raise ValueError(f"{self.name}: cells must be rows of one length, at least 1, got {self.cells}")
        count = self.actions.n if isinstance(self.actions, Discrete) else 0
        if unknown := sorted({action for row in self.cells for action in row if not 0 <= action < count}):
            raise ValueError(f"{self.name}: cells name actions {unknown}, but there are {count} to choose from, counted from 0")


class Session(Protocol):
    """One interactive game. Frames are uint8 ``[H, W, 3]``."""

    @property
    def spec(self) -> GameSpec:
        """The game's description."""
        ...

    @property
    def timestep(self) -> TimeStep[NDArray[Any]]:
        """What the players see now (NumPy, no batch dimension)."""
        ...

    def step(self, action: NDArray[Any]) -> TimeStep[NDArray[Any]]:
        """Plays one decision: ``action`` is ``[P, ...]``. Raises ``RuntimeError`` when the episode is over."""
        ...

    def frames(self) -> NDArray[np.uint8]:
        """Pictures ``[F, H, W, 3]`` since the last decision (``F ≥ 1``; after opening: the first picture)."""
        ...

    def branch(self) -> Session:
        """An independent copy to try things in; it shares nothing that changes."""
        ...

    def close(self) -> None:
        """Frees what the session holds. Safe to call twice."""
        ...


class Skipped(NamedTuple):
    """What ``n`` decisions brought that nobody looked at."""

    reward: NDArray[np.float32]
    """``[n, P]``."""
    terminated: NDArray[np.bool_]
    """``[n]``."""
    truncated: NDArray[np.bool_]
    """``[n]``."""


@runtime_checkable
class RewindableSession(Protocol):
    """What a session may offer besides, where it is far quicker than playing and copying: an emulator."""

    def skip(self, actions: NDArray[Any]) -> Skipped:
        """Plays the decisions ``[n, P, ...]``, n ≥ 1, as `Session.step` does, without pictures and observations but the last ones.

        It stops at the end of the episode: then fewer than ``n`` come back.
        """
        ...

    def bookmark(self) -> Any:
        """Something that `go_back` takes: where the session stands now; small. None where this game cannot be gone back in."""
        ...

    def go_back(self, bookmark: Any) -> None:
        """Stands where the session stood at the bookmark, and goes on from there in the same way.

        `Session.frames` has nothing to show until the next step.
        """
        ...


@runtime_checkable
class DeviceGame(Protocol):
    """A game of pure functions for one instance; callers ``vmap``. State is any pytree of arrays.

    Hashable: compiled functions are kept by game.
    """

    def __hash__(self) -> int:
        """By identity, or by name and options."""
        ...

    @property
    def spec(self) -> GameSpec:
        """The game's description."""
        ...

    def init(self, key: Array) -> Array:
        """The state at the start of an episode; the key is consumed."""
        ...

    def step(self, state: Array, action: Array, key: Array) -> Array:
        """The state after ``action`` (``[P, ...]``; entries of seats that do not act are ignored); the key is consumed."""
        ...

    def timestep(self, state: Array) -> TimeStep[Array]:
        """What the players see in ``state``."""
        ...

    def draw(self, state: Array) -> NDArray[np.uint8]:
        """A picture ``[H, W, 3]`` of one state (NumPy leaves), for people."""
        ...

    def open(self, seed: int) -> Session:
        """One interactive game from an explicit seed."""
        ...


class HostBatch(Protocol):
    """``N`` games that run on the host. Never resets by itself: the driver gives each episode its own seed."""

    def reset(self, seeds: NDArray[np.uint32], where: NDArray[np.bool_] | None = None) -> TimeStep[NDArray[Any]]:
        """Starts new episodes in the games ``where`` (default: all); ``seeds`` is ``[N]``, entries elsewhere are ignored.

        Returns the batch's time step ``[N, ...]``, in which untouched games keep observation and mask and have reward 0.
        """
        ...

    def send(self, actions: NDArray[Any]) -> None:
        """Hands in actions ``[N, P, ...]`` and returns at once; ``recv`` gives what they brought."""
        ...

    def recv(self) -> TimeStep[NDArray[Any]]:
        """Waits for the actions handed in last. Arrays are the caller's to keep."""
        ...

    def close(self) -> None:
        """Frees the emulators. Safe to call twice."""
        ...


@runtime_checkable
class HostGame(Protocol):
    """A game that runs on the host."""

    @property
    def spec(self) -> GameSpec:
        """The game's description."""
        ...

    def batch(self, size: int) -> HostBatch:
        """``size`` games side by side, not yet reset."""
        ...

    def open(self, seed: int) -> Session:
        """One interactive game from an explicit seed; exactly what ``batch`` plays, with pictures."""
        ...


Game: TypeAlias = DeviceGame | HostGame
