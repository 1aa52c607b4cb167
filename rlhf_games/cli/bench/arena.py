"""``rlhf-games bench arena``: how quickly the window answers a person who judges pairs of clips, and one who plays."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

import tyro

from rlhf_games.cli.bench.arena_play import Play, measure_play
from rlhf_games.cli.bench.beside import trainer
from rlhf_games.cli.bench.frames import frame_seconds
from rlhf_games.cli.bench.processor import processor

if TYPE_CHECKING:
    from rlhf_games.arena.app import App
    from rlhf_games.arena.judge_view import JudgeView

_PATIENCE = 120.0
"""Seconds for the first pair."""
_FIRST_FRAME = """
import time
from rlhf_games.arena import app
def show(self):
    self.frame()
    print(f"{time.time():.6f}", flush=True)
    self.close()
app.App.run = show
from rlhf_games.cli.main import main
main(["judge", __import__("sys").argv[1], "--annotator", "bench"])
"""


class Game(TypedDict):
    """One game's clips, judged at an even pace."""

    game: str
    answers: int
    frame_p50_ms: float
    frame_p99_ms: float
    """Work of a frame while two clips run."""
    next_p50_ms: float
    next_p95_ms: float
    """From the key to the frame that shows the next pair."""
    seconds_to_first_pair: float


class Result(TypedDict):
    """What was measured."""

    processor: str
    games: list[Game]
    plays: list[Play]
    beside: list[Game]
    """The same games with a training process beside it; empty where that was not asked for."""
    plays_beside: list[Play]
    first_frame_seconds: float
    """From the start of the process; the best of three."""
    pairs: int
    memory_before_mb: float
    """Resident memory after the first 50 pairs."""
    memory_after_mb: float
    """The same after all."""


