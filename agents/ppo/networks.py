"""The actor-critic network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
from flax import nnx

from rlhf_games.core.spaces import Observation
from rlhf_games.learning.networks import orthogonal, torso
from rlhf_games.learning.products import Precision


class ActorCritic(nnx.Module):
    """Action outputs and a value from one shared body, or from two separate ones."""

    def __init__(
        self,
        observation: Observation,
        outputs: int,
        kind: str,
        hidden: Sequence[int],
        activation: str,
        shared: bool,
        precision: Precision,
        *,
        rngs: nnx.Rngs,
    ) -> None:
        body = torso(observation, kind, hidden, activation, precision, rngs=rngs)
        self.body = body
        self.value_body: Any = None if shared else torso(observation, kind, hidden, activation, precision, rngs=rngs)
        self.actor = nnx.Linear(body.features, outputs, kernel_init=orthogonal(0.01), rngs=rngs)
        self.critic = nnx.Linear(body.features, 1, kernel_init=orthogonal(1.0), rngs=rngs)

    def inputs(self, observation: jax.Array) -> jax.Array:
        """``[B, ...]``: what the bodies read of an observation; no parameters are needed."""
        return self.body.inputs(observation)

    def __call__(self, inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
        """What `inputs` gives, ``[B, ...]``, to action outputs ``[B, K]`` and value ``[B]``."""
        features = self.body.on_inputs(inputs)
        value_features = features if self.value_body is None else self.value_body.on_inputs(inputs)
        return self.actor(features), self.critic(value_features)[:, 0]
