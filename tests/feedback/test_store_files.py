"""Files of a store: brought up to date, watched while open, and left alone by who only reads."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from rlhf_games.core.errors import UserError
from rlhf_games.feedback.answers import Demonstration, Evaluation, Preference
from rlhf_games.feedback.schema import SCHEMA_REVISION
from rlhf_games.feedback.store import Store, database

from .conftest import Clock, asker, draft

ROOT = Path(__file__).parents[2]
OLD = Path(__file__).parent / "data" / "store_0001.sql"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A store that revision cd37529 made: four questions, answers of two people, one taken back, one lease, one episode."""
    path = tmp_path / "old.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(OLD.read_text())
        connection.execute("PRAGMA journal_mode=WAL").close()
    return path


def everything(store: Store) -> list[tuple[object, ...]]:
    return [(answer.uuid, answer.annotator, answer.value, answer.query_id, answer.step, at) for answer, at in store.history()]


SAID = [
    ("u1", "ann", Preference("left", 2), 1, None, None),
    ("u2", "teacher:oracle", Preference("equal"), 2, None, 1_000_000.0),
    ("u3", "ann", Evaluation(0.5), None, 9, None),
    ("u4", "ann", Demonstration(20), None, 0, None),
]


def revision(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        return str(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0])


def test_a_store_of_the_first_schema_is_brought_up_to_date(old: Path, clock: Clock) -> None:
    assert revision(old) == "0001"
    with Store.open(old, create=False, clock=clock) as store:
        assert everything(store) == SAID
        assert [query.key for query in store.queries(store.query_ids(session="first"))] == [f"first/{i}" for i in range(4)]
        assert store.query_ids(still_wanted=True) == [2, 3, 4]
        assert [query.id for query in store.lease_many("eve", 9)] == [2, 3], "bob's lease still holds"
        store.release("bob")
        assert [query.id for query in store.lease_many("eve", 9)] == [4], "its process cannot be asked any more"
        assert store.post_answers([draft(4, annotator="eve")]) == [6]
    assert revision(old) == SCHEMA_REVISION
    with Store.open(old, create=False) as store:
        assert everything(store)[:4] == SAID


def test_who_only_reads_changes_nothing_not_even_an_early_schema(old: Path) -> None:
    for mode in ("wal", "delete"):
        with closing(sqlite3.connect(old)) as connection:
            connection.execute(f"PRAGMA journal_mode={mode}").close()
        before, names = old.read_bytes(), sorted(path.name for path in old.parent.iterdir())
        with Store.open(old, create=False, read_only=True) as store:
            assert everything(store) == SAID
            assert store.name == str(old), "not that of the copy that is read"
            assert store.progress().open == 3
            with pytest.raises(UserError, match="cannot be written"):
                store.retract(1, "ann")
        assert old.read_bytes() == before
        assert sorted(path.name for path in old.parent.iterdir()) == names
    assert revision(old) == "0001"
    with pytest.raises(UserError, match="no store here"):
        Store.open(old.parent / "none.sqlite", read_only=True)
    assert not (old.parent / "none.sqlite").exists()


def test_who_only_reads_sees_what_a_writer_has_just_written(tmp_path: Path, clock: Clock) -> None:
    with Store.open(tmp_path / "store.sqlite", clock=clock) as store:
        ids = asker(store)(2)
        for number, query in enumerate(ids, start=1):
            store.post_answers([draft(query)])
            with Store.open(tmp_path / "store.sqlite", create=False, read_only=True) as reader:
                assert len(reader.history()) == number


def test_who_only_reads_waits_for_a_store_that_is_being_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "store.sqlite"
    path.touch()
    monkeypatch.setattr(database, "_MAKING_SECONDS", 0.1)
    with pytest.raises(UserError, match="is empty"):
        Store.open(path, create=False, read_only=True)
    monkeypatch.setattr(database, "_MAKING_SECONDS", 60.0)
    with ThreadPoolExecutor() as pool:
        seen = pool.submit(lambda: Store.open(path, create=False, read_only=True))
        Store.open(path).close()
        with seen.result() as reader:
            assert reader.history() == []


READ = """
import os, sys
from rlhf_games.feedback.store import Store
Store.open(sys.argv[2], create=False, read_only=True).close()  # everything is imported before rights are given up
if os.getuid() == 0:
    os.setuid(65534)
assert not os.access(sys.argv[1], os.W_OK)
with Store.open(sys.argv[1], create=False, read_only=True) as store:
    print(len(store.history()))
"""


@pytest.mark.parametrize("migrated", [False, True])
def test_a_store_is_read_without_the_right_to_write(old: Path, migrated: bool) -> None:
    if migrated:
        Store.open(old).close()
    place = Path(tempfile.mkdtemp(dir="/tmp"))
    shutil.copy(old, place / "store.sqlite")
    (place / "store.sqlite").chmod(0o444)
    place.chmod(0o555)
    try:
        done = subprocess.run(
            [sys.executable, "-c", READ, str(place / "store.sqlite"), str(old)],
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            check=False,
        )
    finally:
        place.chmod(0o755)
        shutil.rmtree(place)
    assert (done.returncode, done.stdout.strip()) == (0, "4"), done.stderr