@dataclass(frozen=True)
class BenchArena:
    """Measures the window on real games. Judge: work per frame, key to next pair, time to the first frame, memory. Play: key to screen.

    Somebody answers once in every ``interval`` seconds. Without a screen (SDL's dummy driver); start it under Xvfb with
    SDL_VIDEODRIVER=x11 to have the X server in the measurement.
    """

    games: tuple[str, ...] = ()
    """Whose clips are judged, one game after the other; none: those of the experiments bench-learner and bench-atari."""
    answers: int = 40
    """Answers in each game."""
    interval: float = 1.0
    """Seconds between answers."""
    length: int = 25
    """Decisions in a clip."""
    replays: int = 8
    """Episodes that clips are cut from."""
    steps: int = 800
    """Decisions of an episode, at most."""
    pairs: int = 500
    """Pairs judged as fast as they come, in the first game, while memory is watched."""
    presses: int = 40
    """Keys pressed in Play, in each game."""
    beside: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Measure everything but memory a second time, with a training process (the default run) beside it."""
    json: bool = False
    """Print one JSON object instead of a table."""

    @cached_property
    def _games(self) -> tuple[str, ...]:
        from rlhf_games.experiment.files import load_experiment

        return self.games or tuple(load_experiment(name).game.name for name in ("bench-learner", "bench-atari"))

    def run(self) -> int:
        """Measures and prints; returns 0."""
        from rlhf_games.core.errors import UserError

        counts = (self.answers, self.length, self.replays, self.pairs, self.presses)
        if min(counts) < 1 or self.steps <= self.length or not self.interval > 0:
            wanted = "--answers, --length, --replays, --pairs and --presses must be at least 1"
            raise UserError(f"{wanted}, --steps above --length, --interval above 0")
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
        os.environ.setdefault("SDL_AUDIODRIVER", "dummy")
        with tempfile.TemporaryDirectory() as folder:
            result = self._measure(Path(folder))
        print(json.dumps(result)) if self.json else _show(result)
        return 0

    def _measure(self, folder: Path) -> Result:
        stores = [self._ask(game, folder / f"{number}.sqlite") for number, game in enumerate(self._games)]
        first = min(_first_frame(stores[0]) for _ in range(3))
        games, plays = self._use(stores)
        before, after = self._watch_memory(self._ask(self._games[0], folder / "memory.sqlite", self.pairs + 10))
        beside: tuple[list[Game], list[Play]] = ([], [])
        if self.beside:
            stores = [self._ask(game, folder / f"beside{number}.sqlite") for number, game in enumerate(self._games)]
            with trainer():
                beside = self._use(stores)
        return Result(
            processor=processor(),
            games=games,
            plays=plays,
            beside=beside[0],
            plays_beside=beside[1],
            first_frame_seconds=first,
            pairs=self.pairs,
            memory_before_mb=before,
            memory_after_mb=after,
        )

    def _use(self, stores: list[Path]) -> tuple[list[Game], list[Play]]:
        """Judges in each store and plays each game."""
        games = [self._judge(game, store) for game, store in zip(self._games, stores, strict=True)]
        return games, [measure_play(game, self.presses, self.interval) for game in self._games]

    def _ask(self, name: str, path: Path, pairs: int | None = None) -> Path:
        """A store with episodes of random play and pairs of their clips."""
        import numpy as np

        from rlhf_games import workspace
        from rlhf_games.feedback.store import QueryDraft, Store
        from rlhf_games.replay.clip import Clip, Segment
        from rlhf_games.replay.recorder import SessionRecorder

        game, rng = workspace.load_game(name), np.random.default_rng(0)
        replays = []
        for seed in range(self.replays * 50):
            session = game.open(seed)
            recorder = SessionRecorder(session, seed, player=("agent",) * game.spec.players)
            for _ in range(self.steps):
                legal = np.asarray(session.timestep.legal_action_mask)
                recorder.step(np.array([rng.choice(np.flatnonzero(seat)) for seat in legal], np.int32))
                if session.timestep.terminated or session.timestep.truncated:
                    break
            session.close()
            if (replay := recorder.replay()).length > self.length:
                replays.append(replay)
            if len(replays) == self.replays:
                break
        count = self.answers + 10 if pairs is None else pairs
        drafts = []
        for _ in range(count):
            two = [replays[int(number)] for number in rng.integers(0, len(replays), 2)]
            clips = [Clip((Segment(replay.id, int(rng.integers(0, replay.length - self.length)), self.length),)) for replay in two]
            drafts.append(QueryDraft("preference", tuple(clips)))
        with Store.open(path) as store:
            store.add_replays(replays)
            store.post_queries(drafts, rng)
        return path

    def _judge(self, game: str, store: Path) -> Game:
        """Answers at an even pace; what comes late is counted from its key."""
        import numpy as np

        with _window(store) as person:
            waited = person.wait_for_pair()
            person.rest(1.0)
            person.frames.clear()
            gaps, due = [], time.monotonic()
            for _ in range(self.answers):
                due += self.interval
                person.rest(due - time.monotonic())
                gaps.append(person.answer())
            frames = np.array(person.frames) * 1000
        p50, p99 = np.percentile(frames, (50, 99))
        next50, next95 = np.percentile(np.array(gaps) * 1000, (50, 95))
        return Game(
            game=game,
            answers=self.answers,
            frame_p50_ms=float(p50),
            frame_p99_ms=float(p99),
            next_p50_ms=float(next50),
            next_p95_ms=float(next95),
            seconds_to_first_pair=waited,
        )

    def _watch_memory(self, store: Path) -> tuple[float, float]:
        with _window(store) as person:
            person.wait_for_pair()
            warm = min(50, max(1, self.pairs // 2))
            for _ in range(warm):
                person.answer()
            before = _resident_mb()
            for _ in range(self.pairs - warm):
                person.answer()
            return before, _resident_mb()


class Person:
    """Sits before the real loop of the window."""

    def __init__(self, app: App, view: JudgeView) -> None:
        from rlhf_games.arena.app import FRAMES_PER_SECOND
        from rlhf_games.arena.clock import StepClock

        self.app, self.view = app, view
        self.frames = frame_seconds(app)
        """Seconds of work of each frame so far."""
        self._clock = StepClock(FRAMES_PER_SECOND, time.monotonic)

    def wait_for_pair(self) -> float:
        """Seconds until a pair is on the screen."""
        begin = time.monotonic()
        while self.view.session.phase != "showing":
            if time.monotonic() - begin > _PATIENCE:
                raise TimeoutError(f"no pair came within {_PATIENCE:.0f} s: {self.view.session.notice}")
            self.app.turn(self._clock)
        return time.monotonic() - begin

    def rest(self, seconds: float) -> None:
        """Looks at the clips."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.app.turn(self._clock)

    def answer(self) -> float:
        """Presses a key; seconds until the frame that shows the next pair is done."""
        import pygame

        self.wait_for_pair()
        shown, begin = self.view.session.current, time.perf_counter()
        pygame.event.post(pygame.Event(pygame.KEYDOWN, key=pygame.K_LEFT, mod=0, unicode=""))
        pygame.event.post(pygame.Event(pygame.KEYUP, key=pygame.K_LEFT, mod=0, unicode=""))
        while self.view.session.phase != "showing" or self.view.session.current is shown:
            self.app.turn(self._clock)
        return time.perf_counter() - begin


