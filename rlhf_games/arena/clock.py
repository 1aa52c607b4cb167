"""Evenly spaced steps on an injected clock."""

from __future__ import annotations

from collections.abc import Callable


class StepClock:
    """Says when the next step is due. A late step is taken late; steps that were missed altogether are not made up for."""

    def __init__(self, rate: float, now: Callable[[], float]) -> None:
        """``rate``: steps per second, above 0; ``now``: seconds, never going back. The first step is due at once."""
        self._now = now
        self._interval = 1.0 / rate
        self._next = now()

    @property
    def interval(self) -> float:
        """Seconds between steps."""
        return self._interval

    @property
    def remaining(self) -> float:
        """Seconds until the next step is due; 0 where it is due already."""
        return max(0.0, self._next - self._now())

    def set_rate(self, rate: float) -> None:
        """Changes the steps per second; a wait that has begun is shortened or lengthened with it."""
        left = self.remaining / self._interval
        self._interval = 1.0 / rate
        self._next = self._now() + left * self._interval

    def restart(self) -> None:
        """A whole interval from now, as after a pause."""
        self._next = self._now() + self._interval

    def due(self) -> bool:
        """Whether a step is due; if so it counts as taken."""
        now = self._now()
        if now < self._next:
            return False
        self._next += self._interval
        if self._next <= now:
            self._next = now + self._interval
        return True
