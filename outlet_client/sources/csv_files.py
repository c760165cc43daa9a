"""CSV files as other people's programs write them: from bytes to rows under canonical names.

Invariant: every record is a row or malformed, and has a number of its own; a record that cannot be
read costs itself, never the ones after it.

A quote that never closes would swallow every line behind it. So a record that breaks the rules of
CSV ends with its first line, and reading begins anew with the next one.
"""

from __future__ import annotations

import csv
import io
import re
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import polars as pl

from features.errors import LedgerError
from outlet_client.sources.headings import numbered
from outlet_client.sources.packed_files import unpacked
from outlet_client.sources.row_batches import Batch, malformed, pick, readable
from outlet_client.sources.text_rows import (
    CELLS,
    UNKNOWN,
    rows_of,
    without_guards,
    without_undecodable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from pathlib import Path

    from outlet_client.sources.source import Source

_BLOCK_CHARACTERS = 1 << 22
_LINE = "line"

_FEW_CELLS = 3
"""Of narrower records a line within a cell may well have as many signs that part cells."""

_DELIMITER_LINE = re.compile(r"\ufeff?sep=(.)\r?\n?|\ufeff?sep=(.)\r")
"""Tells a spreadsheet what stands between cells; it is no row and no header."""


@dataclass(frozen=True, slots=True, repr=False)
class _Block:
    """Some records.

    Attributes:
        records: As `cells`, null where one breaks the rules of CSV; `line` is the file's line that
            each begins with, from 1.
        has_unknown: Whether bytes among them may be no character.
        is_guarded: Whether cells among them may have a guard against spreadsheets around them.
    """

    records: pl.DataFrame
    has_unknown: bool
    is_guarded: bool


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
        for block in blocks:
            rows, bad = rows_of(block.records, number, header, picked)
            if block.has_unknown:
                rows, unknown = without_undecodable(rows, picked, source.encoding)
                bad = sorted(bad + unknown)
            if block.is_guarded:
                rows = without_guards(rows, picked)
            number += len(block.records)
            yield Batch(picked.filled(rows), malformed(bad), share())


def csv_lines(source: Source, path: Path, rows: Collection[int]) -> dict[int, int]:
    """The file's lines that some records begin with, by the records' numbers.

    Raises:
        LedgerError: If there is no such file, or it has no header.
    """
    found, before, wanted = dict[int, int](), 0, sorted(rows)
    with _opened(source, path) as (_, blocks, _):
        for block in blocks:
            lines, after = block.records[_LINE], before + len(block.records)
            found |= {row: int(lines[row - before - 1]) for row in wanted if before < row <= after}
            before = after
            if not wanted or wanted[-1] <= before:
                break
    return found


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
    with readable(path.name, "CSV"), unpacked(path) as file:
        if (kind := file.kind()) is not None:
            reason = f"holds {kind}; expected text: give it the name that says so"
            raise LedgerError(path.name, None, None, reason)
        start = file.data.peek(_BLOCK_CHARACTERS).decode(source.encoding, "replace")
        newline = "\r" if "\r" in start and "\n" not in start else "\n"
        text = io.TextIOWrapper(file.data, source.encoding, errors="replace", newline=newline)
        first, above = _first_line(text, source, path.name)
        blocks = _blocks(text, first, source.delimiter, newline, above)
        header, rest = _header_in(blocks)
        yield _header(header, source, path.name), chain(rest, blocks), file.share


def _first_line(text: io.TextIOWrapper, source: Source, where: str) -> tuple[str, int]:
    """The line that the header begins with; those before it are left out, and counted.

    Raises:
        LedgerError: If a line names another delimiter than the settings.
    """
    for _ in range(source.skip_rows):
        text.readline()
    line = text.readline()
    told = _DELIMITER_LINE.fullmatch(line)
    if told is None:
        return line, source.skip_rows
    named = told[1] or told[2]
    if named != source.delimiter:
        reason = f"names the delimiter {named!r}; got delimiter = {source.delimiter!r}"
        raise LedgerError(where, None, None, f"the line before the header {reason}")
    return text.readline(), source.skip_rows + 1


def _header_in(blocks: Iterator[_Block]) -> tuple[list[str] | None, Sequence[_Block]]:
    """The first record that is not blank, and the rest of its block."""
    for block in blocks:
        for place in range(len(block.records)):
            cells = block.records[CELLS][place]
            if cells is None or cells.str.strip_chars().ne("").any():
                rest = _Block(block.records.slice(place + 1), block.has_unknown, block.is_guarded)
                return None if cells is None else cells.to_list(), (rest,)
    return [], ()


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
        behind = f" behind skip_rows = {source.skip_rows}" if source.skip_rows else ""
        raise LedgerError(where, None, None, f"no rows{behind}; expected at least one")
    if any("\0" in name for name in names):
        reason = f"no text in {source.encoding}; set `encoding`, or is it no CSV file?"
        raise LedgerError(where, None, None, reason)
    return numbered(names)


def _blocks(
    text: io.TextIOWrapper, first: str, delimiter: str, newline: str, above: int
) -> Iterator[_Block]:
    """A file's records from some first line on, blank lines left out.

    `above` is how many lines stand before it.
    """
    left, width, is_first = "", 0, True
    while True:
        more = text.read(_BLOCK_CHARACTERS) + text.readline()
        if is_first:
            more, is_first = (first + more).removeprefix("\ufeff"), False
        block = left + more
        if not block:
            return
        if '"' not in block and block.count("\r") == block.count("\r\n"):
            records, left = _split(block, delimiter, above), ""
            above += block.count("\n")
        else:
            lines = list(io.StringIO(block, newline=newline))
            parsed, starts, behind = _parsed(lines, delimiter, width, is_whole=not more)
            records, left = _as_lists(parsed, block), "".join(behind)
            records = records.with_columns(pl.Series(_LINE, starts, pl.Int64) + (above + 1))
            above += len(lines) - len(behind)
        if not records.is_empty():
            width = width or records[CELLS].list.len()[0] or 0
            is_guarded = "'" in block or "=" in block
            yield _Block(records, UNKNOWN in block, is_guarded)


def _split(block: str, delimiter: str, above: int) -> pl.DataFrame:
    """Records without quotes, where a line is a record: as `_parsed` reads them, but fast."""
    lines = pl.Series([block]).str.split("\n").explode().str.strip_suffix("\r")
    numbers = pl.int_range(above + 1, above + len(lines) + 1, dtype=pl.Int64, eager=True)
    some = lines != ""
    return pl.DataFrame(
        {CELLS: lines.filter(some).str.split(delimiter), _LINE: numbers.filter(some)}
    )


def _parsed(
    lines: Sequence[str], delimiter: str, width: int, *, is_whole: bool
) -> tuple[list[list[str] | None], list[int], list[str]]:
    """Records as the rules of CSV have them.

    Args:
        lines: With their ends.
        delimiter: Between cells.
        width: How many cells the header has; 0 where it is the first of these records. A record of
            several lines of so many cells each has a quote in one row and its fellow in another:
            it would swallow the rows between.
        is_whole: Whether the file ends with these lines.

    Returns:
        The records, None for a line that begins none; the place of each one's first line among
        these; and the lines of one that goes on behind them.
    """
    records: list[list[str] | None] = []
    starts: list[int] = []
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
                    starts.append(start)
                    width = width or len(cells)
                start = end
        except csv.Error as error:
            if "end of data" in str(error) and not is_whole:
                return records, starts, list(lines[start:])
            records.append(None)
            starts.append(start)
            start += 1
    return records, starts, []


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
    return pl.DataFrame({CELLS: pl.Series(joined, dtype=pl.String).str.split(sign)})
