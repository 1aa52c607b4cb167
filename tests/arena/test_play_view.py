"""Playing driven by pygame's events in a window that nobody sees."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pygame
import pytest
from pygame import Rect

from rlhf_games.arena import start
from rlhf_games.arena.app import App
from rlhf_games.arena.controls import action_words, control_words
from rlhf_games.arena.help import help_lines, key_names
from rlhf_games.arena.keys import Command, Keymap
from rlhf_games.arena.pen import Pen, cap
from rlhf_games.arena.person import Person
from rlhf_games.arena.play_view import PlayView
from rlhf_games.arena.playing import PlaySession
from rlhf_games.arena.text import Fonts
from rlhf_games.core.errors import UserError
from rlhf_games.feedback.answers import Demonstration, Rating
from rlhf_games.feedback.store import Store
from rlhf_games.workspace import load_game

from .conftest import Inline, Line, LineSession, Time, click, fits, leave, press, pump, screen

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
    press(app, pygame.K_DELETE)
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


def test_a_key_of_the_game_rates_nothing_after_its_end_either(show: Show, clock: Time, store: Store) -> None:
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
    press(app, pygame.K_4, text="4")
    press(app, pygame.K_F7)
    assert session.phase == "over", "too soon to be meant"
    later(app, clock, 1.0)
    for key in (pygame.K_3, pygame.K_KP_3):
        press(app, key, text="3")
        pump(app, 2)
    assert (session.phase, store.answers().answers) == ("over", ()), "a move that was typed too late"
    rates = {command.name: command.keys for command in view.commands if command.name.startswith("rate")}
    assert (rates["rate 3"], rates["rate 4"]) == (("f7",), ("4", "[4]", "f8"))
    press(app, pygame.K_F7)
    pump(app, 2)
    assert [answer.value for answer in store.answers().answers] == [Demonstration(2), Rating(3)]


class Columns(Line):
    """Two seats in turn; a click into a column steps there."""

    def __init__(self) -> None:
        super().__init__(seats=2)
        self.spec = replace(self.spec, turn_based=True, cells=((0, 1, 2),), keys={"1": 0, "2": 1, "3": 2})

    def open(self, seed: int) -> LineSession:
        return Turns(self, seed)


class Turns(LineSession):
    def _see(self, reward: Any) -> Any:
        return super()._see(reward)._replace(acting=np.arange(2) == len(self.actions) % 2)


def test_a_click_into_a_column_plays_it_and_the_last_action_is_that_of_who_moved(show: Show, clock: Time, store: Store) -> None:
    session = PlaySession(Columns, lambda: store, "ann", Inline(), now=clock, wall=clock)
    view = PlayView(session, Keymap(), "Columns", "", clock)
    app = show(view, clock)
    pump(app, 4)
    rects = {command: rect for rect, command in app.canvas._parts["picture"].clicks}
    whole = app.canvas._parts["picture"].rect
    assert [rects[f"cell {column}"].w for column in range(3)] == [whole[2] // 3] * 3
    assert {rect.h for rect in rects.values()} == {whole[3]}
    click(app, rects["cell 2"].center)
    assert session.action[0] == 2
    assert action_words(session.spec, session.action, session.acted, ["you"]) == "you: right"  # type: ignore[arg-type]
    later(app, clock, 0.2)
    assert action_words(session.spec, session.action, session.acted, ["you"]).startswith("seat 1: ")  # type: ignore[arg-type]


def test_what_was_done_last_is_told_of_every_person() -> None:
    two, one, turns = Line(seats=2).spec, Line().spec, Columns().spec
    assert action_words(one, (1,), (True,), ["you"]) == "left"
    assert action_words(two, (1, 2), (True, True), ["you"]) == "left"
    assert action_words(two, (1, 2), (True, True), ["first", "second"]) == "first: left, second: right"
    assert action_words(two, (1, 2), (True, True), ["first", "second"]) == "first: left, second: right"
    assert action_words(turns, (0, 2), (False, True), ["you"]) == "seat 1: right"
    assert [action_words(spec, (), (), ["you"]) for spec in (one, two, turns)] == ["–"] * 3


@pytest.mark.parametrize(("game", "people"), [("pettingzoo/pong", 2), ("pettingzoo/combat_tank", 2), ("board/tic_tac_toe", 2)])
def test_the_keys_of_both_people_lie_on_the_panel(show: Show, clock: Time, store: Store, game: str, people: int) -> None:
    session = PlaySession(lambda: load_game(game), lambda: store, "ann", Inline(), now=clock, wall=clock, people=people)
    view = PlayView(session, Keymap(), game, "", clock)
    app = show(view, clock, (1280, 800))
    pump(app, 4)
    written: list[tuple[str, Rect]] = []

    class Noted(Pen):
        def text(self, position: Any, words: str, *style: Any, **more: Any) -> Rect:
            rect = super().text(position, words, *style, **more)
            written.append((words, rect))
            return rect

    area = Rect(0, 0, 340, 570)
    view._paint_panel(Noted(pygame.Surface(area.size), Fonts(1.0), 1.0, (0, 0), []))
    shown = " ".join(words for words, _ in written)
    spec = session.spec
    assert spec is not None
    for seat in range(people):
        for key, meaning in control_words(spec, session.chords(seat)):
            assert cap(key) in shown
            assert meaning in shown
    assert [words for words, rect in written if not area.contains(rect)] == []


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
    assert lines["second player: left"] == ("@a", "pad2:dpleft")


def test_an_episode_that_cannot_be_stored_is_not_lost_by_a_key(
    playing: Any, clock: Time, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, view = playing()
    press(app, pygame.K_RIGHT, up=False)
    for _ in range(5):
        later(app, clock, 0.1)
    press(app, pygame.K_r, text="r")
    with monkeypatch.context() as broken:

        def refuse(drafts: Any) -> Any:
            raise UserError("the disk is full")

        broken.setattr(store, "post_answers", refuse)
        press(app, pygame.K_RETURN)
        pump(app, 2)
    assert view.session.phase == "failed"
    decisions = view.session.decisions
    press(app, pygame.K_r, text="r")
    press(app, pygame.K_p, text="p")
    assert (view.session.phase, view.session.decisions) == ("failed", decisions)
    press(app, pygame.K_ESCAPE)
    assert app.asking is not None
    assert app.asking.words == "The episode is not stored: the disk is full"
    press(app, pygame.K_x, text="x")
    press(app, pygame.K_RETURN)
    pump(app, 2)
    [answer] = store.answers().answers
    assert isinstance(answer.value, Demonstration)
    assert (view.session.kept, view.session.episode) == (1, 2)


@pytest.mark.parametrize(("cells", "named"), [(((0, 5),), "[5]"), (((-1, 0), (1, 7)), "[-1, 7]")])
def test_cells_name_actions_that_exist(cells: tuple[tuple[int, ...], ...], named: str) -> None:
    """The line has five actions, 0 to 4."""
    with pytest.raises(ValueError, match=re.escape(f"cells name actions {named}, but there are 5 to choose from")):
        replace(Line().spec, cells=cells)
    assert replace(Line().spec, cells=((0, 4),)).cells == ((0, 4),)


@pytest.mark.parametrize("size", [(420, 300), (1280, 800)])
def test_all_that_can_be_said_at_the_end_can_be_clicked(playing: Any, clock: Time, size: tuple[int, int]) -> None:
    app, _view = playing()
    app.canvas.use(pygame.display.set_mode(size))
    press(app, pygame.K_RIGHT, up=False)
    for _ in range(5):
        later(app, clock, 0.1)
    press(app, pygame.K_r, text="r")
    pump(app, 2)
    part = app.canvas._parts["stage"]
    places = {command: rect for rect, command in part.clicks}
    assert set(places) == {"keep", "discard", "pause", *(f"rate {grade}" for grade in range(1, 6))}
    assert all(Rect(part.rect).contains(rect) for rect in places.values())
    assert all(a is b or not a.colliderect(b) for a in places.values() for b in places.values())
