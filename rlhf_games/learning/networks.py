"""Networks, as flax nnx modules. Observations come in as the game gives them (bool, uint8 or float32) with one batch dimension.

A body first picks what its layers read (`Body.inputs`: no parameters, so that a learner does it once for many passes), then runs them.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from numpy.typing import NDArray

from rlhf_games.core.spaces import Layout, Observation
from rlhf_games.learning.convolution import ValidConv, flattened
from rlhf_games.learning.products import Dense, Precision, turned

WIDEST = 65_536
"""No layer is wider: a slip of the keyboard must not fill the memory."""
Activation = Callable[[jax.Array], jax.Array]
ACTIVATIONS: dict[str, Activation] = {"relu": nnx.relu, "tanh": nnx.tanh, "leaky_relu": lambda x: nnx.leaky_relu(x, 0.01)}


def as_float(values: jax.Array, layout: Layout) -> jax.Array:
    """Entries of an observation of this layout as float32: pixels (of an ``image``) scaled to [0, 1], everything else cast."""
    x = values.astype(jnp.float32)
    return x / 255.0 if layout == "image" and values.dtype == jnp.uint8 else x


def orthogonal(scale: float) -> nnx.Initializer:
    """Orthogonal weights, as PPO implementations use them.

    Under ``vmap`` they are drawn one after the other. The QR decomposition of a batch waits in a thread of XLA's CPU pool for other threads
    of that pool; two such decompositions in one program, on a machine with two cores, wait for each other for ever.
    """
    draw = nnx.initializers.orthogonal(scale)

    def init(key: jax.Array, shape: Sequence[int], dtype: Any = jnp.float32, **how: Any) -> jax.Array:
        alone = jax.custom_batching.sequential_vmap(lambda key: draw(key, shape, dtype, **how))  # type: ignore[no-untyped-call]
        drawn: jax.Array = alone(key)
        return drawn

    return init


class Body(nnx.Module):
    """The part of a network that turns an observation into features."""

    features: int
    """How many it gives."""

    def inputs(self, observation: jax.Array) -> jax.Array:
        """``[B, ...]`` observations to what the layers read of them, ``[B, ...]`` of the same dtype."""
        return observation

    @abstractmethod
    def on_inputs(self, inputs: jax.Array) -> jax.Array:
        """``[B, ...] → [B, features]``."""

    def __call__(self, observation: jax.Array) -> jax.Array:
        """``[B, ...] → [B, features]``."""
        return self.on_inputs(self.inputs(observation))


class MLP(nnx.Module):
    """Dense layers on the flattened input; the activation follows every layer."""

    def __init__(self, inputs: int, hidden: Sequence[int], activation: str, *, rngs: nnx.Rngs) -> None:
        sizes = [inputs, *hidden]
        self.layers = nnx.List(nnx.Linear(a, b, kernel_init=orthogonal(math.sqrt(2)), rngs=rngs) for a, b in pairwise(sizes))
        self.activation = ACTIVATIONS[activation]
        self.features = sizes[-1]

    def __call__(self, x: jax.Array) -> jax.Array:
        """``[B, ...] → [B, hidden[-1]]``."""
        x = x.astype(jnp.float32).reshape(x.shape[0], -1)
        for layer in self.layers:
            bias: Any = layer.bias
            x = self.activation(_product(x, layer.kernel[...]) + bias[...].reshape(1, -1))
        return x


_NARROW = 128
"""Inputs of a dense layer up to which its gradient is quicker by `_product` (64: by a third; 400: slower)."""


@jax.custom_vjp
def _product(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """``[B, I]`` times ``[I, O]``. On CPU the gradient of a narrow kernel is quicker when ``x`` is laid out anew for it."""
    return x @ kernel


def _product_forward(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return x @ kernel, (x, kernel)


def _product_backward(kept: tuple[jax.Array, jax.Array], gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, kernel = kept
    # on CPU the product would read x across its rows
    across = turned(x) if x.shape[1] <= _NARROW else x.T
    return gradient @ kernel.T, across @ gradient


_product.defvjp(_product_forward, _product_backward)


def live_entries(observation: Observation) -> NDArray[np.intp]:
    """Which entries of the flattened observation can ever be other than 0, in order (see ``Observation.regions``)."""
    live = np.zeros(observation.shape, bool)
    for channel, (top, bottom, left, right) in enumerate(observation.regions):
        live[top : bottom + 1, left : right + 1, channel] = True
    return np.flatnonzero(live if observation.regions else ~live)


class DenseBody(Body):
    """Dense layers on the observation's live entries: weights of the others would cost their products and never learn."""

    def __init__(self, observation: Observation, hidden: Sequence[int], activation: str, *, rngs: nnx.Rngs) -> None:
        entries = live_entries(observation)
        self.entries = tuple(entries.tolist()) if len(entries) < math.prod(observation.shape) else None
        self.layers = MLP(len(entries), hidden, activation, rngs=rngs)
        self.layout = observation.layout
        self.features = self.layers.features

    def inputs(self, observation: jax.Array) -> jax.Array:
        """``[B, ...] → [B, live]``.

        Entry by entry and not column by column: XLA's CPU gather of columns is four times as slow, and leaves them transposed.
        """
        rows, size = observation.shape[0], math.prod(observation.shape[1:])
        if self.entries is None:
            return observation.reshape(rows, size)
        places = size * jnp.arange(rows)[:, None] + jnp.asarray(self.entries, jnp.int32).reshape(1, -1)
        return jnp.asarray(observation).reshape(-1).at[places].get(mode="promise_in_bounds", indices_are_sorted=True, unique_indices=True)

    def on_inputs(self, inputs: jax.Array) -> jax.Array:
        """``[B, live] → [B, hidden[-1]]``."""
        features: jax.Array = self.layers(as_float(inputs, self.layout))
        return features


