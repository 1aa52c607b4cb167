"""What a run measures: JSON lines for programs, TensorBoard event files for browsers, Weights & Biases for those who ask for it.

``metrics.jsonl`` is the record; the others are made from the same calls. A line is ``{"step": 2048, "time": 1750000000.0,
"true_return": 3.5, ...}``: ``step`` counts environment decisions, ``time`` is seconds since 1970, values that are not finite are null.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np

from rlhf_games.core.errors import UserError
from rlhf_games.core.parse import parse_json
from rlhf_games.experiment.rundir import RunDirectory
from rlhf_games.files import umask, write_atomically

_NO_WANDB = "Weights & Biases is not installed: pip install 'rlhf-games[wandb]', or leave it off"
_RESERVED = ("step", "time")


class MetricsWriter:
    """Appends to one run's metrics; the run's learner has one."""

    def __init__(
        self, run: RunDirectory, *, wandb: bool = False, resume_step: int | None = None, resume_reports: int | None = None
    ) -> None:
        """Opens the run's metrics for appending.

        Args:
          run: the run.
          wandb: also send to Weights & Biases.
          resume_step: the checkpoint that the run goes on from (-1: from the start): what was written after it is dropped, so that no
            step is there twice. None where nothing was written before.
          resume_reports: how many reports the checkpoint comes after, where that is known: several reports can have one step, because an
            agent that is not paid learns from none.

        Raises:
          UserError: Weights & Biases is asked for and not installed; or nothing is resumed and there are metrics already.
        """
        self._wandb: Any = _start_wandb(run, resume_step) if wandb else None
        if resume_step is not None:
            truncate_after(run.metrics_path, resume_step, resume_reports)
        elif run.metrics_path.exists() and run.metrics_path.stat().st_size:
            raise UserError(f"{run.metrics_path} has metrics already: resume the run from a checkpoint, or start another in another folder")
        self._file: BinaryIO = run.metrics_path.open("ab")
        self._events = _Events(run.tensorboard_path, resume_step)

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        """Appends one report; it is in the file when this returns.

        Args:
          step: environment decisions so far.
          values: numbers (Python, NumPy or JAX scalars) by name, for example ``reward_model/accuracy``; what is not finite becomes null.

        Raises:
          ValueError: a name is ``step`` or ``time``, or a value is no scalar.
        """
        if clash := [name for name in _RESERVED if name in values]:
            raise ValueError(f"metrics must not be named {', '.join(clash)}: that is the line's own")
        numbers = {name: _number(name, value) for name, value in values.items()}
        now = time.time()
        line = {"step": int(step), "time": round(now, 3), **numbers}
        self._file.write(json.dumps(line, allow_nan=False).encode() + b"\n")
        self._file.flush()
        finite = {name: value for name, value in numbers.items() if value is not None}
        self._events.add(_event(int(step), now, finite))
        if self._wandb is not None:
            self._wandb.log(finite, step=int(step))

    def flush(self) -> None:
        """Brings everything to the disk itself; call it with every checkpoint."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._events.flush()

    def close(self) -> None:
        """Flushes and ends."""
        self.flush()
        self._file.close()
        self._events.close()
        if self._wandb is not None:
            self._wandb.finish()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def read_metrics(path: str | Path) -> list[dict[str, Any]]:
    """All lines of a ``metrics.jsonl``; values are numbers, or None where they were not finite.

    A last line that a killed process left unfinished is passed over.

    Raises:
      UserError: the file is missing, or a line before the last is damaged.
    """
    return [line for line, _ in _lines(Path(path))]


