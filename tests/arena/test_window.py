"""The real program in a real window: keys by xdotool, and then a look into the store."""

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

import numpy as np
import pytest

from rlhf_games.feedback.answers import Demonstration, Preference
from rlhf_games.feedback.store import QueryDraft, Store
from rlhf_games.replay.clip import Clip, Segment
from rlhf_games.replay.recorder import SessionRecorder
from rlhf_games.replay.simulate import simulate
from rlhf_games.workspace import load_game

PATIENCE = 60.0
missing = [program for program in ("Xvfb", "xdotool") if shutil.which(program) is None]
pytestmark = pytest.mark.skipif(bool(missing), reason=f"needs {' and '.join(missing)} (apt-get install xvfb xdotool)")


class Desktop:
    """A screen of its own, and somebody at its keyboard."""

    def __init__(self, display: str, home: Path) -> None:
        self._environment = os.environ | {"DISPLAY": display, "SDL_VIDEODRIVER": "x11", "XDG_CONFIG_HOME": str(home)}

    @contextmanager
    def program(self, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        """``rlhf-games WORDS``, until its window is there; ended as a session manager ends it."""
        process = subprocess.Popen([sys.executable, "-m", "rlhf_games", *words], env=self._environment)
        try:
            self.until(self._in_front, process)
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

    def _in_front(self) -> bool:
        focused = self._do("getwindowfocus").strip()
        return self._do("getwindowname", focused).startswith("rlhf-games") if focused.isdigit() else False

    def _do(self, *words: str) -> str:
        return subprocess.run(["xdotool", *words], env=self._environment, capture_output=True, text=True, check=False).stdout


@pytest.fixture(scope="module")
def desktop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desktop]:
    reading, writing = os.pipe()
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1280x800x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL) as server:
        os.close(writing)
        with os.fdopen(reading) as pipe:
            number = pipe.readline().strip()
        assert number, "Xvfb did not start"
        yield Desktop(f":{number}", tmp_path_factory.mktemp("home"))
        server.terminate()


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Store]:
    """Ten questions about MinAtar Breakout."""
    game, rng = load_game("minatar/breakout"), np.random.default_rng(0)
    session = game.open(3)
    recorder = SessionRecorder(session, 3, player=("agent",))
    while not session.timestep.terminated:
        recorder.step(rng.integers(0, 3, 1).astype(np.int32))
    replay = recorder.replay()
    with Store.open(tmp_path / "store.sqlite") as store:
        store.add_replays([replay])
        clips = [Clip((Segment(replay.id, 0, length),)) for length in range(3, min(8, replay.length))]
        pairs = [(a, b) for a in clips for b in clips if a != b][:10]
        store.post_queries([QueryDraft("preference", pair) for pair in pairs])
        yield store


def test_judging_in_a_real_window(desktop: Desktop, asked: Store) -> None:
    keys = ["Left", "Right", "shift+Right", "Down", "Up", "shift+Left"]
    with desktop.program("judge", asked.name, "--annotator", "ann") as process:
        for number, key in enumerate(keys):
            pressed = [desktop.press(key)] if number else []  # the first pair may take a while: its key is pressed until it counts
            again = (lambda: None) if pressed else (lambda key=key: desktop.press(key))  # type: ignore[misc]
            desktop.until(lambda number=number: asked.progress().answered > number, process, again)  # type: ignore[misc]
            time.sleep(0.2)
        desktop.press("BackSpace")
        desktop.until(lambda: asked.progress().retracted == 1, process)
    values = [answer.value for answer in asked.answers().answers]
    said = [Preference("right"), Preference("right", 2), Preference("equal"), Preference("unsure")]
    assert [value for value in values if value != Preference("left")] == said
    assert values[0] == Preference("left")
    assert {answer.annotator for answer in asked.answers().answers} == {"ann"}
    assert asked.progress().leased == 0, "given back when the program was told to end"
    assert len({answer.query_id for answer in asked.answers().answers}) == len(values)


@pytest.mark.parametrize(("game", "held"), [("minatar/breakout", "Right"), ("atari/pong", "Right")])
def test_playing_in_a_real_window(desktop: Desktop, tmp_path: Path, game: str, held: str) -> None:
    plays = tmp_path / "plays.sqlite"
    with desktop.program("play", game, "--store", str(plays), "--annotator", "ann") as process:

        def play_and_keep() -> None:
            desktop.hold(held, 0.8)
            desktop.press("Return")  # where the game is over already; else it is stopped first
            desktop.press("r")
            desktop.press("Return")
            time.sleep(0.5)

        desktop.until(lambda: bool(plays.exists() and kept(plays)), process, play_and_keep)
    [replay, *_] = kept(plays)
    assert replay.player == ("ann",)
    assert (held.lower(), True) in {(key, down) for _, key, down in replay.key_events}
    spec = load_game(game).spec
    assert spec.keys[held.lower()] in replay.actions[:, 0].tolist(), "the held key was played"
    [track] = simulate(load_game(game), [replay], observations=False)
    assert len(track.reward) == replay.length, "and the episode reproduces"
    with Store.open(plays) as store:
        answers = store.answers().answers
    assert [answer.value for answer in answers if answer.replay_id == replay.id] == [Demonstration(replay.length)]


def kept(plays: Path) -> list:  # type: ignore[type-arg]
    with Store.open(plays) as store:
        return list(store.replays(store.replay_ids()).values())
