"""What a person says about single decisions, on its way to the disk and back. No pygame; nothing here waits.

Everything is done on one worker, in order; what came of it is taken in by `Outbox.tick`. What failed is kept, to be tried again: it is the
same answer, so it cannot be stored twice.
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, TypeVar

if TYPE_CHECKING:
    from rlhf_games.arena.work import Worker
    from rlhf_games.feedback.store import AnswerDraft, Store

State: TypeAlias = Literal["sending", "stored", "failed", "leaving", "gone"]
"""``stored``: on the disk; ``leaving``: being taken back; ``gone``: taken back."""
T = TypeVar("T")


def new_uuid() -> str:
    """Names an answer: however often it is sent, it is one answer."""
    return uuid.uuid4().hex


@dataclass(eq=False, kw_only=True)
class Posting:
    """One thing that a person said in this session."""

    state: State = "sending"
    answer_id: int | None = None
    """In the store; None: not there (yet)."""
    uuid: str = field(default_factory=new_uuid)

    @property
    def wanted(self) -> bool:
        """Whether it is to be stored: not where it was taken back meanwhile."""
        return self.state not in ("leaving", "gone")


AnyPosting = TypeVar("AnyPosting", bound=Posting)


def newest(postings: Iterable[AnyPosting], *states: State) -> AnyPosting | None:
    """The last one in one of these states; None where there is none. ``postings``: oldest first."""
    return next((posting for posting in reversed(list(postings)) if posting.state in states), None)


class Piece(NamedTuple):
    """A piece of work for the store."""

    work: Callable[[], Any]
    then: Callable[[Any], None]
    """Gets the result."""
    posting: Posting | None
    """What is being stored; None: something else is done."""
    give_up: Callable[[BaseException], None] | None
    """Gets the error; None: it is tried again."""

    @property
    def wanted(self) -> bool:
        """Whether it is to be done where it was not."""
        return self.posting is None or self.posting.wanted


class Failure(NamedTuple):
    """What could not be done just now."""

    piece: Piece
    error: BaseException


class Outbox:
    """One person's answers on one worker. Call ``tick`` often."""

    def __init__(self, store: Store, annotator: str, worker: Worker) -> None:
        """``store``: is used on ``worker`` alone."""
        self._store, self._annotator, self._worker = store, annotator, worker
        self.failed: list[Piece] = []
        """What is to be tried again."""
        self._sent: deque[tuple[Future[Any], Piece]] = deque()

    @property
    def busy(self) -> bool:
        """Whether something is on its way."""
        return bool(self._sent)

    def do(
        self,
        work: Callable[[], T],
        then: Callable[[T], None],
        posting: Posting | None = None,
        give_up: Callable[[BaseException], None] | None = None,
    ) -> Future[T]:
        """Has ``work`` done on the worker; ``then`` gets its result, or ``give_up`` its error, inside a later `tick`."""
        job = self._worker.submit(work)
        self._sent.append((job, Piece(work, then, posting, give_up)))
        return job

    def post(self, posting: Posting, draft: Callable[[], AnswerDraft], then: Callable[[], None]) -> None:
        """Stores an answer; ``draft``: called on the worker; ``then``: when it is on the disk."""

        def work() -> None:
            [posting.answer_id] = self._store.post_answers([draft()])

        def stored(_: None) -> None:
            if posting.wanted:
                posting.state = "stored"
            then()

        self.do(work, stored, posting)

    def take_back(self, posting: Posting, then: Callable[[], None], give_up: Callable[[BaseException], None] | None = None) -> None:
        """Retracts an answer; where its storing fails before, there is nothing to retract. ``give_up``: it stands."""
        posting.state = "leaving"

        def work() -> None:
            if posting.answer_id is not None:
                self._store.retract(posting.answer_id, self._annotator)

        def left(_: None) -> None:
            posting.state = "gone"
            then()

        self.do(work, left, give_up=give_up)

    def tick(self) -> list[Failure]:
        """Takes in what the worker has finished; returns what failed and is to be tried again."""
        failures = []
        while self._sent and self._sent[0][0].done():
            job, piece = self._sent.popleft()
            error = job.exception()
            if error is None:
                piece.then(job.result())
            elif piece.give_up is not None:
                piece.give_up(error)
            elif piece.wanted:
                failures.append(Failure(piece, error))
        for failure in failures:
            self._keep(failure.piece)
        return failures

    def _keep(self, piece: Piece) -> None:
        self.failed.append(piece)
        if piece.posting is not None:
            piece.posting.state = "failed"

    def again(self) -> None:
        """Tries again what failed, but not what was taken back meanwhile."""
        failed, self.failed = self.failed, []
        for piece in failed:
            if piece.wanted:
                self.do(*piece)

    def left(self) -> list[Callable[[], Any]]:
        """On the worker, when nothing more comes: what failed and would be tried again."""
        failed = self.failed + [piece for job, piece in self._sent if job.exception() is not None]
        return [piece.work for piece in failed if piece.wanted]