@contextmanager
def _window(store: Path) -> Iterator[Person]:
    """The judge's window on a store, opened as the command does."""
    from rlhf_games.arena.answer_tasks import open_judge
    from rlhf_games.arena.app import App
    from rlhf_games.arena.judge_view import JudgeView
    from rlhf_games.arena.keys import Keymap
    from rlhf_games.arena.person import Person as Somebody
    from rlhf_games.arena.runs import find_target
    from rlhf_games.arena.work import drawing_first

    with drawing_first():
        app = App(open_judge(find_target(str(store)), Somebody("bench", Keymap())))
        try:
            begin = time.monotonic()
            while not isinstance(app.view, JudgeView) and time.monotonic() - begin < _PATIENCE:
                app.frame()
                time.sleep(0.002)
            view: Any = app.view
            yield Person(app, view)
        finally:
            app.close()


def _first_frame(store: Path) -> float:
    """Seconds from the start of ``rlhf-games judge`` to its first frame."""
    begin = time.time()
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [sys.executable, "-P", "-c", _FIRST_FRAME, str(store)],
            env=os.environ | {"XDG_CONFIG_HOME": home},
            check=True,
            capture_output=True,
            text=True,
        )
    return float(done.stdout.split()[-1]) - begin


def _resident_mb() -> float:
    """Memory that this process holds; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _show(result: Result) -> None:
    from rich.table import Table

    from rlhf_games.cli.console import LiteralConsole

    console = LiteralConsole()
    for title, games, plays in (
        ("nothing beside it", result["games"], result["plays"]),
        ("beside a trainer", result["beside"], result["plays_beside"]),
    ):
        if not games:
            continue
        table = Table("clips of", "frame p50 / p99", "key to next pair p50 / p95", "first pair after", title=f"Judging, {title}")
        for game in games:
            table.add_row(
                game["game"],
                f"{game['frame_p50_ms']:.1f} / {game['frame_p99_ms']:.1f} ms",
                f"{game['next_p50_ms']:.0f} / {game['next_p95_ms']:.0f} ms",
                f"{game['seconds_to_first_pair']:.1f} s",
            )
        console.print(table)
        table = Table("game", "key to screen p50 / p95", "one frame and one decision", "frame p99", title=f"Playing, {title}")
        for play in plays:
            keys = f"{play['key_p50_ms']:.0f} / {play['key_p95_ms']:.0f} ms"
            table.add_row(play["game"], keys, f"{play['bound_ms']:.0f} ms", f"{play['frame_p99_ms']:.1f} ms")
        console.print(table)
    console.print(f"first frame after {result['first_frame_seconds']:.2f} s", highlight=False)
    grown = f"{result['memory_before_mb']:.0f} MB, after {result['pairs']} {result['memory_after_mb']:.0f} MB"
    console.print(f"memory after the first pairs {grown}", highlight=False)
    console.print(f"on {result['processor']}", highlight=False)
