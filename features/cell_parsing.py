"""How an outlet's cells become keys, days, amounts and truths.

Invariant: a cell is read in one way only, the one its `Format` says, or it is bad and says why. No
reason holds the cell.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import polars as pl

from features.amount_parsing import LARGEST_AMOUNT, Amounts, amounts
from features.cell_columns import (
    Cells,
    filled,
    is_text,
    scientific,
    text_of,
    without_fraction,
)
from features.day_parsing import FIRST_DAY, ISO_DAY, LAST_DAY, days, days_of
from features.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Literal

__all__ = [
    "FIRST_DAY",
    "ISO",
    "ISO_DAY",
    "LARGEST_AMOUNT",
    "LAST_DAY",
    "Amounts",
    "Cells",
    "Format",
    "amounts",
    "days",
    "days_of",
    "keys",
    "optional_keys",
    "text_of",
    "truths",
    "without_fraction",
]

_TRUTHS = {
    **dict.fromkeys(("true", "t", "yes", "y", "1"), True),
    **dict.fromkeys(("false", "f", "no", "n", "0"), False),
}


@dataclass(frozen=True, slots=True)
class Format:
    """How an outlet writes its cells; native types of Parquet and databases need none of it.

    Attributes:
        dates: How days, or moments, are written, as `day_parsing` has it. Of a moment, the day
            counts as it is written, whatever its offset.
        decimal: What stands before cents, "." or ",", or "cents" where amounts are in minor units.
            The other sign, a blank or an apostrophe may stand between groups of digits.
        kinds: What the outlet writes for each kind of row, compared without the blanks around it,
            case as written; "" is an empty cell. Canonical words always stand for themselves.
        currency: The currency, ISO 4217, that amounts are kept in; None where none of them names
            one.
        rates: What one unit of each other currency is worth in it.
        sales_side: On which side of the ledger a sale stands, where amounts carry DR or CR.
    """

    dates: str = ISO_DAY
    decimal: str = "."
    kinds: Mapping[str, str] = field(default_factory=dict)
    currency: str | None = None
    rates: Mapping[str, float] = field(default_factory=dict)
    sales_side: Literal["debit", "credit"] | None = None


ISO = Format()


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
    if column.dtype.is_float() or column.dtype.is_decimal():
        fraction = column.is_not_null() & text.is_null()
        reason = "not a whole number, or digits of it are lost; expected a key"
        return Cells(text, ((fraction, reason),))
    if not is_text(column.dtype) or text.null_count() == column.null_count():
        return Cells(text, ())
    lost = scientific(column.cast(pl.String).str.strip_chars())
    reason = "in scientific notation, of which digits are lost; export the column as text"
    return Cells(text, ((lost, reason),))


def truths(column: pl.Series, source: str) -> Cells:
    """A column of yes and no, each needed: Boolean."""
    kind = column.dtype
    if kind == pl.Boolean:
        found = column
    elif is_text(kind) or kind == pl.Null or kind.is_integer():
        text = text_of(column, source).str.to_lowercase()
        found = text.replace_strict(_TRUTHS, default=None, return_dtype=pl.Boolean)
    else:
        raise LedgerError(source, None, column.name, f"got type {kind}, expected {pl.Boolean()}")
    return Cells(
        found,
        (
            (~filled(column), "empty; expected a value"),
            (found.is_null(), "not readable; expected true or false"),
        ),
    )
