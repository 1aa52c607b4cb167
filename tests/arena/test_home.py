"""Which runs there are, what waits in them, and how one gets there."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pygame
import pytest

from rlhf_games.arena import start
from rlhf_games.arena.app import App
from rlhf_games.arena.keys import Keymap
from rlhf_games.arena.menu_view import MenuView
from rlhf_games.arena.name_view import NameView
from rlhf_games.arena.person import Person, remember, settings_folder, who
from rlhf_games.arena.runs import Target, age_words, find_runs, find_target
from rlhf_games.arena.tasks import TASKS, find_task
from rlhf_games.arena.waiting import KINDS, Lookout, Waiting
from rlhf_games.core.errors import UserError
from rlhf_games.feedback.store import QueryDraft, Store

from .conftest import Manual, Time, leave, press, pump, until


def make_run(folder: Path, age: float, game: str = "minatar/breakout") -> Path:
    folder.mkdir(parents=True)
    Store.open(folder / "store.sqlite").close()
    (folder / "config.json").write_text(json.dumps({"game": {"name": game}, "feedback": {"budget": 9}}))
    when = time.time() - age
    for path in folder.glob("store.sqlite*"):
        os.utime(path, (when, when))
    return folder


def test_runs_newest_first(tmp_path: Path) -> None:
    make_run(tmp_path / "old", 7200.0)
    make_run(tmp_path / "new", 60.0)
    make_run(tmp_path / "study" / "arm" / "seed0", 600.0, "atari/pong")
    (tmp_path / "not a run").mkdir()
    (tmp_path / "plays.sqlite").write_text("")
    runs = find_runs(tmp_path)
    assert [run.name for run in runs] == ["new", str(Path("study/arm/seed0")), "old"]
    assert runs[1].game == "atari/pong"
    assert runs[0].budget == 9
    assert find_runs(tmp_path / "nothing here") == []


def test_what_a_demo_leaves_is_found(tmp_path: Path, show: Callable[..., App]) -> None:
    (tmp_path / "demo" / "answers").mkdir(parents=True)
    Store.open(tmp_path / "demo" / "answers" / "v1.2.sqlite").close()
    (found,) = find_runs(tmp_path)
    assert (found.name, found.folder) == (str(Path("demo/answers/v1.2")), None)
    view: Any = start.home(None, Person("ann", Keymap()), tmp_path / "plays.sqlite", tmp_path)
    app = show(view, time.monotonic)
    until(app, lambda: "nothing waits" in view.shown[0].words)
    assert view.shown[0].words.startswith("answers without an agent")
    assert "rlhf-games run" in " ".join(view._below), "how to have an agent, too"
    press(app, pygame.K_RETURN)
    inner: Any = app.view
    assert [entry.title for entry in inner.shown] == ["Judge", "Rank", "Rate", "Watch", "Ask", "Play any game"]
    assert "No agent is there" in inner._subtitle


@pytest.mark.parametrize(
    ("age", "words"), [(10, "just now"), (600, "10 minutes ago"), (4000, "an hour ago"), (7300, "2 hours ago"), (400_000, "4 days ago")]
)
def test_ages(tmp_path: Path, age: float, words: str) -> None:
    run = make_run(tmp_path / "run", age)
    assert age_words(find_target(str(run)), time.time()) == words
    assert age_words(Target("postgresql://host/runs"), time.time()) == ""


def test_counts_in_words() -> None:
    assert Waiting({}, 0).words == "nothing waits"
    assert Waiting({"preference": 1}, 0).words == "1 pair waits"
    assert Waiting({"preference": 0, "rating": 2}, 0).words == "2 ratings wait"
    assert Waiting({"preference": 12, "ranking": 1, "rating": 3}, 0).words == "12 pairs, 1 ranking and 3 ratings wait"
    assert Waiting({"preference": 12, "rating": 3}, 0).count(("rating", "advice")) == 3
    assert {kind for task in TASKS for kind in task.kinds} <= set(KINDS)


def test_one_store_after_the_other_is_looked_at(tmp_path: Path, clips: Any, store: Store, clock: Time) -> None:
    store.post_queries([QueryDraft("rating", (clip,)) for clip in clips(3)])
    broken = tmp_path / "broken.sqlite"
    broken.write_text("not a database, but long enough to be taken for one" * 30)
    targets, worker = [find_target(store.name), find_target(str(broken))], Manual()
    lookout = Lookout(targets, worker, clock)
    assert lookout.look(targets[0]) is None, "nobody waits"
    for _ in range(2):
        worker.work()
        lookout.look(targets[0])
    first, second = lookout.look(targets[0]), lookout.look(targets[1])
    assert first is not None
    assert second is not None
    assert first.open == {"preference": 0, "ranking": 0, "rating": 3, "advice": 0}
    assert second.words == "its store cannot be read"
    worker.work()
    store.withdraw(store.query_ids())
    for _ in range(2):
        clock.now += 3.0
        lookout.look(targets[0])
        worker.work()
    last = lookout.look(targets[0])
    assert last is not None
    assert last.words == "nothing waits", "it looks again"


def test_from_the_list_of_runs_into_a_task(tmp_path: Path, show: Callable[..., App]) -> None:
    run = make_run(tmp_path / "runs" / "mine", 60.0)
    with Store.open(run) as store:
        assert store.progress().open == 0
    view: Any = start.home(None, Person("ann", Keymap()), tmp_path / "plays.sqlite", tmp_path / "runs")
    app = show(view, time.monotonic)
    until(app, lambda: "nothing waits" in view.shown[0].words)
    assert [entry.title for entry in view.shown] == ["mine", "Play any game"]
    assert view.shown[0].note == "just now"
    press(app, pygame.K_RETURN)
    inner: Any = app.view
    assert isinstance(inner, MenuView)
    titles = [entry.title for entry in inner.shown]
    assert titles == [*(task.title for task in TASKS), "Play Breakout", "Play any game"]
    until(app, lambda: inner.shown[0].note == "nothing waits")
    for letter in "rank":
        press(app, getattr(pygame, f"K_{letter}"), text=letter)
    press(app, pygame.K_RETURN)
    until(app, lambda: type(app.view).__name__ == "RankView")
    press(app, pygame.K_ESCAPE)
    pump(app, 2)
    assert app.view is inner


def test_a_store_without_a_run_offers_what_needs_none(tmp_path: Path) -> None:
    target = Target(str(tmp_path / "store.sqlite"), name="store")
    offered = [task.name for task in TASKS if task.offered(target)]
    assert {"judge", "rank", "rate"} <= set(offered)
    assert "coach" not in offered
    assert all(task.offered(Target(target.store, tmp_path)) for task in TASKS)


def test_no_run_yet(tmp_path: Path, show: Callable[..., App]) -> None:
    view: Any = start.home(None, Person("ann", Keymap()), tmp_path / "plays.sqlite", tmp_path / "runs")
    pump(show(view, time.monotonic), 2)
    assert view._subtitle == f"There is no run in {tmp_path / 'runs'} yet."
    assert [entry.title for entry in view.shown] == ["Play any game"]
    assert "rlhf-games run --teacher human" in " ".join(view._below)


def test_a_search_without_a_match_says_so_once_and_what_to_do(tmp_path: Path, show: Callable[..., App]) -> None:
    view: Any = start.home(None, Person("ann", Keymap()), tmp_path / "plays.sqlite", tmp_path / "runs")
    app = show(view, time.monotonic)
    type_in(app, "zz")
    assert view.shown == []
    assert view._below == ("Nothing matches “zz”. ⌫ takes letters back, Esc shows everything again.",)
    press(app, pygame.K_RETURN)
    assert isinstance(app.view, MenuView), "there is nothing to open"
    press(app, pygame.K_BACKSPACE)
    press(app, pygame.K_BACKSPACE)
    assert view.shown
    type_in(app, "play")
    assert view._below == ()


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for what people have said of themselves."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("LOGNAME", "login")
    return settings_folder()


def titles_on_the_way_out(app: App) -> list[str]:
    """Of every view that Esc leads through."""
    titles = []
    while app.view is not None:
        titles.append(app.view.title)
        press(app, pygame.K_ESCAPE)
        if app.asking is not None:
            press(app, pygame.K_ESCAPE)
        pump(app, 2)
    return titles


def type_in(app: App, words: str) -> None:
    for letter in words:
        mod = pygame.KMOD_LSHIFT if letter.isupper() else 0
        press(app, pygame.K_SPACE if letter == " " else pygame.key.key_code(letter), mod, letter)


def test_who_one_is_is_asked_once(settings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[str, str]] = []

    def make(title: str) -> Callable[[Person], MenuView]:
        def menu(person: Person) -> MenuView:
            shown.append((title, person.annotator))
            return MenuView(title, "", list, person.keymap)

        return menu

    def person_types(app: App) -> None:
        assert isinstance(app.view, NameView)
        assert app.view.name == "login", "what the computer would guess"
        press(app, pygame.K_RETURN if not shown else pygame.K_ESCAPE)
        app.close()

    def person_leaves(app: App) -> None:
        assert titles_on_the_way_out(app) == ["First", "Then"]

    monkeypatch.setattr(App, "run", person_types)
    start.show("", make("First"), make("Then"))
    assert shown == [("First", "login"), ("Then", "login")]
    monkeypatch.setattr(App, "run", person_leaves)
    start.show("", make("First"), make("Then"))
    start.show("bob", make("First"), make("Then"))
    start.show("", make("First"), make("Then"))
    assert [name for _, name in shown] == ["login"] * 4 + ["bob"] * 4


def test_a_name_is_typed_in_and_what_is_none_is_refused(settings: Path, show: Callable[..., App], clock: Time) -> None:
    said: list[str] = []

    def then(name: str) -> list[Any]:
        said.append(remember(name, settings))
        return [MenuView("First", "", list, Keymap()), MenuView("Then", "", list, Keymap())]

    app = show(NameView("login", Keymap(), then), clock)
    for _ in range(5):
        press(app, pygame.K_BACKSPACE)
    press(app, pygame.K_RETURN)
    assert said == []
    assert "characters" in app.view._problem  # type: ignore[union-attr]
    type_in(app, "Ann B ")
    press(app, pygame.K_RETURN)
    pump(app, 2)
    assert said == ["Ann B"]
    assert titles_on_the_way_out(app) == ["First", "Then"]
    assert who("", settings) == "Ann B"


@pytest.mark.parametrize("name", ["müller", "Мария", "Ελένη", "Zoë O'Brien?"])
def test_names_of_every_script_are_typed_as_text(show: Callable[..., App], clock: Time, name: str) -> None:
    view = NameView("login", Keymap(), lambda name: [])
    app = show(view, clock)
    for letter in name:  # letters that no key of the layout writes come without a key
        pygame.event.post(pygame.Event(pygame.TEXTINPUT, text=letter))
    pump(app)
    assert view.name == name
    pygame.event.post(pygame.Event(pygame.TEXTEDITING, text="´", start=0, length=1))
    pump(app)
    assert (view.name, view.composed) == (name, "´"), "what is being composed is no part of it yet"
    pygame.event.post(pygame.Event(pygame.TEXTINPUT, text="e\u0301"))
    pump(app)
    assert (view.name, view.composed) == (name + "é", ""), "one letter, however it came"


def test_the_key_that_leads_to_a_line_writes_nothing_into_it(show: Callable[..., App], clock: Time) -> None:
    name = NameView("login", Keymap(), lambda name: [])

    class Leads(MenuView):
        def press(self, press: Any, command: str | None) -> Any:
            return name if press.down else None

    app = show(Leads("Menu", "", list, Keymap()), clock)
    press(app, pygame.K_n, text="n")
    assert (app.view, name.name) == (name, "login")
    press(app, pygame.K_x, text="x")
    assert name.name == "x"
    press(app, pygame.K_F1)
    press(app, pygame.K_y, text="y")  # ends the help
    assert (app.helping, name.name) == (False, "x")


def test_the_first_letter_replaces_the_guess(show: Callable[..., App], clock: Time) -> None:
    view = NameView("login", Keymap(), lambda name: [])
    app = show(view, clock)
    type_in(app, "eve")
    assert view.name == "eve"
    leave(app)
    assert app.view is None


def test_every_task_has_keys_of_its_own_and_a_verb() -> None:
    from rlhf_games.cli.main import VERBS

    for task in TASKS:
        names = [command.name for command in task.commands()]
        assert names
        assert len(names) == len(set(names)), task.name
        assert task.name in VERBS
        assert task.words.endswith((".", "?"))
    with pytest.raises(UserError, match="judge"):
        find_task("jugde")
