"""How many questions of each kind wait in the stores of runs: looked up in a thread of its own, one store after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import NamedTuple

from rlhf_games.arena.runs import Target
from rlhf_games.arena.work import Worker, new_worker
from rlhf_games.core.errors import UserError

KINDS = {
    "preference": ("pair", "pairs"),
    "ranking": ("ranking", "rankings"),
    "rating": ("rating", "ratings"),
    "advice": ("advice", "advice"),
}
"""What people call questions of each kind: one, and several."""
_LOOK_EVERY = 3.0
"""Seconds from the last store to the first one again."""


class Waiting(NamedTuple):
    """What a store says."""

    open: dict[str, int]
    """Questions that somebody should still answer, by kind."""
    answered: int
    problem: str = ""
    """Why nothing is known."""

    def count(self, kinds: Iterable[str]) -> int:
        """Of these kinds."""
        return sum(self.open.get(kind, 0) for kind in kinds)

    @property
    def words(self) -> str:
        """For people: ``12 pairs and 3 ratings wait``."""
        if self.problem:
            return self.problem
        parts = [f"{count} {KINDS[kind][count != 1]}" for kind, count in self.open.items() if count]
        if not parts:
            return "nothing waits"
        listed = f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else parts[0]
        return f"{listed} {'waits' if sum(self.open.values()) == 1 else 'wait'}"


class Lookout:
    """Knows how many questions wait; asks again every few seconds as long as somebody asks it."""

    def __init__(self, targets: Sequence[Target], worker: Worker | None = None, now: Callable[[], float] = time.monotonic) -> None:
        self._targets = list(targets)
        self._worker, self._now = worker or new_worker("waiting"), now
        self._known: dict[str, Waiting] = {}
        self._asked: Future[Waiting] | None = None
        self._next = 0
        self._at = 0.0

    def look(self, target: Target) -> Waiting | None:
        """What is known of a store; None: nothing yet. Never waits."""
        self._go_on()
        return self._known.get(target.store)

    def close(self) -> None:
        """Ends the thread."""
        self._worker.shutdown(wait=True, cancel_futures=True)

    def _go_on(self) -> None:
        if self._asked is not None and self._asked.done():
            asked, self._asked = self._asked, None
            self._known[self._targets[self._next].store] = asked.result()
            self._next = (self._next + 1) % len(self._targets)
            self._at = self._now() + (_LOOK_EVERY if self._next == 0 else 0.0)
        if self._asked is None and self._targets and self._now() >= self._at:
            target = self._targets[self._next]
            self._asked = self._worker.submit(lambda: _look(target))


def _look(target: Target) -> Waiting:
    from rlhf_games.feedback.store import Store

    try:
        with Store.open(target.store, create=False) as store:
            found = {kind: len(store.query_ids(kind=kind, still_wanted=True)) for kind in KINDS}
            return Waiting(found, store.progress().answered)
    except UserError:
        return Waiting({}, 0, "its store cannot be read")
