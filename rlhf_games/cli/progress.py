"""What a person sees of a run in the terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from rlhf_games.experiment import loop, spec


class RunProgress:
    """One bar for a run, with the numbers that matter beside it."""

    def __init__(self, bar: Progress, experiment: spec.Experiment) -> None:
        self._bar, self._budget = bar, experiment.feedback.budget if experiment.learns_from_people else 0
        self._task = bar.add_task(experiment.name, total=experiment.iterations, note="compiling")

    def __call__(self, progress: loop.Progress) -> None:
        """Shows an iteration."""
        metrics = progress.metrics
        parts = [f"{progress.steps:,} steps"]
        if not math.isnan(metrics["true_return"]):
            parts.append(f"score {metrics['true_return']:.2f}")
        if self._budget:
            parts.append(f"{metrics['answers']:.0f}/{self._budget} answers")
        if "reward_model/holdout_loss" in metrics:
            parts.append(f"hold-out {metrics['reward_model/holdout_loss']:.3f}")
        self._bar.update(self._task, completed=progress.iteration, note=" · ".join(parts))

    def say(self, text: str) -> None:
        """A line above the bar."""
        self._bar.console.print(text)


@contextmanager
def run_progress(experiment: spec.Experiment, console: Console | None = None) -> Iterator[RunProgress]:
    """A live bar; plain lines where the output is no terminal."""
    columns = (
        TextColumn("[bold]{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )  # fmt: skip
    with Progress(*columns, console=console or Console(stderr=True)) as bar:
        yield RunProgress(bar, experiment)
