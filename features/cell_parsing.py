"""How an outlet's cells become keys, days, amounts and truths.

Invariant: a cell is read in one way only, the one its `Format` says, or it is bad and says why. No
reason holds the cell.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import polars as pl

from features.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Mapping

LARGEST_AMOUNT = 1e9
"""Public bound on a price; a larger one is a mistake, and could overflow in a sum."""

FIRST_DAY, LAST_DAY = dt.date(1900, 1, 1), dt.date(2199, 12, 31)
"""Public bounds on a day; one outside is a mistake, such as the year 26."""

ISO_DAY = "%Y-%m-%d"

_TRUTHS = {
    **dict.fromkeys(("true", "t", "yes", "y", "1"), True),
    **dict.fromkeys(("false", "f", "no", "n", "0"), False),
}
_DIRECTIVES = frozenset("%" + letter for letter in "YymdbBheaAjHIklMSpTRFD") | {"%.f", "%#z"}
_DAYS = ({"%Y", "%y"}, {"%m", "%b", "%B", "%h"}, {"%d", "%e"})
_SHORT_FOR_A_DAY = ({"%F"}, {"%D"}, {"%Y", "%j"})
_SPACES = " \u00a0\u202f"
_MOST_WHOLE = 2.0**53


@dataclass(frozen=True, slots=True)
class Format:
    """How an outlet writes its cells; native types of Parquet and databases need none of it.

    Attributes:
        dates: How days, or moments, are written in text, as strptime has it. Of a moment, the day
            counts as it is written, whatever its offset.
        decimal: What stands before cents, "." or ",". The other one, a space or an apostrophe may
            stand between groups of three digits.
        kinds: What the outlet writes for each kind of row, compared without the blanks around it,
            case as written; "" is an empty cell. Canonical words always stand for themselves.
    """

    dates: str = ISO_DAY
    decimal: str = "."
    kinds: Mapping[str, str] = field(default_factory=dict)


ISO = Format()


@dataclass(frozen=True, slots=True, repr=False)
class Cells:
    """A column that was read.

    Attributes:
        values: What the cells mean; null where a cell is bad or empty.
        wrong: Which cells are bad, Boolean, and why; of several reasons the first counts.
    """

    values: pl.Series
    wrong: tuple[tuple[pl.Series, str], ...]

    def bad(self) -> pl.DataFrame:
        """The bad cells: `at` Int64, from 0, and `reason` String, in the column's order."""
        if not any(mask.any() for mask, _ in self.wrong):
            return pl.DataFrame(schema={"at": pl.Int64, "reason": pl.String})
        reason = pl.lit(None, pl.String)
        for number, (_, why) in reversed(list(enumerate(self.wrong))):
            reason = pl.when(pl.col(str(number))).then(pl.lit(why)).otherwise(reason)
        masks = pl.DataFrame([mask.alias(str(at)) for at, (mask, _) in enumerate(self.wrong)])
        found = masks.lazy().with_row_index("at").select(pl.col("at").cast(pl.Int64), reason=reason)
        return found.filter(pl.col("reason").is_not_null()).collect()


def text_of(column: pl.Series, source: str) -> pl.Series:
    """A column of keys as text, without blanks around; null where a cell is blank.

    A number with a fraction of zero is the whole number; one with another fraction is null.

    Raises:
        LedgerError: If it is neither text nor numbers.
    """
    kind = column.dtype
    if kind.is_float() or kind.is_decimal():
        number = column.cast(pl.Float64)
        whole = (number == number.round()) & (number.abs() <= _MOST_WHOLE)
        column = _where(whole, number).cast(pl.Int64).alias(column.name)
    elif not (_is_text(kind) or kind == pl.Null or kind.is_integer()):
        reason = f"got type {kind}, expected text or whole numbers"
        raise LedgerError(source, None, column.name, reason)
    return column.cast(pl.String).str.strip_chars().replace("", None).alias(column.name)


def keys(column: pl.Series, source: str) -> Cells:
    """A column of keys, each needed."""
    found = optional_keys(column, source)
    empty = (column.is_null(), "empty; expected a value")
    return Cells(
        found.values, (*found.wrong, empty, (found.values.is_null(), "empty; expected a key"))
    )


def optional_keys(column: pl.Series, source: str) -> Cells:
    """A column of keys, null where there is none."""
    text = text_of(column, source)
    if not (column.dtype.is_float() or column.dtype.is_decimal()):
        return Cells(text, ())
    fraction = column.is_not_null() & text.is_null()
    return Cells(text, ((fraction, "not a whole number; expected a key"),))


def days(column: pl.Series, source: str, dates: str = ISO_DAY) -> Cells:
    """A column of days, each needed."""
    found = _days(column, source, dates)
    written = "YYYY-MM-DD" if dates == ISO_DAY else dates
    outside = found.is_not_null() & ~found.is_between(FIRST_DAY, LAST_DAY)
    return Cells(
        _where(~outside, found),
        (
            (~_filled(column), "empty; expected a value"),
            (found.is_null(), f"not readable; expected a date in the calendar, as {written}"),
            (outside, f"before {FIRST_DAY.year} or after {LAST_DAY.year}"),
        ),
    )


