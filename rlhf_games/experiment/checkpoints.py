"""Learner states on disk, written by orbax: whole or not at all, the last few kept.

Leaves are stored flat, in the tree's order, each with its path; restoring needs a tree of the same form (``like``). Random keys are
stored as their data. Beside them stands a digest of every value, so that a damaged checkpoint is never taken for a whole one.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from rlhf_games.core.agent import PyTree
from rlhf_games.core.errors import UserError
from rlhf_games.files import describe
from rlhf_games.published.leaves import flatten, stored, unflatten

_BEFORE_DIGESTS = {"paths", "empty", "extra"}
"""What checkpoints of earlier versions keep beside the leaves."""


class DamagedCheckpointError(UserError):
    """A checkpoint cannot be read, or holds other values than were saved."""


class Checkpoints:
    """The checkpoints in one folder. Only one process may write there; any number may read (``read_only``)."""

    def __init__(self, folder: str | Path, keep: int = 3, *, read_only: bool = False) -> None:
        """Opens ``folder`` (made where it is missing, unless ``read_only``).

        Args:
          folder: belongs to the checkpoints alone.
          keep: how many of the newest stay; at least 1.
          read_only: for those who watch a learner: never writes, never tidies up.
        """
        if keep < 1:
            raise ValueError(f"keep must be at least 1, got {keep}")
        self.folder = Path(folder).resolve()
        if read_only and not self.folder.is_dir():
            raise UserError(f"{self.folder} is missing: this run has no checkpoints yet")
        options = ocp.CheckpointManagerOptions(
            max_to_keep=None if read_only else keep,
            read_only=read_only,
            create=not read_only,
            cleanup_tmp_directories=not read_only,  # what a killed process left half-written
            enable_async_checkpointing=False,
        )
        self._manager = ocp.CheckpointManager(self.folder, options=options)

    def save(self, step: int, tree: PyTree, extra: dict[str, Any] | None = None) -> None:
        """Writes one checkpoint and returns when it is complete; the oldest beyond ``keep`` are removed afterwards.

        Args:
          step: greater than that of every checkpoint here.
          tree: leaves are JAX or NumPy arrays (random keys included) or Python numbers.
          extra: JSON values.

        Raises:
          ValueError: ``step`` is not greater than the latest.
          UserError: the operating system refuses: no room, no right, or the folder has gone. Earlier checkpoints stay as they are.
        """
        gone = f"{self.folder} has gone: it was moved or deleted; go on where it is now with: rlhf-games resume RUN"
        if not self.folder.is_dir():  # orbax would make it again
            raise UserError(gone)
        latest = self.latest()
        if latest is not None and step <= latest:
            raise ValueError(f"checkpoint {step} is not newer than the latest, {latest}, in {self.folder}")
        paths, leaves = flatten(tree)
        arrays = {str(i): stored(leaf) for i, leaf in enumerate(leaves)}
        whole = {name: array for name, array in arrays.items() if array.size}  # the file format has no empty arrays
        empty = {name: [list(array.shape), array.dtype.name] for name, array in arrays.items() if not array.size}
        about: dict[str, Any] = {"paths": paths, "empty": empty, "extra": extra or {}, "leaves": _digest_of_leaves(arrays)}
        about["digest"] = _digest(about)
        items: dict[str, Any] = {"about": ocp.args.JsonSave(about)}
        if whole:
            items["leaves"] = ocp.args.PyTreeSave(whole)
        with _quiet(), _no_room(f"checkpoint {step} cannot be written to {self.folder}"):
            try:
                self._manager.save(step, args=ocp.args.Composite(**items), force=True)
            except ValueError as error:
                raise error if self.folder.is_dir() else UserError(gone) from error

    def latest(self) -> int | None:
        """Step of the newest complete checkpoint, also one that another process has just written; None without any."""
        return max(self.steps(), default=None)

    def steps(self) -> list[int]:
        """Steps of all complete checkpoints, ascending."""
        self._manager.reload()
        return sorted(self._manager.all_steps())

    def restore(self, step: int, like: PyTree) -> tuple[PyTree, dict[str, Any]]:
        """Reads one checkpoint back, bit for bit.

        Args:
          step: one of ``steps()``.
          like: a tree of the form, shapes and types that were saved; leaves come back as the kind of ``like``'s leaf (JAX array, NumPy
            array, Python number, random key).

        Returns:
          The tree and ``extra``.

        Raises:
          DamagedCheckpointError: it is damaged (one of an older version, without a digest: cannot be read).
          UserError: there is no such checkpoint, or its form is not that of ``like``.
        """
        self._check_known(step)
        where = f"checkpoint {step} in {self.folder}"
        paths, _ = flatten(like)
        about, found = self._read(step, where)
        if about["paths"] != paths:
            odd = sorted(set(about["paths"]) ^ set(paths)) or ["the order of leaves"]
            raise UserError(f"{where} was saved by other settings or another version: its state differs at {', '.join(odd[:5])}")
        cure = "resume with the settings that the run was started with"
        return unflatten(like, [found[str(i)] for i in range(len(paths))], where, cure), about["extra"]

    def extra(self, step: int) -> dict[str, Any]:
        """What was saved beside the tree; raises as ``restore``, and does not look at the tree."""
        self._check_known(step)
        with _quiet(), _damage(f"checkpoint {step} in {self.folder}"):
            found: dict[str, Any] = self._about(step)["extra"]
        return found

    def drop_after(self, step: int) -> None:
        """Removes every checkpoint newer than ``step``, also damaged ones."""
        for newer in [known for known in self.steps() if known > step]:
            shutil.rmtree(self.folder / str(newer))
        self._manager.reload()

    def _check_known(self, step: int) -> None:
        if step not in (known := self.steps()):
            raise UserError(f"{self.folder} has no checkpoint {step}; there are: {', '.join(map(str, known)) or 'none'}")

    def close(self) -> None:
        """Lets go of orbax's threads."""
        self._manager.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _read(self, step: int, where: str) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
        """What was stored beside the leaves, and the leaves by their place in the tree."""
        with _quiet(), _damage(where):
            about = self._about(step)
            empty = {name: np.zeros(shape, jnp.dtype(kind)) for name, (shape, kind) in about["empty"].items()}
            names = {str(i) for i in range(len(about["paths"]))} - set(empty)
            arrays = dict(empty)
            if names:
                kinds = dict.fromkeys(names, ocp.RestoreArgs(restore_type=np.ndarray))
                args = ocp.args.PyTreeRestore(item=dict.fromkeys(names, 0), restore_args=kinds)
                arrays |= self._manager.restore(step, args=ocp.args.Composite(leaves=args)).leaves
            if "leaves" in about and about["leaves"] != _digest_of_leaves(arrays):
                raise ValueError("it holds other values than were saved")
        return about, arrays

    def _about(self, step: int) -> dict[str, Any]:
        """What was stored beside the leaves; raises ``ValueError`` where it is not what was saved."""
        about: dict[str, Any] = self._manager.restore(step, args=ocp.args.Composite(about=ocp.args.JsonRestore())).about
        if about.keys() != _BEFORE_DIGESTS and about.pop("digest", "") != _digest(about):
            raise ValueError("it holds other values than were saved")
        return about


