"""Statistics over few runs of several tasks: Agarwal et al. 2021, "Deep RL at the Edge of the Statistical Precipice" (arXiv 2108.13264).

Scores are given as ``{task: [R]}``: one number per run, at least one run per task; tasks may differ in their number of runs. Report
normalised scores, at least three tasks and five runs of each: with less, intervals are too narrow to be believed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rlhf_games.core.errors import UserError

Scores: TypeAlias = Mapping[str, ArrayLike]
Floats: TypeAlias = NDArray[np.float64]
Statistic: TypeAlias = Callable[[Floats], Floats]
"""``[..., n] → [...]``: one number from all runs of all tasks."""


class Interval(NamedTuple):
    """An estimate and its percentile bootstrap interval."""

    value: float
    low: float
    high: float


def iqm(values: ArrayLike) -> Floats:
    """Interquartile mean along the last axis: the mean without the lowest and the highest quarter (each rounded down to whole runs)."""
    from scipy.stats import trim_mean

    return np.asarray(trim_mean(np.asarray(values, np.float64), 0.25, axis=-1))


def mean(values: ArrayLike) -> Floats:
    """Mean along the last axis."""
    return np.asarray(np.asarray(values, np.float64).mean(-1))


def median(values: ArrayLike) -> Floats:
    """Median along the last axis."""
    return np.asarray(np.median(np.asarray(values, np.float64), axis=-1))


def optimality_gap(values: ArrayLike, target: float = 1.0) -> Floats:
    """By how much scores fall short of ``target`` on average, along the last axis; what lies above counts as ``target``."""
    return np.asarray((target - np.minimum(np.asarray(values, np.float64), target)).mean(-1))


def performance_profile(scores: Scores, thresholds: ArrayLike) -> Floats:
    """Share of runs above each threshold: ``[K]`` in, ``[K]`` out, in [0, 1], every task of equal weight."""
    limits = np.asarray(thresholds, np.float64)
    return np.asarray(np.mean([(runs[:, None] > limits).mean(0) for runs in _checked(scores).values()], axis=0))


def aggregate(
    scores: Scores, statistic: Statistic = iqm, *, confidence: float = 0.95, repetitions: int = 10_000, seed: int = 0
) -> Interval:
    """``statistic`` over all runs of all tasks, with its stratified bootstrap interval: runs are resampled within each task.

    Args:
      scores: runs by task.
      statistic: ``iqm``, ``mean``, ``median`` or ``optimality_gap``.
      confidence: coverage of the interval, in (0, 1).
      repetitions: resamples; the paper's figures use 50,000 (2,000 for curves).
      seed: of the resampling.

    Raises:
      UserError: there is no task, or a task without runs, or a score that is not finite.
    """
    tasks = list(_checked(scores).values())
    generator = np.random.default_rng(seed)
    resampled = np.concatenate([_resample(runs, repetitions, generator) for runs in tasks], axis=-1)
    return _interval(float(statistic(np.concatenate(tasks))), statistic(resampled), confidence)


def probability_of_improvement(
    ours: Scores, theirs: Scores, *, confidence: float = 0.95, repetitions: int = 2_000, seed: int = 0
) -> Interval:
    """How likely a run of ``ours`` beats one of ``theirs`` on a task, averaged over tasks; ties count half.

    ``ours`` is better when the interval's lower end is above 0.5. Both are resampled within each task.

    Raises:
      UserError: as ``aggregate``, or the two have different tasks.
    """
    x, y = _checked(ours), _checked(theirs)
    if set(x) != set(y):
        raise UserError(f"both arms need the same tasks; only one of them has {', '.join(sorted(set(x) ^ set(y)))}")
    generator = np.random.default_rng(seed)
    value = np.mean([_beats(x[task], y[task]) for task in x])
    draws = [_beats(_resample(x[task], repetitions, generator), _resample(y[task], repetitions, generator)) for task in x]
    return _interval(float(value), np.mean(draws, axis=0), confidence)


def normalised_ratio(score: ArrayLike, random: float, reference: float) -> Floats:
    """``(score − random) / (reference − random)``: 0 plays like the random policy, 1 like the one trained on the true reward.

    Args:
      score: of any shape.
      random: mean score of the random policy.
      reference: mean score of the policy trained on the true reward.

    Raises:
      UserError: the two references are (nearly) the same or not finite: the ratio says nothing.
    """
    span = reference - random
    if not np.isfinite(span) or abs(span) <= 1e-6 * max(1.0, abs(reference), abs(random)):
        raise UserError(
            f"scores cannot be normalised: the true reward's score ({reference:g}) and the random policy's ({random:g}) do not differ; "
            "train the reference for longer, or report the scores themselves"
        )
    return (np.asarray(score, np.float64) - random) / span


def by_task(rows: Sequence[Mapping[str, Any]], task: str, score: str) -> dict[str, Floats]:
    """Gathers ``{task: [R]}`` from one row per run, tasks in the order in which they first come."""
    found: dict[str, list[float]] = {}
    for row in rows:
        found.setdefault(str(row[task]), []).append(float(row[score]))
    return {name: np.asarray(values, np.float64) for name, values in found.items()}


def _checked(scores: Scores) -> dict[str, Floats]:
    if not scores:
        raise UserError("there are no scores: give at least one task with one run")
    arrays = {task: np.asarray(runs, np.float64) for task, runs in scores.items()}
    for task, runs in arrays.items():
        if runs.ndim != 1 or not runs.size or not np.isfinite(runs).all():
            raise UserError(f"task {task!r} needs a list of one finite score per run, got {scores[task]!r}")
    return arrays


def _resample(runs: Floats, repetitions: int, generator: np.random.Generator) -> Floats:
    """``[repetitions, R]``: each row as many runs, drawn with replacement."""
    return runs[generator.integers(len(runs), size=(repetitions, len(runs)))]


def _beats(x: Floats, y: Floats) -> Floats:
    """``[..., R]`` against ``[..., S] → [...]``: share of pairs that x wins, ties half."""
    difference = x[..., :, None] - y[..., None, :]
    return np.asarray(((difference > 0) + 0.5 * (difference == 0)).mean((-2, -1)))


def _interval(value: float, resampled: Floats, confidence: float) -> Interval:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence}")
    low, high = np.quantile(resampled, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(value, float(low), float(high))
