"""Readers: from an outlet's files to the canonical event table."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import polars as pl

from features.errors import LedgerError
from features.ledger import with_tiers
from features.sightings import Attached, attach
from outlet_client.errors import OutletError
from outlet_client.ledger import corrections
from outlet_client.ledger.event_store import EventStore
from outlet_client.ledger.intake import first_day
from outlet_client.ledger.ledger_reading import IS_REFUND
from outlet_client.ledger.side_tables import read_references
from outlet_client.ledger.sighting_rows import sightings_of

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from features.ledger import Tier
    from outlet_client.ledger.intake import Intake
    from outlet_client.people.people_store import People
    from outlet_client.settings import OutletFile

_LOG = logging.getLogger(__name__)

_SHOWN = 3
"""How many bad cells an error names."""


class TooManyBad(OutletError):
    """So many rows are in quarantine that the night does not start.

    Attributes:
        intake: What became of all rows.
    """

    def __init__(self, intake: Intake, most: float, first: list[str]) -> None:
        """Says so.

        Args:
            intake: What became of all rows.
            most: The largest share that may be in quarantine.
            first: Some bad cells: where and why.
        """
        where = "".join(f"; {one}" for one in first)
        super().__init__(
            f"ledger: {intake.quarantined} of {intake.of_customers} rows ({intake.share:.1%}) "
            f"cannot be used, expected at most {most:.1%}{where}; `escapement-outlet check` lists "
            "them"
        )
        self.intake = intake


@dataclass(frozen=True, slots=True, repr=False)
class Read:
    """What happened at an outlet, as its ledger has it.

    Attributes:
        attached: Events, with the sightings of their pieces.
        intake: What became of the ledger's rows; those in no tier count as quarantined.
        unknown: How many rows have a reference that is in no tier.
        references: These references, sorted.
    """

    attached: Attached
    intake: Intake
    unknown: int
    references: tuple[str, ...]


def read_events(
    home: Path,
    settings: OutletFile,
    at: dt.datetime,
    *,
    people: People | None = None,
    by_day: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> Read:
    """Reads what is new in an outlet's ledger, and says what happened there so far.

    Args:
        home: The outlet's folder.
        settings: The outlet's.
        at: When this is.
        people: Whose keys client entries are noted under, where the ledger is the client book.
        by_day: For a person who waits: too many bad rows are a warning, and a database that was
            read before is left to the night.
        progress: Hears of the rows of each batch.

    Raises:
        LedgerError: If a file or table cannot be read at all, or no row can be used.
        TooManyBad: If too many rows cannot be used, by night.
    """
    store = EventStore(home)
    if by_day and settings.ledger.is_database and store.is_filled:
        intake = store.counts()
    else:
        intake = store.take_in(settings, at, people, progress)
    held = corrections.apply(home, store.rows())
    rows = held.filter(pl.col("date") >= first_day(settings, at))
    old = _rows_of(held) - _rows_of(rows)
    intake = replace(intake, used=intake.used - old, left_out=intake.left_out + old)
    tiers = None if settings.references is None else read_references(settings.references)
    events, unknown, intake = with_known_tiers(rows.drop("line"), tiers, intake)
    references = tuple(unknown["reference"].unique().sort())
    _judge(store, settings, intake, references, by_day=by_day)
    if events.is_empty():
        reason = "no rows; expected at least one event"
        if intake.rows:
            reason = f"no row of {intake.rows} can be used; `escapement-outlet check` says why"
        raise LedgerError(settings.ledger.name, None, None, reason)
    seen = sightings_of(home, settings)
    attached = Attached.without(events) if seen is None else attach(events, seen)
    return Read(attached, intake, len(unknown), references)


def with_known_tiers(
    rows: pl.DataFrame, tiers: Mapping[str, Tier] | None, intake: Intake
) -> tuple[pl.DataFrame, pl.DataFrame, Intake]:
    """Gives each row the tier of its reference; a row whose reference is in none waits for one.

    Args:
        rows: Those that are used so far, as `used_rows` has them.
        tiers: The tier of each reference; None where references have none.
        intake: What became of all rows so far.

    Returns:
        The events, the rows that wait, and the counts with these in quarantine.
    """
    events, unknown = with_tiers(rows, tiers)
    waiting = _rows_of(unknown)
    used, quarantined = intake.used - waiting, intake.quarantined + waiting
    counted = replace(intake, used=used, quarantined=quarantined)
    return events.drop(IS_REFUND), unknown.filter(~pl.col(IS_REFUND)).drop(IS_REFUND), counted


def _rows_of(events: pl.DataFrame) -> int:
    """Of how many of the ledger's rows these events are."""
    return int((~events[IS_REFUND]).sum())


def _judge(
    store: EventStore,
    settings: OutletFile,
    intake: Intake,
    references: tuple[str, ...],
    *,
    by_day: bool,
) -> None:
    """Says what cannot be used, and refuses too much of it by night."""
    if references:
        _LOG.warning("references in no tier: %d; `check` lists them", len(references))
    if intake.quarantined:
        _LOG.warning("rows in quarantine: %d of %d", intake.quarantined, intake.of_customers)
    if intake.share > settings.most_quarantined and not by_day:
        bad = store.quarantine().head(_SHOWN).rows(named=True)
        first = [
            f"{one['file']}, row {one['row']}, column {one['column']}: {one['reason']}"
            if one["column"]
            else f"{one['file']}, row {one['row']}: {one['reason']}"
            for one in bad
        ]
        raise TooManyBad(intake, settings.most_quarantined, first)
