"""Watching driven by pygame's events in a window that nobody sees."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pygame
import pytest

from rlhf_games.arena import theme
from rlhf_games.arena.app import App
from rlhf_games.arena.keys import Keymap
from rlhf_games.arena.watch_view import WatchView

from .asking_world import SIZE, Walk, World, make_world, name, rows
from .conftest import Time, click, fits, opened, painted_again, place, press, pump, screen
from .storms import Erratic, storm

Show = Callable[..., App]


@pytest.fixture
def watching(world: World, show: Show, clock: Time) -> Iterator[tuple[App, WatchView]]:
    view = WatchView(world.watch(), Keymap(), name=name, now=clock)
    with opened(view, show, clock, SIZE) as window:
        yield window


def test_watch_by_keys(watching: tuple[App, WatchView], world: World, clock: Time) -> None:
    app, view = watching
    session = view.session
    press(app, pygame.K_SPACE)
    assert session.head.paused
    press(app, pygame.K_PERIOD, text=".")
    press(app, pygame.K_PERIOD, text=".")
    press(app, pygame.K_COMMA, text=",")
    assert session.head.position == 0.5
    press(app, pygame.K_RIGHTBRACKET, text="]")
    assert session.head.speed == 1.5
    before = screen()
    press(app, pygame.K_o, text="o")
    assert session.truth
    assert screen() != before
    newest = session.reel.replay_id
    press(app, pygame.K_RIGHT)
    press(app, pygame.K_RIGHT)
    press(app, pygame.K_LEFT)
    assert (session.head.t, session.head.paused) == (1, True), "decisions, as in Ask"
    press(app, pygame.K_DOWN)
    pump(app, 20)
    assert session.reel.replay_id != newest
    press(app, pygame.K_UP)
    assert session.reel.replay_id == newest
    pump(app, 3)
    click(app, place(app, "seek 20"), place(app, "seek 25"), place(app, "seek 33"))
    assert session.head.t == 33
    press(app, pygame.K_r, text="r")
    assert session.head.t == 0
    press(app, pygame.K_SPACE)
    pygame.event.post(pygame.Event(pygame.WINDOWFOCUSLOST))
    pump(app)
    assert session.head.paused
    pygame.event.post(pygame.Event(pygame.WINDOWFOCUSGAINED))
    pump(app)
    assert not session.head.paused


def test_the_end_of_an_episode_is_marked(watching: tuple[App, WatchView]) -> None:
    app, view = watching
    session = view.session
    press(app, pygame.K_SPACE)

    def framed() -> bool:
        left, top, width, _ = app.canvas._parts["picture"].rect
        return tuple(pygame.display.get_surface().get_at((left + width // 2, top)))[:3] == theme.AMBER

    length = session.reel.tape.length
    session.seek(length - 1)
    pump(app)
    assert (framed(), "ends here" in view._status()) == (False, False)
    session.seek(length)
    pump(app)
    assert (framed(), "the episode ends here" in view._status()) == (True, True)
    tape = session.reel.tape
    tape.replay = replace(tape.replay, ended="unfinished")
    assert not tape.ends_at(length)
    assert "the recording stops here" in view._status()


def test_the_seats_of_a_game_for_two_take_turns_under_the_picture(tmp_path: Path, show: Show, clock: Time) -> None:
    world = make_world(tmp_path, clock, Walk(seats=2))
    view = WatchView(world.watch(), Keymap(), name=name, now=clock)
    app = show(view, clock, SIZE)
    pump(app, 30)
    press(app, pygame.K_o, text="o")
    view.session.seek(20)
    pump(app)
    first, words = screen(), view._standing()
    assert words[0].startswith("seat 0 of 2")
    press(app, pygame.K_e, text="e")
    assert view._standing()[0].startswith("seat 1 of 2")
    assert view._standing() != words
    assert screen() != first, "another reward is drawn"
    press(app, pygame.K_e, text="e")
    assert (view._standing(), screen()) == (words, first)
    view.close()
    world.store.close()


def test_nothing_is_painted_where_nothing_changed(watching: tuple[App, WatchView]) -> None:
    app, view = watching
    view.session.head.paused = True
    assert painted_again(app, view) == []


@pytest.mark.parametrize("size", [(320, 240), (2560, 1440), (300, 1500)])
def test_any_size_of_window(watching: tuple[App, WatchView], size: tuple[int, int]) -> None:
    fits(*watching, size)


def test_watching_survives(tmp_path: Path, clock: Time, show: Show, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(8)
    worker = Erratic(chance)
    world = make_world(tmp_path, clock, Walk(limit=24), worker=worker)
    view = WatchView(world.watch(), Keymap(), name=name, now=clock)
    monkeypatch.setattr(view, "back", lambda: None)
    app = show(view, clock)
    storm(app, clock, chance, worker)
    assert view.session.reel.phase == "ready"
    app.close()
    assert rows(world.store) == [], "watching says nothing"
    world.store.close()
