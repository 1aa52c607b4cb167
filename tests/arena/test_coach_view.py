"""The coach's screen, driven by posted events: what a key says, what is painted, what is left of it in the store."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pygame
import pytest
from pygame import Rect

from rlhf_games.arena.app import App
from rlhf_games.arena.canvas import Canvas
from rlhf_games.arena.coach_log import Mark
from rlhf_games.arena.coach_ribbon import Ribbon, paint_ribbon
from rlhf_games.arena.coach_view import CoachView
from rlhf_games.arena.keys import Keymap
from rlhf_games.arena.menu_view import MenuView
from rlhf_games.feedback.answers import Evaluation, Takeover
from rlhf_games.feedback.store import Store
from rlhf_games.replay.replay import Replay

from .coaches import LEFT, RIGHT, Coached
from .conftest import Time, press, pump
from .storms import KEYS, Erratic, record_posts, storm

SHIFT = pygame.KMOD_LSHIFT


class Window:
    """A coach's view in a window that nobody sees."""

    def __init__(self, coached: Coached, app: App) -> None:
        self.coached, self.app = coached, app

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.05)):
            self.coached.clock.now += 0.05 + 1e-9
            pump(self.app, 2)

    def part(self, name: str) -> bytes:
        """Pixels of one part."""
        rect = self.app.canvas._parts[name].rect
        surface = pygame.display.get_surface()
        assert surface is not None
        return pygame.image.tobytes(surface.subsurface(Rect(rect)), "RGB")


@pytest.fixture
def window(store: Store, clock: Time, show: Callable[..., App]) -> Window:
    coached = Coached(store, clock)
    view = CoachView(coached.session, Keymap(), "Line", "Go right.", now=clock)
    return Window(coached, show(view, clock, (960, 640)))


def test_the_live_agent_is_asked_about_its_last_decision(store: Store, clock: Time, show: Callable[..., App]) -> None:
    coached, asked = Coached(store, clock), list[Future[Replay]]()

    def ask(stored: Future[Replay]) -> MenuView:
        asked.append(stored)
        return MenuView("Ask", "", list, Keymap())

    window = Window(coached, show(CoachView(coached.session, Keymap(), "Line", "", now=clock, ask=ask), clock, (960, 640)))
    window.run(0.2)
    press(window.app, pygame.K_a, text="a")
    assert asked == [], "nothing was decided yet"
    coached.session.start()
    window.run(0.5)
    press(window.app, pygame.K_a, text="a")
    assert window.app.view is not None
    assert window.app.view.title == "Ask"
    [stored] = asked
    assert store.replay(stored.result().id).length == coached.session.decisions > 2
    window.run(1.0)
    press(window.app, pygame.K_ESCAPE)
    window.run(0.5)
    assert coached.session.phase == "paused", "it waits until the person says so"
    assert coached.session.decisions == stored.result().length
    press(window.app, pygame.K_p, text="p")
    window.run(0.5)
    assert coached.session.decisions > stored.result().length, "the same episode goes on"


def marks(store: Store) -> list[Any]:
    return [answer.value for answer in store.answers().answers]


@pytest.mark.parametrize("up", [False, True])
def test_the_key_of_the_game_that_starts_takes_nothing_over(window: Window, store: Store, up: bool) -> None:
    window.run(0.3)
    assert window.coached.session.phase == "ready"
    press(window.app, pygame.K_RIGHT, up=up)
    window.run(0.6)
    assert window.coached.session.phase == "playing"
    assert window.coached.session.driver == "agent"
    assert marks(store) == []
    pygame.event.post(pygame.Event(pygame.KEYUP, key=pygame.K_RIGHT, mod=0))
    press(window.app, pygame.K_LEFT)
    window.run(1.0)
    [value] = marks(store)
    assert isinstance(value, Takeover), "a key in the game takes over"


def test_any_key_starts(window: Window) -> None:
    window.run(0.3)
    assert window.coached.session.phase == "ready"
    press(window.app, pygame.K_x, text="x")
    window.run(0.3)
    assert window.coached.session.decisions == 3


