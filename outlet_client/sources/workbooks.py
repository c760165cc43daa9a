"""Workbooks as spreadsheets save them: .xlsx, .xlsm, .xlsb, .xls and .ods.

Invariant: cells keep the types that they have in the sheet: a date is a date, whichever system of
days its workbook counts in, a number a number, text text. What a cell means does not hang on the
other rows; in a column of several types all become text, as the table's settings write it.
"""

from __future__ import annotations

import datetime as dt
import io
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

import polars as pl
from python_calamine import (
    CalamineError,
    CalamineWorkbook,
    PasswordError,
    SheetTypeEnum,
    SheetVisibleEnum,
)

from features.day_parsing import written_day
from features.errors import LedgerError
from outlet_client.sources.headings import numbered
from outlet_client.sources.packed_files import unpacked
from outlet_client.sources.row_batches import (
    ROW,
    ROWS_A_BATCH,
    Batch,
    malformed,
    pick,
    readable,
)
from outlet_client.sources.source import Source

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

SUFFIXES = frozenset((".xlsx", ".xlsm", ".xlsb", ".xls", ".ods"))
"""What a workbook's name ends in."""

_MOST_WHOLE = 2.0**53
_Row = list[Any]


def is_workbook(path: Path) -> bool:
    """Whether a file is a workbook: by its name, and not text that merely has such a name.

    Many programs write text, or a page of HTML, into a file whose name ends in .xls.

    Raises:
        LedgerError: If there is no such file, or it cannot be unpacked.
    """
    with readable(path.name, "a file"), unpacked(path) as file:
        return file.suffix in SUFFIXES and file.kind() is not None


def read_workbook(source: Source, path: Path, names: Collection[str]) -> Iterator[Batch]:
    """Reads a workbook's sheet, batch by batch.

    Args:
        source: How it is written.
        path: Where it is.
        names: The canonical columns that are wanted.

    Raises:
        LedgerError: If there is no such file, sheet or column, or it has no header.
    """
    with _opened(source, path) as (header, rows, total):
        picked = pick(source, header, names, path.name)
        places = {name: header.index(own) for name, own in picked.own.items()}
        number = 0
        while True:
            some = list(islice(rows, ROWS_A_BATCH))
            if not some and number:
                return
            end = number + len(some)
            numbers = pl.int_range(number + 1, end + 1, dtype=pl.Int64, eager=True).alias(ROW)
            columns = [
                column_of(name, [row[place] for row in some], source.decimal, source.dates)
                for name, place in places.items()
            ]
            frame = pl.DataFrame([numbers, *columns])
            yield Batch(picked.filled(frame), malformed(), min(end / max(total, 1), 1.0))
            number = end
            if not some:
                return


def workbook_lines(source: Source, path: Path, rows: Collection[int]) -> dict[int, int]:
    """The rows of the sheet, as a spreadsheet numbers them, by the records' numbers.

    Raises:
        LedgerError: If there is no such file or sheet.
    """
    with _workbook(path) as book:
        sheet = book.get_sheet_by_name(source.sheet or next(iter(_visible(book)), ""))
        above = islice(sheet.iter_rows(), source.skip_rows, None)
        header = next(
            (at for at, row in enumerate(above, source.skip_rows + 1) if _is_filled(row)), 0
        )
    return {row: header + row for row in rows}


def workbook_header(source: Source, path: Path) -> list[str]:
    """A sheet's own column names.

    Raises:
        LedgerError: If there is no such file or sheet, or it has no header.
    """
    with _opened(source, path) as (header, _, _):
        return header


def sheets_of(path: Path) -> list[str]:
    """The names of a workbook's visible sheets, in their order.

    Raises:
        LedgerError: If there is no such file, or it is none that can be read.
    """
    with _workbook(path) as book:
        return _visible(book)


def first_rows(path: Path, sheet: str, most: int) -> list[list[str]]:
    """The first rows of a sheet as text, blank ones too; for a look at what they are.

    Raises:
        LedgerError: If there is no such file or sheet.
    """
    with _workbook(path) as book:
        rows = islice(book.get_sheet_by_name(sheet).iter_rows(), most)
        return [[_text(cell, ".", "%Y-%m-%d") or "" for cell in row] for row in rows]


