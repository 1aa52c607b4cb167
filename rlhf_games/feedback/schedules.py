"""When the questions of a budget are asked."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np

Schedule: TypeAlias = Literal["constant", "hyperbolic", "at_once"]
"""``constant``: the same number in every iteration; ``hyperbolic``: in proportion to ``1 / (t + T0)``; ``at_once``: all at the start."""

_T0_SHARE = 0.1
"""``T0`` as a share of all iterations: Christiano et al. 2017 ask at ``5e6 / (T + 5e6)`` in runs of 5e7 steps."""


def quota(schedule: Schedule, total: int, initial: float, iterations: int) -> list[int]:
    """How many questions to ask in each iteration.

    Args:
      schedule: how the rest is spread over iterations 1, 2, ...; with ``at_once`` there is no rest.
      total: the budget, at least 0.
      initial: share in [0, 1] of it that is asked in iteration 0, before anything is learned.
      iterations: at least 1; the only one takes all.

    Returns:
      ``iterations`` numbers that sum to ``total``; rounding errors never add up to more than one question at any time.
    """
    if total < 0 or iterations < 1 or not 0.0 <= initial <= 1.0:
        raise ValueError(f"expected total >= 0, iterations >= 1 and initial in [0, 1]; got {total}, {iterations}, {initial}")
    if schedule == "at_once" or iterations == 1:
        return [total] + [0] * (iterations - 1)
    start = round(initial * total)
    times = np.arange(iterations - 1, dtype=np.float64)
    rate = np.ones(iterations - 1) if schedule == "constant" else 1.0 / (times + _T0_SHARE * iterations)
    due = np.round(np.cumsum(rate) / rate.sum() * (total - start)).astype(int)
    return [start, *np.diff(due, prepend=0).tolist()]
