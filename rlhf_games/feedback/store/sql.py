"""Small pieces of SQL that the parts of the store share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from rlhf_games.feedback.schema import log_head

ItemT = TypeVar("ItemT")
CHUNK = 500
"""How many values one ``IN (...)`` gets: databases bound the number of parameters."""


def chunks(items: Sequence[ItemT]) -> Iterator[Sequence[ItemT]]:
    """The items in pieces of at most ``CHUNK``."""
    for start in range(0, len(items), CHUNK):
        yield items[start : start + CHUNK]


def insert_new(connection: Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
    """Inserts the rows whose primary key is not there yet. Rows go in by key order, so that two writers cannot wait for each other."""
    if not rows:
        return
    key = next(iter(table.primary_key.columns)).name
    make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = make(table).on_conflict_do_nothing(index_elements=[key])
    connection.execute(statement, sorted(rows, key=lambda row: str(row[key])))


def select_where_in(connection: Connection, statement: sa.Select[Any], column: sa.Column[Any], values: Sequence[Any]) -> list[Any]:
    """All rows of the statement with ``column`` among ``values``, as dictionaries, in no particular order."""
    return [row for piece in chunks(values) for row in dictionaries(connection.execute(statement.where(column.in_(piece))))]


def dictionaries(result: sa.CursorResult[Any]) -> list[dict[str, Any]]:
    """All rows by column: several times quicker than SQLAlchemy's own mappings, which matters for 100,000 of them."""
    names = tuple(result.keys())
    return [dict(zip(names, row, strict=True)) for row in result]


def lock_head(connection: Connection) -> int:
    """The last id given to an answer or a retraction; until this transaction ends nobody else gets past this line.

    PostgreSQL: a row lock; SQLite: the transaction holds the write lock already. Everything that changes several queries at once takes
    it first (leasing apart, which never waits), so that two writers cannot wait for each other.
    """
    return int(connection.execute(sa.select(log_head.c.value).with_for_update()).scalar_one())
