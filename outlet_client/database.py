"""Opening of the outlet's SQLite databases.

Invariant: a transaction takes the database's write lock when it begins, so nothing that it read can
change before it ends; another writer waits up to a minute for its turn. Who only reads waits for no
writer, and sees what was last committed.
"""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy.exc import SQLAlchemyError

_WAIT_SECONDS = 60
_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table'"
_LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def engine_of(url: str) -> sa.Engine:
    """An engine whose transactions begin with `BEGIN IMMEDIATE`.

    Args:
        url: A SQLAlchemy URL of SQLite; `sqlite://` keeps one database in memory, the same for
            all threads.
    """
    if url == "sqlite://":
        engine = sa.create_engine(
            url, poolclass=StaticPool, connect_args={"check_same_thread": False}
        )
    else:
        engine = sa.create_engine(url, connect_args={"timeout": _WAIT_SECONDS})
    sa.event.listen(engine, "connect", _as_writer)
    sa.event.listen(engine, "begin", lambda c: c.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine


def reader_of(url: str) -> sa.Engine:
    """An engine for a file's readers, who wait for no writer: they see what was last committed."""
    return sa.create_engine(url, connect_args={"timeout": _WAIT_SECONDS})


def write_ahead(engine: sa.Engine) -> None:
    """Lets a file have a write-ahead log: one sync makes a transaction durable instead of three."""
    sa.event.listen(engine, "connect", _ahead)


def make_tables(
    engine: sa.Engine,
    metadata: sa.MetaData,
    then: Callable[[sa.Connection], object] = lambda _: None,
) -> None:
    """Makes the tables that are missing; where none is, nothing is written or waited for.

    `then` is done in the transaction that makes some.
    """
    with closing(engine.raw_connection()) as connection:  # begins no transaction
        cursor = connection.cursor()
        cursor.execute(_TABLES)
        there = {name for (name,) in cursor.fetchall()}
        cursor.close()
    if there.issuperset(metadata.tables):
        return
    with engine.begin() as writer:
        metadata.create_all(writer)
        then(writer)


class Store:
    """The tables behind one SQLite database; for any number of threads."""

    def __init__(
        self,
        url: str,
        metadata: sa.MetaData,
        then: Callable[[sa.Connection], object] = lambda _: None,
        *,
        ahead: bool = False,
    ) -> None:
        """Opens the database, making its tables where they are missing.

        `then` is done in the transaction that makes some; with `ahead` the file has a write-ahead
        log.
        """
        self._engine = engine_of(url)
        if ahead:
            write_ahead(self._engine)
        # Look-ups must not wait for a night that writes.
        self._reader = self._engine if url == "sqlite://" else reader_of(url)
        self._alone = threading.Lock()  # threads queue here, more quickly than in SQLite
        self._metadata, self._then = metadata, then
        self._make_tables()

    def _make_tables(self) -> None:
        make_tables(self._engine, self._metadata, self._then)

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """One writer at a time, over threads and processes; an exception undoes all of it."""
        with self._alone, self._engine.begin() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """What was committed last, without waiting for a writer."""
        with self._reader.connect() as connection:
            yield connection

    def columns(self, table: str) -> set[str]:
        """The names of a table's columns, as the file has it."""
        with self.reading() as connection:
            return {one["name"] for one in sa.inspect(connection).get_columns(table)}

    def close(self) -> None:
        """Closes all connections."""
        self._engine.dispose()
        self._reader.dispose()


def database_error_text(error: SQLAlchemyError) -> str:
    """The text of a database error without any cell of data; else the error's type."""
    cause = getattr(error, "orig", None)
    if not isinstance(cause, sqlite3.Error):
        return f"database: {type(error).__name__}"
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF  # without its extension
    if code in _LOCKED:
        return (
            f"database: {cause} for {_WAIT_SECONDS} seconds: a night or another command is "
            "writing; run it again when that has ended"
        )
    return f"database: {cause}; is the disk full?"


def _as_writer(connection: sqlite3.Connection, _record: object) -> None:
    """Lets SQLAlchemy's `begin` event say how a transaction begins; readers wait for its end only.

    A large transaction would spill what does not fit into its cache into the file, and shut readers
    out from then on.
    """
    connection.isolation_level = None
    connection.execute("PRAGMA cache_spill = OFF")


def _ahead(connection: sqlite3.Connection, _record: object) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")  # what was committed survives a power cut
