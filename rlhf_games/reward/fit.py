"""Fitting the ensemble to answers of all kinds: one compiled program for all members, all epochs and early stopping.

What is minimised is the mean of ``-log p(answer | reward)`` over all answers, weighted by kind. A minibatch holds answers of every kind,
in proportion to how many there are.

Shapes: ``M`` members, ``K`` capacity (answers of a kind, padded), ``L`` steps of a clip, ``B`` answers of a minibatch, ``W`` clips of an
answer, ``A`` annotators who rate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rlhf_games.core.agent import PyTree
from rlhf_games.core.promotion import third_party
from rlhf_games.reward.cuts import fitted_cuts
from rlhf_games.reward.ensemble import RewardEnsemble, RewardParams
from rlhf_games.reward.gradient import Learned, log_probs_of, member_gradient, prepared, prepared_returns, returns_of
from rlhf_games.reward.minibatches import kind_key, shuffled_order
from rlhf_games.reward.rows import STARS, Answers, Rows, ascending, raw_cuts


@dataclass(frozen=True)
class KindWeights:
    """How much an answer of each kind counts in the fit; 0 leaves the kind out."""

    preference: float = 1.0
    """Of "which of two clips is better?"."""
    ranking: float = 1.0
    """Of several clips put in order."""
    rating: float = 1.0
    """Of stars for a clip."""
    evaluation: float = 1.0
    """Of cheers and scoldings."""
    takeover: float = 1.0
    """Of what a person did instead of the agent."""
    demonstration: float = 1.0
    """Of what a person showed."""

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"weights.{entry.name} must be at least 0, got {value}")

    def of(self, kind: str) -> float:
        """The weight of a kind of answer."""
        return float(getattr(self, kind))


@dataclass(frozen=True)
class FitConfig:
    """How the reward model is fitted."""

    learning_rate: float = 2e-3
    """Adam's step size."""
    batch: int = 64
    """Answers per gradient step, of each kind at most."""
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
    """Share of questions that never train, only measure."""
    bootstrap: bool = True
    """Each member sees its own resampling of the answers."""
    weights: KindWeights = field(default_factory=KindWeights)
    """How much an answer of each kind counts."""
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
_RATERS = 4
"""``A`` is a multiple of this."""

TreeT = TypeVar("TreeT")


class FitState(NamedTuple):
    """What fitting carries on."""

    params: RewardParams
    optimiser: PyTree


class FitReport(NamedTuple):
    """What came of a fit; per member ``[M]``."""

    train_loss: jax.Array
    """Nats per answer, noise and tie model included."""
    holdout_loss: jax.Array
    """Nats per answer at the kept weights."""
    epochs: jax.Array
    """``[]`` int32 passes made."""
    weight_decay: jax.Array
    """``[M]`` penalty at the end."""
    returns: dict[str, jax.Array]
    """By kind ``[M, K, W]`` (credited) sums of raw predicted reward along each label's clips at the kept weights; without meaning on
    padding."""
    cuts: jax.Array
    """``[M, A, STARS - 1]`` each annotator's cut-points."""


class _Cuts(NamedTuple):
    """Cut-points begin anew at each fit: where the present returns and the given stars put them."""

    raw: jax.Array
    moments: PyTree


class _Loop(NamedTuple):
    state: FitState
    cuts: _Cuts
    best: RewardParams
    best_cuts: jax.Array
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


class _Carry(NamedTuple):
    state: FitState
    cuts: _Cuts
    nll: jax.Array


