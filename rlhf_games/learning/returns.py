"""Advantages and returns."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from rlhf_games.core.agent import Rollout


class Advantages(NamedTuple):
    """What a policy gradient needs of a rollout, all ``[T, ...]``; zero where ``counts`` is False."""

    advantage: jax.Array
    target: jax.Array
    """``advantage + value``: what the value function is fitted to."""
    counts: jax.Array
    """bool: the seat acted and it is known what came of it. Learn from these rows only."""


class _Carry(NamedTuple):
    value: jax.Array
    advantage: jax.Array
    pending: jax.Array
    known: jax.Array


def rollout_advantages(rollout: Rollout, value: jax.Array, last_value: jax.Array, *, discount: float, trace: float) -> Advantages:
    """`generalized_advantages` of a rollout.

    Args:
      rollout: ``[T, N, P, ...]``.
      value: ``[T, N, P]`` value of each observation.
      last_value: ``[N, P]`` value of the last observation.
      discount: γ in [0, 1].
      trace: λ in [0, 1].
    """
    over = (rollout.terminated | rollout.truncated)[..., None]
    stops = (jnp.arange(over.shape[0]) == over.shape[0] - 1)[:, None, None] & ~over
    unknown = rollout.waits & ((rollout.truncated & ~rollout.terminated)[..., None] | stops)
    done = over | rollout.out
    return generalized_advantages(
        rollout.reward, value, last_value, done, rollout.bootstrap, rollout.acting, unknown, discount=discount, trace=trace
    )


def generalized_advantages(
    reward: jax.Array,
    value: jax.Array,
    last_value: jax.Array,
    done: jax.Array,
    bootstrap: jax.Array,
    acting: jax.Array,
    unknown: jax.Array,
    *,
    discount: float,
    trace: float,
) -> Advantages:
    """Generalised advantage estimation (Schulman et al. 2016, arXiv 1506.02438, eq. 16) for seats that may take turns.

    What a seat earns while others move counts towards its own last move, and time passes for a seat only when it moves. With all
    seats acting at every step this is ordinary GAE. Where the future of a seat's last move is unknown, that move counts nothing, and the
    move before it stands on its value alone.

    Args:
      reward: ``[T, ...]`` float32 after step ``t``.
      value: ``[T, ...]`` value of the observation before step ``t``.
      last_value: ``[...]`` value of the observation after the last step.
      done: ``[T, ...]`` bool, the episode ended for the seat at step ``t`` (terminated, truncated, or the seat is out).
      bootstrap: ``[T, ...]`` value of the episode's last observation where it was truncated, 0 where it terminated.
      acting: ``[T, ...]`` bool.
      unknown: ``[T, ...]`` bool, what follows step ``t`` is cut off, and no value stands for it.
      discount: γ in [0, 1].
      trace: λ in [0, 1].
    """

    def step(carry: _Carry, x: tuple[jax.Array, ...]) -> tuple[_Carry, tuple[jax.Array, jax.Array]]:
        r, v, end, boot, acts, cut = x
        known = ~cut & (end | carry.known)
        next_value = jnp.where(end, boot, carry.value)
        next_advantage = jnp.where(end, 0.0, carry.advantage)
        earned = r + jnp.where(end, 0.0, carry.pending)
        advantage = jnp.where(known, earned + discount * next_value - v + discount * trace * next_advantage, 0.0)
        after = _Carry(
            value=jnp.where(acts, v, next_value),
            advantage=jnp.where(acts, advantage, next_advantage),
            pending=jnp.where(acts, 0.0, earned),
            known=acts | known,
        )
        counts = acts & known
        return after, (jnp.where(counts, advantage, 0.0), counts)

    zero = jnp.zeros_like(last_value)
    xs = (reward, value, done, bootstrap, acting, unknown)
    begin = _Carry(last_value, zero, zero, jnp.ones_like(last_value, bool))
    _, (advantage, counts) = jax.lax.scan(step, begin, xs, reverse=True, unroll=8)
    return Advantages(advantage, jnp.where(counts, advantage + value, 0.0), counts)
