"""How this outlet opens its SQLite database.

Invariant: a transaction takes the database's write lock when it begins, so nothing that it read can
change before it ends; another process waits up to a minute for its turn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

if TYPE_CHECKING:
    import sqlite3

_WAIT_SECONDS = 60


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
    sa.event.listen(engine, "connect", _begin_ourselves)
    sa.event.listen(engine, "begin", lambda c: c.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine


def reader_of(url: str) -> sa.Engine:
    """An engine for a file's readers, who wait for no writer: they see what was last committed."""
    return sa.create_engine(url, connect_args={"timeout": _WAIT_SECONDS})


def _begin_ourselves(connection: sqlite3.Connection, _record: object) -> None:
    """Lets SQLAlchemy's `begin` event say how a transaction begins."""
    connection.isolation_level = None
