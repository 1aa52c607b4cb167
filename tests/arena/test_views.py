"""Every view driven by pygame's events in a window that nobody sees."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pygame
import pytest

from rlhf_games.arena import menu_view, play_view, start
from rlhf_games.arena.answer_tasks import open_judge
from rlhf_games.arena.app import App
from rlhf_games.arena.headway import Headway
from rlhf_games.arena.judge_view import COMMANDS, JudgeView
from rlhf_games.arena.judging import JudgeSession
from rlhf_games.arena.keys import Keymap
from rlhf_games.arena.menu_view import Entry, MenuView
from rlhf_games.arena.opening_view import OpeningView
from rlhf_games.arena.person import Person
from rlhf_games.arena.play_view import PlayView
from rlhf_games.arena.playing import PlaySession
from rlhf_games.arena.runs import Learning, Target, find_target
from rlhf_games.core.errors import UserError
from rlhf_games.feedback.answers import Demonstration, Preference, Rating
from rlhf_games.feedback.store import Store

from .conftest import Films, Inline, Line, Manual, Time, press, pump

Show = Callable[..., App]


@pytest.fixture
def judging(judge: Callable[..., JudgeSession], show: Show, clock: Time) -> Callable[..., tuple[App, JudgeView]]:
    def make(**more: Any) -> tuple[App, JudgeView]:
        view = JudgeView(judge(), Keymap(), aim=lambda name: ("Line", "Go right."), now=clock, **more)
        app = show(view, clock)
        pump(app, 2)
        return app, view

    return make


@pytest.fixture
def playing(show: Show, clock: Time, store: Store, line: Line) -> Callable[..., tuple[App, PlayView]]:
    def make(game: Any = line, **more: Any) -> tuple[App, PlayView]:
        session = PlaySession(lambda: game, lambda: store, "ann", Inline(), now=clock, wall=clock, **more)
        view = PlayView(session, Keymap(), "Line", "Go right.", clock)
        app = show(view, clock)
        pump(app, 3)
        return app, view

    return make


def later(app: App, clock: Time, seconds: float) -> None:
    clock.now += seconds
    pump(app, 2)


@pytest.mark.parametrize(
    ("key", "mod", "said"),
    [
        (pygame.K_LEFT, 0, Preference("left")),
        (pygame.K_RIGHT, 0, Preference("right")),
        (pygame.K_LEFT, pygame.KMOD_LSHIFT, Preference("left", 2)),
        (pygame.K_RIGHT, pygame.KMOD_RSHIFT, Preference("right", 2)),
        (pygame.K_DOWN, 0, Preference("equal")),
        (pygame.K_UP, 0, Preference("unsure")),
        (pygame.K_UP, pygame.KMOD_LSHIFT, Preference("unsure")),
    ],
)
def test_one_key_is_one_answer(judging: Any, ask: Any, store: Store, key: int, mod: int, said: Preference) -> None:
    ask(2)
    app, _ = judging()
    press(app, key, mod)
    [answer] = store.answers().answers
    assert answer.value == said
    press(app, pygame.K_BACKSPACE)
    pump(app, 2)
    assert store.answers().answers == ()


def test_every_key_of_the_judge_does_something_visible(judging: Any, ask: Any, clock: Time) -> None:
    ask(1)
    app, view = judging()
    playback = view.session.playback
    press(app, pygame.K_SPACE)
    assert playback.paused
    before = playback.frame(0)
    press(app, pygame.K_PERIOD, text=".")
    assert playback.frame(0) == before + 1
    press(app, pygame.K_COMMA, text=",")
    assert playback.frame(0) == before
    press(app, pygame.K_8, text="]")
    assert playback.speed == 1.5
    press(app, pygame.K_LEFTBRACKET, text="[")
    assert playback.speed == 1.0
    press(app, pygame.K_PERIOD, text=".")
    press(app, pygame.K_r, text="r")
    assert playback.frame(0) == 0
    picture = pygame.image.tobytes(pygame.display.get_surface(), "RGB")
    press(app, pygame.K_b, text="b")
    assert pygame.image.tobytes(pygame.display.get_surface(), "RGB") != picture, "the bars are gone"


def test_the_score_can_be_covered(judging: Any, ask: Any, films: Films) -> None:
    films.score = ((1, 2, 2, 3),)
    ask(1)
    app, view = judging()
    press(app, pygame.K_SPACE)

    def clip() -> Any:
        left, top, width, height = app.canvas._parts["clip 0"].rect
        seen = pygame.surfarray.array3d(pygame.display.get_surface()).swapaxes(0, 1)
        return seen[top : top + height, left : left + width]

    shown = clip()
    press(app, pygame.K_h, text="h")
    covered, scale = clip(), shown.shape[0] // 4
    changed = (covered != shown).any(-1)
    assert changed[scale : 3 * scale, 2 * scale : 5 * scale].all()
    assert changed.sum() == 6 * scale**2, "and nothing else"
    assert view._status()[0] == "the score is hidden · paused"
    press(app, pygame.K_h, text="h")
    assert (clip() == shown).all()
    assert "score" not in view._status()[0]


def test_where_nobody_has_marked_the_score_that_is_said(judging: Any, ask: Any) -> None:
    ask(1)
    _, view = judging(hide_score=True)
    assert "nobody has marked" in view._status()[0]


def test_mouse_and_gamepad_judge_too(judging: Any, ask: Any, store: Store) -> None:
    ask(4)
    app, _ = judging()
    for x, said in ((100, "left"), (500, "right")):
        pygame.event.post(pygame.Event(pygame.MOUSEBUTTONDOWN, pos=(x, 240), button=1))
        pump(app, 3)
        assert store.answers().answers[-1].value == Preference(said)  # type: ignore[arg-type]
    pad: dict[str, Any] = {"instance_id": 0}
    for button, kind in ((9, pygame.CONTROLLERBUTTONDOWN), (14, pygame.CONTROLLERBUTTONDOWN), (9, pygame.CONTROLLERBUTTONUP)):
        pygame.event.post(pygame.Event(kind, button=button, **pad))
    pump(app, 3)
    assert store.answers().answers[-1].value == Preference("right", 2), "with the shoulder button: clearly"
    pygame.event.post(pygame.Event(pygame.CONTROLLERAXISMOTION, axis=1, value=30000, **pad))
    pygame.event.post(pygame.Event(pygame.CONTROLLERAXISMOTION, axis=1, value=31000, **pad))
    pump(app, 3)
    assert [answer.value for answer in store.answers().answers[3:]] == [Preference("equal")], "the stick was pushed once"


def test_help_lists_every_key_and_nothing_runs_behind_it(judging: Any, ask: Any, store: Store) -> None:
    ask(1)
    app, view = judging()
    for opener in ({"key": pygame.K_F1}, {"key": pygame.K_MINUS, "text": "?"}):
        press(app, **opener)
        assert app.helping
        assert view.session.playback.paused
        press(app, pygame.K_LEFT)
        assert not app.helping
        assert not view.session.playback.paused
    assert store.answers().answers == (), "the key that closes the help answers nothing"
    assert all(command.help and command.keys for command in COMMANDS + play_view.COMMANDS + menu_view.COMMANDS)


def test_losing_the_window_pauses_and_coming_back_goes_on(judging: Any, ask: Any) -> None:
    ask(1)
    app, view = judging()
    pygame.event.post(pygame.Event(pygame.WINDOWFOCUSLOST))
    pump(app)
    assert view.session.playback.paused
    pygame.event.post(pygame.Event(pygame.WINDOWFOCUSGAINED))
    pump(app)
    assert not view.session.playback.paused


def test_nothing_is_painted_where_nothing_changed(judging: Any, ask: Any, clock: Time) -> None:
    ask(1)
    app, view = judging()
    press(app, pygame.K_SPACE)
    pump(app, 3)
    view.draw(app.canvas)
    assert app.canvas.finish() == []
    press(app, pygame.K_PERIOD, text=".")
    view.session.playback.step(1)
    view.draw(app.canvas)
    changed = app.canvas.finish()
    assert len(changed) == 4, "the two clips and their bars"
    app.canvas.use(pygame.display.get_surface())
    view.draw(app.canvas)
    assert len(app.canvas.finish()) > 5, "after a change of the window everything"


@pytest.mark.parametrize("size", [(320, 240), (1280, 800), (2560, 1440), (300, 1500)])
def test_any_size_of_window(judging: Any, playing: Any, ask: Any, size: tuple[int, int], show: Show, clock: Time, store: Store) -> None:
    ask(2)
    app, view = judging()
    for shown in (view, playing()[1]):
        surface = pygame.display.set_mode(size)
        app.canvas.use(surface)
        shown.draw(app.canvas)
        assert app.canvas.finish()
    app.helping = True
    app.frame()


def test_the_score_and_the_budget_are_in_sight(judging: Any, ask: Any, store: Store, tmp_path: Path, clock: Time) -> None:
    ask(2)
    (tmp_path / "metrics.jsonl").write_text('{"step": 100, "true_return": 4.0}\n')
    app, view = judging(headway=Headway(Target(store.name, tmp_path, budget=700), Inline(), clock))
    press(app, pygame.K_LEFT)
    pump(app, 2)
    assert view.headway.learning == Learning(100, (4.0,), 4.0)
    assert view._standing() == ("1 answered · 699 left", "1 a minute · 1 now by ann")


def test_waiting_says_why(judging: Any, ask: Any, clock: Time) -> None:
    app, view = judging()
    clock.now += 2
    pump(app, 3)
    assert "No pair is waiting" in view._waiting_words()[0]
    assert view._status()[0] == ""


def test_playing_by_events_and_keeping(playing: Any, line: Line, clock: Time, store: Store) -> None:
    app, view = playing()
    press(app, pygame.K_RIGHT, up=False)
    for _ in range(22):
        later(app, clock, 0.1)
    assert view.session.phase == "over"
    press(app, pygame.K_RETURN)
    pump(app, 2)
    assert view.session.kept == 1
    assert (len(store.replay_ids()), store.progress().answered) == (1, 0)
    assert line.opened[-2].actions == [[2]] * 20


def test_every_key_of_the_player_does_something(playing: Any, clock: Time) -> None:
    app, view = playing()
    session = view.session
    press(app, pygame.K_RIGHT, up=False)
    later(app, clock, 0.1)
    press(app, pygame.K_p, text="p")
    assert session.phase == "paused"
    decisions = session.decisions
    press(app, pygame.K_PERIOD, text=".")
    pump(app)
    assert session.decisions == decisions + 1
    press(app, pygame.K_TAB)
    assert session.wait_for_key
    press(app, pygame.K_RIGHTBRACKET, text="]")
    assert session.speed == 1.5
    press(app, pygame.K_LEFTBRACKET, text="[")
    press(app, pygame.K_p, text="p")
    assert session.phase == "playing"
    press(app, pygame.K_r, text="r")
    assert session.phase == "over"
    press(app, pygame.K_BACKSPACE)
    pump(app, 2)
    assert (session.phase, session.episode, session.kept) == ("ready", 2, 0)


def test_a_pause_is_painted_away(playing: Any, clock: Time) -> None:
    app, view = playing()
    press(app, pygame.K_RIGHT, up=False)
    later(app, clock, 0.1)
    surface = pygame.display.get_surface()
    running = pygame.image.tobytes(surface, "RGB")
    clock.now += 0.001
    press(app, pygame.K_p, text="p")
    assert pygame.image.tobytes(surface, "RGB") != running
    press(app, pygame.K_p, text="p")
    assert view.session.phase == "playing"
    assert pygame.image.tobytes(surface, "RGB") == running, "every pixel of the pause is gone"


def test_leaving_a_game_asks_and_a_second_escape_keeps(playing: Any, clock: Time, store: Store) -> None:
    app, view = playing()
    press(app, pygame.K_RIGHT, up=False)
    later(app, clock, 0.1)
    press(app, pygame.K_ESCAPE)
    assert app.view is view
    assert view.session.phase == "over"
    press(app, pygame.K_ESCAPE)
    pump(app, 3)
    assert app.view is None
    assert len(store.replay_ids()) == 1
    assert len(store.answers().answers) == 1


def test_leaving_a_game_that_has_not_begun_leaves_at_once(playing: Any, store: Store) -> None:
    app, _ = playing()
    press(app, pygame.K_ESCAPE)
    assert app.view is None
    assert store.replay_ids() == []


def test_a_game_that_cannot_be_played_says_why_and_can_be_left(playing: Any) -> None:
    app, view = playing(people=2)
    assert "--people" in view.session.problem
    press(app, pygame.K_ESCAPE)
    assert app.view is None


def test_keys_of_the_game_are_no_commands(show: Show, clock: Time, store: Store) -> None:
    game = Line()
    game.spec.keys["p"] = 2
    session = PlaySession(lambda: game, lambda: store, "ann", Inline(), now=clock, wall=clock)
    view = PlayView(session, Keymap(), "Line", "", clock)
    app = show(view, clock)
    pump(app, 3)
    press(app, pygame.K_p, text="p", up=False)
    later(app, clock, 0.1)
    assert game.opened[-1].actions == [[2], [2]]
    assert next(command for command in view.commands if command.name == "pause").keys == ("pad:start",)


def test_digits_rate_what_was_played_and_belong_to_the_game_while_it_is(show: Show, clock: Time, store: Store) -> None:
    game = Line(limit=2)
    game.spec.keys["3"] = 2
    session = PlaySession(lambda: game, lambda: store, "ann", Inline(), now=clock, wall=clock)
    view = PlayView(session, Keymap(), "Line", "", clock)
    app = show(view, clock)
    pump(app, 3)
    press(app, pygame.K_3, text="3", up=False)
    for _ in range(4):
        later(app, clock, 0.1)
    assert (session.phase, game.opened[-1].actions) == ("over", [[2], [2]])
    press(app, pygame.K_3, text="3")
    assert session.phase == "over", "too soon to be meant"
    later(app, clock, 1.0)
    press(app, pygame.K_3, text="3")
    pump(app, 2)
    assert [answer.value for answer in store.answers().answers] == [Demonstration(2), Rating(3)]


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
    press(app, pygame.K_ESCAPE)
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
    press(app, pygame.K_ESCAPE)
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
    deadline = time.monotonic() + 60
    while not isinstance(app.view, JudgeView) and time.monotonic() < deadline:
        pump(app)
        time.sleep(0.01)
    assert isinstance(app.view, JudgeView)
    press(app, pygame.K_ESCAPE)
    pump(app, 2)
    assert app.view is home
    app.close()
    with Store.open(real_run) as store:
        assert store.progress().leased == 0, "all were given back"


def test_judge_refuses_what_is_no_store(tmp_path: Path, show: Show) -> None:
    (tmp_path / "store.sqlite").write_text("not a database, but long enough to be taken for one" * 30)
    view = open_judge(find_target(str(tmp_path)), Person("ann", Keymap()))
    app = show(view, time.monotonic)
    deadline = time.monotonic() + 60
    while not view._problem and time.monotonic() < deadline:  # type: ignore[attr-defined]
        pump(app)
        time.sleep(0.01)
    assert "store.sqlite" in view._problem  # type: ignore[attr-defined]


def test_play_names_the_nearest_game() -> None:
    person = Person("ann", Keymap())
    with pytest.raises(UserError, match="minatar/breakout"):
        start.play("minatar/brakout", person)
    with pytest.raises(UserError, match="--people"):
        start.play("minatar/breakout", person, people=2)


FIRST_FRAME = """
import sys, time
from rlhf_games.arena import start
from rlhf_games.arena.app import App
from rlhf_games.arena.keys import Keymap
from rlhf_games.arena.person import Person
view = start.play(sys.argv[1], Person("ann", Keymap()), sys.argv[2])
app = App(view)
app.frame()
before = "jax" in sys.modules
while view.session.phase == "opening":
    app.frame()
    time.sleep(0.01)
print(before, "jax" in sys.modules, view.session.phase)
app.close()
"""


def test_the_first_frame_does_not_wait_for_jax(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FIRST_FRAME, "minatar/breakout", str(tmp_path / "plays.sqlite")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False True ready"


def test_the_window_hurries_while_an_answer_is_stored(judge: Any, ask: Any, show: Show, clock: Time) -> None:
    ask(2)
    worker = Manual()
    view = JudgeView(judge(worker), Keymap(), aim=lambda name: (name, ""), now=clock)
    app = show(view, clock)
    worker.work()
    pump(app, 2)
    assert not view.hurried
    press(app, pygame.K_LEFT)
    assert view.hurried
    worker.work()
    pump(app)
    assert not view.hurried