def series(lines: list[dict[str, Any]], name: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Steps ``[T]`` and values ``[T]`` (float64) of one metric: the lines that have it, null as NaN."""
    having = [line for line in lines if name in line]
    values = [math.nan if line[name] is None else line[name] for line in having]
    return np.array([line["step"] for line in having], np.int64), np.array(values, np.float64)


def truncate_after(path: Path, step: int, reports: int | None = None) -> None:
    """Drops every line of a ``metrics.jsonl`` whose step is greater than ``step``, and an unfinished last line. A missing file is empty.

    Of the lines that are left the first ``reports`` stay; None: all.
    """
    if not path.exists():
        return
    kept = [raw for line, raw in _lines(path) if line["step"] <= step]
    write_atomically(path, b"".join(kept[:reports]))


def _lines(path: Path) -> list[tuple[dict[str, Any], bytes]]:
    """Each whole line, parsed and as it stands in the file."""
    try:
        raws = path.read_bytes().splitlines(keepends=True)
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: name the metrics.jsonl of a run") from error
    if raws and not raws[-1].endswith(b"\n"):
        raws.pop()  # every whole line ends with a newline
    found = []
    for number, raw in enumerate(raws, start=1):
        try:
            line = parse_line(raw)
        except ValueError as error:
            raise UserError(f"{path}, line {number}, is damaged ({error!r}): remove that line to go on without it") from error
        found.append((line, raw))
    return found


def parse_line(raw: bytes) -> dict[str, Any]:
    """One line of a ``metrics.jsonl``: ``step`` is an integer of 64 bits, everything else a finite number, a truth value or null.

    Raises:
      ValueError: it is another thing.
    """
    line = parse_json(raw)
    if not isinstance(line, dict) or "step" not in line:
        raise ValueError("expected an object with a step")
    for name, value in line.items():
        fits = _is_step(value) if name == "step" else value is None or _is_finite(value)
        if not fits:
            needed = "an integer of 64 bits" if name == "step" else "a finite number or null"
            raise ValueError(f"{name[:40]} must be {needed}, got {str(value)[:40]!r}")
    return line


def _is_step(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


def _is_finite(value: Any) -> bool:
    """Whether a value is a number that float64 holds; a truth value is one."""
    try:
        return isinstance(value, int | float) and math.isfinite(value)
    except OverflowError:  # an integer
        return False


def _number(name: str, value: Any) -> float | int | None:
    """A JSON number for a scalar of any kind; None where it is not finite."""
    array = np.asarray(value)
    if array.ndim or (array.dtype.kind not in "biuf" and not np.can_cast(array.dtype, np.float64)):
        raise ValueError(f"metric {name!r} must be one number, got {value!r}")
    if array.dtype.kind in "biu":
        return int(array)
    number = float(array)
    return number if math.isfinite(number) else None


class _Events:
    """A TensorBoard event file, written by the caller's thread: TensorBoard's own writer prints what goes wrong and goes on without it."""

    def __init__(self, folder: Path, resume_step: int | None) -> None:
        """A new file; it says where it resumes, so that browsers drop later points of earlier files."""
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter

        now = time.time()
        handle, name = tempfile.mkstemp(f".{os.getpid()}.0", f"events.out.tfevents.{int(now):010d}.{os.uname().nodename}.", folder)
        Path(name).chmod(0o666 & ~umask())  # mkstemp's files are their owner's alone
        self._file: BinaryIO = os.fdopen(handle, "wb")
        self._records: Any = RecordWriter(self._file)
        self.add(Event(wall_time=now, file_version="brain.Event:2"))
        if resume_step is not None:
            self.add(Event(wall_time=now, step=max(resume_step + 1, 0), session_log=SessionLog(status=SessionLog.START)))

    def add(self, event: Any) -> None:
        """Appends an event."""
        self._records.write(event.SerializeToString())

    def flush(self) -> None:
        """Hands everything to the operating system."""
        self._file.flush()

    def close(self) -> None:
        """Flushes and ends."""
        self._file.close()


def _event(step: int, now: float, values: Mapping[str, float]) -> Any:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

    scalars = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
    return Event(wall_time=now, step=step, summary=Summary(value=scalars))


def _start_wandb(run: RunDirectory, resume_step: int | None) -> Any:
    try:
        import wandb
    except ImportError as error:
        raise UserError(_NO_WANDB) from error
    known = run.wandb_path.read_text(encoding="utf-8").strip() if run.wandb_path.exists() else None
    resume = "allow" if known and resume_step is not None else "never"
    started = wandb.init(project="rlhf-games", name=run.path.name, dir=str(run.path), config=run.config, resume=resume, id=known)
    write_atomically(run.wandb_path, f"{started.id}\n")
    return started


def check_wandb() -> None:
    """Raises ``UserError`` where Weights & Biases is not installed."""
    if importlib.util.find_spec("wandb") is None:
        raise UserError(_NO_WANDB)
