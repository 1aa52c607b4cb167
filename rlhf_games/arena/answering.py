"""What happens while a person answers questions about clips, whatever kind of answer is asked for. No pygame; nothing here waits.

A question goes through: leased (nobody else gets it) → drawn (in the background) → shown → answered → *durable* → the next one. The next
one is shown only when the store has the answer on the disk, so what a person saw acknowledged is never lost.

SQLAlchemy is imported on the worker, by whoever opens the store: the first frame does not wait for it.
"""

from __future__ import annotations

import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeAlias

from rlhf_games.arena.held import Asked, Films, Value
from rlhf_games.arena.outlook import Outlook
from rlhf_games.arena.playback import Playback
from rlhf_games.core.errors import UserError

if TYPE_CHECKING:
    from rlhf_games.arena.work import Worker
    from rlhf_games.feedback.store import AnswerDraft, Progress, Query, Store

Phase: TypeAlias = Literal["waiting", "showing", "saving", "undoing", "failed"]

AHEAD = 6
"""Questions that are leased and drawn beyond the one on the screen."""
LEASE_SECONDS = 60.0
ACKNOWLEDGED = 2.5
"""Seconds for which it is said what was stored."""
_LOOK_EVERY = 0.5
"""Seconds between looks at an empty queue."""


class AnswerSession(Generic[Value]):
    """One person answering. Call ``tick`` often; everything that takes time is done by ``worker``, in order."""

    kind: ClassVar[str]
    """Of the queries that are asked."""
    noun: ClassVar[str] = "Question"
    """What people call one of them."""

    def __init__(
        self,
        store: Store,
        films: Films,
        annotator: str,
        worker: Worker,
        now: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        least_seconds: float = 0.0,
    ) -> None:
        """``now``: seconds, never going back, for what is shown; ``wall``: seconds since 1970, for what is stored.

        ``least_seconds``: how long a question must have been looked at before its answer counts.
        """
        self._store, self._films, self._worker, self._now, self._wall = store, films, worker, now, wall
        self.annotator = annotator
        self.playback = Playback(now)
        self.phase: Phase = "waiting"
        self.current: Asked[Value] | None = None
        """The question on the screen; stays there until its answer is durable."""
        self.chosen: Value | None = None
        """The answer that is being stored, or whose storing failed."""
        self.given = 0
        """Answers of this session that are durable and stand."""
        self.notice = ""
        """What the person should know; empty most of the time."""
        self.watched = True
        """Whether the person is there: no question is shown to nobody, or its answer would seem to have taken long."""
        self.none_for_me = False
        """Whether nothing was left for this person when the session last looked, whatever waits for others."""
        self._least_seconds, self._looked, self._ticked = least_seconds, 0.0, now()
        self._too_early = False
        self._stored: tuple[Value, float] | None = None
        self._queue: deque[Asked[Value]] = deque()
        self._broken: list[Asked[Value]] = []
        self._shown_at = 0.0
        self._draft: AnswerDraft | None = None
        self._job: Future[Any] | None = None
        self._undos = 0
        self._leasing: Future[list[Query]] | None = worker.submit(self._first_lease)
        self._renewing: Future[list[int]] | None = None
        self._asked: set[int] = set()
        self._outlook = Outlook(store, self.kind, films, worker, now)
        self._look_at = now()
        self._renew_at = now() + LEASE_SECONDS / 3
        self._closed = False

    @property
    def ahead(self) -> int:
        """Questions that can be shown at once when the present one is answered."""
        return sum(asked.ready for asked in self._queue)

    @property
    def loading(self) -> bool:
        """Whether a leased question is still being drawn."""
        return any(not asked.ready for asked in self._queue)

    @property
    def progress(self) -> Progress | None:
        """How far the answering of all kinds of questions is; None where that is not known yet."""
        return self._outlook.progress

    @property
    def waiting(self) -> int | None:
        """Questions of this kind that somebody should still answer; None where that is not known yet."""
        return self._outlook.waiting

    # What the person does

    def say(self, value: Value) -> bool:
        """Answers the question on the screen; returns False where there is nothing to answer (yet): then nothing happened."""
        from rlhf_games.feedback.store import AnswerDraft  # loaded long ago by whoever opened the store

        if not self.answerable or self.current is None:
            return False
        if not self.looked_enough:
            self._too_early, self.notice = True, f"Look a little longer: an answer counts after {self._least_seconds:g} s."
            return False
        answered_at = max(self._wall(), self._shown_at)  # the computer's clock may be set back meanwhile
        self.chosen = value
        self._draft = AnswerDraft(self.annotator, value, self._shown_at, answered_at, uuid.uuid4().hex, query_id=self.current.query.id)
        self.notice = ""
        self._post()
        return True

    @property
    def looked_enough(self) -> bool:
        """Whether the question on the screen was looked at for as long as an answer needs."""
        return self._looked >= self._least_seconds

    @property
    def broken(self) -> int:
        """Questions that are held back, as they cannot be shown."""
        return len(self._broken)

    @property
    def elsewhere(self) -> Mapping[str, int]:
        """Questions of other kinds that somebody should still answer, by kind; looked up where none of this kind waits."""
        return self._outlook.elsewhere

    @property
    def answerable(self) -> bool:
        """Whether there is a question on the screen that waits for its answer."""
        return self.phase == "showing" and not self._undos

    def undo(self) -> None:
        """Takes back the newest answer of this person, of an earlier session too; as often as it is called."""
        if self.phase != "failed":
            self._undos += 1

    def retry(self) -> None:
        """Stores an answer again whose storing failed: it is the same answer, so it cannot be stored twice."""
        if self.phase == "failed" and self._draft is not None:
            self.notice = ""
            self._post()

    def drop(self) -> None:
        """Gives up an answer whose storing failed, and its question."""
        if self.phase != "failed" or self.current is None:
            return
        asked, self.current, self._draft, self.chosen, self.notice = self.current, None, None, None, ""
        self._worker.submit(lambda: self._store.release(self.annotator, [asked.query.id]))
        self.phase = "waiting"

    def close(self) -> None:
        """Gives back what was not answered; an answer on its way is stored first. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        self._films.close()
        self._worker.submit(self._give_back)
        self._worker.shutdown(wait=True)

    def _give_back(self) -> None:
        """On the worker, after everything else: also what was leased in the last moment goes back."""
        ids = self._held_ids()
        if self._leasing is not None and self._leasing.exception() is None:
            ids += [query.id for query in self._leasing.result()]
        if self.phase == "undoing" and self._job is not None and self._job.exception() is None:
            _, query, _ = self._job.result()
            ids += [] if query is None else [query.id]
        self._store.release(self.annotator, ids)
        self._store.close()

    # Time

    def tick(self) -> None:
        """Takes in what the worker has finished, asks for more, and shows the next pair when it may."""
        if self._closed:
            return
        self._take_leases()
        self._finish_job()
        if self.phase in ("waiting", "showing") and self._undos:
            self._start_undo()
        self._sort_out_broken()
        if self.watched and self.phase == "waiting" and self._queue and self._queue[0].ready:
            self._show(self._queue.popleft())
        self._keep_leases()
        self._outlook.tick(self._held_ids())
        self.playback.tick()
        self._look()

    def _look(self) -> None:
        """Counts how long the question on the screen has been looked at."""
        now = self._now()
        passed, self._ticked = now - self._ticked, now
        self._looked += passed if self.watched and self.phase == "showing" else 0.0
        if self._too_early and self.looked_enough:
            self._too_early, self.notice = False, ""

    @property
    def acknowledged(self) -> Value | None:
        """The answer that was stored a moment ago; None otherwise."""
        return None if self._stored is None or self._now() - self._stored[1] > ACKNOWLEDGED else self._stored[0]

    def _show(self, asked: Asked[Value]) -> None:
        self.current, self.phase, self.chosen, self._looked, self._too_early = asked, "showing", None, 0.0, False
        self.playback.load(asked.footage)
        self._shown_at = self._wall()

    def _post(self) -> None:
        draft, self.phase = self._draft, "saving"
        assert draft is not None
        self._job = self._worker.submit(lambda: self._store.post_answers([draft]))

    def _start_undo(self) -> None:
        self.phase = "undoing"
        self._job = self._worker.submit(self._take_back)

    def _take_back(self) -> tuple[bool, Query | None, Any]:
        """On the worker: whether there was something to take back, its query leased again if that can be, what was said."""
        answer = self._store.undo_last(self.annotator, kinds=(self.kind,))
        if answer is None:
            return False, None, None
        if answer.query_id is None:  # said about a replay, not asked for
            return True, None, answer.value
        return True, self._store.lease(self.annotator, only=[answer.query_id], seconds=LEASE_SECONDS), answer.value

    def _finish_job(self) -> None:
        if self._job is None or not self._job.done():
            return
        job, self._job = self._job, None
        error = job.exception()
        if self.phase == "saving":
            self._saved(error)
        elif error is not None:
            self._undos, self.notice = 0, f"Could not take back: {error}"
            self.phase = "showing" if self.current is not None else "waiting"
        else:
            self._undone(*job.result())

    def _saved(self, error: BaseException | None) -> None:
        if error is not None:
            self.phase, self.notice = "failed", f"This answer is not stored: {error}"
            return
        self.given += 1
        self._stored = None if self._draft is None else (self._draft.value, self._now())  # type: ignore[assignment]  # of this kind
        self._outlook.soon()
        self.current, self._draft, self.phase = None, None, "waiting"

    def _undone(self, found: bool, query: Query | None, said: Value | None) -> None:
        self._undos -= 1
        self._stored = None
        self._outlook.soon()
        self.phase = "showing" if self.current is not None else "waiting"
        if not found:
            self._undos, self.notice = 0, "There is no answer of yours left to take back."
            return
        self.given = max(0, self.given - 1)
        if query is None:
            self.notice = "Taken back. It is not asked again."
            return
        self.notice = ""
        if self.current is not None:
            self._queue.appendleft(self.current)
        self._queue.appendleft(self._hold(query, said))
        self.current, self.phase = None, "waiting"

    # Leases

    def _first_lease(self) -> list[Query]:
        """On the worker. What this person held when a session of theirs died is free again."""
        self._store.release(self.annotator)
        return self._lease(AHEAD + 1)

    def _lease(self, count: int) -> list[Query]:
        return self._store.lease_many(self.annotator, count, kinds=(self.kind,), seconds=LEASE_SECONDS)

    def _hold(self, query: Query, said: Value | None = None) -> Asked[Value]:
        films = tuple(self._films.request(clip, urgent=said is not None) for clip in query.shown)
        return Asked(query, films, said)

    def _held_ids(self) -> list[int]:
        return [asked.query.id for asked in (*self._queue, *self._broken, *([self.current] if self.current is not None else []))]

    def _take_leases(self) -> None:
        if self._leasing is not None and self._leasing.done():
            leasing, self._leasing = self._leasing, None
            try:
                found = leasing.result()
            except UserError as error:
                found, self.notice = [], str(error)
            self._queue.extend(self._hold(query) for query in found)
            self.none_for_me = not found and not self._queue
            self._look_at = self._now() + (0.0 if found else _LOOK_EVERY)
        wanted = AHEAD - len(self._queue) + (self.current is None)
        if self._leasing is None and wanted > 0 and self._now() >= self._look_at:
            self._leasing = self._worker.submit(lambda: self._lease(wanted))

    def _sort_out_broken(self) -> None:
        """A question that cannot be shown is held back (given back it would come again) and named."""
        for asked in [asked for asked in self._queue if asked.ready]:
            if problem := self.cannot_show(asked):
                self._queue.remove(asked)
                self._broken.append(asked)
                self.notice = f"{self.noun} {asked.query.id} cannot be shown: {problem}"

    def cannot_show(self, asked: Asked[Value]) -> str:
        """Why a question whose clips are drawn cannot be shown; empty where it can."""
        return "" if asked.problem is None else str(asked.problem)

    def _keep_leases(self) -> None:
        if self._renewing is not None and self._renewing.done():
            renewing, self._renewing = self._renewing, None
            lost = set() if renewing.exception() is not None else self._asked - set(renewing.result())
            # One that is on the screen stays: the store takes an answer also when its lease has run out.
            self._queue = deque(asked for asked in self._queue if asked.query.id not in lost)
        if self._now() >= self._renew_at:
            self._renew_at = self._now() + LEASE_SECONDS / 3
            ids = self._held_ids()
            self._asked = set(ids)
            if ids and self._renewing is None:
                self._renewing = self._worker.submit(lambda: self._store.renew(self.annotator, ids, LEASE_SECONDS))