def _gradient_step(
    ensemble: RewardEnsemble, config: FitConfig, carry: _Carry, data: Answers, chosen: dict[str, jax.Array], decay: jax.Array
) -> _Carry:
    """One step of every member on one minibatch; adds the summed loss of each member ``[M]``."""
    params = carry.state.params
    learned = Learned(params.members, params.tie_margin, carry.cuts.raw)
    found = []
    for i in range(ensemble.members):  # one after the other: each draws other rows
        mine = jax.tree.map(lambda leaf: leaf[i], learned)  # noqa: B023
        kinds = {k: member_gradient(ensemble, config.noise, mine, k, rows, rows.weight[i], chosen[k]) for k, rows in data.items()}
        found.append(_total(config, kinds))
    gradient, nll = jax.tree.map(lambda *parts: jnp.stack(parts), *found)
    count = jnp.maximum(_total(config, {kind: jnp.sum(rows.weight[:, chosen[kind]], axis=1) for kind, rows in data.items()}), 1.0)

    def mean(g: jax.Array) -> jax.Array:
        return g / count.reshape(-1, *(1,) * (g.ndim - 1))

    def penalised(g: jax.Array, p: jax.Array) -> jax.Array:
        return mean(g) + 2.0 * decay.reshape(-1, *(1,) * (p.ndim - 1)) * p

    slope = (jax.tree.map(penalised, gradient.members, learned.members), mean(gradient.tie_margin))
    with third_party():
        direction, moments = optimiser().update(slope, carry.state.optimiser)
        turn, cut_moments = optimiser().update(mean(gradient.cuts), carry.cuts.moments)
    members, margin = jax.tree.map(lambda p, d: p - config.learning_rate * d, (learned.members, learned.tie_margin), direction)
    # without ties the margin falls; much further down it could never be found again, because errors would explain the first ties
    margin = jnp.maximum(margin, LEAST_TIE_MARGIN)
    state = FitState(params._replace(members=members, tie_margin=margin), moments)
    return _Carry(state, _Cuts(learned.cuts - config.learning_rate * turn, cut_moments), carry.nll + nll)


def _epoch(ensemble: RewardEnsemble, config: FitConfig, data: Answers, loop: _Loop) -> tuple[FitState, _Cuts, jax.Array]:
    """One pass over the training rows in random order; returns the mean loss of each member."""
    kinds = {kind: shuffled_order(rows, config.batch, kind_key(loop.key, kind)) for kind, rows in data.items()}
    steps = jnp.max(jnp.stack([order.steps for order in kinds.values()]))
    # rows that fill up a minibatch count nowhere
    data = {kind: rows._replace(weight=jnp.pad(rows.weight, ((0, 0), (0, 1)))) for kind, rows in data.items()}

    def step(i: jax.Array, carry: _Carry) -> _Carry:
        chosen = {kind: order.batch(i, steps) for kind, order in kinds.items()}
        return _gradient_step(ensemble, config, carry, data, chosen, loop.decay)

    end = jax.lax.fori_loop(0, steps, step, _Carry(loop.state, loop.cuts, jnp.zeros_like(loop.best_loss)))
    count = _total(config, {kind: jnp.sum(rows.weight, axis=1) for kind, rows in data.items()})
    return end.state, end.cuts, end.nll / jnp.maximum(count, 1.0)


def _total(config: FitConfig, parts: Mapping[str, TreeT]) -> TreeT:
    """The sum over kinds by their weights."""
    weighted = [jax.tree.map(lambda leaf: leaf * config.weights.of(kind), part) for kind, part in parts.items()]  # noqa: B023
    total: TreeT = jax.tree.map(lambda first, *others: sum(others, first), *weighted)
    return total


def _holdout_loss(ensemble: RewardEnsemble, config: FitConfig, data: Answers, learned: Learned) -> jax.Array:
    """``[M]`` weighted mean over the hold-out; 0 where there is none."""
    sums, counts = {}, {}
    for kind, rows in data.items():
        count = jnp.sum(rows.holdout)
        found = log_probs_of(ensemble, config.noise, learned, kind, rows, jnp.argsort(~rows.holdout), count)
        sums[kind], counts[kind] = -jnp.sum(found, axis=1), count.astype(jnp.float32)
    return _total(config, sums) / jnp.maximum(_total(config, counts), 1.0)


def _keep(better: jax.Array, new: PyTree, old: PyTree) -> PyTree:
    """Each member's newer weights where they are better."""

    def pick(a: jax.Array, b: jax.Array) -> jax.Array:
        return jnp.where(better.reshape(-1, *(1,) * (a.ndim - 1)), a, b)

    return jax.tree.map(pick, new, old)


