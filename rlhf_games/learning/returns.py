"""Advantages and returns."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Advantages(NamedTuple):
    """What a policy gradient needs of a rollout, both ``[T, ...]``; zero where a seat did not act."""

    advantage: jax.Array
    target: jax.Array
    """``advantage + value``: what the value function is fitted to."""


class _Carry(NamedTuple):
    value: jax.Array
    advantage: jax.Array
    pending: jax.Array


def generalized_advantages(
    reward: jax.Array,
    value: jax.Array,
    last_value: jax.Array,
    done: jax.Array,
    bootstrap: jax.Array,
    acting: jax.Array,
    *,
    discount: float,
    trace: float,
) -> Advantages:
    """Generalised advantage estimation (Schulman et al. 2016, arXiv 1506.02438, eq. 16) for seats that may take turns.

    What a seat earns while others move counts towards its own last move, and time passes for a seat only when it moves. With all
    seats acting at every step this is ordinary GAE.

    Args:
      reward: ``[T, ...]`` float32 after step ``t``.
      value: ``[T, ...]`` value of the observation before step ``t``.
      last_value: ``[...]`` value of the observation after the last step.
      done: ``[T, ...]`` bool, the episode ended at step ``t`` (terminated or truncated).
      bootstrap: ``[T, ...]`` value of the episode's last observation where it was truncated, 0 where it terminated.
      acting: ``[T, ...]`` bool.
      discount: γ in [0, 1].
      trace: λ in [0, 1].
    """

    def step(carry: _Carry, x: tuple[jax.Array, ...]) -> tuple[_Carry, jax.Array]:
        r, v, end, boot, acts = x
        next_value = jnp.where(end, boot, carry.value)
        next_advantage = jnp.where(end, 0.0, carry.advantage)
        earned = r + jnp.where(end, 0.0, carry.pending)
        advantage = earned + discount * next_value - v + discount * trace * next_advantage
        after = _Carry(
            value=jnp.where(acts, v, next_value),
            advantage=jnp.where(acts, advantage, next_advantage),
            pending=jnp.where(acts, 0.0, earned),
        )
        return after, jnp.where(acts, advantage, 0.0)

    zero = jnp.zeros_like(last_value)
    xs = (reward, value, done, bootstrap, acting)
    _, advantage = jax.lax.scan(step, _Carry(last_value, zero, zero), xs, reverse=True, unroll=8)
    return Advantages(advantage, jnp.where(acting, advantage + value, 0.0))
