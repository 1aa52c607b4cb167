"""Convolutions without padding, as matrix products where those are quicker.

On CPU, XLA runs a convolution on one thread, and its gradient inside ``lax.scan`` (where learners live) in plain loops, fifteen times
slower than outside. Matrix products use every core: there a convolution is one of them and a sum of shifted rows. Elsewhere it is the
library's.

Between layers the batch stands inside the image, ``[H, W, B, C]``: what is moved from one row or column of an image to another is then one
long run of memory.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
from flax import nnx

from rlhf_games.learning.products import Precision, column_sums, factor, product, product_with_turned, turned


class ValidConv(nnx.Module):
    """A convolution without padding, with a bias.

    ``on_blocks(blocks(x))`` is the call for observations, which may be cut once and read many times.
    """

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
        x = _fitted(x, self.size, self.stride, (1, 2))
        lines = jax.lax.split(x.reshape(x.shape[0], x.shape[1] // self.stride, self.stride, -1), (1,) * self.stride, axis=2)
        return jnp.concatenate([line.reshape(*line.shape[:2], x.shape[2] // self.stride, -1) for line in lines], axis=-1)

    def on_blocks(self, blocks: jax.Array) -> jax.Array:
        """What `blocks` gives to ``[H', W', B, features]``; uint8 pixels are read as [0, 1]."""
        return self._convolved(blocks.transpose(1, 2, 0, 3))

    def __call__(self, x: jax.Array) -> jax.Array:
        """``[H, W, B, C] → [H', W', B, features]``; uint8 pixels are read as [0, 1]."""
        return self._convolved(_blocks(_fitted(x, self.size, self.stride, (0, 1)), self.stride))

    def _convolved(self, blocks: jax.Array) -> jax.Array:
        """Blocks ``[H'', W'', B, s·s·C]`` to ``[H', W', B, features]``."""
        kernel = _block_kernel(self.kernel[...], self.stride)
        if blocks.dtype == jnp.uint8:
            kernel = kernel / 255.0  # far fewer numbers to divide than pixels, and these stay whole: exact in any precision
        x = blocks.astype(jnp.float32)
        if jax.default_backend() == "cpu":
            return _by_products(x, kernel, self.bias[...], self.precision)
        return _by_library(x, kernel, self.precision) + self.bias[...].reshape(1, 1, 1, -1)


def flattened(x: jax.Array) -> jax.Array:
    """``[H, W, B, C] → [B, H·W·C]``."""
    return x.transpose(2, 0, 1, 3).reshape(x.shape[2], -1)


def _fitted(x: jax.Array, size: int, stride: int, axes: tuple[int, int]) -> jax.Array:
    """Cuts or fills the two axes of an image to the whole strides that outputs see.

    Where the kernel is not a multiple of its stride, zeros may stand at the bottom and on the right.
    """
    fill = [(0, 0)] * x.ndim
    for axis in axes:
        whole = stride * ((x.shape[axis] - size) // stride + -(-size // stride))
        x = jax.lax.slice_in_dim(x, 0, min(x.shape[axis], whole), axis=axis)
        fill[axis] = 0, whole - x.shape[axis]
    return jnp.pad(x, fill)


def _blocks(x: jax.Array, stride: int) -> jax.Array:
    """``[H, W, B, C] → [H/s, W/s, B, s·s·C]``; ``split`` and ``concatenate`` are each other's gradients, and copy long runs."""
    if stride == 1:
        return x
    tall, wide = x.shape[0] // stride, x.shape[1] // stride
    lines = jax.lax.split(x.reshape(tall, stride, wide, stride, *x.shape[2:]), (1,) * stride, axis=1)
    cells = [cell for line in lines for cell in jax.lax.split(line, (1,) * stride, axis=3)]
    return jnp.concatenate([cell.reshape(tall, wide, *x.shape[2:]) for cell in cells], axis=-1)


