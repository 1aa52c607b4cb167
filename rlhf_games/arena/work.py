"""Work that the drawing thread must not wait for."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, TypeVar

T = TypeVar("T")


class Worker(Protocol):
    """Does one piece of work after the other, in the order of submission."""

    def submit(self, work: Callable[[], T], /) -> Future[T]:
        """Queues a piece of work; the future holds its result or its error."""
        ...

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """No more work; ``wait``: until what is queued is done, ``cancel_futures``: what has not begun is dropped."""
        ...


def new_worker(name: str) -> Worker:
    """A thread of its own."""
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
