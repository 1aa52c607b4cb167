"""What a replay must bring when it is played again."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

MARK_EVERY = 256
"""A mark is taken after this many steps, so that a replay need not be played to its end to be checked."""


@dataclass(frozen=True)
class Checksum:
    """What an episode brought."""

    returns: tuple[float, ...]
    """Sum of the rewards of each seat, exactly rounded."""
    length: int
    """Steps."""
    observation: str
    """Hash of the observation ``[P, ...]`` after the last action (blake2b, 16 bytes, hexadecimal)."""
    marks: tuple[str, ...]
    """Entry ``k``: hash of the observation after step ``(k + 1) * MARK_EVERY - 1`` and of the rewards since the last mark."""


def digest(array: NDArray[Any]) -> bytes:
    """16 bytes that tell arrays apart by their bytes (row-major, little-endian)."""
    little = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
    return blake2b(little.tobytes(), digest_size=16).digest()


def returns_of(reward: NDArray[np.float32]) -> tuple[float, ...]:
    """The sum over time of ``reward[T, P]`` per seat; exactly rounded, so that it does not depend on the order of adding."""
    return tuple(math.fsum(seat) for seat in reward.T.tolist())


def mark_steps(start: int, stop: int) -> range:
    """The steps in ``[start, stop)`` after which a mark is taken."""
    first = -(-(start + 1) // MARK_EVERY) * MARK_EVERY - 1
    return range(first, stop, MARK_EVERY)


def marks_of(reward: NDArray[np.float32], observation_digests: Sequence[bytes]) -> tuple[str, ...]:
    """Marks from ``reward[T, P]`` and the digests of the observations after `mark_steps(0, T)`."""
    positive_zero = reward.astype("<f4") + np.float32(0)  # -0 and 0 are the same reward
    blocks = (positive_zero[k * MARK_EVERY : (k + 1) * MARK_EVERY] for k in range(len(observation_digests)))
    return tuple(
        blake2b(seen + block.tobytes(), digest_size=8).hexdigest() for seen, block in zip(observation_digests, blocks, strict=True)
    )


def checksum_of(reward: NDArray[np.float32], last_observation: NDArray[Any], mark_digests: Sequence[bytes]) -> Checksum:
    """The checksum of an episode: ``reward[T, P]``, the observation ``[P, ...]`` after its last action, digests for the marks."""
    return Checksum(returns_of(reward), len(reward), digest(last_observation).hex(), marks_of(reward, mark_digests))


def seen_digests(observation: Callable[[int], NDArray[Any]], stop: int) -> list[bytes]:
    """Digests for the marks before ``stop``; ``observation(t)`` is the observation ``[P, ...]`` after step ``t``."""
    return [digest(observation(t)) for t in mark_steps(0, stop)]
