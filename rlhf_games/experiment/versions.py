"""What a run ran on: interpreter, packages, machine, commits. Everything that could make a difference and is not in the configuration."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
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
    # What is dirty inside a submodule is not looked at: git would run there with the submodule's own configuration.
    words = ("diff", "--no-ext-diff", "--no-textconv", "--ignore-submodules=dirty", "--binary", "HEAD")
    return _git(root, *words, settings=_without_filters(root))


_SETTINGS = {"core.fsmonitor": "false", "core.hooksPath": os.devnull, "diff.autoRefreshIndex": "false"}
"""A repository's configuration may name programs for git to run, and a repository may come from anywhere: none of them is run."""
_ENVIRONMENT = {"GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0"}


def _without_filters(root: Path) -> dict[str, str]:
    """Settings that switch off the filter programs that the repository's own configuration names (the user's own stay)."""
    told = _git(root, "config", "--show-scope", "--null", "--name-only", "--get-regexp", r"^filter\.").split("\0")
    drivers = {name.rpartition(".")[0] for scope, name in zip(told[::2], told[1::2], strict=False) if scope in ("local", "worktree")}
    off = (("clean", ""), ("smudge", ""), ("process", ""), ("required", "false"))
    return {f"{driver}.{name}": value for driver in sorted(drivers) for name, value in off}


def _git(folder: Path, *words: str, settings: Mapping[str, str] | None = None) -> str:
    """What git says; empty where there is no git, no repository or no commit."""
    try:
        count = int(os.environ.get("GIT_CONFIG_COUNT") or 0)
        environment = {**os.environ, **_ENVIRONMENT}
        for number, (name, value) in enumerate({**_SETTINGS, **(settings or {})}.items(), count):
            environment |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value, "GIT_CONFIG_COUNT": str(number + 1)}
        command = ["git", "--no-pager", "-C", str(folder), *words]
        done = subprocess.run(command, capture_output=True, check=True, timeout=20, env=environment, stdin=subprocess.DEVNULL)
    except (OSError, ValueError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode(errors="replace")
