"""How an outlet's amounts become numbers, each in a currency that is known.

Invariant: digits are read with the one decimal sign that is said; what could be another amount with
it is bad. An amount is below zero for one reason only: a minus, parentheses, or the other side of
the ledger. A sign that could be two of the outlet's currencies is bad, not the likelier one.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from features.cell_columns import Cells, filled, is_text, scientific, where
from features.currencies import SIDES, candidates
from features.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Literal

LARGEST_AMOUNT = 1e9
"""Public bound on a price; a larger one is a mistake, and could overflow in a sum."""

CENTS = "cents"
"""The decimal sign of amounts in minor units, which have none."""

_SPACES = " \u00a0\u2009\u202f"
_MARKED = rf"^([^0-9]*?)([0-9](?:[0-9.,'\u2019{_SPACES}]*[0-9])?)([^0-9]*)$"
"""What stands before an amount's digits, the digits with their groups, and what stands behind."""

_BETWEEN = "\x1f"

_NO_CURRENCY = "in a currency; set `currency`, which amounts are kept in"
_OTHER_CURRENCY = "in another currency, or one of several; set `rates`"
_TWO_CURRENCIES = "in another currency than the row says"
_UNKNOWN_CURRENCY = "in no known currency; expected ISO 4217, such as EUR"
_NO_SIDE = "a debit or credit; set `sales_side`, on which sales stand"
_REASONS = (_NO_CURRENCY, _OTHER_CURRENCY, _TWO_CURRENCIES, _UNKNOWN_CURRENCY, _NO_SIDE)


@dataclass(frozen=True, slots=True, repr=False)
class Amounts(Cells):
    """A column of amounts that was read.

    Attributes:
        currency: The ISO 4217 code that a cell or its row says, String; null where neither does.
    """

    currency: pl.Series


@dataclass(frozen=True, slots=True)
class Marks:
    """What stands around an amount's digits.

    Attributes:
        is_negative: Whether there is a minus, or parentheses.
        currencies: What the signs and codes may be; empty where there are none.
        side: Debit or credit, or neither.
    """

    is_negative: bool = False
    currencies: tuple[str, ...] = ()
    side: str | None = None


@dataclass(frozen=True, slots=True)
class _Money:
    """What a table's amounts may be in; as `amounts` takes it."""

    currency: str | None
    others: Collection[str]
    sales_side: Literal["debit", "credit"] | None


def amounts(
    column: pl.Series,
    source: str,
    decimal: str = ".",
    *,
    currency: str | None = None,
    others: Collection[str] = (),
    said: pl.Series | None = None,
    sales_side: Literal["debit", "credit"] | None = None,
) -> Amounts:
    """A column of amounts, each needed: Float64, finite, in the currency that each has.

    Text is digits with at most one decimal sign, and groups of three digits, or of Indian lakhs,
    with one and the same of `.` or `,` (which is not the decimal sign), a blank or an apostrophe
    between them. A minus stands before or behind, or parentheses around. "12,345" is 12345 where
    the decimal sign is a point, and bad is what could mean two things: "12,50", "1,2345" or
    "0,125".

    Args:
        column: Text or numbers.
        source: The file's or table's name, for errors.
        decimal: What stands before cents: "." or ",", or "cents" where amounts are whole numbers
            of minor units.
        currency: The outlet's own; a cell's sign that can be it is it.
        others: Further currencies that may be there.
        said: The currency of each row as a column says it, as text; null where it says none.
        sales_side: The side of the ledger on which amounts are above zero; without it a cell with
            a side is bad.

    Raises:
        LedgerError: If the column is neither text nor numbers.
    """
    kind = column.dtype
    marks = None
    if is_text(kind) or kind == pl.Null:
        number, marks = _of_text(column.cast(pl.String), decimal)
    elif kind.is_numeric():
        number = column.cast(pl.Float64)
        number = where(number == number.round(), number) if decimal == CENTS else number
    else:
        raise LedgerError(source, None, column.name, f"got type {kind}, expected {pl.Float64()}")
    number = number / 100 if decimal == CENTS else number
    found = _with_marks(number, marks, said, _Money(currency, others, sales_side))
    values, code, why = (part.alias(column.name) for part in found)
    example = "123450, in cents" if decimal == CENTS else f"1234{decimal}50"
    reasons = [one for one in _REASONS if why.null_count() < len(why)]
    too_large = (~values.is_finite() | (values.abs() > LARGEST_AMOUNT)).fill_null(value=False)
    return Amounts(
        values,
        (
            (~filled(column), "empty; expected a value"),
            *(((why == reason).fill_null(value=False), reason) for reason in reasons),
            (values.is_null(), f"not readable; expected an amount such as {example}"),
            (too_large, f"NaN, infinity or over {LARGEST_AMOUNT:g}"),
        ),
        code,
    )


