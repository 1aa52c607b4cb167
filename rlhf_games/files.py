"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from rlhf_games.core.errors import UserError

_CURES = (
    ({errno.ENOSPC, errno.EDQUOT}, "; make room, then go on"),
    ({errno.EROFS, errno.EACCES, errno.EPERM}, "; use a folder that you may write to"),
)
"""What helps against some errors of the operating system."""


def write_atomically(path: str | Path, content: str | bytes) -> None:
    """Writes a file whole or not at all: into a neighbour, to the disk, then renamed over ``path``. ``OSError`` names ``path``."""
    try:
        _write(Path(path), content.encode() if isinstance(content, str) else content)
    except OSError as error:
        error.filename, error.filename2 = str(path), None  # not the neighbour's
        raise


def _write(final: Path, data: bytes) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{final.name}.", dir=final.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o666 & ~umask())  # mkstemp's files are their owner's alone
        Path(name).replace(final)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_folder(final.parent)


def overwrite(path: Path, content: str) -> None:
    """Writes a short text in the place of an older one, which takes no room on a full disk; not safe against a power cut."""
    with path.open("r+b") as file:
        file.write(content.encode())
        file.truncate()


def is_folder_name(name: str) -> bool:
    """Whether ``name`` names one folder inside another: printable, no separator, neither hidden nor ``..``, at most 100 bytes."""
    return (
        name.isprintable()
        and name == name.strip()
        and not name.startswith(".")
        and not {*name} & {*"/\\"}
        and 0 < len(name.encode()) <= 100
    )


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """An empty folder at ``path``, or at ``path-2``, ``path-3`` ... where there is something already, also when several ask at once.

    It is removed again where the body leaves it empty.

    Raises:
      UserError: it cannot be made.
    """
    chosen = _made(path)
    try:
        yield chosen
    finally:
        with suppress(OSError):  # it is full
            chosen.rmdir()


def _made(path: Path) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for number in count(1):
            chosen = path if number == 1 else path.with_name(f"{path.name}-{number}")
            with suppress(FileExistsError):
                chosen.mkdir()
                break
    except OSError as error:
        raise UserError(f"{path} cannot be made: {error.strerror or error}; name another folder with --out") from error
    return chosen


def describe(error: OSError) -> str:
    """What the operating system refused, for a person: where, why, and what helps."""
    where = " and ".join(dict.fromkeys(str(name) for name in (error.filename, error.filename2) if name is not None))
    cure = next((words for numbers, words in _CURES if error.errno in numbers), "")
    return f"{f'{where}: ' if where else ''}{error.strerror or error}{cure}"


def umask() -> int:
    """The process's file mode mask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def sync_folder(folder: Path) -> None:
    """Makes a rename in ``folder`` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
