"""``rlhf-games run`` and ``rlhf-games resume``."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    from rlhf_games.experiment.build import Bench
    from rlhf_games.experiment.rundir import RunDirectory


@dataclass(frozen=True)
class Run:
    """Run an experiment: play, ask, take answers, learn. Ctrl-C stops cleanly; `rlhf-games resume` goes on."""

    experiment: Annotated[str, tyro.conf.Positional] = ""
    """An experiment file, its folder, or the name of one in a workspace; left out: every setting has its default."""
    out: str = ""
    """Folder for the run; default: runs/<name>-<date and time>."""
    set: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = field(default=())
    """Change one setting, for example --set feedback.budget=400; may be given many times."""
    teacher: str = ""
    """Short for --set feedback.teacher=...: human, oracle, stochastic, mistake, skip, equal, myopic or random."""

    def run(self) -> int:
        """Makes the run's folder and executes it."""
        from rlhf_games.experiment.build import Bench
        from rlhf_games.experiment.files import load_experiment
        from rlhf_games.experiment.runner import create_run
        from rlhf_games.experiment.spec import Experiment

        changes = [*self.set, *([f'feedback.teacher="{self.teacher}"'] if self.teacher else [])]
        experiment: Experiment = load_experiment(self.experiment, changes)
        folder = self.out or f"runs/{experiment.name}-{time.strftime('%Y%m%d-%H%M%S')}"
        bench = Bench(experiment)  # before the folder: what does not fit leaves nothing behind
        return _execute(create_run(experiment, folder), bench)


@dataclass(frozen=True)
class Resume:
    """Go on with a run that was stopped, from its last checkpoint."""

    folder: Annotated[Path, tyro.conf.Positional]
    """The run's folder."""

    def run(self) -> int:
        """Executes what is left."""
        from rlhf_games.experiment.rundir import RunDirectory

        return _execute(RunDirectory.open(self.folder))


def _execute(folder: RunDirectory, bench: Bench | None = None) -> int:
    from rich.console import Console

    from rlhf_games.cli.progress import run_progress
    from rlhf_games.experiment.runner import Interruption, execute, experiment_of

    with run_progress(experiment_of(folder)) as progress:
        interruption = Interruption(progress.say)
        with interruption.listening():
            summary = execute(folder, progress, interruption, bench)
    console = Console()
    if summary is None:
        console.print(f"stopped; go on with: rlhf-games resume {folder.path}")
        return 130
    console.print(f"true return {summary['return']:.2f} ± {summary['return_stderr']:.2f} over {summary['episodes']} episodes")
    console.print(f"{summary['answers']} answers, {summary['steps']:,} steps, {summary['seconds']} s; everything is in {folder.path}")
    return 0
