"""Where a host collector stands, as JSON values beside a checkpoint."""

from __future__ import annotations

import base64
import math
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlhf_games.rollout.host import HostState


def to_json(state: HostState) -> dict[str, Any]:
    """The state as numbers and text; actions are compressed (27,000 Atari decisions take a few kilobytes)."""
    return {"seed": state.seed, "episode": state.episode.tolist(), "actions": [_pack(history) for history in state.actions]}


def from_json(value: dict[str, Any]) -> HostState:
    """The state that ``to_json`` gave."""
    return HostState(int(value["seed"]), np.array(value["episode"], np.int64), [_unpack(history) for history in value["actions"]])


def _pack(array: NDArray[Any]) -> dict[str, Any]:
    data = base64.b64encode(zlib.compress(np.ascontiguousarray(array).tobytes())).decode("ascii")
    return {"dtype": array.dtype.name, "shape": list(array.shape), "data": data}


def _unpack(value: dict[str, Any]) -> NDArray[Any]:
    dtype = np.dtype(value["dtype"])
    size = math.prod(value["shape"]) * dtype.itemsize
    stream = zlib.decompressobj()
    data = stream.decompress(base64.b64decode(value["data"]), size + 1)  # no more than it says: damage must not fill the memory
    if len(data) != size:
        raise ValueError(f"{len(data)} bytes or more of actions where {size} are described")
    return np.frombuffer(data, dtype).reshape(value["shape"]).copy()
