"""A screen of its own, and somebody at its keyboard: Xvfb and xdotool."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

PATIENCE = 60.0
MISSING = [program for program in ("Xvfb", "xdotool") if shutil.which(program) is None]
NEEDS = f"needs {' and '.join(MISSING)} (apt-get install xvfb xdotool)"


class Desktop:
    """A screen of its own, and somebody at its keyboard."""

    def __init__(self, display: str, home: Path) -> None:
        self.environment = os.environ | {"DISPLAY": display, "SDL_VIDEODRIVER": "x11", "XDG_CONFIG_HOME": str(home)}

    @contextmanager
    def program(self, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        """``rlhf-games WORDS``, until its window is there; ended as a session manager ends it."""
        process = subprocess.Popen([sys.executable, "-m", "rlhf_games", *words], env=self.environment)
        try:
            self.until(self.in_front, process)
            yield process
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 143
        finally:
            process.kill()
            process.wait()

    def press(self, *keys: str) -> None:
        self._do("key", "--delay", "40", *keys)

    def hold(self, key: str, seconds: float) -> None:
        self._do("keydown", key)
        time.sleep(seconds)
        self._do("keyup", key)

    def until(self, there: Callable[[], bool], process: subprocess.Popen[bytes], try_again: Callable[[], None] = lambda: None) -> None:
        deadline = time.monotonic() + PATIENCE
        while not there():
            assert process.poll() is None, "the program ended by itself"
            assert time.monotonic() < deadline, "nothing came of it"
            try_again()
            time.sleep(0.1)

    def in_front(self) -> bool:
        focused = self._do("getwindowfocus").strip()
        return self._do("getwindowname", focused).startswith("rlhf-games") if focused.isdigit() else False

    def _do(self, *words: str) -> str:
        return subprocess.run(["xdotool", *words], env=self.environment, capture_output=True, text=True, check=False).stdout


@contextmanager
def virtual_desktop(home: Path) -> Iterator[Desktop]:
    """Starts one; settings of people go into ``home``."""
    reading, writing = os.pipe()
    # Without -noreset the server begins anew when its last client has left, and refuses whoever comes meanwhile.
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1280x800x24", "-nolisten", "tcp", "-noreset"]
    with subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL) as server:
        os.close(writing)
        with os.fdopen(reading) as pipe:
            number = pipe.readline().strip()
        assert number, "Xvfb did not start"
        yield Desktop(f":{number}", home)
        server.terminate()
