"""Networks that predict the reward of one transition from what the agent sees.

Each is an encoder without parameters (computed once per transition, shared by all members of an ensemble, and kept for fitting) and a
small network on what it gives.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
from flax import nnx

from rlhf_games.core.game import GameSpec
from rlhf_games.core.spaces import Box, Discrete, Layout
from rlhf_games.learning.convolution import ValidConv, flattened
from rlhf_games.learning.networks import MLP, WIDEST, as_float
from rlhf_games.learning.products import Dense, Precision
from rlhf_games.reward.cells import pooled
from rlhf_games.rollout.device import Transition

Encoder: TypeAlias = Callable[[Transition], jax.Array]
"""``Transition`` with leaves ``[B, ...]`` to features ``[B, ...]``."""


@dataclass(frozen=True)
class NetworkConfig:
    """What a reward network sees and how it is built."""

    kind: Literal["auto", "flat", "cells", "pixels"] = "auto"
    """``auto``: ``cells`` for grids, ``pixels`` for images, ``flat`` for vectors."""
    action: bool = False
    """Sees the action (``flat`` and ``cells``)."""
    next_observation: bool = True
    """Sees what came of it: most rewards in games are visible as a change (``flat`` and ``cells``; pixels stack frames already)."""
    hidden: tuple[int, ...] = (64, 64)
    """Dense layers; of ``pixels`` the last entry only."""
    precision: Precision = "float32"
    """Of products (``pixels`` only): ``bfloat16`` rounds their factors and sums in float32."""

    def __post_init__(self) -> None:
        if not self.hidden or not 1 <= min(self.hidden) <= max(self.hidden) <= WIDEST:
            raise ValueError(f"hidden must name at least one layer size, all in 1..{WIDEST}, got {self.hidden}")


def resolve_kind(spec: GameSpec, config: NetworkConfig) -> str:
    """The kind of network that ``auto`` means for this game.

    Raises:
      ValueError: the kind does not fit the observation's layout, or an option has no meaning for it.
    """
    layout = spec.observation.layout
    kind = {"vector": "flat", "grid": "cells", "image": "pixels"}[layout] if config.kind == "auto" else config.kind
    if (kind == "cells" and layout != "grid") or (kind == "pixels" and layout != "image"):
        raise ValueError(f"reward network {kind!r} does not fit observations of layout {layout!r}")
    if kind != "pixels" and config.precision != "float32":
        raise ValueError(f"precision {config.precision!r} is for the pixel reward network; {kind!r} is computed in float32")
    if kind == "pixels" and config.action:
        raise ValueError("the pixel reward network does not see actions (Ibarz et al. 2018: they did not help); set action = false")
    return kind


def sees_next(spec: GameSpec, config: NetworkConfig) -> bool:
    """Whether the network looks at the next observation (so that clips must carry it)."""
    return config.next_observation and resolve_kind(spec, config) != "pixels"


def action_features(action: jax.Array, spec: GameSpec) -> jax.Array:
    """``[B, K]`` actions as numbers: one-hot, or a box's own."""
    if isinstance(spec.actions, Discrete):
        return jax.nn.one_hot(action, spec.actions.n)
    if isinstance(spec.actions, Box):
        return action.reshape(action.shape[0], -1)
    parts = [jax.nn.one_hot(action[:, i], size) for i, size in enumerate(spec.actions.sizes)]
    return jnp.concatenate(parts, axis=-1)


def _flat(transition: Transition, config: NetworkConfig, layout: Layout) -> jax.Array:
    """Everything side by side; the next observation enters as the change."""
    now = as_float(transition.observation, layout)
    parts = [now]
    if config.next_observation:
        parts.append(as_float(transition.next_observation, layout) - now)
    return jnp.concatenate([part.reshape(part.shape[0], -1) for part in parts], axis=-1)


def _cells(transition: Transition, config: NetworkConfig) -> jax.Array:
    """For small grids: which things stand on the same cell, counted over the board (second-order pooling), and how that changes.

    What earns points in a grid game is mostly an event such as "this met that", worth the same wherever it happens; so far fewer answers
    are needed than by layers over raw cells, and it costs next to nothing.
    """
    return pooled(transition.observation, transition.next_observation if config.next_observation else None)


def encoder(spec: GameSpec, config: NetworkConfig) -> Encoder:
    """The encoder for a game; raises ``ValueError`` as `resolve_kind` does."""
    kind = resolve_kind(spec, config)
    if kind == "pixels":
        return lambda transition: transition.observation

    def encode(transition: Transition) -> jax.Array:
        features = _cells(transition, config) if kind == "cells" else _flat(transition, config, spec.observation.layout)
        if config.action:
            features = jnp.concatenate([features, action_features(transition.action, spec)], axis=-1)
        return features

    return encode


def example(spec: GameSpec) -> Transition:
    """One transition of zeros, for shapes."""
    observation = jnp.zeros((1, *spec.observation.shape), spec.observation.dtype)
    action = jnp.zeros((1, *spec.actions.shape), spec.actions.dtype)
    return Transition(observation, action, observation, jnp.zeros((1,), jnp.float32))


class DenseReward(nnx.Module):
    """Dense layers on flat features."""

    def __init__(self, inputs: int, hidden: tuple[int, ...], *, rngs: nnx.Rngs) -> None:
        self.body = MLP(inputs, hidden, "leaky_relu", rngs=rngs)
        self.out = nnx.Linear(self.body.features, 1, rngs=rngs)

    def __call__(self, features: jax.Array) -> jax.Array:
        """``[B, F] → [B]``."""
        return self.out(self.body(features))[:, 0]


class PixelReward(nnx.Module):
    """The reward network of Christiano et al. 2017 (appendix A.2) for 84×84×4 pixels: four convolutions of 16, one dense layer.

    Differs from the paper: no batch normalisation and no dropout (members differ by bootstrap and initialisation; weight decay adapts).
    """

    def __init__(self, shape: tuple[int, ...], dense: int, precision: Precision, *, rngs: nnx.Rngs) -> None:
        height, width, channels = shape
        layers = []
        for size, stride in ((7, 3), (5, 2), (3, 1), (3, 1)):
            layers.append(ValidConv(channels, 16, size, stride, precision=precision, rngs=rngs))
            channels, height, width = 16, (height - size) // stride + 1, (width - size) // stride + 1
        if height < 1 or width < 1:
            raise ValueError(f"pixels of shape {shape} are too small for the reward network; it needs at least 43×43")
        self.convs = nnx.List(layers)
        self.dense = Dense(channels * height * width, dense, precision, rngs=rngs)
        self.out = nnx.Linear(dense, 1, rngs=rngs)

    def __call__(self, features: jax.Array) -> jax.Array:
        """``[B, H, W, C] → [B]``."""
        first, *others = self.convs
        x = nnx.leaky_relu(first.on_blocks(first.blocks(features)), 0.01)
        for conv in others:
            x = nnx.leaky_relu(conv(x), 0.01)
        x = nnx.leaky_relu(self.dense(flattened(x)), 0.01)
        return self.out(x)[:, 0]


def reward_network(spec: GameSpec, config: NetworkConfig, *, rngs: nnx.Rngs) -> Any:
    """The network on the encoder's features."""
    if resolve_kind(spec, config) == "pixels":
        return PixelReward(spec.observation.shape, config.hidden[-1], config.precision, rngs=rngs)
    features = jax.eval_shape(encoder(spec, config), example(spec))
    return DenseReward(math.prod(features.shape[1:]), config.hidden, rngs=rngs)