@pytest.mark.parametrize("tables", [["recipes"], ["recipes", "alembic_version (version_num)"]])
@pytest.mark.parametrize("read_only", [False, True])
def test_another_programs_database_is_refused_and_stays_as_it_is(tmp_path: Path, tables: list[str], read_only: bool) -> None:
    path = tmp_path / "recipes.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        for table in tables:
            connection.execute(f"CREATE TABLE {table if '(' in table else table + ' (id INTEGER)'}")
            connection.execute(f"INSERT INTO {table.partition(' ')[0]} VALUES ('0001')")
    before = path.read_bytes()
    with pytest.raises(UserError, match="belongs to something else"):
        Store.open(path, create=False, read_only=read_only)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["recipes.sqlite"]


def test_a_store_that_is_deleted_while_open_takes_no_answer(sqlite_store: Store, tmp_path: Path) -> None:
    ids = asker(sqlite_store)(3)
    sqlite_store.post_answers([draft(ids[0])])
    for path in tmp_path.glob("store.sqlite*"):
        path.rename(tmp_path / f"away-{path.name}")
    acts: list[Callable[[], object]] = [
        lambda: sqlite_store.post_answers([draft(ids[1])]),
        sqlite_store.answers,
        lambda: sqlite_store.undo_last("ann"),
    ]
    for act in acts:
        with pytest.raises(UserError, match="deleted, moved or replaced"):
            act()
    assert not (tmp_path / "store.sqlite").exists(), "an empty file in its place would hide the loss"
    for path in tmp_path.glob("away-*"):
        path.rename(tmp_path / path.name.removeprefix("away-"))
    assert sqlite_store.post_answers([draft(ids[1])]) == [2]


def test_a_store_that_is_replaced_while_open_takes_no_answer(sqlite_store: Store, tmp_path: Path) -> None:
    ids = asker(sqlite_store)(1)
    for path in tmp_path.glob("store.sqlite*"):
        path.unlink()
    with Store.open(tmp_path / "store.sqlite") as other:
        asker(other)(1)
        with pytest.raises(UserError, match="deleted, moved or replaced"):
            sqlite_store.post_answers([draft(ids[0])])
        assert other.history() == []


def test_two_windows_of_one_person_show_different_questions(target: str) -> None:
    with Store.open(target) as first, Store.open(target) as second:
        ids = asker(first)(4)
        mine = [query.id for query in first.lease_many("ann", 2)]
        second.release("ann")  # as a window does when it opens
        theirs = [query.id for query in second.lease_many("ann", 9)]
        assert (mine, theirs) == (ids[:2], ids[2:])
        assert second.renew("ann", ids) == ids[2:], "each keeps its own"
        second.release("ann", ids)
        assert second.lease("bob", only=ids[:2]) is None
        assert first.renew("ann", ids) == ids[:2]


PASSES_BY = """
import sys
from rlhf_games.feedback.store import Store
with Store.open(sys.argv[1], create=False) as store:
    print(len(store.history()))
"""


def test_opening_a_store_a_second_time_takes_no_lock_from_the_first(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "store.sqlite"

    def pass_by() -> int:
        done = subprocess.run(
            [sys.executable, "-c", PASSES_BY, str(path)], env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True, capture_output=True
        )
        return int(done.stdout)

    with Store.open(path, clock=clock) as first:
        ids = asker(first)(2)
        first.post_answers([draft(ids[0])])
        for read_only in (False, True):
            with Store.open(path, create=False, read_only=read_only) as second:
                assert len(second.history()) == 1
        assert pass_by() == 1, "and it closes the store, which it must not take for the last time"
        first.post_answers([draft(ids[1])])
        assert pass_by() == 2, "what was acknowledged is there for everybody"


DIES = """
import os, sys
from rlhf_games.feedback.store import Store
Store.open(sys.argv[1]).lease_many("ann", 2, seconds=3_000)
os._exit(0)
"""


def test_what_a_process_held_that_died_is_free_at_once(target: str) -> None:
    with Store.open(target) as store:
        ids = asker(store)(2)
        subprocess.run([sys.executable, "-c", DIES, target], env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True)
        assert store.lease("ann") is None
        store.release("ann")
        assert [query.id for query in store.lease_many("ann", 2)] == ids


def test_a_lease_by_a_clock_that_was_ahead_holds_nobody_up(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "store.sqlite"
    day = 86_400.0
    with Store.open(path, clock=clock) as store, Store.open(path, clock=lambda: clock.now + day) as ahead:
        asker(store)(1)
        assert ahead.lease("eve") is not None
        assert store.progress().leased == 0
        assert store.lease("ann") is not None
        assert store.progress().leased == 1
