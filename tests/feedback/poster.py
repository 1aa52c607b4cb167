"""Processes that answer queries until they are killed.

Run as a program it imports once and then forks on command, so that starting a process costs milliseconds. A command is one line of
JSON on its input: ``["post", store, journal, annotator, stop_when_empty]`` and ``["make", store]`` start a process and print its id,
``["wait", id]`` prints its exit status.

Before a post the journal gets ``try QUERY UUID``, after the post returned ``ack QUERY UUID ANSWER``. At its start a process posts the
tries without ack again, as a client does that does not know whether its post arrived. Every fourth post is a batch of three.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
import uuid
from pathlib import Path

import alembic.command  # noqa: F401 - before forking

from rlhf_games.feedback.answers import Preference
from rlhf_games.feedback.store import AnswerDraft, Query, Store


def answer_queries(target: str, journal: Path, annotator: str, stop: bool) -> None:
    earlier = [line.split() for line in journal.read_text().splitlines()] if journal.exists() else []
    acknowledged = {words[2] for words in earlier if words[0] == "ack"}
    out = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with Store.open(target, create=False) as store:
        pending = [words for words in earlier if words[0] == "try" and words[2] not in acknowledged]
        post(store, out, annotator, [(int(words[1]), words[2]) for words in pending])
        store.release(annotator)
        count = 0
        while True:
            count += 1
            queries: list[Query] = store.lease_many(annotator, 3 if count % 4 == 0 else 1, seconds=600)
            if not queries and stop:
                return
            if not queries:
                time.sleep(0.01)
            post(store, out, annotator, [(query.id, str(uuid.uuid4())) for query in queries])


def post(store: Store, out: int, annotator: str, answers: list[tuple[int, str]]) -> None:
    os.write(out, "".join(f"try {query} {name}\n" for query, name in answers).encode())
    drafts = [AnswerDraft(annotator, Preference("left"), 1.0, 2.0, name, query_id=query) for query, name in answers]
    ids = store.post_answers(drafts)
    os.write(out, "".join(f"ack {query} {name} {answer}\n" for (query, name), answer in zip(answers, ids, strict=True)).encode())


def serve() -> None:
    """Reads commands until the input ends."""
    for line in sys.stdin:
        verb, *values = json.loads(line)
        if verb == "wait":
            _, status = os.waitpid(values[0], 0)
            print(os.waitstatus_to_exitcode(status), flush=True)
            continue
        child = os.fork()
        if child == 0:
            work(verb, values)
        print(child, flush=True)


def work(verb: str, values: list[str]) -> None:
    """What a forked process does; never returns."""
    status = 1
    try:
        if verb == "post":
            target, journal, annotator, stop = values
            answer_queries(target, Path(journal), annotator, bool(stop))
        else:
            with Store.open(values[0]) as store:
                store.register("ann")
        status = 0
    except Exception:  # noqa: BLE001 - a forked process must not go on as its parent
        traceback.print_exc()
    finally:
        os._exit(status)


if __name__ == "__main__":
    serve()
