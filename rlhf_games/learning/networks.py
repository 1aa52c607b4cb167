"""Networks, as flax nnx modules. Observations come in as the game gives them (bool, uint8 or float32) with one batch dimension.

A body first picks what its layers read (`Body.inputs`: no parameters, so that a learner does it once for many passes), then runs them.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from numpy.typing import NDArray

from rlhf_games.core.spaces import Observation

Activation = Callable[[jax.Array], jax.Array]
ACTIVATIONS: dict[str, Activation] = {"relu": nnx.relu, "tanh": nnx.tanh, "leaky_relu": lambda x: nnx.leaky_relu(x, 0.01)}


def as_float(observation: jax.Array) -> jax.Array:
    """Observation as float32: pixels scaled to [0, 1], everything else cast."""
    x = observation.astype(jnp.float32)
    return x / 255.0 if observation.dtype == jnp.uint8 else x


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
        x = as_float(x).reshape(x.shape[0], -1)
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
    turned = x.T
    if jax.default_backend() == "cpu" and x.shape[1] <= _NARROW:
        # or the product would read x across its rows
        turned = jax.lax.optimization_barrier(turned)  # type: ignore[no-untyped-call]
    return gradient @ kernel.T, turned @ gradient


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
        features: jax.Array = self.layers(inputs)
        return features


class ValidConv(nnx.Module):
    """A convolution without padding, with a bias; its gradient is quick inside ``lax.scan`` too (see `valid_conv`)."""

    def __init__(
        self, channels: int, features: int, size: int, stride: int, *, kernel_init: nnx.Initializer | None = None, rngs: nnx.Rngs
    ) -> None:
        init = kernel_init or nnx.initializers.lecun_normal()
        self.kernel = nnx.Param(init(rngs.params(), (size, size, channels, features), jnp.float32))
        self.bias = nnx.Param(jnp.zeros((features,), jnp.float32))
        self.stride = stride

    def __call__(self, x: jax.Array) -> jax.Array:
        """``[B, H, W, C] → [B, H', W', features]``."""
        return valid_conv(x, self.kernel[...], self.stride) + self.bias[...].reshape(1, 1, 1, -1)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def valid_conv(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """``[B, H, W, C]`` and ``[K, K, C, O]`` to ``[B, H', W', O]``: the convolution without padding.

    On CPU, XLA's gradient of a convolution is fifteen times slower inside ``lax.scan`` than outside (it falls back to plain loops), and
    learners live inside ``scan``. So there the gradient is written as matrix products.
    """
    return _library_conv(x, kernel, stride)


def _library_conv(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    return jax.lax.conv_general_dilated(x, kernel, (stride, stride), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def _conv_forward(x: jax.Array, kernel: jax.Array, stride: int) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _library_conv(x, kernel, stride), (x, kernel)


def _conv_backward(stride: int, kept: tuple[jax.Array, jax.Array], gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, kernel = kept
    if jax.default_backend() != "cpu":
        gradients: tuple[jax.Array, jax.Array] = jax.vjp(lambda x, kernel: _library_conv(x, kernel, stride), x, kernel)[1](gradient)
        return gradients
    (of_x,) = jax.vjp(lambda x: _conv_by_products(x, kernel, stride), x)[1](gradient)
    return of_x, _kernel_gradient(x, kernel.shape, stride, gradient)


valid_conv.defvjp(_conv_forward, _conv_backward)


def _conv_by_products(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """`valid_conv` as one matrix product per row of (strided) kernel blocks."""
    size, _, channels, features = kernel.shape
    batch, blocks = x.shape[0], -(-size // stride)
    height, width = ((side - size) // stride + 1 for side in x.shape[1:3])
    short = blocks * stride - size
    taps = jnp.pad(kernel, ((0, short), (0, short), (0, 0), (0, 0)))
    taps = taps.reshape(blocks, stride, blocks, stride, channels, features).transpose(0, 2, 1, 3, 4, 5).reshape(blocks, -1, features)
    products = (row @ tap for row, tap in zip(_kernel_rows(x, size, stride), taps, strict=True))
    return sum(products, jnp.zeros((), x.dtype).reshape(1, 1)).reshape(batch, height, width, features)


def _kernel_gradient(x: jax.Array, shape: tuple[int, ...], stride: int, gradient: jax.Array) -> jax.Array:
    """``[K, K, C, O]`` what the products' sum gives for the kernel. The wide factor stands on the right: twice as fast on CPU."""
    size, _, channels, features = shape
    blocks = -(-size // stride)
    downhill = gradient.reshape(-1, features).T
    taps = jnp.stack([(downhill @ row).T for row in _kernel_rows(x, size, stride)])
    taps = taps.reshape(blocks, blocks, stride, stride, channels, features).transpose(0, 2, 1, 3, 4, 5)
    return taps.reshape(blocks * stride, blocks * stride, channels, features)[:size, :size]


def _kernel_rows(x: jax.Array, size: int, stride: int) -> list[jax.Array]:
    """For each row of a kernel's blocks, what it is multiplied with at every place: ``[B·H'·W', blocks·s·s·C]``."""
    blocks = -(-size // stride)
    height, width = ((side - size) // stride + 1 for side in x.shape[1:3])
    tall, wide = height + blocks - 1, width + blocks - 1
    x = _blocks(_fit(x, tall * stride, wide * stride), tall, wide, stride)
    beside = jnp.concatenate([x[:, :, j : j + width] for j in range(blocks)], axis=-1)
    return [beside[:, i : i + height].reshape(x.shape[0] * height * width, -1) for i in range(blocks)]


def _fit(x: jax.Array, height: int, width: int) -> jax.Array:
    """Crops, or pads with zeros, at the bottom and on the right."""
    x = x[:, :height, :width]
    return jnp.pad(x, ((0, 0), (0, height - x.shape[1]), (0, width - x.shape[2]), (0, 0)))


def _blocks(x: jax.Array, tall: int, wide: int, stride: int) -> jax.Array:
    """``[B, tall·s, wide·s, C] → [B, tall, wide, s·s·C]``."""
    split = x.reshape(x.shape[0], tall, stride, wide, stride, x.shape[-1])
    return split.transpose(0, 1, 3, 2, 4, 5).reshape(x.shape[0], tall, wide, -1)


class NatureCNN(Body):
    """The convolutions of Mnih et al. 2015 for 84×84 pixels, with one dense layer."""

    def __init__(self, shape: tuple[int, ...], dense: int, *, rngs: nnx.Rngs) -> None:
        convs = ((32, 8, 4), (64, 4, 2), (64, 3, 1))
        channels, height, width = shape[-1], shape[0], shape[1]
        layers = []
        for features, size, stride in convs:
            layers.append(ValidConv(channels, features, size, stride, kernel_init=orthogonal(math.sqrt(2)), rngs=rngs))
            channels, height, width = features, (height - size) // stride + 1, (width - size) // stride + 1
        if height < 1 or width < 1:
            raise ValueError(f"pixels of shape {shape} are too small for the Nature network; it needs at least 36×36")
        self.convs = nnx.List(layers)
        self.dense = nnx.Linear(channels * height * width, dense, kernel_init=orthogonal(math.sqrt(2)), rngs=rngs)
        self.features = dense

    def on_inputs(self, inputs: jax.Array) -> jax.Array:
        """``[B, H, W, C] → [B, dense]``."""
        x = as_float(inputs)
        for conv in self.convs:
            x = nnx.relu(conv(x))
        return nnx.relu(self.dense(x.reshape(x.shape[0], -1)))


class GridCNN(Body):
    """One 3×3 convolution (as a matrix product over patches, which is faster on CPU) and dense layers, for small grids."""

    def __init__(self, shape: tuple[int, ...], channels: int, hidden: Sequence[int], *, rngs: nnx.Rngs) -> None:
        height, width, depth = shape
        self.patch = nnx.Linear(9 * depth, channels, kernel_init=orthogonal(math.sqrt(2)), rngs=rngs)
        self.dense = MLP((height - 2) * (width - 2) * channels, hidden, "relu", rngs=rngs)
        self.features = self.dense.features

    def on_inputs(self, inputs: jax.Array) -> jax.Array:
        """``[B, H, W, C] → [B, hidden[-1]]``."""
        x = as_float(inputs)
        height, width = x.shape[1] - 2, x.shape[2] - 2
        patches = jnp.concatenate([x[:, i : i + height, j : j + width] for i in range(3) for j in range(3)], axis=-1)
        return self.dense(nnx.relu(self.patch(patches)))


def torso(observation: Observation, kind: str, hidden: Sequence[int], activation: str, *, rngs: nnx.Rngs) -> Body:
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
    return DenseBody(observation, hidden, activation, rngs=rngs)
