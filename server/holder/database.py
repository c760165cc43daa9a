"""SQLite as a holder keeps its state: durable at commit, deleted bytes overwritten."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

if TYPE_CHECKING:
    from pathlib import Path

PRAGMAS = ("journal_mode=DELETE", "synchronous=FULL", "secure_delete=ON", "foreign_keys=ON")


def durable_engine(url: str, tables: sa.MetaData) -> sa.Engine:
    """Opens a database, making its tables and their indexes where they are missing.

    Each `begin()` is one serialised transaction, durable when it ends.

    Args:
        url: Such as `sqlite:///meter.db`, or `sqlite://` for memory.
        tables: What must be there.

    Raises:
        ValueError: If it is no sqlite URL.
    """
    if not url.startswith("sqlite"):
        raise ValueError(f"database: got {url.partition(':')[0]}, expected a sqlite URL")
    in_memory = url == "sqlite://"
    engine = sa.create_engine(
        url,
        poolclass=StaticPool if in_memory else None,
        connect_args={"check_same_thread": False} if in_memory else {"timeout": 30},
    )
    sa.event.listen(engine, "connect", _durable)
    sa.event.listen(engine, "begin", lambda c: c.exec_driver_sql("BEGIN IMMEDIATE"))
    with engine.begin() as connection:
        tables.create_all(connection)
        for table in tables.sorted_tables:
            for index in table.indexes:  # a store of an earlier release lacks the later ones
                index.create(connection, checkfirst=True)
    return engine


def copy_database(engine: sa.Engine, place: Path) -> None:
    """Copies a database into a new file, for a backup."""
    with engine.connect() as connection, closing(sqlite3.connect(place)) as copy:
        connection.connection.driver_connection.backup(copy)  # type: ignore[union-attr]


def _durable(connection: object, _record: object) -> None:
    connection.isolation_level = None  # type: ignore[attr-defined]  # transactions begun by us
    for pragma in PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")  # type: ignore[attr-defined]
