"""Which steps a person means who cheers or scolds.

Two kinds of marks. Where the game *stands still*, the person judges the decision that they look at: it has all the credit. While it
*runs*, a person needs time to see, to judge and to press. So a key press speaks of what they saw 0.2 to 4 seconds before, every moment
of that window with the same chance: the credit assignment of TAMER (Knox & Stone 2009, "Interactively shaping agents via human
reinforcement"), with the uniform window of Deep TAMER (Warnell et al. 2018, arXiv 1709.10163) and its open implementations ([0.28, 4]
and [0.2, 4]). The seconds are the person's: at four times the speed they hold four times as many steps.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlhf_games.feedback.answers import Evaluation

FASTEST, SLOWEST = 0.2, 4.0
"""Seconds between what was seen and the key press."""


class Credited(NamedTuple):
    """The steps that a mark is about."""

    start: int
    """The first of them."""
    credit: NDArray[np.float32]
    """``[n]`` in [0, 1], of the steps from ``start`` on; ``n`` is 0 where no step can be meant."""


def credited(value: Evaluation, step: int, length: int, decisions_per_second: float) -> Credited:
    """The steps that a mark is about, without those that have no credit at either end.

    Args:
      value: the mark.
      step: the decision on the screen when the key went down.
      length: decisions of the episode's replay.
      decisions_per_second: the game's rate for a person, at natural speed.
    """
    if value.speed == 0:
        return Credited(step, np.ones(1 if 0 <= step < length else 0, np.float32))
    rate = decisions_per_second * value.speed
    over = value.since_end is not None
    stop = min(step + 1 if over else step, length)
    later = value.since_end or 0.0
    steps = min(stop, credit_steps(rate, later))
    shares = credit(steps, rate, later)
    [full] = np.nonzero(shares)
    if not len(full):
        return Credited(stop, shares[:0])
    return Credited(stop - steps + int(full[0]), shares[full[0] : full[-1] + 1])


def credit_steps(decisions_per_second: float, later: float = 0.0) -> int:
    """How many steps before the key press can be meant, at least 1. Arguments as of `credit`."""
    return max(1, math.ceil((SLOWEST - later) * decisions_per_second))


def credit(steps: int, decisions_per_second: float, later: float = 0.0) -> NDArray[np.float32]:
    """``[steps]`` in [0, 1]: credit of the steps before the key went down, oldest first.

    Step ``j`` back filled the time from ``later + j / rate`` to ``later + (j - 1) / rate`` seconds before; its credit is the share of
    the window that lies in that time, relative to a step that lies wholly in the window. So the credited sum of rewards is in the units
    of a clip's return: full credit counts a step as it counts in a clip.

    Args:
      steps: at most `credit_steps`; fewer near the beginning of an episode.
      decisions_per_second: as the person saw them: the game's rate times its speed.
      later: seconds between the end of the last of these steps and the key press.
    """
    back = np.arange(steps, 0, -1, dtype=np.float64)
    early, late = later + back / decisions_per_second, later + (back - 1.0) / decisions_per_second
    inside = np.minimum(early, SLOWEST) - np.maximum(late, FASTEST)
    widest = min(1.0 / decisions_per_second, SLOWEST - FASTEST)
    return np.clip(inside / widest, 0.0, 1.0).astype(np.float32)
