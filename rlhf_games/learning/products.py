"""Matrix products in a chosen precision, in the forms that XLA's CPU library is quick at.

``bfloat16`` is mixed precision (Micikevicius et al. 2018, arXiv 1710.03740): parameters, sums, activations and gradients stay float32, only
the factors of products are rounded. bfloat16 has the range of float32, so no loss needs scaling.
"""

from __future__ import annotations

from functools import partial
from typing import Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from flax import nnx
from jax.experimental.layout import Layout, with_layout_constraint

Precision: TypeAlias = Literal["float32", "bfloat16"]
"""Of the factors of products."""

_FEW = 16
"""With fewer rows a product takes less time than rounding the kernel of a dense layer."""


def factor(x: jax.Array, precision: Precision) -> jax.Array:
    """float32 ``x`` as products take it: as it is, or rounded to bfloat16, as its bits in uint16.

    XLA's CPU compiler moves bfloat16 by way of float32, twice as much as it needs; it moves uint16 as it is.
    """
    return x if precision == "float32" else jax.lax.bitcast_convert_type(x.astype(jnp.bfloat16), jnp.uint16)


def product(a: jax.Array, b: jax.Array) -> jax.Array:
    """Factors ``[I, J]`` and ``[J, K]`` to float32 ``[I, K]``."""
    if a.dtype == jnp.float32:
        return a @ b
    return jax.lax.dot(_value(a), _value(b), preferred_element_type=jnp.float32)


def product_with_turned(a: jax.Array, b: jax.Array) -> jax.Array:
    """Factors ``[I, J]`` and ``[K, J]`` to float32 ``a bᵀ``, ``[I, K]``."""
    if a.dtype == jnp.float32:
        return a @ turned(b)
    return jax.lax.dot_general(_value(a), _value(b), (((1,), (1,)), ((), ())), preferred_element_type=jnp.float32)


def turned(a: jax.Array) -> jax.Array:
    """A factor ``[..., J]`` of ``I`` rows to its transpose ``[J, I]``; on CPU laid out as such: products read it several times as fast."""
    across = jnp.moveaxis(a, -1, 0).reshape(a.shape[-1], -1)
    if jax.default_backend() != "cpu":
        return across
    if a.dtype == jnp.float32:
        whole: jax.Array = jax.lax.optimization_barrier(across)  # type: ignore[no-untyped-call]
        return whole
    # XLA would fold the transpose into the product, and has no bfloat16 product that reads its first factor turned. Asking for the layout
    # hides the transpose, and makes XLA turn the factor by a copy of its own, five times as fast as in its loops.
    rows = _laid(a, *range(a.ndim))
    columns = jnp.moveaxis(_laid(rows, a.ndim - 1, *range(a.ndim - 1)), -1, 0)
    return _laid(columns.reshape(a.shape[-1], -1), 0, 1)


def _laid(a: jax.Array, *axes: int) -> jax.Array:
    """``a`` as it is, its axes in memory in the order given, the one whose entries are neighbours last."""
    laid: jax.Array = with_layout_constraint(a, Layout(axes))  # type: ignore[no-untyped-call]
    return laid


def column_sums(x: jax.Array) -> jax.Array:
    """``[I, J]`` float32 to ``[J]``: as a product of a few rows, twice as fast on CPU as XLA's sum (one row would be slow again)."""
    return (jnp.ones((8, x.shape[0]), x.dtype) @ x)[0]


class DenseKernel(nnx.Param[jax.Array]):
    """The kernel of a `Dense` layer; ``precision`` (metadata) is that of its products."""


class Tapped(NamedTuple):
    """In place of a kernel: its gradient comes as the two factors it is the product of, the cotangents of ``inputs`` and ``outputs``.

    For a layer that is used once. See `rlhf_games.learning.accumulation`.
    """

    kernel: jax.Array
    """``[I, O]``."""
    inputs: jax.Array
    """``[B, I]`` float32, any."""
    outputs: jax.Array
    """``[B, O]`` float32, any."""


class Dense(nnx.Module):
    """A dense layer whose products have a precision."""

    def __init__(
        self, inputs: int, features: int, precision: Precision, *, kernel_init: nnx.Initializer | None = None, rngs: nnx.Rngs
    ) -> None:
        init = kernel_init or nnx.initializers.lecun_normal()
        self.kernel = DenseKernel(init(rngs.params(), (inputs, features), jnp.float32), precision=precision)
        self.bias = nnx.Param(jnp.zeros((features,), jnp.float32))
        self.precision: Precision = precision

    def __call__(self, x: jax.Array) -> jax.Array:
        """``[B, inputs] → [B, features]``, float32. Few rows are not rounded: that would cost more than it saves."""
        precision: Precision = self.precision if len(x) >= _FEW else "float32"
        kernel: jax.Array | Tapped = self.kernel.get_value()
        outputs = _dense_tapped(x, kernel, precision) if isinstance(kernel, Tapped) else _dense(x, kernel, precision)
        return outputs + self.bias[...].reshape(1, -1)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _dense(x: jax.Array, kernel: jax.Array, precision: Precision) -> jax.Array:
    """``[B, I]`` times ``[I, O]``, float32; the factors of its gradient's products are rounded too."""
    return product(factor(x, precision), factor(kernel, precision))


def _dense_forward(x: jax.Array, kernel: jax.Array, precision: Precision) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    a, b = factor(x, precision), factor(kernel, precision)
    return product(a, b), (a, b)


def _dense_backward(precision: Precision, kept: tuple[jax.Array, jax.Array], gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    a, b = kept
    g = factor(gradient, precision)
    return product_with_turned(g, b), product(turned(a), g)


_dense.defvjp(_dense_forward, _dense_backward)


def kernel_gradient(inputs: jax.Array, outputs: jax.Array, precision: Precision) -> jax.Array:
    """``[I, O]``: the gradient of a dense kernel by ``[B, I]`` its inputs and ``[B, O]`` the gradient by its outputs."""
    return product(turned(factor(inputs, precision)), factor(outputs, precision))


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _dense_tapped(x: jax.Array, kernel: Tapped, precision: Precision) -> jax.Array:
    return _dense(x, kernel.kernel, precision)


def _dense_tapped_forward(x: jax.Array, kernel: Tapped, precision: Precision) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    b = factor(kernel.kernel, precision)
    return product(factor(x, precision), b), (x, b)


def _dense_tapped_backward(precision: Precision, kept: tuple[jax.Array, jax.Array], gradient: jax.Array) -> tuple[jax.Array, Tapped]:
    x, b = kept
    return product_with_turned(factor(gradient, precision), b), Tapped(jnp.zeros(b.shape, jnp.float32), x, gradient)


_dense_tapped.defvjp(_dense_tapped_forward, _dense_tapped_backward)


def _value(x: jax.Array) -> jax.Array:
    return jax.lax.bitcast_convert_type(x, jnp.bfloat16)
