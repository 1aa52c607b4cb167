"""The arena beside a run: in a process of its own, so that neither ends with the other."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Thread

from rlhf_games.core.errors import UserError
from rlhf_games.feedback.place import password_of, read_place

_PROBE = "from rlhf_games.arena.display import open_display; open_display()"
_NO_WINDOW = "add --no-window and answer from elsewhere, at any time"

_TOLD_TO_END = 143
"""Exit status of a window that got SIGTERM."""


def check_display() -> None:
    """Tries, in a process of its own, whether a window can be opened.

    Raises:
      UserError: there is no screen.
    """
    probe = subprocess.run([sys.executable, "-P", "-c", _PROBE], capture_output=True, text=True, check=False)
    if probe.returncode:
        words = probe.stderr.strip().rpartition("\n")[2].partition("UserError: ")[2] or "no window can be opened here"
        raise UserError(f"--teacher human opens the arena, but {words}; or {_NO_WINDOW} (rlhf-games judge RUN)")


_TASKS = {"preference": "judge", "ranking": "rank", "rating": "rate"}
"""Where each kind of question is answered."""


def open_window(run: Path, annotator: str, say: Callable[[str], None], kind: str = "preference") -> Window | None:
    """As `Window`; where the one that an earlier learner opened is still there, says so and returns None."""
    with (run / "arena.lock").open("wb") as lock:  # held by the window's process, as long as that lives
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("the run's window is still open; what you answer there is taken")
            return None
        return Window(run, annotator, say, kind, (lock.fileno(),))


class Window:
    """The arena, answering the questions of a run; what it prints goes to ``arena.log`` in the run's folder."""

    def __init__(self, run: Path, annotator: str, say: Callable[[str], None], kind: str = "preference", keeps: Sequence[int] = ()) -> None:
        """Opens it.

        Args:
          run: its store is there already.
          annotator: empty for the remembered one.
          say: tells the person.
          kind: of questions that the run asks.
          keeps: open files that stay open as long as the window.
        """
        self._run, self._say, self._left = run, say, False
        command = [sys.executable, "-P", "-m", "rlhf_games", "arena", str(run), "--task", _TASKS[kind]]
        command += ["--annotator", annotator] if annotator else []
        place = read_place(run)
        password = password_of(place.store) if place else None
        secret = {"PGPASSWORD": password} if password else {}
        with (run / "arena.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C and a closed terminal are for the learner
                pass_fds=keeps,
                env=os.environ | secret | {"JAX_PLATFORMS": "cpu"},  # an accelerator belongs to the learner
            )
        Thread(target=self._watch, name="window", daemon=True).start()

    @property
    def is_open(self) -> bool:
        """Whether it is still there."""
        return self._process.poll() is None

    def leave(self) -> None:
        """The learner is done: from now on nothing is said about the window, and it stays as long as the person likes."""
        self._left = True

    def _watch(self) -> None:
        status = self._process.wait()
        if self._left:
            return
        why = "The window is closed" if status in (0, _TOLD_TO_END) else f"The window ended by itself (see {self._run / 'arena.log'})"
        self._say(f"{why}; the agent goes on learning. Open it again with: rlhf-games arena {self._run}")
