"""What a person sees of a run in the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from rlhf_games.cli.console import wide_console

if TYPE_CHECKING:
    from rlhf_games.experiment import loop, spec
    from rlhf_games.experiment.study import Cell, Study


_COLUMNS = (
    TextColumn("[bold]{task.description}"),
    BarColumn(bar_width=20),
    MofNCompleteColumn(),
    TimeElapsedColumn(),
    TimeRemainingColumn(),
    TextColumn("{task.fields[note]}"),
)


class RunProgress:
    """One bar for a run, with the numbers that matter beside it."""

    def __init__(self, bar: Progress, experiment: spec.Experiment) -> None:
        self._bar, self._experiment = bar, experiment
        people = experiment.learns_from_people and experiment.feedback.teacher == "human"
        note = "waiting for the first answers" if people else "compiling"
        self._task = bar.add_task(experiment.name, total=experiment.iterations, note=note)

    def __call__(self, progress: loop.Progress) -> None:
        """Shows an iteration."""
        from rlhf_games.experiment.progress_words import in_words

        self._bar.update(self._task, completed=progress.iteration, note=in_words(progress, self._experiment))

    def remove(self) -> None:
        """Takes the bar away."""
        self._bar.remove_task(self._task)

    def say(self, text: str) -> None:
        """A line above the bar."""
        self._bar.console.print(text)


class StudyProgress:
    """One bar for all runs of a study, one for the present run."""

    def __init__(self, bar: Progress, study: Study) -> None:
        self._bar = bar
        self._all = bar.add_task(study.name, total=None, note="")
        self._run: RunProgress | None = None
        self._study = study

    def announce(self, number: int, total: int, cell: Cell) -> None:
        """A run begins."""
        if self._run is not None:
            self._run.remove()
        self._bar.update(self._all, completed=number, total=total)
        self._run = RunProgress(self._bar, self._study.experiment(cell.game, cell.arm, cell.seed))

    def __call__(self, progress: loop.Progress) -> None:
        """Shows an iteration of the present run."""
        if self._run is not None:
            self._run(progress)

    def say(self, text: str) -> None:
        """A line above the bars."""
        self._bar.console.print(text)


@contextmanager
def study_progress(study: Study, console: Console | None = None) -> Iterator[StudyProgress]:
    """Live bars for a study."""
    with Progress(*_COLUMNS, console=console or wide_console(stderr=True)) as bar:
        yield StudyProgress(bar, study)


@contextmanager
def run_progress(experiment: spec.Experiment, console: Console | None = None) -> Iterator[RunProgress]:
    """A live bar; plain lines where the output is no terminal."""
    with Progress(*_COLUMNS, console=console or wide_console(stderr=True)) as bar:
        yield RunProgress(bar, experiment)
