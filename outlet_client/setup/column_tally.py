"""What a dry run tells of each column of a ledger: what is filled, from when to when, what is bad.

Invariant: a tally keeps numbers, and of bad cells at most the first few, as an operator may see
them; everything else of a batch is let go.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import polars as pl

from outlet_client.ledger.intake import bad_cells
from outlet_client.setup.redaction import CODE_COLUMNS, Column, shown
from outlet_client.setup.sample_columns import MOST_CODES

if TYPE_CHECKING:
    import datetime as dt

    from outlet_client.ledger.judged_rows import JudgedBatch
    from outlet_client.sources.row_batches import Batch
    from outlet_client.sources.source import Source

MOST_BAD = 10
"""So many bad cells of a column are listed."""

WHOLE_ROW = ""
"""The column of what is wrong with a record as a whole."""

_MEASURED = {"purchased_at": "date", "price": "price", "list_price": "list_price"}
"""The columns that have a least and a largest value, and what these are called in an event."""


@dataclass(frozen=True, slots=True)
class BadCell:
    """A cell that cannot be read.

    Attributes:
        file: The file's or table's name.
        row: From 1 for its first row.
        reason: Why; without the cell.
        cell: The cell, or its shape; None of a column that is never shown, or where it is empty.
    """

    file: str
    row: int
    reason: str
    cell: str | None


@dataclass(slots=True)
class ColumnTally:
    """A column, counted batch by batch.

    Attributes:
        name: The canonical one.
        own: The outlet's.
        filled: How many of its cells hold anything.
        bad: How many cannot be read.
        range: The first and last day, or the least and largest amount without its sign.
        usable: Of how many different phones or e-mails how many can be used; None elsewhere.
    """

    name: str
    own: str
    filled: int = 0
    bad: int = 0
    range: tuple[dt.date, dt.date] | tuple[float, float] | None = None
    usable: tuple[int, int] | None = None
    _codes: set[str] = field(default_factory=set, repr=False)
    _first: list[tuple[str, int, str, str | None]] = field(default_factory=list, repr=False)

    @property
    def heading(self) -> str:
        """The column as the outlet calls it, with what it is read as; "" of whole rows."""
        if self.own in (self.name, "") or self.name == WHOLE_ROW:
            return self.name
        return f"{self.own} ({self.name})"

    def add(self, cells: pl.Series, read: pl.Series | None) -> None:
        """Counts a batch's cells.

        Args:
            cells: As they were read.
            read: The days or amounts among them that can be used; None of another column.
        """
        filled = cells.drop_nulls()
        if cells.dtype == pl.String:
            filled = filled.filter(filled.str.contains(r"\S"))
        self.filled += len(filled)
        if self.name in CODE_COLUMNS and len(self._codes) <= MOST_CODES:
            self._codes |= set(filled.cast(pl.String).unique().head(MOST_CODES + 1))
        if read is not None and len(read):
            ends = [read.min(), read.max(), *(self.range or ())]
            self.range = (min(ends), max(ends))

    def add_bad(self, file: str, batch: Batch, bad: pl.DataFrame) -> None:
        """Counts bad cells and keeps the first.

        Args:
            file: The file's or table's name.
            batch: What was read.
            bad: row and reason of each.
        """
        self.bad += len(bad)
        for row, reason in bad.head(MOST_BAD - len(self._first)).iter_rows():
            cells = batch.rows.filter(pl.col("row") == row).to_dict(as_series=False)
            cell = next(iter(cells.get(self.name, ())), None)
            self._first.append((file, row, reason, None if cell is None else str(cell)))

    def first_bad(self) -> list[BadCell]:
        """The first bad cells, as an operator may see them."""
        column = Column(self.name, len(self._codes), self.bad < self.filled)
        return [
            BadCell(file, row, reason, shown(column, cell))
            for file, row, reason, cell in self._first
        ]


class LedgerTally:
    """The columns of a ledger, counted as they are read.

    Attributes:
        columns: By canonical name, and what is wrong with records as a whole.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self.columns: dict[str, ColumnTally] = {}

    def add(self, file: str, batch: Batch, judged: JudgedBatch) -> None:
        """Counts a batch."""
        events = judged.events
        for cells in batch.rows.drop("row"):
            measured = _MEASURED.get(cells.name)
            read = None if measured is None else events[measured]
            self._column(cells.name).add(cells, read)
        every = bad_cells(judged.rows.select("row", "bad"))
        for (name,), bad in every.group_by("column", maintain_order=True):
            self._column(str(name)).add_bad(file, batch, bad.select("row", "reason"))

    def _column(self, name: str) -> ColumnTally:
        constant = self._source.constants.get(name)
        own = self._source.columns.get(name, name) if constant is None else f"always {constant}"
        return self.columns.setdefault(name, ColumnTally(name, own))
