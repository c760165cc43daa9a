"""Reporting a resale sighting and deciding about it, for the commands and the staff's pages.

Invariant: what is stored has a name and words, and is in the log in the transaction that makes it
count. A decision counts from its own day on, and is of a sighting of somebody's piece; it may be
changed by another, and stays. Who confirms what they reported themselves is said to have been
alone, until a second person confirms it too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from features.ledger import KINDS, SIGHTINGS, Kind
from features.sightings import Apart, attach
from outlet_client.ledger.sighting_rows import Noted, SightingRefused, add, noted_in, sightings_of
from outlet_client.log_tables.rights_store import rights_of
from outlet_client.records.access_log import LogAct, record_act
from outlet_client.records.actor import checked_name, checked_sentence
from outlet_client.sightings.second_person import was_alone
from outlet_client.sightings.sighting_history import day_of, events_of, open_sightings

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from outlet_client.customer_access import CustomerAccess
    from outlet_client.sightings.sighting_history import Sighting

_NOBODYS = {
    Apart.NEVER_SOLD: (
        "serial: no piece with it was sold here; expected one as the ledger has it. What another "
        "outlet sold is theirs to report"
    ),
    Apart.BEFORE_SALE: (
        "seen: the piece was not sold yet on that day; expected the day of its sale or a later one"
    ),
    Apart.BROUGHT_BACK: (
        "seen: the piece was back here on that day; expected a day on which a customer had it"
    ),
}
"""What is said of a report that would be nobody's."""


def report(
    access: CustomerAccess, serial: str, seen: dt.date, where: str, by: str, at: dt.datetime
) -> Noted:
    """Takes down that a piece was seen for sale. It is suspected from the day it was seen on.

    Where it was seen is for staff here only.

    Raises:
        NotAsked: If the name is none, or it is not said where.
        SightingRefused: If nobody had such a piece of this outlet that day, the day is in the
            future, or that day is known.
        LedgerError: As `open_sightings`; and NotConfigured.
    """
    who, words = checked_name(by), checked_sentence(where, "where", "where it was seen")
    one = Noted(_serial(serial), Kind.SUSPECTED, seen, seen, at, who, words)
    if seen > day_of(at):
        raise SightingRefused("seen: in the future; expected today or an earlier day")
    known = sightings_of(access.home, access.settings)
    if known is not None and _is_known(known, one):
        raise SightingRefused(
            "seen: it is known that the piece was seen on that day; a manager decides about it"
        )
    if (why := _apart(events_of(access, at), one)) is not None:
        raise SightingRefused(_NOBODYS[why])
    said = [other for other in noted_in(access.home) if other.serial == one.serial]
    return _store(access, one, said, "reported")


def confirm(
    access: CustomerAccess,
    serial: str,
    by: str,
    reason: str,
    at: dt.datetime,
    seen: dt.date | None = None,
) -> Noted:
    """Decides that a piece was resold, as it was seen, by whoever had it that day.

    Without a day it is the last sighting, where one customer had the piece on all the days that it
    may be of. The reason is kept beside the decision. What one person reported and confirmed may be
    confirmed by a second one too.

    Raises:
        NotAsked: If the name is none, or there is no reason.
        SightingRefused: If there is no such sighting, it is confirmed already, or several
            customers' days would do.
        LedgerError: As `open_sightings`; and NotConfigured.
    """
    who, words = checked_name(by), checked_sentence(reason, "reason", "a sentence")
    found = _of(access, serial, at)
    day, one = _deciding_day(found[0], at), _chosen(found, seen)
    if one.status is Kind.CONFIRMED and (not one.alone or one.reported_by(who)):
        raise SightingRefused(
            f"sighting: confirmed already{_by_whom(one)}; dismiss it if that was wrong"
        )
    made = Noted(one.serial, Kind.CONFIRMED, day, one.seen, at, who, words)
    alone = was_alone(made.serial, made.seen, (*one.said, made))
    return _store(access, made, one.said, "confirmed alone" if alone else "confirmed")


