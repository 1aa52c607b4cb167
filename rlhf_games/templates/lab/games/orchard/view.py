"""Draws what is given to it; knows nothing of the rules."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_CELL = 24
"""Pixels per cell."""
_SKY, _BASKET, _APPLE = (28, 36, 48), (196, 154, 92), (214, 62, 54)


def frame_shape(cells: tuple[int, int]) -> tuple[int, int]:
    """``(height, width)`` in pixels of a field of ``(rows, columns)``."""
    return cells[0] * _CELL, cells[1] * _CELL


def draw(planes: NDArray[Any]) -> NDArray[np.uint8]:
    """``[rows, columns, 2]`` (basket, apple) to a picture ``[H, W, 3]``."""
    cells = np.full((*planes.shape[:2], 3), _SKY, np.uint8)
    cells[planes[..., 0]] = _BASKET
    cells[planes[..., 1]] = _APPLE
    return cells.repeat(_CELL, axis=0).repeat(_CELL, axis=1)
