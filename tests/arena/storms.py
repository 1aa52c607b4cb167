"""Random input, and a lot of it, and what must hold afterwards."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pygame
import pytest

from rlhf_games.arena.app import App
from rlhf_games.feedback.store import Store

from .conftest import Time, pump

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


def stay(view: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Esc does in a view what it does there, but does not leave it: that would end the storm."""
    back = view.back
    monkeypatch.setattr(view, "back", lambda: back() and None)


def record_posts(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of all answers that anybody will try to store, in order."""
    posted: list[str] = []
    real = store.post_answers
    monkeypatch.setattr(store, "post_answers", lambda drafts: (posted.extend(draft.uuid for draft in drafts), real(drafts))[1])
    return posted


def assert_answered_once(store: Store, ids: list[int], at_least: int, posted: list[str]) -> None:
    """Every answer is stored, none twice, no question has two that stand, and nothing stays leased."""
    history = store.history()
    assert [answer.uuid for answer, _ in history] == posted, "what was answered is stored, once and in order"
    standing = Counter(answer.query_id for answer, taken_back in history if taken_back is None)
    assert len(history) > at_least
    assert any(taken_back for _, taken_back in history)
    assert max(standing.values(), default=1) == 1
    assert set(store.query_ids(still_wanted=True)) == set(ids) - set(standing)
    assert store.progress().leased == 0
