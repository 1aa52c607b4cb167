"""The agent's questions with a clock and workers that stand still until told: from what is said to rows in the store."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlhf_games.core.errors import UserError
from rlhf_games.feedback.answers import Advice
from rlhf_games.feedback.store import AnswerDraft, QueryDraft

from .asking_world import World, make_world, rows, settle, walk_replay
from .conftest import Time


def test_the_agent_asks_where_it_is_unsure_and_the_answer_is_a_row(world: World) -> None:
    session = world.advise()
    settle(session)
    still = session.current
    assert still is not None
    assert still.uncertainty == pytest.approx(1.0, abs=0.2)
    clock_before = session.ahead
    assert clock_before > 0
    assert session.answer(2)
    settle(session, lambda: session.current is not None and session.current is not still)
    assert session.current is not still
    [answer] = rows(world.store)
    assert (answer.value, answer.replay_id, answer.step) == (Advice(2), still.tape.replay.id, still.t)
    session.answer(None)
    settle(session)
    assert rows(world.store)[1].value == Advice(None)
    assert session.given == 2
    session.close()


def test_no_question_twice_in_this_session_or_the_next(world: World, clock: Time) -> None:
    asked: set[tuple[str, int]] = set()
    for _ in range(2):
        session = world.advise()
        settle(session)
        while session.current is not None:
            still = session.current
            here = (still.tape.replay.id, still.t)
            assert all(replay != here[0] or abs(t - here[1]) >= 15 for replay, t in asked), "a second and a half apart"
            asked.add(here)
            session.answer(1)
            settle(session)
        session.close()
    assert len(rows(world.store, "advice")) == len(asked) > 5


def test_undo_asks_again(world: World) -> None:
    session = world.advise()
    settle(session)
    first = session.current
    session.answer(1)
    settle(session)
    session.undo()
    settle(session)
    assert session.current is first
    assert session.given == 0
    assert rows(world.store) == []
    session.answer(2)
    settle(session)
    assert [answer.value for answer in rows(world.store)] == [Advice(2)]
    session.close()


def test_a_learners_questions_go_first_and_are_given_back(world: World, clock: Time) -> None:
    replay_id = walk_replay(world.game, 1, at=11.0).id
    ids = world.store.post_queries([QueryDraft("advice", replay_id=replay_id, step=step) for step in (5, 25)])
    session = world.advise()
    settle(session)
    assert session.current is not None
    assert (session.current.query_id, session.current.t) == (ids[0], 5)
    session.answer(0)
    settle(session)
    [answer] = rows(world.store)
    assert (answer.query_id, answer.value) == (ids[0], Advice(0))
    assert session.current.query_id == ids[1]
    session.close()
    assert world.store.query_ids(still_wanted=True) == [ids[1]]
    assert world.store.progress().leased == 0


def test_a_learners_question_that_is_taken_back_is_asked_once_more(world: World, clock: Time) -> None:
    replay_id = walk_replay(world.game, 1, at=11.0).id
    world.store.post_queries([QueryDraft("advice", replay_id=replay_id, step=5)])
    world.published.minds.clear()
    session = world.advise()
    settle(session)
    session.answer(0)
    settle(session)
    assert session.current is None
    session.undo()
    clock.now += 10
    settle(session)
    assert session.current is not None
    clock.now += 10
    settle(session)
    assert session.ahead == 0, "not twice"
    session.answer(2)
    settle(session)
    assert [answer.value for answer in rows(world.store)] == [Advice(2)]
    session.close()


def test_what_led_to_a_question_can_be_seen(world: World, clock: Time) -> None:
    session = world.advise()
    settle(session, lambda: session.current is not None)
    still = session.current
    assert still is not None
    assert session.shown() == (still.t, len(still.tape.pictures(still.t)) - 1)
    session.lead()
    begin = session.shown()
    clock.now += 0.5
    middle = session.shown()
    clock.now += 5
    assert begin is not None
    assert middle is not None
    assert begin[0] <= middle[0] <= still.t
    assert session.shown() == (still.t, len(still.tape.pictures(still.t)) - 1)
    session.close()


def test_an_answer_that_cannot_be_stored_stays(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    session = world.advise()
    settle(session)
    still, real = session.current, world.store.post_answers

    def full(drafts: list[AnswerDraft]) -> list[int]:
        raise UserError("the disk is full")

    monkeypatch.setattr(world.store, "post_answers", full)
    session.answer(1)
    settle(session)
    assert (session.phase, session.current) == ("failed", still)
    monkeypatch.setattr(world.store, "post_answers", real)
    session.retry()
    settle(session)
    assert len(rows(world.store)) == 1
    assert session.current is not still
    session.close()


def test_nothing_to_ask_is_said(tmp_path: Path, clock: Time) -> None:
    session = make_world(tmp_path, clock, seeds=0).advise()
    settle(session)
    assert session.settled
    assert "nothing" in session.words
    assert not session.answer(1)
    session.undo()
    session.close()
