"""What becomes of each row of a ledger: used, no event, too old, replaced, or in quarantine.

Invariant: every row that was read has one of these six fates, and a row's fate follows from the
rows alone: which file a row is in, where, which line it is, what it says, and since when its file
says so.

A line has one row, the last that was read of it. A row that cannot be read replaces only such rows,
so an unreadable correction leaves what was known; one that says that nothing was sold replaces a
sale.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

import polars as pl

from features.judging import CODE, NOTHING, VOID, WALK_IN
from features.kinds import KINDS
from outlet_client.sources.record_rules import BLANK, TOTAL, WHERE

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

    IGNORED = "ignored"
    """It is no event, by the settings or by what it is: a total, a blank, a deposit, void."""

    WALK_IN = "walk-in"
    """It is an event of nobody."""


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
    "refund": pl.Float64(),
    "bad": BAD_CELLS,
    "apart": pl.String(),
    "since": pl.Int32(),
    "fate": pl.Enum([fate.value for fate in RowFate]),
}
"""A row as it is kept: its file's number and its place there, its line id, its cells, what of a
purchase came back the same day, what is wrong with the cells (null where nothing is), why it is no
event (null where it is one, or bad), the reading since which its file says this of its line (null
where a later row of the same file replaces it), and its fate. Of a row that is bad or no event no
cell is kept but the line id."""

_SAID = (*EVENT_CELLS, "refund", "apart")
"""What two rows of a line that say the same have alike."""

_IS_BAD, _IS_APART = pl.col("bad").is_not_null(), pl.col("apart").is_not_null()
_IS_OLD = ~_IS_BAD & ~_IS_APART & pl.col("date").is_null()


REASONS = {
    BLANK: "nothing but blanks",
    TOTAL: "a total of other rows",
    WHERE: "left out by `where`",
    CODE: "left out by `codes.ignore`",
    VOID: "void, by its status",
    NOTHING: "of quantity 0",
    WALK_IN: "a sale to nobody you know",
}
"""Why a row is no event, in words."""

_APART = [RowFate.IGNORED.value, RowFate.WALK_IN.value]


@dataclass(frozen=True, slots=True)
class Intake:
    """What became of a ledger's rows; each is in one of the counts behind `rows`.

    Attributes:
        rows: All that were read and not replaced since by a later reading of their file.
        used: Those that count.
        left_out: Those that are older than is kept.
        superseded: Those whose line was corrected by a later row.
        quarantined: Those that cannot be read as events.
        read_now: How many were read just now.
        ignored: Those that are no events.
        walk_ins: Those that are events of nobody.
        reasons: How many of the last two there are for each reason, by the reason.
    """

    rows: int
    used: int
    left_out: int
    superseded: int
    quarantined: int
    read_now: int
    ignored: int = 0
    walk_ins: int = 0
    reasons: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: pl.DataFrame, read_now: int = 0) -> Intake:
        """Counts rows by their fate."""
        counts = dict(rows["fate"].value_counts().iter_rows())
        used, left_out, superseded, quarantined, ignored, walk_ins = (
            counts.get(fate.value, 0) for fate in RowFate
        )
        apart = rows.filter(pl.col("fate").is_in(_APART))["apart"]
        reasons = dict(apart.value_counts().sort("apart").iter_rows())
        return cls(
            len(rows), used, left_out, superseded, quarantined, read_now, ignored, walk_ins, reasons
        )

    @property
    def accounted(self) -> int:
        """How many rows have a fate; `rows`, or there is a defect."""
        apart = self.ignored + self.walk_ins
        return self.used + apart + self.left_out + self.superseded + self.quarantined

    @property
    def of_customers(self) -> int:
        """How many rows may be a customer's events."""
        return self.rows - self.ignored - self.walk_ins

    @property
    def share(self) -> float:
        """Of the rows that may be a customer's events, those in quarantine."""
        return self.quarantined / self.of_customers if self.of_customers else 0.0


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
    cells = (*EVENT_CELLS, "refund")
    return rows.with_columns(pl.when(~old).then(pl.col(name)).alias(name) for name in cells)


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
    names = ["line", *_SAID]
    here = without_old_cells(rows.select(*names, "bad"), first).with_columns(bad=_IS_BAD)
    there = without_old_cells(known, first).select(*names, "since", bad=_IS_BAD)
    joined = here.join(there, on=["line", "bad"], how="left", maintain_order="left", suffix="_was")
    same = pl.all_horizontal(
        pl.col("since").is_not_null(),
        *(pl.col(name).eq_missing(pl.col(f"{name}_was")) for name in _SAID),
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
        .when(pl.col("apart") == WALK_IN)
        .then(pl.lit(RowFate.WALK_IN.value))
        .when(_IS_APART)
        .then(pl.lit(RowFate.IGNORED.value))
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
