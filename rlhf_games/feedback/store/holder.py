"""Who holds a lease: a process on a machine, so that what a dead process held is known to be free."""

from __future__ import annotations

import os
import platform
import uuid
from pathlib import Path


def new_holder() -> str:
    """Names one user of a store in this process: ``machine/process/start/number``."""
    process = os.getpid()
    return f"{_machine()}/{process}/{_started(process)}/{uuid.uuid4().hex[:12]}"


def is_gone(holder: str | None) -> bool:
    """Whether the process that holds a lease is certainly there no more.

    Of a process on another machine (or in another container) nothing is known: its leases run out. Earlier versions did not say who held
    a lease (None): theirs count as gone.
    """
    if holder is None:
        return True
    machine, *rest = holder.split("/")
    if machine != _machine() or len(rest) != 3 or not rest[0].isdigit():
        return False
    return _started(int(rest[0])) != rest[1]


def _machine() -> str:
    """This boot of this machine, and this container's processes."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}:{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return platform.node().replace("/", "_")


def _started(process: int) -> str:
    """When a process began, in the machine's own counting; empty where there is no such process, or only its exit status."""
    try:
        text = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "" if Path("/proc/self/stat").exists() else _alive(process)
    state, *fields = text.rpartition(")")[2].split()
    return "" if state in "ZX" else fields[18]


def _alive(process: int) -> str:
    """The same where the machine keeps no ``/proc``: when it began is not known."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return ""
    except OSError:
        pass
    return "there"
