"""Work for one worker, one piece at a time: what is most urgent is chosen when the worker is free, not when it was thought of."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from rlhf_games.arena.work import Worker

T = TypeVar("T")


class Errands:
    """Keeps at most one piece of work on its way. Call ``tick`` often."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._job: Future[Any] | None = None
        self._then: Callable[[Any], None] = lambda _: None
        self._failed: Callable[[BaseException], None] = lambda _: None
        self.words = ""
        """What is being done, for people; empty while nothing is."""

    @property
    def free(self) -> bool:
        """Whether `start` may be called."""
        return self._job is None

    def start(self, words: str, work: Callable[[], T], then: Callable[[T], None], failed: Callable[[BaseException], None]) -> None:
        """Hands out ``work``; ``then`` gets its result, or ``failed`` its error, inside a later `tick`."""
        assert self._job is None, "one piece of work at a time"
        self.words, self._then, self._failed = words, then, failed
        self._job = self._worker.submit(work)

    def tick(self) -> None:
        """Takes in what is done."""
        if self._job is None or not self._job.done():
            return
        job, self._job, self.words = self._job, None, ""
        error = job.exception()
        if error is None:
            self._then(job.result())
        else:
            self._failed(error)

    def close(self, last: Callable[[], None] = lambda: None) -> None:
        """Waits for what is on its way, whose result nobody gets, and does ``last`` on the worker."""
        self._job = None
        self._worker.submit(last)
        self._worker.shutdown(wait=True)


def problem_words(error: BaseException) -> str:
    """An error as a sentence for the screen."""
    from rlhf_games.core.errors import UserError

    return str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
