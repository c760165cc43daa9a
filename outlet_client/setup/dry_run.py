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
from features.sightings import attach
from outlet_client.allocation.interest_rows import read_interests
from outlet_client.allocation.ranking import read_policy
from outlet_client.errors import OutletError
from outlet_client.ledger.event_reader import with_known_tiers
from outlet_client.ledger.intake import Intake, RowFate, first_day
from outlet_client.ledger.judged_rows import CLIENT_NAMES
from outlet_client.ledger.ledger_reading import read_ledger, used_rows
from outlet_client.ledger.side_tables import read_rates, read_references
from outlet_client.ledger.sighting_rows import sightings_of
from outlet_client.people.book_reading import BookReading, identifier_tally, read_book
from outlet_client.setup.cell_doubts import CellCounters
from outlet_client.setup.column_tally import BadCell, ColumnTally, LedgerTally
from outlet_client.setup.doubts import Doubt, ask_accepted
from outlet_client.setup.event_doubts import event_doubts
from outlet_client.setup.intake_doubts import intake_doubts
from outlet_client.setup.mapping_doubts import mapping_doubts
from outlet_client.setup.mapping_problems import ask_mapping, first_rows_of, heading_twice
from outlet_client.setup.people_doubts import clients_half, people_doubts
from outlet_client.setup.preview import Preview, PreviewRow
from outlet_client.setup.unused_columns import is_always_sale, unused_doubts
from outlet_client.sources.table_reader import header_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from features.ledger import Tier
    from outlet_client.ledger.judged_rows import JudgedBatch
    from outlet_client.ledger.ledger_reading import LedgerReading
    from outlet_client.settings import OutletFile
    from outlet_client.sources.row_batches import Batch
    from outlet_client.sources.source import Source

    Progress = Callable[[str, int, float | None], None]

_MOST_READ = 20_000
"""So many different phones or e-mails are tried."""

NOBODY = "nobody can be recognised without phone or e-mail"


@dataclass(slots=True)
class DryRun:
    """What a dry run found.

    Attributes:
        columns: The ledger's columns by canonical name, as far as they could be read.
        intake: What would become of the ledger's rows; those in no tier count as quarantined.
        kinds: How many events of each kind would be used.
        unknown: References in no tier, and of how many rows each is.
        apart: Sightings that are nobody's, by reason; None where there are no sightings.
        preview: Rows as they are understood, masked.
        doubts: What speaks against the settings, accepted or not.
        clients_bad: Records of the client book that are no entries.
        problems: What must be put right; each a sentence.
        notes: What somebody should know.
    """

    columns: dict[str, ColumnTally] = field(default_factory=dict)
    intake: Intake = field(default_factory=lambda: Intake(0, 0, 0, 0, 0, 0))
    kinds: dict[str, int] = field(default_factory=dict)
    unknown: dict[str, int] = field(default_factory=dict)
    apart: dict[str, int] | None = None
    preview: list[PreviewRow] = field(default_factory=list)
    doubts: list[Doubt] = field(default_factory=list)
    clients_bad: list[BadCell] = field(default_factory=list)
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
    rated: frozenset[str] = frozenset()
    with _problem(found, "accept"):
        ask_accepted(settings)
    if settings.references is not None:
        with _problem(found, "references", settings.references):
            tiers = read_references(settings.references)
    if settings.rates is not None:
        with _problem(found, "rates", settings.rates):
            rated = frozenset(read_rates(settings.rates))
    with _problem(found, "sightings"):
        seen = sightings_of(place, settings)
    if settings.interests is not None:
        with _problem(found, "interests", settings.interests):
            read_interests(settings.interests)
    if settings.policy is not None:
        with _problem(found, "policy"):
            read_policy(settings.policy)
    if settings.clients is not None:
        with _problem(found, "clients", settings.clients):
            clients = _clients(found, settings)
    with _problem(found, "ledger", settings.ledger):
        reading = _ledger(found, settings, at, place, progress, rated)
    if reading is not None:
        with _problem(found, "ledger", settings.ledger):
            _events(found, reading, settings, at, tiers, seen)
        with _problem(found, "clients", settings.clients):
            _people(found, reading, settings, clients)
    return found


@contextmanager
def _problem(found: DryRun, name: str, source: Source | None = None) -> Iterator[None]:
    """Notes what cannot be read, with the outlet's own headings."""
    try:
        yield
    except LedgerError as error:
        found.problems.append(f"{name}: {_in_their_words(error, source)}")
    except (FeatureError, OutletError) as error:
        found.problems.append(f"{name}: {error}")
    except OSError as error:
        found.problems.append(f"{name}: {error.strerror or type(error).__name__}")


def _in_their_words(error: LedgerError, source: Source | None) -> LedgerError:
    """An error whose column is called as the outlet calls it."""
    own = None if source is None else source.columns.get(error.column or "")
    if own is None or own == error.column:
        return error
    return LedgerError(error.source, error.row, f"{own} ({error.column})", error.reason)


