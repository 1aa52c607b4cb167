"""Several processes on one store, some of them killed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from rlhf_games.feedback.store import Store

from .conftest import asker, draft

ROOT = Path(__file__).parents[2]
POSTER = Path(__file__).with_name("poster.py")
KILLS = 12


class Processes:
    """Talks to ``poster.py``, which forks."""

    def __init__(self, program: subprocess.Popen[str]) -> None:
        self._program = program

    def _say(self, *command: object) -> int:
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        print(json.dumps(command), file=self._program.stdin, flush=True)
        return int(self._program.stdout.readline())

    def post(self, target: str, journal: Path, annotator: str, stop: bool) -> int:
        """Starts an answering process; returns its id."""
        return self._say("post", target, str(journal), annotator, stop)

    def make(self, target: str) -> int:
        """Starts a process that opens (and so makes) the store; returns its id."""
        return self._say("make", target)

    def wait(self, child: int) -> int:
        """The exit status of a process; below 0 the signal that ended it."""
        return self._say("wait", child)


@pytest.fixture(scope="module")
def processes() -> Iterator[Processes]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, str(POSTER)], env=environment, text=True, **pipes) as program:  # type: ignore[call-overload]
        yield Processes(program)


def journal_of(path: Path) -> list[list[str]]:
    """Whole lines only: the process may have been killed in the middle of one."""
    text = path.read_text() if path.exists() else ""
    return [line.split() for line in text.split("\n")[:-1]]


def _leased_to_another(store: Store, wanted: set[int]) -> set[int]:
    """What somebody else gets. A database server may be at the last statement of a killed process for a moment longer."""
    found: set[int] = set()
    deadline = time.monotonic() + 10
    while found != wanted and time.monotonic() < deadline:
        store.release("ann")
        found |= {query.id for query in store.lease_many("bob", len(wanted))}
        time.sleep(0.05)
    return found


def test_a_poster_killed_at_random_moments_loses_and_doubles_nothing(target: str, tmp_path: Path, processes: Processes) -> None:
    chance = random.Random(7)
    journal = tmp_path / "journal"
    with Store.open(target) as store:
        ids = asker(store)(4_000)
        for _ in range(KILLS):
            before = len(journal_of(journal))
            child = processes.post(target, journal, "ann", False)
            deadline = time.monotonic() + 60
            while len(journal_of(journal)) < before + 4 and time.monotonic() < deadline:
                time.sleep(0.002)
            time.sleep(chance.uniform(0, 0.1))
            os.kill(child, signal.SIGKILL)
            assert processes.wait(child) == -signal.SIGKILL, "the poster failed before it was killed"
        lines = journal_of(journal)
        acknowledged = {words[2]: (int(words[1]), int(words[3])) for words in lines if words[0] == "ack"}
        tried = {words[2]: int(words[1]) for words in lines if words[0] == "try"}
        stored = {answer.uuid: answer for answer in store.answers().answers}
        assert len(acknowledged) > KILLS
        for name, (query_id, answer_id) in acknowledged.items():
            assert (stored[name].query_id, stored[name].id) == (query_id, answer_id), "an acknowledged answer was lost or changed"
        assert all(tried[name] == answer.query_id for name, answer in stored.items())
        assert max(Counter(answer.query_id for answer in stored.values()).values()) == 1, "an answer was doubled"
        answered = {answer.query_id for answer in stored.values()}
        assert set(store.query_ids(still_wanted=True)) == set(ids) - answered, "the queue agrees with the log"
        assert _leased_to_another(store, set(ids) - answered) == set(ids) - answered, "what the dead held can be asked again"


def test_four_processes_never_get_the_same_query(target: str, tmp_path: Path, processes: Processes) -> None:
    with Store.open(target) as store:
        ids = asker(store)(240)
        children = [processes.post(target, tmp_path / f"j{index}", f"ann{index}", True) for index in range(4)]
        assert [processes.wait(child) for child in children] == [0] * 4
        page = store.answers()
        assert [answer.id for answer in page.answers] == list(range(1, 241)), "ids are gapless"
        assert sorted(answer.query_id or 0 for answer in page.answers) == ids


def test_eight_threads_leasing_at_once_never_get_the_same_query(target: str) -> None:
    taken: list[int] = []
    errors: list[BaseException] = []
    with Store.open(target) as shared:
        ids = asker(shared)(160)

        def work(name: str) -> None:
            try:
                with Store.open(target, create=False) if name < "ann4" else nullcontext(shared) as store:
                    while True:
                        queries = store.lease_many(name, 3, seconds=600)
                        if not queries:
                            return
                        taken.extend(query.id for query in queries)
                        store.post_answers([draft(query.id, annotator=name) for query in queries[:2]])
            except BaseException as error:
                errors.append(error)
                raise

        threads = [threading.Thread(target=work, args=(f"ann{index}",)) for index in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors
        assert sorted(taken) == ids


def test_a_reader_polling_meanwhile_misses_nothing(target: str, tmp_path: Path, processes: Processes) -> None:
    with Store.open(target) as store:
        asker(store)(150)
        children = [processes.post(target, tmp_path / f"j{index}", f"ann{index}", True) for index in range(3)]
        seen: list[int] = []
        cursor = 0
        deadline = time.monotonic() + 120
        while len(seen) < 150 and time.monotonic() < deadline:
            page = store.answers(cursor)
            cursor = page.cursor
            seen += [answer.id for answer in page.answers]
            time.sleep(0.002)
        assert [processes.wait(child) for child in children] == [0] * 3
        assert seen == list(range(1, 151)), "every answer once, in order"


def test_several_processes_making_one_store_at_once_agree(target: str, processes: Processes) -> None:
    children = [processes.make(target) for _ in range(4)]
    assert [processes.wait(child) for child in children] == [0] * 4
    with Store.open(target, create=False) as store:
        assert [person.name for person in store.annotators()] == ["ann"]
