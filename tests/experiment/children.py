"""Learners and answering processes that a test may kill.

Run as a program it imports once (without starting JAX's backend, which must not be forked) and then forks on command, so that a process
starts in no time. A command is one line of JSON on its input: ``["learn", log, ...]`` runs the command line ``rlhf-games ...``,
``["teach", log, store, journal, stop]`` answers until the file ``stop`` is there; both print the process's id.
``["wait", id]`` prints its exit status.

After an answer's post has returned, the answering process writes ``UUID QUERY ANSWER`` into its journal.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

import alembic.command  # noqa: F401 - before forking

import rlhf_games.cli.progress
import rlhf_games.cli.run
import rlhf_games.experiment.runner  # noqa: F401
from rlhf_games.cli.main import main
from rlhf_games.experiment import loop, metrics  # noqa: F401
from rlhf_games.feedback.store import AnswerDraft, Store
from rlhf_games.feedback.teachers import PRESETS, GameRewards, Teacher
from rlhf_games.workspace import load_agent, load_game


class JournalStore(Store):
    """Writes down what was acknowledged."""

    journal: int

    def post_answers(self, drafts: Sequence[AnswerDraft]) -> list[int]:
        ids = super().post_answers(drafts)
        lines = [f"{draft.uuid} {draft.query_id} {answer}\n" for draft, answer in zip(drafts, ids, strict=True)]
        os.write(self.journal, "".join(lines).encode())
        return ids


def teach(target: str, journal: str, stop: str) -> int:
    while not Path(target).exists():
        time.sleep(0.01)
    JournalStore.journal = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with JournalStore.open(target) as store:
        teacher = Teacher(store, PRESETS["oracle"], GameRewards(store, load_game), "ann", lease_seconds=600)
        while not Path(stop).exists():
            if not teacher.answer_pending(2):
                time.sleep(0.01)
    return 0


def work(verb: str, log: str, words: list[str]) -> None:
    """What a forked process does; never returns."""
    status = 1
    try:
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        status = teach(*words) if verb == "teach" else main(words)
    except BaseException:  # noqa: BLE001 - a forked process must not go on as its parent
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def serve() -> None:
    """Reads commands until the input ends."""
    from jax._src import xla_bridge  # noqa: TID251 - the only place that says whether a backend runs

    loop.POLL_SECONDS = 0.02
    load_game("probe/match")
    load_agent("ppo")
    assert not xla_bridge._backends, "a process that runs a backend must not fork"
    gc.collect()
    gc.freeze()  # what was imported stays: no process looks through it for garbage, which would also copy it
    gc.set_threshold(50_000, 20, 50)
    for line in sys.stdin:
        verb, *values = json.loads(line)
        if verb == "wait":
            _, status = os.waitpid(values[0], 0)
            print(os.waitstatus_to_exitcode(status), flush=True)
            continue
        child = os.fork()
        if child == 0:
            work(verb, values[0], values[1:])
        print(child, flush=True)


if __name__ == "__main__":
    serve()
