"""Networks, as flax nnx modules. Observations come in as the game gives them (bool, uint8 or float32) with one batch dimension."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import jax
import jax.numpy as jnp
from flax import nnx

from rlhf_games.core.spaces import Observation

Activation = Callable[[jax.Array], jax.Array]
ACTIVATIONS: dict[str, Activation] = {"relu": nnx.relu, "tanh": nnx.tanh, "leaky_relu": lambda x: nnx.leaky_relu(x, 0.01)}


def as_float(observation: jax.Array) -> jax.Array:
    """Observation as float32: pixels scaled to [0, 1], everything else cast."""
    x = observation.astype(jnp.float32)
    return x / 255.0 if observation.dtype == jnp.uint8 else x


def orthogonal(scale: float) -> nnx.Initializer:
    """Orthogonal weights, as PPO implementations use them."""
    return nnx.initializers.orthogonal(scale)


class MLP(nnx.Module):
    """Dense layers on the flattened input; the activation follows every layer."""

    def __init__(self, inputs: int, hidden: Sequence[int], activation: str, *, rngs: nnx.Rngs) -> None:
        sizes = [inputs, *hidden]
        self.layers = nnx.List(nnx.Linear(a, b, kernel_init=orthogonal(math.sqrt(2)), rngs=rngs) for a, b in pairwise(sizes))
        self.activation = ACTIVATIONS[activation]
        self.features = sizes[-1]

    def __call__(self, x: jax.Array) -> jax.Array:
        """``[B, ...] → [B, hidden[-1]]``."""
        x = as_float(x).reshape(x.shape[0], -1)
        for layer in self.layers:
            x = self.activation(layer(x))
        return x


class NatureCNN(nnx.Module):
    """The convolutions of Mnih et al. 2015 for 84×84 pixels, with one dense layer."""

    def __init__(self, shape: tuple[int, ...], dense: int, *, rngs: nnx.Rngs) -> None:
        convs = ((32, 8, 4), (64, 4, 2), (64, 3, 1))
        channels, height, width = shape[-1], shape[0], shape[1]
        layers = []
        for features, size, stride in convs:
            init = orthogonal(math.sqrt(2))
            layers.append(
                nnx.Conv(channels, features, (size, size), strides=(stride, stride), padding="VALID", kernel_init=init, rngs=rngs)
            )
            channels, height, width = features, (height - size) // stride + 1, (width - size) // stride + 1
        if height < 1 or width < 1:
            raise ValueError(f"pixels of shape {shape} are too small for the Nature network; it needs at least 36×36")
        self.convs = nnx.List(layers)
        self.dense = nnx.Linear(channels * height * width, dense, kernel_init=orthogonal(math.sqrt(2)), rngs=rngs)
        self.features = dense

    def __call__(self, x: jax.Array) -> jax.Array:
        """``[B, H, W, C] → [B, dense]``."""
        x = as_float(x)
        for conv in self.convs:
            x = nnx.relu(conv(x))
        return nnx.relu(self.dense(x.reshape(x.shape[0], -1)))


class GridCNN(nnx.Module):
    """One 3×3 convolution (as a matrix product over patches, which is faster on CPU) and dense layers, for small grids."""

    def __init__(self, shape: tuple[int, ...], channels: int, hidden: Sequence[int], *, rngs: nnx.Rngs) -> None:
        height, width, depth = shape
        self.patch = nnx.Linear(9 * depth, channels, kernel_init=orthogonal(math.sqrt(2)), rngs=rngs)
        self.dense = MLP((height - 2) * (width - 2) * channels, hidden, "relu", rngs=rngs)
        self.features = self.dense.features

    def __call__(self, x: jax.Array) -> jax.Array:
        """``[B, H, W, C] → [B, hidden[-1]]``."""
        x = as_float(x)
        height, width = x.shape[1] - 2, x.shape[2] - 2
        patches = jnp.concatenate([x[:, i : i + height, j : j + width] for i in range(3) for j in range(3)], axis=-1)
        return self.dense(nnx.relu(self.patch(patches)))


def torso(observation: Observation, kind: str, hidden: Sequence[int], activation: str, *, rngs: nnx.Rngs) -> nnx.Module:
    """The body of a network for an observation.

    Args:
      observation: what it sees.
      kind: ``auto`` (pixels: ``cnn``; everything else: ``mlp``), ``mlp`` or ``cnn``.
      hidden: sizes of the dense layers.
      activation: a name in ``ACTIVATIONS`` (dense layers; convolutions use relu).
      rngs: initialisation, consumed.
    """
    convolve = kind == "cnn" or (kind == "auto" and observation.layout == "image")
    if convolve and observation.layout == "image":
        return NatureCNN(observation.shape, hidden[-1], rngs=rngs)
    if convolve and observation.layout == "grid":
        return GridCNN(observation.shape, 16, hidden, rngs=rngs)
    if convolve:
        raise ValueError(f"network 'cnn' needs a grid or an image, the observation is a {observation.layout}")
    return MLP(math.prod(observation.shape), hidden, activation, rngs=rngs)
