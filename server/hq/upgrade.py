"""`escapement-hq upgrade`: HQ's folder, to this release."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import sqlalchemy as sa

from privacy.seal_plans import SealPlan
from server.holder.upgrading import FolderUpgrade
from server.hq.registry_renewal import refuse_outdated
from server.hq.seal_store import end_within
from server.hq.settings import HqFile
from server.hq.tables import HQ, HQ_METER, PROGRAM, SEALS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def upgrade(home: Path, say: Callable[[str], None]) -> None:
    """Upgrades HQ's folder; see `FolderUpgrade.run`.

    Raises:
        RegistryOutdated: If its registry is of release 0.1: no network of that can be carried over.
    """
    database = HqFile.database_of(home / "hq.toml")
    for url in {HQ.url(home), HQ.url(home, database)}:
        if url != HQ.url(home) or (home / HQ.file).exists():
            refuse_outdated(url)
    FolderUpgrade(
        PROGRAM,
        "hq.toml",
        HqFile.retired,
        HQ,
        (HQ_METER,),
        _open_seal,
        _end_expired,
    ).run(home, database, say)


def _open_seal(connection: sa.Connection) -> str:
    """The seal whose plan has not expired, of a store that may have no table of seals; ""."""
    if not sa.inspect(connection).has_table(SEALS.name):
        return ""
    secret = SEALS.c.seed.is_not(None) | SEALS.c.one_time.is_not(None)
    query = sa.select(SEALS.c.release, SEALS.c.payload).where(secret & SEALS.c.over.is_(None))
    for row in connection.execute(query):
        if row.payload is not None and SealPlan.decode(row.payload).expires > time.time():
            return str(row.release)
    return ""


def _end_expired(connection: sa.Connection, before: str) -> None:
    """Ends seals that nobody can go on with; before the first revision secrets were plain."""
    if before:
        return
    secret = SEALS.c.seed.is_not(None) | SEALS.c.one_time.is_not(None)
    for release in connection.scalars(sa.select(SEALS.c.release).where(secret)).all():
        end_within(connection, release, "its plan expired before an upgrade")
