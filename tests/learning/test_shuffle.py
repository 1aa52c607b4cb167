"""Shuffling: nothing is lost, nothing is doubled, rows stay together."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rlhf_games.learning.shuffle import permutation, shuffled


@settings(max_examples=10)
@given(st.integers(1, 3_000), st.integers(0, 2**32 - 1))
@example(1, 0)
@example(2, 0)
@example(46_340, 1)  # the largest affine map: its products just fit int32
@example(46_341, 1)  # the smallest true permutation
def test_every_row_once(rows: int, seed: int) -> None:
    order = permutation(jax.random.key(seed), rows)
    assert order.dtype == jnp.int32
    assert np.array_equal(np.sort(np.asarray(order)), np.arange(rows))


@pytest.mark.parametrize("rows", [512, 50_000])
def test_keys_give_different_orders(rows: int) -> None:
    orders = {np.asarray(permutation(jax.random.key(seed), rows)).tobytes() for seed in range(20)}
    assert len(orders) == 20


def test_minibatches_mix_the_rollout() -> None:
    """Each minibatch draws from all of the rollout: the mean of its row numbers is near the middle."""
    means = [np.asarray(permutation(jax.random.key(seed), 8_192)).reshape(8, -1).mean(1) for seed in range(20)]
    assert np.abs(np.array(means) / 8_191 - 0.5).max() < 0.1


def test_rows_stay_together() -> None:
    tree = {"number": jnp.arange(24), "square": jnp.arange(24, dtype=jnp.float32)[:, None] ** 2}
    out = shuffled(tree, jax.random.key(0), 4)
    assert (out["number"].shape, out["square"].shape) == ((4, 6), (4, 6, 1))
    np.testing.assert_array_equal(out["square"][..., 0], np.asarray(out["number"], np.float32) ** 2)
    assert sorted(np.asarray(out["number"]).ravel().tolist()) == list(range(24))
    assert not np.array_equal(np.asarray(out["number"]).ravel(), np.arange(24))


def test_minibatches_must_divide() -> None:
    with pytest.raises(ValueError, match="5 minibatches do not divide 24 rows"):
        shuffled(jnp.arange(24), jax.random.key(0), 5)
