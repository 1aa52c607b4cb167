"""What an action or an observation looks like. Plain data, no JAX, so that a listing of games costs nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rlhf_games.core.errors import UserError

_LARGEST = math.sqrt(float(np.finfo(np.float32).max)) * (1 - 1e-6)
"""Squares of larger numbers are not finite in float32."""
_SMALLEST = float(np.finfo(np.float32).tiny)
"""Smaller numbers may be taken for 0."""

Layout: TypeAlias = Literal["vector", "grid", "image"]
Region: TypeAlias = tuple[int, int, int, int]
"""First row, last row, first column and last column of a part of a grid, ends included."""


@dataclass(frozen=True)
class Discrete:
    """One choice out of ``len(meanings)``; action ``i`` is an int32 in ``[0, n)`` and means ``meanings[i]``."""

    meanings: tuple[str, ...]

    @property
    def n(self) -> int:
        """Number of actions."""
        return len(self.meanings)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one action: a scalar."""
        return ()

    @property
    def dtype(self) -> Literal["int32"]:
        """NumPy name of an action's numbers."""
        return "int32"


@dataclass(frozen=True)
class MultiDiscrete:
    """Several independent choices at once; action is int32 ``[len(sizes)]`` with entry ``i`` in ``[0, sizes[i])``."""

    sizes: tuple[int, ...]
    meanings: tuple[str, ...]
    """One name per choice (not per value)."""

    @property
    def n(self) -> int:
        """Width of the legal-action mask: all choices laid side by side."""
        return sum(self.sizes)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one action."""
        return (len(self.sizes),)

    @property
    def dtype(self) -> Literal["int32"]:
        """NumPy name of an action's numbers."""
        return "int32"


@dataclass(frozen=True)
class Box:
    """A real vector; action is float32 of ``shape`` with entry ``i`` in ``[low[i], high[i]]`` (row-major).

    Bounds are finite: an agent's units are half the span, and squares of actions must stay finite in float32.
    """

    shape: tuple[int, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    def __post_init__(self) -> None:
        size = math.prod(self.shape)
        if len(self.low) != size or len(self.high) != size:
            raise ValueError(f"Box of shape {self.shape} needs {size} bounds, got {len(self.low)} and {len(self.high)}")
        for place, (low, high) in enumerate(zip(self.low, self.high, strict=True)):
            if not max(abs(low), abs(high)) <= _LARGEST:  # not so of NaN either
                raise UserError(
                    f"entry {place} of a box reaches from {low} to {high}: bounds must be finite, and at most {_LARGEST:.2g} away from 0; "
                    "give the action the range that the game makes use of"
                )
            if not np.float32(low) < np.float32(high) or (float(high) - float(low)) / 2 < _SMALLEST:
                raise UserError(f"entry {place} of a box reaches from {low} to {high}: low must be below high, also in float32")

    @property
    def bounds(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """``low`` and ``high`` as arrays of ``shape``."""
        low, high = (np.asarray(bound, np.float32).reshape(self.shape) for bound in (self.low, self.high))
        return low, high

    @property
    def n(self) -> int:
        """Width of the legal-action mask: a box has no illegal actions, its mask is one True."""
        return 1

    @property
    def dtype(self) -> Literal["float32"]:
        """NumPy name of an action's numbers."""
        return "float32"


ActionSpace: TypeAlias = Discrete | MultiDiscrete | Box


@dataclass(frozen=True)
class Observation:
    """What one player sees at one decision.

    ``vector``: ``[F]``. ``grid``: ``[H, W, C]``, small, one plane per kind of thing. ``image``: ``[H, W, C]``, pixels 0–255.
    """

    shape: tuple[int, ...]
    dtype: str
    """NumPy name: ``bool``, ``uint8`` or ``float32``."""
    layout: Layout
    channels: tuple[str, ...] = ()
    """Meaning of each channel of a grid, or of each feature of a vector; may be empty."""
    regions: tuple[Region, ...] = ()
    """Of a grid: for each channel where it can ever be other than 0, by the rules; empty: anywhere. Networks leave the rest out."""

    def __post_init__(self) -> None:
        if not self.regions:
            return
        if self.layout != "grid" or len(self.regions) != self.shape[-1]:
            raise ValueError(f"regions are one per channel of a grid; got {len(self.regions)} for a {self.layout} of shape {self.shape}")
        height, width = self.shape[:2]
        for top, bottom, left, right in self.regions:
            if not (0 <= top <= bottom < height and 0 <= left <= right < width):
                raise ValueError(f"region {(top, bottom, left, right)} does not lie in a grid of {height} rows and {width} columns")
