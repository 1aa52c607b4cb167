"""Paper, axes and marks that all figures are made of. Nothing here touches pyplot's global state."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from rlhf_games.experiment.statistics import Floats, mean_interval


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

SIZE = 16  # points: on a figure 9.6 inches wide this is read from a metre on a laptop
_DPI = 150


def png(figure: Figure) -> bytes:
    """The figure as a PNG, 150 dots per inch; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    return buffer.getvalue()


def canvas(title: str, measure: str, theme: Theme, *, width: float = 9.6, height: float = 5.4) -> tuple[Figure, Axes]:
    """A figure with one quiet pair of axes: what is measured stands above them, left."""
    figure = paper(width, height, title, theme)
    axes = figure.add_subplot()
    axes.set_title(measure, loc="left", fontsize=SIZE, color=theme.muted, pad=12)
    quiet(axes, theme, SIZE - 1)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.yaxis.set_major_locator(MaxNLocator(6))
    return figure, axes


def paper(width: float, height: float, title: str, theme: Theme) -> Figure:
    """An empty figure with its headline."""
    figure = Figure(figsize=(width, height), facecolor=theme.paper, layout="constrained")
    FigureCanvasAgg(figure)
    layout: Any = figure.get_layout_engine()
    layout.set(w_pad=0.22, h_pad=0.11, rect=(0, 0.05 / height, 1, 1 - 0.15 / height))
    if title:
        figure.suptitle(title, x=0.024, ha="left", fontsize=SIZE + 4, fontweight="bold", color=theme.ink)
    return figure


def quiet(axes: Axes, theme: Theme, size: float) -> None:
    """Nothing but one base line, faint lines to read heights by, and numbers of ``size`` points."""
    axes.set_facecolor(theme.paper)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(theme.muted)
    axes.tick_params(colors=theme.muted, labelsize=size, length=0, pad=7)
    axes.grid(axis="y", color=theme.grid, linewidth=1.2)
    axes.set_axisbelow(True)


def cycle(colours: tuple[str, ...], n: int) -> list[str]:
    """As many colours as there are arms; they repeat where there are more arms than colours."""
    return [colours[i % len(colours)] for i in range(n)]


def mean_ends(runs: Floats) -> tuple[float, float] | None:
    """Both ends of the 95 % t interval of the mean of runs ``[R]``; None for a single run."""
    low, high = mean_interval(runs)
    return (float(low), float(high)) if len(runs) > 1 else None


def dots(axes: Axes, runs: Floats, height: float, colour: str, theme: Theme, ends: tuple[float, float] | None) -> float:
    """One row: runs as dots, the mean as an upright bar, its interval (where there is one) as a line. Returns how far right it reaches."""
    if ends is not None:
        axes.plot(ends, [height, height], color=colour, linewidth=7, alpha=0.3, solid_capstyle="round", zorder=2)
    axes.scatter(runs, np.full(len(runs), height), s=70, color=colour, alpha=0.75, edgecolor=theme.paper, linewidth=1, zorder=3)
    axes.plot([runs.mean()] * 2, [height - 0.3, height + 0.3], color=colour, linewidth=4, solid_capstyle="round", zorder=4)
    return float(max(runs.max(), runs.max() if ends is None else ends[1]))


def label_ends(axes: Axes, ends: list[tuple[float, float, str, str]], height: float) -> None:
    """Names each line where it ends, moved apart just as far as needed to be read (isotonic regression is the least such move)."""
    from scipy.optimize import isotonic_regression

    if not ends:
        return
    low, high = axes.get_ylim()
    ordered = sorted(ends, key=lambda end: end[1])
    wanted = np.array([(y - low) / (high - low) for _, y, _, _ in ordered])
    gap = 1.35 * SIZE / 72 / (height * 0.68) * np.arange(len(ordered))  # the axes take about two thirds of the figure's height
    for place, (_, _, name, colour) in zip(isotonic_regression(wanted - gap).x + gap, ordered, strict=True):
        axes.annotate(name, (1, place), (10, 0), xycoords="axes fraction", textcoords="offset points", va="center")
        axes.texts[-1].set(color=colour, fontsize=SIZE, fontweight="bold")


def beside(axes: Axes, x: float, y: float, text: str, colour: str, paper: str) -> None:
    """Words to the right of a mark, kept clear of the lines behind them."""
    axes.annotate(text, (x, y), (12, 0), textcoords="offset points", va="center")
    clear = [withStroke(linewidth=6, foreground=paper)]
    axes.texts[-1].set(color=colour, fontsize=SIZE - 2, fontweight="bold", path_effects=clear, zorder=5)


def name_rows(axes: Axes, rows: list[tuple[float, str]], theme: Theme) -> None:
    """Names rows at the left, the first on top; the grid follows the other axis."""
    axes.set_yticks([place for place, _ in rows], [name for _, name in rows], color=theme.ink, fontsize=SIZE)
    axes.grid(visible=False, axis="y")
    axes.grid(axis="x", color=theme.grid, linewidth=1.2)
    low, high = axes.dataLim.y0, axes.dataLim.y1
    axes.set_ylim(high + 0.45, low - 0.45)
