"""Runs an experiment in a run directory: metrics, checkpoints, interruption, going on."""

from __future__ import annotations

import json
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import numpy as np

from rlhf_games import workspace
from rlhf_games.config import from_mapping, to_mapping
from rlhf_games.core.errors import UserError
from rlhf_games.experiment.build import Bench
from rlhf_games.experiment.checkpoints import Checkpoints
from rlhf_games.experiment.evaluating import evaluated
from rlhf_games.experiment.loop import FeedbackLoop, Progress
from rlhf_games.experiment.metrics import MetricsWriter
from rlhf_games.experiment.patience import Patience
from rlhf_games.experiment.progress_words import in_words
from rlhf_games.experiment.resuming import begin_at, open_store, restore, with_surroundings
from rlhf_games.experiment.rundir import RunDirectory
from rlhf_games.experiment.spec import Experiment
from rlhf_games.feedback.place import Place, resolve
from rlhf_games.feedback.recorded import RecordedTeacher
from rlhf_games.files import write_atomically
from rlhf_games.interrupts import interrupted
from rlhf_games.published.container import About
from rlhf_games.published.folder import FOLDER, listed
from rlhf_games.published.publishing import publish
from rlhf_games.rollout.evaluate import Episodes

Report = Callable[[Progress], None]


class Executed(NamedTuple):
    """What came of executing a run."""

    loop: FeedbackLoop
    """As it stands at the end, its store closed (it opens again when it is asked)."""
    summary: dict[str, Any] | None
    """None where the run was stopped before its end."""
    episodes: Episodes | None
    """The evaluation that the summary tells of; None where there was none now."""


