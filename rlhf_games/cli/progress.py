"""What a person sees of a run in the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

from rlhf_games.cli.console import LiteralColumn, wide_console

if TYPE_CHECKING:
    from rlhf_games.experiment import loop, spec
    from rlhf_games.experiment.study import Cell, Study


_COLUMNS = (
    LiteralColumn("{task.description}", style="bold"),
    BarColumn(bar_width=20),
    MofNCompleteColumn(),
    TimeElapsedColumn(),
    TimeRemainingColumn(),
    LiteralColumn("{task.fields[note]}"),
)


_AGREE = 0.5
"""Rank correlation of paid and fitted reward over whole episodes; below it the run says so."""


class RunProgress:
    """One bar for a run, with the numbers that matter beside it."""

    def __init__(self, bar: Progress, experiment: spec.Experiment) -> None:
        self._bar, self._experiment = bar, experiment
        people = experiment.learns_from_people and experiment.feedback.teacher == "human"
        note = "waiting for the first answers" if people else "compiling"
        self._task = bar.add_task(experiment.name, total=experiment.iterations, note=note)
        self._anchor = experiment.model.anchor if experiment.episode_ends == "visible" else "none"
        self._said: set[str] = set()

    def __call__(self, progress: loop.Progress) -> None:
        """Shows an iteration."""
        from rlhf_games.experiment.progress_words import in_words

        self._bar.update(self._task, completed=progress.iteration, note=in_words(progress, self._experiment))
        for text in reward_notes(progress.metrics, self._anchor):
            if text not in self._said:
                self._said.add(text)
                self.say(text)

    def remove(self) -> None:
        """Takes the bar away."""
        self._bar.remove_task(self._task)

    def say(self, text: str) -> None:
        """A line above the bar."""
        self._bar.console.print(text)


def reward_notes(metrics: Mapping[str, float], anchor: str) -> list[str]:
    """What a researcher must know of the reward's zero, in sentences; nothing where no zero was chosen, or nothing depends on it.

    Args:
      metrics: of an iteration.
      anchor: ``model.anchor``; ``none`` where episode ends are hidden: a constant added to every step changes nothing there.
    """
    notes = []
    if anchor != "none" and metrics.get("reward_model/zero_open") == 1.0:
        notes.append(f"The answers do not say what a step is worth in itself: the {anchor} step is taken to be worth 0 (model.anchor).")
    if anchor != "none" and metrics.get("reward_model/episode_agreement", 1.0) < _AGREE:
        notes.append(
            "The reward that is paid orders whole episodes differently than the fitted reward model does: the zero chosen by "
            f'model.anchor = "{anchor}" decides what is learned. Compare with model.anchor = "none", or hide episode ends.'
        )
    return notes


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
