"""Figures for papers, reports and screens: few marks, words beside the marks, colours that colour-blind people tell apart.

Every function takes plain arrays and returns a matplotlib figure without touching pyplot's global state; ``png`` makes bytes of it.
"""

from __future__ import annotations

import io
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import EngFormatter, MaxNLocator, PercentFormatter
from numpy.typing import ArrayLike, NDArray

from rlhf_games.core.errors import UserError

Floats: TypeAlias = NDArray[np.float64]
Curve: TypeAlias = tuple[ArrayLike, ArrayLike]
"""Steps ``[T]`` ascending and values ``[T]`` of one run; NaN is left out."""


@dataclass(frozen=True)
class Theme:
    """Colours of a figure, as ``#rrggbb``."""

    paper: str
    ink: str
    muted: str
    grid: str
    arms: tuple[str, ...]
    """One per arm, in order; they repeat."""


LIGHT = Theme("#ffffff", "#1d2129", "#6a7280", "#e4e7ec", ("#0072b2", "#c25400", "#00845f", "#b04a86", "#8a6d00", "#3b3b98", "#555555"))
"""Okabe and Ito's colours, the pale ones darkened to be read on white."""
DARK = Theme("#16191f", "#eceff4", "#9aa3b2", "#2a2f39", ("#56b4e9", "#f0844c", "#2fc79a", "#e59cc6", "#f0c244", "#9d9df2", "#b9b9b9"))
"""The same hues on dark paper."""

_SIZE = 16  # points: on a figure 9.6 inches wide this is read from a metre on a laptop
_DPI = 150


def learning_curves(
    arms: Mapping[str, Sequence[Curve]],
    *,
    title: str = "",
    measure: str = "true return",
    steps: str = "environment steps",
    show: Literal["seeds", "band"] = "seeds",
    references: Mapping[str, float] | None = None,
    theme: Theme = LIGHT,
) -> Figure:
    """The mean of each arm's runs over steps, with each run thin behind it, or a 95 % bootstrap band of the mean.

    Args:
      arms: runs by the arm's name; the mean covers the steps that all runs of the arm have.
      title: what the figure says.
      measure: what the vertical axis measures.
      steps: what the horizontal axis counts.
      show: what lies behind the mean.
      references: horizontal lines by name, for example the random policy's score.
      theme: ``LIGHT`` or ``DARK``.

    Raises:
      UserError: an arm has no run with a finite value, or its runs share no step.
    """
    figure, axes = _canvas(title, measure, theme)
    ends: list[tuple[float, float, str, str]] = []
    for arm, colour in zip(arms, _cycle(theme.arms, len(arms)), strict=True):
        curves = [_clean(curve, arm) for curve in arms[arm]]
        grid, stack = _on_one_grid(curves, arm)
        if show == "band" and len(curves) > 1:
            axes.fill_between(grid, *_band(stack), color=colour, alpha=0.16, linewidth=0)
        elif len(curves) > 1:
            for x, y in curves:
                axes.plot(x, y, color=colour, linewidth=1.1, alpha=0.38)
        dot = "o" if len(grid) == 1 else ""
        axes.plot(grid, stack.mean(0), color=colour, linewidth=3, solid_capstyle="round", solid_joinstyle="round", marker=dot)
        ends.append((float(grid[-1]), float(stack.mean(0)[-1]), arm, colour))
    for name, height in (references or {}).items():
        axes.axhline(height, color=theme.muted, linewidth=1.5, linestyle=(0, (4, 3)), zorder=1)
        ends.append((-math.inf, height, name, theme.muted))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_xlabel(steps, color=theme.muted, fontsize=_SIZE, labelpad=8)
    axes.margins(x=0.01, y=0.06)
    _label_ends(axes, ends, height=5.4)
    return figure


