"""Features of small grids by second-order pooling: which things stand on the same cell, counted over the board.

Shapes: ``B`` boards, ``C`` cells of a board, ``D`` planes. With ``z`` the vector of a cell (its planes, row, column, 1), a board's
features are the upper triangle of ``Σ_cells z zᵀ``, ``(D + 3) (D + 4) / 2`` numbers.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

_BITS = 20
"""Cells packed into one number: float32 holds sums of this many different powers of two exactly."""


def pooled(observation: jax.Array, next_observation: jax.Array | None) -> jax.Array:
    """Features of a board and, with the next one, how they change and what the cells turn into.

    Args:
      observation: ``[B, H, W, D]``.
      next_observation: the same, or None.

    Returns:
      ``[B, F]`` float32: the triangle; its change; ``Σ_cells now nextᵀ`` over the planes, ``D²`` numbers.
    """
    boards = observation if next_observation is None else jnp.concatenate([observation, next_observation])
    of_booleans = observation.dtype == jnp.bool_
    triangle, crossing = (_of_booleans if of_booleans else _of_numbers)(boards, next_observation is not None)
    if crossing is None:
        return triangle
    now, after = jnp.split(triangle, 2)
    return jnp.concatenate([now, after - now, crossing], axis=-1)


def _of_numbers(boards: jax.Array, paired: bool) -> tuple[jax.Array, jax.Array | None]:
    """``[B, triangle]`` and, where the second half of the boards follows the first, ``[B / 2, D²]``."""
    batch, height, width, depth = boards.shape
    planes = boards.astype(jnp.float32).reshape(batch, height * width, depth)
    place = jnp.broadcast_to(jnp.asarray(_places(height, width))[None], (batch, height * width, 3))
    cells = jnp.concatenate([planes, place], axis=-1)
    upper = np.triu_indices(depth + 3)
    triangle = jnp.einsum("bpi,bpj->bij", cells, cells)[:, upper[0], upper[1]]
    if not paired:
        return triangle, None
    now, after = jnp.split(planes, 2)
    return triangle, jnp.einsum("bpi,bpj->bij", now, after).reshape(batch // 2, depth * depth)


def _of_booleans(boards: jax.Array, paired: bool) -> tuple[jax.Array, jax.Array | None]:
    """As `_of_numbers`, for boolean planes six to eight times as fast on CPU.

    One matrix product packs every plane into a few numbers, a cell a bit, beside its sums over rows and columns; what shares a cell is
    then an AND and a count of bits. (Batched products of matrices as small as these have no fast kernel.)
    """
    batch, height, width, depth = boards.shape
    sums = jnp.dot(boards.reshape(batch, -1).astype(jnp.float32), jnp.asarray(_packing(height, width, depth)))
    words = -(-height * width // _BITS)
    packed = sums[:, : depth * words].astype(jnp.int32).reshape(batch, depth, words)
    first, second = np.triu_indices(depth)
    shared = _count(packed[:, first], packed[:, second])
    place = _places(height, width)
    fixed = (place.T @ place)[np.triu_indices(3)]
    known = jnp.concatenate([shared, sums[:, depth * words :], jnp.broadcast_to(jnp.asarray(fixed)[None], (batch, 6))], axis=-1)
    triangle = known[:, _sources(depth)]
    if not paired:
        return triangle, None
    now, after = jnp.split(packed, 2)
    return triangle, _count(now[:, :, None], after[:, None]).reshape(batch // 2, depth * depth)


def _count(a: jax.Array, b: jax.Array) -> jax.Array:
    """Cells set in both, ``[..., words] → [...]`` float32."""
    a, b = jnp.broadcast_arrays(a, b)
    return jnp.sum(jax.lax.population_count(a & b), axis=-1).astype(jnp.float32)


@lru_cache(maxsize=32)
def _places(height: int, width: int) -> NDArray[np.float32]:
    """``[C, 3]``: row and column in [-1, 1], and 1."""
    rows, columns = np.meshgrid(np.linspace(-1.0, 1.0, height), np.linspace(-1.0, 1.0, width), indexing="ij")
    return np.stack([rows, columns, np.ones_like(rows)], axis=-1).reshape(-1, 3).astype(np.float32)


@lru_cache(maxsize=32)
def _packing(height: int, width: int, depth: int) -> NDArray[np.float32]:
    """``[C·D, D·words + 2·D]``: a flat board times this gives each plane's bits, ``_BITS`` a number, and its sums over row and column."""
    cells = height * width
    words = -(-cells // _BITS)
    bit = np.zeros((cells, words), np.float32)
    bit[np.arange(cells), np.arange(cells) // _BITS] = 2.0 ** (np.arange(cells) % _BITS)
    each: Any = np.eye(depth, dtype=np.float32)
    bits = np.einsum("cw,de->cdew", bit, each).reshape(cells * depth, depth * words)
    places = np.einsum("ck,de->cdek", _places(height, width)[:, :2], each).reshape(cells * depth, depth * 2)
    return np.concatenate([bits, places], axis=1)


@lru_cache(maxsize=32)
def _sources(depth: int) -> NDArray[np.int32]:
    """Where each number of the triangle stands among: counts of pairs of planes, sums by plane, products of places.

    A plane of booleans is its own square, so its sum over cells is the count of the pair (plane, plane).
    """
    pair = {(int(i), int(j)): k for k, (i, j) in enumerate(zip(*np.triu_indices(depth), strict=True))}
    one, sums = depth + 2, len(pair)
    fixed = {(depth + int(i), depth + int(j)): sums + 2 * depth + k for k, (i, j) in enumerate(zip(*np.triu_indices(3), strict=True))}

    def source(i: int, j: int) -> int:
        if (i, j) in fixed:
            return fixed[i, j]
        if j == one:
            return pair[i, i]
        return pair[i, j] if j < depth else sums + 2 * i + j - depth

    return np.asarray([source(int(i), int(j)) for i, j in zip(*np.triu_indices(depth + 3), strict=True)], np.int32)
