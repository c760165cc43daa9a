"""What stands between a text file's cells, and on which line its header is, guessed from its start.

Invariant: a header is a line that names columns, above lines that hold rows; where nothing looks
like rows, it is the first line.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from features.amount_parsing import marks_of
from features.day_names import MONTHS
from outlet_client.setup.guess import Guess

if TYPE_CHECKING:
    from collections.abc import Sequence

DELIMITERS = {";": "semicolon", ",": "comma", "\t": "tab", "|": "bar"}
"""What stands between cells, and what people call it."""

NO_HEADER = "the first line is a row; expected the columns' names: export with a header"

_TOLD = re.compile(r"\ufeff?sep=(.)\s*")
_MONTH = "|".join(sorted(map(re.escape, MONTHS), key=len, reverse=True))
_DATA = re.compile(
    rf"""\s*(
    .+@.+\..+                                   # an address
    | \+?[\d ]{{7,}}                             # a phone
    | [1-9]\d{{4}}                               # a serial day
    | \d{{1,4}}[-./]\d{{1,2}}[-./]\d{{1,4}}.*
    | ([^\W\d_]+\.?,?\s)?\d{{1,2}}\.?[\s./-]?({_MONTH})\.?[\s./,-]{{0,2}}\d{{2,4}}\b.*
    | ([^\W\d_]+\.?,?\s)?({_MONTH})\.?\s\d{{1,2}},?\s\d{{4}}\b.*
    | ([12]\d{{3}}|(令和|平成|[RH])\d\d?)年.*
    )\s*""",
    re.VERBOSE | re.IGNORECASE,
)
_CENTS = re.compile(r"(\D{0,8})\d[\d.,'\u2019\s]*?[.,]\d\d(\D{0,8})")
_FEW_ROWS = 3
_LIKE_THE_FULLEST, _OF_A_ROW = 0.9, 0.5


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a text file's table is.

    Attributes:
        delimiter: What stands between cells.
        skip_rows: How many lines stand before the header.
        is_told: Whether a line before the header says the delimiter.
    """

    delimiter: Guess
    skip_rows: int
    is_told: bool = False


def layout_of(text: str, newline: str = "\n") -> Layout | None:
    """Guesses where the table of a text is.

    Args:
        text: The file's first lines, whole.
        newline: What ends a line, but for a carriage return before it.

    Returns:
        None if there is but one column whatever is tried.
    """
    lines = list(io.StringIO(text, newline=newline))
    told = _TOLD.fullmatch(lines[0]) if lines else None
    if told is not None:
        rest = lines[1:]
        skipped = header_line(_records(rest, told[1]))
        before = skipped + 1 if skipped else 0  # the line itself is left out by itself
        return Layout(Guess(told[1], "the file's first line says so"), before, is_told=True)
    rough = _commonest(lines)
    if rough is None:
        return None
    skipped = header_line(_records(lines, rough))
    delimiter = delimiter_of(lines[skipped:])
    if delimiter is not None and delimiter.value != rough:
        skipped = header_line(_records(lines, delimiter.value))
        delimiter = delimiter_of(lines[skipped:])
    return None if delimiter is None else Layout(delimiter, skipped)


def rows_above(text: str, newline: str, delimiter: str) -> int:
    """How many lines seem to stand before the header, where the delimiter is known.

    Args:
        text: The file's first lines, whole.
        newline: What ends a line.
        delimiter: What stands between cells.
    """
    return header_line(_records(list(io.StringIO(text, newline=newline)), delimiter))


def delimiter_of(lines: Sequence[str]) -> Guess | None:
    """Guesses what stands between cells: what gives most rows as many cells as the first.

    Args:
        lines: The table's first lines with their ends, the header first.

    Returns:
        None if there is but one column whatever is tried.
    """
    best: tuple[float, int, str] | None = None
    for delimiter in DELIMITERS:
        widths = _widths(lines, delimiter)
        if not widths or widths[0] < 2:  # noqa: PLR2004  (one column: the delimiter is not there)
            continue
        alike = widths.count(widths[0]) / len(widths)
        if best is None or (alike, widths[0]) > best[:2]:
            best = (alike, widths[0], delimiter)
    if best is None:
        return None
    share, width, delimiter = best
    why = f"{DELIMITERS[delimiter]}: {share:.0%} of the first rows have {width} cells then"
    return Guess(delimiter, why, share > 0.9)  # noqa: PLR2004  (some rows are broken everywhere)


def _commonest(lines: Sequence[str]) -> str | None:
    """The delimiter that gives most rows one width, wherever the header is."""
    best: tuple[float, int, str] | None = None
    for delimiter in DELIMITERS:
        widths = Counter(width for width in _widths(lines, delimiter) if width > 1)
        if widths:
            width, count = widths.most_common(1)[0]
            best = max(best or (0.0, 0, ""), (count / len(lines), width, delimiter))
    return None if best is None else best[2]


def _widths(lines: Sequence[str], delimiter: str) -> list[int]:
    """How many cells each record has that is not blank."""
    return [len(cells) for _, cells in _records(lines, delimiter) if cells]


def _records(lines: Sequence[str], delimiter: str) -> list[tuple[int, list[str]]]:
    """Records after the number of lines before each; one that breaks the rules has one cell."""
    found: list[tuple[int, list[str]]] = []
    reader = csv.reader(lines, delimiter=delimiter)
    before = 0
    while before < len(lines):
        try:
            cells = next(reader, None)
        except csv.Error:
            cells = [""]
        if cells is None:
            break
        found.append((before, cells))
        before = reader.line_num
    return found


def header_line(records: Sequence[tuple[int, Sequence[str]]]) -> int:
    """On which line the header is: the fullest above rows of data.

    Args:
        records: Each with the number of lines before it.

    Returns:
        The number of lines before the header; 0 where nothing looks like rows below a header, or
        where blank lines alone stand before it, which readers leave out by themselves.
    """
    best: tuple[int, int] | None = None
    rows = 0
    above: list[tuple[int, int]] = []
    for before, cells in records:
        filled = [cell for cell in cells if cell.strip()]
        if not begins_with_data(filled):
            above += [(before, len(filled))] if filled else []
            continue
        found = _fullest(above, len(filled))
        if found is not None and (best is None or (rows <= _FEW_ROWS and found[1] > best[1])):
            best, rows = found, 0
        rows += 1
        above.clear()
    if best is None or best[0] == _first_filled(records):
        return 0
    return best[0]


def _fullest(above: Sequence[tuple[int, int]], filled: int) -> tuple[int, int] | None:
    """The first of some lines that is about as full as the fullest, and enough for the row below.

    Args:
        above: The line of each, and how many of its cells are filled.
        filled: Cells of the row below.
    """
    fullest = max((number for _, number in above), default=0)
    for line, number in above:
        if number > 1 and number >= fullest * _LIKE_THE_FULLEST and number > filled * _OF_A_ROW:
            return line, number
    return None


def _first_filled(records: Sequence[tuple[int, Sequence[str]]]) -> int:
    """The line of the first record that is not blank: readers find it without being told."""
    return next((line for line, cells in records if any(cell.strip() for cell in cells)), 0)


def begins_with_data(header: Sequence[str]) -> bool:
    """Whether a first line names no columns, but holds a row: a date, an address, cents."""
    return any(_DATA.fullmatch(cell) or _is_money(cell.strip()) for cell in header)


def _is_money(cell: str) -> bool:
    """Whether a cell is an amount with cents, and nothing beside it but what amounts have."""
    found = _CENTS.fullmatch(cell)
    return found is not None and marks_of(found[1], found[2]) is not None
