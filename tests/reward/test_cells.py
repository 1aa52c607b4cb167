"""Pooled features of grids against their definition, board by board in float64."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.typing import NDArray

from rlhf_games.reward.cells import pooled


def by_definition(now: NDArray[np.generic], after: NDArray[np.generic] | None) -> NDArray[np.float64]:
    height, width, depth = now.shape

    def gram(board: NDArray[np.generic]) -> NDArray[np.float64]:
        total = np.zeros((depth + 3, depth + 3))
        for row, y in enumerate(np.linspace(-1, 1, height)):
            for column, x in enumerate(np.linspace(-1, 1, width)):
                z = np.array([*board[row, column].astype(np.float64), y, x, 1.0])
                total += np.outer(z, z)
        return total[np.triu_indices(depth + 3)]

    if after is None:
        return gram(now)
    crossing = np.einsum("hwi,hwj->ij", now.astype(np.float64), after.astype(np.float64)).ravel()
    return np.concatenate([gram(now), gram(after) - gram(now), crossing])


@pytest.mark.parametrize("shape", [(10, 10, 4), (3, 7, 1), (5, 4, 10)])
@pytest.mark.parametrize("kind", ["bool", "float32"])
@pytest.mark.parametrize("paired", [True, False])
def test_features_are_the_pooled_products(shape: tuple[int, ...], kind: str, paired: bool) -> None:
    keys = jax.random.split(jax.random.key(3), 2)
    density = jnp.asarray([0.1, 0.5, 1.0]).reshape(3, 1, 1, 1)
    boards = [jax.random.uniform(key, (3, *shape)) for key in keys]
    now, after = ((board < density) if kind == "bool" else board for board in boards)
    features = np.asarray(jax.jit(pooled)(now, after if paired else None))
    expected = [by_definition(np.asarray(a), np.asarray(b) if paired else None) for a, b in zip(now, after, strict=True)]
    np.testing.assert_allclose(features, np.stack(expected), rtol=1e-5, atol=1e-4)


def test_counts_of_booleans_are_exact() -> None:
    full = jnp.ones((2, 10, 10, 3), bool)
    assert set(np.unique(np.asarray(pooled(full, full))[:, -9:])) == {100.0}
