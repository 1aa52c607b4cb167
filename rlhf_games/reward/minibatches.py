"""A pass over answers of several kinds in minibatches that hold all of them, in proportion.

Shapes: ``K`` capacity (answers of a kind, padded), ``B`` answers of a minibatch.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from rlhf_games.reward.rows import LIKELIHOODS, Rows


class Order(NamedTuple):
    """A kind's rows in the order of a pass, those that train first."""

    rows: jax.Array
    """``[K]``."""
    train: jax.Array
    """``[]`` how many train."""
    steps: jax.Array
    """``[]`` minibatches that they would fill alone."""
    size: int

    def batch(self, i: jax.Array, steps: jax.Array) -> jax.Array:
        """``[size]`` rows of the ``i``-th of ``steps`` minibatches; ``K`` fills up. Rarer kinds are spread evenly over all of them."""
        stride = jnp.where(self.steps == steps, self.size, (self.train + steps - 1) // jnp.maximum(steps, 1))
        place = jnp.arange(self.size)
        capacity = self.rows.shape[0]
        at = i * stride + place
        return jnp.where((place < stride) & (at < capacity), self.rows[jnp.minimum(at, capacity - 1)], capacity)


def shuffled_order(rows: Rows, batch: int, key: jax.Array) -> Order:
    """A random order of a kind's rows, for minibatches of ``batch``; the key is consumed."""
    trains = jnp.any(rows.weight > 0, axis=0)
    order = jnp.argsort(jax.random.uniform(key, trains.shape) + jnp.where(trains, 0.0, 2.0))
    size, count = min(batch, trains.shape[0]), jnp.sum(trains)
    return Order(order, count, (count + size - 1) // size, size)


def kind_key(key: jax.Array, kind: str) -> jax.Array:
    """A key of its own for each kind."""
    place = list(LIKELIHOODS).index(kind)
    return key if place == 0 else jax.random.fold_in(key, place)
