"""What coaching does, by a clock that stands still: marks, takeovers, hand-back, new policies, and what of it reaches the store."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from rlhf_games.arena.coach_game import CoachGame
from rlhf_games.arena.keys import Press
from rlhf_games.core.errors import UserError
from rlhf_games.feedback.answers import Evaluation, Takeover
from rlhf_games.feedback.store import Store

from .coaches import LEFT, RIGHT, STAY, Coached, Policy, Runs
from .conftest import Line, LineSession, Manual, Time


@pytest.fixture
def coached(store: Store, clock: Time) -> Coached:
    return Coached(store, clock).started()


def marks(store: Store) -> list[tuple[int | None, Any]]:
    return [(answer.step, answer.value) for answer in store.answers().answers]


def test_it_waits_for_the_person_and_then_plays_at_the_games_own_speed(store: Store, clock: Time) -> None:
    coached = Coached(store, clock)
    coached.run(1.0)
    assert (coached.session.phase, coached.session.decisions) == ("ready", 0)
    coached.session.start()
    coached.run(0.5)
    assert coached.session.phase == "playing"
    assert coached.session.decisions == 5
    coached.session.change_speed(faster=False)
    coached.session.change_speed(faster=False)
    assert coached.session.speed == 0.5
    coached.run(1.0)
    assert coached.session.decisions == 10
    assert coached.session.action == (RIGHT,)


def test_a_mark_is_about_what_is_on_the_screen(coached: Coached, store: Store) -> None:
    assert not coached.session.evaluate(0.5), "nothing was decided yet"
    assert coached.session.notice
    coached.run(0.5)
    shown = coached.clock.now
    coached.clock.now += 0.03
    assert coached.session.evaluate(-1.0, "-")
    [answer] = store.answers().answers
    assert (answer.step, answer.value, answer.annotator) == (4, Evaluation(-1.0), "ann")
    assert (answer.shown_at, answer.answered_at) == (shown, shown + 0.03)
    assert answer.replay_id is not None
    replay = store.replay(answer.replay_id)
    assert replay.length == 5
    assert replay.ended == "unfinished"
    assert replay.key_events == ((pytest.approx(0.53), "-", True),)


def test_a_mark_is_stored_before_it_is_shown_as_stored(store: Store, clock: Time) -> None:
    worker = Manual()
    coached = Coached(store, clock, writer=worker).started()
    coached.run(0.3)
    coached.session.evaluate(0.5)
    [mark] = coached.log.marks
    coached.session.tick()
    assert mark.state == "sending"
    assert not store.answers().answers
    worker.work()
    assert len(store.answers().answers) == 1
    coached.session.tick()
    assert mark.state == "stored"


def test_the_whole_episode_belongs_to_its_marks_in_the_end(coached: Coached, store: Store) -> None:
    coached.run(0.5)
    coached.session.evaluate(0.5)
    [early] = store.answers().answers
    coached.run(3.0)
    assert coached.session.phase in ("over", "playing")
    [late] = store.answers().answers
    assert early.replay_id != late.replay_id
    assert late.replay_id is not None
    replay = store.replay(late.replay_id)
    assert (replay.length, replay.ended, replay.player, replay.policy) == (20, "terminated", ("agent",), "run/1")


def test_the_end_can_still_be_judged_and_then_the_next_episode_begins(coached: Coached, store: Store) -> None:
    coached.run(2.4)
    assert coached.session.phase == "over"
    assert coached.session.evaluate(-0.5)
    [(step, value)] = marks(store)
    assert (step, value.value, value.speed) == (19, -0.5, 1.0)
    assert value.since_end == pytest.approx(0.3), "the first decision comes after 0.1 s, the last of 20 is seen until 2.1"
    coached.run(2.0)
    assert coached.session.phase == "playing"
    assert coached.session.episode == 2
    assert [session.seed for session in coached.game.opened] == [0, 100, 101]


def test_taking_over_and_handing_back(coached: Coached, store: Store) -> None:
    coached.run(0.5)
    coached.session.press(Press("left", True))
    assert coached.session.driver == "you", "at once"
    coached.run(0.4)
    assert coached.session.action == (LEFT,)
    coached.session.press(Press("left", False))
    coached.run(0.25)
    assert coached.session.driver == "you", "a short pause of the hands is no handing back"
    assert coached.session.action == (STAY,)
    coached.run(0.1)
    assert coached.session.driver == "agent"
    coached.run(0.3)
    assert coached.session.action == (RIGHT,)
    [(step, value)] = marks(store)
    assert (step, value.length) == (5, 4)
    [answer] = store.answers().answers
    coached.session.close()
    [answer] = store.answers().answers
    played = store.replay(answer.replay_id or "").actions[:, 0].tolist()
    assert played[:12] == [RIGHT] * 5 + [LEFT] * 4 + [STAY] * 2 + [RIGHT]
    instead = store.replay(value.instead)
    assert instead.actions[:, 0].tolist() == [RIGHT] * 9, "what the agent would have done, for as long"
    assert instead.policy == "run/1"


def test_a_tap_between_two_decisions_takes_over_for_one(coached: Coached, store: Store) -> None:
    coached.run(0.5)
    coached.clock.now += 0.02
    coached.session.press(Press("left", True))
    coached.clock.now += 0.01
    coached.session.press(Press("left", False))
    coached.run(1.0)
    assert coached.session.driver == "agent"
    assert [(step, value.length) for step, value in marks(store)] == [(5, 1)]


def test_a_slow_game_does_not_hand_back_before_the_tap_has_counted(store: Store, clock: Time) -> None:
    coached = Coached(store, clock).started()
    for _ in range(4):
        coached.session.change_speed(faster=False)
    assert coached.session.speed == 0.1
    coached.run(1.5)
    coached.session.press(Press("left", True))
    coached.session.press(Press("left", False))
    coached.run(0.4)
    assert coached.session.driver == "you"
    coached.run(1.0)
    assert coached.session.driver == "agent"
    assert [(step, value.length) for step, value in marks(store)] == [(1, 1)]


def test_how_long_the_hands_may_rest_is_a_setting(store: Store, clock: Time) -> None:
    coached = Coached(store, clock, hand_back=0.0).started()
    coached.run(0.5)
    coached.session.press(Press("left", True))
    coached.run(0.2)
    coached.session.press(Press("left", False))
    coached.run(0.05)
    assert coached.session.driver == "agent"


def test_a_game_that_does_not_come_to_the_same_state_has_no_instead(store: Store, clock: Time) -> None:
    coached = Coached(store, clock, Line()).started()
    coached.run(0.3)
    coached.session.press(Press("left", True))
    coached.run(0.2)
    coached.game.open = lambda seed: LineSession(coached.game, seed + 1)  # type: ignore[method-assign]
    coached.session.press(Press("left", False))
    coached.run(0.5)
    assert marks(store) == [(3, Takeover(2))]


def test_a_takeover_at_the_end_of_the_game(coached: Coached, store: Store) -> None:
    coached.run(1.7)
    coached.session.press(Press("left", True))
    coached.run(0.8)
    assert coached.session.phase == "over"
    assert [(step, value.length) for step, value in marks(store)] == [(17, 3)]
    coached.run(3.0)
    assert coached.session.driver == "agent", "a key that is still held must go down anew"


def test_leaving_in_the_middle_of_a_takeover_loses_nothing(coached: Coached, store: Store) -> None:
    coached.run(0.5)
    coached.session.evaluate(1.0)
    coached.session.press(Press("left", True))
    coached.run(0.3)
    coached.session.close()
    assert [(step, value.length if isinstance(value, Takeover) else value.value) for step, value in marks(store)] == [(4, 1.0), (5, 3)]
    for answer in store.answers().answers:
        assert answer.replay_id is not None
        replay = store.replay(answer.replay_id)
        assert (replay.length, replay.ended) == (8, "unfinished")
        assert [key for _, key, _ in replay.key_events] == ["left"]
    assert all(session.closed for session in coached.game.opened)


def test_restarting_keeps_what_was_played(coached: Coached, store: Store) -> None:
    coached.run(0.5)
    coached.session.evaluate(0.5)
    coached.session.restart()
    coached.run(0.4)
    assert coached.session.episode == 2
    coached.session.evaluate(-0.5)
    assert marks(store) == [(4, Evaluation(0.5)), (2, Evaluation(-0.5))]
    first, second = (store.replay(answer.replay_id or "") for answer in store.answers().answers)
    assert (first.seed, first.length, second.seed) == (100, 5, 101)


def test_an_episode_without_marks_is_stored_too(coached: Coached, store: Store) -> None:
    coached.run(0.5)
    coached.session.close()
    [replay_id] = store.replay_ids()
    assert store.replay(replay_id).length == 5


def test_taking_back_as_often_as_one_likes(coached: Coached, store: Store) -> None:
    for value in (0.5, -0.5, 1.0):
        coached.run(0.2)
        coached.session.evaluate(value)
    coached.session.undo()
    coached.session.undo()
    coached.session.tick()
    assert [value for _, value in marks(store)] == [Evaluation(0.5)]
    assert [mark.state for mark in coached.log.marks] == ["stored", "gone", "gone"]
    coached.session.undo()
    coached.session.undo()
    coached.session.tick()
    assert marks(store) == []
    assert coached.log.notice == "Nothing left to take back."
    assert len(store.history()) == 3, "what was taken back stays in the log"


def test_what_an_earlier_session_said_can_be_taken_back(store: Store, clock: Time) -> None:
    first = Coached(store, clock).started()
    first.run(0.3)
    first.session.evaluate(-1.0)
    first.session.close()
    second = Coached(store, clock).started()
    second.session.undo()
    second.session.tick()
    assert marks(store) == []
    assert "−−" in second.log.notice


def test_a_mark_that_could_not_be_stored_is_tried_again(coached: Coached, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    coached.run(0.3)
    real = store.post_answers

    def full(drafts: Any) -> Any:
        raise UserError("no more disk")

    monkeypatch.setattr(store, "post_answers", full)
    coached.session.evaluate(0.5)
    coached.session.evaluate(-0.5)
    coached.session.undo()
    coached.session.tick()
    assert [mark.state for mark in coached.log.marks] == ["failed", "gone"]
    assert "no more disk" in coached.log.problem
    monkeypatch.setattr(store, "post_answers", real)
    coached.run(2.5)
    assert marks(store) == [(2, Evaluation(0.5))]
    assert coached.log.problem == ""
    assert [mark.state for mark in coached.log.marks] == ["stored", "gone"]


def test_what_failed_is_tried_once_more_when_the_window_closes(coached: Coached, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    coached.run(0.3)
    failures = iter([True])
    real = store.post_answers

    def flaky(drafts: Any) -> Any:
        if next(failures, False):
            raise UserError("no more disk")
        return real(drafts)

    monkeypatch.setattr(store, "post_answers", flaky)
    coached.session.evaluate(0.5)
    coached.session.close()
    assert marks(store) == [(2, Evaluation(0.5))]


def test_a_newer_policy_plays_at_once(coached: Coached, store: Store) -> None:
    coached.run(0.5)
    coached.runs.waiting.append(Policy(coached.game, "run/2", LEFT))
    coached.session.change_speed(faster=False)
    coached.run(3.0)
    assert coached.session.policy == "run/2"
    assert coached.session.action == (LEFT,)
    coached.session.close()
    [replay_id] = store.replay_ids()
    assert store.replay(replay_id).policy == "run/2", "filed under the policy that ended it"


def test_a_newer_policy_is_announced_for_a_moment(coached: Coached) -> None:
    coached.runs.waiting.append(Policy(coached.game, "run/2", LEFT))
    coached.run(2.2)
    assert "run/2" in coached.session.notice
    coached.run(4.0)
    assert coached.session.notice == ""


def test_a_damaged_policy_is_told_and_the_old_one_plays_on(coached: Coached) -> None:
    coached.runs.problem = "00000002.policy is damaged"
    coached.run(2.2)
    assert "damaged" in coached.session.notice
    assert coached.session.policy == "run/1"


def test_focus_loss_pauses_and_lets_go(coached: Coached, store: Store) -> None:
    coached.run(0.5)
    coached.session.press(Press("left", True))
    coached.run(0.2)
    coached.session.lose_focus()
    assert coached.session.phase == "paused"
    coached.run(2.0)
    assert coached.session.decisions == 7
    coached.session.pause()
    coached.run(0.5)
    assert coached.session.driver == "agent"
    assert [(step, value.length) for step, value in marks(store)] == [(5, 2)]


def test_nothing_begins_while_the_person_is_elsewhere(coached: Coached) -> None:
    coached.run(2.4)
    coached.session.lose_focus()
    coached.run(5.0)
    assert (coached.session.phase, coached.session.episode) == ("ready", 2)


def test_the_game_waits_visibly_for_a_late_agent(store: Store, clock: Time) -> None:
    worker = Manual()
    coached = Coached(store, clock, worker=worker)
    worker.work()
    coached.session.tick()
    coached.started().run(0.5)
    assert coached.session.decisions == 0
    assert coached.session.late
    worker.work()
    coached.run(0.1)
    assert coached.session.decisions == 1
    assert not coached.session.late
    coached.session.evaluate(0.5)
    coached.run(0.5)
    assert coached.session.late
    coached.session.evaluate(0.5)
    assert [mark.value.speed for mark in coached.log.marks if isinstance(mark.value, Evaluation)] == [1.0, 0.0]
    worker.work()


def test_a_turn_based_game_waits_for_the_person_who_took_over(store: Store, clock: Time) -> None:
    line = Line()
    line.spec = dataclasses.replace(line.spec, turn_based=True)
    coached = Coached(store, clock, line).started()
    coached.run(0.3)
    coached.session.press(Press("left", True))
    coached.run(0.1)
    assert coached.session.action == (LEFT,)
    coached.run(1.0)
    assert coached.session.decisions == 4, "the key counted once, and it is still held"
    assert not coached.session.late
    coached.session.evaluate(-0.5)
    coached.session.press(Press("left", False))
    coached.run(0.6)
    assert coached.session.driver == "agent"
    assert coached.session.decisions > 4
    (marked, mark), (taken, takeover) = marks(store)
    assert (marked, mark) == (3, Evaluation(-0.5, speed=0.0)), "the game stands still until the coach moves"
    assert (taken, takeover.length) == (3, 1)


def test_several_seats_the_person_has_the_first(store: Store, clock: Time) -> None:
    coached = Coached(store, clock, Line(seats=2)).started()
    coached.run(0.3)
    coached.session.press(Press("left", True))
    coached.run(0.2)
    assert coached.session.action == (LEFT, RIGHT)


def test_a_game_that_breaks_is_told_and_what_was_said_stays(coached: Coached, store: Store) -> None:
    coached.run(0.3)
    coached.session.evaluate(0.5)

    def fall_over(action: np.ndarray) -> Any:
        raise RuntimeError("emulator fell over")

    coached.game.opened[-1].step = fall_over  # type: ignore[method-assign]
    coached.run(0.3)
    assert coached.session.phase == "broken"
    assert "emulator fell over" in coached.session.problem
    coached.session.close()
    assert marks(store) == [(2, Evaluation(0.5))]


def test_games_that_cannot_be_coached_are_refused() -> None:
    for changes in ({"frame_shape": (0, 0)}, {"keys": {}}):
        line = Line()
        line.spec = dataclasses.replace(line.spec, **changes)  # type: ignore[arg-type]
        with pytest.raises(UserError, match="test/line"):
            CoachGame(Runs(Policy(line)))
