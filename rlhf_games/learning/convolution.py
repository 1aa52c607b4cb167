"""Convolutions without padding, as matrix products where those are quicker.

On CPU, XLA runs a convolution on one thread, and its gradient inside ``lax.scan`` (where learners live) in plain loops, fifteen times
slower than outside. Matrix products use every core: there a convolution is one of them and a sum of shifted rows. Elsewhere it is the
library's.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx

from rlhf_games.learning.products import Precision, column_sums, factor, product, product_with_turned, turned


class ValidConv(nnx.Module):
    """A convolution without padding, with a bias. ``on_blocks(blocks(x))`` is the call, for those who cut their input once."""

    def __init__(
        self,
        channels: int,
        features: int,
        size: int,
        stride: int,
        *,
        precision: Precision = "float32",
        kernel_init: nnx.Initializer | None = None,
        rngs: nnx.Rngs,
    ) -> None:
        init = kernel_init or nnx.initializers.lecun_normal()
        self.kernel = nnx.Param(init(rngs.params(), (size, size, channels, features), jnp.float32))
        self.bias = nnx.Param(jnp.zeros((features,), jnp.float32))
        self.size = size
        self.stride = stride
        self.precision: Precision = precision

    def blocks(self, x: jax.Array) -> jax.Array:
        """``[B, H, W, C] → [B, H'', W'', s·s·C]``: what lies under one stride side by side; pixels no output sees are left out."""
        return _blocks(x, self.size, self.stride)

    def on_blocks(self, blocks: jax.Array) -> jax.Array:
        """What `blocks` gives to ``[B, H', W', features]``; uint8 pixels are read as [0, 1]."""
        kernel = _block_kernel(self.kernel[...], self.stride)
        if blocks.dtype == jnp.uint8:
            kernel = kernel / 255.0  # far fewer numbers to divide than pixels, and these stay whole: exact in any precision
        blocks = blocks.astype(jnp.float32)
        if jax.default_backend() == "cpu":
            return _by_products(blocks, kernel, self.bias[...], self.precision)
        return _by_library(blocks, kernel, self.precision) + self.bias[...].reshape(1, 1, 1, -1)

    def __call__(self, x: jax.Array) -> jax.Array:
        """``[B, H, W, C] → [B, H', W', features]``."""
        return self.on_blocks(self.blocks(x))


def _blocks(x: jax.Array, size: int, stride: int) -> jax.Array:
    """See `ValidConv.blocks`. Where the kernel is not a multiple of its stride, zeros may stand at the bottom and on the right."""
    tall, wide = ((side - size) // stride + -(-size // stride) for side in x.shape[1:3])
    x = x[:, : tall * stride, : wide * stride]
    x = jnp.pad(x, ((0, 0), (0, tall * stride - x.shape[1]), (0, wide * stride - x.shape[2]), (0, 0)))
    split = x.reshape(x.shape[0], tall, stride, wide, stride, x.shape[-1])
    return split.transpose(0, 1, 3, 2, 4, 5).reshape(x.shape[0], tall, wide, -1)


def _block_kernel(kernel: jax.Array, stride: int) -> jax.Array:
    """``[K, K, C, O] → [b, b, s·s·C, O]``: the kernel of stride 1 that does on blocks what this one does on pixels; zeros fill it up."""
    size, _, channels, features = kernel.shape
    blocks = -(-size // stride)
    short = blocks * stride - size
    kernel = jnp.pad(kernel, ((0, short), (0, short), (0, 0), (0, 0)))
    split = kernel.reshape(blocks, stride, blocks, stride, channels, features)
    return split.transpose(0, 2, 1, 3, 4, 5).reshape(blocks, blocks, -1, features)


def _by_library(x: jax.Array, kernel: jax.Array, precision: Precision) -> jax.Array:
    """``[B, H, W, C]`` and ``[b, b, C, O]`` to ``[B, H - b + 1, W - b + 1, O]`` float32."""
    x, kernel = x.astype(precision), kernel.astype(precision)
    found = jax.lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return found.astype(jnp.float32)


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def _by_products(x: jax.Array, kernel: jax.Array, bias: jax.Array, precision: Precision) -> jax.Array:
    """`_by_library` with a bias: along one side by copies laid side by side, along the other by adding shifted rows of the product.

    Copies for both sides would be ``b`` times as much to move, rows added for both sides more to multiply.
    """
    return _forward(x, kernel, bias, precision)[0]


def _forward(x: jax.Array, kernel: jax.Array, bias: jax.Array, precision: Precision) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    size = kernel.shape[0]
    height, width = x.shape[1] - size + 1, x.shape[2] - size + 1
    factors = factor(x, precision)
    beside = jnp.concatenate([factors[:, :, j : j + width] for j in range(size)], axis=-1)
    matrix = factor(_matrix(kernel), precision)
    rows = product(_rows(beside), matrix).reshape(*beside.shape[:3], size, -1)
    shifted = (rows[:, i : i + height, :, i] for i in range(size))
    return sum(shifted, bias.reshape(1, 1, 1, -1)), (beside, matrix, kernel)


def _backward(precision: Precision, kept: tuple[jax.Array, ...], gradient: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    beside, matrix, kernel = kept
    size, _, channels, features = kernel.shape
    last = size - 1
    factors = factor(gradient, precision)
    of_rows = jnp.concatenate([jnp.pad(factors, ((0, 0), (i, last - i), (0, 0), (0, 0))) for i in range(size)], axis=-1)
    of_matrix = product(turned(_rows(beside)), _rows(of_rows))
    of_kernel = of_matrix.reshape(size, channels, size, features).transpose(2, 0, 1, 3)
    of_beside = product_with_turned(_rows(of_rows), matrix).reshape(*beside.shape[:3], size, channels)
    of_x = sum(jnp.pad(of_beside[:, :, :, j], ((0, 0), (0, 0), (j, last - j), (0, 0))) for j in range(size))
    return jnp.asarray(of_x), of_kernel, column_sums(_rows(gradient))


_by_products.defvjp(_forward, _backward)


def _rows(x: jax.Array) -> jax.Array:
    """``[..., C] → [:, C]``."""
    return x.reshape(-1, x.shape[-1])


def _matrix(kernel: jax.Array) -> jax.Array:
    """``[b, b, C, O] → [b·C, b·O]``: its columns go into the rows below, its rows into copies on the right."""
    return kernel.transpose(1, 2, 0, 3).reshape(kernel.shape[1] * kernel.shape[2], -1)
