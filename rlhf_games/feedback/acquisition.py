"""What a question about a pair of clips is worth: acquisition functions on NumPy arrays.

Shapes: ``M`` ensemble members, ``C`` candidate pairs, ``F`` features of a pair, ``D`` pairs asked before.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
_BLOCK = 64
"""Rows that distances are taken to together."""


def disagreement(difference: Floats) -> Floats:
    """``[C]`` in [0, 1/2]: standard deviation over members of P(first is better), from return differences ``[M, C]``.

    Christiano et al. 2017, section 2.2.4 ("variance across ensemble members"); B-Pref's sampling code 1.
    """
    spread: Floats = _sigmoid(difference).std(axis=0)
    return spread


def mean_entropy(difference: Floats) -> Floats:
    """``[C]`` in [0, log 2] nats: mean over members of each one's entropy; B-Pref's sampling code 2 (it does not mix members first)."""
    size = np.abs(difference)
    entropy: Floats = (np.log1p(np.exp(-size)) + size * _sigmoid(-size)).mean(axis=0)
    return entropy


def mutual_information(difference: Floats) -> Floats:
    """``[C]`` in [0, log 2] nats: entropy of the mean prediction minus mean entropy (BALD, Houlsby et al. 2011).

    What an answer would tell about which member is right; 0 where all are equally unsure.
    """
    p: Floats = _sigmoid(difference).mean(axis=0)
    return np.maximum(-_p_log_p(p) - _p_log_p(1.0 - p) - mean_entropy(difference), 0.0)  # rounding may fall below


def farthest_first(features: Floats, count: int, rng: np.random.Generator, start: Floats | None = None) -> tuple[NDArray[np.int64], Floats]:
    """Greedy k-centre: again and again the row that is farthest (Euclidean) from all chosen so far.

    Args:
      features: ``[C, F]``.
      count: at most ``C``.
      rng: draws the first centre where there is no start, and decides between equals.
      start: ``[D, F]`` rows that count as chosen already.

    Returns:
      Indices ``[count]`` in order, and each one's distance when it was chosen (NaN for a first centre drawn at random).
    """
    centre = features.mean(axis=0) if len(features) else 0.0
    rows, squares = features - centre, np.square(features - centre).sum(axis=1)

    def to(row: Floats) -> Floats:
        """Squared distances, by one product instead of one difference per entry; rounding may fall below 0."""
        found: Floats = np.maximum(squares - 2.0 * (rows @ row) + row @ row, 0.0)
        return found

    nearest = np.full(len(features), np.inf)
    for some in np.array_split(start - centre, -(-len(start) // _BLOCK)) if start is not None and len(start) else ():
        distance = squares[:, None] - 2.0 * (rows @ some.T) + np.square(some).sum(axis=1)
        nearest = np.minimum(nearest, np.maximum(distance, 0.0).min(axis=1))
    order = rng.permutation(len(features))
    chosen, distances = np.zeros(count, np.int64), np.zeros(count)
    for k in range(count):
        best = int(order[np.argmax(nearest[order])])
        chosen[k], distances[k] = best, np.sqrt(nearest[best]) if np.isfinite(nearest[best]) else np.nan
        nearest = np.minimum(nearest, to(rows[best]))
        nearest[chosen[: k + 1]] = -1.0  # never twice, also where rows are equal
    return chosen, distances


def _sigmoid(x: Floats) -> Floats:
    """Without overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def _p_log_p(p: Floats) -> Floats:
    return p * np.log(np.where(p > 0, p, 1.0))
