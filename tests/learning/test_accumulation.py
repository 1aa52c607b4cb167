"""A gradient taken in parts is the gradient."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rlhf_games.learning.accumulation import summed_gradient
from rlhf_games.learning.products import Dense, Precision


class Two(nnx.Module):
    """Dense layers with a precision, one behind the other, between layers without; the wide one is large enough to be rounded."""

    def __init__(self, precision: Precision) -> None:
        rngs = nnx.Rngs(0)
        self.first = nnx.Linear(5, 6, rngs=rngs)
        self.wide = Dense(6, 7, precision, rngs=rngs)
        self.narrow = Dense(7, 3, precision, rngs=rngs)
        self.last = nnx.Linear(3, 1, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.last(nnx.relu(self.narrow(nnx.relu(self.wide(self.first(x))))))[:, 0]


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-5), ("bfloat16", 2e-2)])
@pytest.mark.parametrize("rows", [4, 16, 48])
def test_parts_give_the_gradient_of_the_whole(rows: int, precision: Precision, tolerance: float) -> None:
    """Every leaf, and what the loss found beside; in bfloat16 the factors that are summed are rounded, also in parts of few rows."""
    graph, params = nnx.split(Two(precision))
    x, y = jax.random.normal(jax.random.key(1), (48, 5)), jax.random.normal(jax.random.key(2), (48,))

    def loss(params: Any, part: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, dict[str, jax.Array]]:
        error = nnx.merge(graph, params)(part[0]) - part[1]
        return jnp.sum(jnp.square(error)), {"rows": jnp.float32(len(error)), "error": jnp.sum(error)}

    @jax.jit
    def both(params: Any) -> Any:
        parts = jax.tree.map(lambda leaf: leaf.reshape(-1, rows, *leaf.shape[1:]), (x, y))
        return summed_gradient(loss, params, parts, rows), jax.grad(loss, has_aux=True)(params, (x, y))

    (parts, found), (whole, expected) = both(params)
    assert jax.tree.structure(parts) == jax.tree.structure(whole)
    assert float(found["rows"]) == 48
    assert float(found["error"]) == pytest.approx(float(expected["error"]), rel=tolerance)
    for a, b in zip(jax.tree.leaves(parts), jax.tree.leaves(whole), strict=True):
        assert float(jnp.abs(b).max()) > 0
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * float(jnp.abs(b).max()))
