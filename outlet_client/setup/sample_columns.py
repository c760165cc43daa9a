"""The columns of a sample, and what their cells look like: days, amounts, codes, keys, people.

Invariant: what is said of a column's cells never holds one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import polars as pl

from outlet_client.setup.column_names import truth_of
from outlet_client.setup.format_guess import dates_of, is_amount

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from outlet_client.setup.guess import Guess

MOST_CODES = 30
"""A column with more different cells holds no codes."""

SURE_PHONE = r"^(\+|00|\(?0)[\d\s()/.\-]{7,22}$"
"""A phone with its country or trunk prefix."""

_PHONE = r"^'?=?\"?(\+|\(?0)?[\d\s()/.\-]{6,22}\"?$"
_EMAIL = r"^\s*[^@\s]+@[^@\s]+\.[^@\s]+\s*$"
_NAME = r"^[^\d_@]*\p{L}{2,}[^\d_@]*$|^\p{Han}[^\d_@]*$"
_COUNT = r"^[-\u{2212}]?\d{1,4}([.,]0+)?$"
_CURRENCY = r"^([A-Z]{3}|[€$£¥₹₩฿]|[A-Z]{1,2}\$|Fr\.?|kr)$"
_HALF, _MOST, _NEARLY_ALL = 0.5, 0.8, 0.95
_LEAST_ROWS = 5
_FEW_CODES = 8
_LONGEST_KEY = 40


@dataclass(frozen=True, slots=True, repr=False)
class SampleColumn:
    """A column of a sample.

    Attributes:
        name: The outlet's own.
        text: As text without blanks around, null where there is nothing.
        dtype: As the file or database has it.
    """

    name: str
    text: pl.Series
    dtype: pl.DataType
    filled: pl.Series = field(init=False)
    _days: list[Guess | None] = field(init=False, default_factory=list)
    _amounts: list[bool] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        object.__setattr__(self, "filled", self.text.drop_nulls())

    def share(self, pattern: str) -> float:
        """Of the filled cells, which share looks like a pattern; 0 where none is filled."""
        return float(self.filled.str.contains(pattern).sum()) / max(len(self.filled), 1)

    def days(self) -> Guess | None:
        """How it writes days, if it holds any; looked at once, since it takes long."""
        if not self._days:
            self._days.append(dates_of(self.text))
        return self._days[0]

    def are_days(self) -> bool:
        """Whether most cells are days or moments."""
        return self.days() is not None

    def are_amounts(self) -> bool:
        """Whether most cells are numbers, with a currency or without; looked at once."""
        if not self._amounts:
            self._amounts.append(_are_amounts(self))
        return self._amounts[0]

    def some(self) -> Iterable[str]:
        """Its first different cells, one more than a column of codes may have."""
        return list(self.filled.unique(maintain_order=True).head(MOST_CODES + 1))


def cells_of(sample: pl.DataFrame) -> dict[str, SampleColumn]:
    """The columns of a sample that can be read as text."""
    found = {}
    for column in sample:
        if column.dtype.is_nested() or column.dtype in (pl.Binary, pl.Object):
            continue
        text = column.cast(pl.String).str.strip_chars().replace("", None)
        found[column.name] = SampleColumn(column.name, text, column.dtype)
    return found


def are_days(cells: SampleColumn) -> bool:
    """Whether most cells are days or moments, however they are written."""
    return cells.dtype.is_temporal() or cells.are_days()


def are_amounts(cells: SampleColumn) -> bool:
    """Whether most cells are numbers, with a currency or without."""
    return cells.are_amounts()


def _are_amounts(cells: SampleColumn) -> bool:
    if cells.dtype.is_numeric():
        return True
    if cells.dtype != pl.String or cells.filled.is_empty():
        return False
    bare = without_currency(cells.filled)
    return float(is_amount(bare).sum()) > _MOST * len(bare) and (
        cells.share(r"[.,]\d\d?\D*$") > _HALF or cells.share(r"^\d+$") > 0 or dates_of(bare) is None
    )


def without_currency(cells: pl.Series) -> pl.Series:
    """Amounts without the signs, codes and marks of debit and credit around them."""
    bare = cells.str.replace_all(r"^[(\s]*[-\u{2212}+]?\s*[A-Za-z€$£¥₹₩฿.]{1,4}\s*|[)\s]+$", "")
    return bare.str.replace(
        r"\s*([A-Za-z€$£¥₹₩฿.]{1,4}|[.,]?[-\u{2013}\u{2014}])$", ""
    ).str.strip_chars()


def are_counts(cells: SampleColumn) -> bool:
    """Whether nearly all cells are whole numbers below ten thousand."""
    if cells.dtype.is_integer() or cells.dtype.is_float():
        return len(cells.filled) > 0 and bool(cells.share(_COUNT) > _MOST)
    return cells.dtype == pl.String and cells.share(_COUNT) > _MOST


def are_codes(cells: SampleColumn) -> bool:
    """Whether there are few different cells, all of them short."""
    return (
        0 < cells.filled.n_unique() <= MOST_CODES
        and bool((cells.filled.str.len_chars() <= _LONGEST_KEY).all())
        and cells.share(_EMAIL) == 0
    )


def are_currencies(cells: SampleColumn) -> bool:
    """Whether nearly all cells are codes or signs of currencies."""
    return cells.share(_CURRENCY) > _MOST


def say_yes_or_no(cells: SampleColumn) -> bool:
    """Whether every cell says yes or no."""
    return len(cells.filled) > 0 and all(truth_of(code) is not None for code in cells.some())


def are_keys(cells: SampleColumn) -> bool:
    """Whether cells are short text or whole numbers, and no days or addresses."""
    is_text = cells.dtype in (pl.String, pl.Categorical)
    short = cells.filled.str.len_chars().mean() or 0
    return (
        (is_text or isinstance(cells.dtype, pl.Enum) or cells.dtype.is_integer())
        and isinstance(short, float | int)
        and short <= _LONGEST_KEY
        and cells.share(_EMAIL) < _HALF
        and not (is_text and cells.share(r"[./-]") > _HALF and cells.are_days())
    )


def are_filled_keys(cells: SampleColumn) -> bool:
    """Whether cells are keys, and any is filled."""
    return are_keys(cells) and len(cells.filled) > 0


def are_line_keys(cells: SampleColumn) -> bool:
    """Whether every row has a key of its own, and it is no mere count of the rows."""
    if cells.text.null_count() or cells.text.n_unique() < len(cells.text) or not are_keys(cells):
        return False
    numbers = cells.text.cast(pl.Int64, strict=False)
    first = numbers[0] if len(numbers) else None
    return not (first in (0, 1) and bool((numbers.diff().drop_nulls() == 1).all()))


def are_running_numbers(cells: SampleColumn) -> bool:
    """Whether cells count the rows, up or down: 1, 2, 3 and so on, maybe anew in each file."""
    numbers = cells.filled.cast(pl.Int64, strict=False)
    if len(numbers) < _LEAST_ROWS or numbers.null_count():
        return False
    steps = numbers.diff().drop_nulls()
    nearly_all = len(steps) * _NEARLY_ALL
    return any(int((steps == step).sum()) >= nearly_all for step in (1, -1))


def are_running_texts(cells: SampleColumn) -> bool:
    """Whether each row's cell ends in a larger number than that before: INV-1, INV-2."""
    numbers = cells.filled.str.extract(r"(\d{1,18})$").cast(pl.Int64)
    if len(numbers) < _LEAST_ROWS or numbers.null_count():
        return False
    steps = numbers.diff().drop_nulls()
    return bool((steps > 0).all()) or bool((steps < 0).all())


