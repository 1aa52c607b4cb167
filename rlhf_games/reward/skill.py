"""Does a fitted reward model know anything? Measured on answers that never trained it.

A network fitted to coin flips, or to ties alone, still gives *some* smooth reward, and scaled to a fixed spread it steers an agent as
hard as a good one: in one of five demo runs such a reward happened to resemble the score. So the loop pays a learned reward only while
the model predicts answers that it never saw better than two guesses that do not look at the clips: the frequencies of the answers, and
the model itself with all clips worth the same.

Shapes: ``M`` members, ``n`` answers of a kind.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlhf_games.feedback.likelihoods import TIE, rankings
from rlhf_games.reward.rows import STARS

TESTABLE = ("preference", "ranking", "rating", "evaluation")
"""Kinds of answers that can prove a model wrong. Of a takeover or a demonstration it is known beforehand that the person is right."""
_CAUTION = 1
"""So many answers as large as the largest are added to the error: of ``k`` answers, all foretold, chance is the cause with probability
``2⁻ᵏ``, and ``k / √(k + 1)`` reaches 2 with the fifth (3 %; two standard errors are 2 %)."""


class Skill(NamedTuple):
    """How much better than chance a model predicts, in nats per answer."""

    gain: float
    """Mean log-probability of answers above that of a guess that never looks at the clips."""
    error: float
    """Standard error of ``gain`` if the model knew nothing; never 0 unless nothing was gained or lost anywhere."""
    answers: int
    """How many were not seen by at least one member."""

    def convinces(self, errors: float) -> bool:
        """Whether the gain exceeds so many standard errors. True for 0 errors; never without answers to measure on, else."""
        return errors == 0 or (self.answers > 0 and self.gain > errors * self.error)


class Predicted(NamedTuple):
    """What an ensemble says of the answers of one kind."""

    kind: str
    log_prob: NDArray[Any]
    """``[M, n]`` of each answer under each member."""
    constant: NDArray[Any]
    """``[M, n]`` the same where all clips are worth the same."""
    unseen: NDArray[np.bool_]
    """``[M, n]``: it did not train that member."""
    label: NDArray[Any]
    """``[n, ...]`` the answers, as `rlhf_games.reward.rows.Rows.label` has them."""
    units: Sequence[Hashable]
    """``[n]``: answers of one unit are one observation."""


def skill(kinds: Sequence[Predicted], noise: float) -> Skill:
    """The skill of an ensemble, each answer predicted by the members that never saw it ("out of bag", Breiman 1996).

    Where members train on resampled answers, most answers can be used: the hold-out, which no member saw, and what one or another left
    out. With few answers, most of them ties, the hold-out alone says too little.

    The error supposes that nothing is known: gains have mean 0, so it is made of their squares about 0, and equal gains do not make it
    vanish. Gains of one unit are added up first (cluster-robust; Cameron & Miller 2015, section II).

    Args:
      kinds: of answers; those that are not `TESTABLE` are left out.
      noise: ε of the model's likelihood; the frequencies allow for the same errors, else the model could not match them on ties.
    """
    found = [_observed(kind, noise) for kind in kinds if kind.kind in TESTABLE]
    gain = np.concatenate([part.gain for part in found]) if found else np.zeros(0)
    if len(gain) == 0:
        return Skill(0.0, 0.0, 0)
    units = [unit for part in found for unit in part.units]
    return Skill(float(np.mean(gain)), _error(gain, units), len(gain))


class _Observed(NamedTuple):
    """Answers that at least one member did not see."""

    gain: NDArray[np.float64]
    units: list[Hashable]


def _observed(kind: Predicted, noise: float) -> _Observed:
    known = kind.unseen.any(axis=0)
    model, constant = (_out_of_bag(log_prob, kind.unseen)[known] for log_prob in (kind.log_prob, kind.constant))
    frequencies = guess(kind.kind, kind.label, noise)[known]
    better = constant if constant.sum() > frequencies.sum() else frequencies
    places = np.flatnonzero(known).tolist()
    return _Observed(model - better, [kind.units[i] for i in places])


def _out_of_bag(log_prob: NDArray[Any], unseen: NDArray[np.bool_]) -> NDArray[np.float64]:
    """``[n]`` log of the mean probability under the members that did not see an answer; without meaning where all did."""
    probability = np.where(unseen, np.exp(np.asarray(log_prob, np.float64)), 0.0).sum(axis=0)
    return np.log(np.where(unseen.any(axis=0), probability / np.maximum(unseen.sum(axis=0), 1), 1.0))


def _error(gain: NDArray[np.float64], units: Sequence[Hashable]) -> float:
    """Standard error of the mean of ``gain`` ``[n]``, n ≥ 1, as `skill` explains."""
    sums: dict[Hashable, float] = {}
    for value, unit in zip(gain.tolist(), units, strict=True):
        sums[unit] = sums.get(unit, 0.0) + value
    squares = np.square(list(sums.values()))
    return math.sqrt(float(squares.sum() + _CAUTION * squares.max())) / len(gain)


def guess(kind: str, label: NDArray[Any], noise: float) -> NDArray[np.float64]:
    """``[n]`` log-probability of each answer for somebody who never looks at the clips, errors included.

    - preference: the share of ties is known (one tie and two others added), the better side is a coin flip;
    - ranking: how often each pattern of ties occurs (one of each added), and all rankings of a pattern alike;
    - rating: how often each number of stars occurs (one of each added);
    - evaluation: how often people praise (one praise and one scolding added), times the size of the answer.
    """
    if kind == "preference":
        ties = (np.sum(label == TIE) + 1.0) / (len(label) + 3.0)
        return _with_errors(np.where(label == TIE, ties, (1.0 - ties) / 2.0), noise, 3)
    if kind == "ranking":
        return _ranking_guess(label, noise)
    if kind == "rating":
        share = (np.bincount(label, minlength=STARS) + 1.0) / (len(label) + STARS)
        return _with_errors(share[label], noise, STARS)
    praise = (np.sum(label > 0) + 1.0) / (len(label) + 2.0)
    return np.asarray(np.abs(label) * _with_errors(np.where(label > 0, praise, 1.0 - praise), noise, 2), np.float64)


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
