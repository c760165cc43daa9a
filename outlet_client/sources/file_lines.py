"""Where a record stands in its file, as a person sees it: the line, or the row of the sheet.

Records are numbered from 1 behind the header, and blank lines have no number; what a spreadsheet or
an editor shows counts the header, what stands above it, and blank lines too.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from features.errors import LedgerError
from outlet_client.sources.csv_files import csv_lines
from outlet_client.sources.table_reader import files_of
from outlet_client.sources.workbooks import is_workbook, workbook_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from outlet_client.sources.source import Source

MOST_PLACES = 5
"""So many places are named in a sentence."""


def lines_of(source: Source, places: Iterable[tuple[str, int]]) -> dict[tuple[str, int], int]:
    """The lines of some records.

    Args:
        source: The table.
        places: Each one's file, by name, and number.

    Returns:
        The line of each, from 1; none of a database, a Parquet file, or a file that is gone or
        shares its name with another.
    """
    wanted: dict[str, set[int]] = {}
    for file, row in places:
        wanted.setdefault(file, set()).add(row)
    found: dict[tuple[str, int], int] = {}
    if source.is_database or not wanted:
        return found
    try:
        paths = files_of(source)
        names = Counter(path.name for path in paths)
        for path in paths:
            if path.name not in wanted or names[path.name] > 1 or path.suffix == ".parquet":
                continue
            read = workbook_lines if is_workbook(path) else csv_lines
            some = read(source, path, wanted[path.name])
            found |= {(path.name, row): line for row, line in some.items()}
    except LedgerError:
        return found  # it changed since it was read: a record's own number is all that is known
    return found


def line_numbers(source: Source, rows: Iterable[int]) -> dict[int, int]:
    """The lines of some records of a table that is one file; see `lines_of`."""
    found = lines_of(source, [(source.name, row) for row in rows])
    return {row: line for (_, row), line in found.items()}


def places_text(source: Source, places: Sequence[tuple[str, int]]) -> str:
    """The first of some places in parentheses, such as " (line 3, line 9, ...)"; "" without any."""
    if not places:
        return ""
    first = places[:MOST_PLACES]
    lines, several = lines_of(source, first), len({file for file, _ in places}) > 1
    said = [f"{file} " * several + place_text(lines, file, row) for file, row in first]
    more = ", ..." if len(places) > len(first) else ""
    return f" ({', '.join(said)}{more})"


def place_text(lines: dict[tuple[str, int], int], file: str, row: int) -> str:
    """Where a record stands, for people: "line 9", or "row 7" where no line is known."""
    line = lines.get((file, row))
    return f"row {row}" if line is None else f"line {line}"
