"""What a run ran on: interpreter, packages, machine, commits. Everything that could make a difference and is not in the configuration."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

_FLAGS = ("JAX_", "XLA_", "OMP_", "CUDA_VISIBLE_DEVICES")
"""Environment variables that change numbers begin like this."""


def versions(sources: Sequence[Path] = ()) -> dict[str, Any]:
    """Python, platform, processors, every installed package, numeric environment variables, and the commits of the code.

    Args:
      sources: folders (workspaces) beside the framework's own whose commit matters.
    """
    found = {entry.metadata["Name"]: entry.version for entry in importlib.metadata.distributions()}
    return {
        "python": sys.version.split()[0],
        "implementation": platform.python_implementation(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "processors": os.cpu_count(),
        "packages": dict(sorted(found.items(), key=lambda item: item[0].casefold())),
        "environment": {name: value for name, value in sorted(os.environ.items()) if name.startswith(_FLAGS)},
        "sources": [{"folder": str(root), "commit": commit, "changed": bool(_changes(root))} for root, commit in _repositories(sources)],
    }


def uncommitted_changes(sources: Sequence[Path] = ()) -> str:
    """The text of all changes to tracked files since the commits that ``versions`` names; empty where there are none."""
    return "".join(_changes(root) for root, _ in _repositories(sources))


def _repositories(sources: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    """Root and commit of each different repository; what is not in a repository (an installed wheel) is left out."""
    seen = set()
    for folder in (Path(__file__).parent, *sources):
        words = _git(folder, "rev-parse", "--show-toplevel", "HEAD").split("\n")
        if len(words) < 2 or words[0] in seen:
            continue
        seen.add(words[0])
        yield Path(words[0]), words[1]


def _changes(root: Path) -> str:
    return _git(root, "diff", "--no-ext-diff", "--binary", "HEAD")


def _git(folder: Path, *words: str) -> str:
    """What git says; empty where there is no git, no repository or no commit."""
    try:
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode(errors="replace")
