"""How far a run is, for every view of it: what is answered, what is left, how fast, and what the agent has learned meanwhile.

Looked up in a thread of its own every two seconds; nothing here waits.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, NamedTuple

from rlhf_games.arena.learner import Learner, read_learner
from rlhf_games.arena.runs import Learning, MetricsTail, Target
from rlhf_games.arena.work import Worker, new_worker
from rlhf_games.core.errors import UserError

if TYPE_CHECKING:
    from rlhf_games.feedback.store import Progress, Store

_LOOK_EVERY = 2.0
"""Seconds."""
_ANSWERS_SHOWN = 60.0
"""Seconds over which answers per minute are counted."""


class _Looked(NamedTuple):
    """What was found."""

    progress: Progress | None
    learning: Learning | None
    learner: Learner | None


class Headway:
    """Call ``tick`` often."""

    def __init__(
        self, target: Target, worker: Worker | None = None, now: Callable[[], float] = time.monotonic, *, shows_score: bool = True
    ) -> None:
        """``target``: a run, or a store without one (then nothing is known of an agent); ``shows_score``: to begin with."""
        self.shows_score = shows_score
        """Whether the person wants to see the agent's score; one who judges may be influenced by it."""
        self.learner: Learner | None = None
        """What the run's learner does; None while nothing is known."""
        self.budget = target.budget
        self.learning: Learning | None = None
        """How the agent does; None while nothing is known."""
        self.words = ""
        """Questions answered and left, and answers a minute; empty while nothing is known."""
        self._target, self._worker, self._now = target, worker or new_worker("headway"), now
        self._tail = None if target.folder is None else MetricsTail(target.folder / "metrics.jsonl")
        self._store: Store | None = None
        self._looking: Future[_Looked] | None = None
        self._look_at = now()
        self._before: float | None = None
        self._closed = False

    def tick(self) -> None:
        """Takes in what was found, and looks again when it is time."""
        if self._closed:
            return
        if self._looking is not None and self._looking.done():
            looking, self._looking = self._looking, None
            if looking.exception() is None:
                self._take(looking.result())
        if self._looking is None and self._now() >= self._look_at:
            self._look_at = self._now() + _LOOK_EVERY
            self._looking = self._worker.submit(self._look)

    def close(self) -> None:
        """Ends. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        self._worker.submit(self._let_go)
        self._worker.shutdown(wait=True)

    def _take(self, looked: _Looked) -> None:
        if looked.learning is not None:
            self._before = looked.learning.scores[-1] if self._before is None else self._before
            self.learning = looked.learning._replace(before=self._before)
        self.learner = looked.learner
        if looked.progress is not None:
            self.words = progress_words(looked.progress, self.budget)

    def _look(self) -> _Looked:
        """On the worker."""
        from rlhf_games.feedback.store import Store

        learning = None if self._tail is None else self._tail.poll()
        try:
            self._store = self._store or Store.open(self._target.store, create=False)
            progress = self._store.progress(_ANSWERS_SHOWN)
        except UserError:
            return _Looked(None, learning, self._learner(0))  # whoever answers or plays there says what is wrong with it
        return _Looked(progress, learning, self._learner(progress.open))

    def _learner(self, waiting: int) -> Learner | None:
        if self._target.folder is None or self._tail is None:
            return None
        return read_learner(self._target.folder, waiting, self._tail.last)

    def _let_go(self) -> None:
        if self._store is not None:
            self._store.close()


def progress_words(progress: Progress, budget: int | None) -> str:
    """For people: ``160 answered · 540 left · 3/min``; without a budget: how many are open."""
    left = f"{progress.open} open" if budget is None else f"{max(0, budget - progress.answered)} left"
    return f"{progress.answered} answered · {left} · {progress.per_minute:.0f}/min"