def _of_text(column: pl.Series, decimal: str) -> tuple[pl.Series, pl.Series | None]:
    """Plain numbers first, since nearly all are; then what has groups or marks.

    Returns:
        The numbers without marks, and what stands before and behind each; None where all are plain.
    """
    text = column.str.strip_chars()
    lost = scientific(text)
    plain = where(~lost, text) if lost.any() else text
    if decimal == CENTS:
        plain = where(plain.str.contains("^[-+]?[0-9]+$"), plain)
    elif decimal != ".":
        pointed = text.str.contains(".", literal=True)
        plain = where(~pointed, plain.str.replace(decimal, ".", literal=True))
    number = plain.cast(pl.Float64, strict=False)
    rest = (number.is_null() & text.is_not_null()).arg_true()
    if rest.is_empty():
        return number, None
    odd = text.gather(rest)
    if decimal != CENTS:  # 1'200.- and 1.200,- have no cents
        ended = rf"^(.*[0-9]){re.escape(decimal)}(?:--?|\u2013|\u2014)([^0-9]*)$"
        odd = odd.str.replace(ended, f"${{1}}{decimal}00${{2}}")
    parts = odd.str.extract_groups(_MARKED).struct.unnest()
    marks = pl.Series([None], dtype=pl.String).new_from_index(0, len(text))
    written = (parts["1"] + _BETWEEN + parts["3"]).fill_null(_BETWEEN)
    return (
        number.scatter(rest, _of_digits(parts["2"], decimal)),
        marks.scatter(rest, written),
    )


def _of_digits(digits: pl.Series, decimal: str) -> pl.Series:
    """Numbers of digits, their groups and cents; null where they could mean two things."""
    other = r"\." if decimal == "," else ","
    marks = (other, f"[{_SPACES}]", "['\u2019]")
    groups = [rf"[1-9][0-9]{{0,2}}({mark}[0-9]{{3}})+" for mark in marks]
    lakhs = [] if decimal == "," else [r"[1-9][0-9]?(,[0-9]{2})+,[0-9]{3}"]
    cents = "" if decimal == CENTS else rf"({re.escape(decimal)}[0-9]+)?"
    fits = digits.str.contains(rf"^([0-9]+|{'|'.join([*groups, *lakhs])}){cents}$")
    bare = digits.str.replace_all(rf"[{_SPACES}'\u2019]|{other}", "")
    bare = bare.str.replace(decimal, ".", literal=True) if decimal == "," else bare
    return where(fits, bare).cast(pl.Float64, strict=False)


# --- signs, currencies and sides ------------------------------------------------------------------


