"""Opening of the outlet's SQLite databases.

Invariant: a transaction takes the database's write lock when it begins, so nothing that it read can
change before it ends; another writer waits up to a minute for its turn. Who only reads waits for no
writer, and sees what was last committed.

Opening a store never makes its file: `create_databases` does, with an outlet's keys, so that a file
which is missing later was lost, and is refused with the command to run. A file says whose tables it
has, by its name, and of which revision; one of another is refused likewise. A table that was not
used yet is made when its store is opened first.
"""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from outlet_client.errors import StoreMissing, StoreOutdated, StoreRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy.exc import SQLAlchemyError

_WAIT_SECONDS = 60
_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table'"
_MARK = "SELECT role, version_num FROM store, alembic_version"

REVISION = "0004"
"""Of the tables of all three files; the head of `migrations`."""

DATABASES = ("outlet.db", "rights.db", "staff.db")
"""Without the first an outlet would answer a plan twice; the second has the log of look-ups, the
third who may use the desk."""

BOOKKEEPING = sa.MetaData()
STORE = sa.Table("store", BOOKKEEPING, sa.Column("role", sa.Text, primary_key=True))
"""One row: the name of the file, which says what is in it."""

VERSION = sa.Table(
    "alembic_version",
    BOOKKEEPING,
    sa.Column("version_num", sa.String(32), nullable=False),
    sa.PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
"""One row: the revision of the tables, as Alembic keeps it."""
_LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_CAUSES: dict[int, str] = {
    sqlite3.SQLITE_FULL: "the disk is full; make room, then run it again",
    sqlite3.SQLITE_READONLY: "the disk, or the file, is read-only; make it writable for this user",
    sqlite3.SQLITE_CORRUPT: "it is damaged; restore the last backup",
    sqlite3.SQLITE_NOTADB: "the file is no database, or is damaged; restore the last backup",
    sqlite3.SQLITE_CANTOPEN: (
        "the file cannot be opened; is its folder there, and this user's, and the disk not "
        "read-only?"
    ),
    sqlite3.SQLITE_PERM: "no permission; is the file this user's?",
    sqlite3.SQLITE_IOERR: "the disk failed; is it failing, or a quota of it full?",
    sqlite3.SQLITE_NOMEM: "there is not enough memory",
}
"""By primary code. SQLite's messages name tables and columns, never a cell."""

_MISSING = ("no such table", "no such column", "has no column named")


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
    sa.event.listen(engine, "begin", lambda c: driver_rows(c, "BEGIN IMMEDIATE"))
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

    Raises:
        StoreMissing: If there is no file.
        StoreOutdated: If the file is of an earlier release.
        StoreRefused: If it is of a later one, another of this outlet's files, or none of ours.
    """
    file = engine.url.database
    if file and is_missing(Path(file)):
        raise StoreMissing(Path(file).name)
    with closing(engine.raw_connection()) as connection:  # begins no transaction
        there = _checked(connection.cursor(), engine.url)
    if there.issuperset(metadata.tables):
        return
    with engine.begin() as writer:
        if not file and not there:  # in memory
            mark(writer, _role(engine.url))
        metadata.create_all(writer)
        then(writer)


def is_missing(database: Path) -> bool:
    """Whether there is no such file, or only what a kill left of its making."""
    return not database.exists() or not database.stat().st_size


def check_databases(home: Path) -> None:
    """Refuses a folder in which a database is missing.

    Raises:
        StoreMissing: If one is.
    """
    for name in DATABASES:
        if is_missing(home / name):
            raise StoreMissing(name)


def create_databases(home: Path) -> list[str]:
    """Makes each of an outlet's databases that is missing, without a table of its own yet.

    Returns:
        The names of those that were made.
    """
    missing = [name for name in DATABASES if is_missing(home / name)]
    for name in missing:
        (home / name).touch(mode=0o600)
        engine = engine_of(f"sqlite:///{home / name}")
        try:
            with engine.begin() as connection:
                if not driver_rows(connection, _TABLES):  # another process was faster
                    mark(connection, Path(name).stem)
        finally:
            engine.dispose()
    return missing


def mark(connection: sa.Connection, role: str, revision: str = REVISION) -> None:
    """Notes in a new file whose tables it gets, and of which revision."""
    BOOKKEEPING.create_all(connection)
    connection.execute(STORE.insert().values(role=role))
    connection.execute(VERSION.insert().values(version_num=revision))


def is_outdated(database: Path) -> bool:
    """Whether a file has to be upgraded; not one that is not there.

    Raises:
        StoreRefused: If it is of a later release, another file of this outlet's, or none of ours.
    """
    if not database.exists():
        return False
    engine = reader_of(f"sqlite:///{database}")
    try:
        with closing(engine.raw_connection()) as connection:
            _checked(connection.cursor(), engine.url)
    except StoreOutdated:
        return True
    finally:
        engine.dispose()
    return False


def _checked(cursor: Any, url: sa.URL) -> set[str]:
    """The names of a file's tables; none of one that is new."""
    cursor.execute(_TABLES)
    there = {name for (name,) in cursor.fetchall()}
    if there:
        place, role = Path(url.database or "").name, _role(url)
        if not there.issuperset(BOOKKEEPING.tables):
            raise StoreOutdated(place, "none", REVISION)
        cursor.execute(_MARK)
        found, revision = cursor.fetchone() or ("nothing", "")
        if found != role:
            raise StoreRefused(
                f"{place}: got the tables of {found}.db, expected those of {role}.db; bring the "
                "right file back from a backup"
            )
        if revision > REVISION:
            raise StoreRefused(
                f"{place}: got revision {revision} of the tables, expected {REVISION}: a later "
                "release made it; install that, or bring back the backup from before its upgrade"
            )
        if revision != REVISION:
            raise StoreOutdated(place, revision, REVISION)
    cursor.close()
    return there


def _role(url: sa.URL) -> str:
    return Path(url.database or "memory").stem


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


def driver_rows(
    connection: sa.Connection, query: str, cells: Sequence[object] = ()
) -> list[tuple[Any, ...]]:
    """A statement's rows as the driver has them, for what a look-up waits for.

    SQLAlchemy's own way takes seven times as long.
    """
    driver = connection.connection.driver_connection
    try:
        rows: list[tuple[Any, ...]] = driver.execute(query, cells).fetchall()  # type: ignore[union-attr]  # the driver's
    except sqlite3.Error as error:
        raise sa.exc.DBAPIError.instance(query, None, error, sqlite3.Error) from error
    return rows


def driver_many(connection: sa.Connection, query: str, rows: Sequence[Sequence[object]]) -> None:
    """Runs a statement for many rows as the driver does; see `driver_rows`."""
    driver = connection.connection.driver_connection
    try:
        driver.executemany(query, rows)  # type: ignore[union-attr]  # the driver's
    except sqlite3.Error as error:
        raise sa.exc.DBAPIError.instance(query, None, error, sqlite3.Error) from error


def database_error_text(error: SQLAlchemyError) -> str:
    """The cause of a database's error and what to do, without any cell of data; else its type."""
    cause = getattr(error, "orig", None)
    if not isinstance(cause, sqlite3.Error):
        return f"database: {type(error).__name__}"
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF  # without its extension
    if code in _LOCKED:
        return (
            f"database: {cause} for {_WAIT_SECONDS} seconds: a night or another command is "
            "writing; run it again when that has ended"
        )
    known = _CAUSES.get(code)
    if known is not None:
        return f"database: {known} ({getattr(cause, 'sqlite_errorname', cause)})"
    if any(missing in str(cause) for missing in _MISSING):
        return f"database: {cause}: of another release; run `escapement-outlet upgrade`"
    return f"database: {cause}"


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
