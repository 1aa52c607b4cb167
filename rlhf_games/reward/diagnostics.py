"""What is known about a reward model after a fit, measured on labels it was not fitted to.

Pure functions on NumPy arrays. Shapes: ``M`` members, ``n`` labelled pairs, ``B`` clips. Whatever cannot be computed (no hold-out, no true
returns, all clips worth the same) is left out of the report; no number is ever NaN or infinite.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from rlhf_games.feedback.likelihoods import FIRST, TIE

Floats = NDArray[np.float64]

BINS = 10
"""Equal bins of [0, 1] for the calibration error."""
DIFFERENCE_EDGES = (0.0, 1.0, 2.0, 4.0, math.inf)
"""Default bins of the true return difference: ``low <= |difference| < high``, in the game's own points."""


@dataclass(frozen=True)
class Report:
    """A reward model's report; None or an empty bin: could not be computed."""

    holdout: int
    """Hold-out labels, ties included."""
    tie_share: float | None = None
    """Share of ties among them."""
    accuracy: float | None = None
    """Share of hold-out labels other than ties that the reward that is paid gets right; a difference of exactly 0 counts half."""
    accuracy_by_difference: dict[str, float] = field(default_factory=dict)
    """The same by bin of the true return difference, as ``"1..2"``; bins without labels are left out."""
    nll: float | None = None
    """Mean over hold-out labels of ``-Σ y log P_e`` of the two-way choice, a tie counting half for each side (nats)."""
    nll_floor: float | None = None
    """Tie share × log 2: no model's ``nll`` can be below it (Ibarz et al. 2018, figure 7). ``nll`` is log 2 for a model without a clue."""
    ece: float | None = None
    """Expected calibration error of ``P_e`` in [0, 1] over hold-out labels other than ties."""
    brier: float | None = None
    """Mean squared error of ``P_e`` in [0, 1] over the same labels; 0.25 for a model without a clue."""
    spread_ratio: float | None = None
    """Members' disagreement on the current policy's clips relative to that on labelled ones; far above 1: the policy left what is known."""
    spearman: float | None = None
    """Rank correlation in [-1, 1] of predicted and true return over clips."""

    def to_dict(self) -> dict[str, float]:
        """Plain floats by name, bins as ``accuracy_difference_1..2``; what could not be computed is left out."""
        names = ("holdout", "tie_share", "accuracy", "nll", "nll_floor", "ece", "brier", "spread_ratio", "spearman")
        found = {name: getattr(self, name) for name in names}
        found |= {f"accuracy_difference_{name}": value for name, value in self.accuracy_by_difference.items()}
        return {name: float(value) for name, value in found.items() if value is not None}


def report(
    first: NDArray[Any],
    second: NDArray[Any],
    label: NDArray[Any],
    noise: float,
    *,
    unit: NDArray[Any] | None = None,
    true_returns: NDArray[Any] | None = None,
    labelled: NDArray[Any] | None = None,
    current: NDArray[Any] | None = None,
    clips: tuple[NDArray[Any], NDArray[Any]] | None = None,
    edges: tuple[float, ...] = DIFFERENCE_EDGES,
) -> Report:
    """Measures a reward model on the reward that is paid: predicted returns are counted from where its zero is.

    Args:
      first: ``[M, n]`` predicted returns (in the likelihood's units) of the hold-out labels' first clips; ``n`` may be 0.
      second: ``[M, n]`` of their second clips.
      label: ``[n]`` ``FIRST``, ``SECOND`` or ``TIE``.
      noise: ε of ``P_e = (1 - ε) mean_m σ(d_m) + ε/2``, the ensemble's probability that the first clip is called better.
      unit: ``[M]`` what each member's output is divided by before members are averaged (``RewardParams.scale``); None: by 1.
      true_returns: ``[n, 2]`` of the same clips, where known.
      labelled: ``[M, B]`` normalised predicted returns of labelled clips, for the spread.
      current: ``[M, B']`` of clips of the current policy.
      clips: predicted ``[M, B'']`` and true ``[B'']`` returns of any clips, for the rank correlation.
      edges: ascending bounds of the bins of the true return difference.

    Raises:
      ValueError: shapes do not fit, or a prediction is not finite.
    """
    first, second, label = (np.asarray(array) for array in (first, second, label))
    difference = first.astype(np.float64) - second.astype(np.float64)
    if first.shape != second.shape or difference.ndim != 2 or difference.shape[1] != len(label):
        raise ValueError(f"expected returns [M, n] twice and labels [n], got {first.shape}, {second.shape} and {label.shape}")
    for array in (difference, labelled, current, None if clips is None else clips[0]):
        if array is not None and not np.isfinite(array).all():
            raise ValueError("predicted returns must be finite")
    everywhere = Report(len(label), spread_ratio=_spread_ratio(labelled, current), spearman=None if clips is None else spearman(*clips))
    if not len(label):
        return everywhere
    decided = label != TIE
    each = np.ones(len(difference)) if unit is None else np.asarray(unit, np.float64)
    right = _right((difference / each[:, None]).mean(axis=0), label)
    p = _first_probability(difference, noise)
    ties = float(1.0 - decided.mean())
    return replace(
        everywhere,
        tie_share=ties,
        accuracy=float(right[decided].mean()) if decided.any() else None,
        accuracy_by_difference={} if true_returns is None else _by_difference(right[decided], np.asarray(true_returns)[decided], edges),
        nll=two_way_nll(p, label),
        nll_floor=ties * math.log(2.0),
        ece=expected_calibration_error(p[decided], label[decided] == FIRST) if decided.any() else None,
        brier=float(np.mean(np.square(p - (label == FIRST))[decided])) if decided.any() else None,
    )


