"""Which sheet of a workbook holds the table, and on which row its header is, guessed from its rows.

Invariant: the first sheet is read unless another has more rows; every sheet that is not read though
it has rows is said.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from features.errors import LedgerError
from outlet_client.setup.guess import Guess
from outlet_client.setup.layout_guess import header_line
from outlet_client.sources.workbooks import days_beside_text, first_rows, sheets_of

if TYPE_CHECKING:
    from pathlib import Path

_LOOKED_AT = 500


@dataclass(frozen=True, slots=True)
class SheetPlace:
    """Where a workbook's table is.

    Attributes:
        sheet: Its sheet; None for the first.
        skip_rows: How many rows stand before the header.
        guesses: Of both, as far as settings must say them.
        doubts: What a person should look at; each a sentence.
    """

    sheet: str | None
    skip_rows: int
    guesses: dict[str, Guess]
    doubts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Table:
    """A sheet's table: rows before the header, the header, and how many rows are below."""

    skip_rows: int
    header: tuple[str, ...]
    rows: int


def sheet_of(path: Path) -> SheetPlace:
    """Guesses where a workbook's table is.

    Raises:
        LedgerError: If it cannot be read, or no sheet has rows.
    """
    names = sheets_of(path)
    tables = {name: table for name in names if (table := _table(path, name)) is not None}
    if not tables:
        raise LedgerError(path.name, None, None, "no sheet has a header and rows below it")
    name = max(tables, key=lambda one: tables[one].rows)
    table, guesses, doubts = tables[name], {}, []
    if name != names[0]:
        guesses["sheet"] = Guess(name, f"it has most rows; the first sheet is '{names[0]}'")
    if table.skip_rows:
        guesses["skip_rows"] = Guess(str(table.skip_rows), "so many rows stand before the header")
    others = [one for one in tables if one != name]
    if others:
        alike = [one for one in others if tables[one].header == table.header]
        what = "with the same columns " if alike else ""
        doubts.append(
            f"sheet: only '{name}' is read; there are rows {what}in {', '.join(alike or others)}: "
            "if they belong to it, save each sheet as a file, and name a pattern"
        )
    for heading, (days, text) in days_beside_text(path, name, table.skip_rows).items():
        doubts.append(
            f"dates: {days:,} cells of {heading} are days and {text:,} are text: a spreadsheet "
            "that opened a CSV file may have exchanged day and month of the days; export it again"
        )
    return SheetPlace(name if name != names[0] else None, table.skip_rows, guesses, tuple(doubts))


def header_row(path: Path, sheet: str | None) -> int:
    """How many rows seem to stand before the header of a sheet, the first one where None.

    Raises:
        LedgerError: If the workbook cannot be read, or has no such sheet.
    """
    names = sheets_of(path)
    name = sheet or next(iter(names), None)
    if name not in names:
        raise LedgerError(path.name, None, None, f"no sheet '{name}'; got {', '.join(names)}")
    return header_line(list(enumerate(first_rows(path, name, _LOOKED_AT))))


def _table(path: Path, name: str) -> _Table | None:
    """A sheet's table; None where it has no two columns, or no row below a header."""
    rows = first_rows(path, name, _LOOKED_AT)
    filled = [number for number, row in enumerate(rows) if any(cell.strip() for cell in row)]
    if not filled:
        return None
    skipped = header_line(list(enumerate(rows)))
    header = tuple(cell.strip() for cell in rows[skipped or filled[0]])
    below = sum(number > (skipped or filled[0]) for number in filled)
    is_table = sum(map(bool, header)) > 1 and below > 0
    return _Table(skipped, header, below) if is_table else None
