"""One reading of a ledger: the files that changed are read anew, and every row gets its fate.

Invariant: nothing is written here, so a night and `check` read with the same code. Every record
that a file holds is a good row, a bad one or one that is no event, and never two of them; and a
reading whose rows do not add up is never handed back.

A file that is there speaks for itself, whole: what it holds no more counts no more. A file that is
gone keeps the rows that were read of it. A database is read whole, as it stands.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import logging
import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import polars as pl

from features.ledger import with_refunds
from outlet_client.ledger.intake import (
    EVENT_CELLS,
    ROW_SCHEMA,
    Intake,
    RowFate,
    first_day,
    with_fates,
    with_since,
    without_old_cells,
)
from outlet_client.ledger.judged_rows import READ_SCHEMA, judged_file, label_of, paths_of
from outlet_client.ledger.side_tables import read_rates
from outlet_client.people.identifiers import reading_rules
from outlet_client.sources.customer_keys import fingerprint
from outlet_client.sources.row_batches import readable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from outlet_client.ledger.judged_rows import Dated, Hear, JudgedBatch
    from outlet_client.settings import OutletFile
    from outlet_client.sources.source import Source

_LOG = logging.getLogger(__name__)

_READING = "3"
"""Grows when this program reads the same cells differently: every file is then read anew."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of the ledger, or its database, as it was when it was read.

    Attributes:
        number: Its own, in the rows' column `file`.
        name: Its path from the outlet's folder; "" of a database.
        label: Its name for people, or the table's.
        size: In bytes.
        mtime_ns: When it was written.
        sha256: Digest of its bytes, by which it is known again under another name.
        mapping: Digest of how its cells were read.
        kept_from: The first day of the rows that were kept of it, ISO 8601.
        region: By which rules its client entries were noted, and with which region; "" where they
            were not.
        columns: The canonical names it has, and phone and email.
        headings: What it calls its columns where that is not their canonical name.
    """

    number: int = 0
    name: str = ""
    label: str = ""
    size: int = 0
    mtime_ns: int = 0
    sha256: str = ""
    mapping: str = ""
    kept_from: str = ""
    region: str = ""
    columns: tuple[str, ...] = ()
    headings: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, repr=False)
class ReadLedger:
    """A ledger as it was read, so far.

    Attributes:
        files: By name.
        rows: Of all files, as `ROW_SCHEMA`.
        readings: How many files were read, each as often as it was.
        source: Digest of where the ledger is; "" before the first reading.
    """

    files: dict[str, SourceFile] = field(default_factory=dict)
    rows: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=ROW_SCHEMA))
    readings: int = 0
    source: str = ""

    def with_file(self, file: SourceFile, rows: pl.DataFrame) -> ReadLedger:
        """The same with a file that was just read in the place of what was known of it."""
        others = self.rows.filter(pl.col("file") != file.number)
        fate = pl.lit(None, ROW_SCHEMA["fate"])
        theirs = rows.with_columns(file=pl.lit(file.number, pl.Int32), fate=fate)
        return replace(
            self,
            files={**self.files, file.name: file},
            rows=pl.concat([others, theirs.select(ROW_SCHEMA.keys())]),
            readings=self.readings + 1,
        )

    @property
    def next_number(self) -> int:
        """A number that no file has."""
        return max((file.number for file in self.files.values()), default=0) + 1


@dataclass(frozen=True, slots=True, repr=False)
class LedgerReading:
    """What a reading found.

    Attributes:
        ledger: All that is known now.
        intake: What became of its rows.
        entries: Client entries of what was read now: customer_id, phone and email as written.
        is_whole: Whether all of the ledger was read now, so that older entries are former ones.
        is_new: Whether anything is to be saved.
    """

    ledger: ReadLedger
    intake: Intake
    entries: pl.DataFrame | None
    is_whole: bool
    is_new: bool


def read_ledger(
    settings: OutletFile,
    home: Path,
    at: dt.datetime,
    before: ReadLedger | None = None,
    *,
    noting: bool = False,
    hear: Hear = lambda *_: None,
) -> LedgerReading:
    """Reads every file that is not as it was, or the database, and gives every row its fate.

    Args:
        settings: The outlet's.
        home: Its folder, from which files have their names.
        at: When this is.
        before: What was read before; None of nothing.
        noting: Whether client entries are wanted.
        hear: Hears of each batch as it was read: the file's name, the batch, and what it holds.

    Raises:
        LedgerError: If a file or table cannot be read at all.
        CountsDiffer: If the rows do not add up.
    """
    known = before or ReadLedger()
    ledger = _of_this_source(known, settings.ledger, home)
    paths = paths_of(settings.ledger)
    dated = {} if settings.rates is None else read_rates(settings.rates)
    ledger = _with_renamed(ledger, paths, home)
    wanted = SourceFile(
        mapping=_mapping_of(settings.ledger, dated, home),
        kept_from=first_day(settings, at).isoformat(),
        region=reading_rules(settings.region) if noting else "",
    )
    due = [path for path in paths if not _is_as_read(path, ledger, wanted, home)]
    entries: list[pl.DataFrame] = []
    read_now = 0
    for path in sorted(due, key=_changed_at):
        held = ledger.files.get(_name_of(path, home))
        file = replace(
            wanted,
            number=ledger.next_number if held is None else held.number,
            name=_name_of(path, home),
            label=label_of(settings.ledger, path),
            headings=settings.ledger.columns,
            **_stamp_of(path),
        )
        file, rows = _read(file, judged_file(settings.ledger, path, hear, dated), entries)
        read_now += len(rows)
        ledger = ledger.with_file(file, _told(rows, file, held, ledger))
    if due:
        ledger = replace(ledger, rows=with_fates(ledger.rows))
    return LedgerReading(
        ledger,
        Intake.of(ledger.rows, read_now),
        pl.concat(entries).unique(maintain_order=True) if entries else None,
        is_whole=len(due) == len(ledger.files),
        is_new=ledger is not known,
    )


IS_REFUND = "is_refund"
"""Which events were made of a purchase that came back the same day; their row has one more."""


def used_rows(ledger: ReadLedger) -> pl.DataFrame:
    """The events that count: canonical columns without `tier`, `line`, and `IS_REFUND`, Boolean."""
    used = ledger.rows.filter(pl.col("fate") == RowFate.USED.value)
    return with_refunds(used.select(*EVENT_CELLS, "line", "refund"), IS_REFUND)


def _name_of(path: Path | None, home: Path) -> str:
    return "" if path is None else os.path.relpath(path, home.resolve())


def _changed_at(path: Path | None) -> tuple[int, str]:
    return (0, "") if path is None else (path.stat().st_mtime_ns, str(path))


def _digest(told: object) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _mapping_of(source: Source, dated: Dated, home: Path) -> str:
    """A digest of how a ledger's cells are read."""
    other = {"source", "table", "query", "password_file", "accept"}
    told = source.model_dump(mode="json", exclude=other)
    rates = {code: [[str(day), rate] for day, rate in days] for code, days in dated.items()}
    return _digest([_READING, told, rates, fingerprint(home)])


