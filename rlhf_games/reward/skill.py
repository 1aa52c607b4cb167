"""Does a fitted reward model know anything? Measured on labels that never trained it.

A network fitted to coin flips, or to ties alone, still gives *some* smooth reward, and scaled to a fixed spread it steers an agent as
hard as a good one: in one of five demo runs such a reward happened to resemble the score. So the loop pays a learned reward only while
the model predicts held-out answers better than their frequencies do.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlhf_games.feedback.likelihoods import TIE


class Skill(NamedTuple):
    """How much better than chance a model predicts, in nats per answer."""

    gain: float
    """Mean log-probability of the held-out answers above that of a guess that knows only how often ties occur."""
    error: float
    """Standard error of ``gain``."""
    answers: int
    """How many were held out."""

    def convinces(self, errors: float) -> bool:
        """Whether the gain exceeds so many standard errors; True for 0, and where nothing was held out: then nothing can be said."""
        return errors == 0 or self.answers == 0 or self.gain > errors * self.error


def skill(log_prob: NDArray[Any], label: NDArray[Any], trained: NDArray[Any]) -> Skill:
    """The skill of an ensemble whose members' probabilities are averaged.

    Args:
      log_prob: ``[M, n]`` log-probability of each held-out answer under each member.
      label: ``[n]`` those answers.
      trained: ``[k]`` the answers that trained it: the guess takes its share of ties from them (one tie and two others added).
    """
    count = len(label)
    if count == 0:
        return Skill(0.0, 0.0, 0)
    model = np.logaddexp.reduce(np.asarray(log_prob, np.float64), axis=0) - np.log(len(log_prob))
    ties = (np.sum(trained == TIE) + 1.0) / (len(trained) + 3.0)
    guess = np.where(label == TIE, np.log(ties), np.log((1.0 - ties) / 2.0))
    gain = model - guess
    error = float(np.std(gain, ddof=1) / np.sqrt(count)) if count > 1 else float("inf")
    return Skill(float(np.mean(gain)), error, count)
