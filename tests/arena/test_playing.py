"""What happens while a person plays, with clocks and workers that the test turns by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from rlhf_games.arena.keys import Keymap, Press
from rlhf_games.arena.playing import PlaySession
from rlhf_games.core.errors import UserError
from rlhf_games.feedback.answers import Demonstration, Rating
from rlhf_games.feedback.store import Store
from rlhf_games.workspace import load_game

from .conftest import Inline, Line, LineSession, Manual, Time

Play = Callable[..., PlaySession]


@pytest.fixture
def play(store: Store, clock: Time, line: Line) -> Iterator[Play]:
    made: list[PlaySession] = []

    def make(game: Any = line, worker: Any = None, **more: Any) -> PlaySession:
        seeds = iter(range(5, 1000))
        fields: dict[str, Any] = {"now": clock, "wall": clock, "seeds": lambda: next(seeds)} | more
        session = PlaySession(lambda: game, lambda: store, "ann", worker or Inline(), **fields)
        for _ in range(3):
            session.tick()
        made.append(session)
        return session

    yield make
    for session in made:
        session.close()


def down(session: PlaySession, *keys: str) -> None:
    for key in keys:
        session.press(Press(key, True))


def up(session: PlaySession, *keys: str) -> None:
    for key in keys:
        session.press(Press(key, False))


def decide(session: PlaySession, clock: Time, count: int = 1) -> None:
    """Lets the time of ``count`` decisions pass."""
    for _ in range(count):
        clock.now += 0.1
        session.tick()
        session.tick()


def actions(game: Line) -> list[list[int]]:
    return game.opened[-1].actions


def test_the_first_game_key_starts_and_held_keys_act(play: Play, line: Line, clock: Time) -> None:
    session = play()
    assert session.phase == "ready"
    decide(session, clock, 5)
    assert actions(line) == [], "nothing happens before the player is there"
    down(session, "right")
    session.tick()
    decide(session, clock, 2)
    up(session, "right")
    decide(session, clock)
    assert actions(line) == [[2], [2], [2], [0]], "at once, then at every decision"
    assert session.returns.tolist() == [3.0]


def test_chords_taps_and_the_last_key_win(play: Play, line: Line, clock: Time) -> None:
    session = play()
    down(session, "space", "right")
    decide(session, clock)
    down(session, "left")
    decide(session, clock)
    up(session, "space", "right", "left")
    decide(session, clock)
    down(session, "space")
    up(session, "space")
    decide(session, clock, 2)
    assert actions(line) == [[4], [4], [0], [3], [0]], "the larger chord; a tap between two decisions counts once"
    down(session, "right", "left")
    decide(session, clock)
    up(session, "left")
    decide(session, clock)
    assert actions(line)[-2:] == [[1], [2]], "of two keys the one pressed last"


def test_the_gamepad_plays_too(play: Play, line: Line, clock: Time) -> None:
    session = play()
    down(session, "pad:dpleft")
    decide(session, clock)
    assert actions(line) == [[1]]


def test_kept_episodes_are_demonstrations_that_reproduce(play: Play, store: Store, line: Line, clock: Time) -> None:
    session = play()
    down(session, "right")
    decide(session, clock, 22)
    assert (session.phase, session.ended, session.decisions) == ("over", True, 20)
    clock.now += 1.0
    session.keep()
    session.tick()
    session.tick()
    assert (session.phase, session.kept, session.episode) == ("ready", 1, 2)
    [answer] = store.answers().answers
    assert answer.value == Demonstration(20, 0)
    assert answer.annotator == "ann"
    assert (answer.shown_at, answer.step) == (1000.0, 0)
    assert answer.replay_id is not None
    replay = store.replay(answer.replay_id)
    assert (replay.seed, replay.player, replay.ended, replay.length) == (5, ("ann",), "terminated", 20)
    assert replay.checksum.returns == (20.0,)
    again = LineSession(line, 5)
    assert sum(float(again.step(action).reward[0]) for action in replay.actions) == 20.0
    assert line.opened[-1].seed == 6, "a fresh seed every episode"
    assert line.opened[-2].closed


def test_key_times_leave_pauses_out(play: Play, store: Store, clock: Time) -> None:
    session = play()
    down(session, "right")
    decide(session, clock)
    clock.now += 0.05
    session.pause()
    clock.now += 100.0
    session.tick()
    assert session.decisions == 1, "nothing happens in a pause"
    session.pause()
    clock.now += 0.01
    up(session, "right")
    decide(session, clock)
    session.stop()
    session.keep()
    session.tick()
    [replay_id] = store.replay_ids()
    assert store.replay(replay_id).key_events == ((0.0, "right", True), (0.16, "right", False))
    assert store.replay(replay_id).ended == "unfinished"


def test_losing_the_keyboard_lets_go_and_pauses(play: Play, line: Line, clock: Time) -> None:
    session = play()
    down(session, "right")
    decide(session, clock)
    session.lose_focus()
    assert session.phase == "paused"
    session.pause()
    decide(session, clock)
    assert actions(line) == [[2], [0]]


def test_single_steps_and_waiting_for_keys(play: Play, line: Line, clock: Time) -> None:
    session = play()
    down(session, "right")
    decide(session, clock)
    session.step_once()
    assert session.phase == "paused"
    session.step_once()
    session.tick()
    up(session, "right")
    session.step_once()
    session.tick()
    assert actions(line) == [[2], [2], [0]]
    session.wait_for_key = True
    session.pause()
    decide(session, clock, 5)
    assert len(actions(line)) == 3, "stands still while no key is held"
    down(session, "left")
    decide(session, clock, 2)
    up(session, "left")
    decide(session, clock, 3)
    assert actions(line)[3:] == [[1], [1]]


def test_speed_changes_the_time_between_decisions(play: Play, line: Line, clock: Time) -> None:
    session = play()
    down(session, "right")
    session.tick()
    for _ in range(3):
        session.change_speed(faster=True)
    assert session.speed == 3.0
    for _ in range(30):
        clock.now += 1 / 30
        session.tick()
        session.tick()
    assert len(actions(line)) == 20, "3 x 10 a second, and the episode has 20"
    for _ in range(20):
        session.change_speed(faster=False)
    assert session.speed == 0.1


def test_restart_asks_first_and_then_throws_away(play: Play, store: Store, clock: Time) -> None:
    session = play()
    down(session, "right")
    decide(session, clock, 3)
    session.restart()
    assert session.phase == "over"
    session.pause()
    assert session.phase == "playing", "a stopped game can go on"
    session.restart()
    session.restart()
    session.tick()
    assert (session.phase, session.episode, session.decisions) == ("ready", 2, 0)
    assert store.replay_ids() == []


def test_leaving_in_the_middle_loses_no_play_but_teaches_nothing(play: Play, store: Store, clock: Time) -> None:
    session = play()
    down(session, "right")
    decide(session, clock, 3)
    session.close()
    [replay_id] = store.replay_ids()
    assert store.replay(replay_id).length == 3
    assert store.answers().answers == ()


def test_an_episode_that_cannot_be_stored_stays_and_is_stored_once(play: Play, store: Store, clock: Time, monkeypatch: Any) -> None:
    session = play()
    down(session, "right")
    decide(session, clock, 3)
    session.stop()
    real = store.post_answers

    def fail_after_writing(drafts: Any) -> Any:
        real(drafts)
        raise UserError("the disk went away")

    monkeypatch.setattr(store, "post_answers", fail_after_writing)
    session.keep()
    session.tick()
    assert session.phase == "failed"
    assert "the disk went away" in session.problem
    monkeypatch.setattr(store, "post_answers", real)
    session.keep()
    session.tick()
    assert session.kept == 1
    assert len(store.answers().answers) == 1


def test_other_seats_play_at_random_and_differ_by_episode(play: Play, clock: Time, store: Store) -> None:
    game = Line(seats=2)
    session = play(game)
    down(session, "right")
    decide(session, clock, 22)
    first = np.array(game.opened[-1].actions)
    assert (first[:, 0] == 2).all()
    assert len(set(first[:, 1])) > 2
    session.keep()
    session.tick()
    session.tick()
    assert store.replay(store.replay_ids()[0]).player == ("ann", "random")
    assert [answer.value for answer in store.answers().answers] == [Demonstration(20, 0)]
    down(session, "right")
    decide(session, clock, 22)
    assert np.array(game.opened[-1].actions)[:, 1].tolist() != first[:, 1].tolist()


def test_two_people_have_their_own_keys_and_both_demonstrate(play: Play, clock: Time, store: Store) -> None:
    game = Line(seats=2, limit=3)
    session = play(game, people=2)
    down(session, "right", "a")
    decide(session, clock, 5)
    assert game.opened[-1].actions == [[2, 1]] * 3
    session.keep()
    session.tick()
    assert [answer.value for answer in store.answers().answers] == [Demonstration(3, 0), Demonstration(3, 1)]


@pytest.mark.parametrize(("game", "people", "complaint"), [(Line(), 2, "--people"), (Line(seats=2), 3, "--people")])
def test_too_many_people_are_refused(play: Play, game: Line, people: int, complaint: str) -> None:
    session = play(game, people=people)
    assert session.phase == "broken"
    assert complaint in session.problem


def test_two_people_on_the_same_keys_are_refused(play: Play) -> None:
    session = play(Line(seats=2), people=2, keymap=Keymap(seats={1: {"left": "left", "right": "right", "space": "space"}}))
    assert session.phase == "broken"
    assert "keys.toml" in session.problem


def test_a_board_game_waits_for_its_player_and_refuses_what_is_not_possible(play: Play, clock: Time) -> None:
    session = play(load_game("board/tic_tac_toe"))
    assert session.phase == "playing", "a game that waits needs no start"

    def until_my_turn() -> None:
        for _ in range(10):
            decide(session, clock, 10)
            if session.my_turn:
                return

    until_my_turn()
    before = session.decisions
    decide(session, clock, 50)
    assert session.decisions == before
    down(session, "5")
    up(session, "5")
    session.tick()
    session.tick()
    if session.decisions == before:  # the other has the centre
        assert "not possible" in session.notice
        return
    until_my_turn()
    decisions = session.decisions
    down(session, "5")
    session.tick()
    session.tick()
    assert "not possible" in session.notice
    assert session.decisions == decisions


def test_slow_games_slow_down_and_drop_nothing(play: Play, line: Line, clock: Time) -> None:
    worker = Manual()
    session = play(worker=worker)
    worker.work()
    session.tick()
    down(session, "right")
    for _ in range(5):
        clock.now += 0.1
        session.tick()
    assert len(worker.queue) == 1, "one decision at a time"
    worker.work()
    session.tick()
    assert actions(line) == [[2]]
    assert session.decisions == 1


def test_pictures_of_a_decision_are_spread_over_its_time(play: Play, clock: Time) -> None:
    session = play()
    down(session, "right")
    decide(session, clock)
    shown = []
    for _ in range(4):
        shown.append(session.frame)
        clock.now += 0.0251
    assert shown == [0, 1, 2, 3]
    picture = session.picture()
    assert picture is not None
    assert picture.shape == (4, 6, 3)


def test_rating_keeps_the_episode_and_is_an_answer_about_all_of_it(play: Any, clock: Time, store: Store, line: Line) -> None:
    session = over(play, clock)
    session.rate(4)
    assert session.phase == "over", "a digit in the heat of the last moment is the game's"
    clock.now += 1.0
    session.rate(4)
    session.tick()
    demonstration, rating = store.answers().answers
    assert (demonstration.value, rating.value) == (Demonstration(20), Rating(4))
    assert (rating.replay_id, rating.step) == (demonstration.replay_id, 0)
    assert rating.shown_at == demonstration.shown_at
    assert rating.answered_at == clock.now
    assert store.progress().answered == 0, "nobody asked: no budget is used up"
    assert session.kept == 1


def test_a_rating_that_cannot_be_stored_is_stored_once_later(play: Any, clock: Time, store: Store, monkeypatch: Any) -> None:
    session = over(play, clock)
    clock.now += 1.0
    real = store.post_answers

    def fail_after_writing(drafts: Any) -> Any:
        real(drafts)
        raise UserError("the disk went away")

    monkeypatch.setattr(store, "post_answers", fail_after_writing)
    session.rate(2)
    session.tick()
    assert session.phase == "failed"
    monkeypatch.setattr(store, "post_answers", real)
    session.keep()
    session.tick()
    assert session.kept == 1
    assert [answer.value for answer in store.answers().answers] == [Demonstration(20), Rating(2)]


def over(play: Any, clock: Time) -> PlaySession:
    """A session whose first episode has just ended."""
    session: PlaySession = play()
    down(session, "right")
    while session.phase != "over":
        decide(session, clock)
    return session
