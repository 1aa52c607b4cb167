"""``run --teacher human``: the window and the learner, each survives the other; without a screen nothing begins."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rlhf_games.cli.main import main
from rlhf_games.cli.run import Resume, Run
from rlhf_games.cli.window import Window
from rlhf_games.experiment.files import load_experiment
from rlhf_games.experiment.runner import create_run
from rlhf_games.feedback.store import Store

from .desktop import MISSING, NEEDS, PATIENCE, Desktop, virtual_desktop

SMALL = [
    *("name=small", "game.name=minatar/breakout", "rollout.games=4", "rollout.steps=16", "record.lanes=2", "record.steps=60"),
    *("agent.config.minibatches=2", "agent.config.epochs=1", "agent.config.hidden=[8]", "model.network.hidden=[8]", "model.members=2"),
    *("feedback.budget=12", "feedback.query.clip_length=5", "feedback.initial=1.0", "steps=100000000", "iterations=10000"),
    "reward.true=1.0",
]


@pytest.fixture(scope="module")
def desktop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desktop]:
    with virtual_desktop(tmp_path_factory.mktemp("home")) as made:
        yield made


def until(there: Callable[[], bool], try_again: Callable[[], None] = lambda: None) -> None:
    deadline = time.monotonic() + 2 * PATIENCE
    while not there():
        assert time.monotonic() < deadline, "nothing came of it"
        try_again()
        time.sleep(0.2)


def answers(run: Path) -> int:
    if not (run / "store.sqlite").exists():
        return 0
    with Store.open(run) as store:
        return len(store.history())


def pid_in_front(desktop: Desktop) -> int:
    words = subprocess.run(
        ["xdotool", "getwindowfocus", "getwindowpid"], env=desktop.environment, capture_output=True, text=True, check=False
    )
    return int(words.stdout) if words.stdout.strip().isdigit() else 0


def resume(desktop: Desktop, run: Path, annotator: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "rlhf_games", "resume", str(run), "--annotator", annotator]
    return subprocess.Popen(command, env=desktop.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.fixture
def learner(desktop: Desktop, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A run with a window, in a folder of its own."""
    flags = [word for setting in SMALL for word in ("--set", setting)]
    command = [
        sys.executable,
        "-m",
        "rlhf_games",
        "run",
        "--out",
        str(tmp_path / "run"),
        "--teacher",
        "human",
        "--annotator",
        "ann",
        *flags,
    ]
    process = subprocess.Popen(command, env=desktop.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    yield process
    process.kill()
    process.communicate()


@pytest.fixture
def window_pid(desktop: Desktop, learner: subprocess.Popen[str]) -> Iterator[int]:
    """The window's process, once it is in front."""

    until(lambda: pid_in_front(desktop) > 0 and desktop.in_front())
    found = pid_in_front(desktop)
    assert found != learner.pid
    yield found
    with contextlib.suppress(ProcessLookupError):
        os.kill(found, signal.SIGKILL)


@pytest.mark.skipif(bool(MISSING), reason=NEEDS)
def test_the_learner_survives_the_window_and_the_window_the_learner(
    desktop: Desktop, learner: subprocess.Popen[str], window_pid: int, tmp_path: Path
) -> None:
    """One run through both: to start a learner and its window is most of the work."""
    run = tmp_path / "run"
    until(lambda: answers(run) >= 2, lambda: desktop.press("Left"))
    learner_goes_on_alone(learner, window_pid, run)
    again = resume(desktop, run, "ann")
    try:
        until(lambda: desktop.in_front() and pid_in_front(desktop) not in (0, window_pid))
        second = pid_in_front(desktop)
    finally:
        again.kill()
        again.communicate()
    window_goes_on_alone(desktop, second, run)


def learner_goes_on_alone(learner: subprocess.Popen[str], window: int, run: Path) -> None:
    """The window is closed, the learner goes on, and says how to open the window again when it is stopped."""
    metrics = run / "metrics.jsonl"
    until(lambda: metrics.stat().st_size > 0)
    os.kill(window, signal.SIGTERM)
    until(lambda: not Path(f"/proc/{window}").exists())
    size = metrics.stat().st_size
    until(lambda: metrics.stat().st_size > size)
    assert learner.poll() is None
    learner.send_signal(signal.SIGINT)
    said, _ = learner.communicate(timeout=PATIENCE)
    assert learner.returncode == 130
    assert f"rlhf-games arena {run}" in " ".join(said.split()), "how to open it again"


def window_goes_on_alone(desktop: Desktop, window: int, run: Path) -> None:
    """The learner was killed, the window takes answers, and a learner that comes back opens no other."""
    try:
        before = answers(run)
        until(lambda: answers(run) >= before + 2, lambda: desktop.press("Right"))
        again = resume(desktop, run, "ann")
        assert again.stdout is not None
        assert any("still open" in line for line in again.stdout), "a second window would be one too many"
        again.kill()
        again.communicate()
    finally:
        os.kill(window, signal.SIGTERM)
    with Store.open(run) as store:
        until(lambda: store.progress().leased == 0)
        assert {answer.annotator for answer, _ in store.history()} == {"ann"}


def test_resuming_opens_no_window_without_being_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str | None] = []
    monkeypatch.setattr("rlhf_games.cli.run._execute", lambda *_, window_for=None, back_to=None: opened.append(window_for) or 0)
    monkeypatch.setattr("rlhf_games.cli.window.check_display", lambda: None)
    for name, teacher in (("human", "human"), ("oracle", "oracle")):
        create_run(load_experiment("demo", [f'feedback.teacher="{teacher}"']), tmp_path / name)
    for folder, flags in (("human", {}), ("human", {"annotator": "bob"}), ("human", {"no_window": True}), ("oracle", {})):
        Resume(tmp_path / folder, **flags).run()  # type: ignore[arg-type]
    assert opened == ["", "bob", None, None]


@pytest.mark.parametrize("display", ["", ":4711"])
def test_without_a_screen_nothing_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], display: str
) -> None:
    for name in ("SDL_VIDEODRIVER", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DISPLAY", display)
    assert main(["run", "--teacher", "human", "--out", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err
    assert "no screen" in said
    assert "--no-window" in said
    assert not (tmp_path / "run").exists()


def test_what_the_flags_mean() -> None:
    human = Run(set=("feedback.budget=3",), teacher="human")._changes()
    assert human == ['feedback.mode="async"', "feedback.budget=3", 'feedback.teacher="human"']
    assert Run(set=("feedback.budget=3",))._changes() == ["feedback.budget=3"]
    assert Run(teacher="oracle")._changes() == ['feedback.teacher="oracle"']


def test_a_record_is_found_from_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    Store.open(tmp_path / "first.sqlite").close()
    monkeypatch.chdir(tmp_path)
    assert Run(teacher="recorded:first.sqlite")._changes() == [f'feedback.teacher="recorded:{tmp_path / "first.sqlite"}"']
    assert main(["run", "--teacher", "recorded:nowhere", "--out", "run"]) == 2
    assert "nowhere" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_window_that_cannot_open_is_told_and_nothing_else_happens(tmp_path: Path) -> None:
    said: list[str] = []
    window = Window(tmp_path, "", said.append)  # there is no run: the window ends with an error
    until(lambda: bool(said))
    assert not window.is_open
    assert "arena.log" in said[0]
    assert "store.sqlite" in (tmp_path / "arena.log").read_text()
