"""Going on with a run: only from a whole checkpoint, of the same settings, with the answers that it was made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from rlhf_games.config import from_mapping
from rlhf_games.core.errors import UserError
from rlhf_games.experiment.changes import differences
from rlhf_games.experiment.checkpoints import Checkpoints, DamagedCheckpointError
from rlhf_games.experiment.loop import FeedbackLoop
from rlhf_games.experiment.metrics import read_metrics
from rlhf_games.experiment.rundir import RunDirectory
from rlhf_games.experiment.spec import Experiment
from rlhf_games.feedback.store import Store
from rlhf_games.feedback.store.database import StoreLost

T = TypeVar("T")


def with_surroundings(extra: Mapping[str, Any], run: RunDirectory, loop: FeedbackLoop) -> dict[str, Any]:
    """What a checkpoint keeps beside the loop's own values: the settings, and up to where the store was read."""
    return {**extra, "config": run.config, "log": loop.labels.cursor}


def begin_at(run: RunDirectory, experiment: Experiment, checkpoints: Checkpoints, wanted: int | None = None) -> int | None:
    """The checkpoint to go on from; None where the run begins.

    Args:
      run: its settings and metrics are compared with the checkpoint.
      experiment: what ``config.json`` says now.
      checkpoints: of the run.
      wanted: an older checkpoint than the newest.

    Raises:
      UserError: the checkpoints are gone or damaged, there is none called ``wanted``, or ``config.json`` was changed.
    """
    step = checkpoints.latest() if wanted is None else wanted
    if step is None:
        _check_new(run)
        return None
    extra = _readable(run, checkpoints, step, lambda: checkpoints.extra(step))
    if "config" in extra:  # checkpoints of older versions do not say
        changed = differences(from_mapping(Experiment, extra["config"], f"checkpoint {step} in {checkpoints.folder}"), experiment)
        if changed:
            raise UserError(
                f"{run.path / 'config.json'} was changed since checkpoint {step} ({changed}): write back the settings that the run was "
                "started with, or start another run with the new ones"
            )
    return step


def open_store(
    run: RunDirectory,
    experiment: Experiment,
    checkpoints: Checkpoints,
    step: int | None,
    again: Callable[[StoreLost], bool] | None = None,
) -> Store:
    """The run's store, made only where the run begins (or asks nobody); ``again``: as `Store.open` takes it.

    Raises:
      UserError: the run has been going on and its store is missing, empty, or of an older state than the checkpoint.
    """
    if step is None or not experiment.learns_from_people:
        return Store.open(run.path, again=again)
    extra = checkpoints.extra(step)
    needed = f"checkpoint {step} was made of {extra['asked']} questions and their answers: put the store back, or start another run"
    try:
        store = Store.open(run.path, create=False, again=again)
    except UserError as error:
        raise UserError(f"{error}; {needed}") from error
    try:
        _check_store(store, store.session or experiment.name, extra, needed)
    except BaseException:
        store.close()
        raise
    return store


def make_ready(run: RunDirectory, experiment: Experiment, back_to: int | None = None) -> None:
    """Makes the store of a run that begins, for windows to find; raises ``UserError`` where a run cannot go on."""
    with Checkpoints(run.checkpoints_path, read_only=True) as checkpoints:
        open_store(run, experiment, checkpoints, begin_at(run, experiment, checkpoints, back_to)).close()


def restore(run: RunDirectory, loop: FeedbackLoop, checkpoints: Checkpoints, step: int) -> None:
    """Lets the loop go on from a checkpoint; newer ones are removed once this one is read."""
    state, extra = _readable(run, checkpoints, step, lambda: checkpoints.restore(step, loop.state))
    loop.restore(state, extra)
    checkpoints.drop_after(step)


def _check_new(run: RunDirectory) -> None:
    """A run without a checkpoint has at most one iteration in its metrics: the checkpoint is written right after."""
    done = len(read_metrics(run.metrics_path)) if run.metrics_path.exists() else 0
    if done > 1:
        raise UserError(
            f"{run.checkpoints_path} holds no checkpoint, but the run has {done} iterations behind it: put the folder back from a copy, "
            "or start another run"
        )


def _check_store(store: Store, session: str, extra: Mapping[str, Any], needed: str) -> None:
    """Raises ``UserError`` where the store knows less than the checkpoint was made of."""
    asked = len(store.query_ids(session=session))
    if asked < extra["asked"]:
        raise UserError(f"{store.name}: {extra['asked'] - asked} questions are missing, with their answers; {needed}")
    end, log = store.answers().cursor, extra.get("log", 0)
    if end < log:
        raise UserError(f"{store.name} is an older copy: {log - end} answers that the run has read are missing from it; {needed}")


def _readable(run: RunDirectory, checkpoints: Checkpoints, step: int, read: Callable[[], T]) -> T:
    """What ``read`` gives; where the checkpoint is damaged, says how to go back to the one before."""
    try:
        return read()
    except DamagedCheckpointError as error:
        before = max((known for known in checkpoints.steps() if known < step), default=None)
        cure = "there is none before it: start another run"
        if before is not None:
            cure = f"go back to the one before with: rlhf-games resume {run.path} --back-to {before}"
        raise UserError(f"{error}; {cure}") from error
