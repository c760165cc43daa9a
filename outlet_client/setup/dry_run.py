"""A dry run of a night's reading: everything that the settings name is read, and nothing written.

Invariant: tables are read by the functions that read them by night and by day, and rows are counted
by the ledger's own reading; a table that cannot be read does not end the run, it is a problem, and
the others are read nevertheless. Nothing here is of a customer.
"""

from __future__ import annotations

import datetime as dt
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from features.errors import FeatureError, LedgerError
from features.ledger import text_of
from features.sightings import attach
from outlet_client.allocation.ranking import read_policy
from outlet_client.allocation.waitlist import read_interests
from outlet_client.errors import OutletError
from outlet_client.ledger.event_reader import with_known_tiers
from outlet_client.ledger.intake import Intake, first_day
from outlet_client.ledger.judged_rows import CLIENT_NAMES
from outlet_client.ledger.ledger_reading import read_ledger, used_rows
from outlet_client.ledger.side_tables import read_references
from outlet_client.ledger.sighting_rows import sightings_of
from outlet_client.people.identifiers import identifier
from outlet_client.setup.column_tally import ColumnTally, LedgerTally
from outlet_client.setup.format_guess import NO_HEADER, begins_with_data
from outlet_client.sources.table_reader import batches_of, files_of, header_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from features.ledger import Tier
    from outlet_client.ledger.judged_rows import JudgedBatch
    from outlet_client.ledger.ledger_reading import LedgerReading
    from outlet_client.settings import OutletFile
    from outlet_client.sources.row_batches import Batch

    Progress = Callable[[str, int, float | None], None]

_MOST_READ = 20_000
"""So many different phones or e-mails are tried."""

_WHO = ("customer_id", *CLIENT_NAMES)


@dataclass(slots=True)
class DryRun:
    """What a dry run found.

    Attributes:
        columns: The ledger's columns by canonical name, as far as they could be read.
        intake: What would become of the ledger's rows; those in no tier count as quarantined.
        kinds: How many rows of each kind would be used.
        unknown: References in no tier, and of how many rows each is.
        apart: Sightings that are nobody's, by reason; None where there are no sightings.
        problems: What must be put right; each a sentence.
        notes: What somebody should know.
    """

    columns: dict[str, ColumnTally] = field(default_factory=dict)
    intake: Intake = field(default_factory=lambda: Intake(0, 0, 0, 0, 0, 0))
    kinds: dict[str, int] = field(default_factory=dict)
    unknown: dict[str, int] = field(default_factory=dict)
    apart: dict[str, int] | None = None
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def dry_run(
    settings: OutletFile,
    at: dt.datetime,
    progress: Progress = lambda *_: None,
    home: Path | None = None,
) -> DryRun:
    """Reads all tables that the settings name, and says what a night would make of them.

    Args:
        settings: The outlet's.
        at: When this is.
        progress: Hears of each batch of the ledger: the file's name, how many rows, and the share
            of the file that is read; None where that is unknown.
        home: The outlet's folder, with what staff reported; None without.
    """
    found = DryRun()
    place = Path() if home is None else home
    tiers = seen = clients = reading = None
    if settings.references is not None:
        with _problem(found, "references"):
            tiers = read_references(settings.references)
    with _problem(found, "sightings"):
        seen = sightings_of(place, settings)
    if settings.interests is not None:
        with _problem(found, "interests"):
            read_interests(settings.interests)
    if settings.policy is not None:
        with _problem(found, "policy"):
            read_policy(settings.policy)
    if settings.clients is not None:
        with _problem(found, "clients"):
            clients = _clients(settings)
    with _problem(found, "ledger"):
        reading = _ledger(found, settings, at, place, progress)
    if reading is not None:
        with _problem(found, "ledger"):
            _events(found, reading, settings, at, tiers, seen)
        with _problem(found, "clients"):
            _people(found, reading, settings, clients)
    return found


@contextmanager
def _problem(found: DryRun, name: str) -> Iterator[None]:
    try:
        yield
    except (FeatureError, OutletError) as error:
        found.problems.append(f"{name}: {error}")
    except OSError as error:
        found.problems.append(f"{name}: {error.strerror or type(error).__name__}")


def _ledger(
    found: DryRun, settings: OutletFile, at: dt.datetime, home: Path, progress: Progress
) -> LedgerReading:
    """Reads the ledger as a first night would, and counts its columns."""
    source = settings.ledger
    for path in () if source.is_database else files_of(source):
        if path.suffix != ".parquet" and begins_with_data(header_of(source, path)):
            raise LedgerError(path.name, 1, None, NO_HEADER)  # which would list it as columns
    tally = LedgerTally(source)
    found.columns = tally.columns

    def hear(file: str, batch: Batch, judged: JudgedBatch) -> None:
        tally.add(file, batch, judged)
        progress(file, len(judged.rows), batch.share)

    reading = read_ledger(settings, home, at, noting=settings.clients is None, hear=hear)
    found.intake = reading.intake
    return reading


