"""What happens while a person rates clips."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pygame
import pytest

from rlhf_games.arena.app import App
from rlhf_games.arena.keys import Keymap
from rlhf_games.arena.rate_view import COMMANDS, RateView
from rlhf_games.arena.rating import RateSession
from rlhf_games.feedback.answers import Preference, Rating
from rlhf_games.feedback.store import QueryDraft, Store

from .conftest import Films, Inline, Time, fits, press, pump, values
from .storms import KEYS, Erratic, assert_answered_once, record_posts, storm


@pytest.fixture
def questions(store: Store, clips: Any) -> Callable[[int], list[int]]:
    return lambda count: store.post_queries([QueryDraft("rating", (clip,)) for clip in clips(count)])


@pytest.fixture
def rating(store: Store, films: Films, clock: Time, show: Any) -> Callable[..., tuple[App, RateView]]:
    def make() -> tuple[App, RateView]:
        session = RateSession(store, films, "ann", Inline(), clock, clock)
        view = RateView(session, Keymap(), aim=lambda name: ("Line", "Go right."), now=clock)
        app = show(view, clock)
        pump(app, 2)
        return app, view

    return make


def test_one_key_is_one_rating(rating: Any, questions: Any, store: Store, clock: Time) -> None:
    ids = questions(7)
    app, view = rating()
    clock.now += 1.5
    for digit in range(1, 6):
        press(app, pygame.K_0 + digit, text=str(digit))
        pump(app, 2)
    press(app, pygame.K_UP)
    assert values(store) == [*(Rating(stars) for stars in range(1, 6)), Rating(None)]
    first = store.answers().answers[0]
    assert (first.query_id, first.shown_at, first.answered_at) == (ids[0], 1000.0, 1001.5)
    pump(app, 2)
    assert view.session.given == 6
    press(app, pygame.K_BACKSPACE)
    press(app, pygame.K_BACKSPACE)
    pump(app, 4)
    assert values(store) == [Rating(stars) for stars in range(1, 5)]
    assert "5, very good" in view._status()[0]
    assert all(command.help and command.keys for command in COMMANDS)


def test_mouse_and_gamepad(rating: Any, questions: Any, store: Store) -> None:
    questions(4)
    app, _ = rating()
    app.take(pygame.Event(pygame.MOUSEBUTTONDOWN, pos=(600, 110), button=1))  # the uppermost of the grades
    pump(app, 3)
    pad: dict[str, Any] = {"instance_id": 0}
    app.take(pygame.Event(pygame.CONTROLLERBUTTONDOWN, button=13, **pad))
    pump(app, 3)
    app.take(pygame.Event(pygame.CONTROLLERBUTTONDOWN, button=9, **pad))
    app.take(pygame.Event(pygame.CONTROLLERBUTTONDOWN, button=14, **pad))
    pump(app, 3)
    assert values(store) == [Rating(5), Rating(3), Rating(4)]


def test_only_ratings_are_asked_for_and_taken_back(rating: Any, questions: Any, ask: Any, store: Store) -> None:
    [pair] = ask(1, first=100)
    questions(1)
    store.answer(pair, "ann", Preference("left"), 1.0, 2.0, "by hand")
    app, view = rating()
    press(app, pygame.K_4, text="4")
    pump(app, 2)
    assert view.session.current is None
    for _ in range(3):
        press(app, pygame.K_BACKSPACE)
        pump(app, 2)
    assert values(store) == [Preference("left")], "answers of other kinds stay"


def test_waiting_counts_only_ratings(rating: Any, ask: Any, clock: Time) -> None:
    ask(3)
    app, view = rating()
    clock.now += 2.0
    pump(app, 3)
    assert view.session.waiting == 0
    assert view._waiting_words()[0] == "No clip is waiting."


@pytest.mark.parametrize("size", [(320, 240), (1280, 800), (2560, 1440), (300, 1500)])
def test_any_size_of_window(rating: Any, questions: Any, size: tuple[int, int]) -> None:
    questions(1)
    fits(*rating(), size)


def test_the_rater_survives(store: Store, questions: Any, clock: Time, show: Any, monkeypatch: Any) -> None:
    chance = random.Random(7)
    worker = Erratic(chance)
    ids = questions(150)
    store._clock = clock
    session = RateSession(store, Films(), "ann", worker, clock, clock)
    posted = record_posts(store, monkeypatch)
    view = RateView(session, Keymap(), aim=lambda name: (name, ""), now=clock)
    monkeypatch.setattr(view, "back", lambda: None)  # Esc would end the storm
    storm(show(view, clock), clock, chance, worker, [*KEYS, *(pygame.K_1 + digit for digit in range(6))])
    session.close()
    assert_answered_once(store, ids, 100, posted)
