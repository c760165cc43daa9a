"""Who was ever in the set of a seal: of these the office wants three quarters in the next.

Invariant: who was in a set that the office took stays here for good, as it does at the office. So
HQ knows before it begins one which seal would be refused. After a loss it may know of fewer, and
then the office's refusal says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from server.hq.tables import SEALED_OUTLETS

if TYPE_CHECKING:
    from collections.abc import Iterable


class SealedOutlets:
    """Those outlets, in one database with the seals."""

    def __init__(self, engine: sa.Engine) -> None:
        """Reads one database."""
        self._engine = engine

    def sealed_outlets(self) -> frozenset[str]:
        """All of them, by name."""
        with self._engine.connect() as connection:
            return _known(connection)


def keep_outlets(connection: sa.Connection, names: Iterable[str]) -> None:
    """Remembers who is in a set, in the transaction that notes that the office took it."""
    rows = [{"outlet": name} for name in sorted(set(names) - _known(connection))]
    if rows:
        connection.execute(SEALED_OUTLETS.insert(), rows)


def _known(connection: sa.Connection) -> frozenset[str]:
    return frozenset(connection.scalars(sa.select(SEALED_OUTLETS.c.outlet)))
