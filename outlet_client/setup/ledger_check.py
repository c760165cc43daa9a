"""A ledger's rows, counted as a first night would count them.

Invariant: `rows == used + left_out + superseded + quarantined`; each of the four is counted from
the rows themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from features.cells import amounts
from features.ledger import with_tiers
from features.sightings import attach
from outlet_client.ledger.intake import chunk_of, first_day
from outlet_client.ledger.line_versions import Lines
from outlet_client.setup.findings import Counts, add_bad, tally_of
from outlet_client.sources.table_reader import format_of

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

    from features.ledger import Tier
    from outlet_client.settings import OutletFile
    from outlet_client.setup.findings import Found, Table
    from outlet_client.sources.row_batches import Batch


class LedgerCheck:
    """The ledger's rows, as they are read."""

    def __init__(
        self,
        settings: OutletFile,
        at: dt.datetime,
        tiers: Mapping[str, Tier] | None,
        seen: pl.DataFrame | None,
    ) -> None:
        self._source = settings.ledger
        self._form = format_of(settings.ledger)
        self._first, self._today = first_day(settings, at), at.date()
        self._tiers, self._seen = tiers, seen
        self._lines = Lines()
        self._kept = self._bad = 0
        self._unknown: list[pl.DataFrame] = []
        self._pieces: list[pl.DataFrame] = []
        self.counts = Counts()
        self.future = 0

    def add(self, file: int, name: str, batch: Batch, table: Table) -> None:
        """Judges a batch and counts it."""
        chunk = chunk_of(batch, name, self._form)
        table.rows += chunk.rows
        self._tally(name, batch, chunk.events, table)
        add_bad(table, name, batch, chunk.bad)
        self._bad += chunk.bad["row"].n_unique()
        kept = chunk.events["date"] >= self._first
        self.counts.left_out += len(kept) - int(kept.sum())
        self.future += int((chunk.events["date"] > self._today).sum())
        for kind, number in chunk.events["kind"].value_counts().iter_rows():
            self.counts.kinds[kind] = self.counts.kinds.get(kind, 0) + number
        self._lines.add(file, chunk.events, kept, 0, self._kept)
        if not chunk.bad.is_empty():
            self._lines.add_bad(file, chunk.bad)
        self._keep(chunk.events.filter(kept))

    def _tally(self, name: str, batch: Batch, events: pl.DataFrame, table: Table) -> None:
        for column in batch.rows.drop("row"):
            tally_of(table, self._source, column.name).add(column)
        table.columns["purchased_at"].add_range(events["date"])
        for amount in ("price", "list_price"):
            if amount in batch.rows.columns:
                read = amounts(batch.rows[amount], name, self._form.decimal).values
                table.columns[amount].add_range(read.filter(read.is_finite()))

    def _keep(self, rows: pl.DataFrame) -> None:
        """Holds on to what the tiers and sightings are about, and to nothing else."""
        places = pl.int_range(self._kept, self._kept + len(rows), dtype=pl.Int64, eager=True)
        self._kept += len(rows)
        tiered, unknown = with_tiers(rows.with_columns(places.alias("place")), self._tiers)
        self._unknown.append(unknown.select("place", "reference"))
        if self._seen is not None:
            self._pieces.append(
                tiered.filter(pl.col("serial").is_in(self._seen["serial"].implode()))
            )

    def settle(self, found: Found, table: Table) -> None:
        """Counts what became of the rows, corrected lines and unknown references among them."""
        counts, ended = self.counts, self._lines.ended()
        gone = pl.Series([], dtype=pl.Int64) if ended is None else ended.good["place"]
        bad_gone = 0 if ended is None else len(ended.bad)
        alive = ~pl.col("place").is_in(gone.implode())
        unknown = pl.concat(self._unknown).filter(alive) if self._unknown else pl.DataFrame()
        counts.rows = table.rows
        counts.superseded = len(gone) + bad_gone
        counts.unknown = len(unknown)
        counts.quarantined = self._bad - bad_gone + counts.unknown
        counts.used = self._kept - len(gone) - counts.unknown
        found.counts = counts
        if counts.unknown:
            by_reference = unknown["reference"].value_counts(sort=True)
            found.unknown = dict(by_reference.iter_rows())
        if self._seen is not None and self._pieces:
            pieces = pl.concat(self._pieces).filter(alive).drop("place", "row", "line")
            found.apart = attach(pieces, self._seen).counts()
