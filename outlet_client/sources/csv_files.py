"""CSV files as other people's programs write them: from bytes to rows under canonical names.

Invariant: every record is a row or malformed, and has a number of its own; a record that cannot be
read costs itself, never the ones after it.

A quote that never closes would swallow every line behind it. So a record that breaks the rules of
CSV ends with its first line, and reading begins anew with the next one.
"""

from __future__ import annotations

import csv
import gzip
import io
from contextlib import contextmanager
from itertools import chain
from typing import IO, TYPE_CHECKING, cast

import polars as pl

from features.errors import LedgerError
from outlet_client.sources.row_batches import (
    IDENTIFIERS,
    ROW,
    Batch,
    Picked,
    malformed,
    pick,
    readable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from pathlib import Path

    from outlet_client.sources.source import Source

_BLOCK_CHARACTERS = 1 << 22
_CELLS = "cells"

_UNKNOWN = "\ufffd"
"""What stands for bytes that are no character."""

_BAD_QUOTE = "a bad quote; expected quotes around a whole cell, and doubled within"

_FEW_CELLS = 3
"""Of narrower records a line within a cell may well have as many signs that part cells."""


_Block = tuple[pl.DataFrame, bool]
"""Some records as `cells`, null where one breaks the rules of CSV; and whether bytes among them may
be no character."""


def read_csv(source: Source, path: Path, names: Collection[str]) -> Iterator[Batch]:
    """Reads a CSV file, batch by batch.

    Args:
        source: How it is written.
        path: Where it is.
        names: The canonical columns that are wanted.

    Raises:
        LedgerError: If there is no such file or column, or it has no header.
    """
    with _opened(source, path) as (header, blocks, share):
        picked = pick(source, header, names, path.name)
        number = 0
        for records, has_unknown in blocks:
            rows, bad = _rows(records, number, header, picked)
            if has_unknown:
                rows, unknown = _without_undecodable(rows, picked, source.encoding)
                bad = sorted(bad + unknown)
            number += len(records)
            yield Batch(picked.filled(rows), malformed(bad), share())


def csv_header(source: Source, path: Path) -> list[str]:
    """A CSV file's own column names.

    Raises:
        LedgerError: If there is no such file, or it has no header.
    """
    with _opened(source, path) as (header, _, _):
        return header


@contextmanager
def _opened(
    source: Source, path: Path
) -> Iterator[tuple[list[str], Iterator[_Block], Callable[[], float]]]:
    """A file's header, its further records in blocks, and which share of it has been read."""
    _refuse_form(source, path.name)
    with readable(path.name, "CSV"), path.open("rb") as file:
        size = max(path.stat().st_size, 1)
        zipped = path.suffix == ".gz"
        data = cast("io.BufferedReader", gzip.GzipFile(fileobj=file)) if zipped else file
        start = data.peek(_BLOCK_CHARACTERS)
        newline = "\r" if b"\r" in start and b"\n" not in start else "\n"
        text = io.TextIOWrapper(
            cast("IO[bytes]", data), source.encoding, errors="replace", newline=newline
        )
        blocks = _blocks(text, source.delimiter, newline)
        first, has_unknown = next(blocks, (None, False))
        header = _header([] if first is None else first[_CELLS][0], source, path.name)
        rest = () if first is None else ((first.slice(1), has_unknown),)
        yield header, chain(rest, blocks), lambda: file.tell() / size


def _refuse_form(source: Source, where: str) -> None:
    if source.delimiter in '"\r\n\0':
        reason = f"delimiter = {source.delimiter!r}; expected such as ';'"
        raise LedgerError(where, None, None, reason)
    try:
        io.TextIOWrapper(io.BytesIO(), source.encoding).close()
    except (LookupError, ValueError) as error:
        reason = f"encoding = {source.encoding!r} is none; expected such as 'utf-8' or 'cp1252'"
        raise LedgerError(where, None, None, reason) from error


def _header(cells: Sequence[str] | None, source: Source, where: str) -> list[str]:
    """The first record as names; a file without any has none."""
    if cells is None:
        raise LedgerError(where, None, None, "the header is not readable: a bad quote")
    names = [cell.strip() for cell in cells]
    if not any(names):
        raise LedgerError(where, None, None, "no rows; expected at least one event")
    if any("\0" in name for name in names):
        reason = f"no text in {source.encoding}; set `encoding`, or is it no CSV file?"
        raise LedgerError(where, None, None, reason)
    return names


def _blocks(text: io.TextIOWrapper, delimiter: str, newline: str) -> Iterator[_Block]:
    """A file's records, blank lines left out."""
    left, width, is_first = "", 0, True
    while True:
        more = text.read(_BLOCK_CHARACTERS) + text.readline()
        if is_first:
            more, is_first = more.removeprefix("\ufeff"), False
        block = left + more
        if not block:
            return
        if '"' not in block and block.count("\r") == block.count("\r\n"):
            records = _split(block, delimiter)
        else:
            lines = list(io.StringIO(block, newline=newline))
            parsed, behind = _parsed(lines, delimiter, width, is_whole=not more)
            records, left = _as_lists(parsed, block), "".join(behind)
        if not records.is_empty():
            width = width or records[_CELLS].list.len()[0] or 0
            yield records, _UNKNOWN in block


def _split(block: str, delimiter: str) -> pl.DataFrame:
    """Records without quotes, where a line is a record: as `_parsed` reads them, but fast."""
    lines = pl.Series([block]).str.split("\n").explode().str.strip_suffix("\r")
    return pl.DataFrame({_CELLS: lines.filter(lines != "").str.split(delimiter)})


def _parsed(
    lines: Sequence[str], delimiter: str, width: int, *, is_whole: bool
) -> tuple[list[list[str] | None], list[str]]:
    """Records as the rules of CSV have them.

    Args:
        lines: With their ends.
        delimiter: Between cells.
        width: How many cells the header has; 0 where it is the first of these records. A record of
            several lines of so many cells each has a quote in one row and its fellow in another:
            it would swallow the rows between.
        is_whole: Whether the file ends with these lines.

    Returns:
        The records, None for a line that begins none; and the lines of one that goes on behind
        these lines.
    """
    records: list[list[str] | None] = []
    start = 0
    while start < len(lines):
        begun = start
        rest = map(lines.__getitem__, range(begun, len(lines)))
        reader = csv.reader(rest, delimiter=delimiter, strict=True)
        try:
            for cells in reader:
                end = begun + reader.line_num
                _refuse_rows(lines[start:end], delimiter, width)
                if cells:
                    records.append(cells)
                    width = width or len(cells)
                start = end
        except csv.Error as error:
            if "end of data" in str(error) and not is_whole:
                return records, list(lines[start:])
            records.append(None)
            start += 1
    return records, []


def _refuse_rows(lines: Sequence[str], delimiter: str, width: int) -> None:
    """Refuses a record of several lines that could each be one.

    Raises:
        csv.Error: If it is such a record.
    """
    several = len(lines) > 1 and width >= _FEW_CELLS
    if several and all(line.count(delimiter) >= width - 1 for line in lines):
        raise csv.Error


def _as_lists(records: Sequence[list[str] | None], block: str) -> pl.DataFrame:
    """Records as a column of lists; polars splits text ten times faster than it takes lists."""
    sign = next((sign for sign in map(chr, range(0xE000, 0xF900)) if sign not in block), "\x1f")
    joined = [None if cells is None else sign.join(cells) for cells in records]
    return pl.DataFrame({_CELLS: pl.Series(joined, dtype=pl.String).str.split(sign)})


# --- from records to rows -------------------------------------------------------------------------

_Bad = list[tuple[int, str, str]]


def _rows(
    records: pl.DataFrame, before: int, header: Sequence[str], picked: Picked
) -> tuple[pl.DataFrame, _Bad]:
    """Records as rows; those that have fewer cells than the header, or more, are none."""
    cells, width = pl.col(_CELLS), len(header)
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
        (row, "", _BAD_QUOTE if got is None else f"got {got} cells, expected {width}")
        for row, got in counted.filter(~pl.col("fits")).select(ROW, "got").iter_rows()
    ]
    return counted.filter("fits").select(ROW, *columns), bad


def _without_undecodable(
    rows: pl.DataFrame, picked: Picked, encoding: str
) -> tuple[pl.DataFrame, _Bad]:
    """Takes out the rows of which a wanted cell is not in the encoding."""
    found: dict[int, tuple[int, str, str]] = {}
    for name in picked.own:
        unknown = rows[name].str.contains(_UNKNOWN, literal=True).fill_null(value=False)
        if not unknown.any():
            continue
        if name in IDENTIFIERS:
            rows = rows.with_columns(pl.when(~unknown).then(pl.col(name)).alias(name))
            continue
        for row in rows[ROW].filter(unknown):
            found.setdefault(row, (row, name, f"not readable as {encoding}"))
    return rows.filter(~pl.col(ROW).is_in(list(found))), list(found.values())
