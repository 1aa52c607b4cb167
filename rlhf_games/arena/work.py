"""Work that the drawing thread must not wait for: not for its end, and not for the interpreter that it holds meanwhile.

A thread that wants the interpreter asks for it only when its timer has run out without the other thread having let go once. Work
that lets go for a microsecond again and again (NumPy's generators do at every draw; the Atari emulators' frames once drew from one)
wakes it every time and has the interpreter back before it is up: with a timer slower than such a frame (70 µs) the window stood
still for 20 ms, as long as the work took. So the window's timer is short and exact. Linux adds 50 µs to everybody's: they are taken
off the window's and made more for the others, so that once it draws it is hardly interrupted. They lose nothing: when it sleeps it
lets go at once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import get_native_id
from typing import Protocol, TypeVar

SWITCH_SECONDS = 20e-6
"""How long a thread leaves the interpreter to another one before it asks for it; its timer's slack comes on top. Python's own 5 ms are
seen: a frame lets go of the interpreter dozens of times.
"""
_EXACT, _PATIENT = 1, 500_000
"""Nanoseconds that a timer may be late: of the thread that draws, of the others."""

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
    """A thread of its own, behind the one that is in `drawing_first`."""
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix=name, initializer=_set_timer_slack, initargs=(_PATIENT,))


@contextmanager
def drawing_first() -> Iterator[None]:
    """The thread that is in here gets the interpreter from any worker within a fraction of a frame."""
    interval, slack = sys.getswitchinterval(), _timer_slack()
    sys.setswitchinterval(SWITCH_SECONDS)
    _set_timer_slack(_EXACT)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)
        if slack is not None:
            _set_timer_slack(slack)


def _timer_slack() -> int | None:
    """Nanoseconds that this thread's timers may be late; None where the system does not say."""
    try:
        return int(_slack_file().read_text(encoding="ascii"))
    except OSError:
        return None


def _set_timer_slack(nanoseconds: int) -> None:
    """Of this thread; nothing happens where the system has no such thing."""
    with suppress(OSError):
        _slack_file().write_text(str(nanoseconds), encoding="ascii")


def _slack_file() -> Path:
    """Linux's, of this thread; everybody may write their own (man 5 proc_pid_timerslack_ns)."""
    return Path(f"/proc/{get_native_id()}/timerslack_ns")
