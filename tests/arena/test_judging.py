"""What happens while a person judges, with clocks and workers that the test turns by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rlhf_games.arena import answering, outlook
from rlhf_games.arena.judging import JudgeSession
from rlhf_games.core.errors import UserError
from rlhf_games.feedback.answers import Preference
from rlhf_games.feedback.labels import pair_label
from rlhf_games.feedback.store import Store

from .conftest import Films, Inline, Manual, Time

Judge = Callable[..., JudgeSession]
Ask = Callable[..., list[int]]


def label(store: Store, number: int = -1) -> Any:
    answer = store.answers().answers[number]
    assert answer.query_id is not None
    return pair_label(answer, store.queries([answer.query_id])[0])


@pytest.mark.parametrize(("choice", "strength", "kind"), [("left", 1, 0), ("right", 2, 1), ("equal", 1, "tie")])
@pytest.mark.parametrize("display", [(0, 1), (1, 0)])
def test_what_is_said_becomes_the_label_that_was_meant(
    store: Store, ask: Ask, judge: Judge, clock: Time, choice: Any, strength: int, kind: Any, display: tuple[int, int]
) -> None:
    [query] = ask(1, [display])
    session = judge()
    session.tick()
    assert session.current is not None
    assert [film.result().frames[0, 0, 0, 0] for film in session.current.films] == list(display), "shown as the query says"
    clock.now += 3.0
    assert session.answer(choice, strength)
    found = label(store)
    assert found.kind == (kind if kind == "tie" else ("first", "second")[display[kind]])
    assert found.strength == strength
    [answer] = store.answers().answers
    assert (answer.query_id, answer.annotator, answer.shown_at, answer.answered_at) == (query, "ann", 1000.0, 1003.0)
    assert answer.display == display


def test_cannot_tell_is_an_answer_without_a_label(store: Store, ask: Ask, judge: Judge) -> None:
    ask(1)
    session = judge()
    session.tick()
    session.answer("unsure")
    assert store.progress().answered == 1
    assert label(store) is None


def test_the_next_pair_is_shown_only_when_the_answer_is_durable(store: Store, ask: Ask, judge: Judge) -> None:
    ask(3)
    worker = Manual()
    session = judge(worker)
    worker.work()
    session.tick()
    first = session.current
    assert session.ahead == 2
    session.answer("left")
    for _ in range(3):
        session.tick()
    assert session.current is first
    assert session.phase == "saving"
    assert session.given == 0
    assert not session.answer("right"), "a pair is answered once"
    worker.work()
    assert store.progress().answered == 1
    session.tick()
    assert session.current is not first
    assert session.phase == "showing", "the next pair was there already"
    assert session.given == 1


def test_nothing_can_be_answered_before_it_is_drawn(ask: Ask, judge: Judge, films: Films) -> None:
    ask(1)
    films.worker = Manual()
    session = judge()
    session.tick()
    assert session.loading
    assert not session.answer("left")
    films.worker.work()
    session.tick()
    assert session.answer("left")


def test_undo_works_any_number_of_times_and_across_sessions(store: Store, ask: Ask, judge: Judge) -> None:
    ids = ask(5)
    session = judge()
    for choice in ("left", "right", "equal"):
        session.tick()
        session.answer(choice)
    session.tick()
    session.close()
    session = judge()
    session.tick()
    assert session.current is not None
    assert session.current.query.id == ids[3]
    for expected, said in zip(ids[2::-1], ("equal", "right", "left"), strict=True):
        session.undo()
        session.tick()
        session.tick()
        assert session.current is not None
        assert session.current.query.id == expected
        assert session.current.taken_back == Preference(said)  # type: ignore[arg-type]
    assert store.progress().answered == 0
    session.undo()
    session.tick()
    session.tick()
    assert "no answer of yours" in session.notice
    seen = []
    while session.current is not None:
        seen.append(session.current.query.id)
        session.answer("left")
        session.tick()
    assert seen == ids, "every pair comes again, in its old order"
    assert len(store.answers().answers) == 5


def test_undo_while_an_answer_is_stored_takes_that_answer_back(store: Store, ask: Ask, judge: Judge) -> None:
    ids = ask(2)
    worker = Manual()
    session = judge(worker)
    worker.work()
    session.tick()
    session.answer("left")
    session.undo()
    for _ in range(4):
        worker.work()
        session.tick()
    assert store.progress().answered == 0
    assert session.current is not None
    assert session.current.query.id == ids[0]
    assert session.given == 0


def test_an_answer_that_cannot_be_stored_is_neither_lost_nor_doubled(store: Store, ask: Ask, judge: Judge, monkeypatch: Any) -> None:
    ids = ask(2)
    session = judge()
    session.tick()
    real = store.post_answers

    def fail_after_writing(drafts: Any) -> Any:
        real(drafts)
        raise UserError("the disk went away")

    monkeypatch.setattr(store, "post_answers", fail_after_writing)
    session.answer("left")
    session.tick()
    assert session.phase == "failed"
    assert "the disk went away" in session.notice
    assert session.given == 0
    monkeypatch.setattr(store, "post_answers", real)
    session.retry()
    session.tick()
    assert session.given == 1
    assert [answer.query_id for answer in store.answers().answers] == ids[:1]


def test_giving_up_a_failed_answer_asks_its_pair_again(store: Store, ask: Ask, judge: Judge, monkeypatch: Any) -> None:
    ask(1)
    session = judge()
    session.tick()

    def fail(_drafts: Any) -> Any:
        raise UserError("full")

    monkeypatch.setattr(store, "post_answers", fail)
    session.answer("left")
    session.tick()
    session.drop()
    session.tick()
    assert (session.phase, session.given, store.progress().answered) == ("waiting", 0, 0)
    assert store.lease("bob") is not None, "somebody else can have it at once"


def test_pairs_are_held_ahead_renewed_and_given_back(store: Store, ask: Ask, judge: Judge, films: Films, clock: Time) -> None:
    ids = ask(9)
    store._clock = clock
    session = judge()
    session.tick()
    assert session.ahead == answering.AHEAD
    assert len(films.requested) == 2 * (answering.AHEAD + 1), "both clips of every pair held are being drawn"
    held = ids[: answering.AHEAD + 1]
    for _ in range(10):
        clock.now += 10.0
        session.tick()
        session.tick()
    assert {query.id for query in store.lease_many("bob", 9)} == set(ids) - set(held), "renewed for longer than a lease lasts"
    session.close()
    session.close()
    assert {query.id for query in store.lease_many("cleo", 9)} == set(held)


def test_a_pair_whose_lease_was_lost_is_not_shown(store: Store, ask: Ask, judge: Judge, clock: Time) -> None:
    ids = ask(3)
    store._clock = clock
    session = judge()
    session.tick()
    clock.now += 100.0  # the machine slept
    assert {query.id for query in store.lease_many("bob", 2, only=ids[1:])} == set(ids[1:])
    session.tick()
    session.tick()
    assert session.current is not None
    assert session.current.query.id == ids[0]
    session.answer("left")
    session.tick()
    assert session.current is None
    assert [answer.query_id for answer in store.answers().answers] == ids[:1], "what was on the screen still counts"


def test_a_pair_that_cannot_be_drawn_is_named_and_passed_over(store: Store, ask: Ask, judge: Judge, films: Films) -> None:
    ids = ask(3)
    films.broken.add(store.queries([ids[0]])[0].clips[1])
    session = judge()
    session.tick()
    assert f"Pair {ids[0]} cannot be shown: does not reproduce" in session.notice
    seen = []
    while session.current is not None:
        seen.append(session.current.query.id)
        session.answer("equal")
        session.tick()
    assert seen == ids[1:]


def test_new_questions_appear_by_themselves(ask: Ask, judge: Judge, clock: Time) -> None:
    session = judge()
    session.tick()
    assert session.current is None
    ask(1)
    session.tick()
    assert session.current is None, "an empty queue is not asked again at once"
    clock.now += 1.0
    session.tick()
    session.tick()
    assert session.current is not None


def test_what_was_leased_in_the_last_moment_goes_back_too(store: Store, ask: Ask, judge: Judge) -> None:
    ids = ask(3)
    worker = Manual()
    session = judge(worker)
    worker.work()
    session.close()
    assert {query.id for query in store.lease_many("bob", 9)} == set(ids)


def test_a_clock_set_back_does_not_lose_an_answer(store: Store, ask: Ask, judge: Judge, clock: Time) -> None:
    ask(1)
    session = judge()
    session.tick()
    clock.now -= 50.0
    assert session.answer("left")
    assert len(store.answers().answers) == 1


def test_a_second_person_gets_other_pairs(ask: Ask, judge: Judge) -> None:
    ask(10)
    ann, bob = judge(Inline()), judge(Inline(), "bob")
    ann.tick()
    bob.tick()
    assert ann.current is not None
    assert bob.current is not None
    assert not set(ann._held_ids()) & set(bob._held_ids())


def test_what_comes_next_is_drawn_ahead_but_not_leased(store: Store, ask: Ask, judge: Judge, films: Films, clock: Time) -> None:
    ids = ask(12)
    session = judge()
    session.tick()
    session.tick()
    held = answering.AHEAD + 1
    coming = store.queries(ids[held:])
    assert films.expected == [clip for query in coming for clip in query.shown], "in the order in which they will be asked"
    assert {query.id for query in store.lease_many("bob", 99)} == set(ids[held:])
    session.answer("left")
    for _ in range(3):
        session.tick()
        clock.now += outlook._EXPECT_EVERY
    assert not {clip for query in store.queries(ids[:held]) for clip in query.clips} & set(films.expected)
