"""Trees of arrays as a flat list with paths, and back: how checkpoints and publications keep them.

Reading back needs a tree of the same form (``like``), whose leaves may be mere shapes (``jax.eval_shape``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rlhf_games.core.agent import PyTree
from rlhf_games.core.errors import UserError


def flatten(tree: PyTree) -> tuple[list[str], list[Any]]:
    """Paths (``.optimizer[0].mu``) and leaves, in the tree's order."""
    pairs = jax.tree_util.tree_leaves_with_path(tree)
    return [jax.tree_util.keystr(path) for path, _ in pairs], [leaf for _, leaf in pairs]


def stored(leaf: Any) -> np.ndarray[Any, Any]:
    """A leaf as it is kept: an array; a random key as its data."""
    return np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)


def unflatten(like: PyTree, arrays: Sequence[np.ndarray[Any, Any]], where: str, cure: str) -> PyTree:
    """The tree of the form of ``like`` with these leaves, which are as many.

    Args:
      like: leaves are arrays, random keys, Python numbers or ``jax.ShapeDtypeStruct`` (which become JAX arrays).
      arrays: as ``stored`` gave them.
      where: what messages call the source.
      cure: what to do where a leaf has another shape or type.

    Raises:
      UserError: a leaf has another shape or type.
    """
    paths, leaves = flatten(like)
    rows = zip(paths, leaves, arrays, strict=True)
    restored = [_as(leaf, array, f"{where}, {path or 'the state'}", cure) for path, leaf, array in rows]
    return jax.tree.unflatten(jax.tree.structure(like), restored)


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _as(leaf: Any, array: np.ndarray[Any, Any], where: str, cure: str) -> Any:
    """``array`` as the kind of thing that ``leaf`` is; refuses another shape or type."""
    expected = leaf if isinstance(leaf, jax.ShapeDtypeStruct) else stored(leaf)
    if (expected.shape, expected.dtype) != (array.shape, array.dtype):
        found, wanted = f"{array.dtype}{list(array.shape)}", f"{expected.dtype}{list(expected.shape)}"
        raise UserError(f"{where}: it holds {found} where {wanted} is needed; {cure}")
    if _is_key(leaf):
        return jax.random.wrap_key_data(jnp.array(array), impl=jax.random.key_impl(leaf))
    if isinstance(leaf, bool | int | float):
        return type(leaf)(array)
    return jnp.array(array) if isinstance(leaf, jax.Array | jax.ShapeDtypeStruct) else array
