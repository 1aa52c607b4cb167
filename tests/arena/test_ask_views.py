"""Watch, Ask and the agent's questions driven by pygame's events in a window that nobody sees: from key presses to rows in the store."""

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
from rlhf_games.arena.keys import Keymap, Press
from rlhf_games.arena.pick import Pick
from rlhf_games.arena.saliency import Saliency
from rlhf_games.arena.salient_view import edge, lit
from rlhf_games.arena.timeline_view import graph, place_of, seek_to
from rlhf_games.arena.watch_view import WatchView
from rlhf_games.feedback.answers import Advice, Evaluation, Question

from .asking_world import KnownMind, Walk, World, make_world, rows, walk_replay
from .conftest import Time, press, pump
from .test_fuzz import KEYS, Erratic, storm

Show = Callable[..., App]
SIZE = (1280, 800)


def name(game: str) -> tuple[str, str]:
    return "Walk", "Walk."


@pytest.fixture
def asking(world: World, show: Show, clock: Time) -> Iterator[tuple[App, AskView]]:
    view = AskView(world.ask(), Keymap(), name=name, advise=lambda: AdviseView(world.advise(), Keymap(), name=name, now=clock), now=clock)
    app = show(view, clock, SIZE)
    pump(app, 30)
    yield app, view
    view.close()


@pytest.fixture
def watching(world: World, show: Show, clock: Time) -> Iterator[tuple[App, WatchView]]:
    view = WatchView(world.watch(), Keymap(), name=name, now=clock)
    app = show(view, clock, SIZE)
    pump(app, 30)
    yield app, view
    view.close()


def test_the_seats_of_a_game_for_two_take_turns_under_the_picture(tmp_path: Path, show: Show, clock: Time) -> None:
    world = make_world(tmp_path, clock, Walk(seats=2))
    view = WatchView(world.watch(), Keymap(), name=name, now=clock)
    app = show(view, clock, SIZE)
    pump(app, 30)
    press(app, pygame.K_t, text="t")
    view.session.seek(20)
    pump(app)
    first, words = screen(), view._standing()
    assert words[0].startswith("seat 0 of 2")
    press(app, pygame.K_TAB)
    assert view._standing()[0].startswith("seat 1 of 2")
    assert view._standing() != words
    assert screen() != first, "another reward is drawn"
    press(app, pygame.K_TAB)
    assert (view._standing(), screen()) == (words, first)
    view.close()
    world.store.close()


@pytest.fixture
def advising(world: World, show: Show, clock: Time) -> Iterator[tuple[App, AdviseView]]:
    view = AdviseView(world.advise(), Keymap(), name=name, now=clock)
    app = show(view, clock, SIZE)
    pump(app, 30)
    yield app, view
    view.close()


def screen() -> bytes:
    surface = pygame.display.get_surface()
    assert surface is not None
    return pygame.image.tobytes(surface, "RGB")


def place(app: App, command: str) -> tuple[int, int]:
    """The middle of the clickable place of a command."""
    for part in app.canvas._parts.values():
        for rect, found in part.clicks:
            if found == command:
                return rect.center
    raise AssertionError(f"{command} cannot be clicked")


def click(app: App, position: tuple[int, int], *way: tuple[int, int]) -> None:
    """The mouse goes down, moves on its way, and comes up."""
    pygame.event.post(pygame.Event(pygame.MOUSEBUTTONDOWN, pos=position, button=1))
    for point in way:
        pygame.event.post(pygame.Event(pygame.MOUSEMOTION, pos=point, buttons=(1, 0, 0), rel=(1, 1)))
    pygame.event.post(pygame.Event(pygame.MOUSEBUTTONUP, pos=(*way, position)[-1 if not way else len(way) - 1], button=1))
    pump(app, 2)


# Ask


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
    assert [(answer.value, answer.step) for answer in answers] == [(Evaluation(0.5), 10), (Evaluation(-0.5), 10), (Advice(2), 10)]
    assert {answer.replay_id for answer in answers} == {walk_replay(world.game, 2, at=12.0).id}
    press(app, pygame.K_BACKSPACE)
    pump(app, 3)
    assert [answer.value for answer in rows(world.store, "evaluation", "advice")] == [Evaluation(0.5), Evaluation(-0.5)]


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
    press(app, pygame.K_ESCAPE)
    assert app.view is None


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
    press(app, pygame.K_PAGEDOWN)
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
    press(app, pygame.K_a, text="a")
    pump(app, 20)
    assert isinstance(app.view, AdviseView)
    still = app.view.session.current
    assert still is not None
    press(app, pygame.K_LEFT)
    pump(app, 5)
    assert [(answer.value, answer.replay_id, answer.step) for answer in rows(world.store)] == [(Advice(1), still.tape.replay.id, still.t)]
    press(app, pygame.K_ESCAPE)
    assert app.view is view


