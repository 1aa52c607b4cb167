"""Opening a store: which database, how durable, which schema.

SQLite runs in WAL mode with ``synchronous=FULL``: a commit returns when the log is on the disk, readers never block writers. Every
writing transaction begins with ``BEGIN IMMEDIATE``, so that it can wait for its turn but never fails half-way. PostgreSQL runs with
``synchronous_commit=on``.
"""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from rlhf_games.core.errors import UserError
from rlhf_games.feedback.schema import SCHEMA_REVISION, log_head

BUSY_SECONDS = 60.0
"""How long a writer waits for its turn on SQLite before it gives up."""
_MIGRATION_LOCK = 0x726C6866
"""PostgreSQL advisory lock held while the schema is brought up to date."""


def parse_target(target: str | Path) -> URL:
    """The database that a path or URL means: a file (SQLite), a folder (its ``store.sqlite``), or ``postgresql://...``.

    Raises:
      UserError: another kind of database, or not a URL.
    """
    text = str(target)
    if "://" not in text:
        path = Path(text).expanduser()
        path = path / "store.sqlite" if path.is_dir() else path
        return URL.create("sqlite+pysqlite", database=str(path.resolve()))
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise UserError(f"{text!r} is no database URL; write postgresql://user@host/name or the path of a file") from error
    drivers = {"sqlite": "sqlite+pysqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
    driver = drivers.get(url.drivername.split("+")[0])
    if driver is None:
        raise UserError(f"{url.render_as_string()}: a store lives in SQLite or PostgreSQL; write postgresql://user@host/name or a path")
    if driver.startswith("sqlite") and url.database in (None, "", ":memory:"):
        raise UserError("a store must outlive its process: give the path of a file, not a database in memory")
    return url.set(drivername=driver)


def open_engine(target: str | Path, create: bool) -> tuple[Engine, Engine]:
    """Connects and brings the schema up to date; returns the engines for reading and for writing (one pool).

    Raises:
      UserError: not there and ``create`` is False, cannot be reached, no store, or of a newer schema.
    """
    url = parse_target(target)
    if url.drivername.startswith("sqlite"):
        _check_file(Path(str(url.database)), create)
        engine = sa.create_engine(url, connect_args={"timeout": BUSY_SECONDS})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        options = f"{url.query.get('options', '')} -c synchronous_commit=on".strip()
        engine = sa.create_engine(url, pool_pre_ping=True, connect_args={"options": options})
    writer = engine.execution_options(immediate=True)
    try:
        _ensure_schema(writer, describe(url), create)
    except DBAPIError as error:
        engine.dispose()
        raise UserError(f"{describe(url)}: the database cannot be used: {error.orig}") from error
    except BaseException:
        engine.dispose()
        raise
    return engine, writer


def describe(url: URL) -> str:
    """The store's name for messages, without a password."""
    return str(url.database) if url.drivername.startswith("sqlite") else url.render_as_string(hide_password=True)


def _check_file(path: Path, create: bool) -> None:
    if path.exists():
        return
    if not create:
        raise UserError(f"{path}: no store here; give the path of a store, or of the run directory that holds it")
    if not path.parent.is_dir():
        raise UserError(f"{path}: the folder {path.parent} does not exist; make it first")


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # No implicit BEGIN by the driver: _begin_sqlite says when and how.
    connection.isolation_level = None
    _write_ahead(connection)
    for pragma in ("synchronous=FULL", "foreign_keys=ON", f"busy_timeout={int(BUSY_SECONDS * 1000)}"):
        connection.execute(f"PRAGMA {pragma}").close()


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switches the file to its write-ahead log.

    Where several processes open a new store at once, SQLite refuses instead of waiting: so we wait.
    """
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL").close()
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.01)


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("immediate") else "BEGIN")


def _ensure_schema(writer: Engine, name: str, create: bool) -> None:
    with writer.connect() as connection:
        # in this order: a store that another process makes in between is then seen as one, not as tables of something else
        empty = not sa.inspect(connection).get_table_names()
        found = _revision(connection)
    if found == SCHEMA_REVISION:
        return
    if found is None and not empty:
        raise UserError(f"{name}: this database belongs to something else (it has tables, but none of a store); give another path or URL")
    if found is None and not create:
        raise UserError(f"{name}: this database is empty; give the path or URL of a store")
    _migrate(writer, name)


def _revision(connection: Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()


def _migrate(writer: Engine, name: str) -> None:
    # Alembic is imported only where there is something to do: opening an existing store stays quick.
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent.parent / "migrations").replace("%", "%%"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    with writer.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
        found = _revision(connection)  # again: another process may have been quicker
        if found is not None and found not in known:
            raise UserError(
                f"{name}: this store has schema {found}, newer than {SCHEMA_REVISION} of this rlhf-games; "
                "update rlhf-games, or use the version that made the store"
            )
        if found != SCHEMA_REVISION:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
        if connection.execute(sa.select(log_head.c.value)).scalar() is None:
            raise UserError(f"{name}: table log_head is empty: the store is damaged; restore it from a copy")
