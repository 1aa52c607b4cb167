"""The agent's questions driven by pygame's events in a window that nobody sees."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pygame
import pytest

from rlhf_games.arena.advise_view import AdviseView
from rlhf_games.arena.app import App
from rlhf_games.arena.keys import Keymap, Press
from rlhf_games.arena.pick import Pick
from rlhf_games.feedback.answers import Advice

from .asking_world import SIZE, Walk, World, make_world, name, rows
from .conftest import Time, click, fits, opened, place, press, pump, screen
from .storms import KEYS, Erratic, record_posts, storm

Show = Callable[..., App]


@pytest.fixture
def advising(world: World, show: Show, clock: Time) -> Iterator[tuple[App, AdviseView]]:
    view = AdviseView(world.advise(), Keymap(), name=name, now=clock)
    with opened(view, show, clock, SIZE) as window:
        yield window


def test_one_key_is_one_piece_of_advice(advising: tuple[App, AdviseView], world: World) -> None:
    app, view = advising
    stills = []
    for key, text in ((pygame.K_LEFT, ""), (pygame.K_UP, ""), (pygame.K_1, "1")):
        stills.append(view.session.current)
        press(app, key, text=text)
        pump(app, 6)
    answers = rows(world.store)
    assert [answer.value for answer in answers] == [Advice(1), Advice(None), Advice(0)]
    assert [(answer.replay_id, answer.step) for answer in answers] == [(still.tape.replay.id, still.t) for still in stills if still]
    click(app, place(app, "unsure"))
    pump(app, 6)
    assert rows(world.store)[3].value == Advice(None)
    press(app, pygame.K_BACKSPACE)
    pump(app, 6)
    assert len(rows(world.store)) == 3
    before = screen()
    press(app, pygame.K_F1)
    assert screen() != before


def test_the_upper_row_is_digits_and_a_key_of_the_game_is_no_command(advising: tuple[App, AdviseView], world: World) -> None:
    """French: where a US keyboard has 2, é (scancode 31). A game that is steered with ``@u`` gets U, not "can't tell"."""
    app, _ = advising
    pygame.event.post(pygame.Event(pygame.KEYDOWN, key=233, mod=0, unicode="é", scancode=31))
    pygame.event.post(pygame.Event(pygame.KEYUP, key=233, mod=0, scancode=31))
    pump(app, 6)
    assert [answer.value for answer in rows(world.store)] == [Advice(1)]
    world.game.spec.keys.clear()  # type: ignore[attr-defined]
    world.game.spec.keys["@u"] = 2  # type: ignore[index]
    press(app, pygame.K_u, text="u")
    pump(app, 6)
    assert [answer.value for answer in rows(world.store)] == [Advice(1), Advice(2)]


def test_a_chord_counts_once_when_it_is_let_go() -> None:
    chords = {frozenset({"left"}): 1, frozenset({"space"}): 3, frozenset({"left", "space"}): 4}
    pick = Pick()
    assert pick.press(Press("left", True), chords) is None
    assert pick.press(Press("space", True), chords) is None
    assert pick.press(Press("left", False), chords) == 4
    assert pick.press(Press("space", False), chords) is None
    assert pick.press(Press("x", True), chords) is None
    assert pick.press(Press("2", True), chords) == 1
    assert pick.press(Press("space", False), chords) is None, "went down before anything was asked"


def test_what_led_here_does_not_run_on_unseen(advising: tuple[App, AdviseView]) -> None:
    app, view = advising
    press(app, pygame.K_l, text="l")
    assert view.session.lead_from is not None
    pygame.event.post(pygame.Event(pygame.WINDOWFOCUSLOST))
    pump(app)
    assert view.session.lead_from is None, "the still that is asked about is seen again"


@pytest.mark.parametrize("size", [(320, 240), (2560, 1440), (300, 1500)])
def test_any_size_of_window(advising: tuple[App, AdviseView], size: tuple[int, int]) -> None:
    fits(*advising, size)


def test_advising_survives(tmp_path: Path, clock: Time, show: Show, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(9)
    worker = Erratic(chance)
    world = make_world(tmp_path, clock, Walk(limit=24), worker=worker, writer=worker, seeds=12)
    posted = record_posts(world.store, monkeypatch)
    view = AdviseView(world.advise(), Keymap(), name=name, now=clock)
    monkeypatch.setattr(view, "back", lambda: None)  # Esc would end the storm
    world.store._clock = clock
    app = show(view, clock)
    storm(app, clock, chance, worker, [*KEYS, pygame.K_1, pygame.K_u, pygame.K_n])
    app.close()
    worker.shutdown()
    history = world.store.history()
    assert sorted(answer.uuid for answer, _ in history) == sorted(posted), "everything is stored once"
    assert {answer.kind for answer, _ in history} == {"advice"}
    assert len(history) > 20
    assert any(taken_back for _, taken_back in history)
    standing = [(answer.replay_id, answer.step) for answer, taken_back in history if taken_back is None]
    assert len(standing) == len(set(standing)), "no state is answered twice"
    world.store.close()
