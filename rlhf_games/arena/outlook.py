"""How far the answering of a store's questions is, and what will be asked next. No pygame; nothing here waits."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import TYPE_CHECKING, NamedTuple

from rlhf_games.arena.waiting import KINDS

if TYPE_CHECKING:
    from rlhf_games.arena.held import Films
    from rlhf_games.arena.work import Worker
    from rlhf_games.feedback.store import Progress, Store
    from rlhf_games.replay.clip import Clip

EXPECTED = 24
"""Questions after those that are held whose clips are drawn when nothing else is to be done; they are not leased."""
_COUNT_EVERY = 1.0
_EXPECT_EVERY = 2.0
_ANSWERS_SHOWN = 60.0
"""Seconds over which answers per minute are counted."""


class _Looked(NamedTuple):
    """What the store says."""

    progress: Progress
    waiting: int
    elsewhere: dict[str, int]
    expected: tuple[Clip, ...] | None
    """What will be asked next; None where it was not looked for."""


class Outlook:
    """Counts now and then, and has clips drawn that will be asked about. Call ``tick`` often."""

    def __init__(self, store: Store, kind: str, films: Films, worker: Worker, now: Callable[[], float]) -> None:
        """``kind``: of the queries that count; ``store``: is used on ``worker`` alone; ``now``: seconds, never going back."""
        self._store, self._kind, self._films, self._worker, self._now = store, kind, films, worker, now
        self.progress: Progress | None = None
        """Of all kinds of questions."""
        self.waiting: int | None = None
        """Questions of this kind that somebody should still answer."""
        self.elsewhere: dict[str, int] = {}
        """Questions of other kinds, by kind; looked up where none of this kind waits."""
        self._job: Future[_Looked] | None = None
        self._count_at = self._expect_at = now()

    def soon(self) -> None:
        """Something has changed: counts as soon as it can."""
        self._count_at = self._now()

    def tick(self, held: Iterable[int]) -> None:
        """Takes in what was counted; ``held``: queries whose clips are drawn already."""
        if self._job is not None and self._job.done():
            job, self._job = self._job, None
            if job.exception() is None:
                self._take(job.result())
        if self._job is None and self._now() >= self._count_at:
            self._count_at = self._now() + _COUNT_EVERY
            skip = frozenset(held) if self._now() >= self._expect_at else None
            self._expect_at = self._expect_at if skip is None else self._now() + _EXPECT_EVERY
            self._job = self._worker.submit(lambda: self._look(skip))

    def _take(self, looked: _Looked) -> None:
        self.progress, self.waiting, self.elsewhere = looked.progress, looked.waiting, looked.elsewhere
        if looked.expected is not None:
            self._films.expect(looked.expected)

    def _look(self, held: frozenset[int] | None) -> _Looked:
        """On the worker: how far things are; ``held``: also what will be asked after these queries."""
        waiting = self._store.query_ids(kind=self._kind, still_wanted=True)
        expected = None
        if held is not None:
            coming = self._store.queries([query_id for query_id in waiting if query_id not in held][:EXPECTED])
            expected = tuple(clip for query in coming for clip in query.shown)
        others = [kind for kind in KINDS if kind != self._kind] if not waiting else []
        elsewhere = {kind: len(self._store.query_ids(kind=kind, still_wanted=True)) for kind in others}
        found = {kind: count for kind, count in elsewhere.items() if count}
        return _Looked(self._store.progress(_ANSWERS_SHOWN), len(waiting), found, expected)