def ratio_plot(
    games: Mapping[str, Mapping[str, ArrayLike]],
    *,
    title: str = "",
    measure: str = "share of the true reward's score",
    theme: Theme = LIGHT,
) -> Figure:
    """Normalised scores of each game and arm: every run a dot, their mean a bar, its 95 % bootstrap interval a line.

    Args:
      games: ``{game: {arm: [R]}}`` of ``normalised_ratio``: 0 plays like the random policy, 1 like the true reward.
      title: what the figure says.
      measure: what the axis measures.
      theme: ``LIGHT`` or ``DARK``.
    """
    arms = list(dict.fromkeys(arm for entry in games.values() for arm in entry))
    colours = dict(zip(arms, _cycle(theme.arms, len(arms)), strict=True))
    figure, axes = _canvas(title, measure, theme, height=1.9 + len(games) * (0.35 + 0.42 * len(arms)))
    for place, label in ((0, "random"), (1, "true reward")):
        axes.axvline(place, color=theme.muted, linewidth=1.5, linestyle=(0, (4, 3)), zorder=1)
        axes.annotate(label, (place, 1), (0, 6), xycoords=("data", "axes fraction"), textcoords="offset points", ha="center", va="bottom")
        axes.texts[-1].set(color=theme.muted, fontsize=_SIZE - 2)
    rows: list[tuple[float, str]] = []
    labelled: set[str] = set()
    pitch = len(arms) + 0.8
    for index, (game, entry) in enumerate(games.items()):
        rows.append((index * pitch + (len(arms) - 1) / 2, game))
        for arm, runs in entry.items():
            height = index * pitch + arms.index(arm)
            right = _dots(axes, np.asarray(runs, np.float64), height, colours[arm], theme)
            if arm not in labelled and len(arms) > 1:
                _beside(axes, right, height, arm, colours[arm], theme.paper)
                labelled.add(arm)
    _rows(axes, rows, theme)
    axes.set_title(measure, loc="left", pad=34, color=theme.muted, fontsize=_SIZE)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    low, high = axes.get_xlim()
    axes.set_xlim(min(low, -0.06), max(high, 1.06))
    return figure


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
    figure, axes = _canvas(title, measure, theme, height=7.2, width=7.8)
    axes.plot([0, 1], [0, 1], color=theme.muted, linewidth=1.5, linestyle=(0, (4, 3)), zorder=1)
    axes.annotate("perfect", (1, 1), (14, 0), textcoords="offset points", va="center")
    axes.texts[-1].set(color=theme.muted, fontsize=_SIZE - 2)
    notes = []
    for (name, (predicted, outcome)), colour in zip(models.items(), _cycle(theme.arms, len(models)), strict=True):
        centre, rate, count, error = calibration(predicted, outcome, bins)
        low, high = _wilson(rate, count)
        axes.vlines(centre, low, high, color=colour, linewidth=2, alpha=0.5)
        axes.plot(centre, rate, color=colour, linewidth=2.5)
        axes.scatter(centre, rate, s=30 + 370 * count / count.max(), color=colour, edgecolor=theme.paper, linewidth=1.5, zorder=4)
        notes.append((f"{name}  ·  off by {error:.1%} on average, {int(count.sum())} answers", colour))
    for line, (text, colour) in enumerate(reversed(notes)):
        axes.annotate(text, (0, 1), (0, 14 + 24 * line), xycoords="axes fraction", textcoords="offset points")
        axes.texts[-1].set(color=colour, fontsize=_SIZE - 2, fontweight="bold")
    axes.set_title(measure, loc="left", color=theme.muted, fontsize=_SIZE, pad=16 + 24 * len(notes))
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    axes.set_xlabel("predicted probability", color=theme.muted, fontsize=_SIZE, labelpad=8)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    return figure


def leak_audit_plot(
    scores: Mapping[str, ArrayLike], controls: Collection[str], *, title: str = "", measure: str = "true return", theme: Theme = LIGHT
) -> Figure:
    """Does the game give its reward away? Arms that know nothing (grey) against arms that learn from answers or from the true reward.

    Everything up to the best mean of the controls is shaded: a score in there proves nothing about the answers.

    Args:
      scores: runs ``[R]`` by the arm's name, in the order of the rows.
      controls: the arms that know nothing: constant rewards, random labels, the random policy.
      title: what the figure says.
      measure: what the axis measures.
      theme: ``LIGHT`` or ``DARK``.

    Raises:
      UserError: no arm is a control.
    """
    known = [arm for arm in scores if arm in controls]
    if not known:
        raise UserError(f"none of the arms {', '.join(scores) or '(none)'} is a control; add a constant-reward or a random-label arm")
    note = f"{measure}  ·  shaded: reached without any answer"
    figure, axes = _canvas(title, note, theme, height=2.0 + 0.62 * len(scores))
    honest = [arm for arm in scores if arm not in known]
    colours = {**dict.fromkeys(known, theme.muted), **dict(zip(honest, _cycle(theme.arms, len(honest)), strict=True))}
    for row, (arm, runs) in enumerate(scores.items()):
        _dots(axes, np.asarray(runs, np.float64), row, colours[arm], theme)
    best = max(float(np.mean(np.asarray(scores[arm], np.float64))) for arm in known)
    low, high = axes.get_xlim()
    axes.axvspan(low, best, color=theme.muted, alpha=0.13, linewidth=0, zorder=0)
    axes.set_xlim(low, max(high, best))
    _rows(axes, [(row, arm) for row, arm in enumerate(scores)], theme)
    for label, arm in zip(axes.get_yticklabels(), scores, strict=True):
        label.set_color(colours[arm])
    return figure


