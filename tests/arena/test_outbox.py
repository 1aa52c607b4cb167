"""Answers on their way to the disk and back, on a worker that the test turns by hand."""

from __future__ import annotations

from typing import Any

import pytest

from rlhf_games.arena.outbox import Outbox, Posting, newest
from rlhf_games.feedback.answers import Evaluation
from rlhf_games.feedback.store import AnswerDraft, Store

from .conftest import Manual


class Desk:
    """An outbox, its worker, and what it was told."""

    def __init__(self, store: Store, replay_id: str) -> None:
        self.store, self.worker, self.told = store, Manual(), list[str]()
        self.box = Outbox(store, "ann", self.worker)
        self._replay_id = replay_id

    def post(self) -> Posting:
        posting = Posting()

        def draft() -> AnswerDraft:
            return AnswerDraft("ann", Evaluation(0.5, 0), 1.0, 2.0, posting.uuid, replay_id=self._replay_id, step=3)

        self.box.post(posting, draft, lambda: self.told.append("stored"))
        return posting

    def settle(self) -> list[Any]:
        self.worker.work()
        return self.box.tick()


@pytest.fixture
def desk(store: Store, clips: Any) -> Desk:
    return Desk(store, clips(1)[0].segments[0].replay_id)


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Operations of the store that fail, by name, as long as they stand in this list."""
    failing: list[str] = []
    for name in ("post_answers", "retract"):
        real = getattr(Store, name)

        def work(*args: Any, name: str = name, real: Any = real) -> Any:
            if name in failing:
                raise OSError("disk full")
            return real(*args)

        monkeypatch.setattr(Store, name, work)
    return failing


def test_what_failed_is_sent_again_and_stored_once(desk: Desk, full: list[str]) -> None:
    full.append("post_answers")
    posting = desk.post()
    [failure] = desk.settle()
    assert (posting.state, failure.piece.posting, str(failure.error)) == ("failed", posting, "disk full")
    assert desk.told == []
    full.clear()
    desk.box.again()
    assert desk.box.busy
    assert desk.settle() == []
    assert (posting.state, desk.box.failed, desk.told) == ("stored", [], ["stored"])
    assert [answer.id for answer in desk.store.answers().answers] == [posting.answer_id]


def test_what_is_taken_back_before_it_could_be_stored_is_not_sent_again(desk: Desk, full: list[str]) -> None:
    full.append("post_answers")
    posting = desk.post()
    desk.box.take_back(posting, lambda: desk.told.append("gone"))
    assert not posting.wanted
    assert desk.settle() == [], "nobody wants it any more"
    full.clear()
    desk.box.again()
    desk.settle()
    assert (posting.state, desk.told, desk.store.answers().answers) == ("gone", ["gone"], ())


def test_taking_back_that_fails_is_told_or_tried_again(desk: Desk, full: list[str]) -> None:
    first, second = desk.post(), desk.post()
    desk.settle()
    full.append("retract")
    desk.box.take_back(first, lambda: None, lambda error: desk.told.append(str(error)))
    desk.box.take_back(second, lambda: None)
    [failure] = desk.settle()
    assert failure.piece.posting is None
    assert desk.told[-1] == "disk full"
    full.clear()
    desk.box.again()
    desk.settle()
    assert second.state == "gone"
    assert [answer.uuid for answer in desk.store.answers().answers] == [first.uuid]


def test_at_the_end_everything_that_is_wanted_is_left(desk: Desk, full: list[str]) -> None:
    full.append("post_answers")
    desk.post()
    desk.settle()
    unwanted = desk.post()
    desk.box.take_back(unwanted, lambda: None)
    late = desk.post()
    desk.worker.work()
    full.clear()
    for work in desk.box.left():
        work()
    assert late.answer_id is not None
    assert unwanted.answer_id is None
    assert len(desk.store.answers().answers) == 2


def test_the_newest_in_a_state() -> None:
    postings = [Posting(state="stored"), Posting(state="failed"), Posting(state="gone")]
    assert newest(postings, "sending", "stored") is postings[0]
    assert newest(postings, "stored", "failed") is postings[1]
    assert newest(postings, "leaving") is None
