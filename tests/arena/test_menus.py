"""Menus, and the way from them into tasks and back, driven by pygame's events."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pygame
import pytest

from rlhf_games.arena import start
from rlhf_games.arena.answer_tasks import open_judge
from rlhf_games.arena.app import App
from rlhf_games.arena.judge_view import JudgeView
from rlhf_games.arena.keys import Keymap
from rlhf_games.arena.menu_view import Entry, MenuView
from rlhf_games.arena.opening_view import OpeningView
from rlhf_games.arena.person import Person
from rlhf_games.arena.runs import find_target
from rlhf_games.core.errors import UserError
from rlhf_games.feedback.store import Store

from .conftest import Time, leave, press, pump, until

Show = Callable[..., App]


def test_menus_search_and_open(show: Show, clock: Time) -> None:
    opened: list[str] = []

    def entry(name: str) -> Entry:
        def go() -> MenuView:
            opened.append(name)
            return MenuView(name, "", list, Keymap())

        return Entry(name, f"{name} words", go)

    menu = MenuView("Which?", "", lambda: [entry(name) for name in ("alpha", "beta", "gamma", "beat it")], Keymap())
    app = show(menu, clock)
    pump(app)
    press(app, pygame.K_DOWN)
    assert menu.marked == 1
    for letter in "be":
        press(app, getattr(pygame, f"K_{letter}"), text=letter)
    assert [found.title for found in menu.shown] == ["beta", "beat it"]
    press(app, pygame.K_DOWN)
    press(app, pygame.K_RETURN)
    assert opened == ["beat it"]
    assert app.view is not menu
    press(app, pygame.K_ESCAPE)
    assert app.view is menu
    pygame.event.post(pygame.Event(pygame.MOUSEBUTTONDOWN, pos=(200, 92), button=1))
    pump(app)
    assert opened == ["beat it", "beta"]
    press(app, pygame.K_ESCAPE)
    press(app, pygame.K_ESCAPE)
    assert app.view is menu, "first empties the search"
    leave(app)
    assert app.view is None


def test_what_cannot_be_opened_is_explained(show: Show, clock: Time) -> None:
    work: Future[int] = Future()
    put_away: list[int] = []
    view = OpeningView("Judge", "Opening…", work, lambda _: pytest.fail("not opened"), put_away.append, clock)
    app = show(view, clock)
    pump(app, 2)
    work.set_exception(UserError("there is no store here"))
    pump(app, 2)
    assert view._problem == "there is no store here"
    leave(app)
    assert app.view is None
    late: Future[int] = Future()
    view = OpeningView("Judge", "Opening…", late, lambda _: pytest.fail("left before"), put_away.append, clock)
    view.close()
    late.set_result(3)
    assert put_away == [3]


@pytest.fixture
def real_run(store: Store, ask: Any, tmp_path: Path) -> Path:
    ask(3)
    (tmp_path / "config.json").write_text('{"game": {"name": "minatar/breakout"}, "feedback": {"budget": 9}}')
    return tmp_path


def test_from_home_to_judging_and_back_with_real_threads(real_run: Path, show: Show) -> None:
    target = find_target(str(real_run))
    app = show(start.home(target, Person("ann", Keymap())), time.monotonic)
    home: Any = app.view
    titles = [entry.title for entry in home.shown]
    assert titles[0] == "Judge"
    assert {"Rank", "Rate", "Play Breakout", "Play any game"} <= set(titles)
    press(app, pygame.K_RETURN)
    until(app, lambda: isinstance(app.view, JudgeView))
    press(app, pygame.K_ESCAPE)
    pump(app, 2)
    assert app.view is home
    app.close()
    with Store.open(real_run) as store:
        assert store.progress().leased == 0, "all were given back"


def test_judge_refuses_what_is_no_store(tmp_path: Path, show: Show) -> None:
    (tmp_path / "store.sqlite").write_text("not a database, but long enough to be taken for one" * 30)
    view: Any = open_judge(find_target(str(tmp_path)), Person("ann", Keymap()))
    until(show(view, time.monotonic), lambda: bool(view._problem))
    assert "store.sqlite" in view._problem
