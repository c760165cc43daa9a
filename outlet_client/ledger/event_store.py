"""The events that this outlet has read from its own ledger, and how they are kept up to date.

Invariant: what is committed is one whole reading: parts are written first, and one transaction
names them together with the marks, the counts and the client entries. A kill leaves the old state
or the new one. Every row has one fate, and `Intake` adds up.

A line has one row: of rows with one `line_id` the last one read stands, also where it was corrected
to a day that is too old to be kept. A row in quarantine corrects nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from outlet_client.database import engine_of, make_tables, reader_of
from outlet_client.ledger import intake_state
from outlet_client.ledger.ingest import Taking, by_file, counted, live, quarantined, rewrite
from outlet_client.ledger.intake_state import METADATA, label_of
from outlet_client.ledger.parquet_store import PART_SCHEMA, Parts
from outlet_client.people.client_entries import forget_ledger, note
from privacy.keyring import write_private

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable
    from pathlib import Path

    import sqlalchemy as sa

    from outlet_client.ledger.intake import Intake
    from outlet_client.ledger.intake_state import State
    from outlet_client.people.people_store import People
    from outlet_client.settings import OutletFile

_QUARANTINE = "quarantine.csv"


class EventStore:
    """One outlet's events."""

    def __init__(self, home: Path) -> None:
        """Opens the store in an outlet's folder, making its tables where they are missing."""
        self._home = home
        url = f"sqlite:///{home / 'outlet.db'}"
        self._engine, self._reader = engine_of(url), reader_of(url)
        self._parts = Parts(home)
        make_tables(self._engine, METADATA)

    @classmethod
    def open(cls, home: Path) -> EventStore:
        """Opens the store in an outlet's folder."""
        return cls(home)

    def close(self) -> None:
        """Closes all connections."""
        self._engine.dispose()
        self._reader.dispose()

    def take_in(
        self,
        settings: OutletFile,
        at: dt.datetime,
        people: People | None = None,
        progress: Callable[[int], None] = lambda _: None,
    ) -> Intake:
        """Reads what is new in the ledger. Safe to kill anywhere and to run again.

        Args:
            settings: The outlet's.
            at: When this is.
            people: Whose keys client entries are noted under, where the ledger is the client book;
                None notes none, and who comes with people later reads again.
            progress: Hears of the rows of each batch.

        Raises:
            LedgerError: If a file or table cannot be read at all; nothing was changed then.
            PartMissing: If a part that is needed is gone.
        """
        with self._parts.locked(alone=True):
            state = self._state()
            self._parts.tidy(state.named())
            taking = Taking(self._parts, state, settings, at)
            who = people if settings.clients is None else None
            taking.read(progress, noting=who is not None)
            found = taking.settle()
            if taking.changed:
                with self._engine.begin() as connection:
                    if who is not None:
                        _note(connection, taking, who, settings.region)
                    intake_state.save(connection, state)
                self._parts.tidy(state.named())
            _write_quarantine(self._home, taking.bad, state, settings)
            return found

    @property
    def is_filled(self) -> bool:
        """Whether a ledger was read, and what was read is still there."""
        state = self._state()
        return bool(state.files) and (state.named() == {""} or self._parts.are_there)

    def rows(self) -> pl.DataFrame:
        """The events that count: canonical columns without `tier`, and `line`."""
        with self._parts.locked(alone=False):
            state = self._state()
            frames = [live(self._parts, part) for part in state.parts.values()]
        whole = pl.concat(frames) if frames else pl.DataFrame(schema=PART_SCHEMA)
        return whole.select(pl.exclude("file", "row", "line"), "line")

    def purge(self, before: dt.date) -> int:
        """Removes the rows dated earlier, from the disk too; they are left out from now on.

        Returns:
            How many.
        """
        with self._parts.locked(alone=True):
            state = self._state()
            self._parts.tidy(state.named())
            gone = 0
            for part in list(state.parts.values()):
                if part.first_day >= before.isoformat():
                    continue
                rows = live(self._parts, part)
                old = pl.col("date") < before
                for number, count in by_file(rows.filter(old)):
                    held = state.of(number)
                    held.left_out += count
                    held.kept_from = max(held.kept_from, before.isoformat())
                    gone += count
                rewrite(self._parts, state, [part], rows.filter(~old))
            with self._engine.begin() as connection:
                intake_state.save(connection, state)
            self._parts.tidy(state.named())
        return gone

    def counts(self) -> Intake:
        """What became of all rows so far."""
        with self._parts.locked(alone=False):
            state = self._state()
            return counted(state, quarantined(self._parts, state), 0)

    def quarantine(self, settings: OutletFile) -> pl.DataFrame:
        """Why rows are in quarantine: file, row, line, column, reason; one row a bad cell."""
        with self._parts.locked(alone=False):
            state = self._state()
            return _labelled(quarantined(self._parts, state), state, settings)

    def columns(self) -> frozenset[str]:
        """The canonical columns that all of the ledger has."""
        held = [one.columns for one in self._state().files.values() if one.rows]
        return frozenset.intersection(*held) if held else frozenset()

    def _state(self) -> State:
        with self._reader.connect() as connection:
            return intake_state.load(connection)


def _note(connection: sa.Connection, taking: Taking, people: People, region: str) -> None:
    """Keeps who the customers of the rows just read are, under keys of this outlet."""
    if taking.whole:
        forget_ledger(connection)
    if taking.entries:
        entries = pl.concat(taking.entries).unique(maintain_order=True)
        note(connection, entries, people.local_key, region)


def _labelled(bad: pl.DataFrame, state: State, settings: OutletFile) -> pl.DataFrame:
    """Bad cells under the names of their files."""
    names = {held.number: label_of(held, settings.ledger) for held in state.files.values()}
    label = pl.col("file").replace_strict(names, return_dtype=pl.String)
    return bad.sort("file", "row", maintain_order=True).with_columns(label)


def _write_quarantine(home: Path, bad: pl.DataFrame, state: State, settings: OutletFile) -> None:
    """Writes the bad rows down for a person: where and why, never a cell."""
    place, data = home / _QUARANTINE, _labelled(bad, state, settings).write_csv().encode()
    if not place.exists() or place.read_bytes() != data:  # a kill may have left the last one
        write_private(place, data)
