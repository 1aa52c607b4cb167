"""The newest policy that a run has published. No pygame; nothing here waits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from rlhf_games.arena.errands import Errands, problem_words
from rlhf_games.arena.insight import Mind
from rlhf_games.arena.work import Worker

_LOOK_EVERY = 2.0
"""Seconds."""


class Publications(Protocol):
    """What a run publishes; ``rlhf_games.published.run.PublishedRun`` is one."""

    def poll(self) -> Mind | None:
        """The newest where it is another than the last one given."""
        ...


class Minds:
    """Follows a run. Call ``tick`` often."""

    def __init__(self, open_run: Callable[[], Publications] | None, worker: Worker, now: Callable[[], float]) -> None:
        """``open_run``: called on the worker, again and again while it says (``UserError``) that nothing is there; None: no run."""
        self._open, self._now = open_run, now
        self._errands = Errands(worker)
        self._run: Publications | None = None
        self._look_at = now()
        self.newest: Mind | None = None
        self.problem = "" if open_run is not None else "A store alone has no policy to ask: open the run's folder for that."
        """Why there is none."""
        self.looked = open_run is None
        """Whether it is known whether there is one."""

    def tick(self) -> None:
        """Looks now and then."""
        self._errands.tick()
        if self._open is not None and self._errands.free and self._now() >= self._look_at:
            self._look_at = self._now() + _LOOK_EVERY
            self._errands.start("looking for the newest policy", self._poll, self._take, self._fail)

    def close(self) -> None:
        """Ends."""
        self._errands.close()

    def _poll(self) -> Mind | None:
        assert self._open is not None
        if self._run is None:
            self._run = self._open()
        return self._run.poll()

    def _take(self, found: Mind | None) -> None:
        self.looked = True
        if found is not None:
            self.newest, self.problem = found, ""

    def _fail(self, error: BaseException) -> None:
        self.looked = True
        self.problem = problem_words(error)
