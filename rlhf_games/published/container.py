"""The bytes of one publication: what it says of itself, and its arrays. No JAX here.

::

    8 bytes    "RLHFPUB" and the format's number
    32 bytes   BLAKE2b of all that follows
    8 bytes    length of the header, little-endian
    header     JSON: "about" (see `About`) and "leaves": name, paths, types and shapes of each tree
    the rest   the leaves' bytes, one after the other
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlhf_games.config import from_mapping
from rlhf_games.core.errors import UserError
from rlhf_games.core.parse import parse_json

_MAGIC = b"RLHFPUB"
_FORMAT = 1
_START = len(_MAGIC) + 1
_DIGEST = 32
_HEAD = _START + _DIGEST + 8
_LARGEST_HEADER = 1 << 22
_MOST_AXES = 32
_MOST_MEMBERS = 1_000


@dataclass(frozen=True)
class About:
    """What was published, and what it takes to build it again."""

    run: str
    """Name of the experiment: the session of its queries."""
    iteration: int
    """Iterations done, from 0 (before any learning)."""
    steps: int
    """Game steps the agent has learned from."""
    policy: str
    """Name of the policy, as replays and queries carry it."""
    trusted: bool
    """The reward model predicts held-out answers better than chance: the learner is paid by it."""
    published_at: float
    """Seconds since 1970."""
    game: str
    """``family/game``."""
    game_options: dict[str, Any]
    agent: str
    """Name of the agent."""
    agent_config: dict[str, Any]
    network: dict[str, Any]
    """Of the reward model: ``rlhf_games.reward.networks.NetworkConfig`` as a mapping."""
    members: int
    """Size of the ensemble ``M``."""

    def __post_init__(self) -> None:
        if not 1 <= self.members <= _MOST_MEMBERS:
            raise ValueError(f"members must be in 1..{_MOST_MEMBERS}, got {self.members}")
        for name in ("iteration", "steps"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}")

    @property
    def programs(self) -> str:
        """Equal where the same compiled programs do."""
        parts = (self.game, self.game_options, self.agent, self.agent_config, self.network, self.members)
        return json.dumps(parts, sort_keys=True)


class Leaves(NamedTuple):
    """One tree, flat."""

    paths: list[str]
    arrays: list[NDArray[Any]]


def pack(about: About, trees: Mapping[str, Leaves]) -> bytes:
    """The bytes of a publication. ``about`` holds JSON values only."""
    kinds = {name: [[path, array.dtype.name, list(array.shape)] for path, array in zip(*tree, strict=True)] for name, tree in trees.items()}
    header = json.dumps({"about": asdict(about), "leaves": kinds}, sort_keys=True, allow_nan=False).encode()
    data = b"".join(np.ascontiguousarray(array).tobytes() for tree in trees.values() for array in tree.arrays)
    body = len(header).to_bytes(8, "little") + header + data
    return _MAGIC + bytes([_FORMAT]) + blake2b(body, digest_size=_DIGEST).digest() + body


def unpack(data: bytes, where: str) -> tuple[About, dict[str, Leaves]]:
    """Reads what ``pack`` wrote.

    Raises:
      UserError: not a publication, damaged, half-written, or of a newer version; ``where`` names the source.
    """
    if data[: len(_MAGIC)] != _MAGIC or len(data) < _HEAD:
        raise UserError(f"{where} is no published policy, or only its beginning was written")
    if data[_START - 1] != _FORMAT:
        raise UserError(f"{where} was published by another version of rlhf-games (format {data[_START - 1]}, here {_FORMAT})")
    body = data[_START + _DIGEST :]
    if blake2b(body, digest_size=_DIGEST).digest() != data[_START : _START + _DIGEST]:
        raise UserError(f"{where} is damaged: its content does not fit its checksum")
    length = int.from_bytes(body[:8], "little")
    if length > _LARGEST_HEADER:
        raise UserError(f"{where} is damaged: a header of {length} bytes, the limit is {_LARGEST_HEADER}")
    try:
        header = parse_json(body[8 : 8 + length])
        return from_mapping(About, header["about"], where), _trees(header["leaves"], body[8 + length :])
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise UserError(f"{where} is damaged: its header does not describe a policy ({str(error)[:200]})") from error


def _trees(kinds: dict[str, Any], data: bytes) -> dict[str, Leaves]:
    trees, place = {}, 0
    for name, leaves in kinds.items():
        arrays = []
        for path, kind, shape in leaves:
            if not isinstance(path, str) or not isinstance(kind, str):
                raise ValueError("a leaf without a path or a type")
            dtype, count = _dtype(kind), _count(shape, len(data))
            arrays.append(np.frombuffer(data, dtype, count, place).reshape(shape))
            place += count * dtype.itemsize
        trees[name] = Leaves([path for path, _, _ in leaves], arrays)
    if place != len(data):
        raise ValueError(f"{len(data)} bytes of leaves where {place} are described")
    return trees


def _count(shape: Any, most: int) -> int:
    """Entries of an array of this shape; there are at most ``most`` in the file."""
    if not isinstance(shape, list) or len(shape) > _MOST_AXES or not all(type(size) is int and 0 <= size <= most for size in shape):
        raise ValueError(f"a shape that is none: {str(shape)[:80]}")
    return math.prod(shape)


def _dtype(name: str) -> np.dtype[Any]:
    try:
        known: np.dtype[Any] = np.dtype(name)
    except TypeError:  # bfloat16 and its like
        import ml_dtypes

        known = np.dtype(getattr(ml_dtypes, name))
    if known.hasobject or not known.itemsize:
        raise ValueError(f"leaves of type {known}")
    return known
