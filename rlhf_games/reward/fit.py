"""Fitting the ensemble to comparisons: one compiled program for all members, all epochs and early stopping.

Shapes: ``M`` members, ``K`` capacity (comparisons, padded), ``L`` steps of a clip, ``B`` comparisons of a minibatch.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import optax

from rlhf_games.core.agent import PyTree
from rlhf_games.core.promotion import third_party
from rlhf_games.feedback.likelihoods import preference_log_prob
from rlhf_games.reward.ensemble import RewardEnsemble, RewardParams


@dataclass(frozen=True)
class FitConfig:
    """How the reward model is fitted."""

    learning_rate: float = 2e-3
    """Adam's step size."""
    batch: int = 64
    """Comparisons per gradient step."""
    max_epochs: int = 40
    """Passes at most."""
    patience: int = 6
    """Passes without a better hold-out loss before fitting stops."""
    least_gain: float = 0.01
    """A pass counts as better when a member's hold-out loss fell by this share."""
    noise: float = 0.1
    """ε: share of answers taken to be random (Christiano et al. 2017 use 0.1)."""
    weight_decay: float = 1e-4
    """Coefficient of the L2 penalty at the start of each fit; adapted while fitting."""
    overfit_low: float = 1.1
    """Below this ratio of hold-out to training loss the penalty is relaxed (Christiano et al. 2017, appendix A.1)."""
    overfit_high: float = 1.5
    """Above this ratio it is tightened."""
    holdout: float = 0.2
    """Share of comparisons that never train, only measure."""
    bootstrap: bool = True
    """Each member sees its own resampling of the comparisons."""
    warm_start: bool = True
    """Go on from the last fit; False: from fresh weights each time."""

    def __post_init__(self) -> None:
        for name in ("learning_rate", "batch", "max_epochs", "patience"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        for name in ("noise", "holdout"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ValueError(f"{name} must be in [0, 1), got {getattr(self, name)}")


LEAST_TIE_MARGIN = -5.0
"""``RewardParams.tie_margin`` stays above it: a margin of 0.0067."""
_MICRO = 16
"""Comparisons whose gradient is taken at once on CPU (measured: as fast as 8, 24 or 48, and a quarter of the usual minibatch)."""
_MICRO_PIXELS = 4
"""The same for networks on pixels."""

Learned: TypeAlias = tuple[PyTree, jax.Array]
"""What gradient steps change: the members' networks and their tie margins."""


class Comparisons(NamedTuple):
    """Labelled pairs, padded to a capacity so that programs are compiled once."""

    features: jax.Array
    """``[K, 2, L, ...]`` encoded transitions of the first and the second clip."""
    mask: jax.Array
    """``[K, 2, L]`` bool: False past a clip's end."""
    label: jax.Array
    """``[K]`` int32: ``FIRST``, ``SECOND`` or ``TIE``."""
    weight: jax.Array
    """``[M, K]`` float32: how often each member's bootstrap drew the comparison; 0 on hold-out and padding."""
    holdout: jax.Array
    """``[K]`` bool."""


class FitState(NamedTuple):
    """What fitting carries on."""

    params: RewardParams
    optimiser: PyTree


class FitReport(NamedTuple):
    """What came of a fit; per member ``[M]``."""

    train_loss: jax.Array
    """Nats per comparison, noise and tie model included."""
    holdout_loss: jax.Array
    """Nats per comparison at the kept weights."""
    epochs: jax.Array
    """``[]`` int32 passes made."""
    weight_decay: jax.Array
    """``[M]`` penalty at the end."""
    log_prob: jax.Array
    """``[M, K]`` log-probability of each label at the kept weights; without meaning on padding."""


class _Loop(NamedTuple):
    state: FitState
    best: RewardParams
    best_loss: jax.Array
    train_loss: jax.Array
    decay: jax.Array
    epoch: jax.Array
    stale: jax.Array
    key: jax.Array


def optimiser() -> optax.GradientTransformation:
    """Adam without its step size."""
    return optax.scale_by_adam()


def initial_state(params: RewardParams) -> FitState:
    """A state before the first fit."""
    params = jax.tree.map(jnp.copy, params)  # `fit` donates its state; the caller keeps what it handed in
    return FitState(params, optimiser().init((params.members, params.tie_margin)))


def clip_returns(ensemble: RewardEnsemble, params: RewardParams, features: jax.Array, mask: jax.Array) -> jax.Array:
    """``[M, ...]`` sums of raw predicted reward along clips: features ``[..., L, F]``, mask ``[..., L]``; no discounting."""
    flat = features.reshape(mask.size, *features.shape[mask.ndim :])
    outputs = ensemble.raw(params, flat).reshape(-1, *mask.shape)
    return jnp.sum(jnp.where(mask[None], outputs, 0.0), axis=-1)


def log_probs(ensemble: RewardEnsemble, params: RewardParams, data: Comparisons, noise: float) -> jax.Array:
    """``[M, K]`` log-probability of each label under each member."""
    sums = clip_returns(ensemble, params, data.features, data.mask)
    margin = jax.nn.softplus(params.tie_margin)[:, None]
    return preference_log_prob(sums[:, :, 0] - sums[:, :, 1], data.label[None], margin, noise)


def _micro_batch(ensemble: RewardEnsemble, size: int) -> int:
    """Comparisons whose gradient is taken at once, out of ``size``.

    Small on CPU, where it costs nothing: what is at hand stays in the cache, convolutions get slower with batch size, and a minibatch is
    left as soon as the rows that a member drew are done.
    """
    return size if jax.default_backend() != "cpu" else min(size, _MICRO_PIXELS if ensemble.pixels else _MICRO)


def _member_gradient(
    ensemble: RewardEnsemble, config: FitConfig, learned: Learned, data: Comparisons, weight: jax.Array, rows: jax.Array
) -> tuple[Learned, jax.Array]:
    """One member's gradient of the summed loss on ``rows`` of the data, and that loss.

    Rows of weight 0 do no work: a bootstrap leaves out more than a third of all rows.

    Args:
      ensemble: the networks.
      config: noise.
      learned: of this member, without a leading axis.
      data: with prepared features.
      weight: ``[K]`` of this member.
      rows: ``[B]``; may repeat rows whose weight is 0.
    """
    size = _micro_batch(ensemble, rows.shape[0])
    drawn = weight[rows] > 0
    rows = rows[jnp.argsort(~drawn)]
    rows = jnp.pad(rows, (0, -rows.shape[0] % size))

    def loss(learned: Learned, part: jax.Array, weight: jax.Array) -> jax.Array:
        features, mask = data.features[part], data.mask[part]
        outputs = ensemble.member(learned[0], features.reshape(mask.size, *features.shape[3:])).reshape(mask.shape)
        sums = jnp.sum(jnp.where(mask, outputs, 0.0), axis=-1)
        found = preference_log_prob(sums[:, 0] - sums[:, 1], data.label[part], jax.nn.softplus(learned[1]), config.noise)
        return -jnp.sum(found * weight)

    def chunk(i: jax.Array, total: tuple[jax.Array, Learned]) -> tuple[jax.Array, Learned]:
        place = i * size + jnp.arange(size)
        part = rows[place]
        counts = jnp.where(place < jnp.sum(drawn), weight[part], 0.0)
        found: tuple[jax.Array, Learned] = jax.tree.map(jnp.add, total, jax.value_and_grad(loss)(learned, part, counts))
        return found

    nothing = (jnp.float32(0.0), jax.tree.map(jnp.zeros_like, learned))
    if size == rows.shape[0]:
        value, gradient = chunk(jnp.int32(0), nothing)
    else:
        value, gradient = jax.lax.fori_loop(0, (jnp.sum(drawn) + size - 1) // size, chunk, nothing)
    return gradient, value


def _gradient_step(
    ensemble: RewardEnsemble, config: FitConfig, state: FitState, data: Comparisons, rows: jax.Array, decay: jax.Array
) -> tuple[FitState, jax.Array]:
    """One step of every member on one minibatch; returns the summed loss of each member ``[M]``."""
    learned = (state.params.members, state.params.tie_margin)
    found = []
    for i in range(ensemble.members):  # one after the other: each draws other rows
        mine = jax.tree.map(lambda leaf: leaf[i], learned)  # noqa: B023
        found.append(_member_gradient(ensemble, config, mine, data, data.weight[i], rows))
    gradient, nll = jax.tree.map(lambda *parts: jnp.stack(parts), *found)
    count = jnp.maximum(jnp.sum(data.weight[:, rows], axis=1), 1.0)

    def penalised(g: jax.Array, p: jax.Array) -> jax.Array:
        shape = (-1, *(1,) * (p.ndim - 1))
        return g / count.reshape(shape) + 2.0 * decay.reshape(shape) * p

    gradient = (jax.tree.map(penalised, gradient[0], learned[0]), gradient[1] / count)
    with third_party():
        direction, moments = optimiser().update(gradient, state.optimiser)
    members, margin = jax.tree.map(lambda p, d: p - config.learning_rate * d, learned, direction)
    # without ties the margin falls; much further down it could never be found again, because errors would explain the first ties
    margin = jnp.maximum(margin, LEAST_TIE_MARGIN)
    return FitState(state.params._replace(members=members, tie_margin=margin), moments), nll


def _epoch(ensemble: RewardEnsemble, config: FitConfig, data: Comparisons, loop: _Loop) -> tuple[FitState, jax.Array]:
    """One pass over the training comparisons in random order; returns the mean loss of each member."""
    trains = jnp.any(data.weight > 0, axis=0)
    order = jnp.argsort(jax.random.uniform(loop.key, trains.shape) + jnp.where(trains, 0.0, 2.0))
    size = min(config.batch, trains.shape[0])
    batches = (jnp.sum(trains) + size - 1) // size
    # where the batch size does not divide the capacity, the last batch is filled up with a row that counts nowhere
    data = data._replace(weight=jnp.pad(data.weight, ((0, 0), (0, 1))))
    order = jnp.pad(order, (0, -order.shape[0] % size), constant_values=trains.shape[0])

    def step(i: jax.Array, carry: tuple[FitState, jax.Array]) -> tuple[FitState, jax.Array]:
        rows = jax.lax.dynamic_slice_in_dim(order, i * size, size)
        state, nll = _gradient_step(ensemble, config, carry[0], data, rows, loop.decay)
        return state, carry[1] + nll

    state, nll = jax.lax.fori_loop(0, batches, step, (loop.state, jnp.zeros_like(loop.best_loss)))
    return state, nll / jnp.maximum(jnp.sum(data.weight, axis=1), 1.0)


def _log_probs_of(
    ensemble: RewardEnsemble, config: FitConfig, params: RewardParams, data: Comparisons, index: jax.Array, count: jax.Array
) -> jax.Array:
    """``[M, K]`` log-probabilities of the labels of the first ``count`` of the rows ``index``; 0 for all others.

    Args:
      ensemble: the networks.
      config: noise.
      params: to measure.
      data: with prepared features.
      index: ``[K]`` rows.
      count: ``[]`` int32.
    """
    size = min(index.shape[0], 2 * _micro_batch(ensemble, config.batch))
    index = jnp.pad(index, (0, -index.shape[0] % size))
    margin = jax.nn.softplus(params.tie_margin)[:, None]

    def block(i: jax.Array, found: jax.Array) -> jax.Array:
        rows = jax.lax.dynamic_slice_in_dim(index, i * size, size)
        features, mask = data.features[rows], data.mask[rows]
        outputs = ensemble.outputs(params, features.reshape(mask.size, *features.shape[3:])).reshape(-1, *mask.shape)
        sums = jnp.sum(jnp.where(mask[None], outputs, 0.0), axis=-1)
        part = preference_log_prob(sums[:, :, 0] - sums[:, :, 1], data.label[rows][None], margin, config.noise)
        return jax.lax.dynamic_update_slice_in_dim(found, part, i * size, axis=1)

    found = jax.lax.fori_loop(0, (count + size - 1) // size, block, jnp.zeros((ensemble.members, index.shape[0]), jnp.float32))
    return jnp.where((jnp.arange(index.shape[0]) < count)[None], found, 0.0)[:, : data.label.shape[0]]


def _keep(better: jax.Array, new: RewardParams, old: RewardParams) -> RewardParams:
    """Each member's newer weights where they are better."""

    def pick(a: jax.Array, b: jax.Array) -> jax.Array:
        return jnp.where(better.reshape(-1, *(1,) * (a.ndim - 1)), a, b)

    members, margin = jax.tree.map(pick, (new.members, new.tie_margin), (old.members, old.tie_margin))
    return new._replace(members=members, tie_margin=margin)


@partial(jax.jit, static_argnums=(0, 1), donate_argnums=(2,))
def fit(ensemble: RewardEnsemble, config: FitConfig, state: FitState, data: Comparisons, key: jax.Array) -> tuple[FitState, FitReport]:
    """Fits all members until their hold-out loss stops falling; keeps each member's best weights. The key is consumed.

    ``state`` is donated: use what is returned.
    """
    prepared = data._replace(features=ensemble.prepared(state.params, data.features))
    index = jnp.argsort(~data.holdout)
    held_count = jnp.sum(data.holdout)
    zeros = jnp.zeros((ensemble.members,), jnp.float32)

    def holdout_loss(params: RewardParams) -> jax.Array:
        """``[M]`` mean over the hold-out; 0 where there is none."""
        return -jnp.sum(_log_probs_of(ensemble, config, params, prepared, index, held_count), axis=1) / jnp.maximum(held_count.astype(jnp.float32), 1.0)

    start = holdout_loss(state.params)
    first = _Loop(state, state.params, start, zeros, zeros + config.weight_decay, jnp.int32(0), jnp.int32(0), key)

    def go_on(loop: _Loop) -> jax.Array:
        return (loop.epoch < config.max_epochs) & (loop.stale < config.patience)

    def body(loop: _Loop) -> _Loop:
        key, this = jax.random.split(loop.key)
        state, train = _epoch(ensemble, config, prepared, loop._replace(key=this))
        held = holdout_loss(state.params)
        measured = held_count > 0
        better = (held < loop.best_loss) | ~measured
        gained = jnp.any(held < loop.best_loss * (1.0 - config.least_gain)) | ~measured
        best = _keep(better, state.params, loop.best)
        ratio = held / jnp.maximum(train, 1e-6)
        factor = jnp.where(ratio > config.overfit_high, 1.3, jnp.where(ratio < config.overfit_low, 1 / 1.3, 1.0))
        decay = jnp.clip(loop.decay * jnp.where(measured, factor, 1.0), 1e-6, 1e-1)
        stale = jnp.where(gained, 0, loop.stale + 1)
        return _Loop(state, best, jnp.where(better, held, loop.best_loss), train, decay, loop.epoch + 1, stale, key)

    end = jax.lax.while_loop(go_on, body, first)
    every = jnp.arange(data.label.shape[0])
    kept = _log_probs_of(ensemble, config, end.best, prepared, every, jnp.int32(len(every)))
    report = FitReport(end.train_loss, end.best_loss, end.epoch, end.decay, kept)
    return FitState(end.best, end.state.optimiser), report
