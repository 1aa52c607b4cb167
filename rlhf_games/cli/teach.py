"""``rlhf-games teach``: a scripted teacher in a process of its own."""

from __future__ import annotations

import dataclasses
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING, Any, Literal

import tyro

from rlhf_games.core.errors import UserError
from rlhf_games.core.literal import literal

if TYPE_CHECKING:
    from rlhf_games.feedback.evaluators import Evaluator
    from rlhf_games.feedback.store import Store
    from rlhf_games.feedback.teachers import Teacher, TeacherConfig
    from rlhf_games.replay.replay import Replay

_EPISODES = 4
"""Watched between two looks at the questions, at most."""


@dataclass(frozen=True)
class Teach:
    """Answers the preference, ranking and rating queries of a store as a scripted teacher, until stopped (Ctrl-C).

    It knows the game's true score: the replays behind the clips are played again. Any number of teachers and people can answer the same
    store at the same time; each needs its own --annotator. Where the database starts again, it waits up to ten minutes.
    """

    store: tyro.conf.Positional[str]
    """Path of the store, a folder with a store.sqlite, or a postgresql:// URL."""
    teacher: Literal["oracle", "stochastic", "mistake", "skip", "equal", "myopic"] = "oracle"
    """Which teacher of B-Pref; the flags below change single settings of it."""
    annotator: str = ""
    """Name that its answers carry; default: "teacher-" and the teacher."""
    beta: float | None = None
    """Rationality; infinity never errs."""
    gamma: float | None = None
    """Weight of earlier steps, in (0, 1]."""
    mistake: float | None = None
    """Probability of naming the wrong clip; of exchanging two clips of a ranking; of a star more or less."""
    skip: float | None = None
    """Skips pairs in which neither clip brings this share of an average stretch."""
    equal: float | None = None
    """Calls a pair equal below this share of an average stretch."""
    session: str = ""
    """Answer only the questions of this session (`run` gives each run one); default: all, or those of the run whose folder is named."""
    evaluate: bool = False
    """Cheers and scolds in the episodes of the store too, by the name of the annotator and "-live"."""
    dropped: float | None = None
    """With --evaluate: probability of saying nothing about something; default 0."""
    flipped: float | None = None
    """With --evaluate: probability of scolding what was good, and of cheering what was bad; default 0."""
    end_penalty: float = 0.0
    """Taken off the true reward at each step that ends an episode."""
    seed: int = 0
    """With the query's number this decides the teacher's chance."""
    limit: int = 0
    """Stop after this many answers; 0: no limit."""
    idle: float = 0.0
    """Stop when there was nothing to answer for this many seconds; 0: wait for ever."""
    batch: int = 64
    """Answers per transaction, at most."""
    poll: float = 0.5
    """Seconds between looks at the store when nothing waits."""

    def run(self) -> int:
        """Answers until stopped; returns 0."""
        if self.batch < 1 or self.limit < 0 or not self.poll > 0 or self.idle < 0:
            raise UserError("--batch must be at least 1, --limit and --idle at least 0, --poll above 0")
        if not self.evaluate and (self.dropped is not None or self.flipped is not None):
            raise UserError("--dropped and --flipped are about cheers and scoldings: add --evaluate")
        from rlhf_games.experiment.patience import Patience
        from rlhf_games.feedback.store import Store
        from rlhf_games.feedback.teachers import GameRewards, Teacher
        from rlhf_games.workspace import load_game

        annotator = self.annotator or f"teacher-{self.teacher}"
        config, count = self._config(), 0
        with (
            _stop_signal() as stop,
            Store.open(self.store, create=False, again=Patience(lambda text: print(text, file=sys.stderr), stop.is_set)) as store,
            _until_stopped(stop),
        ):
            try:
                teacher = Teacher(store, config, GameRewards(store, load_game, self.end_penalty), annotator, session=self.session or None)
            except ValueError as error:
                raise UserError(f"--annotator: {error}") from error
            watch = self._evaluator(store, annotator).watch if self.evaluate else None
            until = f"after {self.idle:g} s without a question" if self.idle else "with Ctrl-C"
            print(literal(f"{annotator} answers the questions of {store.name}, and those to come; it stops {until}"), file=sys.stderr)
            count = self._answer(store, teacher, watch, stop)
        print(literal(f"{annotator} gave {count} answers to {store.name}"))
        return 0

    def _config(self) -> TeacherConfig:
        from rlhf_games.feedback.teachers import PRESETS

        changes: dict[str, Any] = {name: getattr(self, name) for name in ("beta", "gamma", "mistake", "skip", "equal")}
        try:
            return dataclasses.replace(
                PRESETS[self.teacher], seed=self.seed, **{name: value for name, value in changes.items() if value is not None}
            )
        except ValueError as error:
            raise UserError(str(error)) from error

    def _evaluator(self, store: Store, annotator: str) -> Evaluator:
        from rlhf_games.feedback.evaluators import Evaluator, EvaluatorConfig
        from rlhf_games.feedback.teachers import GameRewards
        from rlhf_games.workspace import load_game

        def rate_of(replay: Replay) -> float:
            return load_game(replay.game, dict(replay.options)).spec.decisions_per_second

        try:
            config = EvaluatorConfig(self.dropped or 0.0, self.flipped or 0.0, self.seed)
            return Evaluator(store, config, GameRewards(store, load_game, self.end_penalty), rate_of, f"{annotator}-live")
        except ValueError as error:
            raise UserError(str(error)) from error

    def _answer(self, store: Store, teacher: Teacher, watch: Callable[[int], int] | None, stop: Event) -> int:
        count, waited = 0, 0.0
        with _display(store) as show, _until_stopped(stop):
            while not stop.is_set() and not (self.limit and count >= self.limit):
                done = teacher.answer_pending(min(self.batch, self.limit - count) if self.limit else self.batch)
                count += done
                seen = watch(_EPISODES) if watch is not None else 0
                waited = 0.0 if done or seen else waited + self.poll
                show(count)
                if not (done or seen) and ((self.idle and waited > self.idle) or stop.wait(self.poll)):
                    break
        return count


@contextmanager
def _stop_signal() -> Iterator[Event]:
    """An event that Ctrl-C and SIGTERM set: the batch at hand is finished first. A second Ctrl-C interrupts at once."""
    stop = Event()

    def ask(number: int, _frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _until_stopped(stop: Event) -> Iterator[None]:
    """Ends its body quietly where the database is lost and somebody wants to stop: then nothing is tried again."""
    from rlhf_games.feedback.store.database import StoreLost

    try:
        yield
    except StoreLost:
        if not stop.is_set():
            raise


@contextmanager
def _display(store: Store) -> Iterator[Callable[[int], None]]:
    """A line with what this teacher has done and what waits."""
    from rich.progress import Progress, SpinnerColumn, TimeElapsedColumn

    from rlhf_games.cli.console import LiteralColumn, LiteralConsole

    columns = (SpinnerColumn(), LiteralColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, transient=True, console=LiteralConsole()) as progress:
        task = progress.add_task("waiting for queries", total=None)

        def show(count: int) -> None:
            now = store.progress()
            progress.update(
                task, description=f"{count} answered by this teacher, {now.open} waiting, {now.per_minute:.0f} per minute in all"
            )

        yield show