# The agent asks


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
    press(app, pygame.K_TAB)
    assert view.session.lead_from is not None
    pygame.event.post(pygame.Event(pygame.WINDOWFOCUSLOST))
    pump(app)
    assert view.session.lead_from is None, "the still that is asked about is seen again"


# Watch


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
    press(app, pygame.K_t, text="t")
    assert session.truth
    assert screen() != before
    newest = session.reel.replay_id
    press(app, pygame.K_RIGHT)
    pump(app, 20)
    assert session.reel.replay_id != newest
    press(app, pygame.K_LEFT)
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


def test_nothing_is_painted_where_nothing_changed(asking: tuple[App, AskView], watching: tuple[App, WatchView]) -> None:
    for app, view in (asking, watching):
        app.canvas.use(pygame.display.get_surface())  # type: ignore[arg-type]
        view.session.head.paused = True
        for _ in range(3):
            view.draw(app.canvas)
        app.canvas.finish()
        view.draw(app.canvas)
        assert app.canvas.finish() == []


@pytest.mark.parametrize("size", [(320, 240), (2560, 1440), (300, 1500)])
def test_any_size_of_window(
    asking: tuple[App, AskView], watching: tuple[App, WatchView], advising: tuple[App, AdviseView], size: tuple[int, int]
) -> None:
    app, view = asking
    app.canvas.use(pygame.display.set_mode(size))
    for shown in (view, watching[1], advising[1]):
        shown.draw(app.canvas)
        assert app.canvas.finish()
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


# What is painted


def test_a_graph_has_the_line_where_the_numbers_are() -> None:
    mean = np.array([0.0, 1.0, -1.0, np.nan], np.float32)
    painted = graph(mean, np.array([0.1, 0.0, 0.5, np.nan], np.float32), 3, (80, 60))
    line = np.argwhere((painted.pixels == (105, 178, 255)).all(-1))
    columns = {x: line[line[:, 1] == x, 0].mean() for x in (10, 30, 50)}
    assert columns[30] < columns[10] < columns[50], "upwards is more"
    assert not (line[:, 1] >= 61).any(), "nothing where nothing is known"
    assert painted.low < -1.5 < 1.0 < painted.high
    assert (painted.pixels[:, 70] == (20, 23, 29)).all(), "not played yet"
    many = graph(np.sin(np.arange(5000)).astype(np.float32), np.zeros(5000, np.float32), 5000, (100, 50))
    assert (many.pixels == (105, 178, 255)).all(-1).sum(0).min() > 30, "least and greatest of each column"
    assert seek_to("seek 12") == 12
    assert seek_to("newer") is None
    assert place_of(0.5, 10, pygame.Rect(100, 0, 200, 10)) == 110


def test_light_lies_where_the_heat_is_without_colour() -> None:
    picture = np.full((20, 30, 3), 200, np.uint8)
    heat = np.zeros((2, 2), np.float32)
    heat[1, 0] = 1.0
    shown = lit(picture, Saliency(heat, 1.0, np.zeros(0, np.float32)), (10, 10, 10, 20))
    assert (shown[:10] == 200).all(), "outside the board everything stays"
    assert (shown[12, 25] < 60).all()
    assert (shown[17, 15] == 200).all()
    assert (shown[15, 10] == 255).all(), "the strongest place is framed"
    assert edge(np.ones((5, 5), bool)).sum() == 16
    assert edge(np.ones((5, 5), bool), 2).sum() == 24


# Random input


def test_asking_survives(tmp_path: Path, clock: Time, show: Show, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(7)
    worker, writer = Erratic(chance), Erratic(chance)
    world = make_world(tmp_path, clock, Walk(limit=24), worker=worker, writer=writer)
    world.published.minds.append(KnownMind("tiny/2"))
    posted: list[str] = []
    real = world.store.post_answers
    monkeypatch.setattr(world.store, "post_answers", lambda drafts: (posted.extend(draft.uuid for draft in drafts), real(drafts))[1])
    view = AskView(world.ask(), Keymap(), name=name, advise=lambda: AdviseView(world.advise(), Keymap(), name=name, now=clock), now=clock)
    back = view.back
    monkeypatch.setattr(view, "back", lambda: back() and None)  # Esc would end the storm
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
        pygame.K_PAGEDOWN,
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
