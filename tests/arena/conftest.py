"""Workers and clocks that a test turns by hand, a small game in real time, and a store full of pairs."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pygame
import pytest
from numpy.typing import NDArray

from rlhf_games.arena.app import App
from rlhf_games.arena.films import Footage
from rlhf_games.arena.judging import JudgeSession
from rlhf_games.arena.view import View
from rlhf_games.core.game import GameSpec, TimeStep
from rlhf_games.core.spaces import Discrete, Observation
from rlhf_games.feedback.store import QueryDraft, Store
from rlhf_games.replay.clip import Clip, Segment
from rlhf_games.replay.recorder import SessionRecorder

if TYPE_CHECKING:
    from .asking_world import World

AnyView = TypeVar("AnyView", bound=View)


class Inline:
    """Does work at once."""

    def submit(self, work: Callable[[], Any], /) -> Future[Any]:
        future: Future[Any] = Future()
        run(future, work)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        pass


class Manual:
    """Does work when the test says so, in order."""

    def __init__(self) -> None:
        self.queue: deque[tuple[Future[Any], Callable[[], Any]]] = deque()

    def submit(self, work: Callable[[], Any], /) -> Future[Any]:
        future: Future[Any] = Future()
        self.queue.append((future, work))
        return future

    def work(self) -> None:
        while self.queue:
            run(*self.queue.popleft())

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        if cancel_futures:
            self.queue.clear()
        self.work()


def run(future: Future[Any], work: Callable[[], Any]) -> None:
    try:
        future.set_result(work())
    except Exception as error:  # noqa: BLE001 - that is what a future is for
        future.set_exception(error)


class Time:
    """A clock that stands still."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Films:
    """Clips of a few tiny pictures; what a test names as broken fails."""

    def __init__(self) -> None:
        self.worker: Inline | Manual = Inline()
        self.broken: set[Clip] = set()
        self.requested: list[Clip] = []
        self.score: tuple[tuple[int, int, int, int], ...] = ()
        self.expected: list[Clip] = []
        self.seams: tuple[tuple[int, int], ...] = ()
        self.ends = False

    def request(self, clip: Clip, urgent: bool = False) -> Future[Footage]:
        self.requested.append(clip)
        return self.worker.submit(lambda: self.draw(clip))

    def expect(self, clips: Sequence[Clip]) -> None:
        self.expected = list(clips)

    def draw(self, clip: Clip) -> Footage:
        if clip in self.broken:
            raise ValueError("does not reproduce")
        pictures = np.full((clip.length, 4, 6, 3), clip.segments[0].start, np.uint8)
        return Footage(pictures, 10.0, "test/line", 1, self.ends, self.score, self.seams)

    def close(self) -> None:
        pass


class Line:
    """A host game: each seat walks on a line and earns what it steps to the right; over after ``limit`` decisions."""

    def __init__(self, seats: int = 1, limit: int = 20) -> None:
        self.limit = limit
        self.opened: list[LineSession] = []
        self.spec = GameSpec(
            name="test/line",
            version="1",
            players=seats,
            observation=Observation((2,), "uint8", "vector"),
            actions=Discrete(("stay", "left", "right", "fire", "fire right")),
            decisions_per_second=10.0,
            turn_based=False,
            aim="Go right.",
            keys={"left": 1, "right": 2, "space": 3, "space+right": 4},
            buttons={"dpleft": 1, "dpright": 2},
            frame_shape=(4, 6),
        )

    def open(self, seed: int) -> LineSession:
        self.opened.append(LineSession(self, seed))
        return self.opened[-1]

    def batch(self, size: int) -> Any:
        raise NotImplementedError


class LineSession:
    """Four pictures a decision."""

    def __init__(self, game: Line, seed: int) -> None:
        self.spec, self._limit, self.seed = game.spec, game.limit, seed
        self.actions: list[list[int]] = []
        self.closed = False
        self.timestep = self._see(np.zeros(game.spec.players, np.float32))

    def step(self, action: NDArray[Any]) -> TimeStep[NDArray[Any]]:
        if self.timestep.terminated:
            raise RuntimeError("over")
        self.actions.append(np.asarray(action).tolist())
        self.timestep = self._see(np.isin(action, (2, 4)).astype(np.float32) - (np.asarray(action) == 1))
        return self.timestep

    def frames(self) -> NDArray[np.uint8]:
        return np.full((4 if self.actions else 1, 4, 6, 3), len(self.actions) % 256, np.uint8)

    def branch(self) -> LineSession:
        raise NotImplementedError

    def close(self) -> None:
        self.closed = True

    def _see(self, reward: NDArray[Any]) -> TimeStep[NDArray[Any]]:
        seats, t = self.spec.players, len(self.actions)
        seen = np.full((seats, 2), (self.seed + t) % 256, np.uint8)
        legal = np.ones((seats, 5), bool)
        return TimeStep(seen, reward.astype(np.float32), np.bool_(t >= self._limit), np.bool_(False), legal, np.ones(seats, bool))


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def line() -> Line:
    return Line()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store.sqlite") as opened:
        yield opened


