"""Killed in the middle of judging: no acknowledged answer is lost, none is doubled, and the next session goes on."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from rlhf_games.feedback.store import Store

PERSON = Path(__file__).with_name("judge_process.py")
KILLS = 3


def lines(path: Path) -> list[list[str]]:
    """Whole lines only."""
    return [line.split() for line in path.read_text().split("\n")[:-1]] if path.exists() else []


def test_no_acknowledged_answer_is_lost(store: Store, ask: Any, tmp_path: Path) -> None:
    chance = random.Random(1)
    ids = ask(180)
    journal = tmp_path / "journal"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    for _ in range(KILLS):
        before = len(lines(journal))
        process = subprocess.Popen([sys.executable, str(PERSON), store.name, str(journal)], env=environment)
        deadline = time.monotonic() + 120
        while len(lines(journal)) < before + 20 and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "it failed before it was killed"
    acknowledged = [int(query) for verb, query in lines(journal) if verb == "ack"]
    stored = Counter(answer.query_id for answer in store.answers().answers)
    assert len(acknowledged) > 20
    assert set(acknowledged) <= set(stored), "an acknowledged answer was lost"
    assert max(stored.values()) == 1, "an answer was doubled"
    assert set(stored) <= {int(query) for verb, query in lines(journal) if verb == "try"}
    assert set(store.query_ids(still_wanted=True)) == set(ids) - set(stored)
    store.release("ann")
    assert {query.id for query in store.lease_many("bob", 500)} == set(ids) - set(stored)
