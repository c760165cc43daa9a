"""The store behind `rights.db`: log, countersigned heads, requests, corrections, wishes.

Invariant: no column holds a phone or an e-mail; rows of the log are only added, by `access_log.py`,
and deleted from its beginning when they are a year old.

They are in a file of their own, `rights.db`, and not in `outlet.db`: a look-up is stored before it
is answered, and must not wait for a night that writes. Its journal is a write-ahead log, with which
one sync makes an entry durable instead of three.
"""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import sqlalchemy as sa
from typing_extensions import override

from outlet_client.database import BOOKKEEPING, Store, is_missing, reader_of
from outlet_client.errors import OutletError
from outlet_client.log_tables.hash_chain import beginning
from outlet_client.moments import MomentText

if TYPE_CHECKING:
    import datetime as dt
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path

RIGHTS_FILE = "rights.db"

_METADATA = sa.MetaData()

LOG = sa.Table(
    "log",
    _METADATA,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),  # 1, 2, 3, no gap
    sa.Column("at", sa.Text, nullable=False),
    sa.Column("act", sa.Text, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("purpose", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False, index=True),
    sa.Column("about", sa.Text, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("hash", sa.LargeBinary, nullable=False),
    sa.Index("log_of_whom", "by", "act", "about", "at"),
)
ANCHOR = sa.Table(
    "log_anchor",
    _METADATA,
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("hash", sa.LargeBinary, nullable=False),
)
"""One row: the last entry that was removed, with which the chain begins."""

HEADS = sa.Table(
    "log_heads",
    _METADATA,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("signature", sa.LargeBinary, nullable=False),
    # How many entries the log had; NULL where it is the head of no log that is here.
    sa.Column("length", sa.Integer),
)
"""The privacy office's statements about the log's head."""

REQUESTS = sa.Table(
    "requests",
    _METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False, index=True),
    sa.Column("received", sa.Date, nullable=False),
    sa.Column("due", sa.Date, nullable=False),
    sa.Column("taken_by", sa.Text, nullable=False),
    sa.Column("about", sa.Text, nullable=False),
    sa.Column("answered", MomentText),
    sa.Column("answered_by", sa.Text),
    sa.Column("answer", sa.Text),
    sqlite_autoincrement=True,
)
CORRECTIONS = sa.Table(
    "corrections",
    _METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("event", sa.Text, nullable=False, index=True),
    sa.Column("customer", sa.Text, nullable=False, index=True),
    sa.Column("dated", sa.Date, nullable=False),
    sa.Column("changes", sa.JSON, nullable=False),
    sa.Column("struck", sa.Boolean, nullable=False),
    # How many rows had the very same cells then, with it.
    sa.Column("alike", sa.Integer, nullable=False),
    sa.Column("at", MomentText, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sqlite_autoincrement=True,
)
SIGHTINGS = sa.Table(
    "sightings",
    _METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("serial", sa.Text, nullable=False, index=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("date", sa.Date, nullable=False),
    sa.Column("seen", sa.Date, nullable=False),
    sa.Column("at", MomentText, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("words", sa.Text, nullable=False),
    sqlite_autoincrement=True,
)
"""What staff reported as seen for sale, and what people decided about it."""

WISHES = sa.Table(
    "wishes",
    _METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    # Of the phone or e-mail they were looked up by; "" where a list named the outlet's own id.
    sa.Column("key", sa.Text, nullable=False, index=True),
    # That id; "" where there is a key.
    sa.Column("customer", sa.Text, nullable=False, index=True),
    sa.Column("reference", sa.Text, nullable=False),
    sa.Column("since", sa.Date, nullable=False),
    sa.Column("at", MomentText, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    # All three NULL while it is open.
    sa.Column("closed", MomentText),
    sa.Column("closed_by", sa.Text),
    sa.Column("reason", sa.Text),
    sqlite_autoincrement=True,
)
"""What customers asked for at the desk, beside the outlet's own waitlist."""


class RightsGone(OutletError):
    """The file was removed under a running program: the open disputes went with it."""


class RightsStore(Store):
    """The tables behind one file of an outlet's folder; for any number of threads."""

    def __init__(self, home: Path) -> None:
        """Opens the store, making its tables where they are missing."""
        self._place = home / RIGHTS_FILE
        super().__init__(f"sqlite:///{self._place}", _METADATA, _anchor, ahead=True)
        # One for all transactions: a look-up would wait for each to be fetched and given back.
        self._connection = self._engine.connect()
        self._opened = self._inode()

    @override
    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """One at a time, over threads and processes; an exception undoes all of it.

        Raises:
            RightsGone: If the file was removed since it was opened.
        """
        with self._alone:
            if self._inode() != self._opened:  # what is written to a removed file is lost
                self._connection.close()
                self._engine.dispose()
                self._make_tables()
                self._connection = self._engine.connect()
                self._opened = self._inode()  # nobody else's while there is a connection to it
            with self._connection.begin():
                yield self._connection

    @override
    def close(self) -> None:
        """Closes all connections."""
        self._connection.close()
        super().close()

    def _inode(self) -> int:
        try:
            return self._place.stat().st_ino
        except FileNotFoundError as error:
            raise RightsGone(
                f"{self._place.name}: removed while this program runs, and with it the log "
                "and all disputes; stop the program, remove the files that begin with "
                "this name, bring it back from a backup, and start the program again"
            ) from error


@contextmanager
def rights_of(home: Path) -> Iterator[sa.Connection]:
    """One transaction in an outlet's folder."""
    with closing(RightsStore(home)) as store, store.transaction() as connection:
        yield connection


@contextmanager
def rights_if_any(home: Path) -> Iterator[sa.Connection | None]:
    """The same; None, and no file is made, where nothing was stored yet."""
    if not (home / RIGHTS_FILE).exists():
        yield None
        return
    with rights_of(home) as connection:
        yield connection


def purge_older(home: Path, day: sa.Column[dt.date], before: dt.date) -> int:
    """Deletes a table's rows whose day is before another, and says how many."""
    with rights_if_any(home) as connection:
        if connection is None:
            return 0
        return connection.execute(sa.delete(day.table).where(day < before)).rowcount


@contextmanager
def rights_as_they_are(home: Path) -> Iterator[sa.Connection | None]:
    """Reads an outlet's folder as it is at one moment; who writes is not waited for, and goes on.

    Whoever looks for what was changed must not stumble over it, nor mend it: text that is none is
    read too, and a table that is missing stays so. None where there is no file, or nothing was ever
    stored in it.
    """
    if is_missing(home / RIGHTS_FILE):
        yield None
        return
    engine = reader_of(f"sqlite:///{home / RIGHTS_FILE}")
    sa.event.listen(engine, "connect", _lenient)
    sa.event.listen(engine, "begin", lambda c: c.exec_driver_sql("BEGIN"))
    try:
        with engine.begin() as connection:
            is_new = BOOKKEEPING.tables.keys() == set(sa.inspect(connection).get_table_names())
            yield None if is_new else connection
    finally:
        engine.dispose()


def _lenient(connection: sqlite3.Connection, _record: object) -> None:
    connection.text_factory = lambda raw: raw.decode(errors="surrogateescape")


def _anchor(connection: sa.Connection) -> None:
    if connection.scalar(sa.select(sa.func.count()).select_from(ANCHOR)) == 0:
        begin = beginning()
        connection.execute(ANCHOR.insert().values(number=begin.number, hash=begin.hash))
