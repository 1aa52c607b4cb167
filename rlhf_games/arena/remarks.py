"""What a person says about single decisions of replays, on its way to the store. No pygame; nothing here waits.

A remark is *solid* once it is on the disk. What was said before, by anybody, is known too, so that it can be shown and is not asked again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from rlhf_games.arena.errands import problem_words
from rlhf_games.arena.outbox import Outbox, Posting, new_uuid, newest
from rlhf_games.arena.work import Worker
from rlhf_games.feedback.answers import ActionValue, Advice, Aspect, Evaluation, Question

if TYPE_CHECKING:
    from rlhf_games.feedback.store import AnswerDraft, Store

_KINDS = ("advice", "evaluation")
_LOOK_EVERY = 3.0
"""Seconds."""


class Said(NamedTuple):
    """A remark in the store."""

    replay_id: str
    step: int
    value: Advice | Evaluation
    annotator: str


@dataclass(eq=False)
class Remark(Posting):
    """A remark of this session."""

    draft: AnswerDraft
    replay_id: str
    step: int

    @property
    def value(self) -> Advice | Evaluation:
        """What was said."""
        assert isinstance(self.draft.value, Advice | Evaluation)
        return self.draft.value


class Mark(NamedTuple):
    """What is to be seen of a remark on a timeline."""

    step: int
    value: Advice | Evaluation
    solid: bool
    mine: bool


class Remarks:
    """One person's remarks. Call ``tick`` often; the store is used on ``worker`` alone, in order."""

    def __init__(
        self,
        store: Store,
        annotator: str,
        worker: Worker,
        now: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._store, self._worker, self._now, self._wall = store, worker, now, wall
        self._outbox = Outbox(store, annotator, worker)
        self.annotator = annotator
        self.problem = ""
        """Why the last remark is not stored."""
        self.given: list[Remark] = []
        """Of this session, oldest first; what was taken back is gone."""
        self.questions = 0
        """Questions of this session."""
        self._asked: set[tuple[object, ...]] = set()
        self._standing: dict[int, tuple[str, Said]] = {}
        self._cursor = 0
        self._reading: Future[Any] | None = None
        self._look_at = now()
        self.looked = False
        """Whether what was said before is known."""
        self._changes = 0
        self._marks: tuple[tuple[str, int], tuple[Mark, ...]] = (("", -1), ())

    # What the person does

    def say(self, value: Advice | Evaluation, replay_id: str, step: int, shown_at: float, query_id: int | None = None) -> Remark:
        """Stores a remark about a decision; ``query_id``: where that is what a query asks."""
        from rlhf_games.feedback.store import AnswerDraft

        place = {"query_id": query_id} if query_id is not None else {"replay_id": replay_id, "step": step}
        answered_at = max(self._wall(), shown_at)  # the computer's clock may be set back meanwhile
        draft = AnswerDraft(self.annotator, value, shown_at, answered_at, new_uuid(), **place)
        remark = Remark(draft, replay_id, step, uuid=draft.uuid)
        self._outbox.post(remark, lambda: draft, self._stored)
        self.given.append(remark)
        self.problem = ""
        self._changes += 1
        return remark

    def ask(
        self, aspect: Aspect, replay_id: str, step: int, seat: int, policy: str, shown_at: float, action: ActionValue | None = None
    ) -> None:
        """Logs a question to the agent; the same one of the same policy once a session."""
        from rlhf_games.feedback.store import AnswerDraft

        key = (aspect, replay_id, step, seat, policy, action)
        if key in self._asked:
            return
        self._asked.add(key)
        self.questions += 1
        question = Question(aspect, action, seat)
        answered_at = max(self._wall(), shown_at)
        draft = AnswerDraft(self.annotator, question, shown_at, answered_at, new_uuid(), replay_id=replay_id, step=step)
        self._outbox.do(lambda: self._store.post_answers([draft]), lambda _: None)

    def undo(self) -> Remark | None:
        """Takes back the newest remark of this session; None where there is none."""
        remark = newest(self.given, "sending", "stored")
        if remark is not None:
            self._outbox.take_back(remark, lambda: self._gone(remark), lambda error: self._stays(remark, error))
            self._changes += 1
        return remark

    def retry(self) -> None:
        """Stores again what could not be stored: they are the same answers, so they cannot be stored twice."""
        for remark in self.failed:
            remark.state = "sending"
        self._outbox.again()
        self.problem = ""

    def drop(self) -> None:
        """Gives up what could not be stored."""
        self.given = [remark for remark in self.given if remark.state != "failed"]
        self._outbox.failed.clear()
        self._changes += 1
        self.problem = ""

    @property
    def stuck(self) -> bool:
        """Whether something could not be stored."""
        return bool(self._outbox.failed)

    @property
    def failed(self) -> list[Remark]:
        """Remarks that could not be stored."""
        return [remark for remark in self.given if remark.state == "failed"]

    @property
    def busy(self) -> bool:
        """Whether something is on its way to the disk."""
        return self._outbox.busy

    @property
    def unsaved(self) -> str:
        """What is not on the disk, in a sentence; empty where all is."""
        count = sum(remark.state in ("sending", "failed") for remark in self.given)
        if not count:
            return ""
        what = "What you said last" if count == 1 else f"What you said the last {count} times"
        return f"{what} is not stored, and would be lost. {self.problem}".strip()

    # What is known

    def marks(self, replay_id: str) -> tuple[Mark, ...]:
        """Remarks about a replay, everybody's, in the order of its steps. Quick where nothing has changed."""
        key = (replay_id, self._changes)
        if self._marks[0] != key:
            self._marks = (key, self._marks_of(replay_id))
        return self._marks[1]

    def _marks_of(self, replay_id: str) -> tuple[Mark, ...]:
        mine = {remark.uuid: remark for remark in self.given}
        gone = {remark.uuid for remark in self.given if remark.state == "leaving"}
        marks = [
            Mark(said.step, said.value, True, said.annotator == self.annotator)
            for name, said in self._standing.values()
            if said.replay_id == replay_id and name not in mine and name not in gone
        ]
        shown = [remark for remark in self.given if remark.replay_id == replay_id and remark.state != "leaving"]
        marks += [Mark(remark.step, remark.value, remark.state == "stored", True) for remark in shown]
        return tuple(sorted(marks, key=lambda mark: mark.step))

    def advised(self) -> set[tuple[str, int]]:
        """Replay and step of all advice, everybody's."""
        known = {(said.replay_id, said.step) for _, said in self._standing.values() if isinstance(said.value, Advice)}
        return known | {(remark.replay_id, remark.step) for remark in self.given if isinstance(remark.value, Advice)}

    # Time

    def tick(self) -> None:
        """Takes in what is stored."""
        for failure in self._outbox.tick():
            what = "A question is not stored" if failure.piece.posting is None else "This is not stored"
            self.problem = f"{what}: {problem_words(failure.error)}"
            self._changes += 1
        if self._reading is not None and self._reading.done():
            reading, self._reading = self._reading, None
            self.looked = True
            if reading.exception() is None:
                self._take(*reading.result())
        if self._reading is None and self._now() >= self._look_at:
            self._look_at = self._now() + _LOOK_EVERY
            self._reading = self._worker.submit(self._read)

    def _stored(self) -> None:
        self.problem = ""
        self._changes += 1

    def _gone(self, remark: Remark) -> None:
        self.given.remove(remark)
        self._standing = {number: entry for number, entry in self._standing.items() if entry[0] != remark.uuid}
        self._changes += 1

    def _stays(self, remark: Remark, error: BaseException) -> None:
        remark.state, self.problem = "stored", f"This could not be taken back: {problem_words(error)}"
        self._changes += 1

    def _read(self) -> tuple[dict[int, tuple[str, Said]], tuple[int, ...], int]:
        """On the worker: what is new."""
        page = self._store.answers(self._cursor, kinds=_KINDS)
        asked = {query.id: query for query in self._store.queries([a.query_id for a in page.answers if a.query_id is not None])}
        found = {}
        for answer in page.answers:
            query = None if answer.query_id is None else asked[answer.query_id]
            replay_id, step = (answer.replay_id, answer.step) if query is None else (query.replay_id, query.step)
            if replay_id is not None and step is not None and isinstance(answer.value, Advice | Evaluation):
                found[answer.id] = (answer.uuid, Said(replay_id, step, answer.value, answer.annotator))
        return found, page.retracted, page.cursor

    def _take(self, found: dict[int, tuple[str, Said]], retracted: tuple[int, ...], cursor: int) -> None:
        self._standing |= found
        self._changes += 1
        for number in retracted:
            self._standing.pop(number, None)
        self._cursor = cursor
