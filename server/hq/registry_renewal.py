"""What becomes of HQ's state when a new token key begins: all that is by slot is erased.

Release 0.1 listed customers by token; whoever has a token can read what a book says of its
customer. So its registry is not opened any more, and erasing it overwrites its bytes.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import sqlalchemy as sa

from server.holder.database import durable_engine
from server.hq.errors import RegistryOutdated
from server.hq.registry_tables import METADATA
from server.hq.store_tables import KEPT_ANSWERS, OUTDATED, SEAL_CHUNKS, SEALS

if TYPE_CHECKING:
    from pathlib import Path

_OUTDATED = "slots"
"""The table of tokens, which no later release has."""

_ERASED = frozenset(
    {
        _OUTDATED,
        *OUTDATED,
        *METADATA.tables,
        *(table.name for table in (SEALS, SEAL_CHUNKS, KEPT_ANSWERS)),
    }
)
"""The registry's tables, and those of HQ's store whose rows are of its slots."""


def refuse_outdated(url: str) -> None:
    """Refuses a registry of release 0.1.

    Args:
        url: Of HQ's database.

    Raises:
        RegistryOutdated: If it is one.
    """
    engine = sa.create_engine(url)
    try:
        if sa.inspect(engine).has_table(_OUTDATED):
            raise RegistryOutdated(url.rpartition("///")[2])
    finally:
        engine.dispose()


def erase(database: Path) -> None:
    """Erases the registry, of whatever release, and all else that is by slot; for good.

    Scorecards stay, with their cuts. It happens whole or not at all; a kill before the last step
    only leaves the file larger than it has to be.

    Args:
        database: HQ's, such as `hq.db`.
    """
    engine = durable_engine(f"sqlite:///{database}", sa.MetaData())
    found = sa.MetaData()
    try:
        with engine.begin() as connection:
            found.reflect(connection, only=lambda name, _: name in _ERASED)
            found.drop_all(connection)
        _shrink(engine)
    finally:
        engine.dispose()


def _shrink(engine: sa.Engine) -> None:
    """Gives back the room of what was erased; outside of any transaction."""
    with closing(engine.raw_connection()) as connection:
        connection.cursor().execute("VACUUM")
