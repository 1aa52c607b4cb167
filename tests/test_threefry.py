"""JAX's random bits, written out: the same as JAX's own, under every way of drawing."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.extend.random import threefry_2x32

from rlhf_games.core.threefry import rounds

WORD = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize(
    ("key", "count", "bits"),
    [
        ((0x0, 0x0), (0x0, 0x0), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_known_answers(key: tuple[int, int], count: tuple[int, int], bits: tuple[int, int]) -> None:
    """The vectors that come with Random123, the authors' own implementation."""
    words = rounds(*(jnp.full((1,), word, jnp.uint32) for word in (*key, *count)))
    assert tuple(int(word[0]) for word in words) == bits


@given(st.tuples(WORD, WORD), st.lists(st.tuples(WORD, WORD), min_size=4, max_size=4))  # one shape: each other one is compiled anew
def test_the_same_bits_as_jax(key: tuple[int, int], counts: list[tuple[int, int]]) -> None:
    pair, words = np.array(key, np.uint32), np.array(counts, np.uint32)
    with jax.disable_jit():
        ours = rounds(*(jnp.full((len(words),), word) for word in pair), jnp.asarray(words[:, 0]), jnp.asarray(words[:, 1]))
    theirs = threefry_2x32(jnp.asarray(pair), jnp.concatenate([words[:, 0], words[:, 1]]))
    np.testing.assert_array_equal(np.concatenate(ours), theirs)


def test_compiled_programs_draw_by_it() -> None:
    """No loop is left in a program that draws numbers; what it draws is what JAX documents for the key 0."""

    def draw(key: jax.Array) -> Any:
        return jax.random.bits(jax.random.fold_in(key, 3), (4,))

    assert "while" not in jax.jit(draw).lower(jax.random.key(0)).compile().as_text()
    two = jax.random.key_data(jax.random.split(jax.random.key(0), 2))
    np.testing.assert_array_equal(two, [[1797259609, 2579123966], [928981903, 3453687069]])
