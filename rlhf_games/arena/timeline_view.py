"""How an episode's learned reward (or value) looks along time: a band, a line, marks, and a cursor that the mouse can move."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pygame import Rect

from rlhf_games.arena import theme
from rlhf_games.arena.canvas import Canvas
from rlhf_games.arena.figures import figure
from rlhf_games.arena.pen import Pen
from rlhf_games.arena.remarks import Mark
from rlhf_games.feedback.answers import Advice

HEIGHT, GAP = 128, 8
"""Of the whole part and above it, in design pixels: what is left of a window of the design's size holds an Atari picture twice enlarged."""
_BAND: theme.Colour = (52, 84, 122)
_UNPLAYED: theme.Colour = (20, 23, 29)
_LEAST_SLICE = 3
"""Pixels of the narrowest place that can be clicked."""
_GUTTER = 52
"""Design pixels left of the graph, for its greatest and its least value."""
SEEK = "seek "


class Strip(NamedTuple):
    """What a timeline shows; two that compare equal look alike. Arrays are named by ``version``."""

    name: str
    """Of the episode and of what is drawn of it."""
    version: int
    words: str
    """What the line is."""
    now: str
    """Its value at the cursor."""
    position: float
    """Of the cursor, in decisions."""
    checked: int
    """Decisions that are played."""
    marks: tuple[Mark, ...]
    truth: bool


class Series(NamedTuple):
    """The numbers of a timeline."""

    mean: NDArray[np.float32]
    """``[T]``, NaN where unknown."""
    spread: NDArray[np.float32]
    """``[T]`` half the height of the band."""
    true: NDArray[np.float32]
    """``[≤ T]`` the game's own reward."""


class Graph(NamedTuple):
    """A painted line with its band."""

    pixels: NDArray[np.uint8]
    """``[H, W, 3]``."""
    low: float
    high: float


