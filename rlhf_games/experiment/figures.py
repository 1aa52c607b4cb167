"""Figures for papers, reports and screens: few marks, words beside the marks, colours that colour-blind people tell apart.

Every function takes plain arrays and returns a matplotlib figure without touching pyplot's global state; ``png`` makes bytes of it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Literal, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator, PercentFormatter
from numpy.typing import ArrayLike

from rlhf_games.core.errors import UserError
from rlhf_games.experiment.calibration import calibration, calibration_plot
from rlhf_games.experiment.drawing import (
    DARK,
    LIGHT,
    SIZE,
    Theme,
    beside,
    canvas,
    cycle,
    dots,
    label_ends,
    mean_ends,
    name_rows,
    paper,
    png,
    quiet,
)
from rlhf_games.experiment.statistics import Floats, mean_interval

__all__ = [
    "DARK",
    "LIGHT",
    "Curve",
    "Theme",
    "bars",
    "calibration",
    "calibration_plot",
    "leak_audit_plot",
    "learning_curves",
    "panels",
    "png",
    "ratio_plot",
]

Curve: TypeAlias = tuple[ArrayLike, ArrayLike]
"""Steps ``[T]`` ascending and values ``[T]`` of one run; NaN is left out."""


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
    """The mean of each arm's runs over steps, with each run thin behind it, or a 95 % band of the mean (Student's t).

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
    figure, axes = canvas(title, measure, theme)
    ends: list[tuple[float, float, str, str]] = []
    for arm, colour in zip(arms, cycle(theme.arms, len(arms)), strict=True):
        grid, mean = _arm(axes, [_clean(curve, arm) for curve in arms[arm]], arm, colour, band=show == "band")
        ends.append((float(grid[-1]), float(mean[-1]), arm, colour))
    for name, height in (references or {}).items():
        axes.axhline(height, color=theme.muted, linewidth=1.5, linestyle=(0, (4, 3)), zorder=1)
        ends.append((-math.inf, height, name, theme.muted))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_xlabel(steps, color=theme.muted, fontsize=SIZE, labelpad=8)
    axes.margins(x=0.01, y=0.06)
    label_ends(axes, ends, height=5.4)
    return figure


def ratio_plot(
    games: Mapping[str, Mapping[str, ArrayLike]],
    *,
    title: str = "",
    measure: str = "share of the true reward's score",
    intervals: Mapping[str, Mapping[str, tuple[float, float] | None]] | None = None,
    theme: Theme = LIGHT,
) -> Figure:
    """Normalised scores of each game and arm: every run a dot, their mean a bar, its 95 % interval a line.

    Args:
      games: ``{game: {arm: [R]}}`` of ``normalised_ratio``: 0 plays like the random policy, 1 like the true reward.
      title: what the figure says.
      measure: what the axis measures.
      intervals: both ends for each game and arm, None for no line; without them Student's, which takes the true reward's score as exact.
      theme: ``LIGHT`` or ``DARK``.
    """
    arms = list(dict.fromkeys(arm for entry in games.values() for arm in entry))
    colours = dict(zip(arms, cycle(theme.arms, len(arms)), strict=True))
    figure, axes = canvas(title, measure, theme, height=1.9 + len(games) * (0.35 + 0.42 * len(arms)))
    for place, label in ((0, "random"), (1, "true reward")):
        axes.axvline(place, color=theme.muted, linewidth=1.5, linestyle=(0, (4, 3)), zorder=1)
        axes.annotate(label, (place, 1), (0, 6), xycoords=("data", "axes fraction"), textcoords="offset points", ha="center", va="bottom")
        axes.texts[-1].set(color=theme.muted, fontsize=SIZE - 2)
    rows: list[tuple[float, str]] = []
    first: dict[str, tuple[float, float]] = {}  # where the arm's first row ends: its name stands there
    pitch = len(arms) + 0.8
    for index, (game, entry) in enumerate(games.items()):
        rows.append((index * pitch + (len(arms) - 1) / 2, game))
        for arm, runs in entry.items():
            height = index * pitch + arms.index(arm)
            values = np.asarray(runs, np.float64)
            ends = mean_ends(values) if intervals is None else intervals[game][arm]
            first.setdefault(arm, (dots(axes, values, height, colours[arm], theme, ends), height))
    for arm, (right, height) in first.items() if len(arms) > 1 else ():
        beside(axes, right, height, arm, colours[arm], theme.paper)
    name_rows(axes, rows, theme)
    axes.set_title(measure, loc="left", pad=34, color=theme.muted, fontsize=SIZE)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    low, high = axes.get_xlim()
    axes.set_xlim(min(low, -0.06), max(high, 1.06))
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
    figure, axes = canvas(title, note, theme, height=2.0 + 0.62 * len(scores))
    honest = [arm for arm in scores if arm not in known]
    colours = {**dict.fromkeys(known, theme.muted), **dict(zip(honest, cycle(theme.arms, len(honest)), strict=True))}
    for row, (arm, runs) in enumerate(scores.items()):
        values = np.asarray(runs, np.float64)
        dots(axes, values, row, colours[arm], theme, mean_ends(values))
    best = max(float(np.mean(np.asarray(scores[arm], np.float64))) for arm in known)
    low, high = axes.get_xlim()
    axes.axvspan(low, best, color=theme.muted, alpha=0.13, linewidth=0, zorder=0)
    axes.set_xlim(low, max(high, best))
    name_rows(axes, [(row, arm) for row, arm in enumerate(scores)], theme)
    for label, arm in zip(axes.get_yticklabels(), scores, strict=True):
        label.set_color(colours[arm])
    return figure


