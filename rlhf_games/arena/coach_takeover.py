"""A takeover, from the first decision that a key decides until the agent has the game back. No pygame; nothing here waits."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rlhf_games.arena.coach_game import Fork
    from rlhf_games.arena.work import Worker
    from rlhf_games.replay.replay import Replay


@dataclass
class Grip:
    """A takeover that goes on."""

    start: int
    """First decision that a key decided."""
    stop: int
    """One more than the last."""
    shown_at: float
    """When the person saw what they took over; seconds since 1970."""
    fork: Future[Fork]
    """The game as it was then."""


class Takeovers:
    """At most one at a time."""

    def __init__(self, fork: Callable[[], Future[Fork]], aside: Worker) -> None:
        """``fork``: copies the game as it is now; ``aside``: plays what the agent would have done."""
        self._fork, self._aside = fork, aside
        self.grip: Grip | None = None
        """The one that goes on."""

    def begin(self) -> None:
        """A new episode: nothing is taken over yet."""
        self.grip = None

    def hold(self, t: int, shown_at: float) -> None:
        """A key decides decision ``t``."""
        if self.grip is None:
            self.grip = Grip(t, t, shown_at, self._fork())
        self.grip.stop = t + 1

    def let_go(self) -> tuple[Grip, Future[Replay | None]] | None:
        """The agent has the game back: what was taken over, and what the agent would have done instead; None where no key decided."""
        grip, self.grip = self.grip, None
        if grip is None:
            return None
        return grip, self._aside.submit(lambda: grip.fork.result().play(grip.stop - grip.start))
