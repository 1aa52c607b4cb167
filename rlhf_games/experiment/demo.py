"""The demo: one comparison, run so that it is complete or leaves nothing behind, and explained for a newcomer."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np

from rlhf_games import workspace
from rlhf_games.config import load_toml
from rlhf_games.core.errors import UserError
from rlhf_games.experiment.build import Bench
from rlhf_games.experiment.comparison import Arm, ArmResult, Outcome, arms, run_arm, untrained_returns
from rlhf_games.experiment.demo_report import clips, write_files
from rlhf_games.experiment.loop import Progress
from rlhf_games.experiment.spec import Experiment


class Watch(Protocol):
    """What the demo tells whoever watches."""

    def begins(self, arm: Arm) -> None:
        """An arm begins."""
        ...

    def goes_on(self, progress: Progress) -> None:
        """An iteration of the present arm is done."""
        ...

    def ends(self, result: ArmResult) -> None:
        """The present arm is done and measured."""
        ...

    def says(self, text: str) -> None:
        """Something else happens."""
        ...


def experiment(seed: int, steps: int | None = None, answers: int | None = None) -> Experiment:
    """The workspace's experiment ``demo``; with few steps it has fewer iterations (steps are rounded up to whole updates).

    Raises:
      UserError: a number is out of range.
    """
    found: Experiment = load_toml(Experiment, workspace.experiment("demo").path, [])
    if steps is not None and steps < 1:
        raise UserError(f"--steps must be at least 1, got {steps}")
    if answers is not None and answers < 8:
        raise UserError(f"--answers must be at least 8 (some are held out to measure the reward model), got {answers}")
    steps = found.steps if steps is None else steps
    iterations = max(1, min(found.iterations, steps // (found.rollout.games * found.rollout.steps)))
    feedback = found.feedback if answers is None else replace(found.feedback, budget=answers)
    try:
        return replace(found, seed=seed, steps=steps, iterations=iterations, feedback=feedback)
    except ValueError as error:
        raise UserError(f"demo: {error}") from error


def run_demo(experiment: Experiment, folder: str | Path, watch: Watch, until: Callable[[], bool]) -> Outcome | None:
    """Trains all arms one after the other and writes demo.png, report.html, summary.json and curves.json.

    Each arm is a run of its own, ``runs/<arm>``, to be watched, asked, coached and reported on.

    Args:
      experiment: what all arms share.
      folder: appears when all is done, complete; nothing is left where the demo was stopped.
      watch: is told how it goes.
      until: asked between iterations; True stops.

    Raises:
      UserError: the folder holds something already.
    """
    began = time.monotonic()
    with _folder_at_once(Path(folder)) as unfinished, ExitStack() as stores:
        todo = arms(experiment)
        watch.says("getting ready: programs are compiled during the first iterations")
        bench = Bench(todo[0].experiment)
        untrained = untrained_returns(bench, experiment)
        results = []
        for arm in todo:
            watch.begins(arm)
            result = run_arm(bench, arm, unfinished / "runs" / arm.experiment.name.rpartition("/")[2], watch.goes_on, until)
            if result is None:
                return None
            stores.callback(result.loop.store.close)
            results.append(result)
            watch.ends(result)
        watch.says("drawing")
        random, random_error = float(untrained.mean()), float(untrained.std() / np.sqrt(len(untrained)))
        outcome = Outcome(experiment, workspace.card(experiment.game.name).title, results, random, random_error)
        shown = clips(bench, outcome)
        outcome = replace(outcome, seconds=time.monotonic() - began)
        write_files(unfinished, outcome, shown)
        return outcome


def check_folder(folder: Path) -> None:
    """Raises ``UserError`` where the folder (or file) holds something already."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} holds something already: name another folder with --out, or delete that one")


@contextmanager
def _folder_at_once(folder: Path) -> Iterator[Path]:
    """A folder to write to that takes its place when all went well and has gone otherwise."""
    check_folder(folder)
    folder = folder.absolute()
    unfinished = folder.with_name(f".{folder.name}-unfinished-{os.getpid()}")
    unfinished.mkdir(parents=True)
    try:
        yield unfinished
        if (unfinished / "summary.json").exists():
            unfinished.replace(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
