"""What a coach said, on its way to the disk. No pygame; nothing here waits.

Every answer is stored the moment it is given, together with the episode as far as it has been played: a crash right after that loses
nothing. The replay grows while the episode goes on (`Store.grow_episode`).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rlhf_games.arena.outbox import Outbox, Posting, newest
from rlhf_games.core.errors import UserError
from rlhf_games.feedback.answers import Evaluation, Takeover

if TYPE_CHECKING:
    from rlhf_games.arena.work import Worker
    from rlhf_games.feedback.store import Answer, AnswerDraft, Store
    from rlhf_games.replay.replay import Replay

KINDS = ("evaluation", "takeover")
MILD, STRONG = 0.5, 1.0
"""Sizes of an evaluation."""
_RETRY_SECONDS = 2.0


@dataclass(eq=False)
class Mark(Posting):
    """One thing that the coach said."""

    episode: str
    """Name of the episode, as the answer carries it."""
    step: int
    """Decision (from 0) that it is about, or with which the takeover began."""
    value: Evaluation | Takeover
    shown_at: float
    """Seconds since 1970."""
    answered_at: float


class CoachLog:
    """Stores marks and episodes in order, tries again what failed, and takes back. Call ``tick`` often."""

    def __init__(self, store: Store, annotator: str, worker: Worker, now: Callable[[], float] = time.monotonic) -> None:
        self._store, self._worker, self._now = store, worker, now
        self._outbox = Outbox(store, annotator, worker)
        self.annotator = annotator
        self.marks: list[Mark] = []
        """Of this session, oldest first."""
        self.version = 0
        """Grows with every change of a mark: what was drawn of an older one must be drawn anew."""
        self.problem = ""
        """Why something is not stored (yet); empty where everything is."""
        self.notice = ""
        """What became of the last wish to take back."""
        self._retry_at = 0.0

    @property
    def standing(self) -> int:
        """Marks of this session that are durable and stand."""
        return sum(mark.state == "stored" for mark in self.marks)

    @property
    def busy(self) -> bool:
        """Whether something is on its way to the disk."""
        return self._outbox.busy

    @property
    def unsaved(self) -> str:
        """What is not on the disk, in a sentence; empty where all is."""
        open_marks = [words(mark.value) for mark in self.marks if mark.state in ("sending", "failed")]
        if not open_marks and not self._outbox.failed:
            return ""
        what = f"Not stored: {', '.join(open_marks)}." if open_marks else "The episode is not stored as far as it was played."
        return f"{what} {self.problem}".strip()

    def say(self, mark: Mark, replay: Future[Replay], instead: Future[Replay | None] | None = None) -> None:
        """Stores a mark with its episode; ``instead``: what the agent would have done, for a takeover."""
        self.marks.append(mark)
        self._changed()
        self._outbox.post(mark, lambda: self._draft(mark, replay, instead), self._changed)

    def keep(self, episode: str, replay: Future[Replay]) -> Future[Replay]:
        """Stores an episode as far as it was played; the future is done when it is on the disk."""

        def work() -> Replay:
            self._store.grow_episode(episode, replay.result())
            return replay.result()

        return self._outbox.do(work, lambda _: None)

    def undo(self) -> None:
        """Takes back the newest mark of this session, or of an earlier one; as often as it is called."""
        self.notice = ""
        mark = newest(self.marks, "sending", "stored", "failed")
        if mark is None:
            self._outbox.do(lambda: self._store.undo_last(self.annotator, kinds=KINDS), self._undone)
            return
        self._outbox.take_back(mark, self._changed)
        self._changed()

    def tick(self) -> None:
        """Takes in what the worker has finished."""
        for failure in self._outbox.tick():
            self.problem = f"Not stored yet, trying again: {failure.error}"
            self._retry_at = self._now() + _RETRY_SECONDS
            self._changed()
        if self._outbox.failed and not self._outbox.busy and self._now() >= self._retry_at:
            self._outbox.again()
        if not self._outbox.failed and not self._outbox.busy:
            self.problem = ""

    def close(self) -> None:
        """Stores what is still to be stored (what failed before is tried once more) and closes the store. All replays must be made."""
        self._worker.submit(self._finish)
        self._worker.shutdown(wait=True)

    # On the worker

    def _draft(self, mark: Mark, replay: Future[Replay], instead: Future[Replay | None] | None) -> AnswerDraft:
        """What is stored of a mark; its episode, and what the agent would have done, are stored before it."""
        from rlhf_games.feedback.store import AnswerDraft

        self._store.grow_episode(mark.episode, replay.result())
        if isinstance(mark.value, Takeover) and instead is not None and not mark.value.instead:
            other = None if instead.exception() is not None else instead.result()
            if other is not None:
                [replay_id] = self._store.add_replays([other])
                mark.value = Takeover(mark.value.length, mark.value.seat, replay_id)
        return AnswerDraft(self.annotator, mark.value, mark.shown_at, mark.answered_at, mark.uuid, episode=mark.episode, step=mark.step)

    def _finish(self) -> None:
        """After everything else; the window waits for it."""
        for work in self._outbox.left():
            with contextlib.suppress(UserError, OSError):
                work()
        self._store.close()

    # Back from the worker

    def _changed(self) -> None:
        self.version += 1

    def _undone(self, answer: Answer | None) -> None:
        self.notice = "Nothing left to take back." if answer is None else f"Taken back: {words(answer.value)}, of an earlier session."


def words(value: Any) -> str:
    """A mark for people: ``++``, ``a takeover of 12 decisions``."""
    if isinstance(value, Evaluation):
        return ("+" if value.value > 0 else "−") * (2 if abs(value.value) > MILD else 1)
    return f"a takeover of {value.length} decision{'s' if value.length > 1 else ''}"
