"""Asking driven by pygame's events in a window that nobody sees: from key presses to rows in the store."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pygame
import pytest

from rlhf_games.arena import advise_view, ask_view, watch_view
from rlhf_games.arena.advise_view import AdviseView
from rlhf_games.arena.app import App
from rlhf_games.arena.ask_view import AskView
from rlhf_games.arena.keys import Keymap
from rlhf_games.feedback.answers import Advice, Evaluation, Question

from .asking_world import SIZE, KnownMind, Walk, World, make_world, name, rows, walk_replay
from .conftest import Time, click, fits, leave, opened, painted_again, place, press, pump, screen
from .storms import KEYS, Erratic, record_posts, stay, storm

Show = Callable[..., App]


@pytest.fixture
def asking(world: World, show: Show, clock: Time) -> Iterator[tuple[App, AskView]]:
    view = AskView(world.ask(), Keymap(), name=name, advise=lambda: AdviseView(world.advise(), Keymap(), name=name, now=clock), now=clock)
    with opened(view, show, clock, SIZE) as window:
        yield window


def test_arrows_scrub_and_keys_are_rows(asking: tuple[App, AskView], world: World) -> None:
    app, view = asking
    press(app, pygame.K_RIGHT)
    press(app, pygame.K_RIGHT, pygame.KMOD_LSHIFT)
    press(app, pygame.K_LEFT)
    assert view.session.t == 10
    press(app, pygame.K_EQUALS, pygame.KMOD_LSHIFT, text="+")
    press(app, pygame.K_MINUS, text="-")
    press(app, pygame.K_t, text="t")
    press(app, pygame.K_RIGHT)  # the game's key for "right"
    pump(app, 2)
    assert view.session.t == 10, "while an action is asked for, the arrows belong to the game"
    answers = rows(world.store, "evaluation", "advice")
    assert [(answer.value, answer.step) for answer in answers] == [
        (Evaluation(0.5, speed=0.0), 10),
        (Evaluation(-0.5, speed=0.0), 10),
        (Advice(2), 10),
    ]
    assert {answer.replay_id for answer in answers} == {walk_replay(world.game, 2, at=12.0).id}
    press(app, pygame.K_BACKSPACE)
    pump(app, 3)
    assert [answer.value for answer in rows(world.store, "evaluation", "advice")] == [
        Evaluation(0.5, speed=0.0),
        Evaluation(-0.5, speed=0.0),
    ]


@pytest.mark.parametrize(
    ("keys", "action"),
    [([(pygame.K_w, "w"), (pygame.K_LEFT, "")], 1), ([(pygame.K_3, "3")], 2), ([(pygame.K_w, "w"), (pygame.K_1, "1")], 0)],
)
def test_a_what_if_by_key_and_by_digit(asking: tuple[App, AskView], world: World, keys: list[tuple[int, str]], action: int) -> None:
    app, view = asking
    press(app, pygame.K_RIGHT)
    for key, text in keys:
        press(app, key, text=text)
    pump(app, 4)
    fork = view.session.fork
    assert fork is not None
    assert fork.action == action
    [question] = rows(world.store, "question")
    assert (question.value, question.step) == (Question("what-if", action), 1)
    before = screen()
    press(app, pygame.K_t, text="t")
    pump(app, 2)
    assert screen() != before
    assert [(answer.value, answer.step) for answer in rows(world.store, "advice")] == [(Advice(action), 1)]
    press(app, pygame.K_ESCAPE)
    assert view.session.fork is None
    assert app.view is view
    leave(app)
    assert app.view is None


def digit_row(app: App, key: int, text: str, scancode: int) -> None:
    """A key of the upper row of a keyboard that writes signs there."""
    pygame.event.post(pygame.Event(pygame.KEYDOWN, key=key, mod=0, unicode=text, scancode=scancode))
    pygame.event.post(pygame.Event(pygame.KEYUP, key=key, mod=0, scancode=scancode))
    pump(app)


@pytest.mark.parametrize(("key", "text", "scancode", "action"), [(pygame.K_MINUS, "-", 35, None), (pygame.K_PLUS, "+", 30, 0)])
def test_while_an_action_is_asked_for_the_upper_row_is_digits(
    asking: tuple[App, AskView], world: World, key: int, text: str, scancode: int, action: int | None
) -> None:
    """AZERTY writes - where a US keyboard has 6 (scancode 35; there is no sixth action), Czech + where it has 1 (30)."""
    app, view = asking
    press(app, pygame.K_t, text="t")
    digit_row(app, key, text, scancode)
    pump(app, 2)
    assert rows(world.store, "evaluation") == []
    assert [answer.value for answer in rows(world.store, "advice")] == ([] if action is None else [Advice(action)])
    view.session.choosing = ""
    digit_row(app, key, text, scancode)
    pump(app, 2)
    assert [answer.value for answer in rows(world.store, "evaluation")] == [Evaluation(0.5 if text == "+" else -0.5, speed=0.0)]


def test_the_mouse_scrubs_and_chooses(asking: tuple[App, AskView], world: World) -> None:
    app, view = asking
    click(app, place(app, "seek 12"))
    assert view.session.t == 12
    click(app, place(app, "seek 12"), place(app, "seek 20"), place(app, "seek 30"))
    assert view.session.t == 30
    click(app, place(app, "action 2"))
    pump(app, 3)
    assert view.session.fork is not None
    assert (view.session.fork.t, view.session.fork.action) == (30, 2)


def test_the_overlay_the_curves_and_the_points_are_seen(asking: tuple[App, AskView], world: World) -> None:
    app, view = asking
    replay = view.session.reel.tape
    there = next(t for t in range(40) if replay.look(t, t + 1).next_observation[0, 0, 0, 5, 0])
    view.session.seek(there)
    pump(app, 3)
    pictures = [screen()]
    for key, text in ((pygame.K_s, "s"), (pygame.K_v, "v"), (pygame.K_p, "p")):
        press(app, key, text=text)
        pump(app, 4)
        pictures.append(screen())
    assert len(set(pictures)) == 4
    salient = view.session.salient
    assert salient is not None
    assert np.argwhere(salient.heat == 1.0).tolist() == [[0, 5]], "the one cell that the reward model looks at"
    press(app, pygame.K_TAB)
    press(app, pygame.K_n, text="n")
    press(app, pygame.K_DOWN)
    pump(app, 20)
    assert view.session.reel.replay_id == walk_replay(world.game, 1, at=11.0).id
    press(app, pygame.K_HOME)
    assert view.session.reel.replay_id == walk_replay(world.game, 2, at=12.0).id


def test_playing_stands_still_when_the_window_is_left(asking: tuple[App, AskView], clock: Time) -> None:
    app, view = asking
    press(app, pygame.K_SPACE)
    clock.now += 1.0
    pump(app)
    assert view.session.t == 10
    pygame.event.post(pygame.Event(pygame.WINDOWFOCUSLOST))
    clock.now += 1.0
    pump(app, 2)
    assert view.session.t == 10


def test_the_agent_asks_from_within(asking: tuple[App, AskView], world: World) -> None:
    app, view = asking
    press(app, pygame.K_q, text="q")
    pump(app, 20)
    assert isinstance(app.view, AdviseView)
    still = app.view.session.current
    assert still is not None
    press(app, pygame.K_LEFT)
    pump(app, 5)
    assert [(answer.value, answer.replay_id, answer.step) for answer in rows(world.store)] == [(Advice(1), still.tape.replay.id, still.t)]
    press(app, pygame.K_ESCAPE)
    assert app.view is view


def test_nothing_is_painted_where_nothing_changed(asking: tuple[App, AskView]) -> None:
    app, view = asking
    view.session.head.paused = True
    assert painted_again(app, view) == []


@pytest.mark.parametrize("size", [(320, 240), (2560, 1440), (300, 1500)])
def test_any_size_of_window(asking: tuple[App, AskView], size: tuple[int, int]) -> None:
    app, view = asking
    fits(app, view, size)
    view.session.pick(1)
    view.session.overlay = True
    for _ in range(4):
        view.update()
        view.draw(app.canvas)
    assert view.session.fork is not None


def test_every_command_is_in_the_help_and_has_a_key() -> None:
    for commands in (ask_view.COMMANDS, watch_view.COMMANDS, advise_view.COMMANDS):
        assert all(command.help and command.keys for command in commands)
        keys = [key for command in commands for key in command.keys]
        assert len(keys) == len(set(keys)), "one key, one command"


def test_asking_survives(tmp_path: Path, clock: Time, show: Show, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(7)
    worker, writer = Erratic(chance), Erratic(chance)
    world = make_world(tmp_path, clock, Walk(limit=24), worker=worker, writer=writer)
    world.published.minds.append(KnownMind("tiny/2"))
    posted = record_posts(world.store, monkeypatch)
    view = AskView(world.ask(), Keymap(), name=name, advise=lambda: AdviseView(world.advise(), Keymap(), name=name, now=clock), now=clock)
    stay(view, monkeypatch)
    app = show(view, clock)
    world.store._clock = clock
    more = [
        pygame.K_w,
        pygame.K_t,
        pygame.K_MINUS,
        pygame.K_EQUALS,
        pygame.K_s,
        pygame.K_v,
        pygame.K_1,
        pygame.K_2,
        pygame.K_n,
        pygame.K_DOWN,
    ]
    storm(app, clock, chance, worker, KEYS + more)
    app.close()
    writer.shutdown()
    history = world.store.history()
    assert sorted(answer.uuid for answer, _ in history) == sorted(posted), "everything is stored once"
    kinds = {answer.kind for answer, _ in history}
    assert kinds == {"advice", "evaluation", "question"}
    assert any(taken_back for _, taken_back in history)
    lengths = {walk_replay(world.game, seed, at=10.0 + seed).id: 24 for seed in range(3)}
    for answer, _ in history:
        assert answer.replay_id is not None
        assert answer.step is not None
        assert answer.step < lengths[answer.replay_id]
    world.store.close()