def _block_kernel(kernel: jax.Array, stride: int) -> jax.Array:
    """``[K, K, C, O] → [b, b, s·s·C, O]``: the kernel of stride 1 that does on blocks what this one does on pixels; zeros fill it up."""
    size, _, channels, features = kernel.shape
    blocks = -(-size // stride)
    short = blocks * stride - size
    kernel = jnp.pad(kernel, ((0, short), (0, short), (0, 0), (0, 0)))
    split = kernel.reshape(blocks, stride, blocks, stride, channels, features)
    return split.transpose(0, 2, 1, 3, 4, 5).reshape(blocks, blocks, -1, features)


def _by_library(x: jax.Array, kernel: jax.Array, precision: Precision) -> jax.Array:
    """``[H, W, B, C]`` and ``[b, b, C, O]`` to ``[H - b + 1, W - b + 1, B, O]`` float32."""
    x, kernel = x.astype(precision), kernel.astype(precision)
    found = jax.lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=("HWNC", "HWIO", "HWNC"))
    return found.astype(jnp.float32)


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def _by_products(x: jax.Array, kernel: jax.Array, bias: jax.Array, precision: Precision) -> jax.Array:
    """`_by_library` with a bias.

    Along one side by copies laid side by side, along the other by adding shifted rows of the product. Copies for both sides would be
    ``b`` times as much to move, rows added for both sides more to multiply.
    """
    return _forward(x, kernel, bias, precision)[0]


def _forward(x: jax.Array, kernel: jax.Array, bias: jax.Array, precision: Precision) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    size = kernel.shape[0]
    factors = factor(x, precision)
    height, width = factors.shape[0] - size + 1, factors.shape[1] - size + 1
    beside = jnp.concatenate([factors[:, j : j + width] for j in range(size)], axis=-1)
    matrix = factor(_matrix(kernel), precision)
    rows = product(_rows(beside), matrix).reshape(*beside.shape[:3], size, -1)
    shifted = (rows[i : i + height, :, :, i] for i in range(size))
    return sum(shifted, bias.reshape(1, 1, 1, -1)), (beside, matrix, kernel)


def _backward(precision: Precision, kept: tuple[jax.Array, ...], gradient: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    beside, matrix, kernel = kept
    size, _, channels, features = kernel.shape
    last = size - 1
    factors = factor(gradient, precision)
    of_rows = _rows(jnp.concatenate([jnp.pad(factors, ((i, last - i), (0, 0), (0, 0), (0, 0))) for i in range(size)], axis=-1))
    of_matrix = product(turned(beside), of_rows)
    of_kernel = of_matrix.reshape(size, channels, size, features).transpose(2, 0, 1, 3)
    of_beside = product_with_turned(of_rows, matrix).reshape(*beside.shape[:3], size, channels)
    return _added_columns(of_beside), of_kernel, column_sums(_rows(gradient))


_by_products.defvjp(_forward, _backward)


def _added_columns(x: jax.Array) -> jax.Array:
    """``[H, W, B, b, C] → [H, W + b - 1, B, C]``, ``W ≥ 1``: the ``b`` images moved ``0 … b - 1`` columns to the right, and added.

    Run by run of columns on which the same images lie: to fill each of them up with zeros first would move twice as much.
    """
    width, size = x.shape[1], x.shape[3]
    bounds = sorted({*range(size), *range(width, width + size)})
    runs = [sum(x[:, begin - j : end - j, :, j] for j in range(size) if 0 <= begin - j < width) for begin, end in pairwise(bounds)]
    return jnp.concatenate(runs, axis=1)


def _rows(x: jax.Array) -> jax.Array:
    """``[..., C] → [:, C]``."""
    return x.reshape(-1, x.shape[-1])


def _matrix(kernel: jax.Array) -> jax.Array:
    """``[b, b, C, O] → [b·C, b·O]``: its columns go into the rows below, its rows into copies on the right."""
    return kernel.transpose(1, 2, 0, 3).reshape(kernel.shape[1] * kernel.shape[2], -1)
