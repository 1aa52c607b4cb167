"""Shrinking pictures, exactly.

Each output pixel is the area-weighted mean of the input pixels it covers, rounded half up. Overlaps are whole numbers (of ``1 / size``
input pixels), so that everything is integer arithmetic: the same on every machine. No matrix product: BLAS would start threads of its own
under those of the batch.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


def shrink(picture: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """``[H, W] → [size, size]``, for sides of at least ``size`` and at most 256 pixels."""
    height, width = picture.shape
    rows, row_weights = _taps(height, size)
    columns, column_weights = _taps(width, size)
    narrow = np.zeros((height, size), np.int32)
    for index, weight in zip(columns, column_weights, strict=True):
        narrow += picture[:, index] * weight
    small = np.full((size, size), height * width // 2, np.int32)
    for index, weight in zip(rows, row_weights, strict=True):
        small += narrow[index] * weight[:, None]
    shrunk: NDArray[np.uint8] = (small // (height * width)).astype(np.uint8)
    return shrunk


@lru_cache(maxsize=16)
def _taps(source: int, size: int) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
    """The input pixels under each output pixel, ``[K, size]``, and their overlaps, ``[K, size]``, which sum to ``source``.

    Output pixel ``k`` spans ``[k · source, (k + 1) · source)``, input pixel ``i`` spans ``[i · size, (i + 1) · size)``.
    """
    start = np.arange(size) * source
    first = start // size
    index = first + np.arange(-(-source // size) + 1)[:, None]
    overlap = np.minimum(start + source, (index + 1) * size) - np.maximum(start, index * size)
    return np.minimum(index, source - 1), np.maximum(overlap, 0).astype(np.int32)