def fit(ensemble: RewardEnsemble, config: FitConfig, state: FitState, data: Answers, key: jax.Array) -> tuple[FitState, FitReport]:
    """Fits all members until their hold-out loss stops falling; keeps each member's best weights. The key is consumed.

    Args:
      ensemble: the networks.
      config: how; kinds of weight 0 are left out.
      state: of the last fit, or `initial_state`. It is donated: use what is returned.
      data: rows by kind.
      key: for the order of rows.

    Raises:
      ValueError: no kind counts.
    """
    counted = {kind: rows for kind, rows in data.items() if config.weights.of(kind) > 0}
    if not counted:
        raise ValueError(f"nothing to fit to: kinds {sorted(data)} have no rows or no weight")
    cuts = jnp.zeros((ensemble.members, 0, STARS - 1), jnp.float32)
    if "rating" in counted:
        cuts = raw_cuts(_first_cuts(ensemble, state.params, counted["rating"]))
    fitted: tuple[FitState, FitReport] = _fit(ensemble, config, state, cuts, counted, key)
    return fitted


def _first_cuts(ensemble: RewardEnsemble, params: RewardParams, rows: Rows) -> Any:
    """``[M, A, STARS - 1]`` where cut-points begin; ``A`` is padded, so that programs are compiled once."""
    used = np.flatnonzero(np.asarray(rows.weight).any(axis=0))
    annotator, stars = np.asarray(rows.annotator), np.asarray(rows.label)
    returns = np.asarray(_returns(ensemble, params, rows))[:, :, 0]
    size = (-(-(int(annotator.max()) + 1) // _RATERS) * _RATERS, STARS)
    return fitted_cuts(returns[:, used], stars[used], annotator[used], np.asarray(rows.weight)[:, used], size)


@partial(jax.jit, static_argnums=(0, 1), donate_argnums=(2,))
def _fit(
    ensemble: RewardEnsemble, config: FitConfig, state: FitState, cuts: jax.Array, data: Answers, key: jax.Array
) -> tuple[FitState, FitReport]:
    ready = prepared(ensemble, state.params, data)
    measured = jnp.any(jnp.stack([jnp.any(rows.holdout) for rows in data.values()]))
    zeros = jnp.zeros((ensemble.members,), jnp.float32)

    def holdout_loss(params: RewardParams, cuts: jax.Array) -> jax.Array:
        return _holdout_loss(ensemble, config, ready, Learned(params.members, params.tie_margin, cuts))

    start = holdout_loss(state.params, cuts)
    began = _Cuts(cuts, optimiser().init(cuts))
    first = _Loop(state, began, state.params, cuts, start, zeros, zeros + config.weight_decay, jnp.int32(0), jnp.int32(0), key)

    def go_on(loop: _Loop) -> jax.Array:
        return (loop.epoch < config.max_epochs) & (loop.stale < config.patience)

    def body(loop: _Loop) -> _Loop:
        key, this = jax.random.split(loop.key)
        state, cuts, train = _epoch(ensemble, config, ready, loop._replace(key=this))
        held = holdout_loss(state.params, cuts.raw)
        better = (held < loop.best_loss) | ~measured
        gained = jnp.any(held < loop.best_loss * (1.0 - config.least_gain)) | ~measured
        mine, old = state.params, loop.best
        members, margin, kept = _keep(better, (mine.members, mine.tie_margin, cuts.raw), (old.members, old.tie_margin, loop.best_cuts))
        best = mine._replace(members=members, tie_margin=margin)
        ratio = held / jnp.maximum(train, 1e-6)
        factor = jnp.where(ratio > config.overfit_high, 1.3, jnp.where(ratio < config.overfit_low, 1 / 1.3, 1.0))
        decay = jnp.clip(loop.decay * jnp.where(measured, factor, 1.0), 1e-6, 1e-1)
        stale = jnp.where(gained, 0, loop.stale + 1)
        return _Loop(state, cuts, best, kept, jnp.where(better, held, loop.best_loss), train, decay, loop.epoch + 1, stale, key)

    end = jax.lax.while_loop(go_on, body, first)
    found = {kind: prepared_returns(ensemble, end.best.members, rows) for kind, rows in ready.items()}
    report = FitReport(end.train_loss, end.best_loss, end.epoch, end.decay, found, ascending(end.best_cuts))
    return FitState(end.best, end.state.optimiser), report


_returns = jax.jit(returns_of, static_argnums=0)