def are_phones(cells: SampleColumn) -> bool:
    """Whether most cells look like phones, or none is filled."""
    return len(cells.filled) == 0 or (
        cells.share(_PHONE) > _HALF and not (cells.share(r"[-./]") > 0 and are_days(cells))
    )


def are_mailboxes(cells: SampleColumn) -> bool:
    """Whether most cells are e-mail addresses, or none is filled."""
    return len(cells.filled) == 0 or cells.share(_EMAIL) > _HALF


def are_surely_phones(cells: SampleColumn) -> bool:
    """Whether nearly all cells can be nothing but phones."""
    return cells.dtype == pl.String and cells.share(SURE_PHONE) > _MOST and not are_days(cells)


def are_surely_mailboxes(cells: SampleColumn) -> bool:
    """Whether nearly all cells can be nothing but e-mail addresses."""
    return cells.share(_EMAIL) > _MOST


def are_names(cells: SampleColumn) -> bool:
    """Whether most cells are words without digits, and are no handful of codes."""
    few = len(cells.filled) > MOST_CODES and cells.filled.n_unique() <= _FEW_CODES
    return cells.dtype == pl.String and cells.share(_NAME) > _MOST and not few


FITS: Mapping[str, tuple[Callable[[SampleColumn], bool], str]] = {
    "customer_id": (are_filled_keys, "its cells are empty, or no keys but days, addresses or text"),
    "purchased_at": (are_days, "its cells are days in no form that this program knows"),
    "price": (are_amounts, "its cells are no amounts"),
    "unit_price": (are_amounts, "its cells are no amounts"),
    "quantity": (are_counts, "its cells are no whole numbers"),
    "returned_quantity": (are_counts, "its cells are no whole numbers"),
    "status": (are_codes, "it has too many different cells, or none"),
    "currency": (are_currencies, "its cells are no currencies such as CHF"),
    "kind": (are_codes, f"it has more than {MOST_CODES} different cells, or none"),
    "is_return": (say_yes_or_no, "its cells do not say yes or no"),
    "list_price": (are_amounts, "its cells are no amounts"),
    "basket_id": (are_filled_keys, "its cells are empty, or no keys but days, addresses or text"),
    "line_id": (are_line_keys, "two rows have the same one, some have none, or it counts the rows"),
    "serial": (are_keys, "its cells are no keys but days, addresses or text"),
    "reference": (are_keys, "its cells are no keys but days, addresses or text"),
    "outlet_id": (are_filled_keys, "its cells are empty, or no keys"),
    "phone": (are_phones, "its cells do not look like phones"),
    "email": (are_mailboxes, "its cells are no e-mail addresses"),
    "name": (are_names, "its cells are no names but codes, numbers or addresses"),
    "given_name": (are_names, "its cells are no names but codes, numbers or addresses"),
}
"""What the cells of each canonical column must look like, and what to say where they do not."""
