"""Which steps a person means who cheers or scolds while the agent plays.

A person needs time to see, to judge and to press. So a key press speaks of what happened 0.2 to 4 seconds before, every moment of that
window with the same chance: the credit assignment of TAMER (Knox & Stone 2009, "Interactively shaping agents via human reinforcement"),
with the uniform window of Deep TAMER (Warnell et al. 2018, arXiv 1709.10163) and its open implementations ([0.28, 4] and [0.2, 4]).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

FASTEST, SLOWEST = 0.2, 4.0
"""Seconds between what happened and the key press."""


def credit_steps(decisions_per_second: float) -> int:
    """How many steps before the key press can be meant, at least 1."""
    return max(1, math.ceil(SLOWEST * decisions_per_second))


def credit(steps: int, decisions_per_second: float) -> NDArray[np.float32]:
    """``[steps]`` in [0, 1]: credit of the steps right before the decision on the screen when the key went down, oldest first.

    Step ``j`` back filled the time from ``j / rate`` to ``(j - 1) / rate`` seconds before; its credit is the share of the window that
    lies in that time, relative to a step that lies wholly in the window. So the credited sum of rewards is in the units of a clip's
    return: full credit counts a step as it counts in a clip.

    Args:
      steps: at most `credit_steps`; fewer near the beginning of an episode.
      decisions_per_second: the game's rate for a person.
    """
    back = np.arange(steps, 0, -1, dtype=np.float64)
    early, late = back / decisions_per_second, (back - 1.0) / decisions_per_second
    inside = np.minimum(early, SLOWEST) - np.maximum(late, FASTEST)
    widest = min(1.0 / decisions_per_second, SLOWEST - FASTEST)
    return np.clip(inside / widest, 0.0, 1.0).astype(np.float32)