def panels(curves: Mapping[str, Curve], *, title: str = "", theme: Theme = LIGHT) -> Figure:
    """Small pictures of many measures of one run, each with its own scale, its name and its last value above it.

    Raises:
      UserError: there is no curve, or one without a finite value.
    """
    if not curves:
        raise UserError("there is nothing to draw: give at least one curve")
    across = 2 if len(curves) in (1, 2, 4) else 3
    down = -(-len(curves) // across)
    figure = _paper(9.6, 0.7 + 2.5 * down, title, theme)
    grid = figure.subplots(down, across, squeeze=False)
    for axes, (name, curve) in zip(grid.flat, curves.items(), strict=False):
        x, y = _clean(curve, name)
        _quiet(axes, theme, _SIZE - 4)
        axes.plot(x, y, color=theme.arms[0], linewidth=2.2, marker="o" if len(x) == 1 else "")
        axes.plot(x[-1:], y[-1:], "o", color=theme.arms[0], markersize=6)
        axes.set_title(f"{name}\n", loc="left", fontsize=_SIZE - 3, color=theme.ink)
        axes.annotate(f"{y[-1]:.4g}".replace("-", "−"), (0, 1), (0, 8), xycoords="axes fraction", textcoords="offset points")
        axes.texts[-1].set(color=theme.arms[0], fontsize=_SIZE - 3, fontweight="bold")
        axes.xaxis.set_major_locator(MaxNLocator(3))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.yaxis.set_major_formatter(EngFormatter(sep="") if np.abs(y).max() >= 10_000 else "{x:.4g}")
    for axes in grid.flat[len(curves) :]:
        axes.set_visible(False)
    return figure


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


def png(figure: Figure) -> bytes:
    """The figure as a PNG, 150 dots per inch; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    return buffer.getvalue()


def _canvas(title: str, measure: str, theme: Theme, *, width: float = 9.6, height: float = 5.4) -> tuple[Figure, Axes]:
    """A figure with one quiet pair of axes: what is measured stands above them, left."""
    figure = _paper(width, height, title, theme)
    axes = figure.add_subplot()
    axes.set_title(measure, loc="left", fontsize=_SIZE, color=theme.muted, pad=12)
    _quiet(axes, theme, _SIZE - 1)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.yaxis.set_major_locator(MaxNLocator(6))
    return figure, axes


def _paper(width: float, height: float, title: str, theme: Theme) -> Figure:
    """An empty figure with its headline."""
    figure = Figure(figsize=(width, height), facecolor=theme.paper, layout="constrained")
    FigureCanvasAgg(figure)
    layout: Any = figure.get_layout_engine()
    layout.set(w_pad=0.22, h_pad=0.11, rect=(0, 0.05 / height, 1, 1 - 0.15 / height))
    if title:
        figure.suptitle(title, x=0.024, ha="left", fontsize=_SIZE + 4, fontweight="bold", color=theme.ink)
    return figure


def _quiet(axes: Axes, theme: Theme, size: float) -> None:
    """Nothing but one base line, faint lines to read heights by, and numbers of ``size`` points."""
    axes.set_facecolor(theme.paper)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(theme.muted)
    axes.tick_params(colors=theme.muted, labelsize=size, length=0, pad=7)
    axes.grid(axis="y", color=theme.grid, linewidth=1.2)
    axes.set_axisbelow(True)


def _cycle(colours: tuple[str, ...], n: int) -> list[str]:
    return [colours[i % len(colours)] for i in range(n)]


def _clean(curve: Curve, arm: str) -> tuple[Floats, Floats]:
    x, y = (np.asarray(side, np.float64) for side in curve)
    keep = np.isfinite(x) & np.isfinite(y)
    if not keep.any():
        raise UserError(f"arm {arm!r} has a run without any finite value: leave that run out")
    return x[keep], y[keep]


def _on_one_grid(curves: Sequence[tuple[Floats, Floats]], arm: str) -> tuple[Floats, Floats]:
    """Steps ``[T]`` that all runs cover, and the runs' values there, ``[R, T]``, interpolated linearly."""
    if not curves:
        raise UserError(f"arm {arm!r} has no runs: leave it out")
    first, last = max(x[0] for x, _ in curves), min(x[-1] for x, _ in curves)
    steps = np.unique(np.concatenate([x for x, _ in curves]))
    grid = steps[(steps >= first) & (steps <= last)]
    if not grid.size:
        raise UserError(f"the runs of arm {arm!r} have no steps in common: draw them as arms of their own")
    return grid, np.stack([np.interp(grid, x, y) for x, y in curves])


def _band(stack: Floats) -> tuple[Floats, Floats]:
    """95 % bootstrap interval of the mean at each step: ``[R, T] → [T], [T]``."""
    chosen = np.random.default_rng(0).integers(len(stack), size=(1000, len(stack)))
    means = np.stack([stack[rows].mean(0) for rows in chosen])
    low, high = np.quantile(means, [0.025, 0.975], axis=0)
    return low, high


def _label_ends(axes: Axes, ends: list[tuple[float, float, str, str]], height: float) -> None:
    """Names each line where it ends, moved apart just as far as needed to be read (isotonic regression is the least such move)."""
    from scipy.optimize import isotonic_regression

    if not ends:
        return
    low, high = axes.get_ylim()
    ordered = sorted(ends, key=lambda end: end[1])
    wanted = np.array([(y - low) / (high - low) for _, y, _, _ in ordered])
    gap = 1.35 * _SIZE / 72 / (height * 0.68) * np.arange(len(ordered))  # the axes take about two thirds of the figure's height
    for place, (_, _, name, colour) in zip(isotonic_regression(wanted - gap).x + gap, ordered, strict=True):
        axes.annotate(name, (1, place), (10, 0), xycoords="axes fraction", textcoords="offset points", va="center")
        axes.texts[-1].set(color=colour, fontsize=_SIZE, fontweight="bold")


def _dots(axes: Axes, runs: Floats, height: float, colour: str, theme: Theme) -> float:
    """One row: runs as dots, the mean as an upright bar, its bootstrap interval as a line. Returns how far right it reaches."""
    low, high = _band(runs[:, None])
    axes.plot([low[0], high[0]], [height, height], color=colour, linewidth=7, alpha=0.3, solid_capstyle="round", zorder=2)
    axes.scatter(runs, np.full(len(runs), height), s=70, color=colour, alpha=0.75, edgecolor=theme.paper, linewidth=1, zorder=3)
    axes.plot([runs.mean()] * 2, [height - 0.3, height + 0.3], color=colour, linewidth=4, solid_capstyle="round", zorder=4)
    return float(max(runs.max(), high[0]))


def _beside(axes: Axes, x: float, y: float, text: str, colour: str, paper: str) -> None:
    """Words to the right of a mark, kept clear of the lines behind them."""
    axes.annotate(text, (x, y), (12, 0), textcoords="offset points", va="center")
    clear = [withStroke(linewidth=6, foreground=paper)]
    axes.texts[-1].set(color=colour, fontsize=_SIZE - 2, fontweight="bold", path_effects=clear, zorder=5)


def _rows(axes: Axes, rows: list[tuple[float, str]], theme: Theme) -> None:
    """Names rows at the left, the first on top; the grid follows the other axis."""
    axes.set_yticks([place for place, _ in rows], [name for _, name in rows], color=theme.ink, fontsize=_SIZE)
    axes.grid(visible=False, axis="y")
    axes.grid(axis="x", color=theme.grid, linewidth=1.2)
    low, high = axes.dataLim.y0, axes.dataLim.y1
    axes.set_ylim(high + 0.45, low - 0.45)


def _wilson(rate: Floats, count: Floats) -> tuple[Floats, Floats]:
    """95 % Wilson score interval of a rate."""
    z = 1.96
    centre = (rate + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * np.sqrt(rate * (1 - rate) / count + z**2 / (4 * count**2))
    return centre - half, centre + half
