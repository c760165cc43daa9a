"""What is counted of each column while a table is read: filled, distinct, range, bad cells.

Invariant: a tally keeps numbers, and of bad cells at most the first few, as an operator may see
them; everything else of a batch is let go.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from features.cells import text_of
from outlet_client.setup.redaction import Column, shown

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_BAD = 10
"""So many bad cells of a column are listed."""

_MOST_HASHES = 4_000_000

Range = tuple[dt.date, dt.date] | tuple[float, float]


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
class Tally:
    """A column, counted batch by batch.

    Attributes:
        name: The canonical one.
        own: The outlet's.
        cells: How many there were,
        filled: and how many of them hold anything.
        bad: How many cannot be read.
        range: The first and last day, or the least and largest amount.
        usable: Of how many different phones or e-mails how many can be used; None elsewhere.
    """

    name: str
    own: str
    cells: int = 0
    filled: int = 0
    bad: int = 0
    range: Range | None = None
    usable: tuple[int, int] | None = None
    _hashes: list[np.ndarray] = field(default_factory=list, repr=False)
    _waiting: int = 0
    _first: list[tuple[str, int, str, str | None]] = field(default_factory=list, repr=False)

    def add(self, column: pl.Series) -> None:
        """Counts a batch's cells."""
        filled = column.drop_nulls()
        if column.dtype == pl.String:
            filled = filled.filter(filled.str.contains(r"\S"))
        self.cells += len(column)
        self.filled += len(filled)
        hashes = _plain(filled).unique().hash().to_numpy()
        self._hashes.append(hashes)
        self._waiting += len(hashes)
        if self._waiting > _MOST_HASHES:
            self._hashes = [self.hashes]
            self._waiting = 0

    def add_range(self, values: pl.Series) -> None:
        """Widens the range by a batch's days or amounts; null where a cell is none."""
        low, high = values.min(), values.max()
        if low is None or high is None:
            return
        if self.range is not None:
            low, high = min(low, self.range[0]), max(high, self.range[1])
        self.range = (low, high)  # type: ignore[assignment]  # likewise

    def add_bad(self, file: str, bad: pl.DataFrame, text: Callable[[int], str | None]) -> None:
        """Counts bad cells and keeps the first.

        Args:
            file: The file's or table's name.
            bad: row and reason.
            text: The cell of a row as it was read.
        """
        self.bad += len(bad)
        for row, reason in (
            bad.select("row", "reason").head(MOST_BAD - len(self._first)).iter_rows()
        ):
            self._first.append((file, row, reason, text(row)))

    @property
    def hashes(self) -> np.ndarray:
        """Of the different cells, each once."""
        return np.unique(np.concatenate([*self._hashes, np.zeros(0, np.uint64)]))

    @property
    def distinct(self) -> int:
        """How many different cells there were."""
        self._hashes, self._waiting = [self.hashes], 0
        return len(self._hashes[0])

    def first_bad(self) -> list[BadCell]:
        """The first bad cells, as an operator may see them."""
        column = Column(self.name, self.distinct, self.bad < self.filled)
        return [
            BadCell(file, row, reason, shown(column, cell))
            for file, row, reason, cell in self._first
        ]


def _plain(column: pl.Series) -> pl.Series:
    """Keys as text, so that one key is one whatever type a table gives it."""
    whole = column.dtype in (pl.String, pl.Categorical) or column.dtype.is_integer()
    return text_of(column, "").drop_nulls() if whole else column
