"""The readers' side: follows what a run publishes. JAX is imported when a publication is first used, not before."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from rlhf_games.core.errors import UserError
from rlhf_games.published.container import unpack
from rlhf_games.published.folder import FOLDER, listed
from rlhf_games.published.models import Programs, Publication

_Mark: TypeAlias = tuple[int, int, int, int]


class PublishedRun:
    """What one run has published. Not for several threads at a time."""

    def __init__(self, folder: Path) -> None:
        """``folder``: of the publications; see `open`."""
        self._folder = folder
        self._given: _Mark | None = None
        self._refused: dict[_Mark, str] = {}
        self._programs: dict[str, Programs] = {}
        self.problem = ""
        """Why the newest publication cannot be read; empty where it can."""

    @classmethod
    def open(cls, run: str | Path) -> PublishedRun:
        """The publications of the run in the folder ``run``.

        Raises:
          UserError: it has published nothing.
        """
        path = Path(run)
        if not path.is_dir():
            raise UserError(f"{path} is no folder: name the folder of a run (rlhf-games run makes one)")
        if not listed(path / FOLDER):
            problem = f"{path} has published no policy yet: it has only just begun, or it was made by an older version"
            raise UserError(f"{problem}; in that case this publishes its last one: rlhf-games resume {path}")
        return cls(path / FOLDER)

    def poll(self) -> Publication | None:
        """The newest publication where it is another one than that given last; else None, at the cost of a look at the folder.

        What is damaged is passed over: an older one is given, or none, and ``problem`` says why. A new one is read here (some megabytes
        for pixels), so a window calls this in a thread of its own.
        """
        self.problem = ""
        for iteration, path in reversed(listed(self._folder)):
            mark = _mark(iteration, path)
            if mark is None:  # the learner has just tidied up
                continue
            if mark == self._given:
                return None
            if mark not in self._refused:
                try:
                    return self._read(path, mark)
                except FileNotFoundError:
                    continue
                except (UserError, OSError) as error:
                    self._refused[mark] = str(error)
            self.problem = self.problem or self._refused[mark]
        return None

    def newest(self) -> Publication:
        """The newest publication, whatever was given before.

        Raises:
          UserError: none can be read.
        """
        self._given = None
        found = self.poll()
        if found is None:
            raise UserError(self.problem or f"{self._folder} holds no published policy any more")
        return found

    def _read(self, path: Path, mark: _Mark) -> Publication:
        about, trees = unpack(path.read_bytes(), str(path))
        programs = self._programs.setdefault(about.programs, Programs(about))
        self._given = mark
        return Publication(about, programs, trees, str(path))


def _mark(iteration: int, path: Path) -> _Mark | None:
    """What tells one content of a file from another; None where the file is gone."""
    try:
        about = path.stat()
    except OSError:
        return None
    return iteration, about.st_mtime_ns, about.st_size, about.st_ino
