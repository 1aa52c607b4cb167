"""A disk that is full: what was there stays whole, and the status says how the run ended."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rlhf_games import files
from rlhf_games.cli.main import main
from rlhf_games.experiment.rundir import RunDirectory

CHILD = """
import resource, signal, sys
from rlhf_games.core.errors import UserError
from rlhf_games.experiment.rundir import RunDirectory

run = RunDirectory.open(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
try:
    with run.learning():
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
        (run.path / "big").write_bytes(bytes(100_000))
except OSError as error:
    print(error.strerror)
"""
"""No file may grow beyond a limit: what is written fails with EFBIG, like ENOSPC on a full disk, new files included."""


@pytest.mark.parametrize(("limit", "state"), [(4096, "failed"), (0, "died")])
def test_the_status_of_a_run_that_could_not_write(tmp_path: Path, limit: int, state: str) -> None:
    """Where not a single byte can be written the old status stays, and nobody holds the run."""
    run = RunDirectory.create(tmp_path / "run", {}, {})
    done = subprocess.run([sys.executable, "-c", CHILD, str(run.path), str(limit)], capture_output=True, text=True, check=False)
    assert done.stdout == "File too large\n", done.stderr
    assert run.status.state == state
    assert limit == 0 or "File too large" in run.status.reason


def test_a_full_disk_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of the process may have 10 bytes: a new workspace cannot be written."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
        status = main(["new", str(tmp_path / "lab")])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert status == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert "File too large" in said
    assert said.count("\n") == 1


def test_words_for_errors_of_the_operating_system() -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/a/b")
    assert files.describe(full) == "/a/b: No space left on device; make room, then go on"
    assert files.describe(OSError(errno.EROFS, os.strerror(errno.EROFS))) == "Read-only file system; use a folder that you may write to"
    assert files.describe(OSError("text")) == "text"


def test_new_folders_are_never_shared(tmp_path: Path) -> None:
    with files.new_folder(tmp_path / "a" / "run") as first, files.new_folder(tmp_path / "a" / "run") as second:
        assert (first.name, second.name) == ("run", "run-2")
        (second / "x").touch()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["run-2"], "what stays empty is removed"
