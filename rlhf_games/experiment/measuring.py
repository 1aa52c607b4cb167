"""What a fit is worth: the reward that is paid, measured on labels that it was not fitted to, as metrics of the run.

Shapes: ``M`` members, ``n`` measured labels, ``W`` clips of a label, ``L`` steps of a clip, ``B`` steps of the present policy.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from rlhf_games.feedback.likelihoods import FIRST, SECOND, TIE
from rlhf_games.reward.dataset import AnswerDataset
from rlhf_games.reward.diagnostics import report
from rlhf_games.reward.ensemble import RewardEnsemble, RewardParams
from rlhf_games.reward.rows import Rows

_BLOCK = 32
"""Labels that are predicted together; the last block is filled up, so that one program does for all."""
_KNOWN = 128
"""Training labels, at most, whose steps the members' disagreement on the present policy's is compared with."""


class _Pairs(NamedTuple):
    """Pairs of clips that labels speak about."""

    row: NDArray[np.int64]
    first: NDArray[np.int64]
    """Place of the first clip in its row."""
    second: NDArray[np.int64]
    label: NDArray[np.int64]
    """``FIRST``, ``SECOND`` or ``TIE``."""


def measured(
    ensemble: RewardEnsemble, params: RewardParams, data: AnswerDataset, kind: str, current: NDArray[Any], noise: float
) -> dict[str, float]:
    """Metrics ``reward_model/accuracy``, ``/nll``, ``/nll_floor``, ``/ece``, ``/spearman``, ``/spread_ratio`` and the others of
    `rlhf_games.reward.diagnostics.Report`; what cannot be computed is left out.

    A ranking is measured as all its pairs; a rating has no pairs, so only ``/spearman`` and ``/spread_ratio`` are known.

    Args:
      ensemble: the networks.
      params: as fitted and calibrated.
      data: the labels; hold-out rows are measured, true returns come with the clips.
      kind: preference, ranking or rating.
      current: ``[M, B]`` raw outputs on the present policy's steps.
      noise: ε of the likelihood.
    """
    labels, holdout = data.of(kind)
    if not labels:
        return {}
    index, held = _rows(holdout)
    rows = data.rows()[kind]
    zero = np.asarray(params.offset)
    outputs = _outputs(ensemble, params, rows, index) - zero[:, None, None, None]  # [M, rows, W, L]
    places = np.asarray(rows.places)[index]
    mask = np.asarray(rows.clips.mask)[places] & _shown(kind, np.asarray(rows.label)[index], places.shape)[..., None]
    unit = np.asarray(params.scale)[:, None]
    returns = np.where(mask, outputs, 0.0).sum(axis=-1)[:, :held]
    true = data.returns(kind)[index[:held]]
    pairs = _pairs(kind, np.asarray(rows.label)[index[:held]])
    there = np.isfinite(true)
    found = report(
        returns[:, pairs.row, pairs.first],
        returns[:, pairs.row, pairs.second],
        pairs.label,
        noise,
        unit=unit[:, 0],
        true_returns=np.stack([true[pairs.row, pairs.first], true[pairs.row, pairs.second]], axis=-1),
        labelled=outputs[:, held:][:, mask[held:]] / unit,
        current=(current - zero[:, None]) / unit,
        clips=(returns[:, there] / unit, true[there]),
    )
    return {f"reward_model/{name}": value for name, value in found.to_dict().items()}


def _shown(kind: str, label: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """``[n, W]`` where a label has a clip."""
    return label >= 0 if kind == "ranking" else np.ones(shape, bool)


def _pairs(kind: str, label: NDArray[Any]) -> _Pairs:
    """What ``n`` labels say about pairs."""
    if kind == "preference":
        row = np.arange(len(label))
        return _Pairs(row, np.zeros_like(row), np.ones_like(row), label.astype(np.int64))
    both = list(combinations(range(label.shape[1]), 2)) if kind == "ranking" else []
    found = [(row, a, b) for row, ranks in enumerate(label) for a, b in both if ranks[a] >= 0 and ranks[b] >= 0]
    row, first, second = np.array(found, np.int64).reshape(-1, 3).T
    difference = label[row, first] - label[row, second] if len(row) else np.zeros(0, np.int64)
    return _Pairs(row, first, second, np.where(difference == 0, TIE, np.where(difference < 0, FIRST, SECOND)))


def _rows(holdout: NDArray[np.bool_]) -> tuple[NDArray[np.int64], int]:
    """The hold-out's rows, then a sample of the others spread evenly from old to new; and how many the hold-out has."""
    held, trained = np.flatnonzero(holdout), np.flatnonzero(~holdout)
    sample = trained[np.linspace(0, len(trained) - 1, min(len(trained), _KNOWN)).astype(int)] if len(trained) else trained
    return np.concatenate([held, sample]), len(held)


def _outputs(ensemble: RewardEnsemble, params: RewardParams, rows: Rows, index: NDArray[np.int64]) -> NDArray[Any]:
    """``[M, n, W, L]`` raw outputs on the clips of the rows ``index``."""
    parts = []
    for begin in range(0, len(index), _BLOCK):
        block = index[begin : begin + _BLOCK]
        filled = np.concatenate([block, np.zeros(_BLOCK - len(block), np.int64)])
        parts.append(np.asarray(_predict(ensemble, params, rows, jnp.asarray(filled, jnp.int32)))[:, : len(block)])
    return np.concatenate(parts, axis=1)


def _raw(ensemble: RewardEnsemble, params: RewardParams, rows: Rows, index: jax.Array) -> jax.Array:
    block = rows.clips.features(rows.places[index])
    count, width, length = block.shape[:3]
    return ensemble.raw(params, block.reshape(count * width * length, *block.shape[3:])).reshape(-1, count, width, length)


_predict = jax.jit(_raw, static_argnums=0)
