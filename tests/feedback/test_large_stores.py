"""What a store does as often as people answer costs the same however much it holds. No times are asserted: plans and reads are."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence

import numpy as np
import pytest
import sqlalchemy as sa

from rlhf_games.cli.bench.store import BenchStore, fill
from rlhf_games.core.errors import UserError
from rlhf_games.core.game import GameSpec
from rlhf_games.core.spaces import Discrete, Observation
from rlhf_games.feedback.acquisition import farthest_first
from rlhf_games.feedback.answers import AnswerValue, Demonstration, Evaluation
from rlhf_games.feedback.free_standing import FreeStanding
from rlhf_games.feedback.labels import LabelReader
from rlhf_games.feedback.lessons import LessonReader
from rlhf_games.feedback.store import AnswerDraft, Store
from rlhf_games.replay.clip import Clip, Segment

from .conftest import asker, draft, make_replay


def mark(store: Store, step: int, value: AnswerValue | None = None, **about: str) -> int:
    return store.post_answers([AnswerDraft("ann", value or Evaluation(1.0), 1.0, 2.0, uuid.uuid4().hex, step=step, **about)])[0]


def test_a_lease_looks_up_who_answered_by_question_and_annotator(sqlite_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    asker(sqlite_store)(3)
    said: list[tuple[str, object]] = []
    engine = sqlite_store._writer

    def note(_connection: object, _cursor: object, statement: str, parameters: object, *_rest: object) -> None:
        said.append((statement, parameters))

    sa.event.listen(engine, "before_cursor_execute", note)
    sqlite_store.lease_many("ann", 2)
    sa.event.remove(engine, "before_cursor_execute", note)
    [(statement, parameters)] = [entry for entry in said if "answers.annotator" in entry[0]]
    with engine.connect() as connection:
        plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]  # type: ignore[arg-type]
    assert any("ix_answers_query_id_annotator (query_id=? AND annotator=?)" in line for line in plan), plan
    assert any("ix_queries_still_wanted" in line for line in plan), plan


def test_marks_without_a_replay_are_looked_for_by_themselves(sqlite_store: Store) -> None:
    ids = asker(sqlite_store)(4)
    orphan, other = mark(sqlite_store, 3, episode="lost"), mark(sqlite_store, 3, episode="kept")
    sqlite_store.post_answers([draft(query) for query in ids])
    assert sqlite_store.answers_about([orphan, other]) == ()
    replay = make_replay(5)
    sqlite_store.add_replays([replay])
    sqlite_store.link_episode("kept", replay.id)
    assert [(answer.id, answer.replay_id) for answer in sqlite_store.answers_about([orphan, other])] == [(other, replay.id)]
    sqlite_store.retract(other, "ann")
    assert sqlite_store.answers_about([orphan, other]) == ()


SPEC = GameSpec("probe/none", "1", 1, Observation((3,), "float32", "vector"), Discrete(("a", "b", "c", "d")), 10.0, False, "Made up.")


@pytest.mark.parametrize("reproduces", [True, False])
def test_an_episode_is_played_again_once_for_all_marks_on_it(sqlite_store: Store, reproduces: bool) -> None:
    read: list[Sequence[Clip]] = []

    def reader(clips: Sequence[Clip]) -> None:
        read.append(clips)
        if not reproduces:
            raise UserError("does not reproduce")

    replay = make_replay(5, 300)
    sqlite_store.add_replays([replay])
    free = FreeStanding(sqlite_store, SPEC, "run", 10, reader)
    labels = LabelReader(sqlite_store, "run", free)
    marks = [mark(sqlite_store, step, replay_id=replay.id) for step in (290, 240, 260)]
    labels.poll()
    [[clip]] = read
    [played] = clip.segments
    if not reproduces:
        assert (labels.labels, list(free.refused)) == ((), marks)
        return
    segments = [segment for label in labels.labels for one in label.clips for segment in one.segments]
    assert len(labels.labels) == 3
    assert (played.start, played.stop) == (min(s.start for s in segments), max(s.stop for s in segments))
    mark(sqlite_store, 270, replay_id=replay.id)
    labels.poll()
    assert (len(labels.labels), len(read)) == (4, 1), "what was played already is known to reproduce"
    mark(sqlite_store, 100, replay_id=replay.id)
    labels.poll()
    assert (len(labels.labels), len(read)) == (5, 2)


def test_lessons_wait_for_their_replays_by_themselves(sqlite_store: Store) -> None:
    reader = LessonReader(sqlite_store, SPEC)
    mark(sqlite_store, 0, Demonstration(5), episode="late")
    reader.poll()
    replay = make_replay(5)
    sqlite_store.add_replays([replay])
    sqlite_store.link_episode("late", replay.id)
    reader.poll()
    assert [lesson.clip for lesson in reader.lessons] == [Clip((Segment(replay.id, 0, 5),))]


def test_centres_are_far_from_every_earlier_one_however_many_there_are() -> None:
    earlier = np.concatenate([np.arange(0.0, 200.0)[:, None], [[500.0]]])  # more than are compared together
    chosen, distances = farthest_first(np.array([[10.2], [300.0], [490.0]]), 2, np.random.default_rng(0), earlier)
    assert chosen.tolist() == [1, 2]
    np.testing.assert_allclose(distances, [101.0, 10.0], rtol=1e-9)


def test_the_bench_fills_and_measures_stores(capsys: pytest.CaptureFixture[str]) -> None:
    assert BenchStore(sizes=(3, 1100), json=True).run() == 0
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (first["answers"], second["answers"]) == (3, 1100)
    assert all(value > 0 for value in (*first.values(), *second.values()))
    with pytest.raises(UserError, match="--sizes"):
        BenchStore(sizes=(5, 5)).run()


def test_the_bench_fills_to_what_it_says(sqlite_store: Store) -> None:
    for before, size in ((0, 2), (2, 1003)):
        fill(sqlite_store, before, size)
        progress = sqlite_store.progress()
        assert (progress.answered, progress.open) == (size, 512)
