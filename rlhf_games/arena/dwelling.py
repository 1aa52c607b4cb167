"""Since when a person is where they are, and whether they have looked at it for a while: that is a question too. Knows no pygame."""

from __future__ import annotations

from collections.abc import Callable, Hashable

DWELL = 1.0
"""Seconds for which a person who stands still has looked at what is shown."""


class Dwelling:
    """Told again and again where the person is."""

    def __init__(self, now: Callable[[], float], wall: Callable[[], float]) -> None:
        """``now``: seconds, never going back; ``wall``: seconds since 1970."""
        self._now, self._wall = now, wall
        self.since = 0.0
        """When the place came into sight, in seconds since 1970."""
        self._there: Hashable = None
        self._here: Hashable = None
        self._arrived = 0.0

    def arrive(self, there: Hashable) -> None:
        """This can be seen from now on, where something else was to be seen before."""
        if there != self._there:
            self._there, self.since = there, self._wall()

    def stays(self, here: Hashable, still: bool) -> bool:
        """Whether the person has looked at this, all as it is now, for long enough; ``still``: nothing moves."""
        if here != self._here or not still:
            self._here, self._arrived = here, self._now()
            return False
        return self._now() >= self._arrived + DWELL
