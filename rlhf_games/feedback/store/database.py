"""Opening a store: which database, how durable, which schema.

SQLite runs in WAL mode with ``synchronous=FULL``: a commit returns when the log is on the disk, readers never block writers. Every
writing transaction begins with ``BEGIN IMMEDIATE``, so that it can wait for its turn but never fails half-way. PostgreSQL runs with
``synchronous_commit=on``.

Who only reads (``read_only``) changes nothing: an SQLite store of an earlier schema is read from a copy in memory that is brought up to
date; on PostgreSQL, where every transaction is then read-only, such a store is refused.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from rlhf_games.core.errors import UserError
from rlhf_games.feedback.place import read_place, secret_of, without_password
from rlhf_games.feedback.schema import SCHEMA_REVISION, log_head
from rlhf_games.feedback.store import files
from rlhf_games.feedback.store.files import BUSY_SECONDS

if TYPE_CHECKING:
    from alembic.config import Config

_MAKING_SECONDS = 2.0
"""How long an empty database may be one that another process is just making a store of."""
_LOSSES = {"connect_timeout": "10", "keepalives_idle": "30", "keepalives_interval": "10", "keepalives_count": "3"}
"""A server that is gone without a word is noticed within a minute (libpq's settings; a URL may say otherwise)."""
_MIGRATION_LOCK = 0x726C6866
"""PostgreSQL advisory lock held while the schema is brought up to date."""


class StoreLost(UserError):
    """The database does not answer just now: it may be starting again."""


class Address(NamedTuple):
    """What a path or URL means."""

    url: URL
    session: str | None
    """The one session that is meant, where the address is the folder of a run that shares its store."""


def parse_target(target: str | Path) -> Address:
    """The database that a path or URL means: a file (SQLite), the folder of a run (the store it names, or its ``store.sqlite``), or
    ``postgresql://...``.

    Raises:
      UserError: another kind of database, or not a URL.
    """
    text = str(target)
    if "://" in text:
        return Address(_parse_url(secret_of(text)), None)
    path = Path(text).expanduser()
    place = read_place(path) if path.is_dir() else None
    if place is not None:
        return Address(parse_target(place.store).url, place.session)
    path = path / "store.sqlite" if path.is_dir() else path
    return Address(URL.create("sqlite+pysqlite", database=str(path.resolve())), None)


def _parse_url(text: str) -> URL:
    shown = without_password(text)
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise UserError(f"{shown!r} is no database URL; write postgresql://user@host/name or the path of a file") from None
    drivers = {"sqlite": "sqlite+pysqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
    driver = drivers.get(url.drivername.split("+")[0])
    if driver is None:
        raise UserError(f"{shown}: a store lives in SQLite or PostgreSQL; write postgresql://user@host/name or a path")
    if driver.startswith("sqlite") and url.database in (None, "", ":memory:"):
        raise UserError("a store must outlive its process: give the path of a file, not a database in memory")
    if "@" in (url.host or ""):
        raise UserError(f"{shown}: write @ in a password as %40 (and : as %3A, / as %2F), or leave it out and set PGPASSWORD")
    return url.set(drivername=driver)


def open_engine(url: URL, create: bool, read_only: bool = False) -> tuple[Engine, Engine]:
    """Connects and brings the schema up to date; returns the engines for reading and for writing (one pool).

    Args:
      url: of `parse_target`.
      create: make a store where there is none.
      read_only: change nothing, not even the schema.

    Raises:
      UserError: not there and ``create`` is False, cannot be reached, no store, or of a newer schema.
    """
    name = describe(url)
    if not url.drivername.startswith("sqlite"):
        settings = {name: value for name, value in _LOSSES.items() if name not in url.query}
        kept = "default_transaction_read_only=on" if read_only else "synchronous_commit=on"
        settings["options"] = f"{url.query.get('options', '')} -c {kept}".strip()
        engine = sa.create_engine(url, pool_pre_ping=True, connect_args=settings)
        return engine, _with_schema(engine, name, create, read_only)
    path = Path(str(url.database))
    files.make_file(path, create and not read_only)
    try:
        if read_only:
            return _open_to_read(url, path, name)
        files.refuse_strangers(path)
    except (OSError, sqlite3.Error) as error:
        raise UserError(f"{name}: the database cannot be used: {error}") from error
    engine = sa.create_engine(url, creator=lambda: files.connect(path))
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine, _with_schema(engine, name, create)


def _with_schema(engine: Engine, name: str, create: bool, read_only: bool = False) -> Engine:
    """The engine for writing, once the database is a store of the present schema."""
    writer = engine.execution_options(immediate=True)
    try:
        if read_only:
            _demand_schema(writer, name)
        else:
            _ensure_schema(writer, name, create)
    except DBAPIError as error:
        engine.dispose()
        hint = "; a run keeps no password: set PGPASSWORD or write ~/.pgpass" if "password" in str(error.orig) else ""
        raise UserError(f"{name}: the database cannot be used: {error.orig}{hint}") from error
    except BaseException:
        engine.dispose()
        raise
    return writer


def _open_to_read(url: URL, path: Path, name: str) -> tuple[Engine, Engine]:
    """Both engines read the file, or, where its schema is an earlier one, a copy of it."""
    engine = sa.create_engine(url, creator=lambda: files.connect_to_read(path))
    event.listen(engine, "begin", _begin_sqlite)
    try:
        found = _found_soon(engine, name)
        if found == SCHEMA_REVISION:
            return engine, engine
        engine.dispose()
        if found is None:
            raise _empty(name)
        memory = sqlite3.connect(":memory:", check_same_thread=False)
        with closing(files.connect_to_read(path)) as source:
            source.backup(memory)
        engine = sa.create_engine("sqlite+pysqlite://", creator=lambda: memory, poolclass=sa.StaticPool)
        event.listen(engine, "connect", _by_hand)
        event.listen(engine, "begin", _begin_sqlite)
        _migrate(engine, name)
        memory.execute("PRAGMA query_only=ON").close()  # what is written here would be lost
    except DBAPIError as error:
        engine.dispose()
        raise UserError(f"{name}: the database cannot be used: {error.orig}") from error
    return engine, engine


def describe(url: URL) -> str:
    """The store's name for messages, without a password."""
    return str(url.database) if url.drivername.startswith("sqlite") else without_password(url.render_as_string(hide_password=False))


def _by_hand(connection: Any, _record: Any) -> None:
    # No implicit BEGIN by the driver: _begin_sqlite says when and how.
    connection.isolation_level = None


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    _by_hand(connection, _record)
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
    found = _found_soon(writer, name, wait=not create)
    if found == SCHEMA_REVISION:
        return
    if found is None and not create:
        raise _empty(name)
    _migrate(writer, name)


def _demand_schema(engine: Engine, name: str) -> None:
    """Raises ``UserError`` unless the database is a store of the present schema."""
    found = _found_soon(engine, name)
    if found is None:
        raise _empty(name)
    if found in _known_revisions(_migrations()) - {SCHEMA_REVISION}:
        raise UserError(
            f"{name}: this store has schema {found}, older than {SCHEMA_REVISION} of this rlhf-games, and is only read here: "
            "rlhf-games resume (of a run that it serves), teach or judge brings it up to date"
        )
    if found != SCHEMA_REVISION:
        raise _newer(name, found)


def _found_soon(engine: Engine, name: str, *, wait: bool = True) -> str | None:
    """The schema of a store, as `_found`; an empty database is looked at again for a while: somebody may just be making a store of it."""
    deadline = time.monotonic() + (_MAKING_SECONDS if wait else 0.0)
    while True:
        with engine.connect() as connection:
            found = _found(connection, name)
        if found is not None or time.monotonic() >= deadline:
            return found
        engine.dispose()  # who only reads may have opened the file as one that nobody changes
        time.sleep(0.05)


def _found(connection: Connection, name: str) -> str | None:
    """The schema of a store; None: the database is empty.

    Raises:
      UserError: it is no store.
    """
    # in this order: a store that another process makes in between is then seen as one, not as tables of something else
    tables = set(sa.inspect(connection).get_table_names())
    found = _revision(connection)
    if (found is None and tables) or (found is not None and tables and not files.is_store(tables)):
        raise files.stranger(name)
    return found


def _empty(name: str) -> UserError:
    return UserError(f"{name}: this database is empty; give the path or URL of a store")


def _revision(connection: Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()


def _newer(name: str, found: str) -> UserError:
    return UserError(
        f"{name}: this store has schema {found}, newer than {SCHEMA_REVISION} of this rlhf-games; "
        "update rlhf-games, or use the version that made the store"
    )


# Alembic is imported only where there is something to do: opening an existing store stays quick.


def _migrations() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent.parent / "migrations").replace("%", "%%"))
    return config


def _known_revisions(config: Config) -> set[str]:
    from alembic.script import ScriptDirectory

    return {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}


def _migrate(writer: Engine, name: str) -> None:
    from alembic import command

    config = _migrations()
    known = _known_revisions(config)
    with writer.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
        found = _revision(connection)  # again: another process may have been quicker
        if found is not None and found not in known:
            raise _newer(name, found)
        if found != SCHEMA_REVISION:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
        if connection.execute(sa.select(log_head.c.value)).scalar() is None:
            raise UserError(f"{name}: table log_head is empty: the store is damaged; restore it from a copy")
