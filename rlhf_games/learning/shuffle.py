"""Shuffling rows into minibatches without a sort."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

TreeT = TypeVar("TreeT")

_LARGEST_AFFINE = 46_340
"""Largest row count whose index products fit int32."""


@lru_cache(maxsize=32)
def _multipliers(rows: int) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    """Numbers coprime to ``rows``, so that ``i → a·i + b (mod rows)`` is a permutation; not near 0 or ``rows``, where it hardly mixes."""
    spread = [a for a in range(max(1, rows // 5), max(2, rows - rows // 5)) if math.gcd(a, rows) == 1]
    return np.asarray(spread or [1], np.int32)


def permutation(key: jax.Array, rows: int) -> jax.Array:
    """``[rows]`` int32: a random permutation; the key is consumed.

    Up to ``_LARGEST_AFFINE`` rows it is a random affine map modulo ``rows``: a true random permutation is a sort, which on CPU costs
    ten times what the gather costs. Above that (batches of an accelerator, where sorting is cheap) it is a true one.
    """
    if rows > _LARGEST_AFFINE:
        return jax.random.permutation(key, rows).astype(jnp.int32)
    key_a, key_b = jax.random.split(key)
    a = jax.random.choice(key_a, jnp.asarray(_multipliers(rows)))
    b = jax.random.randint(key_b, (), 0, rows, dtype=jnp.int32)
    return (a * jnp.arange(rows, dtype=jnp.int32) + b) % rows


def shuffled(tree: TreeT, key: jax.Array, minibatches: int) -> TreeT:
    """Leaves ``[R, ...]`` to ``[minibatches, R / minibatches, ...]`` in random order; the key is consumed.

    Raises:
      ValueError: ``minibatches`` does not divide ``R``.
    """
    rows = jax.tree.leaves(tree)[0].shape[0]
    if rows % minibatches:
        raise ValueError(f"{minibatches} minibatches do not divide {rows} rows (steps × games × players); change one of them")
    order = permutation(key, rows)
    result: TreeT = jax.tree.map(lambda x: x[order].reshape(minibatches, rows // minibatches, *x.shape[1:]), tree)
    return result
