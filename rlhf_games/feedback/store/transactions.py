"""The transactions of a store: on whatever connection the pool gives, by one clock, again where the connection was lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import update_wrapper
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError, OperationalError

from rlhf_games.core.errors import UserError
from rlhf_games.feedback.store.database import StoreLost, describe
from rlhf_games.feedback.store.files import identity

P = ParamSpec("P")
T = TypeVar("T")
TransactionsT = TypeVar("TransactionsT", bound="Transactions")
_GOING_DOWN = ("08", "57P")
"""First letters of PostgreSQL's codes for lost connections and for servers that stop or start."""


class Transactions:
    """What every method of a store runs in."""

    def __init__(
        self,
        reader: Engine,
        writer: Engine,
        clock: Callable[[], float] | None,
        again: Callable[[StoreLost], bool] | None = None,
        name: str | None = None,
    ) -> None:
        self._reader, self._writer, self._clock, self._again = reader, writer, clock, again
        self.name = describe(reader.url) if name is None else name  # what is read may be a copy of what was opened
        """The store's path or URL, for messages."""
        path = reader.url.database if reader.url.drivername.startswith("sqlite") else None
        self._file = Path(path) if path else None
        self._identity = identity(self._file) if self._file else None

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        self._check_file()
        try:
            with self._reader.connect() as connection:
                yield connection
        except DBAPIError as error:
            raise self._failed("read", error) from error

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        """Before it begins and before its work is acknowledged, the file must be the one that was opened."""
        self._check_file()
        try:
            with self._writer.begin() as connection:
                yield connection
        except DBAPIError as error:
            raise self._failed("written", error) from error
        self._check_file()

    def _now(self, connection: Connection) -> float:
        """Seconds since 1970: by the server's clock on PostgreSQL, which all machines share; by this machine's on SQLite."""
        if self._clock is not None:
            return self._clock()
        if connection.dialect.name == "postgresql":
            return float(connection.execute(sa.text("SELECT extract(epoch FROM clock_timestamp())::float8")).scalar_one())
        return time.time()

    def _check_file(self) -> None:
        if self._file is not None and identity(self._file) != self._identity:
            raise UserError(
                f"{self.name}: the store was deleted, moved or replaced while it was open, so nothing is stored: put the file back where "
                "it was, or close this and open the store again"
            )

    def _failed(self, done: str, error: DBAPIError) -> UserError:
        text = f"{self.name}: the store cannot be {done}: {' '.join(str(error.orig).split())}"
        return StoreLost(text) if _is_lost(error) else UserError(text)


def _is_lost(error: DBAPIError) -> bool:
    """Whether the same may work on a new connection: the server went away, or is not up (again) yet."""
    if error.connection_invalidated:
        return True
    code = getattr(error.orig, "sqlstate", "")  # psycopg's: None where no server answered; SQLite has none
    return isinstance(error, OperationalError) and (code is None or code.startswith(_GOING_DOWN)) and code != ""


def repeated(method: Callable[Concatenate[TransactionsT, P], T]) -> Callable[Concatenate[TransactionsT, P], T]:
    """A method that may be done twice: it is done again while the connection is lost and the store's ``again`` says so."""

    def lasting(self: TransactionsT, /, *args: P.args, **kwargs: P.kwargs) -> T:
        while True:
            try:
                return method(self, *args, **kwargs)
            except StoreLost as error:
                if self._again is None or not self._again(error):
                    raise

    update_wrapper(lasting, method)
    return lasting