def bars(counts: Mapping[str, float], *, title: str = "", measure: str = "", theme: Theme = LIGHT) -> Figure:
    """One bar per entry, in order, with its number at its end.

    Raises:
      UserError: there is no entry.
    """
    if not counts:
        raise UserError("there is nothing to draw: give at least one number")
    figure, axes = canvas(title, measure, theme, height=1.6 + 0.5 * len(counts))
    rows = range(len(counts))
    axes.barh(rows, list(counts.values()), height=0.62, color=theme.arms[0])
    for row, value in zip(rows, counts.values(), strict=True):
        beside(axes, value, row, f"{value:,g}", theme.ink, theme.paper)
    name_rows(axes, [(row, name) for row, name in zip(rows, counts, strict=True)], theme)
    axes.set_xlim(0, 1.12 * max(*counts.values(), 1))
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
    figure = paper(9.6, 0.7 + 2.5 * down, title, theme)
    grid = figure.subplots(down, across, squeeze=False)
    for axes, (name, curve) in zip(grid.flat, curves.items(), strict=False):
        x, y = _clean(curve, name)
        quiet(axes, theme, SIZE - 4)
        axes.plot(x, y, color=theme.arms[0], linewidth=2.2, marker="o" if len(x) == 1 else "")
        axes.plot(x[-1:], y[-1:], "o", color=theme.arms[0], markersize=6)
        axes.set_title(f"{name}\n", loc="left", fontsize=SIZE - 3, color=theme.ink)
        axes.annotate(f"{y[-1]:.4g}".replace("-", "−"), (0, 1), (0, 8), xycoords="axes fraction", textcoords="offset points")
        axes.texts[-1].set(color=theme.arms[0], fontsize=SIZE - 3, fontweight="bold")
        axes.xaxis.set_major_locator(MaxNLocator(3))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.yaxis.set_major_formatter(EngFormatter(sep="") if np.abs(y).max() >= 10_000 else "{x:.4g}")
    for axes in grid.flat[len(curves) :]:
        axes.set_visible(False)
    return figure


def _arm(axes: Axes, curves: Sequence[tuple[Floats, Floats]], arm: str, colour: str, *, band: bool) -> tuple[Floats, Floats]:
    """One arm's mean over what it is the mean of; returns the mean's steps and values, ``[T]`` each."""
    grid, stack = _on_one_grid(curves, arm)
    mean = stack.mean(0)
    if band and len(curves) > 1:
        axes.fill_between(grid, *mean_interval(stack.T), color=colour, alpha=0.16, linewidth=0)
    for x, y in curves if len(curves) > 1 and not band else ():
        axes.plot(x, y, color=colour, linewidth=1.1, alpha=0.38)
    dot = "o" if len(grid) == 1 else ""
    axes.plot(grid, mean, color=colour, linewidth=3, solid_capstyle="round", solid_joinstyle="round", marker=dot)
    return grid, mean


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