class Interruption:
    """Ctrl-C asks for a stop at the next good moment; a second one stops at once."""

    def __init__(self, say: Callable[[str], None], until: Callable[[], bool] = lambda: False) -> None:
        """``say``: tells whoever watches; ``until``: somebody else who may ask for a stop."""
        self._say, self._until = say, until
        self.asked = False

    def __call__(self) -> bool:
        """Whether somebody asked."""
        return self.asked or self._until()

    def say(self, text: str) -> None:
        """Tells whoever watches the run."""
        self._say(text)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        self._say("stopping after this iteration; Ctrl-C again stops at once and goes back to the last checkpoint")

    @contextmanager
    def listening(self) -> Iterator[Interruption]:
        """Takes SIGINT and SIGTERM inside (in the main thread; elsewhere nothing is taken); a Ctrl-C that a library swallowed counts."""
        self.asked |= interrupted()
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = {number: signal.signal(number, self._handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def create_run(experiment: Experiment, folder: str | Path, store: str = "") -> RunDirectory:
    """Makes the run's folder with the resolved experiment in it.

    Args:
      experiment: what the run does.
      folder: where; made now.
      store: path or URL of the store, which other runs may share: this one gets a session of its own there. Empty: in the folder.
    """
    place = Place(resolve(store), f"{experiment.name}-{uuid.uuid4().hex[:12]}") if store else None
    return RunDirectory.create(folder, to_mapping(experiment), {"seed": experiment.seed}, sources=workspace.roots(), place=place)


def experiment_of(run: RunDirectory) -> Experiment:
    """The experiment that a run's folder records."""
    return from_mapping(Experiment, run.config, str(run.path / "config.json"))


def execute(
    run: RunDirectory,
    report: Report,
    interruption: Interruption,
    bench: Bench | None = None,
    back_to: int | None = None,
    *,
    wandb: bool = False,
) -> dict[str, Any] | None:
    """Does what is left of a run, from its last checkpoint. What it has learned is published after each iteration.

    Args:
      run: made by `create_run`.
      report: is told after each iteration.
      interruption: asked between iterations.
      bench: programs compiled for another run of the same kind, to use again.
      back_to: an older checkpoint to go on from, where the newest is damaged or not wanted; newer ones are removed.
      wandb: send metrics to Weights & Biases too; a run that was sent there before goes on with it.

    Returns:
      The summary (also in ``summary.json``); None where the run was stopped before its end.

    Raises:
      UserError: another process is at it, it is finished already (and has published what it came to), or it cannot go on from where it
        was (`resuming`).
    """
    return execute_loop(run, report, interruption, bench, back_to, wandb=wandb).summary


def execute_loop(
    run: RunDirectory,
    report: Report,
    interruption: Interruption,
    bench: Bench | None = None,
    back_to: int | None = None,
    *,
    wandb: bool = False,
) -> Executed:
    """`execute`, for callers who want more of it than the summary."""
    state = run.status.state
    finished = state == "finished"
    if finished and listed(run.path / FOLDER):
        raise UserError(f"{run.path} is finished; start another run, or look at it with: rlhf-games report {run.path}")
    experiment = experiment_of(run)
    with run.learning(), Checkpoints(run.checkpoints_path) as checkpoints:
        step = begin_at(run, experiment, checkpoints, back_to)
        with open_store(run, experiment, checkpoints, step, Patience(interruption.say, interruption)) as store:
            loop = (bench or Bench(experiment)).loop(experiment, store, resumed=state != "created")
            if step is not None:
                restore(run, loop, checkpoints, step)
            if not finished:
                return _go_on(run, loop, checkpoints, report, interruption, wandb or run.wandb_path.exists())
            _publish(run, loop)  # of a version that published nothing
            return Executed(loop, run.summary, None)


def _go_on(
    run: RunDirectory, loop: FeedbackLoop, checkpoints: Checkpoints, report: Report, interruption: Callable[[], bool], wandb: bool
) -> Executed:
    """What `execute` does, once everything is open."""
    began = time.monotonic()
    _publish(run, loop)
    resume = loop.steps if loop.iteration else (-1 if run.metrics_path.exists() else None)
    with MetricsWriter(run, wandb=wandb, resume_step=resume, resume_reports=loop.iteration) as metrics:
        if not loop.run(lambda progress: _keep(run, loop, progress, metrics, checkpoints, report), interruption):
            run.set_status("stopped", "interrupted")
            return Executed(loop, None, None)
    episodes = evaluated(loop.trainer, loop.state.learner, loop.experiment)
    summary = summarise(loop, episodes) | {"seconds": round(time.monotonic() - began, 1)}
    write_atomically(run.path / "summary.json", json.dumps(summary, indent=2))
    return Executed(loop, summary, episodes)


def _publish(run: RunDirectory, loop: FeedbackLoop) -> None:
    """Lets everybody who follows the run have its present policy and reward model."""
    e = loop.experiment
    about = About(
        run=e.name,
        iteration=loop.iteration,
        steps=loop.steps,
        policy=loop.policy_name,
        trusted=bool(loop.trusted),
        published_at=time.time(),
        game=e.game.name,
        game_options=to_mapping(e.game)["options"],
        agent=e.agent.name,
        agent_config=to_mapping(e.agent)["config"],
        network=to_mapping(e.model.network),
        members=e.model.members,
    )
    publish(run.path, about, loop.trainer.policy(loop.state.learner), loop.state.model.params)


def _keep(
    run: RunDirectory, loop: FeedbackLoop, progress: Progress, metrics: MetricsWriter, checkpoints: Checkpoints, report: Report
) -> None:
    """Makes an iteration last: numbers, checkpoint, publication; then tells of it."""
    metrics.write(progress.steps, progress.metrics)
    metrics.flush()
    run.log(f"iteration {progress.iteration} of {loop.experiment.iterations}: {in_words(progress, loop.experiment)}")
    state, extra = loop.checkpoint()
    checkpoints.save(loop.iteration, state, with_surroundings(extra, run, loop))
    _publish(run, loop)
    report(progress)


def summarise(loop: FeedbackLoop, episodes: Episodes) -> dict[str, Any]:
    """True return over whole evaluation episodes, and what was asked for it."""
    returns = episodes.returns[:, 0]
    recorded = loop.teacher if isinstance(loop.teacher, RecordedTeacher) else None
    told = {} if recorded is None else {"recorded_matched": recorded.matched, "recorded_unmatched": recorded.unmatched}
    return told | {
        "game": loop.experiment.game.name,
        "seed": loop.experiment.seed,
        "return": float(np.mean(returns)),
        "return_stderr": float(np.std(returns) / np.sqrt(len(returns))),
        "episodes": len(returns),
        "cut_off": int(np.sum(~episodes.finished)),
        "answers": loop.labels.answered,
        "labels": len(loop.labels.labels),
        "steps": loop.steps,
    }
