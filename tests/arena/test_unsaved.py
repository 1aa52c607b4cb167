"""Who leaves any view with something that is not stored is asked, and told that it is not stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pygame
import pytest

from rlhf_games.arena.advise_view import AdviseView
from rlhf_games.arena.app import App
from rlhf_games.arena.ask_view import AskView
from rlhf_games.arena.coach_view import CoachView
from rlhf_games.arena.judge_view import JudgeView
from rlhf_games.arena.judging import JudgeSession
from rlhf_games.arena.keys import Keymap
from rlhf_games.arena.play_view import PlayView
from rlhf_games.arena.playing import PlaySession
from rlhf_games.arena.rank_view import RankView
from rlhf_games.arena.ranking import RankSession
from rlhf_games.arena.rate_view import RateView
from rlhf_games.arena.rating import RateSession
from rlhf_games.core.errors import UserError
from rlhf_games.feedback.store import QueryDraft, Store

from .asking_world import World, make_world, name
from .coaches import Coached
from .conftest import Films, Inline, Line, Manual, Time, press, pump


class Said(NamedTuple):
    """A view in which one thing was just said."""

    app: App
    view: Any
    store: Store


class Desk:
    """Opens every view; ``worker`` does what is stored."""

    def __init__(self, tmp_path: Any, store: Store, clips: Any, films: Films, show: Any, clock: Time) -> None:
        self.folder, self.store, self.clips, self.films, self.show, self.clock = tmp_path, store, clips, films, show, clock
        self.worker: Any = Inline()
        self.closing: list[Any] = []

    def say(self, kind: str) -> Said:
        return getattr(self, f"_{kind}")()

    def _window(self, view: Any) -> App:
        app = self.show(view, self.clock)
        for _ in range(4):
            self.work()
            pump(app, 3)
        return app

    def work(self) -> None:
        if isinstance(self.worker, Manual):
            self.worker.work()

    def _answers(self, kind: str, count: int, session: Any, view: Any, *keys: tuple[int, str]) -> Said:
        self.store.post_queries([QueryDraft(kind, tuple(self.clips(count)), display=tuple(range(count)))])
        made = view(
            session(self.store, self.films, "ann", self.worker, self.clock, self.clock),
            Keymap(),
            aim=lambda name: ("Line", ""),
            now=self.clock,
        )
        app = self._window(made)
        for key, text in keys:
            press(app, key, text=text)
        return Said(app, made, self.store)

    def _judge(self) -> Said:
        return self._answers("preference", 2, JudgeSession, JudgeView, (pygame.K_LEFT, ""))

    def _rank(self) -> Said:
        return self._answers("ranking", 3, RankSession, RankView, (pygame.K_1, "1"), (pygame.K_2, "2"), (pygame.K_3, "3"))

    def _rate(self) -> Said:
        return self._answers("rating", 1, RateSession, RateView, (pygame.K_4, "4"))

    def _coach(self) -> Said:
        coached = Coached(self.store, self.clock, worker=Inline(), writer=self.worker).started()
        coached.run(0.5)
        view = CoachView(coached.session, Keymap(), "Line", "", now=self.clock)
        app = self._window(view)
        press(app, pygame.K_EQUALS, text="=")
        return Said(app, view, self.store)

    def _world(self) -> World:
        world = make_world(self.folder / "world", self.clock, writer=self.worker)
        self.closing.append(world.store)
        return world

    def _ask(self) -> Said:
        world = self._world()
        view = AskView(world.ask(), Keymap(), name=name, advise=lambda: view, now=self.clock)
        app = self._window(view)
        pump(app, 20)
        press(app, pygame.K_EQUALS, text="=")
        return Said(app, view, world.store)

    def _advise(self) -> Said:
        world = self._world()
        view = AdviseView(world.advise(), Keymap(), name=name, now=self.clock)
        app = self._window(view)
        pump(app, 30)
        press(app, pygame.K_LEFT)
        return Said(app, view, world.store)

    def _play(self) -> Said:
        line = Line()
        view = PlayView(
            PlaySession(lambda: line, lambda: self.store, "ann", self.worker, now=self.clock, wall=self.clock),
            Keymap(),
            "Line",
            "",
            self.clock,
        )
        app = self._window(view)
        press(app, pygame.K_RIGHT, up=False)
        for _ in range(5):
            self.clock.now += 0.1
            self.work()
            pump(app, 2)
        press(app, pygame.K_r, text="r")
        self.work()
        pump(app, 2)
        press(app, pygame.K_RETURN)
        return Said(app, view, self.store)


VIEWS = ("judge", "rank", "rate", "coach", "ask", "advise", "play")


@pytest.fixture
def desk(tmp_path: Any, store: Store, clips: Any, films: Films, show: Callable[..., App], clock: Time) -> Iterator[Desk]:
    (tmp_path / "world").mkdir()
    made = Desk(tmp_path, store, clips, films, show, clock)
    yield made
    made.work()
    for opened in made.closing:
        opened.close()


def refuse(_: Any, drafts: Any) -> Any:
    raise UserError("the disk is full")


@pytest.mark.parametrize("kind", VIEWS)
@pytest.mark.parametrize("key", [pygame.K_ESCAPE, None])
def test_who_leaves_what_is_not_stored_is_asked(desk: Desk, monkeypatch: pytest.MonkeyPatch, kind: str, key: int | None) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(Store, "post_answers", refuse)
        app, view, store = desk.say(kind)
        pump(app, 3)
        if key is None:
            app.take(pygame.Event(pygame.QUIT))
        else:
            press(app, key)
        assert app.asking is not None
        assert app.asking.title == "Leave without it?"
        assert "ot stored" in app.asking.words
        assert "is stored" not in app.asking.words
        press(app, pygame.K_x, text="x")
        assert (app.asking, app.view) == (None, view), "another key stays"
    assert store.answers().answers == ()


@pytest.mark.parametrize("kind", VIEWS)
def test_what_is_on_its_way_counts_as_not_stored(desk: Desk, kind: str) -> None:
    """Nothing is refused, the disk is only slow: slower than somebody who leaves waits."""
    desk.worker = Manual()
    app, view, store = desk.say(kind)
    press(app, pygame.K_ESCAPE)
    assert app.asking is not None
    assert app.asking.title == "Leave without it?"
    press(app, pygame.K_x, text="x")
    for _ in range(3):
        desk.work()
        pump(app, 2)
    assert view.unsaved == ""
    assert len(store.answers().answers) == 1


@pytest.mark.parametrize("kind", VIEWS)
def test_what_is_stored_is_left_without_a_word_about_it(desk: Desk, kind: str) -> None:
    app, view, store = desk.say(kind)
    pump(app, 3)
    assert len(store.answers().answers) == 1
    assert view.unsaved == ""
    app.take(pygame.Event(pygame.QUIT))
    assert (app.asking, app.view) == (None, None)
