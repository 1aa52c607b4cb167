"""What the reward model looks at: how much its reward for a step changes when a place of the observation is blotted out.

Perturbation saliency (Greydanus et al. 2018, "Visualizing and understanding Atari agents") on the learned reward: pixels are blurred in
a soft round spot (their section 3); a cell of a small grid is emptied; a feature of a vector is set to 0. The place is blotted out before
and after the step alike, in all stacked frames.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlhf_games.arena.insight import Mind
from rlhf_games.arena.tape import Seen

if TYPE_CHECKING:
    from rlhf_games.core.spaces import Observation

_STRIDE = 6
"""Pixels between spots; 5 in the paper."""
_SPOT = 5.0
"""Standard deviation of a spot, in pixels, as in the paper."""
_BLUR = 3.0
"""Standard deviation of the blur, in pixels, as in the paper."""


class Saliency(NamedTuple):
    """Where one seat's reward for one step comes from."""

    heat: NDArray[np.float32]
    """``[H, W]`` (``[1, F]`` for a vector) in [0, 1]: share of the strongest place."""
    strongest: float
    """How much the reward changes at most, in units of the learned reward; 0 where nothing matters (then ``heat`` is 0 too)."""
    channels: NDArray[np.float32]
    """``[C]`` in units of the learned reward: the change when a whole plane is emptied; ``[0]`` where planes mean nothing."""


def saliency(mind: Mind, seen: Seen, seat: int, about: Observation) -> Saliency:
    """Asks the reward model about every place; ``seen`` holds one decision.

    Args:
      mind: whose reward model.
      seen: the step.
      seat: whose reward.
      about: what the observation is.
    """
    before, after = seen.observation[0, seat], seen.next_observation[0, seat]
    if about.layout == "image":
        masks = _spots(before.shape[0], before.shape[1])
        changes = _changes(mind, seen, seat, _blurred(before, masks), _blurred(after, masks))
        heat = np.tensordot(changes, masks, 1) / np.maximum(masks.sum(0), 1e-6)
        return _scaled(heat, np.zeros(0, np.float32))
    places = _grid_places(before.shape) if about.layout == "grid" else np.eye(before.shape[0], dtype=bool)
    changes = _changes(mind, seen, seat, _emptied(before, places), _emptied(after, places))
    cells = before.shape[0] * before.shape[1] if about.layout == "grid" else 0
    if cells:
        return _scaled(changes[:cells].reshape(before.shape[:2]), changes[cells:])
    return _scaled(changes[None], np.zeros(0, np.float32))


def _scaled(heat: NDArray[np.float32], channels: NDArray[np.float32]) -> Saliency:
    strongest = float(heat.max())
    return Saliency((heat / strongest if strongest > 0 else heat).astype(np.float32), strongest, channels)


def _changes(mind: Mind, seen: Seen, seat: int, before: NDArray[Any], after: NDArray[Any]) -> NDArray[np.float32]:
    """``[n]`` change of the ensemble's mean reward for ``n`` changed pairs of observations."""
    from rlhf_games.rollout.device import Transition

    n = len(before) + 1
    now = np.concatenate([seen.observation[:1, seat], before])
    then = np.concatenate([seen.next_observation[:1, seat], after])
    action, reward = (np.repeat(array[:1, seat], n, axis=0) for array in (seen.action, seen.reward))
    rows: list[Any] = [now, action, then, reward]
    mean = np.asarray(mind.reward(Transition(*rows)), np.float32).mean(0)
    changes: NDArray[np.float32] = np.abs(mean[1:] - mean[0])
    return changes


def _grid_places(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """``[H·W + C, H, W, C]``: each cell with all its planes, then each plane with all its cells."""
    height, width, depth = shape
    cells = np.eye(height * width, dtype=bool).reshape(-1, height, width, 1).repeat(depth, -1)
    planes = np.eye(depth, dtype=bool)[:, None, None].repeat(height, 1).repeat(width, 2)
    return np.concatenate([cells, planes])


def _emptied(observation: NDArray[Any], places: NDArray[np.bool_]) -> NDArray[Any]:
    """``[n, ...]`` the observation with each of the places set to 0."""
    emptied = np.where(places, np.zeros((), observation.dtype), observation[None])
    return np.asarray(emptied)


def _spots(height: int, width: int) -> NDArray[np.float32]:
    """``[n, H, W]`` soft round masks with 1 at their middle, on an even grid of places."""
    ys, xs = (np.arange(_STRIDE // 2, size, _STRIDE) for size in (height, width))
    down = np.exp(-((np.arange(height)[None] - ys[:, None]) ** 2) / (2 * _SPOT**2))
    right = np.exp(-((np.arange(width)[None] - xs[:, None]) ** 2) / (2 * _SPOT**2))
    spots: NDArray[np.float32] = (down[:, None, :, None] * right[None, :, None, :]).reshape(-1, height, width).astype(np.float32)
    return spots


def _blurred(observation: NDArray[Any], masks: NDArray[np.float32]) -> NDArray[Any]:
    """``[n, H, W, C]`` pixels, blurred where each mask is 1."""
    from scipy.ndimage import gaussian_filter

    sharp = observation.astype(np.float32)
    soft = gaussian_filter(sharp, (_BLUR, _BLUR, 0))
    mixed = sharp[None] + masks[..., None] * (soft - sharp)[None]
    blurred: NDArray[Any] = (np.rint(mixed) if observation.dtype == np.uint8 else mixed).astype(observation.dtype)
    return blurred
