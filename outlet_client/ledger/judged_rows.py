"""The rows of a ledger's files as they are read: each one judged, good, bad or no event.

Invariant: every record that is read is a good row, a bad one or one that is no event, and never two
of them; no phone and no e-mail is in a row, only in client entries, which are kept under keys.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from features.errors import LedgerError
from features.judging import are_words
from features.ledger import (
    IS_RETURN,
    KIND,
    LINE_ID,
    NEEDED,
    OPTIONAL,
    ROW,
    judge,
    text_of,
)
from outlet_client.errors import OutletError
from outlet_client.ledger.intake import EVENT_CELLS, ROW_SCHEMA
from outlet_client.sources.table_reader import (
    Batch,
    files_of,
    format_of,
    read_database,
    read_file,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from features.ledger import LedgerFormat
    from outlet_client.sources.source import Source

CLIENT_NAMES = ("phone", "email")
_WANTED = (*NEEDED, KIND, IS_RETURN, *OPTIONAL, *CLIENT_NAMES)

READ_SCHEMA = {
    name: kind for name, kind in ROW_SCHEMA.items() if name not in ("file", "since", "fate")
}
"""A row as it is read, before it is compared with others."""


class CountsDiffer(OutletError):
    """Rows in and rows accounted for are not the same: a defect. Nothing of it was kept."""

    def __init__(self, rows: int, accounted: int) -> None:
        super().__init__(
            f"ledger: got {rows} rows, and {accounted} of them accounted for; please report it"
        )


@dataclass(frozen=True, slots=True, repr=False)
class JudgedBatch:
    """Some rows of one file or query.

    Attributes:
        rows: Good ones, bad ones, and those that are no events, as `READ_SCHEMA`.
        columns: The canonical names that the file has, and phone and email.
        entries: customer_id, phone and email as written, each once; None where there are none.
    """

    rows: pl.DataFrame
    columns: frozenset[str]
    entries: pl.DataFrame | None

    @property
    def events(self) -> pl.DataFrame:
        """The good ones."""
        good = pl.col("bad").is_null() & pl.col("apart").is_null()
        return self.rows.filter(good).drop("bad", "apart")


Dated = Mapping[str, Sequence[tuple[dt.date, float]]]
"""What one unit of other currencies is worth from which day on, by currency."""

Hear = Callable[[str, Batch, JudgedBatch], None]
"""Hears of each batch as it was read: the file's or table's name, the batch, and what it holds."""


def judged_file(
    source: Source, path: Path | None, hear: Hear = lambda *_: None, dated: Dated | None = None
) -> Iterator[JudgedBatch]:
    """Reads and judges one of a ledger's files, or its database.

    Args:
        source: The ledger.
        path: Of `paths_of`.
        hear: Hears of each batch.
        dated: Rates of other currencies, as `format_of` takes them.

    Raises:
        LedgerError: If it cannot be read at all.
        CountsDiffer: If rows got lost, or are there twice.
    """
    name, form = label_of(source, path), format_of(source, dated)
    batches = read_database(source, _WANTED) if path is None else read_file(source, path, _WANTED)
    for batch in batches:
        found = _judged(batch, name, form, source.columns)
        hear(name, batch, found)
        yield found


def paths_of(source: Source) -> list[Path | None]:
    """A ledger's files; None is its database.

    Raises:
        LedgerError: If there is no such file.
    """
    return [None] if source.is_database else [*files_of(source)]


def label_of(source: Source, path: Path | None) -> str:
    """A file's name for people, or the table's."""
    return source.name if path is None else path.name


def _judged(
    batch: Batch, name: str, form: LedgerFormat, headings: Mapping[str, str]
) -> JudgedBatch:
    """A batch's rows, each with what it is; errors name the outlet's own headings."""
    try:
        judged = judge(batch.rows, name, form)
    except LedgerError as error:
        own = headings.get(error.column or "")
        if own is None:
            raise
        raise LedgerError(error.source, error.row, own, error.reason) from error
    good = [pl.lit(None, READ_SCHEMA[one]).alias(one) for one in ("bad", "apart")]
    rows = judged.events.select("row", "line", *EVENT_CELLS, "refund", *good)
    cells = pl.concat([batch.malformed.select(judged.bad.columns), judged.bad])
    parts = [rows]
    if not cells.is_empty():
        bad = cells.group_by(ROW).agg(pl.struct("column", "reason").alias("bad"))
        if LINE_ID in batch.rows.columns:
            lines = text_of(batch.rows[LINE_ID], name).alias("line")
            bad = bad.join(pl.DataFrame([batch.rows[ROW], lines]), on=ROW, how="left")
        parts.append(bad)
    parts += [one.rename({"reason": "apart"}) for one in (batch.apart, judged.apart) if len(one)]
    if len(parts) > 1:
        rows = pl.concat(parts, how="diagonal").sort(ROW)
    records = len(batch.rows) + batch.malformed[ROW].n_unique() + len(batch.apart)
    if not len(rows) == rows[ROW].n_unique() == records:
        raise CountsDiffer(records, len(rows))
    columns = frozenset(_WANTED).intersection(batch.rows.columns)
    return JudgedBatch(rows, columns, _entries(batch.rows, form))


def _entries(rows: pl.DataFrame, form: LedgerFormat) -> pl.DataFrame | None:
    """Who the customers of a ledger are, where it says so; nobody is none of them."""
    there = [name for name in CLIENT_NAMES if name in rows.columns]
    if not there or rows.is_empty():
        return None
    cells = rows.select(
        text_of(rows["customer_id"], ""),
        *(pl.col(name).cast(pl.String) for name in there),
        *(pl.lit(None, pl.String).alias(name) for name in set(CLIENT_NAMES) - set(there)),
    )
    known = cells.select("customer_id", *CLIENT_NAMES).drop_nulls("customer_id").unique()
    return known.filter(~are_words(known["customer_id"], form.walk_ins))
