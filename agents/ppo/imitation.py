"""Behavioural cloning (Pomerleau 1991) that stays near the policy it starts from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rlhf_games.core.agent import Lessons, PyTree
from rlhf_games.learning.distributions import Head

_HALVINGS = 5
"""How often the step is halved before imitation stops at its limit."""


class Bounds(NamedTuple):
    """How far one call may go."""

    rate: jax.Array
    """``[]`` learning rate, at most."""
    steps: int
    """Gradient steps, at most."""
    batch: int
    """Shown actions per step."""
    kl: float
    """KL(before ‖ after) in nats, averaged over shown states, at most."""


class _Carry(NamedTuple):
    student: Any
    done: jax.Array
    halvings: jax.Array
    kl: jax.Array


def cloned(
    student: Any,
    lessons: Lessons,
    key: jax.Array,
    bounds: Bounds,
    *,
    head: Head,
    outputs: Callable[[PyTree, jax.Array], jax.Array],
    descend: Callable[[Any, PyTree, jax.Array], Any],
) -> tuple[Any, dict[str, jax.Array]]:
    """Descends the cross-entropy of the shown actions, as many steps as the lessons' weights ask for.

    After each step the KL divergence from the first policy is measured on one fixed batch of shown states. A step that would go over
    the limit is not taken; the next ones are half as long, and after a few halvings imitation stops.

    Args:
      student: has ``params``; whatever ``descend`` needs beside.
      lessons: ``weight`` says how often each row is to be drawn.
      key: consumed.
      bounds: of steps and movement.
      head: how outputs become actions.
      outputs: ``(params, observation [B, ...]) → [B, K]``.
      descend: ``(student, gradient, rate) → student``.

    Returns:
      The student and scalar metrics.
    """
    total = jnp.sum(lessons.weight)
    steps = jnp.minimum(jnp.ceil(total / bounds.batch), bounds.steps).astype(jnp.int32)

    def drawn(at: jax.Array) -> Lessons:
        rows = jax.random.choice(jax.random.fold_in(key, at), lessons.weight.shape[0], (bounds.batch,), p=lessons.weight / total)
        batch: Lessons = jax.tree.map(lambda x: x[rows], lessons)
        return batch

    watched = drawn(jnp.int32(0))
    before = outputs(student.params, watched.observation)

    def loss(params: PyTree, batch: Lessons) -> jax.Array:
        shown = head.log_prob(outputs(params, batch.observation), batch.legal_action_mask, head.raw(batch.action))
        return -jnp.mean(shown)

    def going(carry: _Carry) -> jax.Array:
        return (carry.done < steps) & (carry.halvings <= _HALVINGS)

    def step(carry: _Carry) -> _Carry:
        gradient = jax.grad(loss)(carry.student.params, drawn(1 + carry.done))
        moved = descend(carry.student, gradient, bounds.rate * jnp.exp2(-carry.halvings.astype(jnp.float32)))
        kl = jnp.mean(head.kl(before, outputs(moved.params, watched.observation), watched.legal_action_mask))
        near = kl <= bounds.kl
        kept = jax.tree.map(lambda new, old: jnp.where(near, new, old), moved, carry.student)
        took = near.astype(jnp.int32)
        return _Carry(kept, carry.done + took, carry.halvings + 1 - took, jnp.where(near, kl, carry.kl))

    zero = jnp.float32(0.0)
    end = jax.lax.while_loop(going, step, _Carry(student, jnp.int32(0), jnp.int32(0), zero))
    taken = end.done.astype(jnp.float32)
    told = {"loss": loss(end.student.params, watched), "kl": end.kl, "steps": taken, "draws": taken * bounds.batch}
    return end.student, {f"imitation/{name}": value for name, value in told.items()}
