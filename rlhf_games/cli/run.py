"""``rlhf-games run`` and ``rlhf-games resume``."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from rlhf_games.core.errors import UserError
from rlhf_games.core.literal import literal

if TYPE_CHECKING:
    from rlhf_games.experiment.build import Bench
    from rlhf_games.experiment.rundir import RunDirectory
    from rlhf_games.experiment.spec import Experiment


@dataclass(frozen=True)
class Run:
    """Run an experiment: play, ask, take answers, learn. Ctrl-C stops cleanly; `rlhf-games resume` goes on.

    The bar counts iterations: in each the agent plays and learns, questions are asked, and the reward model is fitted to all answers.
    Beside it: steps of the game that the agent has learned from; the mean true score of its latest episodes; answers given, of those
    wanted; and how many of the comparisons that were held out from its fit the reward model gets right (50 % is guessing; ties aside).
    "Not trusted yet": on those it is not better than chance beyond doubt, so its reward is not paid.
    """

    experiment: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="EXPERIMENT")] = ""
    """An experiment file, its folder, or the name of one in a workspace; left out: the one called default."""
    out: str = ""
    """Folder for the run; default: runs/<name>-<date and time>."""
    store: str = ""
    """Where questions and answers are kept: a path, or postgresql://user@host/name, so that people answer from several machines; runs may
    share a store, each in a session of its own. Default: in the run's folder. A password is not kept: see PGPASSWORD and ~/.pgpass."""
    set: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="KEY=VALUE")] = field(default=())
    """Change one setting, for example --set feedback.budget=400; may be given many times. rlhf-games settings lists them."""
    teacher: str = ""
    """Who answers: oracle, stochastic, mistake, skip, equal, myopic or random (scripted); recorded:RUN (what was answered in that run); or
    human: you, in a window that opens beside the run. Your answers are taken as they come; --set feedback.mode=wait waits for them."""
    annotator: str = ""
    """Your name, as your answers will carry it, with --teacher human; remembered. The first time, the window asks."""
    wandb: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Send metrics to Weights & Biases too (pip install 'rlhf-games[wandb]'); WANDB_MODE=offline keeps them on this machine."""
    no_window: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """With --teacher human: open no window; answer from other processes (rlhf-games judge RUN)."""

    def run(self) -> int:
        """Makes the run's folder and executes it."""
        from rlhf_games.cli.backend import demand_device
        from rlhf_games.cli.window import check_display
        from rlhf_games.experiment.build import Bench
        from rlhf_games.experiment.files import find_experiment, load_experiment
        from rlhf_games.experiment.metrics import check_wandb
        from rlhf_games.experiment.runner import create_run
        from rlhf_games.feedback.store import Store
        from rlhf_games.files import new_folder

        if self.wandb:
            check_wandb()
        file = find_experiment(self.experiment)
        experiment = load_experiment(str(file), self._changes())
        _check_name(experiment, self.out)
        demand_device()
        with_window = self.teacher == "human" and not self.no_window and experiment.learns_from_people
        if with_window:
            check_display()
        bench = Bench(experiment)  # before the folder: what does not fit leaves nothing behind
        if self.store:
            Store.open(self.store).close()  # the same
        if self.out:
            run = create_run(experiment, self.out, self.store)
        else:
            with new_folder(Path("runs") / f"{experiment.name}-{time.strftime('%Y%m%d-%H%M%S')}") as folder:
                run = create_run(experiment, folder, self.store)
        _announce(experiment, file, run)
        return _execute(run, bench, self.annotator if with_window else None, wandb=self.wandb)

    def _changes(self) -> list[str]:
        """What the flags say, as ``--set`` would."""
        if not self.teacher:
            return list(self.set)
        if source := self.teacher.partition("recorded:")[2]:
            return [*self.set, f"feedback.teacher={json.dumps('recorded:' + _recorded(source))}"]
        first = ['feedback.mode="async"'] if self.teacher == "human" else []
        return [*first, *self.set, f"feedback.teacher={json.dumps(self.teacher)}"]


