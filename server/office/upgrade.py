"""`escapement-office upgrade`: the office's folder, to this release."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

import sqlalchemy as sa

from server.holder.database import copy_rows, engine_of, reading
from server.holder.upgrading import FolderUpgrade
from server.office.settings import OfficeFile
from server.office.tables import (
    OFFICE,
    OFFICE_METER,
    PROGRAM,
    RELAY,
    RELEASES,
    SEALS,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOTARY_FILE, PUBLICATIONS_FILE = "notary.db", "publications.db"
"""Of the releases before stores had a revision."""


def upgrade(home: Path, say: Callable[[str], None]) -> None:
    """Upgrades the office's folder; see `FolderUpgrade.run`."""

    def within(connection: sa.Connection, before: str) -> None:
        if not before:
            _delete_expired(connection)
            _move_in(connection, home)

    FolderUpgrade(
        PROGRAM,
        "office.toml",
        OfficeFile.retired,
        OFFICE,
        (RELAY, OFFICE_METER),
        _open_release,
        within,
        (NOTARY_FILE, PUBLICATIONS_FILE),
    ).run(home, OfficeFile.database_of(home / "office.toml"), say)


def _open_release(connection: sa.Connection) -> str:
    """A release or seal that may still be answered, of a store of whatever revision; ""."""
    there = sa.inspect(connection)
    now = int(time.time())
    still = (RELEASES.c.key.is_not(None)) & (RELEASES.c.expires > now)
    name = connection.scalar(sa.select(RELEASES.c.release).where(still).limit(1))
    if name is None and there.has_table(SEALS.name):
        joined = sa.join(SEALS, RELEASES, SEALS.c.plan == RELEASES.c.digest)
        still = SEALS.c.secrets.is_not(None) & (RELEASES.c.expires > now)
        name = connection.scalar(sa.select(RELEASES.c.release).select_from(joined).where(still))
    return name or ""


def _delete_expired(connection: sa.Connection) -> None:
    """Deletes the keys of what has expired, which were stored plain."""
    connection.execute(RELEASES.update().values(key=None))


def _move_in(connection: sa.Connection, home: Path) -> None:
    """Takes over what the notary and the publications had in files of their own."""
    for name in (NOTARY_FILE, PUBLICATIONS_FILE):
        if not (home / name).exists():
            continue
        with closing(sqlite3.connect(home / name)) as file:
            found = {row[0] for row in file.execute("SELECT name FROM sqlite_master")}
        engine = engine_of(f"sqlite:///{home / name}", OFFICE)
        leave = frozenset(OFFICE.tables.tables) - found
        try:
            with reading(engine) as old:
                copy_rows(old, connection, OFFICE, leave)
        finally:
            engine.dispose()
