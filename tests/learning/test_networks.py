"""Networks take observations as games give them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rlhf_games.core.game import GameSpec
from rlhf_games.core.spaces import Discrete, Layout, Observation
from rlhf_games.learning.networks import MLP, DenseBody, GridCNN, as_float, live_entries, orthogonal, torso
from rlhf_games.reward.networks import NetworkConfig, encoder
from rlhf_games.rollout.device import Transition


def test_pixels_are_scaled_and_nothing_else() -> None:
    whole = jnp.array([0, 51, 255], jnp.uint8)
    np.testing.assert_allclose(as_float(whole, "image"), [0, 0.2, 1])
    np.testing.assert_allclose(as_float(whole, "vector"), [0, 51, 255])
    np.testing.assert_allclose(as_float(whole, "grid"), [0, 51, 255])
    np.testing.assert_allclose(as_float(jnp.array([False, True]), "grid"), [0, 1])
    np.testing.assert_allclose(as_float(jnp.array([-3.0, 300.0]), "vector"), [-3, 300])


@pytest.mark.parametrize(
    ("layout", "shape", "kind"),
    [("vector", (5,), "auto"), ("grid", (4, 5, 2), "mlp"), ("grid", (4, 5, 2), "cnn"), ("image", (20, 20, 1), "mlp")],
)
def test_only_an_image_is_of_pixels(layout: Layout, shape: tuple[int, ...], kind: str) -> None:
    """What is one-hot in uint8 looks as it does in float32; the pixels of an image look as they do in [0, 1]."""
    body = torso(Observation(shape, "uint8", layout), kind, (8,), "tanh", rngs=nnx.Rngs(0))
    seen = np.random.default_rng(0).integers(0, 2, (3, *shape)).astype(np.uint8)
    scale = 255.0 if layout == "image" else 1.0
    np.testing.assert_allclose(body(jnp.asarray(seen)), body(jnp.asarray(seen / scale, jnp.float32)), rtol=1e-6)


@pytest.mark.parametrize(("layout", "shape"), [("vector", (5,)), ("grid", (4, 5, 2))])
def test_reward_models_read_them_alike(layout: Layout, shape: tuple[int, ...]) -> None:
    spec = GameSpec("test/cards", "1", 1, Observation(shape, "uint8", layout), Discrete(("a", "b")), 1.0, False, "Made up.")
    rows = np.random.default_rng(0).integers(0, 2, (2, 3, *shape)).astype(np.uint8)
    now, after = (jnp.asarray(row) for row in rows)
    encode, rest = encoder(spec, NetworkConfig()), (jnp.zeros(3, jnp.int32), jnp.zeros(3, jnp.float32))
    whole = encode(Transition(now, rest[0], after, rest[1]))
    floating = encode(Transition(now.astype(jnp.float32), rest[0], after.astype(jnp.float32), rest[1]))
    np.testing.assert_allclose(whole, floating, rtol=1e-6)
    assert float(jnp.max(whole)) >= 1.0


@pytest.mark.parametrize(
    ("layout", "dtype", "shape", "kind"),
    [
        ("vector", "float32", (5,), "auto"),
        ("grid", "bool", (6, 7, 2), "auto"),
        ("grid", "bool", (6, 7, 2), "cnn"),
        ("image", "uint8", (84, 84, 4), "auto"),
        ("image", "uint8", (40, 36, 1), "cnn"),
        ("image", "uint8", (20, 20, 3), "mlp"),
    ],
)
def test_every_layout_has_a_body(layout: Layout, dtype: str, shape: tuple[int, ...], kind: str) -> None:
    body = torso(Observation(shape, dtype, layout), kind, (16, 12), "tanh", rngs=nnx.Rngs(0))
    seen = jnp.asarray(np.random.default_rng(0).integers(0, 2, (3, *shape)).astype(dtype))
    features = jax.jit(body)(seen)
    assert features.shape == (3, 12)
    assert features.dtype == jnp.float32
    assert bool(jnp.any(features[0] != features[1]))


def test_grid_patches_are_a_convolution() -> None:
    """The matrix product over patches is what ``lax.conv`` computes (biases start at 0)."""
    network = GridCNN((6, 7, 2), 4, (8,), rngs=nnx.Rngs(1))
    x = jax.random.normal(jax.random.key(0), (2, 6, 7, 2))
    kernel = network.patch.kernel[...].reshape(3, 3, 2, 4)
    conv = jax.lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    expected = network.dense(nnx.relu(conv))
    np.testing.assert_allclose(network(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("inputs", [7, 300])
def test_gradients_of_dense_layers(inputs: int) -> None:
    """Narrow and wide layers, one network and several at once: the gradient is that of the plain formula."""
    x = jax.random.normal(jax.random.key(1), (20, inputs))
    graph, params = nnx.split(MLP(inputs, (6, 4), "tanh", rngs=nnx.Rngs(0)))

    def ours(params: Any, x: jax.Array) -> jax.Array:
        return jnp.sum(jnp.square(nnx.merge(graph, params)(x)))

    def plain(params: Any, x: jax.Array) -> jax.Array:
        for layer in (params["layers"][0], params["layers"][1]):
            x = jnp.tanh(x @ layer["kernel"][...] + layer["bias"][...].reshape(1, -1))
        return jnp.sum(jnp.square(x))

    two = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf]), params)
    found = jax.jit(jax.vmap(jax.grad(ours, argnums=(0, 1)), in_axes=(0, None)))(two, x)
    expected = jax.jit(jax.vmap(jax.grad(plain, argnums=(0, 1)), in_axes=(0, None)))(two, x)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), found, expected)


REGIONS = ((0, 0, 0, 2), (1, 2, 1, 1))


def test_live_entries_by_hand() -> None:
    """A grid of 3 × 3 cells with 2 channels: the first row of channel 0, two cells of the middle column of channel 1."""
    observation = Observation((3, 3, 2), "bool", "grid", (), REGIONS)
    assert live_entries(observation).tolist() == [0, 2, 4, 9, 15]
    assert live_entries(Observation((3, 3, 2), "bool", "grid")).tolist() == list(range(18))


@pytest.mark.parametrize("dtype", ["bool", "uint8", "float32"])
def test_leaving_dead_entries_out_changes_nothing(dtype: str) -> None:
    """The same weights with rows of zeros for the entries left out give the same features, and their gradient there would be 0."""
    observation = Observation((3, 3, 2), dtype, "grid", (), REGIONS)
    live = live_entries(observation)
    small = DenseBody(observation, (8, 4), "tanh", rngs=nnx.Rngs(0))
    whole = DenseBody(Observation((3, 3, 2), dtype, "grid"), (8, 4), "tanh", rngs=nnx.Rngs(1))
    weights = np.zeros((18, 8), np.float32)
    weights[live] = small.layers.layers[0].kernel[...]
    whole.layers.layers[0].kernel[...] = jnp.asarray(weights)
    whole.layers.layers[1].kernel[...] = small.layers.layers[1].kernel[...]
    seen = np.zeros((5, 18), dtype)
    seen[:, live] = np.random.default_rng(0).integers(0, 2, (5, len(live)))
    boards = jnp.asarray(seen.reshape(5, 3, 3, 2))
    np.testing.assert_allclose(jax.jit(small)(boards), jax.jit(whole)(boards), rtol=1e-6)
    np.testing.assert_array_equal(small.inputs(boards), seen[:, live])
    squares = jax.jit(lambda body: jnp.sum(jnp.square(body(boards))))
    gradient = nnx.grad(squares)(whole)["layers"]["layers"][0]["kernel"][...]
    assert not np.delete(gradient, live, axis=0).any()
    assert np.abs(gradient[live]).max() > 0


@pytest.mark.parametrize(
    ("observation", "says"),
    [
        (lambda: Observation((3, 3, 2), "bool", "grid", (), ((0, 0, 0, 2),)), "one per channel of a grid"),
        (lambda: Observation((4,), "float32", "vector", (), ((0, 0, 0, 0),) * 4), "one per channel of a grid"),
        (lambda: Observation((3, 3, 1), "bool", "grid", (), ((0, 3, 0, 2),)), "does not lie in a grid of 3 rows"),
        (lambda: Observation((3, 3, 1), "bool", "grid", (), ((2, 1, 0, 2),)), "does not lie in a grid"),
    ],
)
def test_impossible_regions_are_refused(observation: Callable[[], Observation], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        observation()


def test_orthogonal_weights_are_orthogonal() -> None:
    weights = orthogonal(2.0)(jax.random.key(0), (8, 5), jnp.float32)
    np.testing.assert_allclose(weights.T @ weights, 4 * np.eye(5), atol=1e-5)


def test_several_networks_at_once_are_drawn_one_after_the_other() -> None:
    """No decomposition of a batch is left: two of them in one program have been seen to wait for each other for ever."""

    def two(key: jax.Array) -> list[jax.Array]:
        return [orthogonal(1.0)(part, (9, 4), jnp.float32) for part in jax.random.split(key)]

    keys = jax.random.split(jax.random.key(0), 3)
    many = jax.jit(jax.vmap(two))
    alone = [jax.jit(two)(key) for key in keys]
    for layer, weights in enumerate(many(keys)):
        np.testing.assert_allclose(weights, np.stack([each[layer] for each in alone]), atol=1e-6)
    factorised = re.findall(r"@lapack_sgeqrf_ffi\(.*?: \(tensor<([0-9x]+)xf32>", many.lower(keys).as_text())
    assert factorised
    assert set(factorised) == {"9x4"}


@pytest.mark.parametrize(
    ("observation", "kind", "says"),
    [
        (Observation((5,), "float32", "vector"), "cnn", "needs a grid or an image"),
        (Observation((20, 20, 3), "uint8", "image"), "auto", "too small for the Nature network"),
    ],
)
def test_unfit_networks_are_refused(observation: Observation, kind: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        torso(observation, kind, (8,), "relu", rngs=nnx.Rngs(0))
