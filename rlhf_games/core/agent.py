"""The contract of an agent.

Shapes: ``T`` time, ``N`` games, ``P`` players, ``A`` actions, ``B`` any batch. A rollout keeps ``[T, N, P]``; acting and explaining
work on a flat batch ``[B]`` of seats, because all seats share parameters.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import jax

from rlhf_games.core.game import GameSpec

PyTree: TypeAlias = Any


class Action(NamedTuple):
    """What an agent chose for a batch of seats."""

    action: jax.Array
    """``[B, ...]`` int32 or float32, as ``spec.actions`` says; always legal."""
    extras: PyTree
    """What the learner needs later (log-probabilities, values), leaves ``[B, ...]``."""


class Explanation(NamedTuple):
    """What a person may ask an agent about a state."""

    probabilities: jax.Array
    """``[B, A]``, rows sum to 1 (for a box action: the density's mean, ``[B, dim]``)."""
    value: jax.Array
    """``[B]`` expected discounted return, in the units the agent was trained on."""


class Rollout(NamedTuple):
    """Experience of ``N`` games over ``T`` steps, rewards already from the experiment's reward sources."""

    observation: jax.Array
    """``[T, N, P, ...]`` before the action."""
    action: jax.Array
    """``[T, N, P, ...]``."""
    reward: jax.Array
    """``[T, N, P]`` float32."""
    terminated: jax.Array
    """``[T, N]`` bool after the action; all False where the experiment hides episode ends."""
    truncated: jax.Array
    """``[T, N]`` bool after the action; all False where the experiment hides episode ends."""
    legal_action_mask: jax.Array
    """``[T, N, P, A]`` bool before the action."""
    acting: jax.Array
    """``[T, N, P]`` bool: who chose at this step."""
    extras: PyTree
    """``Action.extras`` with leaves ``[T, N, P, ...]``."""
    bootstrap: jax.Array
    """``[T, N, P]`` float32: value of the last observation where truncated and the seat is not out, else 0."""
    last_observation: jax.Array
    """``[N, P, ...]`` after the last action (of the new episode, where one ended)."""
    out: jax.Array
    """``[T, N, P]`` bool after the action: the seat plays no more in this episode; all False where the experiment hides episode ends."""
    waits: jax.Array
    """``[T, N, P]`` bool after the action: the seat waits for its turn, and no value stands for what follows (see `rollout_advantages`).

    Where episode ends are hidden, a seat that is out waits for the next episode.
    """


class Lessons(NamedTuple):
    """Actions that somebody showed to be right."""

    observation: jax.Array
    """``[B, ...]`` before the action."""
    action: jax.Array
    """``[B, ...]`` as ``spec.actions`` says."""
    weight: jax.Array
    """``[B]`` float32: how often each is to be drawn now; at least one above 0, and 0 on padding."""
    legal_action_mask: jax.Array
    """``[B, A]`` bool before the action; all True on padding."""


class Agent(Protocol):
    """Pure functions; the configuration lives in the object, the learning in ``state``."""

    def init(self, key: jax.Array, spec: GameSpec) -> PyTree:
        """A fresh learner state (parameters, optimiser); the key is consumed."""
        ...

    def params(self, state: PyTree) -> PyTree:
        """What ``act``, ``value`` and ``explain`` need of the state: what is published and checkpointed for players."""
        ...

    def act(self, params: PyTree, observation: jax.Array, key: jax.Array, legal_action_mask: jax.Array) -> Action:
        """Samples an action for each seat: ``observation[B, ...]``, ``legal_action_mask[B, A]``; the key is consumed."""
        ...

    def value(self, params: PyTree, observation: jax.Array) -> jax.Array:
        """``[B]`` value of each observation."""
        ...

    def explain(self, params: PyTree, observation: jax.Array, legal_action_mask: jax.Array) -> Explanation:
        """Answers "what would you do here?"."""
        ...

    def update(self, state: PyTree, rollout: Rollout, key: jax.Array, progress: jax.Array) -> tuple[PyTree, dict[str, jax.Array]]:
        """Learns from one rollout; returns the next state and scalar metrics. The key is consumed.

        ``progress`` is ``[]`` float32 in [0, 1], the share of the training budget that is spent: schedules anneal along it.
        """
        ...


@runtime_checkable
class Imitator(Protocol):
    """What an agent may do beside: learn to act as it was shown."""

    def imitate(self, state: PyTree, lessons: Lessons, key: jax.Array, progress: jax.Array) -> tuple[PyTree, dict[str, jax.Array]]:
        """Makes the shown actions more likely; returns the next state and scalar metrics. The key is consumed.

        ``progress`` is as in `Agent.update`. The metric ``imitation/draws`` says how many rows were drawn, where it is not (about) the
        sum of the weights: what was not drawn stays due.
        """
        ...


def shared_memory(state: PyTree) -> str:
    """Names the first two entries of an agent's state that are the same array, and says how to mend it; empty where there are none.

    A run compiles ``update`` so that the old state's memory is used for the new state (donation): no array can be given away twice.
    """
    seen: dict[int, str] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        name = f"state{jax.tree_util.keystr(path)}"
        if isinstance(leaf, jax.Array) and (first := seen.setdefault(id(leaf), name)) != name:
            cure = "copy one of them, for example with jax.tree.map(jnp.copy, params)"
            return f"{first} and {name} are the same array, which cannot be donated to update twice: {cure}"
    return ""
