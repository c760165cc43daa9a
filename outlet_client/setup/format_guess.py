"""How an outlet's text is written, guessed from a sample: encoding, delimiter, decimal, dates.

Invariant: a guess says why, and never with a cell. Where the sample speaks for two readings alike,
the guess says that it is not sure; where it speaks for none, there is no guess.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections import Counter
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

DELIMITERS = {";": "semicolon", ",": "comma", "\t": "tab", "|": "bar"}
"""What stands between cells, and what people call it."""

NO_HEADER = "the first line is a row; expected the columns' names: export with a header"

MOST_CELLS = 2000
"""So many different cells are looked at to tell how dates are written."""

_LEAST_SHARE = 0.5
_FAR_BACK = 1950
_FAR_AHEAD = 2100


@dataclass(frozen=True, slots=True)
class Guess:
    """What an outlet means, and why it is thought so.

    Attributes:
        value: For the settings.
        why: In words, without any cell.
        sure: Whether nothing speaks for another reading as much.
    """

    value: str
    why: str
    sure: bool = True


# --- encoding -------------------------------------------------------------------------------------

_ASCII = bytes(range(0x80))


def encoding_of(chunks: Iterable[bytes]) -> Guess:
    """Guesses the encoding of a file.

    Args:
        chunks: The file's bytes, best all of them: the first byte beyond ASCII may come late.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    high: Counter[int] = Counter()
    is_utf8 = True
    for number, chunk in enumerate(chunks):
        if number == 0 and (wide := _utf16(chunk[:4096])) is not None:
            return wide
        try:
            decoder.decode(chunk)
        except UnicodeDecodeError:
            is_utf8 = False
        if not chunk.isascii():
            high.update(chunk.translate(None, delete=_ASCII))
    if is_utf8:
        what = "all of the file is UTF-8" if high else "no character beyond ASCII"
        return Guess("utf-8-sig", what)
    signs = {byte: bytes([byte]).decode("cp1252", "replace") for byte in high}
    letters = sum(count for byte, count in high.items() if signs[byte].isalpha())
    name = "latin-1" if "\ufffd" in signs.values() else "cp1252"
    why = "not UTF-8; read as Windows text, most signs beyond ASCII are letters"
    return Guess(name, why, letters * 2 > high.total())


def _utf16(start: bytes) -> Guess | None:
    """Latin text in UTF-16 has a zero in every second byte, and often a mark before it."""
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return Guess("utf-16", "the file begins with UTF-16's mark")
    for name, zeros in (("utf-16-le", start[1::2]), ("utf-16-be", start[::2])):
        if len(zeros) > 1 and zeros.count(0) > len(zeros) * 0.7:
            return Guess(name, "every second byte is zero, as in UTF-16")
    return None