@pytest.fixture
def clips(store: Store) -> Callable[..., list[Clip]]:
    """Different clips of one replay in the store: ``clips(3)``, or from a step on ``clips(3, 100)``."""
    session = Line(limit=400).open(7)
    recorder = SessionRecorder(session, 7, player=("agent",))
    for t in range(400):
        recorder.step(np.array([t % 3], np.int32))
    replay = recorder.replay()

    def cut(count: int, first: int = 0) -> list[Clip]:
        store.add_replays([replay])
        return [Clip((Segment(replay.id, start, 5),)) for start in range(first, first + count)]

    return cut


@pytest.fixture
def ask(store: Store, clips: Callable[..., list[Clip]]) -> Callable[..., list[int]]:
    """Posts preference queries: ``ask(3)``, or with the display orders ``ask(2, [(0, 1), (1, 0)])``."""

    def post(count: int, displays: list[tuple[int, int]] | None = None, first: int = 0) -> list[int]:
        found = clips(2 * count, first)
        orders = displays or [(0, 1)] * count
        return store.post_queries([QueryDraft("preference", (found[2 * i], found[2 * i + 1]), display=orders[i]) for i in range(count)])

    return post


@pytest.fixture
def world(tmp_path: Path, clock: Time) -> Iterator[World]:
    """A game that can be branched, a known mind, and a store with episodes of it."""
    from .asking_world import make_world

    made = make_world(tmp_path, clock)
    yield made
    made.store.close()


@pytest.fixture
def films() -> Films:
    return Films()


@pytest.fixture
def judge(store: Store, films: Films, clock: Time) -> Callable[..., JudgeSession]:
    """A session of ``ann`` on the store: ``judge()``, or with a worker of the test's."""

    def make(worker: Inline | Manual | None = None, annotator: str = "ann") -> JudgeSession:
        return JudgeSession(store, films, annotator, worker or Inline(), clock, clock)

    return make


@pytest.fixture
def show() -> Iterator[Callable[..., App]]:
    """Opens a window that nobody sees; closes it afterwards."""
    apps: list[App] = []

    def make(view: Any, now: Callable[[], float], size: tuple[int, int] = (640, 480)) -> App:
        apps.append(App(view, now, size))
        pygame.event.clear()
        return apps[-1]

    yield make
    for app in apps:
        app.close()
    pygame.quit()


def press(app: App, key: int, mod: int = 0, text: str = "", up: bool = True) -> None:
    """A key goes down (and up), and a frame passes."""
    pygame.event.post(pygame.Event(pygame.KEYDOWN, key=key, mod=mod, unicode=text))
    if text:
        pygame.event.post(pygame.Event(pygame.TEXTINPUT, text=text))
    if up:
        pygame.event.post(pygame.Event(pygame.KEYUP, key=key, mod=mod))
    pump(app)


def leave(app: App) -> None:
    """Esc on the first screen, which asks, and Esc again."""
    press(app, pygame.K_ESCAPE)
    assert app.view is not None
    assert app.asking is not None
    press(app, pygame.K_ESCAPE)


def pump(app: App, frames: int = 1) -> None:
    """What is in pygame's queue, and frames."""
    for event in pygame.event.get():
        app.take(event)
    for _ in range(frames):
        app.frame()


def until(app: App, there: Callable[[], bool]) -> None:
    """Frames until something holds that other threads bring about."""
    deadline = time.monotonic() + 60
    while not there():
        assert time.monotonic() < deadline, "nothing came of it"
        pump(app)
        time.sleep(0.005)


def fits(app: App, view: Any, size: tuple[int, int]) -> None:
    """A view, and its help, can be drawn in a window of this size."""
    app.canvas.use(pygame.display.set_mode(size))
    view.draw(app.canvas)
    assert app.canvas.finish()
    app.helping = True
    app.frame()
    app.helping = False


@contextmanager
def opened(view: AnyView, show: Callable[..., App], clock: Time, size: tuple[int, int]) -> Iterator[tuple[App, AnyView]]:
    """A window on a view, once all that it waits for has come."""
    app = show(view, clock, size)
    pump(app, 30)
    yield app, view
    view.close()


def painted_again(app: App, view: View) -> list[Any]:
    """What a view paints where nothing has changed since it was drawn."""
    for _ in range(3):
        view.draw(app.canvas)
    app.canvas.finish()
    view.draw(app.canvas)
    return list(app.canvas.finish())


def screen() -> bytes:
    """All that is to be seen."""
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
    pygame.event.post(pygame.Event(pygame.MOUSEBUTTONUP, pos=way[-1] if way else position, button=1))
    pump(app, 2)


def values(store: Store) -> list[Any]:
    """What stands in a store."""
    return [answer.value for answer in store.answers().answers]
