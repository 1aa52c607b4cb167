"""Statistics over few runs of several tasks: Agarwal et al. 2021, "Deep RL at the Edge of the Statistical Precipice" (arXiv 2108.13264).

Scores are given as ``{task: [R]}``: one number per run, at least one run per task; tasks may differ in their number of runs. Report
normalised scores, at least three tasks and five runs of each. Intervals are the paper's stratified bootstrap, widened for few runs
(`bootstrap`): with five runs the percentile interval covers 83 to 92 % where it says 95, the widened one 95 to 98.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rlhf_games.core.errors import UserError

Scores: TypeAlias = Mapping[str, ArrayLike]
Floats: TypeAlias = NDArray[np.float64]
Statistic: TypeAlias = Callable[[Floats], Floats]
"""``[..., n] → [...]``: one number from all runs of all tasks."""


Draw: TypeAlias = Callable[[np.random.Generator, int], Floats]
"""``(generator, repetitions) → [repetitions, R]``: the runs of one task, resampled."""


_ROOT = 1e-9
"""At the value itself the equation that `_newcombe` solves holds trivially; its roots are looked for this far away."""


class Interval(NamedTuple):
    """An estimate and its confidence interval."""

    value: float
    low: float
    """NaN, as is ``high``, where a task has a single run: one run says nothing about how much runs differ."""
    high: float

    @property
    def known(self) -> bool:
        """Whether there is an interval."""
        return math.isfinite(self.low) and math.isfinite(self.high)


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


def aggregate(scores: Scores, statistic: Statistic = iqm, *, confidence: float = 0.95, repetitions: int = 2_000, seed: int = 0) -> Interval:
    """``statistic`` over all runs of all tasks, with its interval (`bootstrap`).

    Args:
      scores: runs by task.
      statistic: ``iqm``, ``mean``, ``median`` or ``optimality_gap``.
      confidence: coverage of the interval, in (0, 1).
      repetitions: resamples.
      seed: of the resampling.

    Raises:
      UserError: there is no task, or a task without runs, or a score that is not finite.
    """
    tasks = list(_checked(scores).values())
    return bootstrap(tasks, [_redrawn(runs) for runs in tasks], statistic, confidence=confidence, repetitions=repetitions, seed=seed)


def bootstrap(
    tasks: Sequence[Floats], draws: Sequence[Draw], statistic: Statistic, *, confidence: float, repetitions: int, seed: int
) -> Interval:
    """The stratified bootstrap interval, widened for few runs.

    Runs are resampled within each task. The distance of each percentile from the estimate is multiplied by ``sqrt(n / (n - 1))``
    (resampled runs vary less than new ones) and by the ratio of the t to the normal quantile (Hesterberg 2015, "What Teachers Should Know
    About the Bootstrap"), with the degrees of freedom of Welch and Satterthwaite: each task counts by how much it alone moves the result.

    Args:
      tasks: the runs of each task, ``[R]``.
      draws: resamples each task, in the same order.
      statistic: of all runs of all tasks.
      confidence: coverage of the interval, in (0, 1).
      repetitions: resamples.
      seed: of the resampling.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence}")
    value = float(statistic(np.concatenate(tasks)))
    if min(map(len, tasks)) < 2:
        return Interval(value, math.nan, math.nan)
    levels = [(1 - confidence) / 2, (1 + confidence) / 2]

    def percentiles(moving: Sequence[int]) -> Floats:
        generator = np.random.default_rng([seed, *moving])
        still = [np.broadcast_to(runs, (repetitions, len(runs))) for runs in tasks]
        drawn = [draws[i](generator, repetitions) if i in moving else still[i] for i in range(len(tasks))]
        return np.asarray(np.quantile(statistic(np.concatenate(drawn, axis=-1)), levels))

    everything = range(len(tasks))
    widths = [float(np.ptp(percentiles([i]))) for i in everything]
    low, high = percentiles(everything)
    factor = _widening(np.asarray(widths), np.asarray([len(runs) for runs in tasks]), levels[1])
    return Interval(value, value - factor * max(0.0, value - float(low)), value + factor * max(0.0, float(high) - value))


