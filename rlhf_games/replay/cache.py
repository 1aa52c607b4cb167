"""A cache with a limit in bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import RLock
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class ByteCache(Generic[Key, Value]):
    """Keeps what was used last; may be used from several threads.

    It never holds more than ``limit`` bytes; a value that is larger than the limit is not kept at all.
    """

    def __init__(self, limit: int, size: Callable[[Value], int], dropped: Callable[[Key], None] = lambda _: None) -> None:
        """``size``: bytes of a value; ``dropped``: told about every key that had to go."""
        self._limit = limit
        self._size = size
        self._dropped = dropped
        self._values: OrderedDict[Key, tuple[Value, int]] = OrderedDict()
        self._lock = RLock()
        self.nbytes = 0
        """Bytes held now."""

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: Key) -> bool:
        return key in self._values

    def get(self, key: Key) -> Value | None:
        """The value, which then counts as used last; ``None`` where there is none."""
        with self._lock:
            if key not in self._values:
                return None
            self._values.move_to_end(key)
            return self._values[key][0]

    def put(self, key: Key, value: Value) -> None:
        """Keeps a value and lets the ones go that were not used for longest."""
        size = self._size(value)
        with self._lock:
            self._remove(key)
            if size > self._limit:
                self._dropped(key)
                return
            self._values[key] = (value, size)
            self.nbytes += size
            while self.nbytes > self._limit:
                oldest = next(iter(self._values))
                self._remove(oldest)
                self._dropped(oldest)

    def _remove(self, key: Key) -> None:
        _, size = self._values.pop(key, (None, 0))
        self.nbytes -= size