def delimiter_of(lines: Sequence[str]) -> Guess | None:
    """Guesses what stands between cells: what gives most rows as many cells as the first.

    Args:
        lines: The file's first lines with their ends, the header first.

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


def _widths(lines: Sequence[str], delimiter: str) -> list[int]:
    """How many cells each record has that is not blank."""
    found: list[int] = []
    records = csv.reader(lines, delimiter=delimiter)
    while True:
        try:
            found.extend(len(record) for record in islice(records, 1) if record)
        except csv.Error:
            found.append(0)
            continue
        if records.line_num >= len(lines):
            return found


def begins_with_data(header: Sequence[str]) -> bool:
    """Whether a first line names no columns, but holds a row: a date, an address, cents."""
    row = re.compile(
        r"\s*(.+@.+\..+|\d+[.,]\d\d|\+?[\d ]{7,}|\d{1,4}[-./]\d{1,2}[-./]\d{1,4}.*)\s*"
    )
    return any(row.fullmatch(cell) for cell in header)


# --- amounts --------------------------------------------------------------------------------------

_AMOUNT = r"^[-+]?\d[\d.,' \u00a0\u202f\u2019]*-?$"
_CENTS = {
    mark: rf"^[-+]?(\d+|\d{{1,3}}([^\d{mark}]\d{{3}})*)[{mark}](\d{{1,2}}|\d{{4,}})-?$"
    rf"|^[-+]?(0|\d{{4,}})[{mark}]\d+-?$"
    for mark in ".,"
}
_GROUPS = {mark: rf"^[-+]?[1-9]\d{{0,2}}([{mark}]\d{{3}})+-?$" for mark in ".,"}
CURRENCY = (
    r"(?i)^(eur|chf|usd|gbp|sgd|hkd|jpy|fr\.?|€|\$|£|¥|s\$)|(eur|chf|usd|gbp|sgd|hkd|fr\.?|€|\$|£)$"
)


def is_amount(cells: pl.Series) -> pl.Series:
    """Which cells look like numbers, however they are written."""
    return cells.str.strip_chars().str.contains(_AMOUNT)


def decimal_of(amounts: Sequence[pl.Series]) -> Guess | None:
    """Guesses what stands before cents.

    Args:
        amounts: Columns of amounts as text; blanks are left out of account.

    Returns:
        None if no cell has a point or comma. Not sure where every such sign stands before exactly
        three digits: those are read as thousands.
    """
    cells = pl.concat([cells.drop_nulls().str.strip_chars() for cells in amounts])
    cents = {mark: int(cells.str.contains(_CENTS[mark]).sum()) for mark in ".,"}
    if any(cents.values()):
        best = max(cents, key=lambda mark: cents[mark])
        name = {".": "point", ",": "comma"}
        other = cents["." if best == "," else ","]
        but = f", {other:,} with a {name['.' if best == ',' else ',']}" if other else ""
        why = f"{cents[best]:,} amounts of the sample have a {name[best]} before cents{but}"
        return Guess(best, why, other * 10 < cents[best])
    for mark, decimal in ((".", ","), (",", ".")):
        if bool(cells.str.contains(_GROUPS[mark]).any()):
            why = f"every '{mark}' stands before three digits, and is read as thousands"
            return Guess(decimal, why, sure=False)
    return None


# --- dates ----------------------------------------------------------------------------------------

_DAYS = (
    "%Y-%m-%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d",
    "%Y%m%d", "%d.%m.%y", "%d/%m/%y", "%m/%d/%y", "%d-%m-%y", "%m-%d-%y", "%d %m %Y", "%d%m%Y",
    "%y-%m-%d", "%y.%m.%d", "%y/%m/%d",
    "%d-%b-%Y", "%d-%b-%y", "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%d. %B %Y",
    "%d. %b %Y", "%b %d %Y", "%d.%b.%Y",
)  # fmt: skip
_CLOCK = re.compile(
    r"(?P<gap>,? +|T)(?P<hour>\d{1,2})(?P<colon>[:.])\d{2}(?P<second>[:.]\d{2})?"
    r"(?P<part>\.\d+)?(?P<half> ?[APap][Mm])?(?P<zone>Z| ?[+-]\d{2}:?\d{2}| UTC)?$"
)


def days_in(cells: pl.Series, form: str) -> pl.Series:
    """Reads text as days between 1950 and 2100; null where it is none in that form.

    Args:
        cells: Text.
        form: As strptime has it, in full: a form without a clock reads no cell with one.
    """
    days = cells.str.to_date(form, strict=False)
    sane = days.dt.year().is_between(_FAR_BACK, _FAR_AHEAD)
    return pl.select(pl.when(sane).then(days)).to_series()  # "%Y" would read "10" as the year 10


def dates_of(cells: pl.Series) -> Guess | None:
    """Guesses how a column writes days, or moments.

    Args:
        cells: Text, in the table's order; blanks are left out of account.

    Returns:
        None if fewer than half of the cells are dates in any one form. Not sure where day and
        month could be told apart by no cell.
    """
    every = cells.drop_nulls().str.strip_chars()
    every = every.filter(every != "")
    text = every.unique(maintain_order=True).head(MOST_CELLS)
    if int(text.str.contains(r"\d.*\d.*\d").sum()) < len(text) * _LEAST_SHARE or every.is_empty():
        return None
    times = every.replace_strict(text, pl.int_range(len(text), eager=True), default=None)
    weights = times.drop_nulls().value_counts().sort(times.name)["count"]
    clock = Counter(_clock_in(cell) for cell in text).most_common(1)[0][0]
    read = {form + clock: days_in(text, form + clock) for form in _DAYS}
    counts = {form: int(weights.filter(days.is_not_null()).sum()) for form, days in read.items()}
    most = max(counts.values())
    share = most / int(weights.sum())
    if share < _LEAST_SHARE:
        return None
    best = [form for form, count in counts.items() if count == most]
    best.sort(key=lambda form: _wandering(read[form]))  # ledgers are mostly in order of days
    first = best[0]
    different = any(not read[form].equals(read[first]) for form in best[1:])
    why = f"{share:.0%} of the sample's dates are written so"
    if different:
        why += "; day, month and year could stand in another order"
    return Guess(first, why, not different)


def _clock_in(cell: str) -> str:
    """The form of the time of day at the end of a cell; empty where there is none."""
    found = _CLOCK.search(cell)
    if found is None:
        return ""
    gap, colon, half, zone = (found[name] or "" for name in ("gap", "colon", "half", "zone"))
    form = gap + ("%I" if half else "%H") + colon + "%M"
    if found["second"]:
        form += found["second"][0] + "%S" + ("%.f" if found["part"] else "")
    form += half[:-2] + ("%p" if half else "")
    signed = " %z" if zone.startswith(" ") else "%z"
    return form + (zone if zone in ("", "Z", " UTC") else signed)


def _wandering(days: pl.Series) -> float:
    """How many days lie between one row and the next, on average."""
    steps = days.drop_nulls().diff().drop_nulls().dt.total_days().abs()
    return float(steps.sum()) / len(steps) if len(steps) else 0.0
