"""Records of text as rows under canonical names, with what is wrong with a cell taken out.

Invariant: every record is a row or malformed, and keeps its number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from outlet_client.sources.row_batches import ROW

if TYPE_CHECKING:
    from collections.abc import Sequence

    from outlet_client.sources.row_batches import Picked

CELLS = "cells"
"""The column of a record's cells, a list of text; null where it breaks the rules of CSV."""

UNKNOWN = "\ufffd"
"""What stands for bytes that are no character."""

BAD_QUOTE = "a bad quote; expected quotes around a whole cell, and doubled within"

Malformed = list[tuple[int, str, str]]


def rows_of(
    records: pl.DataFrame, before: int, header: Sequence[str], picked: Picked
) -> tuple[pl.DataFrame, Malformed]:
    """Records as rows; those that have fewer cells than the header, or more, are none."""
    cells, width = pl.col(CELLS), len(header)
    numbers = pl.int_range(before + 1, before + len(records) + 1, dtype=pl.Int64)
    counted = records.with_columns(numbers.alias(ROW), got=cells.list.len())
    extra = cells.list.slice(width).list.join("") != ""
    fits = (pl.col("got") == width) | ((pl.col("got") > width) & ~extra)
    counted = counted.with_columns(fits=fits.fill_null(value=False))
    columns = [
        cells.list.get(header.index(own)).replace("", None).alias(name)
        for name, own in picked.own.items()
    ]
    bad = [
        (row, "", BAD_QUOTE if got is None else f"got {got} cells, expected {width}")
        for row, got in counted.filter(~pl.col("fits")).select(ROW, "got").iter_rows()
    ]
    return counted.filter("fits").select(ROW, *columns), bad


def without_undecodable(
    rows: pl.DataFrame, picked: Picked, encoding: str
) -> tuple[pl.DataFrame, Malformed]:
    """Takes out the rows of which a wanted cell is not in the encoding."""
    found: dict[int, tuple[int, str, str]] = {}
    for name in picked.own:
        unknown = rows[name].str.contains(UNKNOWN, literal=True).fill_null(value=False)
        if not unknown.any():
            continue
        if name in picked.spare:
            rows = rows.with_columns(pl.when(~unknown).then(pl.col(name)).alias(name))
            continue
        for row in rows[ROW].filter(unknown):
            found.setdefault(row, (row, name, f"not readable as {encoding}"))
    return rows.filter(~pl.col(ROW).is_in(list(found))), list(found.values())


def without_guards(rows: pl.DataFrame, picked: Picked) -> pl.DataFrame:
    """Takes away what programs put around a cell so that a spreadsheet takes it for text.

    That is ="..." and, before = + - @, an apostrophe.
    """
    columns = []
    for column in (rows[name] for name in picked.own):
        quoted, marked = column.str.starts_with('="'), column.str.starts_with("'")
        if quoted.any():
            column = column.str.replace('^="(.*)"$', "${1}")  # noqa: PLW2901  (the same column, cleaned)
        if marked.any():
            column = column.str.replace("^'([-=+@])", "${1}")  # noqa: PLW2901  (the same column, cleaned)
        columns.append(column.replace("", None) if quoted.any() else column)
    return rows.with_columns(columns)
