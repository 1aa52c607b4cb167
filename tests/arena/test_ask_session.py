"""Ask with a clock and workers that stand still until told: from what is done to rows in the store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rlhf_games.arena import reel
from rlhf_games.arena.asking import AskSession
from rlhf_games.arena.dwelling import DWELL
from rlhf_games.core.errors import UserError
from rlhf_games.feedback.answers import Advice, Evaluation, Question
from rlhf_games.feedback.store import AnswerDraft

from .asking_world import KnownMind, Published, Walk, World, make_world, rows, settle, walk_replay
from .conftest import Manual, Time


@pytest.fixture
def asking(world: World) -> Iterator[AskSession]:
    session = world.ask()
    settle(session)
    yield session
    session.close()


def test_the_newest_episode_is_opened_and_thought_about(asking: AskSession, world: World) -> None:
    newest = walk_replay(world.game, 2, at=12.0)
    assert asking.reel.replay_id == newest.id
    assert asking.t == 0
    asking.move(10)
    thought = asking.thought
    assert thought is not None
    seen = asking.reel.tape.look(10, 11)
    expected = KnownMind().explain(seen.observation[0], seen.legal[0])
    assert thought.probabilities.tolist() == pytest.approx(expected.probabilities[0].tolist())
    assert thought.value == expected.value[0]
    assert asking.taken == newest.actions[10, 0]
    asking.move(1000)
    assert asking.t == newest.length
    assert not asking.decision
    asking.mark(True)
    asking.pick(1)
    asking.choose("teach")
    assert rows(world.store, "evaluation", "advice") == [], "after the last decision there is nothing to say"


def test_it_opens_where_somebody_wants_to_ask(world: World) -> None:
    oldest = walk_replay(world.game, 0, at=10.0)
    session = world.ask((oldest.id, 23))
    settle(session, lambda: session.t == 23)
    assert (session.reel.replay_id, session.t) == (oldest.id, 23)
    session.move(-5)
    settle(session)
    assert session.t == 18, "and lets them go on"
    session.close()


def test_who_goes_elsewhere_is_left_there(world: World) -> None:
    session = world.ask((walk_replay(world.game, 0, at=10.0).id, 23))
    settle(session, lambda: session.reel.phase == "ready", ticks=3)
    session.newest()
    settle(session)
    assert (session.reel.replay_id, session.t) == (walk_replay(world.game, 2, at=12.0).id, 0)
    session.close()


def test_marks_and_lessons_are_rows_about_that_decision(asking: AskSession, world: World, clock: Time) -> None:
    asking.move(7)
    settle(asking, ticks=2)
    clock.now += 0.5
    asking.mark(good=True)
    asking.mark(good=False)
    asking.choose("teach")
    assert asking.choosing == "teach"
    asking.pick(2)
    settle(asking, ticks=2)
    said = rows(world.store, "evaluation", "advice")
    assert [answer.value for answer in said] == [Evaluation(0.5, speed=0.0), Evaluation(-0.5, speed=0.0), Advice(2)]
    assert {(answer.replay_id, answer.step, answer.annotator) for answer in said} == {(asking.reel.replay_id, 7, "ann")}
    assert {(answer.shown_at, answer.answered_at) for answer in said} == {(1000.0, 1000.5)}
    assert [(mark.step, mark.value, mark.solid, mark.mine) for mark in asking.remarks.marks(asking.reel.replay_id)] == [
        (7, answer.value, True, True) for answer in said
    ]


def test_a_mark_is_solid_only_when_it_is_on_the_disk(tmp_path: Path, clock: Time) -> None:
    writer = Manual()
    world = make_world(tmp_path, clock, writer=writer)
    session = world.ask()
    settle(session)
    session.mark(good=True)
    session.tick()
    [mark] = session.remarks.marks(session.reel.replay_id)
    assert not mark.solid
    assert rows(world.store) == []
    writer.work()
    session.tick()
    [mark] = session.remarks.marks(session.reel.replay_id)
    assert mark.solid
    assert len(rows(world.store, "evaluation")) == 1


def test_a_mark_that_cannot_be_stored_is_said_and_stored_once_later(
    asking: AskSession, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = world.store.post_answers

    def full(drafts: list[AnswerDraft]) -> list[int]:
        raise UserError("the disk is full")

    monkeypatch.setattr(world.store, "post_answers", full)
    asking.mark(good=True)
    settle(asking, ticks=2)
    assert "the disk is full" in asking.remarks.problem
    monkeypatch.setattr(world.store, "post_answers", real)
    asking.remarks.retry()
    asking.remarks.retry()
    settle(asking, ticks=2)
    assert [answer.value for answer in rows(world.store, "evaluation")] == [Evaluation(0.5, speed=0.0)]
    monkeypatch.setattr(world.store, "post_answers", full)
    asking.mark(good=False)
    settle(asking, ticks=2)
    asking.remarks.drop()
    assert asking.remarks.problem == ""
    assert len(asking.remarks.marks(asking.reel.replay_id)) == 1


def test_a_question_that_cannot_be_logged_is_said_and_logged_later(
    asking: AskSession, world: World, clock: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = world.store.post_answers

    def full(drafts: list[AnswerDraft]) -> list[int]:
        raise UserError("the disk is full")

    monkeypatch.setattr(world.store, "post_answers", full)
    asking.pick(1)
    settle(asking)
    assert asking.fork is not None, "the answer comes all the same"
    assert "the disk is full" in asking.remarks.problem
    monkeypatch.setattr(world.store, "post_answers", real)
    asking.remarks.retry()
    settle(asking)
    assert [answer.value for answer in rows(world.store)] == [Question("what-if", 1)]
    assert not asking.remarks.stuck


def test_a_remark_says_since_when_its_decision_was_seen(asking: AskSession, world: World, clock: Time) -> None:
    clock.now += 10
    asking.seek(4)
    asking.mark(good=True)
    clock.now += 3
    asking.seek(5)
    clock.now += 2
    asking.mark(good=True)
    settle(asking, ticks=2)
    times = [(answer.step, answer.shown_at, answer.answered_at) for answer in rows(world.store, "evaluation")]
    assert times == [(4, 1010.0, 1010.0), (5, 1013.0, 1015.0)]


def test_undo_takes_back_the_newest_first_and_goes_there(asking: AskSession, world: World) -> None:
    for t in (3, 9):
        asking.seek(t)
        asking.mark(good=True)
    asking.seek(20)
    asking.undo()
    settle(asking, ticks=3)
    assert [answer.step for answer in rows(world.store, "evaluation")] == [3]
    assert asking.t == 9
    asking.undo()
    asking.undo()
    settle(asking, ticks=3)
    assert rows(world.store, "evaluation") == []
    assert "nothing" in asking.notice
    assert [taken_back is not None for answer, taken_back in world.store.history() if answer.kind == "evaluation"] == [True, True]


def test_a_what_if_is_logged_shown_and_may_end_in_a_lesson(asking: AskSession, world: World) -> None:
    asking.move(6)
    asking.pick(2)
    assert asking.fork is None
    settle(asking)
    fork = asking.fork
    assert fork is not None
    assert (fork.t, fork.action, fork.chosen.actions[0, 0]) == (6, 2, 2)
    assert len(fork.chosen.actions) == 30, "three seconds"
    asking.choose("teach")
    settle(asking, ticks=2)
    answers = rows(world.store, "question", "advice")
    assert [(answer.value, answer.step) for answer in answers] == [(Question("what-if", 2), 6), (Advice(2), 6)]
    asking.pick(1)
    settle(asking)
    assert asking.fork is not None
    assert asking.fork.action == 1
    asking.seek(7)
    assert asking.fork is None


def test_what_is_not_possible_is_not_tried(asking: AskSession, world: World) -> None:
    t = next(t for t in range(40) if not asking.reel.tape.legal(t)[0, 3])
    asking.seek(t)
    asking.pick(3)
    settle(asking)
    assert asking.fork is None
    assert "not possible" in asking.notice
    asking.choose("teach")
    asking.pick(3)
    settle(asking)
    assert rows(world.store, "advice", "question") == []


def test_standing_still_is_a_question_passing_by_is_not(asking: AskSession, world: World, clock: Time) -> None:
    for t in range(5):
        asking.seek(t)
        asking.tick()
        clock.now += DWELL / 2
        asking.tick()
    assert rows(world.store, "question") == []
    asking.curve, asking.overlay = "value", True
    settle(asking, ticks=5)
    clock.now += DWELL
    settle(asking, ticks=5)
    clock.now += 10 * DWELL
    settle(asking, ticks=5)
    found = rows(world.store, "question")
    assert [answer.value for answer in found] == [Question("policy"), Question("value"), Question("reward")], "each once"
    assert {answer.step for answer in found} == {4}
    assert asking.salient is not None


def test_a_newer_policy_is_asked_when_the_person_says_so(asking: AskSession, world: World, clock: Time) -> None:
    asking.seek(5)
    assert asking.policy == "tiny/1"
    world.published.minds.append(KnownMind("tiny/2"))
    clock.now += 3
    settle(asking)
    assert asking.newer
    assert asking.policy == "tiny/1"
    asking.renew()
    settle(asking)
    assert (asking.policy, asking.t, asking.newer) == ("tiny/2", 5, False)
    assert asking.thought is not None


def test_episodes_of_people_are_asked_about_too_and_marks_of_others_are_seen(world: World, clock: Time) -> None:
    replay_id = walk_replay(world.game, 2, at=12.0).id
    world.store.post_answers([AnswerDraft("bob", Evaluation(-1.0), 1.0, 2.0, "u1", replay_id=replay_id, step=4)])
    session = world.ask()
    settle(session)
    assert [(mark.step, mark.mine, mark.solid) for mark in session.remarks.marks(replay_id)] == [(4, False, True)]
    session.go(1)
    settle(session)
    assert session.episode is not None
    assert session.episode.recorded_at == 11.0
    session.newest()
    assert session.reel.replay_id == replay_id
    session.close()


def test_without_a_policy_episodes_can_be_looked_at_and_marked(world: World) -> None:
    class Nothing(Published):
        def reader(self) -> Any:
            raise UserError("the run has published no policy yet")

    session = world._replace(published=Nothing()).ask()
    settle(session)
    assert session.reel.phase == "ready"
    assert session.thought is None
    session.choose("what-if")
    assert "no policy yet" in session.notice
    session.mark(good=True)
    settle(session)
    assert len(rows(world.store, "evaluation")) == 1
    session.close()


def test_a_policy_that_cannot_be_asked_is_said_and_nothing_breaks(world: World) -> None:
    mind = KnownMind()
    mind.broken = True
    session = world._replace(published=Published(mind)).ask()
    settle(session)
    assert "another version" in session.reel.thinking_problem
    assert session.reel.phase == "ready"
    session.close()


def test_each_seat_is_asked_for_itself(tmp_path: Path, clock: Time) -> None:
    together = make_world(tmp_path, clock, Walk(seats=2)).ask()
    settle(together)
    assert together.seat == 0
    together.other_seat()
    assert together.seat == 1
    (tmp_path / "turns").mkdir()
    world = make_world(tmp_path / "turns", clock, Walk(seats=2, turns=True))
    turns = world.ask()
    settle(turns)
    turns.seek(3)
    assert turns.seat == 1
    turns.mark(good=True)
    turns.pick(2)
    settle(turns)
    assert turns.fork is not None
    assert [(answer.value, answer.step) for answer in rows(world.store, "evaluation", "question")] == [
        (Evaluation(0.5, 1, speed=0.0), 3),
        (Question("what-if", 2, 1), 3),
    ]


def test_leaving_while_everything_is_on_its_way_stores_what_was_said(tmp_path: Path, clock: Time) -> None:
    writer, worker = Manual(), Manual()
    world = make_world(tmp_path, clock, writer=writer, worker=worker)
    session = world.ask()
    session.tick()
    session.tick()
    while session.reel.phase != "ready":
        worker.work()
        session.tick()
    session.mark(good=True)
    session.pick(1)
    session.overlay = True
    session.tick()
    session.close()
    session.close()
    writer.shutdown()
    assert len(rows(world.store, "evaluation")) == 1


def test_episodes_stay_played_until_they_take_too_much_memory(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    session = world.ask()
    settle(session)
    first = session.reel.tape
    session.go(1)
    settle(session)
    session.go(-1)
    assert session.reel.tape is first, "shown at once"
    assert session.reel.phase == "ready"
    monkeypatch.setattr(reel, "_KEPT_BYTES", first.nbytes - 1)
    session.go(2)
    settle(session)
    session.newest()
    settle(session)
    assert session.reel.tape is not first
    assert session.reel.tape.replay == first.replay
    session.close()