def _ledger(
    found: DryRun,
    settings: OutletFile,
    at: dt.datetime,
    home: Path,
    progress: Progress,
    rated: frozenset[str],
) -> LedgerReading:
    """Reads the ledger as a first night would, and counts its columns and cells."""
    source = settings.ledger
    ask_mapping(source)
    tally, cells, preview = (
        LedgerTally(source),
        CellCounters(source, rated),
        Preview(settings.region),
    )
    found.columns = tally.columns

    def hear(file: str, batch: Batch, judged: JudgedBatch) -> None:
        tally.add(file, batch, judged)
        cells.add(file, batch, judged)
        preview.add(file, batch, judged)
        progress(file, len(judged.rows), batch.share)

    reading = read_ledger(settings, home, at, noting=settings.clients is None, hear=hear)
    found.intake, found.preview = reading.intake, preview.rows
    rows = reading.ledger.rows
    used = rows.filter(pl.col("fate") == RowFate.USED.value)
    header = header_of(source)
    twice = heading_twice(source, header)
    first = first_rows_of(source, header)
    found.doubts += [
        *([] if twice is None else [twice]),
        *intake_doubts(reading.intake, rows),
        *unused_doubts(source, first),
        *mapping_doubts(source, first),
        *event_doubts(
            used, at.date(), always_sales=is_always_sale(source), by_sign=cells.has_signed_returns
        ),
        *cells.doubts(used["price"], used.select("file", "row", "date")),
    ]
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
    _note(found, settings, at)
    if not found.intake.rows:
        raise LedgerError(settings.ledger.name, None, None, "no rows; expected at least one event")
    if not found.intake.used:
        raise LedgerError(settings.ledger.name, None, None, _why_none(found, settings, at))


def _why_none(found: DryRun, settings: OutletFile, at: dt.datetime) -> str:
    intake, days = found.intake, found.columns["purchased_at"].range
    if intake.left_out and days is not None and isinstance(days[0], dt.date):
        return (
            f"no row can be used: {intake.left_out:,} are older than keep_days = "
            f"{settings.keep_days}; if these days are right, {(at.date() - days[0]).days} would "
            "keep them all"
        )
    if intake.walk_ins:
        return (
            f"no row can be used: {intake.walk_ins:,} are of nobody; is customer_id mapped right?"
        )
    return "no row can be used; the bad cells above say why"


def _note(found: DryRun, settings: OutletFile, at: dt.datetime) -> None:
    """Notes what is allowed and yet looks like a mistake."""
    intake = found.intake
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


def _clients(found: DryRun, settings: OutletFile) -> BookReading | None:
    """The client book; None where the ledger is the client book."""
    source = settings.clients
    if source is None:
        return None
    header = header_of(source)
    if "customer_id" not in source.constants and (
        source.columns.get("customer_id", "customer_id") not in header
    ):
        raise LedgerError(source.name, None, "customer_id", "missing; map it or add it")
    book = read_book(source)
    found.clients_bad = [
        BadCell(file, row, f"{column}: {reason}" if column else reason, None)
        for file, row, column, reason in book.bad.iter_rows()
    ]
    if book.bad.height:
        words = f"{book.bad.height:,} rows of the client book are no entries: they are listed"
        found.notes.append(f"clients: {words}")
    return book


def _people(
    found: DryRun, reading: LedgerReading, settings: OutletFile, clients: BookReading | None
) -> None:
    """Whether the customers can be recognised, by the client book or by the ledger itself.

    Raises:
        NotConfigured: If the region is unknown.
    """
    if settings.clients is not None and clients is None:
        return  # which is a problem already
    table = "ledger" if clients is None else "clients"
    book = reading.entries if clients is None else clients.rows
    there = (
        []
        if book is None
        else [name for name in CLIENT_NAMES if book[name].null_count() < len(book)]
    )
    if book is None or not there:
        what = "map phone or email, or name the client book in a section [clients]"
        raise LedgerError(_book_name(settings), None, None, f"{NOBODY}; {what}")
    tallies = {name: identifier_tally(book, name, settings.region, _MOST_READ) for name in there}
    for name, of_cells in tallies.items():
        tally = found.columns.setdefault(name, ColumnTally(name, f"of {_book_name(settings)}"))
        tally.usable = of_cells.usable, of_cells.different
    found.doubts += people_doubts(table, tallies, settings.region)
    if clients is not None:
        here = used_rows(reading.ledger)["customer"].unique()
        missing = clients.missing(here)
        if missing:
            words = f"clients: {missing:,} of {len(here):,} customers of the ledger are not in it"
            (found.problems if missing == len(here) else found.notes).append(words)
        doubt = clients_half(missing, len(here))
        found.doubts += [] if doubt is None or missing == len(here) else [doubt]


def _book_name(settings: OutletFile) -> str:
    return (settings.clients or settings.ledger).name
