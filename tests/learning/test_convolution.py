"""Convolutions as products are the library's convolutions, with its gradients, in both precisions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rlhf_games.core.spaces import Observation
from rlhf_games.learning.convolution import ValidConv
from rlhf_games.learning.networks import torso
from rlhf_games.learning.products import Dense, Precision, column_sums, factor, product, product_with_turned, turned

PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")
LAYERS, OBSERVATIONS = "between layers", "of observations"
CASES = [
    ((3, 20, 17, 4), 8, 4, OBSERVATIONS),  # the Nature network's, with pixels left over
    ((3, 20, 17, 4), 8, 4, LAYERS),
    ((2, 10, 10, 3), 4, 2, LAYERS),
    ((2, 5, 6, 5), 3, 1, LAYERS),
    ((2, 16, 13, 4), 7, 3, OBSERVATIONS),  # the reward network's: kernels that are no multiple of their stride
    ((1, 12, 11, 2), 5, 2, LAYERS),
    ((1, 2, 2, 1), 2, 1, OBSERVATIONS),
]


def rounded(x: jax.Array, precision: Precision) -> jax.Array:
    return x.astype(precision).astype(jnp.float32)


def plain(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"), precision=jax.lax.Precision.HIGHEST
    )


WAYS: dict[str, Callable[[ValidConv, jax.Array], jax.Array]] = {
    LAYERS: lambda conv, x: conv(x.transpose(1, 2, 0, 3)).transpose(2, 0, 1, 3),
    OBSERVATIONS: lambda conv, x: conv.on_blocks(conv.blocks(x)).transpose(2, 0, 1, 3),
}


def conv_and_input(shape: tuple[int, ...], size: int, stride: int, precision: Precision) -> tuple[ValidConv, jax.Array]:
    conv = ValidConv(shape[-1], 6, size, stride, precision=precision, rngs=nnx.Rngs(0))
    conv.bias[...] = jnp.arange(6.0)
    return conv, jax.random.normal(jax.random.key(1), shape)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(("shape", "size", "stride", "way"), CASES)
def test_the_convolution_of_the_factors(shape: tuple[int, ...], size: int, stride: int, way: str, precision: Precision) -> None:
    """Rounding touches the factors alone: sums are float32."""
    conv, x = conv_and_input(shape, size, stride, precision)

    @jax.jit
    def by_library(x: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
        return plain(rounded(x, precision), rounded(kernel, precision), stride) + bias.reshape(1, 1, 1, -1)

    expected = by_library(x, conv.kernel[...], conv.bias[...])
    found = jax.jit(lambda x: WAYS[way](conv, x))(x)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(("shape", "size", "stride", "way"), CASES)
def test_its_gradients(shape: tuple[int, ...], size: int, stride: int, way: str, precision: Precision) -> None:
    """Inside ``scan``, as learners take them: those of the plain convolution for rounded factors and a rounded gradient."""
    conv, x = conv_and_input(shape, size, stride, precision)
    graph, params = nnx.split(conv)
    weights = jax.random.normal(jax.random.key(2), jax.eval_shape(lambda x: WAYS[way](conv, x), x).shape)

    def ours(params: Any, x: jax.Array) -> jax.Array:
        return jnp.sum(weights * WAYS[way](nnx.merge(graph, params), x))

    def step(sums: Any, _: None) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, sums, jax.grad(ours, argnums=(0, 1))(params, x)), None

    (of_params, of_x), _ = jax.jit(lambda: jax.lax.scan(step, jax.tree.map(jnp.zeros_like, (params, x)), None, length=2))()

    @jax.jit
    def by_library(kernel: jax.Array, x: jax.Array, weights: jax.Array) -> Any:
        pull = jax.vjp(lambda k, x: plain(x, k, stride), rounded(kernel, precision), rounded(x, precision))[1]
        return pull(rounded(weights, precision))

    of_kernel, expected_x = map(np.asarray, by_library(conv.kernel[...], x, weights))
    np.testing.assert_allclose(of_params["kernel"][...], 2 * of_kernel, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(of_x, 2 * expected_x, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(of_params["bias"][...], 2 * np.asarray(weights).sum((0, 1, 2)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_pixels_are_read_as_shares_of_255(precision: Precision) -> None:
    conv, _ = conv_and_input((2, 9, 9, 2), 3, 2, precision)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 9, 9, 2)).astype(np.uint8)
    tolerance = 1e-5 if precision == "float32" else 2e-2
    expected = WAYS[LAYERS](conv, jnp.asarray(pixels, jnp.float32) / 255)
    for way in WAYS.values():
        np.testing.assert_allclose(way(conv, jnp.asarray(pixels)), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(("shape", "size", "stride", "way"), CASES[1:5])
def test_other_devices_run_the_same_convolution(
    shape: tuple[int, ...], size: int, stride: int, way: str, precision: Precision, monkeypatch: pytest.MonkeyPatch
) -> None:
    conv, x = conv_and_input(shape, size, stride, precision)
    expected = WAYS[way](conv, x)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    tolerance = 1e-5 if precision == "float32" else 5e-2  # the library rounds its results too
    np.testing.assert_allclose(WAYS[way](conv, x), expected, rtol=tolerance, atol=tolerance)


def test_blocks_hold_what_lies_under_one_stride() -> None:
    """Row by row and column by column, each image for itself; pixels no output sees are left out."""
    conv = ValidConv(1, 1, 2, 2, rngs=nnx.Rngs(0))
    pixels = jnp.arange(50, dtype=jnp.uint8).reshape(2, 5, 5, 1)
    first = [[[0, 1, 5, 6], [2, 3, 7, 8]], [[10, 11, 15, 16], [12, 13, 17, 18]]]
    np.testing.assert_array_equal(conv.blocks(pixels), np.stack([np.array(first), 25 + np.array(first)]))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(("rows", "inner", "columns"), [(1, 1, 1), (3, 5, 2), (40, 17, 9)])
def test_products(rows: int, inner: int, columns: int, precision: Precision) -> None:
    a, b = jax.random.normal(jax.random.key(0), (rows, inner)), jax.random.normal(jax.random.key(1), (inner, columns))
    expected = np.asarray(rounded(a, precision), np.float64) @ np.asarray(rounded(b, precision), np.float64)
    forms: list[Callable[..., jax.Array]] = [
        lambda a, b: product(factor(a, precision), factor(b, precision)),
        lambda a, b: product_with_turned(factor(a, precision), factor(b.T, precision)),
        lambda a, b: product(turned(factor(a.T, precision)), factor(b, precision)),
    ]
    for form in forms:
        np.testing.assert_allclose(jax.jit(form)(a, b), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(column_sums(a), a.sum(0), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 33])
def test_networks_agree_but_for_rounding(rows: int) -> None:
    """Any number of rows, gradients too: the same parameters in both precisions point the same way."""
    seen = jnp.asarray(np.random.default_rng(0).integers(0, 256, (rows, 44, 44, 4)), jnp.uint8)
    bodies = [
        torso(Observation((44, 44, 4), "uint8", "image"), "auto", (16,), "relu", precision, rngs=nnx.Rngs(0)) for precision in PRECISIONS
    ]

    def features_and_gradient(body: Any) -> tuple[jax.Array, np.ndarray[Any, Any]]:
        graph, params = nnx.split(body)

        def squares(params: Any) -> tuple[jax.Array, jax.Array]:
            features = nnx.merge(graph, params)(seen)
            return jnp.sum(jnp.square(features)), features

        found, features = jax.jit(jax.grad(squares, has_aux=True))(params)
        return features, np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(found)])

    (one, exact), (other, rough) = map(features_and_gradient, bodies)
    np.testing.assert_allclose(one, other, rtol=0.1, atol=0.02)
    assert exact @ rough / np.linalg.norm(exact) / np.linalg.norm(rough) > 0.999
    assert not np.array_equal(exact, rough)


def test_a_dense_layer_is_affine() -> None:
    layer = Dense(3, 2, "float32", rngs=nnx.Rngs(0))
    layer.bias[...] = jnp.array([1.0, -1.0])
    np.testing.assert_allclose(layer(jnp.eye(3)), layer.kernel[...] + jnp.array([[1.0, -1.0]]), rtol=1e-6)


def test_precision_is_refused_where_it_would_do_nothing() -> None:
    with pytest.raises(ValueError, match="'bfloat16' is for convolutions over pixels"):
        torso(Observation((5,), "float32", "vector"), "auto", (8,), "relu", "bfloat16", rngs=nnx.Rngs(0))
