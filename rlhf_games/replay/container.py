"""The bytes of a replay: a header in JSON and one array, compressed, under a digest.

Layout: ``magic (7 bytes) | format (1 byte) | blake2b of the rest (16 bytes) | raw size (uint64 LE) | zlib(header size (uint32 LE) |
header | array)``. Damage anywhere is noticed before anything is believed.
"""

from __future__ import annotations

import json
import math
import struct
import zlib
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlhf_games.core.errors import UserError
from rlhf_games.core.parse import parse_json

_MAGIC = b"RLHFRPL"
_FORMAT = 1
_DIGEST = 16
_PREFIX = len(_MAGIC) + 1 + _DIGEST
LARGEST_HEADER = 1 << 22
"""Bytes of JSON: 160,000 key presses of a person, or 50 million decisions of an agent. JSON takes up to 30 times that in memory."""
LARGEST_ARRAY = 1 << 26
"""Bytes of the array in memory: 16 million decisions. A damaged or hostile file must not fill the memory."""
_LARGEST = 4 + LARGEST_HEADER + LARGEST_ARRAY
_DTYPES = ("int32", "float32")
_STORED = ("uint8", "int16", *_DTYPES)
_MOST_AXES = 8
_CURE = "restore it from a copy or record it again"


def pack(header: dict[str, Any], array: NDArray[Any]) -> bytes:
    """One file from a header of JSON values and an int32 or float32 array."""
    stored = _narrow(array)
    table = {"header": header, "shape": list(array.shape), "dtype": str(array.dtype), "stored": str(stored.dtype)}
    text = json.dumps(table, sort_keys=True, allow_nan=False, separators=(",", ":")).encode()
    raw = struct.pack("<I", len(text)) + text + stored.astype(stored.dtype.newbyteorder("<"), copy=False).tobytes()
    if len(text) > LARGEST_HEADER or array.nbytes > LARGEST_ARRAY:
        limits = f"{LARGEST_HEADER} and {LARGEST_ARRAY}"
        raise ValueError(f"a replay with {len(text)} bytes of header and {array.nbytes} of actions is larger than the format's {limits}")
    body = struct.pack("<Q", len(raw)) + zlib.compress(raw, 6)
    return _MAGIC + bytes([_FORMAT]) + blake2b(body, digest_size=_DIGEST).digest() + body


def unpack(data: bytes) -> tuple[dict[str, Any], NDArray[Any]]:
    """The header and the array of `pack`.

    Raises:
      UserError: the bytes are anything else than what ``pack`` writes.
    """
    body = _checked_body(data)
    try:
        return _parse(_decompress(body))
    except (struct.error, zlib.error, ValueError, TypeError, KeyError, OverflowError, MemoryError) as error:
        raise UserError(f"damaged replay: its content cannot be read ({str(error)[:200]}); {_CURE}") from error


def _checked_body(data: bytes) -> bytes:
    if not isinstance(data, bytes | bytearray | memoryview):
        raise UserError(f"not a replay: expected bytes, got {type(data).__name__}")
    data = bytes(data)
    if len(data) < _PREFIX + 8 or data[: len(_MAGIC)] != _MAGIC:
        raise UserError(f"not a replay: {len(data)} bytes that do not begin as a replay does; {_CURE}")
    if data[len(_MAGIC)] != _FORMAT:
        raise UserError(
            f"replay format {data[len(_MAGIC)]} is unknown (this version reads format {_FORMAT}): update rlhf-games, or {_CURE}"
        )
    body = data[_PREFIX:]
    if blake2b(body, digest_size=_DIGEST).digest() != data[len(_MAGIC) + 1 : _PREFIX]:
        raise UserError(f"damaged replay: its digest does not match its {len(data)} bytes (cut short or changed); {_CURE}")
    return body


def _decompress(body: bytes) -> bytes:
    (size,) = struct.unpack_from("<Q", body)
    if size > _LARGEST:
        raise ValueError(f"claims {size} bytes, the limit is {_LARGEST}")
    stream = zlib.decompressobj()
    raw = stream.decompress(body[8:], size + 1)  # one more than claimed, so that a longer stream is noticed
    if len(raw) != size or not stream.eof or stream.unused_data:
        raise ValueError(f"claims {size} bytes, holds {len(raw)} or more")
    return raw


def _parse(raw: bytes) -> tuple[dict[str, Any], NDArray[Any]]:
    (length,) = struct.unpack_from("<I", raw)
    if length > LARGEST_HEADER:
        raise ValueError(f"a header of {length} bytes, the limit is {LARGEST_HEADER}")
    table = parse_json(raw[4 : 4 + length])
    shape, dtype, stored = tuple(table["shape"]), _dtype(table["dtype"], _DTYPES), _dtype(table["stored"], _STORED)
    if len(shape) > _MOST_AXES or not all(isinstance(size, int) and 0 <= size < 2**31 for size in shape):
        raise ValueError("a shape that is none")
    count = math.prod(shape)
    if len(raw) - 4 - length != count * stored.itemsize:
        raise ValueError(f"array of shape {shape} and type {stored} in {len(raw) - 4 - length} bytes")
    if count * dtype.itemsize > LARGEST_ARRAY:
        raise ValueError(f"array of {count * dtype.itemsize} bytes, the limit is {LARGEST_ARRAY}")
    flat = np.frombuffer(raw, stored.newbyteorder("<"), count, 4 + length)  # no copy
    array = flat.reshape(shape).astype(dtype)
    if not isinstance(table["header"], dict):
        raise ValueError("the header is not an object")
    return table["header"], array


def _dtype(name: Any, known: tuple[str, ...]) -> np.dtype[Any]:
    if name not in known:
        raise ValueError(f"arrays of type {str(name)[:40]!r} are not known")
    dtype: np.dtype[Any] = np.dtype(name)
    return dtype


def _narrow(array: NDArray[Any]) -> NDArray[Any]:
    """Small integers in one or two bytes; anything else as it is."""
    if array.dtype.kind != "i" or array.size == 0:
        return array
    for dtype in (np.uint8, np.int16):
        limits = np.iinfo(dtype)
        if limits.min <= array.min() and array.max() <= limits.max:
            return array.astype(dtype)
    return array
