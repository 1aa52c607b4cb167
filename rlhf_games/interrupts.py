"""Ctrl-C that cannot get lost: libraries swallow ``KeyboardInterrupt``, or turn it into another error.

JAX ignores one that comes while it collects garbage, and an extension module that is being imported gives ``ImportError``.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_came = False


def interrupted() -> bool:
    """Whether Ctrl-C was pressed since `remembered` began."""
    return _came


@contextmanager
def remembered() -> Iterator[None]:
    """Inside, Ctrl-C raises ``KeyboardInterrupt`` as ever, and `interrupted` knows (in the main thread; elsewhere nothing changes)."""
    global _came
    _came = False
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, _remember)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _remember(number: int, frame: FrameType | None) -> None:
    global _came
    _came = True
    raise KeyboardInterrupt
