"""Shares of what the true reward teaches, with intervals in which the true reward's own runs vary too."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rlhf_games.experiment.statistics import Draw, Floats, Interval, Statistic, bootstrap, iqm, normalised_ratio

_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Reference:
    """What the ratios of one game are taken against."""

    true: Floats
    """``[R]`` scores of the runs trained on the true reward, by seed."""
    random: float
    """Mean score of the untrained policy."""
    random_error: float = 0.0
    """Standard error of ``random``; 0 where it was not recorded."""
    true_error: float = 0.0
    """Standard error of the score of a single run, from its evaluation episodes; counts only where ``true`` has one run."""

    def problem(self) -> str:
        """Why ratios would say nothing; empty where the true reward's runs are clearly above the untrained policy.

        Clearly: a t test says so at the level of 5 %. Where the difference may be 0, a ratio may be anything (Fieller 1954).
        """
        from scipy.stats import norm, t

        level, count, mean = _CONFIDENCE, len(self.true), float(self.true.mean())
        error = float(self.true.std(ddof=1)) / math.sqrt(count) if count > 1 else self.true_error
        quantile = t.ppf(level, count - 1) if count > 1 else norm.ppf(level)
        needed = max(quantile * math.hypot(error, self.random_error), 1e-6 * max(1.0, abs(mean), abs(self.random)))
        if mean - self.random > needed:
            return ""
        return (
            f"no ratio: trained on the true reward it scores {mean:.2f} (standard error {error:.2f}), "
            f"not clearly above the untrained policy's {self.random:.2f}"
        )

    def ratios(self, runs: Floats) -> Floats:
        """``[R]`` of ``runs [R]``; raises ``UserError`` where the span is not positive."""
        return normalised_ratio(runs, self.random, float(self.true.mean()))


def aggregate_ratios(
    games: Mapping[str, tuple[Floats, Reference]], statistic: Statistic = iqm, *, repetitions: int = 2_000, seed: int = 0
) -> Interval:
    """``statistic`` of the ratios of all runs of all games, with its 95 % interval (`bootstrap`).

    A resample draws seeds: a run and the true reward's run of the same seed together, and the untrained policy's score within its error.

    Args:
      games: runs ``[R]`` of an arm by seed, and the game's reference of the same seeds, without a ``problem``.
      statistic: of all ratios.
      repetitions: resamples.
      seed: of the resampling.
    """
    tasks = [reference.ratios(runs) for runs, reference in games.values()]
    draws = [_redrawn(runs, reference) for runs, reference in games.values()]
    return bootstrap(tasks, draws, statistic, confidence=_CONFIDENCE, repetitions=repetitions, seed=seed)


def _redrawn(runs: Floats, reference: Reference) -> Draw:
    least = 1e-3 * (float(reference.true.mean()) - reference.random)
    """Below this a resampled span would make ratios of no meaning, or of the wrong sign."""

    def draw(generator: np.random.Generator, repetitions: int) -> Floats:
        chosen = generator.integers(len(runs), size=(repetitions, len(runs)))
        random = generator.normal(reference.random, reference.random_error, (repetitions, 1))
        span = reference.true[chosen].mean(-1, keepdims=True) - random
        return np.asarray((runs[chosen] - random) / np.maximum(span, least))

    return draw
