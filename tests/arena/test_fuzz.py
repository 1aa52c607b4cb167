"""Random input, and a lot of it: no crash, no answer lost, none doubled."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pygame

from rlhf_games.arena.app import App
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

from .conftest import Films, Line, Time, pump

EVENTS = 10_000
KEYS = [
    *(pygame.K_LEFT, pygame.K_RIGHT, pygame.K_UP, pygame.K_DOWN, pygame.K_SPACE, pygame.K_BACKSPACE, pygame.K_RETURN, pygame.K_DELETE),
    *(pygame.K_TAB, pygame.K_F1, pygame.K_r, pygame.K_b, pygame.K_p, pygame.K_COMMA, pygame.K_PERIOD, pygame.K_LEFTBRACKET),
    *(pygame.K_RIGHTBRACKET, pygame.K_a, pygame.K_LSHIFT, pygame.K_PAGEUP, pygame.K_F13, 0),
]


class Erratic:
    """Work is done at once, or is left for later; always in order."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._waiting: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, work: Callable[[], Any], /) -> Future[Any]:
        future: Future[Any] = Future()
        self._waiting.append((future, work))
        while self._waiting and self._chance.random() < 0.7:
            self.work_one()
        return future

    def work_one(self) -> None:
        if not self._waiting:
            return
        future, work = self._waiting.pop(0)
        try:
            future.set_result(work())
        except Exception as error:  # noqa: BLE001 - as an executor does
            future.set_exception(error)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        while self._waiting:
            self.work_one()


def event(chance: random.Random, keys: list[int]) -> pygame.Event:
    kind = chance.random()
    if kind < 0.8:
        key = chance.choice(keys)
        text = chr(key) if 32 < key < 127 else ""
        mod = chance.choice((0, 0, 0, pygame.KMOD_LSHIFT))
        if chance.random() < 0.6:
            return pygame.Event(pygame.KEYDOWN, key=key, mod=mod, unicode=text)
        return pygame.Event(pygame.KEYUP, key=key, mod=mod)
    if kind < 0.9:
        return pygame.Event(pygame.MOUSEBUTTONDOWN, pos=(chance.randrange(640), chance.randrange(480)), button=chance.choice((1, 1, 3)))
    if kind < 0.96:
        button = chance.choice((pygame.CONTROLLERBUTTONDOWN, pygame.CONTROLLERBUTTONUP))
        return pygame.Event(button, button=chance.choice((0, 1, 2, 3, 9, 11, 12, 13, 14, 99)), instance_id=0)
    if kind < 0.98:
        return pygame.Event(pygame.CONTROLLERAXISMOTION, axis=chance.randrange(4), value=chance.randrange(-32768, 32768), instance_id=0)
    if kind < 0.99:
        where = (chance.randrange(640), chance.randrange(480))
        if chance.random() < 0.5:
            return pygame.Event(pygame.MOUSEBUTTONUP, pos=where, button=1)
        return pygame.Event(pygame.MOUSEMOTION, pos=where, buttons=(chance.randrange(2), 0, 0))
    return pygame.Event(chance.choice((pygame.WINDOWFOCUSLOST, pygame.WINDOWFOCUSGAINED, pygame.WINDOWSIZECHANGED)))


def storm(app: App, clock: Time, chance: random.Random, worker: Erratic | None = None, keys: list[int] = KEYS) -> None:
    """``EVENTS`` events, a frame after every three or so."""
    for _ in range(EVENTS):
        app.take(event(chance, keys))
        if worker is not None and chance.random() < 0.5:
            worker.work_one()
        if chance.random() < 0.35:
            clock.now += chance.choice((0.001, 0.017, 0.3))
            app.frame()
    pump(app, 5)


def test_the_judge_survives(store: Store, ask: Any, clock: Time, show: Any, monkeypatch: Any) -> None:
    chance = random.Random(3)
    worker = Erratic(chance)
    ids = ask(150)
    store._clock = clock
    session = JudgeSession(store, Films(), "ann", worker, clock, clock)
    posted: list[str] = []
    real = store.post_answers
    monkeypatch.setattr(store, "post_answers", lambda drafts: (posted.extend(draft.uuid for draft in drafts), real(drafts))[1])
    view = JudgeView(session, Keymap(), aim=lambda name: (name, ""), now=clock)
    monkeypatch.setattr(view, "back", lambda: None)  # Esc would end the storm
    app = show(view, clock)
    storm(app, clock, chance, worker)
    session.close()
    history = store.history()
    assert [answer.uuid for answer, _ in history] == posted, "what was answered is stored, once and in order"
    standing = Counter(answer.query_id for answer, taken_back in history if taken_back is None)
    assert len(history) > 100
    assert any(taken_back for _, taken_back in history)
    assert max(standing.values(), default=1) == 1
    assert set(store.query_ids(still_wanted=True)) == set(ids) - set(standing)
    assert store.progress().leased == 0


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
    back = view.back
    monkeypatch.setattr(view, "back", lambda: back() and None)
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
