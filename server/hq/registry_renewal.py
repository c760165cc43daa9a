"""What becomes of HQ's state when a new token key begins: all that is by slot is erased.

Release 0.1 listed customers by token; whoever has a token can read what a book says of its
customer. So its registry is not opened any more, and erasing it overwrites its bytes on SQLite.
PostgreSQL keeps them in its log until that is recycled.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import sqlalchemy as sa

from server.holder.database import (
    BOOKKEEPING,
    closing_engine,
    create_store,
    file_of,
    keep_network,
    open_store,
    place_of,
)
from server.holder.errors import StoreMissing, StoreOutdated
from server.holder.migrating import upgrade_tables
from server.hq.errors import RegistryOutdated
from server.hq.tables import BY_SLOT, HQ, begin_registry

if TYPE_CHECKING:
    from collections.abc import Callable

OUTDATED = "slots"
"""The table of tokens, which no later release has."""


def open_hq(url: str) -> sa.Engine:
    """Opens HQ's store; see `open_store`.

    Raises:
        RegistryOutdated: If it is of release 0.1.
    """
    try:
        return open_store(url, HQ)
    except StoreOutdated as error:
        refuse_outdated(url, error)
        raise


def refuse_outdated(url: str, cause: StoreOutdated | None = None) -> None:
    """Refuses a registry of release 0.1.

    Raises:
        RegistryOutdated: If it is one.
    """
    with closing_engine(url, HQ) as engine:
        if sa.inspect(engine).has_table(OUTDATED):
            raise RegistryOutdated(place_of(engine)) from cause


def erase(url: str, say: Callable[[str], None] = lambda _said: None) -> None:
    """Erases the registry, of whatever release, and all else that is by slot; for good.

    Scorecards stay, with their cuts. It happens whole or not at all; a kill before the last step
    only leaves a SQLite file larger than it has to be. A store of an earlier release is upgraded.

    Args:
        url: Of HQ's store.
        say: Is told what an upgrade does.
    """
    try:
        open_store(url, HQ).dispose()
    except StoreMissing:
        create_store(url, HQ)
    except StoreOutdated:
        pass
    with closing_engine(url, HQ) as engine:
        with engine.begin() as connection:
            there = set(sa.inspect(connection).get_table_names())
            if there >= BOOKKEEPING:
                keep_network(connection, None)
                _delete(connection)
            else:
                _drop(connection, there)
        upgrade_tables(engine, HQ, say)
        if file_of(engine) is not None:
            _shrink(engine)


def _delete(connection: sa.Connection) -> None:
    """Deletes the rows, and begins as an empty store does."""
    for table in reversed(BY_SLOT):
        connection.execute(table.delete())
    begin_registry(connection)


def _drop(connection: sa.Connection, there: set[str]) -> None:
    """Drops the tables; an upgrade makes them anew."""
    for name in sorted({OUTDATED, *(table.name for table in BY_SLOT)} & there):
        sa.Table(name, sa.MetaData()).drop(connection)


def _shrink(engine: sa.Engine) -> None:
    """Gives back the room of what was erased; outside of any transaction."""
    with closing(engine.raw_connection()) as connection:
        connection.cursor().execute("VACUUM")
