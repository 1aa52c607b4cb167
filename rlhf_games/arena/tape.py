"""One replay as it is played again for a person to move about in: pictures, observations and masks at every decision, compressed.

Position ``t`` of an episode of ``T`` steps, ``0 ≤ t ≤ T``, is the state before decision ``t``; ``T`` is the state after the last one.
Nothing is given out before it was compared with the recording: up to the last mark (every 256 steps), or to the end.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlhf_games.arena.films import Strip
from rlhf_games.core.errors import UserError
from rlhf_games.core.game import DeviceGame
from rlhf_games.replay.collect import Collector
from rlhf_games.replay.piece import step_piece
from rlhf_games.replay.replay import Replay, check_spec

if TYPE_CHECKING:
    from rlhf_games.core.game import Game, GameSpec, Session

_SNAPSHOTS = 8
"""Copies of an emulated game that are kept along an episode: a copy may take a fifth of a second, so there are few."""
_DEVICE_EVERY = 16
"""Steps between the copies of a compiled game, which cost nothing."""


class Seen(NamedTuple):
    """Decisions ``start`` to ``start + n - 1`` of an episode, for all seats."""

    start: int
    observation: NDArray[Any]
    """``[n, P, ...]`` before the action."""
    next_observation: NDArray[Any]
    """``[n, P, ...]`` after it."""
    action: NDArray[Any]
    """``[n, P, ...]``."""
    legal: NDArray[np.bool_]
    """``[n, P, A]`` before the action."""
    reward: NDArray[np.float32]
    """``[n, P]``: the game's own."""


class Tape:
    """Grows while one thread plays it (`play`); what is checked may be looked at from any thread."""

    def __init__(self, game: Game, replay: Replay) -> None:
        """Raises ``ReplayMismatch`` where the replay belongs to another game, ``UserError`` where the game has no pictures."""
        check_spec(replay, game.spec)
        if 0 in game.spec.frame_shape:
            raise UserError(f"{replay.game} has no pictures, so there is nothing to watch")
        self.game, self.replay = game, replay
        self.checked = 0
        """Positions ``0 .. checked - 1`` may be looked at; ``T + 1`` when all are there."""
        self.nbytes = 0
        """Memory that what was seen takes."""
        self._collector = Collector(replay, game.spec, (), replay.length)
        self._live: Session | None = None
        self._pictures: list[Strip] = []
        self._observations: list[bytes] = []
        self._legal: list[NDArray[np.bool_]] = []
        self._acting: list[NDArray[np.bool_]] = []
        self._snapshots: dict[int, Session] = {}
        self._recent: tuple[int, Session] | None = None

    @property
    def spec(self) -> GameSpec:
        """The game's description."""
        return self.game.spec

    @property
    def length(self) -> int:
        """Decisions ``T``."""
        return self.replay.length

    @property
    def done(self) -> bool:
        """Whether everything was played and checked."""
        return self.checked > self.length

    @property
    def share(self) -> float:
        """How much has been played, in [0, 1]."""
        return max(0, len(self._pictures) - 1) / self.length

    def ends_at(self, t: int) -> bool:
        """Whether the episode is over at position ``t``; a recording may stop before."""
        return t >= self.length and self.replay.ended != "unfinished"

    # On the worker that plays

    def play(self, steps: int) -> None:
        """Plays on by so many decisions, or to the end.

        Raises:
          ReplayMismatch: it does not bring what was recorded.
        """
        if self._live is None:
            self._live = self.game.open(self.replay.seed)
            self._keep(self._live)
        begin = len(self._pictures) - 1
        for t in range(begin, min(begin + steps, self.length)):
            if t and t % self._every == 0:
                self._snapshots[t] = self._live.branch()
            before = self._live.timestep
            after = self._live.step(self.replay.actions[t])
            self._collector.add(step_piece(t, before, after))
            self._keep(self._live)
        if len(self._pictures) <= self.length:
            marked = self._collector.check_marks()
            self.checked = marked + 1 if marked else 0
            return
        self._collector.check()
        self._live.close()
        self.checked = self.length + 1

    @property
    def _every(self) -> int:
        return _DEVICE_EVERY if isinstance(self.game, DeviceGame) else max(64, -(-self.length // _SNAPSHOTS))

    def _keep(self, session: Session) -> None:
        seen = session.timestep
        self._pictures.append(Strip(session.frames()))
        self._observations.append(zlib.compress(np.ascontiguousarray(seen.observation).tobytes(), 1))
        self.nbytes += self._pictures[-1].nbytes + len(self._observations[-1])
        self._legal.append(np.asarray(seen.legal_action_mask, bool))
        self._acting.append(np.asarray(seen.acting, bool))

    # From any thread, of what is checked

    def pictures(self, t: int) -> Strip:
        """What was seen from decision ``t - 1`` on; the last picture is the state before decision ``t``."""
        self._demand(t)
        return self._pictures[t]

    def legal(self, t: int) -> NDArray[np.bool_]:
        """``[P, A]`` before decision ``t``."""
        self._demand(t)
        return self._legal[t]

    def acting(self, t: int) -> NDArray[np.bool_]:
        """``[P]``: who chooses at decision ``t``."""
        self._demand(t)
        return self._acting[t]

    def rewards(self, seat: int) -> NDArray[np.float32]:
        """``[checked - 1]`` what the game itself gave the seat for each decision so far."""
        return self._collector.reward[: max(0, self.checked - 1), seat]

    def look(self, start: int, stop: int) -> Seen:
        """Decisions ``start`` to ``stop - 1``; at least one."""
        self._demand(stop)
        seen = np.stack([self._observation(t) for t in range(start, stop + 1)])
        actions, rewards = self.replay.actions[start:stop], self._collector.reward[start:stop]
        return Seen(start, seen[:-1], seen[1:], actions, np.stack(self._legal[start:stop]), rewards)

    def _observation(self, t: int) -> NDArray[Any]:
        about = self.spec.observation
        return np.frombuffer(zlib.decompress(self._observations[t]), about.dtype).reshape(self.replay.players, *about.shape)

    def _demand(self, t: int) -> None:
        if not 0 <= t < self.checked:
            raise IndexError(f"position {t} of replay {self.replay.id} is not played yet: there are {self.checked}")

    # On the worker that thinks

    def session_at(self, t: int) -> Session:
        """The game standing before decision ``t``, to try things in; the caller closes it."""
        self._demand(t)
        if self._recent is None or self._recent[0] != t:
            start = max((place for place in list(self._snapshots) if place <= t), default=0)
            session = self._snapshots[start].branch() if start in self._snapshots else self.game.open(self.replay.seed)
            for step in range(start, t):
                session.step(self.replay.actions[step])
            self._recent = (t, session)
        return self._recent[1].branch()

    def close(self) -> None:
        """Frees the games; what was seen stays. It cannot be played on, and nothing can be tried in it."""
        recent = None if self._recent is None else self._recent[1]
        for session in (*self._snapshots.values(), self._live, recent):
            if session is not None:
                session.close()
        self._snapshots, self._recent = {}, None
