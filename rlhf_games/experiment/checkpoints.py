"""Learner states on disk, written by orbax: whole or not at all, the last few kept.

Leaves are stored flat, in the tree's order, each with its path; restoring needs a tree of the same form (``like``). Random keys are
stored as their data.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from rlhf_games.core.agent import PyTree
from rlhf_games.core.errors import UserError
from rlhf_games.published.leaves import flatten, stored, unflatten


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
        """
        latest = self.latest()
        if latest is not None and step <= latest:
            raise ValueError(f"checkpoint {step} is not newer than the latest, {latest}, in {self.folder}")
        paths, leaves = flatten(tree)
        arrays = {str(i): stored(leaf) for i, leaf in enumerate(leaves)}
        whole = {name: array for name, array in arrays.items() if array.size}  # the file format has no empty arrays
        empty = {name: [list(array.shape), array.dtype.name] for name, array in arrays.items() if not array.size}
        about = {"paths": paths, "empty": empty, "extra": extra or {}}
        items: dict[str, Any] = {"about": ocp.args.JsonSave(about)}
        if whole:
            items["leaves"] = ocp.args.PyTreeSave(whole)
        self._manager.save(step, args=ocp.args.Composite(**items), force=True)

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
          UserError: there is no such checkpoint, it is damaged, or its form is not that of ``like``.
        """
        if step not in (known := self.steps()):
            raise UserError(f"{self.folder} has no checkpoint {step}; there are: {', '.join(map(str, known)) or 'none'}")
        where = f"checkpoint {step} in {self.folder}"
        paths, _ = flatten(like)
        about, found = self._read(step, where)
        if about["paths"] != paths:
            odd = sorted(set(about["paths"]) ^ set(paths)) or ["the order of leaves"]
            raise UserError(f"{where} was saved by other settings or another version: its state differs at {', '.join(odd[:5])}")
        cure = "resume with the settings that the run was started with"
        return unflatten(like, [found[str(i)] for i in range(len(paths))], where, cure), about["extra"]

    def close(self) -> None:
        """Lets go of orbax's threads."""
        self._manager.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _read(self, step: int, where: str) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
        """What was stored beside the leaves, and the leaves by their place in the tree."""
        try:
            about = self._manager.restore(step, args=ocp.args.Composite(about=ocp.args.JsonRestore())).about
            empty = {name: np.zeros(shape, jnp.dtype(kind)) for name, (shape, kind) in about["empty"].items()}
            names = {str(i) for i in range(len(about["paths"]))} - set(empty)
            if not names:
                return about, empty
            kinds = dict.fromkeys(names, ocp.RestoreArgs(restore_type=np.ndarray))
            args = ocp.args.PyTreeRestore(item=dict.fromkeys(names, 0), restore_args=kinds)
            leaves = self._manager.restore(step, args=ocp.args.Composite(leaves=args)).leaves
        except (OSError, ValueError, KeyError, TypeError) as error:
            cure = "restore an older one, or start the run anew"
            raise UserError(f"{where} is damaged or was just removed ({type(error).__name__}: {error}); {cure}") from error
        return about, {**empty, **leaves}
