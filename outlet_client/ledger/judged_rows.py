"""The rows of a ledger's files as they are read: each one judged, good or bad.

Invariant: every record that is read is a good row or a bad one, never neither and never both; no
phone and no e-mail is in a row, only in client entries, which are kept under keys.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

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

    from features.ledger import Format
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
        rows: Good ones and bad ones, as `READ_SCHEMA`.
        columns: The canonical names that the file has, and phone and email.
        entries: customer_id, phone and email as written, each once; None where there are none.
    """

    rows: pl.DataFrame
    columns: frozenset[str]
    entries: pl.DataFrame | None

    @property
    def events(self) -> pl.DataFrame:
        """The good ones."""
        return self.rows.filter(pl.col("bad").is_null()).drop("bad")


Hear = Callable[[str, Batch, JudgedBatch], None]
"""Hears of each batch as it was read: the file's or table's name, the batch, and what it holds."""


def judged_file(
    source: Source, path: Path | None, hear: Hear = lambda *_: None
) -> Iterator[JudgedBatch]:
    """Reads and judges one of a ledger's files, or its database.

    Args:
        source: The ledger.
        path: Of `paths_of`.
        hear: Hears of each batch.

    Raises:
        LedgerError: If it cannot be read at all.
        CountsDiffer: If rows got lost, or are there twice.
    """
    name, form = label_of(source, path), format_of(source)
    batches = read_database(source, _WANTED) if path is None else read_file(source, path, _WANTED)
    for batch in batches:
        found = _judged(batch, name, form)
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


def _judged(batch: Batch, name: str, form: Format) -> JudgedBatch:
    judged = judge(batch.rows, name, form)
    rows = judged.events.select("row", "line", *EVENT_CELLS, bad=pl.lit(None, READ_SCHEMA["bad"]))
    cells = pl.concat([batch.malformed.select(judged.bad.columns), judged.bad])
    if not cells.is_empty():
        bad = cells.group_by(ROW).agg(pl.struct("column", "reason").alias("bad"))
        if LINE_ID in batch.rows.columns:
            lines = text_of(batch.rows[LINE_ID], name).alias("line")
            bad = bad.join(pl.DataFrame([batch.rows[ROW], lines]), on=ROW, how="left")
        rows = pl.concat([rows, bad], how="diagonal").sort(ROW)
    records = len(batch.rows) + batch.malformed[ROW].n_unique()
    if not len(rows) == rows[ROW].n_unique() == records:
        raise CountsDiffer(records, len(rows))
    columns = frozenset(_WANTED).intersection(batch.rows.columns)
    return JudgedBatch(rows, columns, _entries(batch.rows))


def _entries(rows: pl.DataFrame) -> pl.DataFrame | None:
    """Who the customers of a ledger are, where it says so."""
    there = [name for name in CLIENT_NAMES if name in rows.columns]
    if not there or rows.is_empty():
        return None
    cells = rows.select(
        text_of(rows["customer_id"], ""),
        *(pl.col(name).cast(pl.String) for name in there),
        *(pl.lit(None, pl.String).alias(name) for name in set(CLIENT_NAMES) - set(there)),
    )
    return cells.select("customer_id", *CLIENT_NAMES).drop_nulls("customer_id").unique()
