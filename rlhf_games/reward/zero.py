"""Where the zero of the reward lies: where the answers put it; as far as they leave it open, at a convention.

Comparisons of clips of equal length say nothing about what a step is worth in itself, nor do stars for such clips. Where episodes can
end, though, that decides whether living longer is good, so it must not be left to a network's bias: the convention is that the median
step of the present policy is worth 0. But comparisons of clips of *unequal* length (clips stop where episodes end), live evaluations and
ratings of short episodes do say what a step is worth. Then the convention would contradict them: in CartPole, where every step is worth
1, it turned a right reward model upside down.

Shapes: ``M`` members, ``K`` capacity (answers of a kind, padded), ``W`` clips of an answer, ``A`` annotators who rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray

from rlhf_games.reward.gradient import returns_log_prob
from rlhf_games.reward.rows import Rows, Scale

DOUBT = 1.92
"""Nats of log-likelihood: half of the 95 % quantile of chi squared with one degree of freedom. Zeros that cost less are in the 95 %
confidence interval (profile likelihood; Venzon & Moolgavkar 1988)."""
_PARTS = 20
"""The way from the fitted zero to the convention is looked at in so many parts."""


class Fitted(NamedTuple):
    """The answers of one kind after a fit."""

    kind: str
    rows: Rows
    returns: jax.Array
    """``[M, K, W]`` (credited) sums of raw predicted reward, as fitted."""
    scale: Scale
    """Of all members: tie margins ``[M]`` and cut-points ``[M, A, STARS - 1]``."""
    weight: float = 1.0
    """How much an answer of the kind counts in the fit."""


class Zero(NamedTuple):
    """Where zero is."""

    offset: NDArray[np.float32]
    """``[M]`` raw output of each member that is worth 0."""
    open: float
    """Share in [0, 1] of the way from the fitted zero to the convention that the answers allow. 1: they say nothing against the
    convention; 0: they rule out every step towards it."""


def find_zero(kinds: Sequence[Fitted], anchor: ArrayLike, noise: float) -> Zero:
    """The zero nearest to the convention that the answers do not contradict.

    Args:
      kinds: all answers, those held out too.
      anchor: ``[M]`` the raw outputs that the convention says are worth 0.
      noise: ε of the likelihood.
    """
    target = np.asarray(anchor, np.float32)
    share = np.linspace(0.0, 1.0, _PARTS + 1, dtype=np.float32)
    cost = np.zeros(_PARTS + 1)
    for kind in kinds:
        answers = np.asarray(jnp.any(kind.rows.weight > 0, axis=0) | kind.rows.holdout)
        found = np.stack([np.asarray(paid_log_prob(kind, part * target, noise), np.float64)[:, answers].sum(1).mean() for part in share])
        cost += kind.weight * (found[0] - found)
    allowed = int(np.argmax(cost > DOUBT)) - 1 if (cost > DOUBT).any() else _PARTS
    return Zero(share[allowed] * target, float(share[allowed]))


def paid_log_prob(kind: Fitted, offset: ArrayLike, noise: float) -> jax.Array:
    """``[M, K]`` log-probability of the answers under the reward that is paid: with ``offset`` ``[M]`` subtracted from every step.

    An annotator's cut-points move with the average clip that was rated: stars for clips of one length leave the zero open.
    """
    found: jax.Array = _shifted(kind.kind, noise, kind.rows, kind.returns, kind.scale, jnp.asarray(offset, jnp.float32))
    return found


def constant_log_prob(kind: Fitted, noise: float) -> jax.Array:
    """``[M, K]`` the same where all clips are worth the same: what the rest of the model knows, without the reward."""
    found: jax.Array = _constant(kind.kind, noise, kind.rows, kind.returns, kind.scale)
    return found


@partial(jax.jit, static_argnums=(0, 1))
def _shifted(kind: str, noise: float, rows: Rows, returns: jax.Array, scale: Scale, offset: jax.Array) -> jax.Array:
    steps = _steps(rows)
    if kind == "rating":
        there = (jnp.any(rows.weight > 0, axis=0) | rows.holdout).astype(jnp.float32)
        raters = scale.cuts.shape[1]
        count = jax.ops.segment_sum(there, rows.annotator, raters)
        usual = jax.ops.segment_sum(there * steps[:, 0], rows.annotator, raters) / jnp.maximum(count, 1.0)
        scale = scale._replace(cuts=scale.cuts - offset[:, None, None] * usual[None, :, None])
    paid = returns - offset[:, None, None] * steps[None]
    return returns_log_prob(kind, paid, rows.label, rows.annotator, scale, noise)


@partial(jax.jit, static_argnums=(0, 1))
def _constant(kind: str, noise: float, rows: Rows, returns: jax.Array, scale: Scale) -> jax.Array:
    there = (jnp.any(rows.weight > 0, axis=0) | rows.holdout).astype(jnp.float32)
    mean = jnp.sum(returns * there[None, :, None], axis=(1, 2), keepdims=True)
    mean = mean / (jnp.maximum(jnp.sum(there), 1.0) * returns.shape[2])
    return returns_log_prob(kind, jnp.broadcast_to(mean, returns.shape), rows.label, rows.annotator, scale, noise)


def _steps(rows: Rows) -> jax.Array:
    """``[K, W]`` how many steps each clip has, credited where steps are credited."""
    ones = jnp.ones((1, *rows.places.shape, rows.clips.mask.shape[-1]), jnp.float32)
    return rows.clips.summed(ones, rows.places)[0]
