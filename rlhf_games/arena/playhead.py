"""Where in an episode a person is, and how it moves by itself."""

from __future__ import annotations

from collections.abc import Callable

from rlhf_games.arena.playback import REST, next_speed


class Playhead:
    """A position in decisions; between two of them the pictures of the later one are shown."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._last = now()
        self.position = 0.0
        self.paused = True
        self.speed = 1.0
        """Multiple of the game's natural speed."""
        self._rested = 0.0

    @property
    def t(self) -> int:
        """The decision that is looked at."""
        return int(self.position)

    @property
    def rested(self) -> float:
        """Seconds for which it has stood at the end while it was to move on."""
        return self._rested

    @property
    def over(self) -> bool:
        """Whether it has stood at the end long enough for the end to be seen."""
        return self._rested >= REST

    def tick(self, rate: float, limit: int) -> None:
        """Moves on by the time that has passed: ``rate`` decisions a second, not beyond ``limit``."""
        now = self._now()
        passed, self._last = now - self._last, now
        if self.paused:
            return
        there = self.position + passed * self.speed * rate
        self._rested = self._rested + passed if there >= limit else 0.0
        self.position = min(there, float(limit))

    def seek(self, position: float, limit: int) -> None:
        """Goes there, as far as that is possible."""
        self.position, self._rested = min(max(0.0, position), float(max(0, limit))), 0.0

    def step(self, pictures: int, per_decision: int, limit: int) -> None:
        """Pauses and moves by single pictures."""
        self.paused = True
        number = int(self.position * per_decision + 1e-6)
        self.seek((number + pictures) / per_decision, limit)

    def toggle(self) -> None:
        """Pauses, or goes on; from the end it goes on at the beginning."""
        if self.paused and self.over:
            self.position, self._rested = 0.0, 0.0
        self.paused = not self.paused
        self._last = self._now()

    def faster(self, faster: bool) -> None:
        """The next of the speeds."""
        self.speed = next_speed(self.speed, faster)