class TimelineView:
    """Paints timelines; keeps the last graph."""

    def __init__(self) -> None:
        self._key: tuple[object, ...] = ()
        self._graph: Graph | None = None

    def draw(self, canvas: Canvas, rect: Rect, strip: Strip, series: Series) -> None:
        """Paints what changed."""
        canvas.part("timeline", rect, strip, lambda pen: self._paint(pen, strip, series), theme.PANEL)

    def _paint(self, pen: Pen, strip: Strip, series: Series) -> None:
        pad = pen.px(14)
        length = len(series.mean)
        now = pen.text((pen.area.right - pad, pen.px(8)), strip.now, "small", theme.TEXT, "topright", pen.area.w // 2)
        left = (now.left if strip.now else pen.area.right) - 2 * pad
        pen.text((pad, pen.px(8)), strip.words, "small", theme.MUTED, width=max(1, left))
        gutter = pen.px(_GUTTER)
        inner = Rect(pad + gutter, pen.px(38), pen.area.w - 2 * pad - gutter, pen.area.h - pen.px(38) - pen.px(30))
        if inner.w < 8 or inner.h < 8:
            return
        graph = self._painted(strip, series, inner)
        pen.picture(graph.pixels, inner)
        for value, anchor in ((graph.high, "topright"), (graph.low, "bottomright")) if graph.high > graph.low else ():
            y = inner.y if anchor == "topright" else inner.bottom
            pen.text((inner.x - pen.px(8), y), figure(value, ".2g"), "label", theme.MUTED, anchor)  # type: ignore[arg-type]
        if strip.truth:
            _paint_truth(pen, inner, series.true, length)
        _paint_marks(pen, Rect(inner.x, inner.bottom + pen.px(4), inner.w, pen.px(22)), strip.marks, length)
        _paint_cursor(pen, inner, place_of(strip.position, length, inner))
        _offer(pen, inner, length)

    def _painted(self, strip: Strip, series: Series, inner: Rect) -> Graph:
        key = (strip.name, strip.version, strip.checked, inner.size)
        if self._graph is None or key != self._key:
            self._key, self._graph = key, graph(series.mean, series.spread, strip.checked, inner.size)
        return self._graph


def place_of(position: float, length: int, rect: Rect) -> int:
    """The x of a position: decision ``t`` takes the width from ``t`` to ``t + 1``; its middle is ``t + 0.5``."""
    return rect.x + min(rect.w - 1, round(position / length * rect.w))


def graph(
    mean: NDArray[np.float32], spread: NDArray[np.float32], checked: int, size: tuple[int, int], between: tuple[float, float] | None = None
) -> Graph:
    """Paints a line with a band around it.

    Args:
      mean: ``[T]``, NaN where unknown.
      spread: ``[T]``.
      checked: decisions that are played; the rest is darker.
      size: ``(width, height)`` in pixels, at least 8 each.
      between: least and greatest value; None: as the numbers need.
    """
    width, height = size
    pixels = np.full((height, width, 3), theme.PANEL, np.uint8)
    first = np.minimum(len(mean) - 1, np.arange(width) * len(mean) // width)
    pixels[:, first >= checked] = _UNPLAYED
    known = np.isfinite(mean)
    if not known.any():
        return Graph(pixels, 0.0, 0.0)
    low, high = between or _range(float((mean - spread)[known].min()), float((mean + spread)[known].max()))

    def rows(values: NDArray[np.float32]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = (high - values) / (high - low) * (height - 1)
        return found

    y = np.arange(height)[:, None]
    top, bottom = _columns(rows(mean + spread), width)[0], _columns(rows(mean - spread), width)[1]
    pixels[(y >= top) & (y <= bottom)] = _BAND
    if low < 0 < high:
        pixels[round(float(high / (high - low) * (height - 1))), ::4] = theme.MUTED
    above, below = _joined(*_columns(rows(mean), width))
    pixels[(y >= above - 1) & (y <= below + 1)] = theme.BLUE
    return Graph(pixels, low, high)


def _range(low: float, high: float) -> tuple[float, float]:
    """With 0 in it, a little air, and never empty."""
    low, high = min(low, 0.0), max(high, 0.0)
    air = max((high - low) * 0.08, 1e-6)
    return low - air, high + air


def _columns(values: NDArray[np.float32], width: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """``[width]`` least and ``[width]`` greatest of the values that fall on each column; NaN where none is known."""
    length = len(values)
    if length <= width:
        stretched = values[np.minimum(length - 1, np.arange(width) * length // width)]
        return stretched, stretched
    starts = np.arange(width) * length // width
    return np.fmin.reduceat(values, starts), np.fmax.reduceat(values, starts)


def _joined(above: NDArray[np.float32], below: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Each column reaches its left neighbour, so that the line has no gaps."""
    joined_above, joined_below = above.copy(), below.copy()
    joined_above[1:] = np.where(np.isfinite(below[:-1]), np.fmin(above[1:], below[:-1]), above[1:])
    joined_below[1:] = np.where(np.isfinite(above[:-1]), np.fmax(below[1:], above[:-1]), below[1:])
    return joined_above, joined_below


def _paint_truth(pen: Pen, inner: Rect, true: NDArray[np.float32], length: int) -> None:
    """A triangle where the game gave points (upwards) or took some (downwards)."""
    size = pen.px(6)
    for t in np.flatnonzero(true).tolist():
        x = place_of(t + 0.5, length, inner)
        up = true[t] > 0
        y = inner.y + size if up else inner.bottom - size
        tip = y - size if up else y + size
        pen.polygon([(x - size, y), (x + size, y), (x, tip)], theme.AMBER)


def _paint_marks(pen: Pen, row: Rect, marks: tuple[Mark, ...], length: int) -> None:
    """Under the graph: a diamond for advice, plus and minus for marks; filled once it is on the disk."""
    size = pen.px(7)
    for mark in marks:
        x, y = place_of(mark.step + 0.5, length, row), row.centery
        colour = theme.TEXT if mark.mine else theme.MUTED
        if isinstance(mark.value, Advice):
            pen.polygon([(x, y - size), (x + size, y), (x, y + size), (x - size, y)], colour, filled=mark.solid)
        else:
            good = mark.value.value > 0
            pen.box(Rect(x - size, y - size, 2 * size, 2 * size), colour if mark.solid else theme.PANEL, colour, 3, 1.5)
            pen.text((x, y), "+" if good else "–", "label", theme.BACKGROUND if mark.solid else colour, "center")


def _paint_cursor(pen: Pen, inner: Rect, x: int) -> None:
    size = pen.px(7)
    pen.box(Rect(x - max(1, pen.px(1)), inner.y - size, max(2, pen.px(2)), inner.h + size), theme.TEXT, radius=0)
    pen.polygon([(x - size, inner.y - size), (x + size, inner.y - size), (x, inner.y + pen.px(2))], theme.TEXT)


def _offer(pen: Pen, inner: Rect, length: int) -> None:
    """Places to click: each leads to a decision."""
    count = max(1, min(length, inner.w // _LEAST_SLICE))
    for number in range(count):
        left, right = (inner.x + math.ceil(edge * inner.w / count) for edge in (number, number + 1))
        t = (2 * number + 1) * length // (2 * count)
        pen.click(Rect(left, 0, right - left, pen.area.h), f"{SEEK}{t}")


def seek_to(command: str) -> int | None:
    """The decision that a command leads to; None where it is another command."""
    return int(command.removeprefix(SEEK)) if command.startswith(SEEK) else None