@contextmanager
def _no_room(what: str) -> Iterator[None]:
    """Errors of the operating system, which tensorstore wraps in ``ValueError``, as words for a person."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{what}: {describe(error)}") from error
    except ValueError as error:
        code = re.search(r"os_error_code='(\d+)'", str(error))
        if code is None:
            raise
        raise UserError(f"{what}: {describe(OSError(int(code[1]), os.strerror(int(code[1]))))}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps orbax and tensorstore, which also raise what goes wrong, from printing tracebacks about it.

    After an error it stays quiet: their threads are not done by then.
    """
    logs = [logging.getLogger(name) for name in ("absl", "asyncio")]
    levels, hook = [log.level for log in logs], sys.unraisablehook

    def silent(found: Any) -> None:
        if str(found.exc_value) != "Event loop is closed":
            hook(found)

    sys.unraisablehook = silent
    for log in logs:
        log.setLevel(logging.CRITICAL)
    yield
    sys.unraisablehook = hook
    for log, level in zip(logs, levels, strict=True):
        log.setLevel(level)


@contextmanager
def _damage(where: str) -> Iterator[None]:
    """Whatever goes wrong while reading is damage."""
    try:
        yield
    except Exception as error:  # a flipped bit makes orbax and its libraries raise almost anything
        text = str(error).partition("\n")[0][:200]
        raise DamagedCheckpointError(f"{where} is damaged or was just removed ({type(error).__name__}: {text})") from error


def _digest(about: Mapping[str, Any]) -> str:
    """SHA-256 of JSON values."""
    return hashlib.sha256(json.JSONEncoder(sort_keys=True).encode(about).encode()).hexdigest()


def _digest_of_leaves(arrays: Mapping[str, np.ndarray[Any, Any]]) -> str:
    """SHA-256 of name, type, shape and bytes of each array."""
    found = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        found.update(f"{name} {array.dtype.name} {list(array.shape)} ".encode())
        found.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return found.hexdigest()
