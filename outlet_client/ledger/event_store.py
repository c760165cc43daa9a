"""The events that this outlet has read from its own ledger, in one file that a reading replaces.

Invariant: `events/ledger.parquet` is one whole reading: rows, fates, and of each source file how it
was when it was read. A new reading is written beside it, synced and renamed, so a kill leaves the
last one or this one. Client entries are committed before: after a kill between the two, the next
reading notes the same entries again.
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import polars as pl

from outlet_client.errors import OutletError
from outlet_client.ledger.earlier_rows import (
    SecretLost,
    ensure_customer_secret,
    of_this_release,
    without_clear_mailboxes,
)
from outlet_client.ledger.intake import (
    Intake,
    RowFate,
    bad_cells,
    with_fates,
    without_old_cells,
)
from outlet_client.ledger.ledger_reading import ReadLedger, SourceFile, read_ledger, used_rows
from outlet_client.ledger.old_parts import with_vanished_files
from outlet_client.people.client_entries import forget_ledger, note_entries
from privacy.keyring import write_private

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from outlet_client.ledger.ledger_reading import LedgerReading
    from outlet_client.people.people_store import People
    from outlet_client.settings import OutletFile

_FOLDER, _FILE, _LOCK = "events", "ledger.parquet", "events.lock"
_QUARANTINE = "quarantine.csv"
_ABOUT = "escapement"


__all__ = ["EventStore", "EventsDamaged", "SecretLost"]


class EventsDamaged(OutletError):
    """What was read before cannot be read back."""

    def __init__(self) -> None:
        super().__init__(
            f"{_FOLDER}/{_FILE}: damaged; bring the outlet's folder back from a backup, or delete "
            "this file: the ledger is then read anew, without what was in files that are gone"
        )


class EventStore:
    """One outlet's events."""

    def __init__(self, home: Path) -> None:
        """Opens the store in an outlet's folder.

        Args:
            home: The outlet's folder.
        """
        self._home = home
        self._place = home / _FOLDER / _FILE

    @property
    def place(self) -> Path:
        """The file; each reading that changed something replaces it."""
        return self._place

    def take_in(
        self,
        settings: OutletFile,
        at: dt.datetime,
        people: People | None = None,
        progress: Callable[[int], None] = lambda _: None,
    ) -> Intake:
        """Reads what changed in the ledger. Safe to kill anywhere and to run again.

        Args:
            settings: The outlet's.
            at: When this is.
            people: Whose keys client entries are noted under, where the ledger is the client book;
                None notes none, and who comes with people later reads again.
            progress: Hears of the rows of each batch.

        Raises:
            LedgerError: If a file or table cannot be read at all; nothing was changed then.
            EventsDamaged: If what was read before cannot be read back.
            SecretLost: If the secret of customers' keys is gone that stored rows were made with.
        """
        with self.locked():
            who = people if settings.clients is None else None
            held = self._load()
            ensure_customer_secret(self._home, held.rows)
            reading = read_ledger(
                settings,
                self._home,
                at,
                held,
                noting=who is not None,
                hear=lambda _name, _batch, judged: progress(len(judged.rows)),
            )
            ledger = reading.ledger
            if not self.is_filled:
                ledger = with_vanished_files(ledger, self._home)
                ledger = replace(ledger, rows=without_clear_mailboxes(ledger.rows, self._home))
            if reading.is_new:
                if who is not None:
                    # Rows that 0.1 kept of files that are gone were not read now.
                    all_read = reading.is_whole and len(ledger.files) == len(reading.ledger.files)
                    _note(reading, who, settings.region, forget=all_read)
                self._save(ledger)
            _write_quarantine(self._home, _bad_cells(ledger))
            return Intake.of(ledger.rows, reading.intake.read_now)

    @property
    def is_filled(self) -> bool:
        """Whether a ledger was read, and what was read is still there."""
        return self._place.exists()

    def rows(self) -> pl.DataFrame:
        """The events that count, as `used_rows` has them."""
        return used_rows(self._load())

    def purge(self, before: dt.date) -> int:
        """Removes the rows dated earlier, from the disk too; they are left out from now on.

        So are mailboxes that release 0.2 kept in clear.

        Returns:
            How many.
        """
        with self.locked():
            ledger, in_clear = self._loaded()
            if not in_clear and not (ledger.rows["date"] < before).any():
                return 0
            rows = with_fates(without_old_cells(ledger.rows, before))
            files = {
                file.name: replace(file, kept_from=max(file.kept_from, before.isoformat()))
                for file in ledger.files.values()
            }
            self._save(replace(ledger, files=files, rows=rows))
            return Intake.of(ledger.rows).used - Intake.of(rows).used

    def counts(self) -> Intake:
        """What became of all rows so far."""
        return Intake.of(self._load().rows)

    def quarantine(self) -> pl.DataFrame:
        """Why rows are in quarantine: file, row, line, column, reason; one row a bad cell."""
        return _bad_cells(self._load())

    def columns(self) -> frozenset[str]:
        """The canonical columns that all of the ledger has."""
        ledger = self._load()
        read = set(ledger.rows["file"].unique())
        held = [set(file.columns) for file in ledger.files.values() if file.number in read]
        return frozenset(set.intersection(*held)) if held else frozenset()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Waits until nobody else writes; readers wait for nobody."""
        descriptor = os.open(self._home / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _load(self) -> ReadLedger:
        """What was read so far."""
        return self._loaded()[0]

    def _loaded(self) -> tuple[ReadLedger, bool]:
        """The same, and whether it holds mailboxes in clear on the disk."""
        if not self.is_filled:
            return ReadLedger(), False
        try:
            with self._place.open("rb") as file:  # one file, also where it is replaced meanwhile
                about = json.loads(pl.read_parquet_metadata(file)[_ABOUT])
                file.seek(0)
                stored = of_this_release(pl.read_parquet(file))
            files = [SourceFile(**one) for one in about["files"]]
        except (OSError, ValueError, KeyError, TypeError, pl.exceptions.PolarsError) as error:
            raise EventsDamaged from error
        rows = without_clear_mailboxes(stored, self._home)
        names = {file.name: file for file in files}
        return ReadLedger(names, rows, about["readings"], about["source"]), rows is not stored

    def _save(self, ledger: ReadLedger) -> None:
        """Puts a reading in the place of the last one; after this it outlives a power cut.

        Raises:
            OSError: If the disk is full.
        """
        files = [asdict(file) for file in ledger.files.values()]
        about = {"files": files, "readings": ledger.readings, "source": ledger.source}
        self._place.parent.mkdir(mode=0o700, exist_ok=True)
        new = self._place.with_suffix(".new")
        write_private(new, b"")
        try:
            ledger.rows.write_parquet(new, compression="lz4", metadata={_ABOUT: json.dumps(about)})
        except pl.exceptions.PolarsError as error:
            raise OSError(f"{new.name}: not written; is the disk full?") from error
        _sync(new)
        new.replace(self._place)
        _sync(self._place.parent)
        for other in self._place.parent.iterdir():  # the parts of 0.1
            if other != self._place:
                other.unlink()


def _sync(place: Path) -> None:
    descriptor = os.open(place, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _note(reading: LedgerReading, people: People, region: str | None, *, forget: bool) -> None:
    """Keeps who the customers of the rows just read are, under keys of this outlet."""
    with people.transaction() as connection:
        if forget:
            forget_ledger(connection)
        if reading.entries is not None:
            note_entries(connection, reading.entries, people.local_key, region)


def _bad_cells(ledger: ReadLedger) -> pl.DataFrame:
    """The bad cells of rows in quarantine, under the names of their files and own columns."""
    rows = ledger.rows.filter(pl.col("fate") == RowFate.QUARANTINED.value)
    cells = bad_cells(rows.select("file", "row", "line", "bad"))
    for file in ledger.files.values():
        own = pl.col("column").replace(file.headings)
        theirs = pl.col("file") == file.number
        cells = cells.with_columns(column=pl.when(theirs).then(own).otherwise("column"))
    names = {file.number: file.label for file in ledger.files.values()}
    label = pl.col("file").replace_strict(names, default="", return_dtype=pl.String)
    return cells.with_columns(label)


def _write_quarantine(home: Path, bad: pl.DataFrame) -> None:
    """Writes the bad rows down for a person: where and why, never a cell."""
    place, data = home / _QUARANTINE, bad.write_csv().encode()
    if not place.exists() or place.read_bytes() != data:  # a kill may have left the last one
        write_private(place, data)