def days_beside_text(path: Path, sheet: str, skip_rows: int) -> dict[str, tuple[int, int]]:
    """Columns of which some cells are days and others text, and how many are each.

    Raises:
        LedgerError: If there is no such file or sheet, or it has no header.
    """
    found: dict[str, tuple[int, int]] = {}
    source = Source(source=str(path), sheet=sheet, skip_rows=skip_rows)
    with _opened(source, path) as (header, rows, _):
        some = list(islice(rows, ROWS_A_BATCH))
    for place, name in enumerate(header):
        cells = [row[place] for row in some]
        days = sum(isinstance(cell, dt.date) for cell in cells)
        text = sum(isinstance(cell, str) and bool(cell.strip()) for cell in cells)
        if days and text:
            found[name] = days, text
    return found


@contextmanager
def _workbook(path: Path) -> Iterator[CalamineWorkbook]:
    try:
        with readable(path.name, "a workbook"), unpacked(path) as file:
            yield CalamineWorkbook.from_filelike(io.BytesIO(file.data.read()))
    except PasswordError as error:
        reason = "has a password; save it without one"
        raise LedgerError(path.name, None, None, reason) from error
    except CalamineError as error:
        raise LedgerError(path.name, None, None, "not readable as a workbook") from error


def _visible(book: CalamineWorkbook) -> list[str]:
    return [
        sheet.name
        for sheet in book.sheets_metadata
        if sheet.typ == SheetTypeEnum.WorkSheet and sheet.visible == SheetVisibleEnum.Visible
    ]


@contextmanager
def _opened(source: Source, path: Path) -> Iterator[tuple[list[str], Iterator[_Row], int]]:
    """A sheet's header, its further rows, and about how many there are."""
    with _workbook(path) as book:
        name = source.sheet or next(iter(_visible(book)), None)
        if name is None or name not in book.sheet_names:
            reason = f"no sheet '{name}'; got {', '.join(book.sheet_names) or 'none'}"
            raise LedgerError(path.name, None, None, reason)
        sheet = book.get_sheet_by_name(name)
        rows = iter(sheet.iter_rows())
        header = next((row for row in islice(rows, source.skip_rows, None) if _is_filled(row)), [])
        names = [(_text(cell, source.decimal, source.dates) or "").strip() for cell in header]
        if not any(names):
            reason = f"no rows in the sheet '{name}'; expected a header and at least one row"
            raise LedgerError(path.name, None, None, reason)
        yield numbered(names), _without_end(rows), sheet.total_height - source.skip_rows - 1


def _is_filled(row: _Row) -> bool:
    return any(cell is not None and str(cell).strip() for cell in row)


def _without_end(rows: Iterator[_Row]) -> Iterator[_Row]:
    """Rows, but for blank ones behind the last that is filled."""
    blank: list[_Row] = []
    for row in rows:
        if not _is_filled(row):
            blank.append(row)
            continue
        yield from blank
        blank.clear()
        yield row


# --- types ----------------------------------------------------------------------------------------


def column_of(name: str, cells: Sequence[Any], decimal: str = ".", dates: str = "") -> pl.Series:
    """A column of a sheet's cells: of one native type where all have it, else text.

    Args:
        name: The column's.
        cells: As the library gives them: text, numbers, truths, days, moments and times.
        decimal: What stands before cents in text.
        dates: How days are written in text.
    """
    values = [None if cell == "" else cell for cell in cells]
    kinds = set(map(type, values)) - {type(None)}
    if not kinds:
        return pl.Series(name, values, pl.Null)
    if kinds == {str}:
        return pl.Series(name, values, pl.String)
    if kinds == {bool}:
        return pl.Series(name, values, pl.Boolean)
    if kinds <= {dt.date, dt.datetime}:
        moments = [None if value is None else _moment(value) for value in values]
        return pl.Series(name, moments, pl.Datetime("us"))
    if kinds <= {int, float}:
        whole = all(value is None or _is_whole(value) for value in values)
        return pl.Series(name, values, pl.Float64).cast(pl.Int64 if whole else pl.Float64)
    return pl.Series(name, [_text(value, decimal, dates) for value in values], pl.String)


def _moment(value: dt.date) -> dt.datetime:
    return value if isinstance(value, dt.datetime) else dt.datetime.combine(value, dt.time())


def _is_whole(value: float) -> bool:
    return value == round(value) and abs(value) <= _MOST_WHOLE


def _text(value: object, decimal: str, dates: str) -> str | None:
    """A cell as the table's settings write it."""
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return _number_text(value, "," if decimal == "," else ".")
    if isinstance(value, dt.date):
        return written_day(_moment(value), dates)
    return str(value)


def _number_text(value: float, decimal: str) -> str:
    """Without an exponent, where it has no more digits than a spreadsheet keeps."""
    return str(int(value)) if _is_whole(value) else f"{value:.15g}".replace(".", decimal)
