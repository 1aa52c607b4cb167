"""Pixels: the area-averaging resize that the batch emulator uses, and rectangles that hide the score.

``ale_py``'s vector environment shrinks pictures with OpenCV's ``INTER_AREA``. A session must show an agent the very same pixels, so
``resize`` repeats that arithmetic (each output pixel is the area-weighted mean of the input it covers, columns first, in float32, in
the order of the input, rounded half to even). A session compares its first picture with the vector environment's when it opens, and
the tests compare thousands on every ROM.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray


def resize(picture: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Shrinks ``picture`` (``[H, W]`` or ``[H, W, 3]``, each side at least ``size``) to ``[size, size]`` or ``[size, size, 3]``."""
    rows, row_weights = _taps(picture.shape[0], size)
    columns, column_weights = _taps(picture.shape[1], size)
    tail = (1,) * (picture.ndim - 2)
    pixels = picture.astype(np.float32)
    narrow = _weighted(lambda tap: pixels[:, columns[tap]], column_weights.reshape(-1, 1, size, *tail))
    small = _weighted(lambda tap: narrow[rows[tap]], row_weights.reshape(-1, size, 1, *tail))
    return np.rint(small).astype(np.uint8)


def _weighted(tap: Any, weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sum over taps, strictly in their order: float32 addition is not associative, and ties decide a grey level."""
    total: NDArray[np.float32] = tap(0) * weights[0]
    for k in range(1, len(weights)):
        total += tap(k) * weights[k]
    return total


@lru_cache(maxsize=32)
def _taps(source: int, size: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Which input pixels each output pixel covers, ``[K, size]``, and with which weight, ``[K, size]`` (0 where it covers fewer than K)."""
    scale = source / size
    covered = [_cover(k, scale, source) for k in range(size)]
    width = max(map(len, covered))
    index = np.zeros((width, size), np.intp)
    weight = np.zeros((width, size), np.float32)
    for k, taps in enumerate(covered):
        for tap, (pixel, share) in enumerate(taps):
            index[tap, k], weight[tap, k] = pixel, share
    return index, weight


def _cover(k: int, scale: float, source: int) -> list[tuple[int, float]]:
    """Input pixels under output pixel ``k`` with their shares; slivers below a thousandth are dropped, as OpenCV does."""
    start, stop = k * scale, (k + 1) * scale
    cell = min(scale, source - start)
    last = min(math.floor(stop), source - 1)
    first = min(math.ceil(start), last)
    taps = [(first - 1, (first - start) / cell)] if first - start > 1e-3 else []
    taps += [(pixel, 1.0 / cell) for pixel in range(first, last)]
    if stop - last > 1e-3:
        taps.append((last, min(stop - last, 1.0, cell) / cell))
    return taps


class Mask:
    """Rectangles of the emulator's picture, blanked in observations.

    Every observation pixel that a rectangle touches, however little, becomes 0, so that nothing shines through.
    """

    def __init__(self, rectangles: list[list[int]], height: int, width: int, size: int) -> None:
        """Rectangles are ``[top, left, bottom, right]`` in pixels of the ``height × width`` picture, bottom and right excluded."""
        self.areas = [
            (
                slice(top * size // height, -(-bottom * size // height)),
                slice(left * size // width, -(-right * size // width)),
            )
            for top, left, bottom, right in rectangles
        ]

    def blank(self, observation: NDArray[np.uint8]) -> None:
        """Blanks ``observation`` (``[..., size, size, C]``) in place."""
        for rows, columns in self.areas:
            observation[..., rows, columns, :] = 0
