"""What a coach said, on its way to the disk. No pygame; nothing here waits.

Every answer is stored the moment it is given, together with the episode as far as it has been played: a crash right after that loses
nothing. The replay grows while the episode goes on (`Store.grow_episode`).
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

from rlhf_games.core.errors import UserError
from rlhf_games.feedback.answers import Evaluation, Takeover

if TYPE_CHECKING:
    from rlhf_games.arena.work import Worker
    from rlhf_games.feedback.store import Answer, Store
    from rlhf_games.replay.replay import Replay

KINDS = ("evaluation", "takeover")
State: TypeAlias = Literal["sending", "stored", "failed", "leaving", "gone"]
"""``leaving``: being taken back; ``gone``: taken back."""
MILD, STRONG = 0.5, 1.0
"""Sizes of an evaluation."""
_RETRY_SECONDS = 2.0
T = TypeVar("T")


@dataclass(eq=False)
class Mark:
    """One thing that the coach said."""

    episode: str
    """Name of the episode, as the answer carries it."""
    step: int
    """Decision (from 0) that it is about, or with which the takeover began."""
    value: Evaluation | Takeover
    shown_at: float
    """Seconds since 1970."""
    answered_at: float
    state: State = "sending"
    answer_id: int | None = None
    uuid: str = field(default_factory=lambda: uuid.uuid4().hex)


class CoachLog:
    """Stores marks and episodes in order, tries again what failed, and takes back. Call ``tick`` often."""

    def __init__(self, store: Store, annotator: str, worker: Worker, now: Callable[[], float] = time.monotonic) -> None:
        self._store, self._worker, self._now = store, worker, now
        self.annotator = annotator
        self.marks: list[Mark] = []
        """Of this session, oldest first."""
        self.version = 0
        """Grows with every change of a mark: what was drawn of an older one must be drawn anew."""
        self.problem = ""
        """Why something is not stored (yet); empty where everything is."""
        self.notice = ""
        """What became of the last wish to take back."""
        self._jobs: list[tuple[Future[Any], Callable[[], Any], Callable[[Any], None], Mark | None]] = []
        self._failed: list[tuple[Callable[[], Any], Callable[[Any], None], Mark | None]] = []
        self._retry_at = 0.0

    @property
    def standing(self) -> int:
        """Marks of this session that are durable and stand."""
        return sum(mark.state == "stored" for mark in self.marks)

    def say(self, mark: Mark, replay: Future[Replay], instead: Future[Replay | None] | None = None) -> None:
        """Stores a mark with its episode; ``instead``: what the agent would have done, for a takeover."""
        self.marks.append(mark)
        self.version += 1
        self._submit(lambda: self._write(mark, replay, instead), lambda answer_id: self._stored(mark, answer_id), mark)

    def keep(self, episode: str, replay: Future[Replay]) -> Future[Replay]:
        """Stores an episode as far as it was played; the future is done when it is on the disk."""

        def work() -> Replay:
            self._store.grow_episode(episode, replay.result())
            return replay.result()

        return self._submit(work, lambda _: None, None)

    def undo(self) -> None:
        """Takes back the newest mark of this session, or of an earlier one; as often as it is called."""
        self.notice = ""
        mark = next((mark for mark in reversed(self.marks) if mark.state in ("sending", "stored", "failed")), None)
        if mark is None:
            self._submit(lambda: self._store.undo_last(self.annotator, kinds=KINDS), self._undone, None)
            return
        mark.state = "leaving"
        self.version += 1
        self._submit(lambda: self._retract(mark), lambda _: self._gone(mark), None)

    def tick(self) -> None:
        """Takes in what the worker has finished."""
        while self._jobs and self._jobs[0][0].done():
            job, work, then, mark = self._jobs.pop(0)
            error = job.exception()
            if error is None:
                then(job.result())
                continue
            self.problem = f"Not stored yet, trying again: {error}"
            self._failed.append((work, then, mark))
            self._retry_at = self._now() + _RETRY_SECONDS
            if mark is not None and mark.state == "sending":
                mark.state = "failed"
                self.version += 1
        if self._failed and not self._jobs and self._now() >= self._retry_at:
            self._again()
        if not self._failed and not self._jobs:
            self.problem = ""

    def close(self) -> None:
        """Stores what is still to be stored (what failed before is tried once more) and closes the store. All replays must be made."""
        self._worker.submit(self._finish)
        self._worker.shutdown(wait=True)

    # On the worker

    def _write(self, mark: Mark, replay: Future[Replay], instead: Future[Replay | None] | None) -> int:
        from rlhf_games.feedback.store import AnswerDraft

        self._store.grow_episode(mark.episode, replay.result())
        if isinstance(mark.value, Takeover) and instead is not None and not mark.value.instead:
            other = None if instead.exception() is not None else instead.result()
            if other is not None:
                [replay_id] = self._store.add_replays([other])
                mark.value = Takeover(mark.value.length, mark.value.seat, replay_id)
        draft = AnswerDraft(self.annotator, mark.value, mark.shown_at, mark.answered_at, mark.uuid, episode=mark.episode, step=mark.step)
        mark.answer_id = self._store.post_answers([draft])[0]
        return mark.answer_id

    def _retract(self, mark: Mark) -> None:
        if mark.answer_id is not None:  # else its storing failed before: there is nothing to take back
            self._store.retract(mark.answer_id, self.annotator)

    def _finish(self) -> None:
        """After everything else; the window waits for it."""
        left = [work for job, work, _, mark in self._jobs if job.exception() is not None and _wanted(mark)]
        for work in [work for work, _, mark in self._failed if _wanted(mark)] + left:
            with contextlib.suppress(UserError, OSError):
                work()
        self._store.close()

    # Back from the worker

    def _submit(self, work: Callable[[], T], then: Callable[[T], None], mark: Mark | None) -> Future[T]:
        job = self._worker.submit(work)
        self._jobs.append((job, work, then, mark))
        return job

    def _again(self) -> None:
        failed, self._failed = self._failed, []
        for work, then, mark in failed:
            if _wanted(mark):
                self._submit(work, then, mark)

    def _stored(self, mark: Mark, answer_id: int) -> None:
        if mark.state in ("sending", "failed"):
            mark.state = "stored"
        self.version += 1

    def _gone(self, mark: Mark) -> None:
        mark.state = "gone"
        self.version += 1

    def _undone(self, answer: Answer | None) -> None:
        self.notice = "Nothing left to take back." if answer is None else f"Taken back: {words(answer.value)}, of an earlier session."


def _wanted(mark: Mark | None) -> bool:
    """Whether what failed is to be tried again: not where the mark was taken back meanwhile."""
    return mark is None or mark.state not in ("leaving", "gone")


def words(value: Any) -> str:
    """A mark for people: ``++``, ``a takeover of 12 decisions``."""
    if isinstance(value, Evaluation):
        return ("+" if value.value > 0 else "−") * (2 if abs(value.value) > MILD else 1)
    return f"a takeover of {value.length} decision{'s' if value.length > 1 else ''}"
