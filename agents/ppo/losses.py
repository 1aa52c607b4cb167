"""The clipped surrogate objective of PPO (Schulman et al. 2017, arXiv 1707.06347)."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Batch(NamedTuple):
    """Rows of experience, all ``[B, ...]``."""

    row: jax.Array
    """int32: where in the rollout it lies. What the network reads there is fetched when it is needed: pixels are not copied about."""
    raw: jax.Array
    """What the head drew (see ``distributions.Sample``)."""
    legal: jax.Array
    log_prob: jax.Array
    """Under the policy that acted."""
    value: jax.Array
    """Predicted by the network that acted."""
    advantage: jax.Array
    target: jax.Array
    weight: jax.Array
    """1 where the seat acted and what came of it is known, else 0; rows of weight 0 teach nothing."""


class Losses(NamedTuple):
    """Scalars; ``total`` is minimised."""

    total: jax.Array
    policy: jax.Array
    value: jax.Array
    entropy: jax.Array
    kl: jax.Array
    """Estimate of KL(old ‖ new), ``E[(ρ - 1) - log ρ]`` (Schulman's k3)."""
    clipped: jax.Array
    """Share of rows whose ratio lies outside the clip range."""


def weighted_mean(x: jax.Array, weight: jax.Array, total: jax.Array) -> jax.Array:
    """``Σ w x / total``: a part of a mean whose denominator is known, so that parts of a batch add up to the whole."""
    return jnp.sum(x * weight) / total


def ppo_losses(
    log_prob: jax.Array,
    entropy: jax.Array,
    value: jax.Array,
    batch: Batch,
    total_weight: jax.Array,
    *,
    clip: float,
    value_clip: float,
    value_weight: float,
    entropy_weight: float | jax.Array,
) -> Losses:
    """Policy loss of eq. 7, value loss clipped around the old prediction, entropy bonus of eq. 9.

    Args:
      log_prob: ``[B]`` of the stored actions under the present policy.
      entropy: ``[B]``.
      value: ``[B]`` present prediction.
      batch: ``[B, ...]`` what was stored.
      total_weight: ``[]`` denominator of all means (the weight of the whole minibatch).
      clip: ε; the ratio is clipped to ``[1 - ε, 1 + ε]``.
      value_clip: the new value may leave the old by this much before its gradient stops; 0 switches it off.
      value_weight: weight of the value loss.
      entropy_weight: weight of the entropy bonus.
    """
    log_ratio = log_prob - batch.log_prob
    ratio = jnp.exp(log_ratio)
    surrogate = jnp.minimum(ratio * batch.advantage, jnp.clip(ratio, 1 - clip, 1 + clip) * batch.advantage)
    error = jnp.square(value - batch.target)
    if value_clip > 0:
        near = batch.value + jnp.clip(value - batch.value, -value_clip, value_clip)
        error = jnp.maximum(error, jnp.square(near - batch.target))

    def mean(x: jax.Array) -> jax.Array:
        return weighted_mean(x, batch.weight, total_weight)

    policy_loss, value_loss, bonus = -mean(surrogate), 0.5 * mean(error), mean(entropy)
    return Losses(
        total=policy_loss + value_weight * value_loss - entropy_weight * bonus,
        policy=policy_loss,
        value=value_loss,
        entropy=bonus,
        kl=mean(ratio - 1 - log_ratio),
        clipped=mean((jnp.abs(ratio - 1) > clip).astype(jnp.float32)),
    )
