"""How it is shown on a picture what the reward model looks at: the rest goes dark, and the strongest places are framed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rlhf_games.arena.saliency import Saliency

_DARK = 0.22
"""Brightness that places without any weight keep."""
_FRAMED = 0.5
"""Places of at least this share of the strongest one are framed."""
_FRAME = (255, 255, 255)
_THIN = 160
"""A picture this high has frames of one pixel, a higher one thicker ones."""


def lit(picture: NDArray[np.uint8], what: Saliency, board: tuple[int, int, int, int] | None) -> NDArray[np.uint8]:
    """The picture ``[H, W, 3]`` with every place as bright as it matters.

    Args:
      picture: the state.
      what: where the reward comes from.
      board: ``GameSpec.board_in_frame``; None: the observation fills the picture.
    """
    shown = picture.copy()
    top, left, height, width = board or (0, 0, *picture.shape[:2])
    heat = stretched(what.heat, height, width)
    part = shown[top : top + height, left : left + width]
    part[:] = (part * (_DARK + (1 - _DARK) * heat)[..., None]).astype(np.uint8)
    if what.strongest > 0:
        part[edge(heat >= _FRAMED, max(1, height // _THIN))] = _FRAME
    return shown


def stretched(heat: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """``[height, width]``: each place of the observation as a block of pixels."""
    rows = np.arange(height) * heat.shape[0] // height
    columns = np.arange(width) * heat.shape[1] // width
    blocks: NDArray[np.float32] = heat[rows][:, columns]
    return blocks


def edge(inside: NDArray[np.bool_], width: int = 1) -> NDArray[np.bool_]:
    """The outermost pixels of an area, so many deep."""
    core = inside
    for _ in range(width):
        padded = np.pad(core, 1)
        core = core & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    found: NDArray[np.bool_] = inside & ~core
    return found
