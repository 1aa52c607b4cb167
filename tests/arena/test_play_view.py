"""Playing driven by pygame's events in a window that nobody sees."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pygame
import pytest

from rlhf_games.arena import start
from rlhf_games.arena.app import App
from rlhf_games.arena.help import help_lines, key_names
from rlhf_games.arena.keys import Command, Keymap
from rlhf_games.arena.person import Person
from rlhf_games.arena.play_view import PlayView
from rlhf_games.arena.playing import PlaySession
from rlhf_games.core.errors import UserError
from rlhf_games.feedback.answers import Demonstration, Rating
from rlhf_games.feedback.store import Store

from .conftest import Inline, Line, Time, fits, leave, press, pump, screen

Show = Callable[..., App]


@pytest.fixture
def playing(show: Show, clock: Time, store: Store, line: Line) -> Callable[..., tuple[App, PlayView]]:
    def make(game: Any = line, **more: Any) -> tuple[App, PlayView]:
        session = PlaySession(lambda: game, lambda: store, "ann", Inline(), now=clock, wall=clock, **more)
        view = PlayView(session, Keymap(), "Line", "Go right.", clock)
        app = show(view, clock)
        pump(app, 3)
        return app, view

    return make


def later(app: App, clock: Time, seconds: float) -> None:
    clock.now += seconds
    pump(app, 2)


def test_playing_by_events_and_keeping(playing: Any, line: Line, clock: Time, store: Store) -> None:
    app, view = playing()
    press(app, pygame.K_RIGHT, up=False)
    for _ in range(22):
        later(app, clock, 0.1)
    assert view.session.phase == "over"
    press(app, pygame.K_RETURN)
    pump(app, 2)
    assert view.session.kept == 1
    assert (len(store.replay_ids()), store.progress().answered) == (1, 0)
    assert line.opened[-2].actions == [[2]] * 20


def test_every_key_of_the_player_does_something(playing: Any, clock: Time) -> None:
    app, view = playing()
    session = view.session
    press(app, pygame.K_RIGHT, up=False)
    later(app, clock, 0.1)
    press(app, pygame.K_p, text="p")
    assert session.phase == "paused"
    decisions = session.decisions
    press(app, pygame.K_PERIOD, text=".")
    pump(app)
    assert session.decisions == decisions + 1
    press(app, pygame.K_TAB)
    assert session.wait_for_key
    press(app, pygame.K_RIGHTBRACKET, text="]")
    assert session.speed == 1.5
    press(app, pygame.K_LEFTBRACKET, text="[")
    press(app, pygame.K_p, text="p")
    assert session.phase == "playing"
    press(app, pygame.K_r, text="r")
    assert session.phase == "over"
    press(app, pygame.K_BACKSPACE)
    pump(app, 2)
    assert (session.phase, session.episode, session.kept) == ("ready", 2, 0)


def test_a_pause_is_painted_away(playing: Any, clock: Time) -> None:
    app, view = playing()
    press(app, pygame.K_RIGHT, up=False)
    later(app, clock, 0.1)
    running = screen()
    clock.now += 0.001
    press(app, pygame.K_p, text="p")
    assert screen() != running
    press(app, pygame.K_p, text="p")
    assert view.session.phase == "playing"
    assert screen() == running, "every pixel of the pause is gone"


def test_leaving_a_game_asks_and_a_second_escape_keeps(playing: Any, clock: Time, store: Store) -> None:
    app, view = playing()
    press(app, pygame.K_RIGHT, up=False)
    later(app, clock, 0.1)
    press(app, pygame.K_ESCAPE)
    assert app.view is view
    assert view.session.phase == "over"
    press(app, pygame.K_ESCAPE)
    pump(app, 3)
    assert app.view is None
    assert len(store.replay_ids()) == 1
    assert len(store.answers().answers) == 1


def test_leaving_a_game_that_has_not_begun_leaves_at_once(playing: Any, store: Store) -> None:
    app, _ = playing()
    leave(app)
    assert app.view is None
    assert store.replay_ids() == []


def test_a_game_that_cannot_be_played_says_why_and_can_be_left(playing: Any) -> None:
    app, view = playing(people=2)
    assert "--people" in view.session.problem
    leave(app)
    assert app.view is None


def test_keys_of_the_game_are_no_commands(show: Show, clock: Time, store: Store) -> None:
    game = Line()
    game.spec.keys["p"] = 2
    session = PlaySession(lambda: game, lambda: store, "ann", Inline(), now=clock, wall=clock)
    view = PlayView(session, Keymap(), "Line", "", clock)
    app = show(view, clock)
    pump(app, 3)
    press(app, pygame.K_p, text="p", up=False)
    later(app, clock, 0.1)
    assert game.opened[-1].actions == [[2], [2]]
    assert next(command for command in view.commands if command.name == "pause").keys == ("pad:start",)


def test_digits_rate_what_was_played_and_belong_to_the_game_while_it_is(show: Show, clock: Time, store: Store) -> None:
    game = Line(limit=2)
    game.spec.keys["3"] = 2
    session = PlaySession(lambda: game, lambda: store, "ann", Inline(), now=clock, wall=clock)
    view = PlayView(session, Keymap(), "Line", "", clock)
    app = show(view, clock)
    pump(app, 3)
    press(app, pygame.K_3, text="3", up=False)
    for _ in range(4):
        later(app, clock, 0.1)
    assert (session.phase, game.opened[-1].actions) == ("over", [[2], [2]])
    press(app, pygame.K_3, text="3")
    assert session.phase == "over", "too soon to be meant"
    later(app, clock, 1.0)
    press(app, pygame.K_3, text="3")
    pump(app, 2)
    assert [answer.value for answer in store.answers().answers] == [Demonstration(2), Rating(3)]


def test_play_names_the_nearest_game() -> None:
    person = Person("ann", Keymap())
    with pytest.raises(UserError, match="minatar/breakout"):
        start.play("minatar/brakout", person)
    with pytest.raises(UserError, match="--people"):
        start.play("minatar/breakout", person, people=2)


FIRST_FRAME = """
import sys, time
from rlhf_games.arena import start
from rlhf_games.arena.app import App
from rlhf_games.arena.help import help_lines, key_names
from rlhf_games.arena.keys import Command, Keymap
from rlhf_games.arena.person import Person
view = start.play(sys.argv[1], Person("ann", Keymap()), sys.argv[2])
app = App(view)
app.frame()
before = "jax" in sys.modules
while view.session.phase == "opening":
    app.frame()
    time.sleep(0.01)
