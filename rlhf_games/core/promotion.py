"""Calling third-party JAX code while our own runs under strict promotion."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import jax


@contextmanager
def third_party() -> Iterator[None]:
    """Allows implicit dtype and rank promotion inside the block; games of other libraries rely on it, our code must not."""
    with ExitStack() as stack:
        stack.enter_context(jax.numpy_dtype_promotion("standard"))
        stack.enter_context(jax.numpy_rank_promotion("allow"))
        yield
