"""A repository's configuration runs no program of its own when a run notes the commit and the changes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from rlhf_games.experiment.versions import uncommitted_changes, versions

Trap = Callable[[Path, Path], None]


def _git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    subprocess.run(["git", "-C", str(folder), *who, *words], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "lab"
    folder.mkdir()
    _git(folder, "init", "--quiet")
    (folder / "rules.txt").write_text("one\n")
    _git(folder, "add", ".")
    _git(folder, "commit", "--quiet", "-m", "first")
    return folder


def _fsmonitor(folder: Path, program: Path) -> None:
    _git(folder, "config", "core.fsmonitor", str(program))


def _external_diff(folder: Path, program: Path) -> None:
    _git(folder, "config", "diff.external", str(program))


def _textconv(folder: Path, program: Path) -> None:
    (folder / ".git" / "info" / "attributes").write_text("* diff=own\n")
    _git(folder, "config", "diff.own.textconv", str(program))


def _filter(folder: Path, program: Path) -> None:
    (folder / ".git" / "info" / "attributes").write_text("* filter=own.a=b\n")
    _git(folder, "config", "filter.own.a=b.clean", str(program))
    _git(folder, "config", "filter.own.a=b.required", "true")


def _filter_process(folder: Path, program: Path) -> None:
    (folder / ".git" / "info" / "attributes").write_text("* filter=own\n")
    _git(folder, "config", "filter.own.process", str(program))


def _hook(folder: Path, program: Path) -> None:
    hooks = folder / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    (hooks / "post-index-change").symlink_to(program)


TRAPS: tuple[Trap, ...] = (_fsmonitor, _external_diff, _textconv, _filter, _filter_process, _hook)


def _set_trap(repository: Path, tmp_path: Path, trap: Trap) -> Path:
    sign, program = tmp_path / "was-run", tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {sign}\ncat\n")
    program.chmod(0o755)
    trap(repository, program)
    sign.unlink(missing_ok=True)  # git config and git add may have run it
    (repository / "rules.txt").write_text("two\n")
    return sign


@pytest.mark.parametrize("trap", TRAPS)
def test_no_program_of_the_repository_is_run(repository: Path, tmp_path: Path, trap: Trap) -> None:
    sign = _set_trap(repository, tmp_path, trap)
    changes = uncommitted_changes([repository])
    assert "-one\n+two\n" in changes
    entry = next(entry for entry in versions([repository])["sources"] if Path(entry["folder"]) == repository)
    assert entry["changed"] is True
    assert len(entry["commit"]) == 40
    assert not sign.exists()


@pytest.mark.parametrize("trap", TRAPS)
def test_the_traps_are_real(repository: Path, tmp_path: Path, trap: Trap) -> None:
    sign = _set_trap(repository, tmp_path, trap)
    (repository / "rules.txt").write_text("one\n")  # as committed, with another time: git looks into it and writes its index
    os.utime(repository / "rules.txt", (1, 1))
    subprocess.run(["git", "-C", str(repository), "diff", "HEAD"], capture_output=True, check=False)
    (repository / "rules.txt").write_text("two\n")
    subprocess.run(["git", "-C", str(repository), "diff", "HEAD"], capture_output=True, check=False)
    assert sign.exists()


def test_the_users_own_configuration_still_counts(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "diff.noprefix")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "true")
    (repository / "rules.txt").write_text("two\n")
    assert "--- rules.txt\n+++ rules.txt\n" in uncommitted_changes([repository])
