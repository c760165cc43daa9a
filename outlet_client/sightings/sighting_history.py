"""The history of each sighted piece: owners, sightings, decisions, what it counts as now.

Invariant: whose a sighting is and what it says follow from the very functions that make features,
so nobody decides about anything but what counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import polars as pl

from features.events import pieces
from features.ledger import SIGHTINGS, Kind, Tier
from features.sightings import attach
from features.snapshot import CutOff, Snapshot
from outlet_client.errors import NotConfigured
from outlet_client.ledger.event_reader import read_events
from outlet_client.ledger.sighting_rows import noted_in, sightings_of
from outlet_client.sightings.second_person import has_reported, was_alone

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping, Sequence

    from outlet_client.customer_access import CustomerAccess
    from outlet_client.ledger.sighting_rows import Noted

LATER = "dated after today"
"""Why a sighting in the table is nobody's yet."""

_ORDER = (Kind.SUSPECTED, Kind.CONFIRMED, Kind.DISMISSED)


@dataclass(frozen=True, slots=True)
class Sighting:
    """One day on which a piece that was sold here was seen for sale.

    Attributes:
        status: What the piece says by now of who had it that day: suspected, as long as it is so
            of one of them; else confirmed, or dismissed.
        customers: The outlet's own ids of who had it that day; two where a return was not booked.
        days: How long before the day it was seen.
        is_open: Whether a manager has something to decide: it is suspected, or was reported after
            it was dismissed.
    """

    serial: str
    reference: str | None
    tier: Tier
    seen: dt.date
    status: Kind
    customers: tuple[str, ...]
    sold: dt.date
    days: int
    is_open: bool
    said: tuple[Noted, ...]

    @property
    def alone(self) -> bool:
        """Whether it is confirmed, by who reported it and by nobody else."""
        return self.status is Kind.CONFIRMED and was_alone(self.serial, self.seen, self.said)

    def reported_by(self, name: str) -> bool:
        """Whether somebody reported this day."""
        return has_reported(name, self.seen, self.said)


@dataclass(frozen=True, slots=True)
class SightingHistory:
    """All sightings of this outlet's pieces, with decisions.

    Attributes:
        sightings: Those of somebody's piece: the open ones first, then the newest.
        nobodys: How many are of nobody's piece, by why; there is nothing to decide about them.
    """

    sightings: tuple[Sighting, ...] = ()
    nobodys: dict[str, int] = field(default_factory=dict)

    @property
    def open(self) -> tuple[Sighting, ...]:
        """Those about which a manager has something to decide."""
        return tuple(one for one in self.sightings if one.is_open)

    def of(self, serial: str) -> tuple[Sighting, ...]:
        """Those of one piece."""
        return tuple(one for one in self.sightings if one.serial == serial)


def open_sightings(access: CustomerAccess, at: dt.datetime) -> SightingHistory:
    """What was seen of this outlet's pieces, and what is to be decided about it.

    Raises:
        LedgerError: If the ledger or the table of sightings cannot be read.
        NotConfigured: If the ledger has no serials.
    """
    events = events_of(access, at)
    found = sightings_of(access.home, access.settings)
    if found is None:
        return SightingHistory()
    day = CutOff(day_of(at))
    rows = events.filter(pl.col("serial").is_in(found["serial"].implode()))
    own = rows.filter(~pl.col("kind").is_in(list(SIGHTINGS)))
    seen = found.filter((pl.col("turn") == 0) & (pl.col("kind") != Kind.DISMISSED.value))
    attached = attach(own, seen.filter(pl.col("date") <= day.date))
    nobodys = _counts(attached.apart)
    if len(later := seen.filter(pl.col("date") > day.date)):
        nobodys[LATER] = later.select("serial", "date").n_unique()
    made = _made(
        attached.events.filter(pl.col("kind").is_in(list(SIGHTINGS))),
        own.filter(pl.col("kind") == Kind.PURCHASE.value),
        _statuses(Snapshot.take(rows, day, day.date)),
        noted_in(access.home),
    )
    made.sort(key=lambda one: (one.is_open, one.seen, one.serial), reverse=True)
    return SightingHistory(tuple(made), nobodys)


def day_of(at: dt.datetime) -> dt.date:
    """The day on this machine's own clock, which is the ledger's."""
    return at.astimezone().date()


def events_of(access: CustomerAccess, at: dt.datetime) -> pl.DataFrame:
    """What happened here, with sightings and decisions.

    Raises:
        LedgerError: If the ledger or the table of sightings cannot be read.
        NotConfigured: If nothing has a serial.
    """
    read = read_events(access.home, access.settings, at, people=access.people, by_day=True)
    events = read.attached.events
    if events["serial"].null_count() == len(events):
        raise NotConfigured(
            "serial: no row of the ledger has one, so no sighting can be of a piece; set "
            "ledger.columns.serial in escapement.toml to the till's column of serial numbers"
        )
    return events


def _counts(apart: pl.DataFrame) -> dict[str, int]:
    days = apart.unique(["serial", "date"])
    return dict(days.group_by("why").len().sort("why").iter_rows())


def _statuses(snapshot: Snapshot) -> dict[tuple[str, str], Kind]:
    """What each piece says of each customer who has an event of it."""
    by_outlet = pieces(snapshot).group_by("customer", "key")
    found = by_outlet.agg(pl.col("confirmed").any(), pl.col("suspected").any())
    statuses = {}
    for customer, serial, confirmed, suspected in found.iter_rows():
        status = Kind.SUSPECTED if suspected else Kind.DISMISSED
        statuses[customer, serial] = Kind.CONFIRMED if confirmed else status
    return statuses


def _made(
    theirs: pl.DataFrame,
    bought: pl.DataFrame,
    now: Mapping[tuple[str, str], Kind],
    said: Sequence[Noted],
) -> list[Sighting]:
    rows = (
        theirs.unique(["customer", "serial", "date"])
        .sort("date", "serial", "customer")
        .join_asof(
            bought.select("customer", "serial", sold="date").sort("sold"),
            left_on="date",
            right_on="sold",
            by=["customer", "serial"],
            coalesce=False,
            check_sortedness=False,
        )
    )
    made = []
    for days in rows.partition_by("serial", "date", maintain_order=True):
        last = days.sort("sold", "customer").row(-1, named=True)
        serial, seen = last["serial"], last["date"]
        customers = tuple(days["customer"])
        status = min((now[one, serial] for one in customers), key=_ORDER.index)
        some = tuple(one for one in said if one.serial == serial)
        made.append(
            Sighting(
                serial,
                last["reference"],
                Tier(last["tier"]),
                seen,
                status,
                customers,
                last["sold"],
                (seen - last["sold"]).days,
                _is_open(status, seen, some),
                some,
            )
        )
    return made


def _is_open(status: Kind, seen: dt.date, said: Sequence[Noted]) -> bool:
    """Whether there is something to decide; also about a day up to a dismissal that is older."""
    decided = max((one.number for one in said if one.decides), default=0)
    anew = any(one.seen == seen and one.number > decided for one in said)
    return status is Kind.SUSPECTED or (status is Kind.DISMISSED and anew)
