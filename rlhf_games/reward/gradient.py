"""How likely answers are under a reward model, and the gradient of that, a few answers at a time.

Shapes: ``M`` members, ``K`` capacity (answers of a kind, padded), ``B`` chosen answers, ``L`` steps of a clip, ``A`` annotators who rate.
"""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rlhf_games.core.agent import PyTree
from rlhf_games.reward.ensemble import RewardEnsemble, RewardParams
from rlhf_games.reward.rows import LIKELIHOODS, STARS, Answers, Rows, Scale, ascending, raw_cuts

_MICRO = 48
"""Clips whose gradient is taken at once on CPU (measured with 400 inputs and 1,000 pairs: 32 takes a sixth longer, 96 a fifth)."""
_MICRO_PIXELS = 8
"""The same for networks on pixels."""
_MEASURED = 64
"""Answers that are measured at once where micro-batches are not small."""


class Learned(NamedTuple):
    """What gradient steps change, of all members or of one."""

    members: PyTree
    """Networks."""
    tie_margin: jax.Array
    """``[M]`` or ``[]``, as in `RewardParams`."""
    cuts: jax.Array
    """``[M, A, STARS - 1]`` or ``[A, STARS - 1]``: each annotator's cut-points, as `raw_cuts` gives them."""

    def scale(self) -> Scale:
        """Of one member."""
        return Scale(jax.nn.softplus(self.tie_margin), ascending(self.cuts))


def clip_returns(ensemble: RewardEnsemble, params: RewardParams, features: jax.Array, mask: jax.Array) -> jax.Array:
    """``[M, ...]`` sums of raw predicted reward along clips: features ``[..., L, F]``, mask ``[..., L]``; no discounting."""
    flat = features.reshape(mask.size, *features.shape[mask.ndim :])
    outputs = ensemble.raw(params, flat).reshape(-1, *mask.shape)
    return jnp.sum(jnp.where(mask[None], outputs, 0.0), axis=-1)


def log_probs(
    ensemble: RewardEnsemble, params: RewardParams, kind: str, rows: Rows, noise: float, cuts: jax.Array | None = None
) -> jax.Array:
    """``[M, K]`` log-probability of each label of a kind under each member; ratings need the ``[M, A, STARS - 1]`` cut-points."""
    raw = jnp.zeros((ensemble.members, 0, STARS - 1), jnp.float32) if cuts is None else raw_cuts(cuts)
    found: jax.Array = _every_log_prob(ensemble, noise, kind, params, rows, raw)
    return found


@partial(jax.jit, static_argnums=(0, 1, 2))
def _every_log_prob(ensemble: RewardEnsemble, noise: float, kind: str, params: RewardParams, rows: Rows, cuts: jax.Array) -> jax.Array:
    ready = prepared(ensemble, params, {kind: rows})[kind]
    learned = Learned(params.members, params.tie_margin, cuts)
    return members_log_prob(ensemble, noise, learned, kind, ready, jnp.arange(rows.weight.shape[1]))


def prepared(ensemble: RewardEnsemble, params: RewardParams, data: Answers) -> dict[str, Rows]:
    """The same rows with features as the networks take them."""

    def one(rows: Rows) -> Rows:
        return rows._replace(clips=rows.clips._replace(content=ensemble.prepared(params, rows.clips.content)))

    return {kind: one(rows) for kind, rows in data.items()}


def _member_log_prob(ensemble: RewardEnsemble, noise: float, learned: Learned, kind: str, rows: Rows, part: jax.Array) -> jax.Array:
    """``[B]`` log-probability of the labels of the rows ``part`` under one member."""
    places = rows.places[part]
    features = rows.clips.features(places)
    steps = features.shape[:3]
    outputs = ensemble.member(learned.members, features.reshape(math.prod(steps), *features.shape[3:])).reshape(1, *steps)
    returns = rows.clips.summed(outputs, places)[0]
    return LIKELIHOODS[kind](returns, rows.label[part], rows.annotator[part], learned.scale(), noise)


def members_log_prob(ensemble: RewardEnsemble, noise: float, learned: Learned, kind: str, rows: Rows, part: jax.Array) -> jax.Array:
    """``[M, B]``: all members."""
    returns = _members_returns(ensemble, learned.members, rows, part)
    scale = Scale(jax.nn.softplus(learned.tie_margin), ascending(learned.cuts))
    return returns_log_prob(kind, returns, rows.label[part], rows.annotator[part], scale, noise)


def returns_log_prob(kind: str, returns: jax.Array, label: jax.Array, annotator: jax.Array, scale: Scale, noise: float) -> jax.Array:
    """``[M, B]`` log-probability of answers of a kind, given what each member says their clips are worth.

    Args:
      kind: of answer.
      returns: ``[M, B, W]``.
      label: ``[B, ...]``, as in `Rows`.
      annotator: ``[B]``.
      scale: of all members: tie margins ``[M]`` and cut-points ``[M, A, STARS - 1]``.
      noise: ε.
    """
    found: jax.Array = jax.vmap(lambda worth, mine: LIKELIHOODS[kind](worth, label, annotator, mine, noise))(returns, scale)
    return found


