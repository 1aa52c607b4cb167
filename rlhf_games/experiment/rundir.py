"""The folder of one run: what it was told, what it ran on, what it measured, and whether it still runs.

::

    config.json      the resolved configuration         checkpoints/   the learner's states
    seeds.json       every seed                         store.sqlite   questions and answers
    versions.json    interpreter, packages, commits     tensorboard/   event files
    source.diff      changes that were not committed    metrics.jsonl  one line per report
    status.json      running, finished, stopped, failed learner.lock   held by the one learner
    summary.json     what a finished run came to        progress.log   how it went, in lines for people
    store.json       where the store is, if elsewhere

Files are written whole or not at all, and the folder itself appears only when it is complete.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from rlhf_games.core.errors import UserError
from rlhf_games.core.parse import parse_json
from rlhf_games.experiment.versions import uncommitted_changes, versions
from rlhf_games.feedback.place import FILE as STORE_FILE
from rlhf_games.feedback.place import Place, place_text
from rlhf_games.files import overwrite, sync_folder, umask, write_atomically

State: TypeAlias = Literal["created", "running", "finished", "stopped", "failed", "died"]
"""``stopped``: by a person, can go on. ``failed``: by an error. ``died``: it says "running" but no learner holds the folder."""

_STATES: tuple[str, ...] = get_args(State)
_LOCK_ATTEMPTS = 10
"""Somebody who only looks whether a learner is alive holds the lock for an instant; a learner tries a little longer than that."""

_SHORT = 500
"""Characters of a reason that fit into the place of an older status."""


@dataclass(frozen=True)
class Status:
    """How a run stands."""

    state: State
    reason: str = ""
    """Why it stopped or failed; empty otherwise."""
    since: str = ""
    """When the state began: ISO 8601, UTC."""


@dataclass(frozen=True)
class RunDirectory:
    """One run's folder; make it with ``create`` or ``open``."""

    path: Path
    config: dict[str, Any]
    """The resolved configuration, as ``rlhf_games.config.to_mapping`` gives it."""
    seeds: dict[str, Any]
    """Every seed of the run, by what it is for."""
    versions: dict[str, Any]
    """What the run was created on: see ``rlhf_games.experiment.versions.versions``."""

    @classmethod
    def create(
        cls,
        path: str | Path,
        config: Mapping[str, Any],
        seeds: Mapping[str, Any],
        *,
        sources: Sequence[Path] = (),
        facts: Mapping[str, Any] | None = None,
        place: Place | None = None,
    ) -> RunDirectory:
        """Makes the folder ``path``, complete or not at all.

        Args:
          path: must not exist, or be an empty folder.
          config: JSON values.
          seeds: JSON values.
          sources: folders (workspaces) whose commit and uncommitted changes are recorded beside the framework's own.
          place: the store, where it is not in the folder.
          facts: more about the surroundings for ``versions.json``, for example the device.

        Raises:
          UserError: there is something at ``path`` already, or the folder cannot be made.
        """
        final = Path(path)
        if final.exists() and (not final.is_dir() or any(final.iterdir())):
            raise _occupied(final)
        try:
            final.parent.mkdir(parents=True, exist_ok=True)
            draft = Path(tempfile.mkdtemp(prefix=f".{final.name}.", dir=final.parent))
        except OSError as error:
            raise UserError(f"{final} cannot be made: {error.strerror or error}; name another folder") from error
        try:
            _fill(draft, config, seeds, {**versions(sources), **(facts or {})}, uncommitted_changes(sources), place)
            draft.chmod(0o777 & ~umask())  # mkdtemp makes folders that only their owner may read
            draft.rename(final)  # refuses a folder that somebody filled in the meantime
        except OSError as error:
            shutil.rmtree(draft, ignore_errors=True)
            raise _occupied(final) if final.exists() else UserError(f"{final} cannot be made: {error}") from error
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        sync_folder(final.parent)
        return cls.open(final)

    @classmethod
    def open(cls, path: str | Path) -> RunDirectory:
        """The run that is already at ``path``.

        Raises:
          UserError: there is no run there, or one of its files is missing or damaged.
        """
        folder = Path(path)
        if not folder.is_dir():
            raise UserError(f"{folder} is no folder: name the folder of a run (rlhf-games run makes one)")
        if not (folder / "config.json").exists():
            raise UserError(f"{folder} is not the folder of a run: it has no config.json; name the folder that rlhf-games run made")
        run = cls(folder, *(read_object(folder / f"{name}.json") for name in ("config", "seeds", "versions")))
        _read_status(folder)
        for path in (run.checkpoints_path, run.tensorboard_path):  # empty folders get lost in copies and archives
            with suppress(OSError):  # where nothing may be written
                path.mkdir(exist_ok=True)
        return run

    @property
    def metrics_path(self) -> Path:
        """``metrics.jsonl``: see ``rlhf_games.experiment.metrics``."""
        return self.path / "metrics.jsonl"

    @property
    def tensorboard_path(self) -> Path:
        """Folder of the event files."""
        return self.path / "tensorboard"

    @property
    def wandb_path(self) -> Path:
        """``wandb.txt``: the id under which Weights & Biases knows the run; only where it is sent there."""
        return self.path / "wandb.txt"

    @property
    def checkpoints_path(self) -> Path:
        """Folder for ``rlhf_games.experiment.checkpoints.Checkpoints``."""
        return self.path / "checkpoints"

    @property
    def summary(self) -> dict[str, Any] | None:
        """What the finished run came to (``summary.json``); None where it has none yet."""
        path = self.path / "summary.json"
        return read_object(path) if path.exists() else None

    @property
    def status(self) -> Status:
        """How the run stands now; ``died`` where it says "running" and no learner holds the folder."""
        status = _read_status(self.path)
        if status.state == "running" and not self.has_learner():
            return Status("died", "its process is gone: resume it from its last checkpoint", status.since)
        return status

    def set_status(self, state: State, reason: str = "") -> None:
        """Records how the run stands, durably."""
        write_atomically(self.path / "status.json", _status_text(state, reason))
        self.log(f"{state}: {reason}" if reason else state)

    def log(self, text: str) -> None:
        """Appends a line for people, with the time (UTC), to ``progress.log``; where that cannot be written, nothing happens."""
        with contextlib.suppress(OSError), (self.path / "progress.log").open("a", encoding="utf-8") as file:
            file.write(f"{datetime.now(UTC).isoformat(timespec='seconds')}  {' '.join(text.split())}\n")

    def _end(self, state: State, reason: str) -> None:
        """Records how the run ended, on a full disk in place of the old words. A folder that has gone keeps "running" (it `died`)."""
        with suppress(OSError):
            try:
                self.set_status(state, reason)
            except OSError:
                overwrite(self.path / "status.json", _status_text(state, reason[:_SHORT]))

    def has_learner(self) -> bool:
        """Whether a living process holds the run (``lock``)."""
        try:
            handle = _lock_file(self.path, fcntl.LOCK_SH)
        except BlockingIOError:
            return True
        except OSError:  # no lock file: nobody ever learned here
            return False
        os.close(handle)
        return False

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the run for this process: the operating system lets go of it when the process ends, however it ends.

        Raises:
          UserError: another learner (also one in this process) holds it; names its process.
        """
        handle = self._acquire()
        try:
            os.ftruncate(handle, 0)
            os.write(handle, json.dumps({"pid": os.getpid(), "host": os.uname().nodename}).encode())
            yield
        finally:
            os.close(handle)  # the file stays: removing it would let two processes lock two different files

    @contextmanager
    def learning(self) -> Iterator[None]:
        """Holds the run and keeps its status: ``running`` inside, then ``finished``; ``stopped`` on an interrupt, ``failed`` on an error.

        A body that ends early without an error sets ``stopped`` itself; that is kept.
        """
        with self.lock():
            self.set_status("running")
            try:
                yield
            except (KeyboardInterrupt, SystemExit) as signal:
                self._end("stopped", "interrupted" if isinstance(signal, KeyboardInterrupt) else "the process was told to exit")
                raise
            except BaseException as error:
                self._end("failed", f"{type(error).__name__}: {error}")
                raise
            if _read_status(self.path).state == "running":
                self.set_status("finished")

    def _acquire(self) -> int:
        for attempt in range(_LOCK_ATTEMPTS):
            try:
                return _lock_file(self.path, fcntl.LOCK_EX)
            except BlockingIOError:
                time.sleep(0.01 * attempt)
        try:
            holder = parse_json((self.path / "learner.lock").read_bytes())
            who = f"process {holder['pid']} on {holder['host']}"
        except (OSError, ValueError, KeyError, TypeError):
            who = "another process"
        raise UserError(f"{self.path}: {who} is already learning in this run; stop it first, or start another run in another folder")


def _fill(
    folder: Path, config: Mapping[str, Any], seeds: Mapping[str, Any], about: Mapping[str, Any], changes: str, place: Place | None
) -> None:
    """Writes everything that a new run has."""
    texts = {
        "config.json": _to_json(config),
        "seeds.json": _to_json(seeds),
        "versions.json": _to_json(about),
        "status.json": _status_text("created", ""),
        "metrics.jsonl": "",
    }
    if changes:
        texts["source.diff"] = changes
    if place is not None:
        texts[STORE_FILE] = place_text(place)
    for name, text in texts.items():
        write_atomically(folder / name, text)
    (folder / "checkpoints").mkdir()
    (folder / "tensorboard").mkdir()


def _lock_file(folder: Path, mode: int) -> int:
    """Opens and locks the learner's lock file without waiting; raises ``BlockingIOError`` where it is held."""
    flags = os.O_RDONLY if mode == fcntl.LOCK_SH else os.O_RDWR | os.O_CREAT  # who only looks may have no right to write
    handle = os.open(folder / "learner.lock", flags, 0o666)
    try:
        fcntl.flock(handle, mode | fcntl.LOCK_NB)
    except BaseException:
        os.close(handle)
        raise
    return handle


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file of a run; raises ``UserError`` where it is missing or damaged."""
    try:
        value = parse_json(path.read_bytes())
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: copy it back from a backup, or start the run anew in another folder") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error}): copy it back from a backup, or start the run anew in another folder") from error
    if not isinstance(value, dict):
        raise UserError(f"{path} is damaged (not a table): copy it back from a backup, or start the run anew in another folder")
    return value


def _read_status(folder: Path) -> Status:
    table = read_object(folder / "status.json")
    if table.get("state") not in _STATES:
        raise UserError(f"{folder / 'status.json'} is damaged: state is {table.get('state')!r}, known are {', '.join(_STATES)}")
    return Status(table["state"], str(table.get("reason", "")), str(table.get("since", "")))


def _status_text(state: State, reason: str) -> str:
    return _to_json({"state": state, "reason": reason, "since": datetime.now(UTC).isoformat(timespec="seconds")})


def _to_json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _occupied(path: Path) -> UserError:
    return UserError(f"{path} already exists and is never overwritten: resume that run, name another folder, or remove it yourself")