def dismiss(access: CustomerAccess, serial: str, by: str, reason: str, at: dt.datetime) -> Noted:
    """Decides that what was seen so far was another piece: nobody who bought this one is meant.

    The reason is kept beside the decision.

    Raises:
        NotAsked: If the name is none, or there is no reason.
        SightingRefused: If there is no sighting of the piece, or all are dismissed already.
        LedgerError: As `open_sightings`; and NotConfigured.
    """
    who, words = checked_name(by), checked_sentence(reason, "reason", "a sentence")
    found = _of(access, serial, at)
    day = _deciding_day(found[0], at)
    if not any(one.is_open or one.status is not Kind.DISMISSED for one in found):
        raise SightingRefused(
            f"sighting: dismissed already{_by_whom(found[0])}; confirm it if that was wrong"
        )
    made = Noted(found[0].serial, Kind.DISMISSED, day, day, at, who, words)
    return _store(access, made, found[0].said, "dismissed")


def _serial(typed: str) -> str:
    """A serial as the ledger has it: as typed, without the blanks around it."""
    if not (serial := typed.strip()):
        raise SightingRefused("serial: empty; expected a piece's, as the ledger has it")
    return serial


def _is_known(known: pl.DataFrame, one: Noted) -> bool:
    """Whether the piece was seen on that day by the table, or by somebody's report."""
    seen = (pl.col("turn") == 0) & (pl.col("kind") != Kind.DISMISSED.value)
    same = (pl.col("serial") == one.serial) & (pl.col("date") == one.seen)
    return not known.filter(seen & same).is_empty()


def _apart(events: pl.DataFrame, one: Noted) -> Apart | None:
    """Why a sighting would be nobody's; None where it is somebody's."""
    schema = pl.Schema({"serial": pl.String(), "date": pl.Date(), "kind": KINDS})
    alone = pl.DataFrame([(one.serial, one.seen, one.kind.value)], schema=schema, orient="row")
    own = events.filter((pl.col("serial") == one.serial) & ~pl.col("kind").is_in(list(SIGHTINGS)))
    why = attach(own, alone).apart["why"]
    return Apart(why[0]) if len(why) else None


def _of(access: CustomerAccess, typed: str, at: dt.datetime) -> tuple[Sighting, ...]:
    """The sightings of a piece, the newest first.

    Raises:
        SightingRefused: If there are none that are somebody's.
    """
    serial = _serial(typed)
    found = sorted(open_sightings(access, at).of(serial), key=lambda one: one.seen, reverse=True)
    if not found:
        raise SightingRefused(
            "serial: there is no sighting of a piece of this outlet with it; "
            "`escapement-outlet sightings list --all` lists them, `report` takes one down"
        )
    return tuple(found)


def _chosen(found: Sequence[Sighting], seen: dt.date | None) -> Sighting:
    """The sighting that is meant, of one piece's, the newest first."""
    if seen is not None:
        for one in found:
            if one.seen == seen:
                return one
        raise SightingRefused(f"seen: not that day; expected {_or([one.seen for one in found])}")
    may_be = [one for one in found if one.is_open]
    may_be = may_be or [one for one in found if one.status is not Kind.CONFIRMED] or list(found)
    if len({one.customers for one in may_be}) > 1:
        raise SightingRefused(
            "seen: on several days, and not one customer had the piece on all of them; say which: "
            f"{_or([one.seen for one in may_be])}"
        )
    return may_be[0]


def _or(days: Sequence[dt.date]) -> str:
    return " or ".join(one.isoformat() for one in days)


def _by_whom(one: Sighting) -> str:
    """Who said last what it says now; nothing where that is the outlet's own table."""
    same = [other for other in one.said if other.kind is one.status]
    return f" by {same[-1].by} on {same[-1].date.isoformat()}" if same else ""


def _deciding_day(one: Sighting, at: dt.datetime) -> dt.date:
    """From which day on a decision counts.

    Raises:
        SightingRefused: If an earlier decision would outrank it.
    """
    day = day_of(at)
    last = max((other.date for other in one.said if other.decides), default=day)
    if last > day:
        raise SightingRefused(
            f"clock: this machine says {day.isoformat()}, and the last decision on the piece is of "
            f"{last.isoformat()}; set the clock, best by NTP"
        )
    return day


def _store(access: CustomerAccess, one: Noted, said: Sequence[Noted], outcome: str) -> Noted:
    """Stores what somebody said, and in the same transaction that they did."""
    with rights_of(access.home) as connection:
        number = add(connection, one, said[-1].number if said else 0)
        about = f"sighting {number}"
        record_act(connection, one.at, LogAct.SIGHTING, one.by, about=about, outcome=outcome)
    return replace(one, number=number)
