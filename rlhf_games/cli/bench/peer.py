"""Other people's software to measure against, each in a virtual environment of its own.

Peers pin packages that ours do not stand beside (gymnax pins gymnasium, for one), so they are installed once into the user's cache
folder, by pip as this machine has it set up, and a script that this package ships runs there. The script stays alive between
measurements, so that ours and the peer's can alternate without compiling again: one JSON line in, one JSON line out.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import venv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from rlhf_games.core.errors import UserError

_SCRIPTS = Path(__file__).with_name("peers")


@dataclass(frozen=True)
class Peer:
    """One peer's environment."""

    name: str
    """Part of the folder's name."""
    requirements: tuple[str, ...]
    """As pip takes them, pinned."""

    @property
    def folder(self) -> Path:
        """Where the environment lies: another one for other requirements and other Pythons."""
        text = "\n".join((sys.version, *self.requirements))
        return cache_folder() / "peers" / f"{self.name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"

    @property
    def python(self) -> Path:
        """The environment's interpreter."""
        return self.folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    def prepare(self) -> None:
        """Makes the environment where it is missing or half made.

        Raises:
          UserError: pip could not install the requirements; says where its output is.
        """
        ready = self.folder / "ready"
        if ready.exists():
            return
        print(f"installing {', '.join(self.requirements)} into {self.folder} (once)", file=sys.stderr)
        venv.create(self.folder, clear=True, with_pip=True)
        log = self.folder / "pip.log"
        command = [str(self.python), "-I", "-m", "pip", "install", "--disable-pip-version-check", *self.requirements]
        with log.open("w", encoding="utf-8") as output:
            status = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False).returncode
        if status:
            raise UserError(f"pip could not install the peer {self.name} ({', '.join(self.requirements)}); what it said is in {log}")
        ready.touch()

    @contextmanager
    def running(self, script: str, settings: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> Iterator[Measurer]:
        """A script of ``peers/`` at work, in an environment that is made first where it is missing; stopped at the end.

        Args:
          script: file name under ``rlhf_games/cli/bench/peers``. It gets ``settings`` as one JSON argument, and then for every line on
            its standard input writes one JSON object in one line to its standard output; at the end of its input it ends.
          settings: JSON values.
          environment: variables to set beside those of this process.
        """
        self.prepare()
        command = [str(self.python), "-I", str(_SCRIPTS / script), json.dumps(dict(settings))]
        log = self.folder / "stderr.log"
        with log.open("w", encoding="utf-8") as errors:
            variables = {**os.environ, **(environment or {})}
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=variables, text=True)
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                yield Measurer(self.name, process.stdin, process.stdout, log)
            finally:
                process.kill()
                process.communicate()


@dataclass(frozen=True)
class Measurer:
    """A running peer: idle until asked."""

    name: str
    questions: IO[str]
    answers: IO[str]
    log: Path

    def measure(self, question: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Asks for one measurement and waits for it.

        Raises:
          UserError: the peer died or wrote something else; says where its error output is.
        """
        try:
            self.questions.write(json.dumps(dict(question or {})) + "\n")
            self.questions.flush()
            answer = json.loads(self.answers.readline())
        except (OSError, ValueError) as error:
            raise UserError(f"the peer {self.name} stopped; what it said is in {self.log}") from error
        if not isinstance(answer, dict):
            raise UserError(f"the peer {self.name} answered {answer!r} instead of an object; what else it said is in {self.log}")
        return answer


def cache_folder() -> Path:
    """The user's cache folder for this program, as the platform has it; need not exist."""
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "rlhf-games"
