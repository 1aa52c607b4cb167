"""Randomness: seed and time determine every key."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from rlhf_games.core.streams import Stream
from rlhf_games.core.threefry import write_out_on_cpu

write_out_on_cpu()


def step_key(seed: Any, t: Any) -> jax.Array:
    """The key for time ``t`` of the episode ``seed``: ``fold_in(key(seed), t)``; ``t = 0`` is for ``init``.

    Args:
      seed: ``[]`` uint32.
      t: ``[]`` int32, at least 0.
    """
    return jax.random.fold_in(jax.random.key(jnp.asarray(seed, jnp.uint32)), jnp.asarray(t, jnp.int32))


def stream_key(stream: Stream, seed: Any) -> jax.Array:
    """The first key of a stream (see `rlhf_games.core.streams`); ``seed`` is ``[]`` uint32."""
    return jax.random.fold_in(jax.random.key(jnp.asarray(seed, jnp.uint32)), jnp.uint32(stream))


def policy_key(seed: Any, t: Any) -> jax.Array:
    """The key with which a policy chooses at decision ``t`` of the episode ``seed`` where it plays one game by itself."""
    return jax.random.fold_in(stream_key(Stream.POLICY, seed), jnp.asarray(t, jnp.int32))
