"""Follows the policy that is coached: the learner publishes a newer one now and then. No pygame; nothing here waits."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rlhf_games.arena.coach_game import CoachGame
    from rlhf_games.arena.work import Worker

_RELOAD_SECONDS = 2.0


class NewestPolicy:
    """Has the game reload what is newer. Call ``tick`` often."""

    def __init__(self, game: CoachGame, worker: Worker, now: Callable[[], float]) -> None:
        """``worker``: plays the game."""
        self._game, self._worker, self._now = game, worker, now
        self.name = game.policy
        """Of the policy that plays."""
        self._job: Future[tuple[str, str]] | None = None
        self._look_at = now() + _RELOAD_SECONDS

    def tick(self) -> str:
        """Takes in a newer policy; returns what the person should know of it, or nothing."""
        words = ""
        if self._job is not None and self._job.done():
            job, self._job = self._job, None
            words = self._found(job)
        if self._job is None and self._now() >= self._look_at:
            self._look_at = self._now() + _RELOAD_SECONDS
            self._job = self._worker.submit(self._game.reload)
        return words

    def _found(self, job: Future[tuple[str, str]]) -> str:
        if (error := job.exception()) is not None:
            return f"A newer policy cannot be used: {error}"
        name, problem = job.result()
        if name == self.name:
            return problem
        self.name = name
        return f"The agent has learned: policy {name} plays now."
