"""What becomes of each row of a ledger: used, too old, replaced, or in quarantine.

Invariant: every row that was read has one of these four fates, and a row's fate follows from the
rows alone: which file a row is in, where, which line it is, whether it can be read, and since when
its file says so.

A line has one row, the last that was read of it. A row that cannot be read replaces only such rows,
so an unreadable correction leaves what was known.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import polars as pl

from features.ledger import KINDS

if TYPE_CHECKING:
    from outlet_client.settings import OutletFile


class RowFate(StrEnum):
    """What becomes of a row."""

    USED = "used"
    LEFT_OUT = "left out"
    """It is older than is kept; of its cells nothing is kept but the line id."""

    SUPERSEDED = "superseded"
    """A later row of its line stands in its place."""

    QUARANTINED = "quarantined"
    """It cannot be read as an event."""


EVENT_CELLS: dict[str, pl.DataType] = {
    "customer": pl.String(),
    "outlet": pl.String(),
    "date": pl.Date(),
    "kind": KINDS,
    "price": pl.Float64(),
    "list_price": pl.Float64(),
    "basket": pl.String(),
    "serial": pl.String(),
    "reference": pl.String(),
}
"""A row's cells under their canonical names; all null where it is too old or cannot be read."""

BAD_CELLS = pl.List(pl.Struct({"column": pl.String, "reason": pl.String}))

ROW_SCHEMA: dict[str, pl.DataType] = {
    "file": pl.Int32(),
    "row": pl.Int64(),
    "line": pl.String(),
    **EVENT_CELLS,
    "bad": BAD_CELLS,
    "since": pl.Int32(),
    "fate": pl.Enum([fate.value for fate in RowFate]),
}
"""A row as it is kept: its file's number and its place there, its line id, its cells, what is wrong
with them (null where nothing is), the reading since which its file says this of its line (null
where a later row of the same file replaces it), and its fate."""

_IS_BAD, _IS_OLD = pl.col("bad").is_not_null(), pl.col("bad").is_null() & pl.col("date").is_null()


@dataclass(frozen=True, slots=True)
class Intake:
    """What became of a ledger's rows; `rows == used + left_out + superseded + quarantined`.

    Attributes:
        rows: All that were read and not replaced since by a later reading of their file.
        used: Those that count.
        left_out: Those that are older than is kept.
        superseded: Those whose line was corrected by a later row.
        quarantined: Those that cannot be read as events.
        read_now: How many were read just now.
    """

    rows: int
    used: int
    left_out: int
    superseded: int
    quarantined: int
    read_now: int

    @classmethod
    def of(cls, rows: pl.DataFrame, read_now: int = 0) -> Intake:
        """Counts rows by their fate."""
        counts = dict(rows["fate"].value_counts().iter_rows())
        used, left_out, superseded, quarantined = (counts.get(fate.value, 0) for fate in RowFate)
        return cls(len(rows), used, left_out, superseded, quarantined, read_now)

    @property
    def accounted(self) -> int:
        """How many rows have a fate; `rows`, or there is a defect."""
        return self.used + self.left_out + self.superseded + self.quarantined

    @property
    def share(self) -> float:
        """Of the rows, those in quarantine."""
        return self.quarantined / self.rows if self.rows else 0.0


def bad_cells(rows: pl.DataFrame) -> pl.DataFrame:
    """The bad cells of some rows: their columns, with column and reason for `bad`; one row each."""
    return rows.filter(_IS_BAD).explode("bad").unnest("bad")


def first_day(settings: OutletFile, at: dt.datetime) -> dt.date:
    """The first day whose events are kept."""
    return at.date() - dt.timedelta(days=min(settings.keep_days, at.date().toordinal() - 1))


def without_old_cells(rows: pl.DataFrame, first: dt.date) -> pl.DataFrame:
    """The same rows, without the cells of those before a day."""
    old = pl.col("date") < first
    if not rows.select(old.any()).item():
        return rows
    return rows.with_columns(pl.when(~old).then(pl.col(name)).alias(name) for name in EVENT_CELLS)


def with_since(
    rows: pl.DataFrame, before: pl.DataFrame, reading: int, first: dt.date
) -> pl.DataFrame:
    """Notes since when a file says of its lines what it says now.

    A file that is read again says nothing new of a line whose row is as it was: a correction of
    that line in another file stands.

    Args:
        rows: Of one file, in its order.
        before: What was kept of it.
        reading: The number of this reading.
        first: Rows before this day were too old in one of the two readings: they are alike.
    """
    stands = ~replaced(rows)
    if before.is_empty():
        return rows.with_columns(since=pl.when(stands).then(pl.lit(reading, pl.Int32)))
    known = before.filter(pl.col("line").is_not_null() & pl.col("since").is_not_null())
    names = ["line", *EVENT_CELLS]
    here = without_old_cells(rows.select(*names, "bad"), first).with_columns(bad=_IS_BAD)
    there = without_old_cells(known, first).select(*names, "since", bad=_IS_BAD)
    joined = here.join(there, on=["line", "bad"], how="left", maintain_order="left", suffix="_was")
    same = pl.all_horizontal(
        pl.col("since").is_not_null(),
        *(pl.col(name).eq_missing(pl.col(f"{name}_was")) for name in EVENT_CELLS),
    )
    since = pl.when(same).then("since").otherwise(pl.lit(reading, pl.Int32))
    told = rows.with_columns(since=pl.when(stands).then(joined.select(since).to_series()))
    twice = pl.col("line").is_not_null() & pl.col("line").is_duplicated()
    pairs = told.filter(twice & pl.col("since").is_not_null())
    if pairs.is_empty():
        return told
    # Of a line's row and the bad one behind it, the bad one is no older.
    later = pairs.select("row", pl.col("since").cum_max().over("line"))
    return told.update(later, on="row")


def with_fates(rows: pl.DataFrame) -> pl.DataFrame:
    """Gives every row its fate."""
    numbered = rows.with_row_index("place")
    told = numbered.filter(pl.col("since").is_not_null()).sort("since", "row")
    gone = told.filter(replaced(told))["place"]
    over = pl.col("since").is_null() | pl.col("place").is_in(gone.implode())
    fate = (
        pl.when(_IS_OLD)
        .then(pl.lit(RowFate.LEFT_OUT.value))
        .when(over)
        .then(pl.lit(RowFate.SUPERSEDED.value))
        .when(_IS_BAD)
        .then(pl.lit(RowFate.QUARANTINED.value))
        .otherwise(pl.lit(RowFate.USED.value))
    )
    fated = numbered.with_columns(fate=fate.cast(ROW_SCHEMA["fate"])).select(ROW_SCHEMA.keys())
    return fated.sort("file", "row")


def replaced(rows: pl.DataFrame) -> pl.Series:
    """Which rows a later row of their line replaces.

    Args:
        rows: `line` and `bad`, in the order in which they were read.
    """
    several = (
        rows.select("line", bad=_IS_BAD)
        .with_row_index("place")
        .filter(pl.col("line").is_not_null() & pl.col("line").is_duplicated())
    )
    good = several.filter(~pl.col("bad"))
    last = pl.col("line").is_last_distinct()
    gone = pl.concat([good.filter(~last), several.filter(pl.col("bad") & ~last)])["place"]
    return pl.int_range(len(rows), eager=True).is_in(gone.cast(pl.Int64).implode())
