"""Where an annotator's cut-points begin: where the present returns and the stars that were given put them.

Shapes: ``M`` members, ``A`` annotators, ``n`` ratings, ``S`` stars.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_HALVINGS = 40
"""Of a bracket around a cut-point: to 1e-12 of it."""


def fitted_cuts(returns: NDArray[Any], stars: NDArray[Any], annotator: NDArray[Any], weight: NDArray[Any], size: tuple[int, int]) -> Any:
    """Cut-points that make the mean predicted probability of each star what was seen, member by member and annotator by annotator.

    ``c_k`` solves ``mean_i σ(c_k - R_i) = (share of at most k stars)``, with half an answer added to every star.

    Args:
      returns: ``[M, n]`` predicted returns of the rated clips.
      stars: ``[n]`` from 0.
      annotator: ``[n]`` numbers below ``A``.
      weight: ``[M, n]`` how often each rating trains each member.
      size: ``A`` and ``S``.

    Returns:
      ``[M, A, S - 1]`` float64, ascending. An annotator without ratings has the cut-points of all together.
    """
    annotators, levels = size
    found = np.zeros((len(returns), annotators, levels - 1))
    for member, counts in enumerate(np.asarray(weight, np.float64)):
        for who in range(annotators):
            mine = counts * (annotator == who)
            found[member, who] = _solve(np.asarray(returns[member], np.float64), stars, mine if mine.any() else counts, levels)
    return found


def _solve(returns: NDArray[np.float64], stars: NDArray[Any], counts: NDArray[np.float64], levels: int) -> NDArray[np.float64]:
    """``[S - 1]`` by bisection: the mean grows with the cut-point."""
    given = np.bincount(stars, counts, levels)[:levels] + 0.5
    share = np.cumsum(given)[:-1] / given.sum()
    if not counts.any():
        returns, counts = np.zeros(1), np.ones(1)
    weights = counts / counts.sum()
    spread = 1.0 + np.log(1.0 / min(share.min(), 1.0 - share.max()))
    low, high = np.full(levels - 1, returns.min() - spread), np.full(levels - 1, returns.max() + spread)
    for _ in range(_HALVINGS):
        cut = 0.5 * (low + high)
        below = 0.5 * (1.0 + np.tanh(0.5 * (cut[:, None] - returns[None]))) @ weights
        low, high = np.where(below < share, cut, low), np.where(below < share, high, cut)
    found: NDArray[np.float64] = 0.5 * (low + high)
    return found
