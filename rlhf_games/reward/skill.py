"""Does a fitted reward model know anything? Measured on labels that never trained it.

A network fitted to coin flips, or to ties alone, still gives *some* smooth reward, and scaled to a fixed spread it steers an agent as
hard as a good one: in one of five demo runs such a reward happened to resemble the score. So the loop pays a learned reward only while
the model predicts held-out answers better than their frequencies do.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlhf_games.feedback.likelihoods import TIE, rankings
from rlhf_games.reward.rows import STARS


class Skill(NamedTuple):
    """How much better than chance a model predicts, in nats per answer."""

    gain: float
    """Mean log-probability of answers above that of a guess that never looks at the clips."""
    error: float
    """Standard error of ``gain``."""
    answers: int
    """How many were not seen by at least one member."""

    def convinces(self, errors: float) -> bool:
        """Whether the gain exceeds so many standard errors; True for 0, and where every member saw everything: nothing can be said then."""
        return errors == 0 or self.answers == 0 or self.gain > errors * self.error


def skill(log_prob: NDArray[Any], unseen: NDArray[np.bool_], label: NDArray[Any], noise: float, kind: str = "preference") -> Skill:
    """The skill of an ensemble, each answer predicted by the members that never saw it ("out of bag", Breiman 1996).

    Where members train on resampled answers, most answers can be used: the hold-out, which no member saw, and what one or another left
    out. With few answers, most of them ties, the hold-out alone says too little.

    Args:
      log_prob: ``[M, n]`` log-probability of each answer under each member.
      unseen: ``[M, n]``: it did not train that member.
      label: ``[n, ...]`` the answers, as `rlhf_games.reward.rows.Rows.label` has them; the guess knows only how often what kind of them
        occurs (see `guess`).
      noise: ε of the model's likelihood; the guess allows for the same errors, else the model could not match it on ties.
      kind: of answer.
    """
    return pooled_skill([(log_prob, unseen, guess(kind, label, noise))])


def pooled_skill(kinds: Sequence[tuple[NDArray[Any], NDArray[np.bool_], NDArray[Any]]]) -> Skill:
    """The skill on answers of several kinds: of each ``log_prob``, ``unseen`` as in `skill`, and the guess's log-probabilities ``[n]``."""
    gains = [_gain(*kind) for kind in kinds]
    gain = np.concatenate(gains) if gains else np.zeros(0)
    count = len(gain)
    if count == 0:
        return Skill(0.0, 0.0, 0)
    error = float(np.std(gain, ddof=1) / np.sqrt(count)) if count > 1 else float("inf")
    return Skill(float(np.mean(gain)), error, count)


def _gain(log_prob: NDArray[Any], unseen: NDArray[np.bool_], guessed: NDArray[Any]) -> NDArray[np.float64]:
    known = unseen.any(axis=0)
    probability = np.where(unseen, np.exp(np.asarray(log_prob, np.float64)), 0.0)[:, known].sum(axis=0) / unseen[:, known].sum(axis=0)
    gain: NDArray[np.float64] = np.log(probability) - guessed[known]
    return gain


def guess(kind: str, label: NDArray[Any], noise: float) -> NDArray[np.float64]:
    """``[n]`` log-probability of each answer for somebody who never looks at the clips, errors included.

    - preference: the share of ties is known (one tie and two others added), the better side is a coin flip;
    - ranking: how often each pattern of ties occurs (one of each added), and all rankings of a pattern alike;
    - rating: how often each number of stars occurs (one of each added);
    - evaluation: how often people cheer (one cheer and one scolding added), times the size of the answer;
    - takeover and demonstration: a coin flip. The person is always right there, which says nothing about a clip.
    """
    if kind == "preference":
        ties = (np.sum(label == TIE) + 1.0) / (len(label) + 3.0)
        return _with_errors(np.where(label == TIE, ties, (1.0 - ties) / 2.0), noise, 3)
    if kind == "ranking":
        return _ranking_guess(label, noise)
    if kind == "rating":
        share = (np.bincount(label, minlength=STARS) + 1.0) / (len(label) + STARS)
        return _with_errors(share[label], noise, STARS)
    if kind == "evaluation":
        cheers = (np.sum(label > 0) + 1.0) / (len(label) + 2.0)
        return np.asarray(np.abs(label) * _with_errors(np.where(label > 0, cheers, 1.0 - cheers), noise, 2), np.float64)
    return _with_errors(np.full(len(label), 0.5), noise, 3)


def _ranking_guess(label: NDArray[Any], noise: float) -> NDArray[np.float64]:
    sizes = [tuple(np.bincount(ranks[ranks >= 0]).tolist()) for ranks in label]
    seen, found = Counter(sizes), np.zeros(len(sizes))
    for row, size in enumerate(sizes):
        clips = sum(size)
        patterns, alike = 2 ** (clips - 1), math.factorial(clips) / math.prod(math.factorial(part) for part in size)
        share = (seen[size] + 1.0) / (sum(count for other, count in seen.items() if sum(other) == clips) + patterns)
        found[row] = np.log((1.0 - noise) * share / alike + noise / rankings(clips))
    return found


def _with_errors(probability: NDArray[Any], noise: float, outcomes: int) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.log((1.0 - noise) * probability + noise / outcomes)
    return found
