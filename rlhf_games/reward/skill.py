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
    """Mean log-probability of answers above that of a guess that knows only how often ties occur."""
    error: float
    """Standard error of ``gain``."""
    answers: int
    """How many were not seen by at least one member."""

    def convinces(self, errors: float) -> bool:
        """Whether the gain exceeds so many standard errors; True for 0, and where every member saw everything: nothing can be said then."""
        return errors == 0 or self.answers == 0 or self.gain > errors * self.error


def skill(log_prob: NDArray[Any], unseen: NDArray[np.bool_], label: NDArray[Any], noise: float) -> Skill:
    """The skill of an ensemble, each answer predicted by the members that never saw it ("out of bag", Breiman 1996).

    Where members train on resampled answers, most answers can be used: the hold-out, which no member saw, and what one or another left
    out. With few answers, most of them ties, the hold-out alone says too little.

    Args:
      log_prob: ``[M, n]`` log-probability of each answer under each member.
      unseen: ``[M, n]``: it did not train that member.
      label: ``[n]`` the answers; the guess takes its share of ties from all of them (one tie and two others added).
      noise: ε of the model's likelihood; the guess allows for the same errors, else the model could not match it on ties.
    """
    known = unseen.any(axis=0)
    count = int(known.sum())
    if count == 0:
        return Skill(0.0, 0.0, 0)
    tie = label[known] == TIE
    probability = np.where(unseen, np.exp(np.asarray(log_prob, np.float64)), 0.0)[:, known].sum(axis=0) / unseen[:, known].sum(axis=0)
    ties = (np.sum(label == TIE) + 1.0) / (len(label) + 3.0)
    guess = np.where(tie, ties, (1.0 - ties) / 2.0)
    gain = np.log(probability) - np.log((1.0 - noise) * guess + noise / 3.0)
    error = float(np.std(gain, ddof=1) / np.sqrt(count)) if count > 1 else float("inf")
    return Skill(float(np.mean(gain)), error, count)
