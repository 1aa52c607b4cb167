"""How long a learner waits for a database that does not answer: PostgreSQL starts again, and the run goes on."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_SECONDS = 600.0
"""After so long without an answer the run ends, to be resumed."""
_TRY_EVERY = 1.0
"""Seconds."""
_APART = 60.0
"""Failures so many seconds apart are not of one outage."""


class Patience:
    """Asked by a store whether to try the same again; waits a moment before it says yes."""

    def __init__(
        self,
        say: Callable[[str], None],
        until: Callable[[], bool] = lambda: False,
        seconds: float = PATIENCE_SECONDS,
        every: float = _TRY_EVERY,
    ) -> None:
        """How to wait.

        Args:
          say: tells a person, once each time that the database stops answering.
          until: True: somebody wants to stop; then nothing is tried again.
          seconds: how long to try; counted anew once the database has answered for a while.
          every: seconds between two attempts.
        """
        self._say, self._until, self._seconds, self._every = say, until, seconds, every
        self._since = self._last = float("-inf")

    def __call__(self, error: Exception) -> bool:
        """Whether to try again what failed with this error."""
        now = time.monotonic()
        if now - self._last > _APART:  # it has answered meanwhile
            self._since = now
            self._say(f"{error}; trying again for {self._seconds / 60:.0f} minutes")
        if self._until() or now - self._since > self._seconds:
            return False
        time.sleep(self._every)
        self._last = time.monotonic()
        return True
