"""The store of the privacy office's signed statements about the log's head.

Invariant: a statement stays at least as long as an entry, and the newest of those that are older
stays too, so that a missing one shows.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from outlet_client.log_tables.rights_store import HEADS
from privacy.log_heads import HeadRefused, HeadStatement, SignedHead

if TYPE_CHECKING:
    from collections.abc import Sequence

_ALL = "SELECT number, payload, signature, length FROM log_heads ORDER BY number"


@dataclass(frozen=True, slots=True)
class KeptHead:
    """A stored statement. It is not verified yet: `open_head` does that.

    Attributes:
        number: Under which it is kept.
        signed: The statement.
        length: How many entries the log ever had when it was made; None where it was made of a
            log that is not here.
    """

    number: int
    signed: SignedHead
    length: int | None

    @property
    def at(self) -> dt.datetime | None:
        """When it says that it was made, UTC; None where it says nothing that can be read."""
        try:
            return moment_of(HeadStatement.decode(self.signed.payload))
        except HeadRefused:
            return None


def moment_of(statement: HeadStatement) -> dt.datetime:
    """When a statement was made, UTC."""
    return dt.datetime.fromtimestamp(statement.at, dt.UTC)


def read_heads(connection: sa.Connection) -> tuple[KeptHead, ...]:
    """All statements, by number; a cell that is of another type than ours says nothing."""
    return tuple(
        KeptHead(
            number,
            SignedHead(_bytes(payload), _bytes(signature)),
            length if isinstance(length, int) else None,
        )
        for number, payload, signature, length in connection.exec_driver_sql(_ALL)
    )


def keep_head(connection: sa.Connection, one: KeptHead) -> None:
    """Keeps a verified statement, in place of any that is kept under its number."""
    connection.execute(sa.delete(HEADS).where(HEADS.c.number == one.number))
    values = {"payload": one.signed.payload, "signature": one.signed.signature}
    connection.execute(HEADS.insert().values(number=one.number, length=one.length, **values))


def age_of_statements(
    statements: Sequence[KeptHead], before: dt.datetime
) -> tuple[int, int | None]:
    """Which entries are older by the statements' own dates, whatever this machine's clock says.

    A statement is no older than those that were numbered before it, whatever date it says: the
    office's clock may be wrong.

    Returns:
        How many entries are surely older, and how many may be at most; None for any number.
    """
    dated: list[tuple[int, dt.datetime]] = []
    latest = dt.datetime.min.replace(tzinfo=dt.UTC)
    for one in sorted(statements, key=lambda kept: kept.number):
        latest = max(latest, one.at or latest)
        if one.length is not None and one.at is not None:
            dated.append((one.length, latest))
    surely = [length for length, at in dated if at < before]
    at_most = [length for length, at in dated if at >= before]
    return max(surely, default=0), min(at_most, default=None)


def purge_heads(connection: sa.Connection, before: dt.datetime) -> None:
    """Deletes the statements that are older than a moment, but the newest of them."""
    old = [
        one.number for one in read_heads(connection) if (at := one.at) is not None and at < before
    ]
    if old:
        connection.execute(sa.delete(HEADS).where(HEADS.c.number < max(old)))


def _bytes(cell: object) -> bytes:
    return cell if isinstance(cell, bytes) else b""
