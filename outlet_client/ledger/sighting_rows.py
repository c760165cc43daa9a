"""Sightings as everybody reads them: the outlet's table, what staff reported, what people decided.

Invariant: the outlet's own table is never written to. Rows here are only added, until they are too
old to be kept; each has a name and a moment. What somebody typed beside one is read by staff here,
and is in no event, sum or log.

A report is as a row of the table. A decision is laid over both, as `features.sightings` has it: a
confirmation is of what was seen on one day, a dismissal of all that was seen of the piece so far.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import polars as pl
import sqlalchemy as sa

from features.ledger import KINDS, Kind
from features.sightings import laid_over
from outlet_client.errors import OutletError
from outlet_client.ledger.side_tables import read_sightings
from outlet_client.log_tables.rights_store import SIGHTINGS, rights_if_any

if TYPE_CHECKING:
    import datetime as dt
    from pathlib import Path

    from outlet_client.settings import OutletFile

_CANONICAL = ("serial", "date", "kind")
_STORED: dict[str, pl.DataType] = {
    "serial": pl.String(),
    "date": pl.Date(),
    "kind": KINDS,
    "seen": pl.Date(),
    "decides": pl.Boolean(),
}


class SightingRefused(OutletError):
    """A sighting that cannot be reported or decided as asked; nothing was stored."""


@dataclass(frozen=True, slots=True)
class Noted:
    """What somebody here said of a piece: that it was seen for sale, or what they decided.

    Attributes:
        serial: The piece.
        kind: Suspected in a report; confirmed or dismissed in a decision.
        date: From which day it counts: of a report the day it was seen, else that of the decision.
        seen: The day it was seen; in a dismissal its own, since it is of all that was seen.
        at: When it was said, UTC.
        by: By whom.
        words: Where it was seen, or why it was decided so.
        number: Its own; 0 before it is stored.
    """

    serial: str
    kind: Kind
    date: dt.date
    seen: dt.date
    at: dt.datetime
    by: str
    words: str = field(repr=False)
    number: int = 0

    @property
    def decides(self) -> bool:
        """Whether it is a decision, and no report."""
        return self.kind is not Kind.SUSPECTED


def sightings_of(home: Path, settings: OutletFile) -> pl.DataFrame | None:
    """What was seen of which piece, and what was decided about it, as `attach` takes them.

    Args:
        home: The outlet's folder.
        settings: Its own.

    Returns:
        None of an outlet that has no table of sightings, and where nobody reported any.

    Raises:
        LedgerError: If the table cannot be read.
    """
    stored = noted_in(home)
    if settings.sightings is None and not stored:
        return None
    rows = [(one.serial, one.date, one.kind.value, one.seen, one.decides) for one in stored]
    frame = pl.DataFrame(rows, schema=_STORED, orient="row")
    reports = frame.filter(~pl.col("decides")).select(_CANONICAL)
    decisions = frame.filter("decides").select(*_CANONICAL, "seen")
    if settings.sightings is not None:
        reports = pl.concat([read_sightings(settings.sightings), reports])
    return laid_over(reports, decisions)


def noted_in(home: Path) -> tuple[Noted, ...]:
    """All that was said here, the oldest first; no file is made where nothing was."""
    with rights_if_any(home) as connection:
        return () if connection is None else noted(connection)


def noted(connection: sa.Connection, serial: str | None = None) -> tuple[Noted, ...]:
    """What was said of one piece, or of all; the oldest first.

    Args:
        connection: Of `rights.db`.
        serial: The piece; None for all.
    """
    query = sa.select(SIGHTINGS).order_by(SIGHTINGS.c.number)
    if serial is not None:
        query = query.where(SIGHTINGS.c.serial == serial)
    rows = connection.execute(query).mappings()
    return tuple(Noted(**{**row, "kind": Kind(row["kind"])}) for row in rows)


def add(connection: sa.Connection, one: Noted, after: int) -> int:
    """Adds what somebody said of a piece.

    Args:
        connection: Of `rights.db`.
        one: Without a number.
        after: The number of the last that was said of the piece, as whoever says this knew it; 0
            where there was none.

    Returns:
        Its number.

    Raises:
        SightingRefused: If somebody said something of the piece meanwhile.
    """
    last = noted(connection, one.serial)[-1:]
    if last and last[0].number != after:
        raise SightingRefused(
            f"sighting: {last[0].by} said '{last[0].kind}' of this piece just now; look at it "
            "again, and decide then"
        )
    row = asdict(one)
    del row["number"]
    made = connection.execute(SIGHTINGS.insert().returning(SIGHTINGS.c.number), row)
    return int(made.scalar_one())
