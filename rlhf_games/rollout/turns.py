"""Moves whose outcome a rollout does not show, because it stopped while their seat waited: they go on into the next rollout.

Shapes: ``T`` steps, ``N`` games, ``P`` players.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from rlhf_games.core.agent import Agent, PyTree, Rollout
from rlhf_games.core.game import GameSpec


class Pending(NamedTuple):
    """The last move of each seat that waits, leaves ``[N, P, ...]``."""

    waits: jax.Array
    """bool: there is one."""
    reward: jax.Array
    """float32: what it has earned so far."""
    observation: jax.Array
    action: jax.Array
    legal_action_mask: jax.Array
    extras: PyTree


def nothing_pending(agent: Agent, spec: GameSpec, games: int, hide_ends: bool) -> Pending | None:
    """At the start of training; None in games in which no seat ever waits.

    A seat that is out waits for the next episode where ends are hidden.
    """
    if spec.players == 1 or not (spec.turn_based or hide_ends):
        return None
    seats, rows = (games, spec.players), games * spec.players
    seen = jnp.zeros((rows, *spec.observation.shape), spec.observation.dtype)
    legal = jnp.ones((rows, spec.actions.n), bool)

    def act(key: jax.Array) -> PyTree:
        return agent.act(agent.params(agent.init(key, spec)), seen, key, legal)

    chosen = jax.tree.map(lambda leaf: jnp.zeros((*seats, *leaf.shape[1:]), leaf.dtype), jax.eval_shape(act, jax.random.key(0)))
    observation, mask = (leaf.reshape(*seats, *leaf.shape[1:]) for leaf in (seen, legal))
    return Pending(jnp.zeros(seats, bool), jnp.zeros(seats, jnp.float32), observation, chosen.action, mask, chosen.extras)


def carried_on(rollout: Rollout, pending: Pending) -> tuple[Rollout, Pending]:
    """The rollout with the moves that were pending before it, and those that are pending after it.

    A seat whose move is pending does not act at the first step (or the move would not have been pending), so its row there is free: the
    move stands in it, with what it had earned. Time passes for a seat only when it moves, so nothing else changes.
    """
    rollout = _with(rollout, pending)
    steps = jnp.arange(rollout.reward.shape[0], dtype=jnp.int32)[:, None, None]
    last = jnp.max(jnp.where(rollout.acting, steps, -1), axis=0)
    since = steps >= last[None]
    ended = (rollout.terminated | rollout.truncated)[..., None] | rollout.out
    waits = (last >= 0) & rollout.waits[-1] & ~jnp.any(ended & since, axis=0)
    games, seats = (axis[None] if i else axis[:, None] for i, axis in enumerate(map(jnp.arange, last.shape)))

    def of(leaf: jax.Array) -> jax.Array:
        return leaf[jnp.maximum(last, 0), games, seats]

    earned = jnp.sum(jnp.where(since, rollout.reward, 0.0), axis=0)
    moves = of(rollout.observation), of(rollout.action), of(rollout.legal_action_mask), jax.tree.map(of, rollout.extras)
    return rollout, Pending(waits, earned, *moves)


def _with(rollout: Rollout, pending: Pending) -> Rollout:
    """The pending moves in the first row."""
    free = pending.waits & ~rollout.acting[0]

    def first(leaf: jax.Array, other: jax.Array) -> jax.Array:
        chosen = jnp.where(free.reshape(free.shape + (1,) * (other.ndim - 2)), other, leaf[0])
        return jnp.concatenate([chosen[None], leaf[1:]])

    return rollout._replace(
        observation=first(rollout.observation, pending.observation),
        action=first(rollout.action, pending.action),
        reward=first(rollout.reward, rollout.reward[0] + pending.reward),
        legal_action_mask=first(rollout.legal_action_mask, pending.legal_action_mask),
        acting=first(rollout.acting, free),
        extras=jax.tree.map(first, rollout.extras, pending.extras),
    )
