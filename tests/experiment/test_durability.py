"""A learner and an answering process on one store, killed again and again: nothing is lost or doubled, and the numbers are the same."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rlhf_games import workspace
from rlhf_games.experiment.metrics import read_metrics
from rlhf_games.experiment.rundir import RunDirectory
from rlhf_games.feedback.store import Store

from .tiny import flags, settings

ROOT = Path(__file__).parents[2]
ROUNDS = 16
"""In each of them a learner and an answering process are killed: 32 kills."""
ITERATIONS, BUDGET = 24, 96
SETTINGS = settings(
    iterations=ITERATIONS,
    steps=ITERATIONS * 64,
    record__steps=20,
    feedback__budget=BUDGET,
    feedback__schedule="constant",
    feedback__initial=1 / ITERATIONS,
    feedback__query__strategy="disagreement",
    model__trust=0.0,  # so that every iteration learns
)


class Children:
    """Talks to ``children.py``, which forks."""

    def __init__(self, program: subprocess.Popen[str], folder: Path) -> None:
        self._program, self._folder = program, folder

    def _say(self, *command: object) -> int:
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        print(json.dumps(command), file=self._program.stdin, flush=True)
        return int(self._program.stdout.readline())

    def learn(self, run: Path, **changes: str) -> int:
        """Starts the run, or goes on with it where its folder is there."""
        words = ["resume", "--no-window", str(run)] if run.exists() else ["run", "--out", str(run), *flags(SETTINGS)]
        words += [] if run.exists() else [flag for key, value in changes.items() for flag in ("--set", f"feedback.{key}={value}")]
        return self._say("learn", str(self._folder / "learner.log"), *words)

    def teach(self, run: Path) -> int:
        """Starts an answering process on the run's store."""
        names = (run / "store.sqlite", self._folder / "journal", self._folder / "stop")
        return self._say("teach", str(self._folder / "teacher.log"), *map(str, names))

    def wait(self, child: int) -> int:
        """The exit status of a process; below 0 the signal that ended it."""
        return self._say("wait", child)

    def logs(self) -> str:
        """The ends of what the processes said."""
        return "".join(path.read_text()[-4000:] for path in sorted(self._folder.glob("*.log")))


@pytest.fixture
def children(lab: Path, tmp_path: Path) -> Iterator[Children]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), workspace.VARIABLE: str(lab)}
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    program_path = Path(__file__).with_name("children.py")
    with subprocess.Popen([sys.executable, str(program_path)], env=environment, text=True, **pipes) as program:
        yield Children(program, tmp_path)


def checkpoint_of(run: Path) -> int:
    """The newest complete checkpoint, 0 without any."""
    folder = run / "checkpoints"
    return max((int(path.name) for path in folder.iterdir() if path.name.isdigit()), default=0) if folder.exists() else 0


def kill_both(children: Children, learner: int, teacher: int, chance: random.Random) -> None:
    """In random order, with a pause of random length between."""
    for child in chance.sample([learner, teacher], 2):
        os.kill(child, signal.SIGKILL)
        time.sleep(chance.uniform(0, 0.1))
    status = {child: children.wait(child) for child in (learner, teacher)}
    assert set(status.values()) == {-signal.SIGKILL}, f"a process failed before it was killed: {children.logs()}"


def comparable(run: RunDirectory) -> list[dict[str, Any]]:
    lines = read_metrics(run.metrics_path)
    return [{name: value for name, value in line.items() if name != "time" and not name.startswith("seconds/")} for line in lines]


@pytest.mark.timeout(900)  # some 40 s on two idle cores
def test_learner_and_teacher_killed_at_random_moments_lose_and_double_nothing(children: Children, tmp_path: Path) -> None:
    chance = random.Random(5)
    run = tmp_path / "run"
    reached = []
    for number in range(ROUNDS):
        before = checkpoint_of(run)
        learner, teacher = children.learn(run, teacher="human"), children.teach(run)
        deadline = time.monotonic() + 60
        if number % 4 == 0:  # these come to learn something, the others die early: while they start, restore or compile
            while checkpoint_of(run) == before and time.monotonic() < deadline:
                time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.25) if number % 4 == 0 else chance.uniform(0, 1))
        kill_both(children, learner, teacher, chance)
        reached.append(checkpoint_of(run))
    assert reached == sorted(reached), "no kill took back what was reached"
    assert len(set(reached)) >= 3, "some kills fell between iterations that went on from others"
    assert reached[-1] < ITERATIONS, "all kills fell into the run"

    learner, teacher = children.learn(run, teacher="human"), children.teach(run)
    assert children.wait(learner) == 0, children.logs()
    (tmp_path / "stop").touch()
    assert children.wait(teacher) == 0, children.logs()

    check_answers(run, tmp_path / "journal")
    finished = RunDirectory.open(run)
    assert finished.status.state == "finished"
    per_iteration = 64
    assert [line["step"] for line in read_metrics(finished.metrics_path)] == [per_iteration * (i + 1) for i in range(ITERATIONS)]
    assert (finished.summary or {})["answers"] == BUDGET

    undisturbed = tmp_path / "undisturbed"
    assert children.wait(children.learn(undisturbed, teacher="oracle")) == 0, children.logs()
    assert comparable(finished) == comparable(RunDirectory.open(undisturbed)), "being killed changes no number"


def check_answers(run: Path, journal: Path) -> None:
    """Against what the answering processes were told."""
    acknowledged = [line.split() for line in journal.read_text().splitlines()]
    with Store.open(run, create=False) as store:
        stored = {answer.uuid: answer for answer, taken_back in store.history() if taken_back is None}
        assert len(stored) == len(store.query_ids()) == BUDGET
        assert max(Counter(answer.query_id for answer in stored.values()).values()) == 1, "an answer was doubled"
        assert len(acknowledged) == len({name for name, _, _ in acknowledged})
        for name, query_id, answer_id in acknowledged:
            assert (stored[name].query_id, stored[name].id) == (int(query_id), int(answer_id)), "an acknowledged answer was lost"
        assert len(acknowledged) >= BUDGET - 2 * (ROUNDS + 1), "at most the batch at hand of each killed process was not acknowledged"