@dataclass(frozen=True)
class Resume:
    """Go on with a run that was stopped, from its last checkpoint."""

    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """The run's folder."""
    annotator: str = ""
    """Your name, as your answers will carry it, where a person is the teacher; remembered. The first time, the window asks."""
    no_window: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Where a person is the teacher: open no window; answer from other processes (rlhf-games judge RUN)."""
    back_to: int | None = None
    """Go on from this older checkpoint (its number is that of an iteration) instead of the newest, which may be damaged. What was learned
    after it is removed and done again; answers stay, and those to questions that are asked again count again."""

    def run(self) -> int:
        """Executes what is left."""
        from rlhf_games.cli.backend import demand_device
        from rlhf_games.cli.window import check_display
        from rlhf_games.experiment.rundir import RunDirectory
        from rlhf_games.experiment.runner import experiment_of

        demand_device()
        folder = RunDirectory.open(self.folder)
        experiment = experiment_of(folder)
        human = experiment.feedback.teacher == "human" and experiment.learns_from_people
        with_window = human and not self.no_window and folder.status.state != "finished"
        if with_window:
            check_display()
        if folder.status.state != "finished":
            _announce(experiment, folder.path / "config.json", folder)
        return _execute(folder, window_for=self.annotator if with_window else None, back_to=self.back_to)


def _check_name(experiment: Experiment, out: str) -> None:
    """Raises ``UserError`` where the run's folder would be named after an experiment whose name is no folder's."""
    from rlhf_games.files import is_folder_name

    if not out and not is_folder_name(experiment.name):
        raise UserError(
            f"name {experiment.name!r} cannot be the name of a folder: name the run's folder with --out, or rename the experiment"
        )


def _announce(experiment: Experiment, file: Path, folder: RunDirectory) -> None:
    """One line that says what is about to be run."""
    here = Path.cwd()
    file = file.relative_to(here) if file.is_relative_to(here) else file
    answers = (
        f"{experiment.feedback.answers:,} answers from {experiment.feedback.teacher}" if experiment.learns_from_people else "no answers"
    )
    print(
        literal(
            f"{experiment.name} ({file}): {experiment.agent.name} plays {experiment.game.name},"
            f" {experiment.iterations * experiment.steps_per_iteration:,} steps, {answers}; the run is {folder.path}"
        ),
        flush=True,
    )


def _recorded(source: str) -> str:
    """The run or store of ``recorded:...``, so that it is found from everywhere. Raises ``UserError`` where there is none."""
    from rlhf_games.feedback.place import resolve
    from rlhf_games.feedback.store import Store

    with Store.open(source, create=False, read_only=True):
        return resolve(source) if "://" in source else str(Path(source).expanduser().resolve())


def _execute(
    folder: RunDirectory,
    bench: Bench | None = None,
    window_for: str | None = None,
    back_to: int | None = None,
    *,
    wandb: bool = False,
) -> int:
    """Does what is left of a run; ``window_for``: opens the arena for this annotator (empty: the remembered one)."""
    from rlhf_games.cli.console import LiteralConsole
    from rlhf_games.cli.progress import run_progress
    from rlhf_games.cli.window import open_window
    from rlhf_games.experiment.resuming import make_ready
    from rlhf_games.experiment.runner import Interruption, execute, experiment_of

    window = None
    experiment = experiment_of(folder)
    with run_progress(experiment) as progress:
        if window_for is not None:
            make_ready(folder, experiment, back_to)  # the window must find a store
            window = open_window(folder.path, window_for, progress.say, experiment.feedback.kind)
        interruption = Interruption(progress.say)
        with interruption.listening():
            summary = execute(folder, progress, interruption, bench, back_to, wandb=wandb)
    console = LiteralConsole()
    if window is not None:
        window.leave()
        if window.is_open:
            console.print("the window stays open; what you answer there is stored")
    if summary is None:
        console.print(f"stopped; go on with: rlhf-games resume {folder.path}")
        return 130
    console.print(f"true return {summary['return']:.2f} ± {summary['return_stderr']:.2f} over {summary['episodes']} episodes")
    if "recorded_unmatched" in summary:
        matched, unmatched = summary["recorded_matched"], summary["recorded_unmatched"]
        open_words = f"; {unmatched} had no answer there and stay open: rlhf-games judge {folder.path}" if unmatched else ""
        console.print(f"{matched} questions were answered as recorded{open_words}")
    console.print(f"{summary['answers']} answers, {summary['steps']:,} steps, {summary['seconds']} s; everything is in {folder.path}")
    return 0