def _members_returns(ensemble: RewardEnsemble, members: PyTree, rows: Rows, part: jax.Array) -> jax.Array:
    """``[M, B, W]`` credited sums of raw predicted reward along the clips of the rows ``part``, features prepared."""
    places = rows.places[part]
    features = rows.clips.features(places)
    steps = features.shape[:3]
    outputs = ensemble.outputs(members, features.reshape(math.prod(steps), *features.shape[3:])).reshape(-1, *steps)
    return rows.clips.summed(outputs, places)


def returns_of(ensemble: RewardEnsemble, params: RewardParams, rows: Rows) -> jax.Array:
    """``[M, K, W]`` credited sums of raw predicted reward along the clips of all rows of a kind, a few at a time."""
    return prepared_returns(ensemble, params.members, prepared(ensemble, params, {"": rows})[""])


def prepared_returns(ensemble: RewardEnsemble, members: PyTree, rows: Rows) -> jax.Array:
    """The same of rows whose features are prepared."""
    size = _micro_batch(ensemble, rows, _MEASURED)
    count = rows.places.shape[0]
    index = jnp.pad(jnp.arange(count), (0, -count % size)).reshape(-1, size)
    found = jax.lax.map(lambda part: _members_returns(ensemble, members, rows, part), index)  # [blocks, M, size, W]
    return jnp.moveaxis(found, 1, 0).reshape(ensemble.members, -1, rows.places.shape[1])[:, :count]


def _micro_batch(ensemble: RewardEnsemble, rows: Rows, size: int) -> int:
    """Answers whose gradient is taken at once, out of ``size``.

    Small on CPU, where it costs nothing: what is at hand stays in the cache, convolutions get slower with batch size, and a minibatch is
    left as soon as the rows that a member drew are done.
    """
    clips = _MICRO_PIXELS if ensemble.pixels else _MICRO
    return size if jax.default_backend() != "cpu" else max(1, min(size, clips // rows.places.shape[1]))


def member_gradient(
    ensemble: RewardEnsemble, noise: float, learned: Learned, kind: str, rows: Rows, weight: jax.Array, chosen: jax.Array
) -> tuple[Learned, jax.Array]:
    """One member's gradient of the summed loss on some rows of a kind, and that loss.

    Rows of weight 0 do no work: a bootstrap leaves out more than a third of all rows.

    Args:
      ensemble: the networks.
      noise: ε.
      learned: of this member.
      kind: of answer.
      rows: with prepared features.
      weight: ``[K + 1]`` of this member; the last one, 0, is for filling up.
      chosen: ``[B]`` rows; may repeat rows whose weight is 0.
    """
    size = _micro_batch(ensemble, rows, chosen.shape[0])
    drawn = weight[chosen] > 0
    chosen = chosen[jnp.argsort(~drawn)]
    chosen = jnp.pad(chosen, (0, -chosen.shape[0] % size))

    def loss(learned: Learned, part: jax.Array, weight: jax.Array) -> jax.Array:
        return -jnp.sum(_member_log_prob(ensemble, noise, learned, kind, rows, part) * weight)

    def chunk(i: jax.Array, total: tuple[jax.Array, Learned]) -> tuple[jax.Array, Learned]:
        place = i * size + jnp.arange(size)
        part = chosen[place]
        counts = jnp.where(place < jnp.sum(drawn), weight[part], 0.0)
        found: tuple[jax.Array, Learned] = jax.tree.map(jnp.add, total, jax.value_and_grad(loss)(learned, part, counts))
        return found

    nothing = (jnp.float32(0.0), jax.tree.map(jnp.zeros_like, learned))
    if size == chosen.shape[0]:
        value, gradient = chunk(jnp.int32(0), nothing)
    else:
        value, gradient = jax.lax.fori_loop(0, (jnp.sum(drawn) + size - 1) // size, chunk, nothing)
    return gradient, value


def log_probs_of(
    ensemble: RewardEnsemble, noise: float, learned: Learned, kind: str, rows: Rows, index: jax.Array, count: jax.Array
) -> jax.Array:
    """``[M, K]`` log-probabilities of the labels of the first ``count`` of the rows ``index``; 0 for all others.

    Args:
      ensemble: the networks.
      noise: ε.
      learned: of all members.
      kind: of answer.
      rows: with prepared features.
      index: ``[K]`` rows.
      count: ``[]`` int32.
    """
    size = min(index.shape[0], 2 * _micro_batch(ensemble, rows, _MEASURED))
    index = jnp.pad(index, (0, -index.shape[0] % size))

    def block(i: jax.Array, found: jax.Array) -> jax.Array:
        part = jax.lax.dynamic_slice_in_dim(index, i * size, size)
        return jax.lax.dynamic_update_slice_in_dim(found, members_log_prob(ensemble, noise, learned, kind, rows, part), i * size, axis=1)

    found = jax.lax.fori_loop(0, (count + size - 1) // size, block, jnp.zeros((ensemble.members, index.shape[0]), jnp.float32))
    return jnp.where((jnp.arange(index.shape[0]) < count)[None], found, 0.0)[:, : rows.holdout.shape[0]]