class NatureCNN(Body):
    """The convolutions of Mnih et al. 2015 for 84×84 pixels, with one dense layer."""

    def __init__(self, shape: tuple[int, ...], dense: int, precision: Precision = "float32", *, rngs: nnx.Rngs) -> None:
        convs = ((32, 8, 4), (64, 4, 2), (64, 3, 1))
        channels, height, width = shape[-1], shape[0], shape[1]
        layers = []
        for features, size, stride in convs:
            layers.append(ValidConv(channels, features, size, stride, precision=precision, kernel_init=orthogonal(math.sqrt(2)), rngs=rngs))
            channels, height, width = features, (height - size) // stride + 1, (width - size) // stride + 1
        if height < 1 or width < 1:
            raise ValueError(f"pixels of shape {shape} are too small for the Nature network; it needs at least 36×36")
        self.convs = nnx.List(layers)
        self.dense = Dense(channels * height * width, dense, precision, kernel_init=orthogonal(math.sqrt(2)), rngs=rngs)
        self.features = dense

    def inputs(self, observation: jax.Array) -> jax.Array:
        """``[B, H, W, C]`` to the blocks that the first layer reads."""
        return self.convs[0].blocks(observation)

    def on_inputs(self, inputs: jax.Array) -> jax.Array:
        """``[B, H'', W'', 16·C] → [B, dense]``."""
        first, *others = self.convs
        x = nnx.relu(first.on_blocks(inputs))
        for conv in others:
            x = nnx.relu(conv(x))
        return nnx.relu(self.dense(flattened(x)))


class GridCNN(Body):
    """One 3×3 convolution (as a matrix product over patches, which is faster on CPU) and dense layers, for small grids."""

    def __init__(self, shape: tuple[int, ...], channels: int, hidden: Sequence[int], *, rngs: nnx.Rngs) -> None:
        height, width, depth = shape
        self.patch = nnx.Linear(9 * depth, channels, kernel_init=orthogonal(math.sqrt(2)), rngs=rngs)
        self.dense = MLP((height - 2) * (width - 2) * channels, hidden, "relu", rngs=rngs)
        self.features = self.dense.features

    def on_inputs(self, inputs: jax.Array) -> jax.Array:
        """``[B, H, W, C] → [B, hidden[-1]]``."""
        x = inputs.astype(jnp.float32)
        height, width = x.shape[1] - 2, x.shape[2] - 2
        patches = jnp.concatenate([x[:, i : i + height, j : j + width] for i in range(3) for j in range(3)], axis=-1)
        return self.dense(nnx.relu(self.patch(patches)))


def torso(
    observation: Observation, kind: str, hidden: Sequence[int], activation: str, precision: Precision = "float32", *, rngs: nnx.Rngs
) -> Body:
    """The body of a network for an observation.

    Args:
      observation: what it sees.
      kind: ``auto`` (pixels: ``cnn``; everything else: ``mlp``), ``mlp`` or ``cnn``.
      hidden: sizes of the dense layers.
      activation: a name in ``ACTIVATIONS`` (dense layers; convolutions use relu).
      precision: of the products in convolutions over pixels.
      rngs: initialisation, consumed.

    Raises:
      ValueError: the kind or the precision does not fit the observation.
    """
    convolve = kind == "cnn" or (kind == "auto" and observation.layout == "image")
    if convolve and observation.layout == "image":
        return NatureCNN(observation.shape, hidden[-1], precision, rngs=rngs)
    if precision != "float32":
        raise ValueError(f"precision {precision!r} is for convolutions over pixels; the others are computed in float32")
    if convolve and observation.layout == "grid":
        return GridCNN(observation.shape, 16, hidden, rngs=rngs)
    if convolve:
        raise ValueError(f"network 'cnn' needs a grid or an image, the observation is a {observation.layout}")
    return DenseBody(observation, hidden, activation, rngs=rngs)
