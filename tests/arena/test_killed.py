"""Killed in the middle of judging or coaching: nothing acknowledged is lost, nothing is doubled, and the next session goes on."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from rlhf_games.feedback.answers import Takeover
from rlhf_games.feedback.store import Store

from .killed import kill_often, lines


def test_no_acknowledged_answer_is_lost(store: Store, ask: Any, tmp_path: Path) -> None:
    ids, journal = ask(180), tmp_path / "journal"
    kill_often("judge_process.py", store.name, journal, each=20, seed=1)
    acknowledged = [int(query) for verb, query in lines(journal) if verb == "ack"]
    stored = Counter(answer.query_id for answer in store.answers().answers)
    assert len(acknowledged) > 20
    assert set(acknowledged) <= set(stored), "an acknowledged answer was lost"
    assert max(stored.values()) == 1, "an answer was doubled"
    assert set(stored) <= {int(query) for verb, query in lines(journal) if verb == "try"}
    assert set(store.query_ids(still_wanted=True)) == set(ids) - set(stored)
    store.release("ann")
    assert {query.id for query in store.lease_many("bob", 500)} == set(ids) - set(stored)


def test_no_acknowledged_mark_is_lost(store: Store, tmp_path: Path) -> None:
    """And what it is about can be seen again."""
    journal = tmp_path / "journal"
    kill_often("coach_process.py", store.name, journal, each=12, seed=2)
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
