"""A column of cells that was read, and what its text is before anybody reads it as something.

Invariant: a cell is a value or bad with a reason, and no reason holds the cell.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import polars as pl

from features.errors import LedgerError

_MOST_WHOLE, _MOST_WHOLE_SHORT = 2.0**53, 2.0**24
"""Beyond, a float of 64 or 32 bits has not all whole numbers: one may stand for its neighbour."""

_FLOATED = re.compile(r"^([0-9]+)\.0$")
_SCIENTIFIC = r"^[-+]?[0-9](?:[.,][0-9]+)?[eE]\+[0-9]+$"


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
    """A column of keys as text, without blanks around; null where a cell is blank or no key.

    A number with a fraction of zero is the whole number, also as text such as "123.0", which
    programs write that take a key for a number. One with another fraction is null, and so is text
    such as "6.58E+09", of which digits are lost.

    Raises:
        LedgerError: If it is neither text nor numbers.
    """
    kind = column.dtype
    if kind.is_float() or kind.is_decimal():
        number = column.cast(pl.Float64)
        most = _MOST_WHOLE_SHORT if kind == pl.Float32 else _MOST_WHOLE
        whole = (number == number.round()) & (number.abs() <= most)
        column = where(whole, number).cast(pl.Int64).alias(column.name)
    elif not (is_text(kind) or kind == pl.Null or kind.is_integer()):
        reason = f"got type {kind}, expected text or whole numbers"
        raise LedgerError(source, None, column.name, reason)
    text = column.cast(pl.String).str.strip_chars().replace("", None)
    if is_text(kind):
        if text.str.ends_with(".0").any():
            text = text.str.replace(_FLOATED.pattern, "${1}")
        lost = scientific(text)
        text = where(~lost, text) if lost.any() else text
    return text.alias(column.name)


def without_fraction(text: str) -> str:
    """A key or code as `text_of` reads it: "123.0" is "123", anything else itself."""
    return _FLOATED.sub(r"\1", text)


def scientific(text: pl.Series) -> pl.Series:
    """Which cells are numbers as spreadsheets shorten them, such as "6.58E+09"; Boolean."""
    short = text.str.contains("+", literal=True).fill_null(value=False)
    if not short.any():
        return short
    return text.str.contains(_SCIENTIFIC).fill_null(value=False)


def is_text(kind: pl.DataType) -> bool:
    """Whether a type is one of text."""
    return kind in (pl.String, pl.Categorical) or isinstance(kind, pl.Enum)


def filled(column: pl.Series) -> pl.Series:
    """Where a cell holds anything but blanks; Boolean."""
    if is_text(column.dtype):
        return (column.cast(pl.String).str.strip_chars() != "").fill_null(value=False)
    return column.is_not_null()


def where(right: pl.Series, column: pl.Series) -> pl.Series:
    """A column, null where it is not right."""
    return pl.select(pl.when(right).then(column)).to_series().alias(column.name)
