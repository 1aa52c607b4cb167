"""How sure a model is and how often it is right: the numbers, and the figure."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import ArrayLike

from rlhf_games.core.errors import UserError
from rlhf_games.experiment.drawing import LIGHT, SIZE, Theme, canvas, cycle
from rlhf_games.experiment.statistics import Floats


def calibration(predicted: ArrayLike, outcome: ArrayLike, bins: int = 10) -> tuple[Floats, Floats, Floats, float]:
    """Mean prediction, mean outcome and count of each bin that is not empty (``[K]`` each), and the expected calibration error.

    Raises:
      UserError: there is nothing, the lengths differ, or a number is outside of [0, 1].
    """
    p, y = np.asarray(predicted, np.float64), np.asarray(outcome, np.float64)
    if p.ndim != 1 or p.shape != y.shape or not p.size or not (((p >= 0) & (p <= 1)).all() and ((y >= 0) & (y <= 1)).all()):
        raise UserError("calibration needs as many predictions as outcomes, at least one, all between 0 and 1")
    place = np.minimum((p * bins).astype(np.int64), bins - 1)
    count = np.bincount(place, minlength=bins).astype(np.float64)
    full = count > 0
    centre = np.bincount(place, p, bins)[full] / count[full]
    rate = np.bincount(place, y, bins)[full] / count[full]
    error = float(np.average(np.abs(centre - rate), weights=count[full]))
    return centre, rate, count[full], error


def calibration_plot(
    models: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    title: str = "",
    measure: str = "how often the first clip was preferred",
    bins: int = 10,
    theme: Theme = LIGHT,
) -> Figure:
    """Predicted probabilities against what came true: on the diagonal, a model is as sure as it should be.

    Args:
      models: by name, predictions ``[B]`` in [0, 1] and outcomes ``[B]`` in [0, 1] (0.5 for a tie); use answers that were held out.
      title: what the figure says.
      measure: what the vertical axis measures.
      bins: equal parts of [0, 1]; dots grow with the number of answers in them, their lines are 95 % binomial (Wilson) intervals.
      theme: ``LIGHT`` or ``DARK``.
    """
    figure, axes = canvas(title, measure, theme, height=7.2, width=7.8)
    axes.plot([0, 1], [0, 1], color=theme.muted, linewidth=1.5, linestyle=(0, (4, 3)), zorder=1)
    axes.annotate("perfect", (1, 1), (14, 0), textcoords="offset points", va="center")
    axes.texts[-1].set(color=theme.muted, fontsize=SIZE - 2)
    notes = []
    for (name, (predicted, outcome)), colour in zip(models.items(), cycle(theme.arms, len(models)), strict=True):
        centre, rate, count, error = calibration(predicted, outcome, bins)
        low, high = _wilson(rate, count)
        axes.vlines(centre, low, high, color=colour, linewidth=2, alpha=0.5)
        axes.plot(centre, rate, color=colour, linewidth=2.5)
        axes.scatter(centre, rate, s=30 + 370 * count / count.max(), color=colour, edgecolor=theme.paper, linewidth=1.5, zorder=4)
        notes.append((f"{name}  ·  off by {error:.1%} on average, {int(count.sum())} answers", colour))
    for line, (text, colour) in enumerate(reversed(notes)):
        axes.annotate(text, (0, 1), (0, 14 + 24 * line), xycoords="axes fraction", textcoords="offset points")
        axes.texts[-1].set(color=colour, fontsize=SIZE - 2, fontweight="bold")
    axes.set_title(measure, loc="left", color=theme.muted, fontsize=SIZE, pad=16 + 24 * len(notes))
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    axes.set_xlabel("predicted probability", color=theme.muted, fontsize=SIZE, labelpad=8)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    return figure


def _wilson(rate: Floats, count: Floats) -> tuple[Floats, Floats]:
    """95 % Wilson score interval of a rate."""
    z = 1.96
    centre = (rate + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * np.sqrt(rate * (1 - rate) / count + z**2 / (4 * count**2))
    return centre - half, centre + half
