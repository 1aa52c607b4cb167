"""Killed in the middle of an episode: no acknowledged mark is lost, none is doubled, and what it is about can be seen again."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from rlhf_games.feedback.answers import Takeover
from rlhf_games.feedback.store import Store

from .test_killed import lines

COACH = Path(__file__).with_name("coach_process.py")
KILLS = 3


def test_no_acknowledged_mark_is_lost(store: Store, tmp_path: Path) -> None:
    chance = random.Random(2)
    journal = tmp_path / "journal"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(str(Path(__file__).parents[up]) for up in (2, 1))}
    for _ in range(KILLS):
        before = len(lines(journal))
        process = subprocess.Popen([sys.executable, str(COACH), store.name, str(journal)], env=environment)
        deadline = time.monotonic() + 120
        while len(lines(journal)) < before + 12 and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "it failed before it was killed"
    acknowledged = [uuid for _, uuid in lines(journal)]
    assert len(acknowledged) > 12
    history = [answer for answer, _ in store.history()]
    assert set(acknowledged) <= {answer.uuid for answer in history}, "an acknowledged mark was lost"
    assert len({answer.uuid for answer in history}) == len(history)
    for answer in store.answers().answers:
        assert answer.replay_id is not None, "a mark without its episode"
        assert answer.step is not None
        length = answer.value.length if isinstance(answer.value, Takeover) else 1
        assert answer.step + length <= store.replay(answer.replay_id).length
        assert not isinstance(answer.value, Takeover) or store.replay(answer.value.instead).length == answer.step + length