def _events(
    found: DryRun,
    reading: LedgerReading,
    settings: OutletFile,
    at: dt.datetime,
    tiers: dict[str, Tier] | None,
    seen: pl.DataFrame | None,
) -> None:
    """What would become of the rows that can be read."""
    rows = used_rows(reading.ledger)
    events, unknown, found.intake = with_known_tiers(rows.drop("line"), tiers, found.intake)
    found.kinds = dict(events["kind"].cast(pl.String).value_counts().sort("kind").iter_rows())
    found.unknown = dict(unknown["reference"].value_counts(sort=True).iter_rows())
    if seen is not None:
        found.apart = attach(events, seen).counts()
    _note(found, events, settings, at)
    if not found.intake.rows:
        raise LedgerError(settings.ledger.name, None, None, "no rows; expected at least one event")
    if not found.intake.used:
        raise LedgerError(settings.ledger.name, None, None, _why_none(found, settings, at))


def _why_none(found: DryRun, settings: OutletFile, at: dt.datetime) -> str:
    left_out, days = found.intake.left_out, found.columns["purchased_at"].range
    if not left_out or days is None or not isinstance(days[0], dt.date):
        return "no row can be used; the bad cells above say why"
    return (
        f"no row can be used: {left_out:,} are older than keep_days = {settings.keep_days}; if "
        f"these days are right, {(at.date() - days[0]).days} would keep them all"
    )


def _note(found: DryRun, events: pl.DataFrame, settings: OutletFile, at: dt.datetime) -> None:
    """Notes what is allowed and yet looks like a mistake."""
    intake = found.intake
    future = int((events["date"] > at.date()).sum())
    if future:
        found.notes.append(f"ledger: {future:,} rows are dated after today")
    if found.unknown:
        rows = sum(found.unknown.values())
        words = f"{rows:,} rows have a reference in no tier: {len(found.unknown):,} such"
        found.notes.append(f"references: {words}; add them, until then the rows are in quarantine")
    if intake.superseded > intake.rows / 10:
        words = f"{intake.superseded:,} rows count no more, since a later row has their line_id"
        found.notes.append(f"ledger: {words}; is it a key of its own for every row of all files?")
    if intake.used and intake.left_out > intake.rows / 2:
        day = first_day(settings, at)
        found.notes.append(f"ledger: {intake.left_out:,} rows are before {day} and left out")


def _clients(settings: OutletFile) -> pl.DataFrame | None:
    """The client book's rows; None where the ledger is the client book."""
    source = settings.clients
    if source is None:
        return None
    rows = [batch.rows.drop("row") for _, batch in batches_of(source, _WHO)]
    book = pl.concat(rows, how="diagonal_relaxed")
    if "customer_id" not in book.columns:
        raise LedgerError(source.name, None, "customer_id", "missing; map it or add it")
    return book.with_columns(text_of(book["customer_id"], source.name))


def _people(
    found: DryRun, reading: LedgerReading, settings: OutletFile, clients: pl.DataFrame | None
) -> None:
    """Whether the customers can be recognised, by the client book or by the ledger itself.

    Raises:
        NotConfigured: If the region is unknown.
    """
    if settings.clients is not None and clients is None:
        return  # which is a problem already
    book = reading.entries if clients is None else clients
    names = [name for name in CLIENT_NAMES if book is not None and name in book.columns]
    if book is None or not names:
        what = "map phone or email, or name the client book in a section [clients]"
        reason = f"nobody can be recognised without phone or e-mail; {what}"
        raise LedgerError(_book_name(settings), None, None, reason)
    for name in names:
        typed = book[name].cast(pl.String).drop_nulls().unique().head(_MOST_READ)
        usable = sum(_is_usable(name, one, settings.region) for one in typed)
        tally = found.columns.setdefault(name, ColumnTally(name, f"of {_book_name(settings)}"))
        tally.usable = usable, len(typed)
    if clients is not None:
        here = used_rows(reading.ledger)["customer"].unique()
        missing = len(here) - int(here.is_in(clients["customer_id"].implode()).sum())
        if missing:
            words = f"clients: {missing:,} of {len(here):,} customers of the ledger are not in it"
            (found.problems if missing == len(here) else found.notes).append(words)


def _book_name(settings: OutletFile) -> str:
    return (settings.clients or settings.ledger).name


def _is_usable(name: str, typed: str, region: str) -> bool:
    phone, email = (typed, None) if name == "phone" else (None, typed)
    return identifier(phone, email, region) is not None