def _widening(widths: Floats, runs: NDArray[Any], level: float) -> float:
    """By how much a percentile interval must grow; ``widths [G]`` of each task alone, ``runs [G]``, ``level`` of the upper end."""
    from scipy.stats import norm, t

    parts = widths**2 * runs / (runs - 1)
    if not parts.sum():
        return 1.0  # nothing moves
    freedom = parts.sum() ** 2 / (parts**2 / (runs - 1)).sum()
    return float(np.sqrt(parts.sum() / (widths**2).sum()) * t.ppf(level, freedom) / norm.ppf(level))


def mean_interval(values: ArrayLike, confidence: float = 0.95) -> tuple[Floats, Floats]:
    """Student's t interval of the mean along the last axis, ``[..., R] → [...], [...]``; NaN where ``R`` is 1."""
    from scipy.stats import t

    runs = np.asarray(values, np.float64)
    count = runs.shape[-1]
    if count < 2:
        nothing = np.full(runs.shape[:-1], math.nan)
        return nothing, nothing
    half = t.ppf((1 + confidence) / 2, count - 1) * runs.std(-1, ddof=1) / math.sqrt(count)
    return np.asarray(runs.mean(-1) - half), np.asarray(runs.mean(-1) + half)


def probability_of_improvement(ours: Scores, theirs: Scores, *, confidence: float = 0.95) -> Interval:
    """How likely a run of ``ours`` beats one of ``theirs`` on a task, averaged over tasks; ties count half.

    ``ours`` is better when the interval's lower end is above 0.5. The interval is Newcombe's (2006, method 5): those values of the
    probability whose standard error would allow what was found. Unlike the bootstrap it does not shrink to a point where all runs of one
    arm beat all of the other, which five runs do by chance too.

    Raises:
      UserError: as ``aggregate``, or the two have different tasks.
    """
    x, y = _checked(ours), _checked(theirs)
    if set(x) != set(y):
        raise UserError(f"both arms need the same tasks; only one of them has {', '.join(sorted(set(x) ^ set(y)))}")
    value = float(np.mean([_beats(x[task], y[task]) for task in x]))
    sizes = [(len(x[task]), len(y[task])) for task in x]
    if min(min(pair) for pair in sizes) < 2:
        return Interval(value, math.nan, math.nan)
    return Interval(value, *_newcombe(value, sizes, confidence))


def _newcombe(value: float, sizes: Sequence[tuple[int, int]], confidence: float) -> tuple[float, float]:
    """Both ends: where the distance to ``value`` is as many standard errors as the confidence says."""
    from scipy.optimize import brentq
    from scipy.stats import norm

    z = float(norm.ppf((1 + confidence) / 2))

    def error(p: float) -> float:
        spread = (1 - p) / (2 - p) + p / (1 + p)
        parts = [p * (1 - p) * (1 + ((m + n) / 2 - 1) * spread) / (m * n) for m, n in sizes]
        return math.sqrt(sum(parts)) / len(sizes)

    low = 0.0 if value < _ROOT else brentq(lambda p: value - p - z * error(p), 0.0, value - _ROOT)
    high = 1.0 if value > 1 - _ROOT else brentq(lambda p: p - value - z * error(p), value + _ROOT, 1.0)
    return float(low), float(high)


def normalised_ratio(score: ArrayLike, random: float, reference: float) -> Floats:
    """``(score − random) / (reference − random)``: 0 plays like the random policy, 1 like the one trained on the true reward.

    Args:
      score: of any shape.
      random: mean score of the random policy.
      reference: mean score of the policy trained on the true reward.

    Raises:
      UserError: the reference is not above the random policy, or a number is not finite: a ratio would say nothing, or the opposite.
    """
    span = reference - random
    if not np.isfinite(span) or span <= 1e-6 * max(1.0, abs(reference), abs(random)):
        raise UserError(
            f"scores cannot be normalised: the true reward's score ({reference:g}) is not above the random policy's ({random:g}); "
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


def _redrawn(runs: Floats) -> Draw:
    """Runs drawn with replacement, as many as there are."""
    return lambda generator, repetitions: runs[generator.integers(len(runs), size=(repetitions, len(runs)))]


def _beats(x: Floats, y: Floats) -> Floats:
    """``[..., R]`` against ``[..., S] → [...]``: share of pairs that x wins, ties half."""
    difference = x[..., :, None] - y[..., None, :]
    return np.asarray(((difference > 0) + 0.5 * (difference == 0)).mean((-2, -1)))