def _with_marks(
    number: pl.Series, marks: pl.Series | None, said: pl.Series | None, money: _Money
) -> tuple[pl.Series, pl.Series, pl.Series]:
    """Numbers with their signs, null where a mark is unknown; currencies; and what is wrong."""
    nothing = pl.Series([None], dtype=pl.String).new_from_index(0, len(number))
    if number.is_empty() or (marks is None and said is None):
        return number, nothing, nothing
    words = nothing if said is None else said.cast(pl.String).str.strip_chars()
    both = (nothing if marks is None else marks).fill_null(_BETWEEN)
    around = both + _BETWEEN + words.fill_null("")
    different = around.unique().to_list()
    meant = [_meant(one, money) for one in different]
    at = around.replace_strict(different, range(len(different)), return_dtype=pl.UInt32)
    factors = pl.Series([factor for factor, _, _ in meant], dtype=pl.Float64).gather(at)
    codes = pl.Series([code for _, code, _ in meant], dtype=pl.String).gather(at)
    why = pl.Series([reason for _, _, reason in meant], dtype=pl.String).gather(at)
    return number * factors, where(number.is_not_null(), codes), where(number.is_not_null(), why)


def _meant(around: str, money: _Money) -> tuple[float | None, str | None, str | None]:
    """The factor of an amount with some marks, its currency, and what is wrong with them."""
    before, behind, said = around.split(_BETWEEN, 2)
    marks = marks_of(before, behind)
    if marks is None:
        return None, None, None
    if marks.side is not None and money.sales_side is None:
        return None, None, _NO_SIDE
    is_negative = marks.is_negative or marks.side not in (None, money.sales_side)
    code, why = _currency(marks.currencies, said, money)
    return (None if why else -1.0 if is_negative else 1.0), code, why


def _currency(signs: tuple[str, ...], said: str, money: _Money) -> tuple[str | None, str | None]:
    """The currency of an amount whose own signs and whose row say something, or why none."""
    options = candidates(said) if said else signs
    if said and not options:
        return None, _UNKNOWN_CURRENCY
    if said and signs:
        options = tuple(code for code in options if code in signs)
        if not options:
            return None, _TWO_CURRENCIES
    if not options:
        return None, None
    if money.currency is None:
        return None, _NO_CURRENCY
    if money.currency in options:
        return money.currency, None
    there = [code for code in options if code in money.others]
    return (there[0], None) if len(there) == 1 else (None, _OTHER_CURRENCY)


def marks_of(before: str, behind: str) -> Marks | None:
    """Reads what stands around an amount's digits; None where that is nothing an amount has.

    Args:
        before: Such as "SGD ", "-$" or "(".
        behind: Such as " EUR", "-", ") DR".
    """
    front, back = _marks_in(before), _marks_in(behind)
    if front is None or back is None:
        return None
    opened, closed, minus = front.count("("), back.count(")"), (front + back).count("-")
    misplaced = ")" in front or "(" in back or "+" in back
    signs = minus + front.count("+") + opened
    words = [word for word in (*front, *back) if word not in "-+()"]
    sides = [SIDES[word.casefold()] for word in words if word.casefold() in SIDES]
    money = [candidates(word) for word in words if word.casefold() not in SIDES]
    too_many = signs + len(sides) > 1 or len(money) > 2  # noqa: PLR2004  (a sign and its code)
    if opened != closed or misplaced or too_many or not all(money):
        return None
    shared = tuple(code for code in (money or [()])[0] if all(code in one for one in money))
    if money and not shared:
        return None
    return Marks(minus + opened > 0, shared, sides[0] if sides else None)


def _marks_in(text: str) -> list[str] | None:
    """The signs and words of a text without digits; None where there is anything else."""
    found = re.findall(r"\s+|[-+()\u2212]|[^\W\d_]*[^\w\s()+\-\u2212]|[^\W\d_]+", text)
    marks: list[str] = []
    for one in filter(str.strip, found):
        kind = unicodedata.category(one[-1])
        if one in "-\u2212":
            marks.append("-")
        elif one in "+()" or kind == "Sc" or one[-1].isalpha() or (one[-1] == "." and one[:-1]):
            marks.append(one)
        else:
            return None
    return marks
