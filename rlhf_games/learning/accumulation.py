"""Gradients of a minibatch in parts, for processors that are quicker on a few rows at a time.

The kernel of a dense layer behind convolutions has most of a network's parameters. To add its gradient up part by part would move all
of them each time: what that gradient is the product of is kept instead, and multiplied once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import jax
import jax.numpy as jnp
from flax import nnx

from rlhf_games.core.agent import PyTree
from rlhf_games.learning.products import DenseKernel, Tapped, kernel_gradient

PartT = TypeVar("PartT")
FoundT = TypeVar("FoundT")
_Factors: TypeAlias = list[tuple[jax.Array, jax.Array]]


def summed_gradient(
    loss: Callable[[PyTree, PartT], tuple[jax.Array, FoundT]], params: PyTree, parts: PartT, rows: int
) -> tuple[PyTree, FoundT]:
    """``Σ ∇ loss(params, part)`` over the parts, and the sum of what the loss found beside.

    Args:
      loss: to a scalar and a pytree of arrays; uses each `Dense` layer at most once, on ``rows`` rows.
      params: an ``nnx.State``.
      parts: leaves ``[n, ...]``: ``n`` parts.
      rows: of each part.
    """
    tapped = _tapped(params, rows)

    def of_part(part: PartT) -> tuple[tuple[PyTree, FoundT], _Factors]:
        gradient, found = jax.grad(loss, has_aux=True)(tapped, part)
        gradient, factors = _without_factors(gradient)
        return (gradient, found), factors

    first, _ = jax.eval_shape(of_part, jax.tree.map(lambda x: x[0], parts))
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), first)

    def add(sums: PyTree, part: PartT) -> tuple[PyTree, _Factors]:
        here, factors = of_part(part)
        return jax.tree.map(jnp.add, sums, here), factors

    (gradient, found), factors = jax.lax.scan(add, zeros, parts)
    return _with_products(gradient, factors), found


def _each_kernel(change: Callable[[DenseKernel], Any], params: PyTree) -> PyTree:
    """Every dense kernel's value changed, in one and the same order; everything else as it is."""

    def one(leaf: Any) -> Any:
        return leaf.replace(change(leaf)) if isinstance(leaf, DenseKernel) else leaf

    return jax.tree.map(one, params, is_leaf=lambda leaf: isinstance(leaf, nnx.Variable))


def _tapped(params: PyTree, rows: int) -> PyTree:
    def tap(leaf: DenseKernel) -> Tapped:
        kernel = leaf[...]
        return Tapped(kernel, *(jnp.zeros((rows, side), jnp.float32) for side in kernel.shape))

    return _each_kernel(tap, params)


def _without_factors(gradient: PyTree) -> tuple[PyTree, _Factors]:
    """A gradient by tapped parameters to one by parameters, 0 for dense kernels, and their factors."""
    factors: _Factors = []

    def take(leaf: DenseKernel) -> jax.Array:
        tapped: Any = leaf.get_value()
        factors.append((tapped.inputs, tapped.outputs))
        return jnp.zeros_like(tapped.kernel)

    return _each_kernel(take, gradient), factors


def _with_products(gradient: PyTree, factors: _Factors) -> PyTree:
    """Puts the products of the factors, leaves ``[n, rows, ...]``, where they belong."""
    left = iter(factors)

    def put(leaf: DenseKernel) -> jax.Array:
        inputs, outputs = (x.reshape(-1, x.shape[-1]) for x in next(left))
        return kernel_gradient(inputs, outputs, leaf.get_metadata("precision"))

    return _each_kernel(put, gradient)
