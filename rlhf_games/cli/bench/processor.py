"""What a bench ran on: speeds mean little without it."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_EXTENSIONS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "bf16", "sve")
"""What the speed of products depends on most, as Linux names it."""


def processor(cpuinfo: Path = _CPUINFO) -> str:
    """The processor in words: its name, how many cores this process may use, and the extensions that speed up products.

    Args:
      cpuinfo: as Linux writes it; elsewhere there is none.
    """
    facts = _facts(cpuinfo)
    name = facts.get("model name") or _name_of_another_system() or platform.processor() or platform.machine()
    flags = (facts.get("flags") or facts.get("Features") or "").split()
    cores = _cores()
    return ", ".join(
        [name, f"{cores} core{'s' if cores > 1 else ''}", *(["/".join(e for e in _EXTENSIONS if e in flags)] if flags else [])]
    )


def _facts(cpuinfo: Path) -> dict[str, str]:
    """The first processor's entries; none where the system does not say."""
    try:
        first = cpuinfo.read_text(encoding="utf-8", errors="replace").partition("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _name_of_another_system() -> str:
    if platform.system() != "Darwin":
        return ""
    try:
        done = subprocess.run(["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
