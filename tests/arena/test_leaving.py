"""What is asked before the window closes, and what a person finds when they come back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pygame
import pytest

from rlhf_games.arena import desk, learner, play_view, start
from rlhf_games.arena.app import App
from rlhf_games.arena.headway import Headway
from rlhf_games.arena.judge_view import JudgeView
from rlhf_games.arena.judging import JudgeSession
from rlhf_games.arena.keys import Keymap, Press
from rlhf_games.arena.menu_view import MenuView
from rlhf_games.arena.name_view import NameView
from rlhf_games.arena.person import Person, settings_folder
from rlhf_games.arena.runs import Target
from rlhf_games.arena.tasks import TASKS
from rlhf_games.core.errors import UserError
from rlhf_games.experiment.rundir import RunDirectory
from rlhf_games.feedback.answers import Preference
from rlhf_games.feedback.store import QueryDraft, Store

from .conftest import Films, Inline, Time, leave, press, pump

Show = Callable[..., App]


@pytest.fixture
def judging(store: Store, films: Films, show: Show, clock: Time) -> Callable[..., tuple[App, JudgeView]]:
    def make(headway: Headway | None = None, **more: Any) -> tuple[App, JudgeView]:
        session = JudgeSession(store, films, "ann", Inline(), clock, clock, **more)
        view = JudgeView(session, Keymap(), aim=lambda name: ("Line", "Go right."), headway=headway, now=clock)
        app = show(view, clock)
        pump(app, 3)
        return app, view

    return make


def fail(monkeypatch: pytest.MonkeyPatch, store: Store) -> None:
    def refuse(drafts: object) -> list[int]:
        raise UserError("the disk is full")

    monkeypatch.setattr(store, "post_answers", refuse)


def test_escape_on_the_first_screen_asks(show: Show, clock: Time) -> None:
    inner = MenuView("Inner", "", list, Keymap())
    app = show(MenuView("Outer", "", list, Keymap()), clock)
    app.open(inner)
    press(app, pygame.K_ESCAPE)
    assert app.asking is None, "there is a screen behind it"
    press(app, pygame.K_ESCAPE)
    assert app.asking is not None
    press(app, pygame.K_n, text="n")
    assert app.asking is None
    assert app.view is not None
    leave(app)
    assert app.view is None


def test_the_key_that_answers_the_question_writes_nothing(show: Show, clock: Time) -> None:
    view = NameView("ann", Keymap(), lambda name: [])
    app = show(view, clock)
    press(app, pygame.K_ESCAPE)
    assert app.asking is not None
    press(app, pygame.K_LSHIFT)
    assert app.asking is not None, "Shift alone is no answer"
    press(app, pygame.K_n, text="n")
    assert (app.asking, view.name) == (None, "ann")
    press(app, pygame.K_b, text="b")
    assert view.name == "b", "the first letter replaces what stood there"


def test_the_second_gamepad_answers_too(show: Show, clock: Time) -> None:
    app = show(MenuView("Outer", "", list, Keymap()), clock)
    press(app, pygame.K_ESCAPE)
    app._go(app._react(app.view, Press("pad2:a", True)))  # type: ignore[arg-type]
    assert app.view is None


def test_what_opens_beneath_the_question_is_not_watched(
    judging: Any, ask: Any, store: Store, films: Films, show: Show, clock: Time
) -> None:
    """The question stands for 9 s over a pair that was not there before: they are no viewing time."""
    ask(1)
    app = show(MenuView("Outer", "", list, Keymap()), clock)
    press(app, pygame.K_ESCAPE)
    session = JudgeSession(store, films, "ann", Inline(), clock, clock)
    app.open(JudgeView(session, Keymap(), aim=lambda name: ("Line", ""), now=clock))
    pump(app, 3)
    clock.now += 9.0
    pump(app, 3)
    assert (session.watched, session.current) == (False, None)
    press(app, pygame.K_x, text="x")
    pump(app, 3)
    assert session.current is not None
    shown = clock.now
    clock.now += 1.0
    press(app, pygame.K_LEFT)
    pump(app, 2)
    [answer] = store.answers().answers
    assert (answer.shown_at, answer.answered_at) == (shown, shown + 1.0)


@pytest.mark.parametrize("key", [pygame.K_ESCAPE, None])
def test_leaving_with_an_answer_that_is_not_stored_asks(
    judging: Any, ask: Any, store: Store, monkeypatch: pytest.MonkeyPatch, key: int | None
) -> None:
    ask(2)
    app, view = judging()
    with monkeypatch.context() as broken:
        fail(broken, store)
        press(app, pygame.K_LEFT)
        pump(app, 2)
    assert view.session.phase == "failed"

    def go() -> None:
        if key is None:
            pygame.event.post(pygame.Event(pygame.QUIT))
            pump(app)
        else:
            press(app, key)

    go()
    assert app.asking is not None
    assert "left better" in app.asking.words
    press(app, pygame.K_RIGHT)
    assert (app.asking, view.session.phase) == (None, "failed"), "another key: nothing is lost, and it is no answer"
    assert view.session.notice == "This answer is not stored: the disk is full"
    press(app, pygame.K_RETURN)
    pump(app, 2)
    assert [answer.value for answer in store.answers().answers] == [Preference("left")]
    assert view.session.notice == "", "the message goes when the answer is stored"
    assert view._status()[0] == "✓ stored: left better"


def test_a_window_that_is_closed_twice_closes(judging: Any, ask: Any, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    ask(1)
    app, _ = judging()
    fail(monkeypatch, store)
    press(app, pygame.K_LEFT)
    for _ in range(2):
        app.take(pygame.Event(pygame.QUIT))
    assert app.view is None


def test_what_was_stored_is_acknowledged_for_a_moment(judging: Any, ask: Any, clock: Time) -> None:
    ask(2)
    app, view = judging()
    press(app, pygame.K_RIGHT, pygame.KMOD_LSHIFT)
    pump(app, 2)
    assert view._status()[0] == "✓ stored: right clearly better"
    clock.now += 2.4
    assert "stored" in view._status()[0]
    clock.now += 0.2
    assert view._status()[0] == ""


def test_an_answer_counts_after_the_least_time(judging: Any, ask: Any, store: Store, clock: Time) -> None:
    ask(2)
    app, view = judging(least_seconds=2.0)
    clock.now += 1.5
    press(app, pygame.K_LEFT)
    assert view.session.notice == "Look a little longer: an answer counts after 2 s."
    pygame.event.post(pygame.Event(pygame.WINDOWFOCUSLOST))
    pump(app)
    clock.now += 9.0
    pump(app)
    pygame.event.post(pygame.Event(pygame.WINDOWFOCUSGAINED))
    press(app, pygame.K_LEFT)
    assert store.answers().answers == (), "nobody looked"
    clock.now += 0.6
    pump(app)
    assert view.session.notice == ""
    press(app, pygame.K_LEFT)
    pump(app, 2)
    assert len(store.answers().answers) == 1


def test_full_screen_and_back(show: Show, clock: Time) -> None:
    app = show(MenuView("Outer", "", list, Keymap()), clock, (640, 480))
    press(app, pygame.K_F11)
    surface = pygame.display.get_surface()
    assert surface is not None
    assert surface.get_flags() & pygame.FULLSCREEN
    press(app, pygame.K_F11)
    surface = pygame.display.get_surface()
    assert surface is not None
    assert (surface.get_size(), surface.get_flags() & pygame.FULLSCREEN) == ((640, 480), 0)


# The learner


def make_run(folder: Path, mode: str, **reward: float) -> RunDirectory:
    config = {"game": {"name": "minatar/breakout"}, "feedback": {"budget": 2, "mode": mode}, "reward": {"learned": 1.0, **reward}}
    return RunDirectory.create(folder, config, {})


UNTRUSTED = {"reward_model/trusted": 0.0, "reward_model/skill": 0.021, "reward_model/skill_error": 0.034}


def test_a_run_without_a_reward_model_says_nothing_of_one(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "async", learned=0.0, true=1.0)
    with run.learning():
        now = learner.read_learner(run.path, 3, {})
    assert now == learner.Learner("learns", "the agent is learning")


@pytest.mark.parametrize(
    ("mode", "true", "waiting", "metrics", "state", "words"),
    [
        ("wait", 0.0, 3, {"reward_model/trusted": 1.0}, "waits", "the agent waits for answers"),
        ("async", 0.0, 3, {"reward_model/trusted": 1.0}, "learns", "the agent is learning"),
        ("async", 0.0, 3, UNTRUSTED, "waits", "the agent waits for answers: its reward model is not trusted yet"),
        ("async", 0.0, 0, UNTRUSTED, "waits", "the agent does not train yet, and asks as it plays: its reward model is not trusted yet"),
        ("async", 0.0, 0, UNTRUSTED, "waits", "beyond doubt (by 0.02 ± 0.03)"),
        ("async", 1.0, 3, UNTRUSTED, "learns", "the agent is learning; its reward model is not trusted yet"),
        ("async", 0.0, 3, {}, "waits", "its reward model has too few answers"),
    ],
)
def test_what_the_learner_does(
    tmp_path: Path, mode: str, true: float, waiting: int, metrics: dict[str, float], state: str, words: str
) -> None:
    run = make_run(tmp_path / "run", mode, true=true)
    before = learner.read_learner(run.path, waiting, metrics)
    assert before is not None
    assert before.state == "away"
    assert "rlhf-games resume" in before.words
    with run.learning():
        now = learner.read_learner(run.path, waiting, metrics)
        assert now is not None
        assert now.state == state
        assert words in now.words
    over = learner.read_learner(run.path, waiting, metrics)
    assert over is not None
    assert (over.state, over.words) == ("finished", "the run is over")
    assert learner.read_learner(tmp_path, waiting, metrics) is None


def test_finished_is_finished(judging: Any, ask: Any, store: Store, tmp_path: Path, clock: Time) -> None:
    """Two answers are wanted: first they are missing, then given while the learner goes on; then the run is over."""
    run = make_run(tmp_path / "run", "async")
    ask(2)
    headway = Headway(Target(store.name, run.path, budget=2), Inline(), clock)

    def later() -> None:
        clock.now += 3.0
        pump(app, 3)

    with run.learning():
        app, view = judging(headway)
        for _ in range(2):
            press(app, pygame.K_LEFT)
            pump(app, 2)
        later()
        title, words, idle = view._waiting_words()
        assert (title, idle) == ("All done, thank you.", True)
        assert words.startswith("All 2 answers that the run wanted are given, 2 of them now by you.")
    later()
    title, words, idle = view._waiting_words()
    assert (title, words, idle) == ("All done, thank you.", "The run is over. It has 2 answers, 2 of them now by you.", True)


def test_nobody_waits_for_what_is_with_others(judging: Any, ask: Any, store: Store, clock: Time) -> None:
    ask(1)
    assert store.lease("bob") is not None
    app, view = judging()
    clock.now += 3.0
    pump(app, 4)
    title, words, idle = view._waiting_words()
    assert (title, idle) == ("No pair is waiting.", True)
    assert words.startswith("1 wait for other people")


def test_what_waits_elsewhere_is_named(judging: Any, store: Store, clips: Any, clock: Time) -> None:
    found = clips(8)
    store.post_queries(
        [QueryDraft("ranking", tuple(found[:3])), QueryDraft("ranking", tuple(found[3:6])), QueryDraft("rating", (found[6],))]
    )
    app, view = judging()
    clock.now += 3.0
    pump(app, 4)
    assert view._waiting_words() == ("No pair is waiting.", "2 rankings wait: Rank answers them. 1 rating waits: Rate answers it.", True)


def test_what_cannot_be_shown_is_not_said_to_wait_for_others(judging: Any, ask: Any, films: Films, clips: Any, clock: Time) -> None:
    ask(1)
    films.broken = set(clips(2))
    app, view = judging()
    clock.now += 3.0
    pump(app, 4)
    assert view._waiting_words() == ("No pair is waiting.", "1 cannot be shown: the line below says why.", True)
    assert "cannot be shown: does not reproduce" in view._status()[0]


# The desk


def test_the_desk_is_set_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "arena.toml"
    assert desk.read_desk(file) == desk.Desk()
    file.write_text("ask_name = true\nleast_seconds = 1.5\nagent_score = true\n")
    assert desk.read_desk(file) == desk.Desk(True, 1.5, True)
    for wrong, words in (("least_seconds = -1", "0..60"), ("least_seconds = nan", "finite"), ("ask_nam = true", "ask_name"), ("=", "read")):
        file.write_text(wrong)
        with pytest.raises(UserError, match=words):
            desk.read_desk(file)


def test_a_shared_desk_asks_who_is_there_every_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    settings_folder().mkdir()
    (settings_folder() / "arena.toml").write_text("ask_name = true\n")
    (settings_folder() / "annotator.txt").write_text("ann\n")
    seen: list[Any] = []

    def look(app: App) -> None:
        seen.append((type(app.view), getattr(app.view, "name", "")))
        app.close()

    monkeypatch.setattr(App, "run", look)
    start.show("", lambda person: MenuView(person.annotator, "", list, person.keymap))
    start.show("bob", lambda person: MenuView(person.annotator, "", list, person.keymap))
    assert seen == [(NameView, "ann"), (MenuView, "")], "who said their name is not asked"


def test_somebody_else_takes_the_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, show: Show, clock: Time) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    person = Person("ann", Keymap())
    home: Any = start.home(None, person, tmp_path / "plays.sqlite", tmp_path)
    app = show(home, clock)
    assert home._corner() == ("rlhf-games", "you are ann")
    press(app, pygame.K_F2)
    assert isinstance(app.view, NameView)
    app.view.name = "bea"
    press(app, pygame.K_RETURN)
    pump(app, 2)
    assert app.view is home
    assert (person.annotator, home._corner()[1]) == ("bea", "you are bea")
    assert (settings_folder() / "annotator.txt").read_text() == "bea\n"


def test_the_agents_score_is_shown_to_judges_who_want_it(judging: Any, ask: Any, store: Store, tmp_path: Path, clock: Time) -> None:
    run = make_run(tmp_path / "run", "async")
    run.metrics_path.write_text(json.dumps({"step": 5, "true_return": 3.0}) + "\n")
    ask(1)
    app, view = judging(Headway(Target(store.name, run.path), Inline(), clock, shows_score=False))
    clock.now += 3.0
    pump(app, 3)

    def shown() -> bool:
        return app.canvas._parts["standing"].key[1] is not None  # type: ignore[index]

    assert view.headway is not None
    assert view.headway.learning is not None
    assert not shown()
    press(app, pygame.K_o, text="o")
    assert shown()
    press(app, pygame.K_o, text="o")
    assert not shown()


_ANSWERS = (
    *("left", "right", "clearly", "equal", "unsure", "clip", "tie", "next", "previous", "take", "rate", "digit"),
    *("praise", "scold", "strong", "good", "bad", "teach", "what if"),
)
_SAME = {"play": "pause", "lead": "pause", "confirm": "retry", "keep": "retry", "discard": "drop"}
"""Play, or stand still; store this; let go of this."""


def test_the_same_key_means_the_same_in_every_view() -> None:
    """Buttons of gamepads too, apart from answers themselves, and from arrows: they are answers, or lead along time and episodes."""
    meanings: dict[str, set[str]] = {}
    for commands in (*(task.commands() for task in TASKS), play_view.COMMANDS):
        for command in commands:
            if not command.name.replace("_", " ").startswith(_ANSWERS):
                for key in command.keys:
                    meanings.setdefault(key, set()).add(_SAME.get(command.name, command.name))
    assert {key: found for key, found in meanings.items() if len(found) > 1} == {}