def two_way_nll(p: Floats, label: NDArray[Any]) -> float:
    """Mean cross-entropy (nats) of labels with P(first) = ``p`` ``[n]``; a tie is half of each. Probabilities of 0 are taken as 1e-12."""
    target = np.where(label == TIE, 0.5, np.where(label == FIRST, 1.0, 0.0))
    safe = np.clip(p, 1e-12, 1.0 - 1e-12)
    return float(-np.mean(target * np.log(safe) + (1.0 - target) * np.log1p(-safe)))


def expected_calibration_error(p: Floats, outcome: NDArray[np.bool_], bins: int = BINS) -> float:
    """``Σ_bins (share of labels) |mean p - share of outcomes|`` over equal bins of [0, 1] (Guo et al. 2017); ``[n]`` twice, n ≥ 1."""
    place = np.minimum((p * bins).astype(int), bins - 1)
    gaps = np.bincount(place, p, bins) - np.bincount(place, outcome.astype(np.float64), bins)
    return float(np.abs(gaps).sum() / len(p))


def spearman(predicted: NDArray[Any], true: NDArray[Any]) -> float | None:
    """Rank correlation of the members' mean ``[M, B]`` with true returns ``[B]``; None where either does not vary."""
    mean = np.asarray(predicted, np.float64).mean(axis=0)
    if len(mean) < 2 or np.ptp(mean) == 0 or np.ptp(true) == 0:
        return None
    return float(stats.spearmanr(mean, true).statistic)


def _right(difference: Floats, label: NDArray[Any]) -> Floats:
    """``[n]`` 1 right, 0 wrong, 1/2 undecided (for labels other than ties)."""
    return np.where(difference == 0, 0.5, ((difference > 0) == (label == FIRST)).astype(np.float64))


def _first_probability(difference: Floats, noise: float) -> Floats:
    """``[n]`` ``P_e`` of the ensemble: members are averaged as probabilities."""
    mean: Floats = (0.5 * (1.0 + np.tanh(0.5 * difference))).mean(axis=0)
    return (1.0 - noise) * mean + 0.5 * noise


def _by_difference(right: Floats, true_returns: NDArray[Any], edges: tuple[float, ...]) -> dict[str, float]:
    size = np.abs(true_returns[:, 0] - true_returns[:, 1])
    found = {}
    for low, high in pairwise(edges):
        inside = (size >= low) & (size < high)
        if inside.any():
            found[f"{low:g}..{high:g}" if math.isfinite(high) else f"{low:g}.."] = float(right[inside].mean())
    return found


def _spread_ratio(labelled: NDArray[Any] | None, current: NDArray[Any] | None) -> float | None:
    """Mean standard deviation over members on current clips, divided by that on labelled ones."""
    if labelled is None or current is None or labelled.size == 0 or current.size == 0:
        return None
    known = float(np.asarray(labelled, np.float64).std(axis=0).mean())
    return float(np.asarray(current, np.float64).std(axis=0).mean()) / known if known > 0 else None