def _of_this_source(ledger: ReadLedger, source: Source, home: Path) -> ReadLedger:
    """What was read before, or nothing if the ledger was somewhere else then."""
    where = source.source if source.is_database else os.path.relpath(source.source, home.resolve())
    digest = _digest([where, source.table, source.query])
    if ledger.source == digest:
        return ledger
    if ledger.source:
        _LOG.warning(
            "the ledger is another one than before: %d rows that were read of that one count no "
            "more", len(ledger.rows),
        )  # fmt: skip
    return ReadLedger(readings=ledger.readings, source=digest)


def _with_renamed(ledger: ReadLedger, paths: list[Path | None], home: Path) -> ReadLedger:
    """A file that was renamed is the one it was: its rows must not count twice."""
    gone = {
        file.sha256: file
        for file in ledger.files.values()
        if file.sha256 and not (home / file.name).exists()
    }
    files = dict(ledger.files)
    sizes = {file.size for file in gone.values()}
    for path in paths:
        name = _name_of(path, home)
        if path is None or name in files or path.stat().st_size not in sizes:
            continue
        file = gone.pop(_sha256_of(path), None)
        if file is not None:
            del files[file.name]
            files[name] = replace(file, name=name, mtime_ns=path.stat().st_mtime_ns)
    return ledger if files == ledger.files else replace(ledger, files=files)


def _sha256_of(path: Path) -> str:
    with readable(path.name, "a file"), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_as_read(path: Path | None, ledger: ReadLedger, wanted: SourceFile, home: Path) -> bool:
    """Whether what was kept of a file is what reading it now would give."""
    held = ledger.files.get(_name_of(path, home))
    if path is None or held is None:
        return False
    with readable(path.name, "a file"):
        stat = path.stat()
    return (
        (stat.st_size, stat.st_mtime_ns) == (held.size, held.mtime_ns)
        and held.mapping == wanted.mapping
        and held.kept_from <= wanted.kept_from
        and wanted.region in ("", held.region)
    )


def _stamp_of(path: Path | None) -> dict[str, Any]:
    """How a file is before it is read: what changes meanwhile is read next time."""
    if path is None:
        return {}
    stat = path.stat()
    return {
        "size": stat.st_size,
        "mtime_ns": stat.st_mtime_ns,
        "sha256": _sha256_of(path),
    }


def _read(
    file: SourceFile, batches: Iterator[JudgedBatch], entries: list[pl.DataFrame]
) -> tuple[SourceFile, pl.DataFrame]:
    """A file's rows, good and bad, and the file with its columns; client entries are added."""
    parts = [pl.DataFrame(schema=READ_SCHEMA)]
    for batch in batches:
        parts.append(batch.rows)
        file = replace(file, columns=tuple(sorted(batch.columns)))
        if batch.entries is not None:
            entries.append(batch.entries)
    return file, pl.concat(parts)


def _told(
    rows: pl.DataFrame, file: SourceFile, held: SourceFile | None, ledger: ReadLedger
) -> pl.DataFrame:
    """A file's rows without those that are too old, and since when it says so of its lines."""
    before = ledger.rows.filter(pl.col("file") == file.number)
    if len(before) > len(rows):
        _LOG.warning("%s: %d rows fewer than before", file.label, len(before) - len(rows))
    if set(ledger.files) <= {file.name}:  # no other file says anything of its lines
        before = before.clear()
    first = dt.date.fromisoformat(file.kept_from)
    either = first if held is None else max(first, dt.date.fromisoformat(held.kept_from))
    return with_since(without_old_cells(rows, first), before, ledger.readings + 1, either)