print(before, "jax" in sys.modules, view.session.phase)
app.close()
"""


def test_the_first_frame_does_not_wait_for_jax(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FIRST_FRAME, "minatar/breakout", str(tmp_path / "plays.sqlite")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False True ready"


@pytest.mark.parametrize("size", [(320, 240), (1280, 800), (2560, 1440), (300, 1500)])
def test_any_size_of_window(playing: Any, size: tuple[int, int]) -> None:
    fits(*playing(), size)


def test_the_help_names_the_keys_of_the_game_and_its_buttons(playing: Any) -> None:
    app, view = playing()
    lines = {command.help: key_names(command) for command in help_lines(view)}
    assert lines["the game: left"] == ("left", "pad:dpleft")
    assert lines["the game: fire"] == ("space",)
    assert "the game: fire right" not in lines, "follows from the two"
    assert lines["pause, go on"] == ("p", "pad:start")
    press(app, pygame.K_F1)
    assert app.helping


def test_no_key_is_left_out_of_the_help() -> None:
    assert key_names(Command("praise", ("+", "=", "[+]", "pad:y"), "")) == ("+", "=", "[+]", "pad:y")
    assert key_names(Command("digit", tuple("123456789"), "")) == ("1", "…", "9")
    assert key_names(Command("keep", ("pad:y", "return"), "")) == ("return", "pad:y")


def test_the_second_player_finds_their_keys_in_the_help(playing: Any) -> None:
    _, view = playing(Line(seats=2), people=2)
    lines = {command.help: command.keys for command in help_lines(view)}
    assert lines["first player: left"] == ("left", "pad:dpleft")
    assert lines["second player: left"] == ("a",)