def days_of(column: pl.Series, source: str, dates: str = ISO_DAY) -> pl.Series:
    """A column of days; null where a cell is none, or none from `FIRST_DAY` to `LAST_DAY`.

    Of a moment, the day on its own clock, not UTC's.

    Raises:
        LedgerError: If it is neither of days, moments nor text, or `dates` is no way to write one.
    """
    found = _days(column, source, dates)
    return _where(found.is_between(FIRST_DAY, LAST_DAY), found)


def _days(column: pl.Series, source: str, dates: str) -> pl.Series:
    if column.dtype == pl.Date or isinstance(column.dtype, pl.Datetime):
        return column.dt.date()
    numbers = column.dtype.is_integer() and dates != ISO_DAY
    if not (_is_text(column.dtype) or column.dtype == pl.Null or numbers):
        reason = f"got type {column.dtype}, expected {pl.Date()}"
        raise LedgerError(source, None, column.name, reason)
    text = text_of(column, source)
    try:
        return text.str.to_date(_pattern(dates), strict=False)
    except (ValueError, pl.exceptions.ComputeError) as error:
        reason = f"dates = {dates!r} is no way to write a day; expected such as '%d.%m.%Y'"
        raise LedgerError(source, None, column.name, reason) from error


def _pattern(dates: str) -> str:
    """A way to write a day, as polars has it.

    Raises:
        ValueError: If it leaves out a part of the day, or holds what is no part of a moment.
    """
    pattern = dates.replace(".%f", "%.f").replace("%z", "%#z")
    found = set(re.findall(r"%\.f|%#z|%.?", pattern, re.DOTALL))
    whole = all(found & part for part in _DAYS) or any(part <= found for part in _SHORT_FOR_A_DAY)
    if not (found <= _DIRECTIVES and whole):
        raise ValueError(dates)
    return pattern


def amounts(column: pl.Series, source: str, decimal: str = ".") -> Cells:
    """A column of amounts, each needed: Float64, finite.

    Text is digits with at most one decimal sign, a sign before or a minus behind, and groups of
    three digits with one and the same of `.` or `,` (which is not the decimal sign), a blank or an
    apostrophe between them. "12,345" is 12345 where the decimal sign is a point, and bad is what
    could mean two things: "12,50", "1,2345" or "0,125".
    """
    kind = column.dtype
    if _is_text(kind) or kind == pl.Null:
        number = _amounts_of_text(column.cast(pl.String), decimal)
    elif kind.is_numeric():
        number = column.cast(pl.Float64)
    else:
        raise LedgerError(source, None, column.name, f"got type {kind}, expected {pl.Float64()}")
    return Cells(
        number,
        (
            (~_filled(column), "empty; expected a value"),
            (number.is_null(), f"not readable; expected an amount such as 1234{decimal}50"),
            (
                (~number.is_finite() | (number.abs() > LARGEST_AMOUNT)).fill_null(value=False),
                f"NaN, infinity or over {LARGEST_AMOUNT:g}",
            ),
        ),
    )


def _amounts_of_text(column: pl.Series, decimal: str) -> pl.Series:
    """Plain numbers first, since nearly all are; then what has groups or a minus behind."""
    text = column.str.strip_chars()
    plain = text
    if decimal != ".":
        pointed = text.str.contains(".", literal=True)
        swapped = text.str.replace(decimal, ".", literal=True)
        plain = _where(~pointed, swapped)
    number = plain.cast(pl.Float64, strict=False)
    rest = (number.is_null() & text.is_not_null()).arg_true()
    if rest.is_empty():
        return number.alias(column.name)
    odd = text.gather(rest).str.replace("\u2212", "-", literal=True)
    odd = odd.str.replace(r"^(\d.*)-$", "-${1}")
    other = "," if decimal == "." else r"\."
    grouped = "|".join(
        rf"[1-9]\d{{0,2}}({mark}\d{{3}})+" for mark in (other, f"[{_SPACES}]", "['\u2019]")
    )
    fits = odd.str.contains(rf"^[-+]?(\d+|{grouped})({re.escape(decimal)}\d+)?$")
    bare = odd.str.replace_all(rf"[{_SPACES}'\u2019]|{other}", "")
    bare = bare.str.replace(decimal, ".", literal=True)
    found = _where(fits, bare).cast(pl.Float64, strict=False)
    return number.scatter(rest, found).alias(column.name)


def truths(column: pl.Series, source: str) -> Cells:
    """A column of yes and no, each needed: Boolean."""
    kind = column.dtype
    if kind == pl.Boolean:
        found = column
    elif _is_text(kind) or kind == pl.Null or kind.is_integer():
        text = column.cast(pl.String).str.strip_chars().str.to_lowercase()
        found = text.replace_strict(_TRUTHS, default=None, return_dtype=pl.Boolean)
    else:
        raise LedgerError(source, None, column.name, f"got type {kind}, expected {pl.Boolean()}")
    return Cells(
        found,
        (
            (~_filled(column), "empty; expected a value"),
            (found.is_null(), "not readable; expected true or false"),
        ),
    )


def _is_text(kind: pl.DataType) -> bool:
    return kind in (pl.String, pl.Categorical) or isinstance(kind, pl.Enum)


def _filled(column: pl.Series) -> pl.Series:
    """Where a cell holds anything but blanks."""
    if _is_text(column.dtype):
        return (column.cast(pl.String).str.strip_chars() != "").fill_null(value=False)
    return column.is_not_null()


def _where(right: pl.Series, column: pl.Series) -> pl.Series:
    """A column, null where it is not right."""
    return pl.select(pl.when(right).then(column)).to_series().alias(column.name)
