"""Judging driven by pygame's events in a window that nobody sees."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pygame
import pytest

from rlhf_games.arena import menu_view, play_view, theme
from rlhf_games.arena.app import App
from rlhf_games.arena.headway import Headway
from rlhf_games.arena.judge_view import COMMANDS, JudgeView
from rlhf_games.arena.judging import JudgeSession
from rlhf_games.arena.keys import Keymap
from rlhf_games.arena.runs import Learning, Target
from rlhf_games.feedback.answers import Preference
from rlhf_games.feedback.store import Store

from .conftest import Films, Inline, Manual, Time, fits, press, pump, screen

Show = Callable[..., App]


@pytest.fixture
def judging(judge: Callable[..., JudgeSession], show: Show, clock: Time) -> Callable[..., tuple[App, JudgeView]]:
    def make(**more: Any) -> tuple[App, JudgeView]:
        view = JudgeView(judge(), Keymap(), aim=lambda name: ("Line", "Go right."), now=clock, **more)
        app = show(view, clock)
        pump(app, 2)
        return app, view

    return make


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
    picture = screen()
    press(app, pygame.K_b, text="b")
    assert screen() != picture, "the bars are gone"


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


def test_every_end_of_an_episode_is_marked(judging: Any, ask: Any, films: Films, clock: Time) -> None:
    """Clips of five pictures at ten a second; the episode's last picture is shown twice, then another one begins."""
    films.seams, films.ends = ((1, 3),), True
    ask(1)
    app, view = judging()

    def framed() -> bool:
        left, top, width, height = app.canvas._parts["clip 0"].rect
        return bool(screen_part(left, top, width, height)[0, width // 2].tolist() == list(theme.AMBER))

    seen = []
    for number in range(5):
        clock.now += 0.05 if number == 0 else 0.1
        pump(app)
        seen.append((view.session.playback.frame(0), view.end_words(0), framed()))
    one, two, ends = "EPISODE 1 OF 2", "EPISODE 2 OF 2", "EPISODE ENDS HERE"
    assert seen == [(0, one, False), (1, ends, True), (2, ends, True), (3, two, False), (4, two, False)]
    clock.now += 0.1
    pump(app)
    assert (view.end_words(0), framed()) == (ends, True)
    left, top, width, height = app.canvas._parts["bar 0"].rect
    assert screen_part(left, top, width, height)[height // 2, round(3 / 5 * width)].tolist() == list(theme.AMBER)
    press(app, pygame.K_b, text="b")
    assert view.end_words(0) == ends, "words and frame stay without bars"


def screen_part(left: int, top: int, width: int, height: int) -> Any:
    seen = pygame.surfarray.array3d(pygame.display.get_surface()).swapaxes(0, 1)
    return seen[top : top + height, left : left + width]


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


def test_no_pair_is_shown_to_nobody(judging: Any, ask: Any, clock: Time) -> None:
    """One that arrives while the window has lost the focus waits; its time begins when the person is back."""
    app, view = judging()
    pygame.event.post(pygame.Event(pygame.WINDOWFOCUSLOST))
    pump(app)
    ask(1)
    clock.now += 2
    pump(app, 4)
    assert view.session.current is None
    clock.now += 60
    pygame.event.post(pygame.Event(pygame.WINDOWFOCUSGAINED))
    pump(app, 2)
    assert view.session.current is not None
    assert not view.session.playback.paused
    assert view.session.playback.share(0) < 1
    press(app, pygame.K_LEFT)
    pump(app, 2)
    assert view.session.given == 1


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
def test_any_size_of_window(judging: Any, ask: Any, size: tuple[int, int]) -> None:
    ask(2)
    fits(*judging(), size)


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
