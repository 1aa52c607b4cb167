"""JAX's random bits in one kernel on CPU.

JAX compiles its generator (Threefry-2x32, Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") for CPU as a loop of five
groups of rounds. Games draw a few numbers at every step, and then the loop's bookkeeping costs as much as the game: played on 64 MinAtar
games, a quarter of the time. Here the same 20 rounds are written out. The bits are the same, so are seeds, replays and results.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.extend.random import threefry2x32_p
from jax.interpreters import mlir

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA
_GROUPS = 5


def _rotated(x: jax.Array, bits: int) -> jax.Array:
    rotated: jax.Array = (x << jnp.uint32(bits)) | (x >> jnp.uint32(32 - bits))
    return rotated


def rounds(key1: jax.Array, key2: jax.Array, count1: jax.Array, count2: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The 20 rounds on uint32 of one shape: the two words of the key and of the counter to two words of random bits."""
    keys = (key1, key2, key1 ^ key2 ^ jnp.uint32(_PARITY))
    x, y = count1 + keys[0], count2 + keys[1]
    for group in range(_GROUPS):
        for bits in _ROTATIONS[group % 2]:
            x = x + y
            y = _rotated(y, bits) ^ x
        x = x + keys[(group + 1) % 3]
        y = y + keys[(group + 2) % 3] + jnp.uint32(group + 1)
    return x, y


def write_out_on_cpu() -> None:
    """From now on programs compiled for CPU draw random bits by `rounds`; other platforms keep JAX's own kernels."""
    mlir.register_lowering(threefry2x32_p, mlir.lower_fun(rounds, multiple_results=True), platform="cpu")
