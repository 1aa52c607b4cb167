"""Migrations, strangers' databases and damaged rows."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rlhf_games.feedback.migrations as migrations
from rlhf_games.core.errors import UserError
from rlhf_games.feedback.labels import LabelReader
from rlhf_games.feedback.schema import SCHEMA_REVISION, metadata
from rlhf_games.feedback.store import Store
from rlhf_games.feedback.store.database import open_engine, parse_target

from .conftest import NO_POSTGRES, POSTGRES, asker, draft, make_replay


def test_the_migrations_make_exactly_the_tables_of_the_schema(target: str) -> None:
    reader, _ = open_engine(parse_target(target).url, create=True)
    with reader.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        assert connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalars().all() == [SCHEMA_REVISION]
        indexes = {index["name"] for index in sa.inspect(connection).get_indexes("queries")}
    assert "ix_queries_still_wanted" in indexes
    reader.dispose()
    config = Config()
    config.set_main_option("script_location", str(Path(str(migrations.__file__)).parent))
    assert ScriptDirectory.from_config(config).get_heads() == [SCHEMA_REVISION]


def test_opening_again_changes_nothing(target: str) -> None:
    with Store.open(target) as store:
        ids = asker(store)(2)
        store.post_answers([draft(ids[0])])
        page = store.answers()
    with Store.open(target) as store:
        assert store.answers() == page
        assert store.query_ids() == ids


def test_a_store_of_a_newer_schema_is_refused(target: str) -> None:
    with Store.open(target):
        pass
    reader, writer = open_engine(parse_target(target).url, create=False)
    with writer.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    reader.dispose()
    with pytest.raises(UserError, match=f"schema 9999, newer than {SCHEMA_REVISION}.*update rlhf-games"):
        Store.open(target)


@pytest.mark.skipif(POSTGRES not in os.environ, reason=NO_POSTGRES)
@pytest.mark.parametrize("target", ["postgresql"], indirect=True)
def test_who_only_reads_changes_nothing_on_postgresql(target: str) -> None:
    with pytest.raises(UserError, match="is empty"):
        Store.open(target, read_only=True)
    with Store.open(target) as store:
        store.register("ann")
    with Store.open(target, create=False, read_only=True) as reader:
        assert [person.name for person in reader.annotators()] == ["ann"]
        with pytest.raises(UserError, match=r"cannot be written.*read-only transaction"):
            reader.register("bob")
    engine = sa.create_engine(sa.make_url(target).set(drivername="postgresql+psycopg"))
    for schema, words in (("0001", f"schema 0001, older than {SCHEMA_REVISION}.*only read here"), ("9999", "9999, newer than")):
        with engine.begin() as connection:
            connection.execute(sa.text("UPDATE alembic_version SET version_num = :schema"), {"schema": schema})
        with pytest.raises(UserError, match=words):
            Store.open(target, create=False, read_only=True)
        with engine.connect() as connection:
            assert connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar() == schema
    engine.dispose()


def test_sqlite_is_opened_for_durability(tmp_path: Path) -> None:
    reader, writer = open_engine(parse_target(tmp_path / "store.sqlite").url, create=True)
    for engine in (reader, writer):
        with engine.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
            assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    reader.dispose()


def test_what_is_no_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no store here"):
        Store.open(tmp_path / "none.sqlite", create=False)
    with pytest.raises(UserError, match="does not exist; make it first"):
        Store.open(tmp_path / "a" / "b.sqlite")
    (tmp_path / "text.sqlite").write_text("no database, but long enough to look at" * 40)
    with pytest.raises(UserError, match=r"text\.sqlite"):
        Store.open(tmp_path / "text.sqlite")
    with closing(sqlite3.connect(tmp_path / "other.sqlite")) as connection:
        connection.execute("CREATE TABLE recipes (id INTEGER)")
    with pytest.raises(UserError, match="belongs to something else"):
        Store.open(tmp_path / "other.sqlite")
    (tmp_path / "empty.sqlite").touch()
    with pytest.raises(UserError, match="empty"):
        Store.open(tmp_path / "empty.sqlite", create=False)
    with pytest.raises(UserError, match="cannot be used"):
        Store.open("postgresql://nobody@127.0.0.1:1/none")


def test_targets(tmp_path: Path) -> None:
    assert parse_target(tmp_path).url.database == str(tmp_path / "store.sqlite")
    assert parse_target(tmp_path / "x.db").url.database == str(tmp_path / "x.db")
    assert parse_target(f"sqlite:///{tmp_path}/x.db").url.drivername == "sqlite+pysqlite"
    assert parse_target("postgresql://a@b/c").url.drivername == "postgresql+psycopg"
    for wrong in ("mysql://a/b", "sqlite://", "sqlite:///:memory:", "http://", "://"):
        with pytest.raises(UserError):
            parse_target(wrong)


def read_everything(store: Store) -> None:
    store.queries(store.query_ids())
    store.answers()
    store.history()
    store.annotators()
    store.replays(store.replay_ids())
    LabelReader(store).poll()


def damage(path: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA foreign_keys=OFF")
        connection.execute("PRAGMA ignore_check_constraints=ON")
        connection.execute(statement, values)


@pytest.fixture
def full(tmp_path: Path) -> Callable[[], Path]:
    """Makes stores with a query and an answer, each in a file of its own."""
    template = tmp_path / "template.sqlite"
    with Store.open(template) as store:
        ids = asker(store)(1)
        store.post_answers([draft(ids[0])])
    count = 0

    def make() -> Path:
        nonlocal count
        count += 1
        path = tmp_path / f"copy{count}.sqlite"
        with closing(sqlite3.connect(template)) as source, closing(sqlite3.connect(path)) as copy:
            source.backup(copy)
        return path

    return make


FIELDS = [
    ("queries", "kind"),
    ("queries", "display"),
    ("queries", "acquisition"),
    ("queries", "iteration"),
    ("queries", "session"),
    ("queries", "posted_at"),
    ("queries", "wanted"),
    ("answers", "payload"),
    ("answers", "kind"),
    ("answers", "display"),
    ("answers", "shown_at"),
    ("answers", "uuid"),
    ("clips", "json"),
    ("replays", "data"),
    ("annotators", "details"),
    ("annotators", "since"),
]
rubbish = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),  # SQLite stores NaN as NULL, which these fields refuse
    st.text(max_size=20),
    st.binary(max_size=20),
    st.sampled_from(['{"choice": "up"}', '{"choice":"left","strength":9}', "[0,0]", "[1]", "[]", "{}", "null", "NaN", "[[]]", "[" * 5000]),
).filter(lambda value: not isinstance(value, str) or value.isprintable())


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(FIELDS), rubbish)
def test_a_damaged_row_is_read_as_valid_or_refused_by_table_and_field(
    full: Callable[[], Path], place: tuple[str, str], value: object
) -> None:
    table, field = place
    path = full()
    damage(path, f"UPDATE {table} SET {field} = ?", value)
    with Store.open(path, create=False) as store:
        try:
            read_everything(store)
        except UserError as error:
            # The kind decides how the payload is read, so damage to one may show in the other; labels need a preference.
            assert any(word in str(error) for word in (f"table {table}", "no preference about query"))
            assert any(word in str(error) for word in (f"field {field}", "field payload", "field clips", "no preference about query"))


def test_examples_of_damage(full: Callable[[], Path]) -> None:
    for statement, message in [
        ('UPDATE answers SET payload = \'{"choice": "up"}\'', r"table answers, row 1, field payload: Preference\.choice"),
        ("UPDATE queries SET display = '[0, 0]'", "table queries, row 1, field display"),
        ("UPDATE query_clips SET place = 5 WHERE place = 0", "table queries, row 1, field clips"),
        ("DELETE FROM query_clips WHERE place = 1", "table queries, row 1, field kind"),
        ("UPDATE replays SET data = x'00ff'", "table replays, row '[0-9a-f]+', field data"),
        ("UPDATE clips SET json = '[]'", "table clips, row '[0-9a-f]+', field json"),
        ("UPDATE annotators SET details = '3'", "table annotators, row 'ann', field details"),
    ]:
        path = full()
        damage(path, statement)
        with Store.open(path, create=False) as store, pytest.raises(UserError, match=message):
            read_everything(store)


def test_a_replay_under_another_replays_name_is_refused(full: Callable[[], Path]) -> None:
    path = full()
    damage(path, "UPDATE replays SET data = ?", make_replay(77).to_bytes())
    with Store.open(path, create=False) as store, pytest.raises(UserError, match="field id: the data is replay"):
        read_everything(store)
