"""CSV files as other people's programs write them: from records to rows.

Invariant: every record is a row or malformed, and has a number of its own.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import polars as pl

from outlet_client.sources.csv_records import CsvFile
from outlet_client.sources.row_batches import (
    IDENTIFIERS,
    ROW,
    Batch,
    Mark,
    Picked,
    Reading,
    malformed,
    pick,
    readable,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    from outlet_client.sources.source import Source

_UNKNOWN = "\ufffd"
"""What stands for bytes that are no character."""

_BAD_QUOTE = "a bad quote; expected quotes around a whole cell, and doubled within"


def read_csv(
    source: Source, path: Path, names: Collection[str], after: Mark | None = None
) -> Reading:
    """Reads a CSV file, batch by batch.

    Args:
        source: How it is written.
        path: Where it is.
        names: The canonical columns that are wanted.
        after: Where an earlier reading ended; if the file begins as it did then, only what was
            added is read.

    Raises:
        LedgerError: If there is no such file or column, or it has no header.
    """
    with readable(path.name, "CSV"):
        file = CsvFile(source, path)
        header = file.header()
        picked = pick(source, header, names, path.name)
        tail = False
        if after is not None:
            later = CsvFile(source, path)
            if tail := later.skips(after):
                file, later = later, file
            later.close()
    rows = _Rows(file, header, picked, after.rows if tail and after is not None else 0)
    return Reading(
        header,
        rows.batches(),
        lambda: file.mark(rows.number),
        size=file.stat.st_size,
        tail=tail,
        done=lambda: file.done,
    )


def csv_header(source: Source, path: Path) -> list[str]:
    """A CSV file's own column names.

    Raises:
        LedgerError: If there is no such file, or it has no header.
    """
    return read_csv(source, path, ()).header


class _Rows:
    """Turns a file's blocks into batches, and counts their records."""

    def __init__(self, file: CsvFile, header: list[str], picked: Picked, number: int) -> None:
        self._file = file
        self._picked = picked
        self._places = {name: header.index(own) for name, own in picked.own.items()}
        self._width = len(header)
        self.number = number

    def batches(self) -> Iterator[Batch]:
        """The file's records; the file is closed at the end."""
        try:
            with readable(self._file.name, "CSV"):
                while block := self._file.block():
                    simple = '"' not in block and block.count("\r") == block.count("\r\n")
                    cells = self._split(block) if simple else self._parsed(block)
                    yield self._batch(cells, check=not simple or _UNKNOWN in block)
        finally:
            self._file.close()

    def _split(self, block: str) -> pl.DataFrame:
        """Records without quotes, where a line is a record: as `_parsed` reads them, but fast."""
        lines = pl.Series([block]).str.split("\n").explode().str.strip_suffix("\r")
        return pl.DataFrame({"cells": lines.filter(lines != "").str.split(self._file.delimiter)})

    def _parsed(self, block: str) -> pl.DataFrame:
        """Records as the rules of CSV have them: `cells`, null where one breaks them."""
        lines = io.StringIO(block, newline=self._file.newline)
        reader = csv.reader(lines, delimiter=self._file.delimiter, strict=True)
        records: list[list[str] | None]
        try:  # nearly every block is sound, ends where a record does, and has a line a record
            every = list(reader)
            records = [cells for cells in every if cells]
            if reader.line_num > len(every):
                records = list(self._file.records(block, self._width))
        except csv.Error:
            records = list(self._file.records(block, self._width))
        return _as_lists(records)

    def _batch(self, records: pl.DataFrame, *, check: bool) -> Batch:
        """Records as rows; those that have fewer cells than the header, or more, are none."""
        first = self.number + 1
        self.number += len(records)
        cells = pl.col("cells")
        counted = records.with_columns(
            pl.int_range(first, self.number + 1, dtype=pl.Int64).alias(ROW), got=cells.list.len()
        )
        extra = cells.list.slice(self._width).list.join("") != ""
        fits = (pl.col("got") == self._width) | ((pl.col("got") > self._width) & ~extra)
        counted = counted.with_columns(fits=fits.fill_null(value=False))
        columns = [
            cells.list.get(place).replace("", None).alias(name)
            for name, place in self._places.items()
        ]
        frame = counted.filter("fits").select(ROW, *columns)
        bad = [
            (row, "", _BAD_QUOTE if got is None else f"got {got} cells, expected {self._width}")
            for row, got in counted.filter(~pl.col("fits")).select(ROW, "got").iter_rows()
        ]
        if check:
            frame, unknown = self._decodable(frame)
            bad = sorted(bad + unknown)
        return Batch(self._picked.filled(frame), malformed(bad))

    def _decodable(self, frame: pl.DataFrame) -> tuple[pl.DataFrame, list[tuple[int, str, str]]]:
        """Takes out the rows of which a wanted cell is not in the encoding."""
        reason = f"not readable as {self._file.encoding}"
        found: dict[int, tuple[int, str, str]] = {}
        for name in self._places:
            unknown = frame[name].str.contains(_UNKNOWN, literal=True).fill_null(value=False)
            if name in IDENTIFIERS:
                frame = frame.with_columns(pl.when(~unknown).then(pl.col(name)).alias(name))
                continue
            for row in frame[ROW].filter(unknown):
                found.setdefault(row, (row, name, reason))
        return frame.filter(~pl.col(ROW).is_in(list(found))), list(found.values())


def _as_lists(records: Sequence[list[str] | None]) -> pl.DataFrame:
    """Records as one column of lists; polars' own way takes ten times longer."""
    flat = pl.Series("cells", [cell for cells in records if cells for cell in cells], pl.String)
    lengths = pl.Series([len(cells or ()) for cells in records], dtype=pl.Int64)
    every = pl.int_range(len(records), dtype=pl.Int64, eager=True).alias("at")
    at = pl.select(pl.lit(every).repeat_by(lengths)).to_series().explode().drop_nulls()
    lists = pl.DataFrame([at.alias("at"), flat]).group_by("at", maintain_order=True).agg("cells")
    return every.to_frame().join(lists, on="at", how="left", maintain_order="left").select("cells")