@pytest.mark.parametrize(
    ("key", "mod", "text", "value"),
    [
        (pygame.K_EQUALS, 0, "=", 0.5),
        (pygame.K_EQUALS, SHIFT, "+", 0.5),  # the plain plus of a US keyboard
        (pygame.K_PLUS, 0, "+", 0.5),
        (pygame.K_PLUS, SHIFT, "*", 0.5),
        (pygame.K_KP_PLUS, 0, "+", 0.5),
        (pygame.K_MINUS, 0, "-", -0.5),
        (pygame.K_MINUS, SHIFT, "_", -0.5),
        (pygame.K_KP_MINUS, 0, "-", -0.5),
        (pygame.K_PAGEUP, 0, "", 1.0),
        (pygame.K_PAGEDOWN, 0, "", -1.0),
        (pygame.K_KP_MULTIPLY, 0, "*", 1.0),
        (pygame.K_KP_DIVIDE, 0, "/", -1.0),
    ],
)
def test_keys_of_every_keyboard_praise_and_scold(window: Window, store: Store, key: int, mod: int, text: str, value: float) -> None:
    press(window.app, pygame.K_x, text="x")
    window.run(0.3)
    press(window.app, key, mod, text)
    assert marks(store) == [Evaluation(value)]


def test_from_key_to_store_and_back(window: Window, store: Store) -> None:
    press(window.app, pygame.K_x, text="x")
    window.run(0.5)
    quiet = window.part("ribbon")
    press(window.app, pygame.K_MINUS, text="-")
    marked = window.part("ribbon")
    assert marked != quiet
    press(window.app, pygame.K_BACKSPACE)
    assert window.part("ribbon") not in (quiet, marked), "what was taken back leaves a cross"
    assert marks(store) == []
    agent = window.part("driver")
    press(window.app, pygame.K_LEFT, up=False)
    assert window.part("driver") != agent
    window.run(0.2)
    assert window.coached.session.action == (LEFT,)
    pygame.event.post(pygame.Event(pygame.KEYUP, key=pygame.K_LEFT, mod=0))
    window.run(0.5)
    assert window.part("driver") == agent
    assert window.coached.session.action == (RIGHT,)
    [value] = marks(store)
    assert isinstance(value, Takeover)
    assert (value.length, bool(value.instead)) == (2, True)


def test_a_mark_is_hollow_until_it_is_stored(show: Callable[..., App]) -> None:
    pygame.display.init()
    pygame.font.init()
    canvas = Canvas(pygame.display.set_mode((960, 640)))
    looks = {}
    for state in ("sending", "stored", "failed", "leaving"):
        for value in (Evaluation(0.5), Evaluation(1.0), Evaluation(-0.5), Takeover(8)):
            mark = Mark("e", 10, value, 0.0, 0.0, state=state)  # type: ignore[arg-type]
            ribbon = Ribbon(30, 10.0, len(looks), "e", None)
            canvas.begin(("test", len(looks)))
            rect = Rect(0, 0, 800, 116)
            canvas.part("ribbon", rect, ribbon, lambda pen, ribbon=ribbon, mark=mark: paint_ribbon(pen, ribbon, [mark]))  # type: ignore[misc]
            surface = pygame.display.get_surface()
            assert surface is not None
            looks[state, str(value)] = pygame.image.tobytes(surface.subsurface(rect), "RGB")
    assert len(set(looks.values())) == 13, "each looks different; only of what is taken back the cross remains"


def test_marks_of_another_episode_and_of_long_ago_are_not_shown(window: Window) -> None:
    press(window.app, pygame.K_x, text="x")
    window.run(0.4)
    press(window.app, pygame.K_EQUALS, text="=")
    press(window.app, pygame.K_r, text="r")
    window.run(0.4)
    again = window.part("ribbon")
    assert window.coached.session.episode == 2
    window.coached.log.marks.clear()
    window.coached.log.version += 1
    pump(window.app)
    assert window.part("ribbon") == again


def test_clicks_on_the_lower_edge(window: Window, store: Store) -> None:
    press(window.app, pygame.K_x, text="x")
    window.run(0.4)
    places = {command: rect.center for rect, command in window.app.canvas._parts["footer"].clicks}
    for command in ("praise", "scold", "pause"):
        pygame.event.post(pygame.Event(pygame.MOUSEBUTTONDOWN, pos=places[command], button=1))
        pygame.event.post(pygame.Event(pygame.MOUSEBUTTONUP, pos=places[command], button=1))
        pump(window.app)
    assert marks(store) == [Evaluation(0.5), Evaluation(-0.5)]
    assert window.coached.session.phase == "paused"


