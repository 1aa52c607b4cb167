"""SQLite files: made once, never by accident, never changed by somebody who only reads."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from rlhf_games.core.errors import UserError

BUSY_SECONDS = 60.0
"""How long a writer waits for its turn on SQLite before it gives up."""
_MAGIC = b"SQLite format 3\x00"
_ROLLBACK_JOURNAL = 1
"""Of bytes 18 and 19: written without a write-ahead log."""


class FileIdentity(NamedTuple):
    """Which file lies at a path."""

    device: int
    inode: int


_handles: dict[FileIdentity, int] = {}
"""Files that were opened here without SQLite. They stay open: closing one would drop all locks that SQLite holds on that file in this
process (POSIX), another process would take itself for the last one and remove the log, and answers would be lost."""


def _identity_of(status: os.stat_result) -> FileIdentity:
    return FileIdentity(status.st_dev, status.st_ino)


def identity(path: Path) -> FileIdentity | None:
    """Which file lies there; None: none."""
    try:
        return _identity_of(path.stat())
    except OSError:
        return None


def make_file(path: Path, create: bool) -> None:
    """Sees to it that there is a file.

    Raises:
      UserError: there is none and ``create`` is False, or it cannot be made.
    """
    if path.exists():
        return
    if not create:
        raise UserError(f"{path}: no store here; give the path of a store, or of the run directory that holds it")
    if not path.parent.is_dir():
        raise UserError(f"{path}: the folder {path.parent} does not exist; make it first")
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o644)
        _handles[_identity_of(os.fstat(handle))] = handle
    except FileExistsError:
        return  # somebody else was quicker
    except OSError as error:
        raise UserError(f"{path}: the store cannot be made: {error.strerror or error}; give a path that you may write to") from error


def connect(path: Path, *, mode: str = "rw", immutable: bool = False) -> sqlite3.Connection:
    """A connection that never makes the file: where it was deleted meanwhile, it must not come back empty."""
    address = f"file:{quote(str(path))}?mode={mode}{'&immutable=1' if immutable else ''}"
    return sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS, check_same_thread=False)


def connect_to_read(path: Path) -> sqlite3.Connection:
    """A connection that changes nothing, also where neither file nor folder may be written to.

    SQLite reads a write-ahead log only by way of a file beside it that it makes if need be, and leaves there. Where nothing is in the log
    nobody is writing, and the file alone says everything.
    """
    log = path.with_name(path.name + "-wal")
    idle = _journal(path) != _ROLLBACK_JOURNAL and not (log.exists() and log.stat().st_size)
    return connect(path, mode="ro", immutable=idle)


def refuse_strangers(path: Path) -> None:
    """Looks at a file that is no store (yet) before anything about it is changed.

    Raises:
      UserError: it is another program's database.
    """
    tables = _tables(path)
    if tables and not is_store(tables):
        raise stranger(str(path))


def _journal(path: Path) -> int | None:
    """How an SQLite file is written; None where it is none (yet)."""
    known = _identity_of(path.stat())
    if known not in _handles:
        handle = os.open(path, os.O_RDONLY)
        _handles[_identity_of(os.fstat(handle))] = handle
    head = os.pread(_handles[known], 20, 0)
    return head[18] if head.startswith(_MAGIC) else None


def is_store(tables: set[str]) -> bool:
    """Whether a database with these tables is a store; other programs use Alembic too."""
    return {"alembic_version", "log_head"} <= tables


def stranger(name: str) -> UserError:
    """The refusal of another program's database."""
    return UserError(f"{name}: this database belongs to something else (it has tables, but none of a store); give another path or URL")


def _tables(path: Path) -> set[str]:
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        connection = connect(path, mode="ro")
        try:
            return {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        finally:
            connection.close()
        time.sleep(0.01)
