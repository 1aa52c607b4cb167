"""A replay of an emulated game that is kept open, so that one clip after another can be drawn from it without playing it from its seed.

What is played for the first time is compared with the recording. What is played once more, from a bookmark on, is compared with what was
seen the first time: nothing is handed out that was not checked.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlhf_games.core.errors import UserError
from rlhf_games.core.game import HostGame, RewindableSession, Session, Skipped
from rlhf_games.replay.checksum import MARK_EVERY, digest
from rlhf_games.replay.collect import Collector, enough_to_check
from rlhf_games.replay.piece import Piece
from rlhf_games.replay.replay import Replay, ReplayMismatch, check_spec

_BOOKMARK_EVERY = 64
"""Steps between bookmarks; more in long replays. Divides ``MARK_EVERY``, or is a multiple of it."""
_MOST_BOOKMARKS = 64


class _Place(NamedTuple):
    """A step boundary that was passed once."""

    observation: bytes
    """Digest of what was seen there."""
    bookmark: Any


class Rerun:
    """One replay. Not for several threads."""

    def __init__(self, game: HostGame, replay: Replay) -> None:
        """Raises ``ReplayMismatch`` where the replay belongs to another game."""
        check_spec(replay, game.spec)
        self._game, self._replay = game, replay
        self._collector = Collector(replay, game.spec, (), replay.length)
        self._every = _BOOKMARK_EVERY
        while replay.length > self._every * _MOST_BOOKMARKS:
            self._every *= 2
        self._places: dict[int, _Place] = {}
        self._played = 0
        """Steps that were played and handed to the collector."""
        self._session: Session = game.open(replay.seed)
        self._at = 0
        """Steps that the session has played."""
        self._first: NDArray[np.uint8] | None = None
        """The picture before the first action, once it was seen."""
        self._note()

    def close(self) -> None:
        """Frees the emulator. Safe to call twice."""
        self._session.close()

    def draw(self, start: int, stop: int) -> list[tuple[int, NDArray[np.uint8]]]:
        """Pictures ``[F, H, W, 3]`` of the steps ``start`` to ``stop - 1``, each with its step counted from ``start``; first of all the
        picture before the first action.

        Raises:
          ReplayMismatch: the replay does not reproduce.
          UserError: it is not that long.
        """
        if stop > self._replay.length:
            raise UserError(
                f"a clip asks for step {stop - 1} of replay {self._replay.id}, which has {self._replay.length} steps: cut the clip again"
            )
        self._go_to(start)
        if start == 0 and self._first is None:
            self._first = self._session.frames()[-1:]
        shown = [(0, self._first if start == 0 and self._first is not None else self._session.frames()[-1:])]
        while self._at < stop:
            step = self._at - start
            self._advance(self._at + 1)
            shown.append((step, self._session.frames()))
        if stop <= self._played - 1 or self._at < self._played:  # seen before: on to where that can be told
            self._go_on(min(self._played, -(-stop // self._every) * self._every))
        self._go_on(enough_to_check(self._replay, stop))
        self._check()
        return shown

    def _go_to(self, start: int) -> None:
        """Stands at ``start`` with the picture that was last seen there."""
        last = 0 if start == 0 and self._first is not None else start - 1  # a bookmark brings no picture with it
        back = max((at for at, place in self._places.items() if at <= last and place.bookmark is not None), default=-1)
        if self._at > start or back > self._at:
            if back < 0:
                self._session.close()
                self._session, self._at = self._game.open(self._replay.seed), 0
            else:
                assert isinstance(self._session, RewindableSession)
                self._session.go_back(self._places[back].bookmark)
                self._at = back
        self._go_on(start)

    def _go_on(self, to: int) -> None:
        while self._at < to:
            self._advance(min(to, self._at - self._at % self._every + self._every, self._at - self._at % MARK_EVERY + MARK_EVERY))

    def _advance(self, to: int) -> None:
        """Plays up to ``to``, which is at most the next boundary; compares or takes note of what is there."""
        start, actions = self._at, self._replay.actions[self._at : to]
        brought = _skip(self._session, actions)
        self._at += len(brought.reward)
        new = self._at - max(start, self._played)
        if new > 0:
            self._collect(brought, new)
        if self._at < to:
            self._collector.check()  # over too early: it says so
            raise ReplayMismatch(f"replay {self._replay.id} ended after step {self._at - 1} when it was played once more: leave it out")
        if self._at % self._every == 0 or self._at == self._replay.length:
            self._note()

    def _collect(self, brought: Skipped, new: int) -> None:
        """The last ``new`` of these steps go to the collector: all but the last one unseen, as no mark is among them."""
        observation = self._session.timestep.observation
        for begin, end in ((self._at - new, self._at - 1), (self._at - 1, self._at)):
            if begin == end:
                continue
            cut = slice(len(brought.reward) - (self._at - begin), len(brought.reward) - (self._at - end))
            seen = (lambda: observation[None]) if end == self._at else _unseen
            self._collector.add(Piece(0, begin, end, _unseen, seen, brought.reward[cut], brought.terminated[cut], brought.truncated[cut]))
        self._played = self._at

    def _note(self) -> None:
        seen = digest(self._session.timestep.observation)
        known = self._places.get(self._at)
        if known is None:
            mark = self._session.bookmark() if isinstance(self._session, RewindableSession) else None
            self._places[self._at] = _Place(seen, mark)
        elif known.observation != seen:
            raise ReplayMismatch(
                f"replay {self._replay.id} went another way before step {self._at} when it was played once more: leave it out"
            )

    def _check(self) -> None:
        if self._played == self._replay.length:
            self._collector.check()
        else:
            self._collector.check_marks()


def _skip(session: Session, actions: NDArray[Any]) -> Skipped:
    """One decision is played with pictures; several are got past as quickly as the session can."""
    if len(actions) > 1 and isinstance(session, RewindableSession):
        return session.skip(actions)
    rewards, ends, cuts = [], [], []
    for action in actions:
        seen = session.step(action)
        rewards.append(np.asarray(seen.reward, np.float32))
        ends.append(bool(seen.terminated))
        cuts.append(bool(seen.truncated))
        if ends[-1] or cuts[-1]:
            break
    return Skipped(np.stack(rewards), np.array(ends, bool), np.array(cuts, bool))


def _unseen() -> NDArray[Any]:
    raise AssertionError("nobody looks at steps that lie before a mark")
