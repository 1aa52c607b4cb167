"""What a fit is worth: the reward model measured on labels that it was not fitted to, as metrics of the run.

Shapes: ``M`` members, ``n`` measured labels, ``L`` steps of a clip, ``B`` steps of the present policy.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from rlhf_games.reward.dataset import PairDataset
from rlhf_games.reward.diagnostics import report
from rlhf_games.reward.ensemble import RewardEnsemble, RewardParams

_BLOCK = 32
"""Pairs that are predicted together; the last block is filled up, so that one program does for all."""
_KNOWN = 128
"""Training pairs, at most, whose steps the members' disagreement on the present policy's is compared with."""


def measured(ensemble: RewardEnsemble, params: RewardParams, data: PairDataset, current: NDArray[Any], noise: float) -> dict[str, float]:
    """Metrics ``reward_model/accuracy``, ``/nll``, ``/nll_floor``, ``/ece``, ``/spearman``, ``/spread_ratio`` and the others of
    `rlhf_games.reward.diagnostics.Report`; what cannot be computed is left out.

    Args:
      ensemble: the networks.
      params: as fitted and calibrated.
      data: the labels; hold-out rows are measured, true returns come with the clips.
      current: ``[M, B]`` raw outputs on the present policy's steps.
      noise: ε of the likelihood.
    """
    rows, held = _rows(data.holdout)
    comparisons = data.comparisons()
    outputs = _outputs(ensemble, params, comparisons.features, rows)  # [M, rows, 2, L]
    mask = np.asarray(comparisons.mask)[rows]
    unit = np.asarray(params.scale)[:, None]
    returns = np.where(mask, outputs, 0.0).sum(axis=-1)[:, :held]
    true = data.returns()[rows[:held]]
    found = report(
        returns[..., 0],
        returns[..., 1],
        np.asarray(comparisons.label)[rows[:held]],
        noise,
        true_returns=true,
        labelled=outputs[:, held:][:, mask[held:]] / unit,
        current=current / unit,
        clips=(returns.reshape(len(returns), -1) / unit, true.reshape(-1)),
    )
    return {f"reward_model/{name}": value for name, value in found.to_dict().items()}


def _rows(holdout: NDArray[np.bool_]) -> tuple[NDArray[np.int64], int]:
    """The hold-out's rows, then a sample of the others spread evenly from old to new; and how many the hold-out has."""
    held, trained = np.flatnonzero(holdout), np.flatnonzero(~holdout)
    sample = trained[np.linspace(0, len(trained) - 1, min(len(trained), _KNOWN)).astype(int)] if len(trained) else trained
    return np.concatenate([held, sample]), len(held)


def _outputs(ensemble: RewardEnsemble, params: RewardParams, features: jax.Array, rows: NDArray[np.int64]) -> NDArray[Any]:
    """``[M, n, 2, L]`` raw outputs of ``features[rows]``."""
    parts = []
    for begin in range(0, len(rows), _BLOCK):
        block = rows[begin : begin + _BLOCK]
        filled = np.concatenate([block, np.zeros(_BLOCK - len(block), np.int64)])
        parts.append(np.asarray(_predict(ensemble, params, features, jnp.asarray(filled, jnp.int32)))[:, : len(block)])
    return np.concatenate(parts, axis=1)


def _raw(ensemble: RewardEnsemble, params: RewardParams, features: jax.Array, rows: jax.Array) -> jax.Array:
    block = features[rows]
    flat = block.reshape(block.shape[0] * 2 * block.shape[2], *block.shape[3:])
    return ensemble.raw(params, flat).reshape(-1, *block.shape[:3])


_predict = jax.jit(_raw, static_argnums=0)