def test_focus_and_help(window: Window) -> None:
    press(window.app, pygame.K_x, text="x")
    window.run(0.3)
    pygame.event.post(pygame.Event(pygame.WINDOWFOCUSLOST))
    pump(window.app)
    assert window.coached.session.phase == "paused"
    press(window.app, pygame.K_p, text="p")
    assert window.coached.session.phase == "playing"
    press(window.app, pygame.K_F1)
    assert window.app.helping
    assert window.coached.session.phase == "paused", "nothing goes on behind the help"


def test_escape_loses_nothing(window: Window, store: Store) -> None:
    press(window.app, pygame.K_x, text="x")
    window.run(0.4)
    press(window.app, pygame.K_EQUALS, text="=")
    window.run(0.2)
    press(window.app, pygame.K_ESCAPE)
    window.app.close()
    [answer] = store.answers().answers
    assert answer.replay_id is not None
    assert store.replay(answer.replay_id).length == 6


def test_the_windows_own_button_closes_it_and_loses_nothing(window: Window, store: Store) -> None:
    press(window.app, pygame.K_x, text="x")
    window.run(0.4)
    press(window.app, pygame.K_EQUALS, text="=")
    pygame.event.post(pygame.Event(pygame.QUIT))
    pygame.event.post(pygame.Event(pygame.KEYDOWN, key=pygame.K_MINUS, mod=0, unicode="-"))
    window.app.run()
    assert window.app.view is None
    assert marks(store) == [Evaluation(0.5)]


@pytest.mark.parametrize("size", [(320, 240), (640, 480), (1280, 800), (2000, 700)])
def test_windows_of_every_size(store: Store, clock: Time, show: Callable[..., App], size: tuple[int, int]) -> None:
    coached = Coached(store, clock)
    view = CoachView(coached.session, Keymap(), "Line", "Go right.", now=clock)
    window = Window(coached, show(view, clock, size))
    window.run(0.1)
    press(window.app, pygame.K_x, text="x")
    window.run(0.4)
    press(window.app, pygame.K_LEFT, up=False)
    window.run(1.8)
    assert coached.session.phase == "over"
    window.run(0.2)
    assert coached.store.answers().answers


def test_the_coach_survives(store: Store, clock: Time, show: Callable[..., App], monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand random events: no crash, every mark stored once, every takeover where the keys were."""
    chance = random.Random(6)
    worker = Erratic(chance)
    posted = record_posts(store, monkeypatch)
    coached = Coached(store, clock, worker=worker)
    view = CoachView(coached.session, Keymap(), "Line", "Go right.", now=clock)
    monkeypatch.setattr(view, "back", lambda: None)  # Esc would end the storm
    app = show(view, clock)
    keys = [*KEYS, pygame.K_EQUALS, pygame.K_MINUS, pygame.K_PLUS, pygame.K_KP_MINUS]
    storm(app, clock, chance, worker, keys)
    coached.session.close()
    history = store.history()
    assert [answer.uuid for answer, _ in history] == posted == [mark.uuid for mark in coached.log.marks]
    gone = {answer.uuid for answer, taken_back in history if taken_back is not None}
    assert gone == {mark.uuid for mark in coached.log.marks if mark.state in ("leaving", "gone")}
    kinds = [answer.kind for answer, _ in history]
    assert min(kinds.count("evaluation"), kinds.count("takeover"), len(gone)) > 20
    linked = {answer.id: answer.replay_id for answer in store.answers().answers}
    replays = store.replays([replay_id for replay_id in linked.values() if replay_id is not None])
    for answer in store.answers().answers:
        assert answer.replay_id is not None
        assert answer.step is not None
        replay = replays[answer.replay_id]
        length = answer.value.length if isinstance(answer.value, Takeover) else 1
        assert answer.step + length <= replay.length <= 20
        times = [time for time, _, _ in replay.key_events]
        assert times == sorted(times)
        if isinstance(answer.value, Takeover):
            instead = store.replay(answer.value.instead)
            assert instead.actions[: answer.step].tolist() == replay.actions[: answer.step].tolist()
            assert instead.actions[answer.step :, 0].tolist() == [RIGHT] * (instead.length - answer.step)
            assert replay.actions[answer.step + length - 1, 0] in (1, 2, 3, 4), "its last decision was a key's"
