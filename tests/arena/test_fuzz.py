"""Random input, and a lot of it: no crash, no answer lost, none doubled."""

from __future__ import annotations

import random
from typing import Any

import pygame

from rlhf_games.arena.judge_view import JudgeView
from rlhf_games.arena.judging import JudgeSession
from rlhf_games.arena.keys import Keymap
from rlhf_games.arena.menu_view import Entry, MenuView
from rlhf_games.arena.name_view import NameView
from rlhf_games.arena.play_view import PlayView
from rlhf_games.arena.playing import PlaySession
from rlhf_games.core.errors import UserError
from rlhf_games.feedback.answers import Demonstration, Rating
from rlhf_games.feedback.store import Store

from .conftest import Films, Line, Time
from .storms import KEYS, Erratic, assert_answered_once, record_posts, stay, storm


def test_the_judge_survives(store: Store, ask: Any, clock: Time, show: Any, monkeypatch: Any) -> None:
    chance = random.Random(3)
    worker = Erratic(chance)
    ids = ask(150)
    store._clock = clock
    session = JudgeSession(store, Films(), "ann", worker, clock, clock)
    posted = record_posts(store, monkeypatch)
    view = JudgeView(session, Keymap(), aim=lambda name: (name, ""), now=clock)
    monkeypatch.setattr(view, "back", lambda: None)  # Esc would end the storm
    storm(show(view, clock), clock, chance, worker)
    session.close()
    assert_answered_once(store, ids, 100, posted)


def test_the_player_survives(store: Store, clock: Time, show: Any, monkeypatch: Any) -> None:
    chance = random.Random(4)
    worker = Erratic(chance)
    game = Line(limit=15)
    session = PlaySession(lambda: game, lambda: store, "ann", worker, now=clock, wall=clock)
    view = PlayView(session, Keymap(), "Line", "Go right.", clock)
    app = show(view, clock)
    real = view.update
    monkeypatch.setattr(view, "update", lambda: real() and None)  # leaving would end the storm
    monkeypatch.setattr(app, "_now", clock)
    stay(view, monkeypatch)
    storm(app, clock, chance, worker, [*KEYS, pygame.K_2, pygame.K_4])
    session.close()
    answers = store.answers().answers
    played = [answer for answer in answers if isinstance(answer.value, Demonstration)]
    rated = [answer for answer in answers if isinstance(answer.value, Rating)]
    assert session.kept > 10
    assert len(played) in (session.kept, session.kept + 1), "every episode kept is stored once"
    assert len({answer.replay_id for answer in played}) == len(played)
    assert 5 < len(rated) <= len(played)
    assert len(played) + len(rated) == len(answers)
    about = {answer.replay_id for answer in rated}
    assert len(about) == len(rated), "no episode is rated twice"
    assert about <= {answer.replay_id for answer in played}
    for answer in played:
        assert answer.replay_id is not None
        assert isinstance(answer.value, Demonstration)
        replay = store.replay(answer.replay_id)
        assert replay.length == answer.value.length <= 15
        times = [time for time, _, _ in replay.key_events]
        assert times == sorted(times)


def test_the_question_for_a_name_survives(clock: Time, show: Any, monkeypatch: Any) -> None:
    chance, said = random.Random(6), list[str]()

    def then(name: str) -> list[Any]:
        said.append(name)
        raise UserError("say it again")

    view = NameView("login", Keymap(), then)
    monkeypatch.setattr(view, "back", lambda: None)
    storm(show(view, clock), clock, chance)
    assert len(said) > 100
    assert len(view.name) <= 100


def test_menus_survive(clock: Time, show: Any, monkeypatch: Any) -> None:
    chance = random.Random(5)
    opened = []

    def inner() -> MenuView:
        opened.append(1)
        return MenuView("Inner", "", lambda: entries[:3], Keymap())

    entries = [Entry(f"{a}{b}", "words", inner, str(number)) for number, (a, b) in enumerate(("ab", "ra", "pa", "aa", "br") * 8)]
    menu = MenuView("Outer", "", lambda: entries, Keymap())
    monkeypatch.setattr(menu, "back", lambda: None)
    app = show(menu, clock)
    storm(app, clock, chance, keys=[key for key in KEYS if not 96 < key < 123 or key == pygame.K_a] + [pygame.K_BACKSPACE] * 8)
    assert opened
    assert app.view is not None
    while app.view is not menu:
        app.take(pygame.Event(pygame.KEYDOWN, key=pygame.K_ESCAPE, mod=0, unicode=""))
