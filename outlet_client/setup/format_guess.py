"""How amounts are written, guessed from a sample; and the door to the guesses of files and days.

Invariant: a guess says why, and never with a cell. Where the sample speaks for two readings alike,
the guess says that it is not sure; where it speaks for none, there is no guess.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import polars as pl

from features.amount_parsing import marks_of
from outlet_client.setup.day_guess import dates_of, days_in
from outlet_client.setup.encoding_guess import encoding_of
from outlet_client.setup.guess import Guess
from outlet_client.setup.layout_guess import (
    DELIMITERS,
    NO_HEADER,
    begins_with_data,
    delimiter_of,
    layout_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "DELIMITERS",
    "NO_HEADER",
    "Guess",
    "begins_with_data",
    "dates_of",
    "days_in",
    "decimal_of",
    "delimiter_of",
    "encoding_of",
    "is_amount",
    "layout_of",
    "side_counts",
    "sides_of",
    "undecided_of",
]

_AMOUNT = r"^[-+]?\d[\d.,' \u00a0\u2009\u202f\u2019]*-?$"
_DIGITS = r"(\d(?:[\d.,' \u00a0\u2009\u202f\u2019]*\d)?)"
_NO_CENTS = r"([.,])(?:--?|\u2013|\u2014)(\D*)$"
_LAKHS = r"\d{1,2}(,\d{2})+,\d{3}"
_CENTS = {
    mark: rf"^(\d+|\d{{1,3}}([^\d{mark}]\d{{3}})*|{_LAKHS})[{mark}](\d{{1,2}}|\d{{4,}})$"
    rf"|^(0|\d{{4,}})[{mark}]\d+$"
    for mark in ".,"
}
_GROUPS = {mark: rf"^[1-9]\d{{0,2}}([{mark}]\d{{3}})+$" for mark in ".,"}
_MARKED = r"^(\D*?)\d(?:.*\d)?(\D*)$"
MOST_SALES = 2 / 3
"""Of amounts with sides, the least share of the side that sales surely stand on."""


def is_amount(cells: pl.Series) -> pl.Series:
    """Which cells look like numbers, however they are written."""
    return cells.str.strip_chars().str.contains(_AMOUNT)


def decimal_of(amounts: Sequence[pl.Series]) -> Guess | None:
    """Guesses what stands before cents.

    Args:
        amounts: Columns of amounts as text, with what stands beside them; blanks are left out of
            account.

    Returns:
        None if no cell has a point or comma. Not sure where every such sign stands before exactly
        three digits: those are read as thousands.
    """
    cells = pl.concat([cells.drop_nulls().str.strip_chars() for cells in amounts])
    cells = cells.str.replace(_NO_CENTS, "${1}00${2}").str.extract(_DIGITS).drop_nulls()
    cents = {mark: int(cells.str.contains(_CENTS[mark]).sum()) for mark in ".,"}
    if any(cents.values()):
        best = max(cents, key=lambda mark: cents[mark])
        name = {".": "point", ",": "comma"}
        other = cents["." if best == "," else ","]
        but = f", {other:,} with a {name['.' if best == ',' else ',']}" if other else ""
        why = f"{cents[best]:,} amounts of the sample have a {name[best]} before cents{but}"
        return Guess(best, why, other * 10 < cents[best])
    if bool(cells.str.contains(f"^{_LAKHS}$").any()):
        return Guess(".", "',' stands between lakhs, as in India")
    for mark, decimal in ((".", ","), (",", ".")):
        if bool(cells.str.contains(_GROUPS[mark]).any()):
            why = f"every '{mark}' stands before three digits, and is read as thousands"
            return Guess(decimal, why, sure=False)
    return None


def undecided_of(amounts: Sequence[pl.Series]) -> tuple[int, int]:
    """How many amounts have a point or comma that could stand before cents and thousands alike.

    Args:
        amounts: Columns of amounts as text.

    Returns:
        The amounts whose only such sign stands before their last three digits; and those that tell
        the decimal sign: by another number of digits, or by two signs.
    """
    cells = pl.concat([cells.drop_nulls().str.strip_chars() for cells in amounts])
    cells = cells.str.replace(_NO_CENTS, "${1}00${2}").str.extract(_DIGITS).drop_nulls()
    marked = cells.filter(cells.str.contains("[.,]"))
    undecided = int(marked.str.contains(r"^[1-9]\d{0,2}[.,]\d{3}$").sum())
    return undecided, len(marked) - undecided


def sides_of(amounts: Sequence[pl.Series], is_return: pl.Series | None = None) -> Guess | None:
    """Guesses on which side of the ledger sales stand, where amounts are debits and credits.

    Args:
        amounts: Columns of amounts as text.
        is_return: Which rows of the first column are returns, Boolean; None where nothing says so.

    Returns:
        "debit" or "credit"; None if no amount has a side. Not sure where neither has two
        thirds, or returns stand on both.
    """
    sides = [_sides(cells) for cells in amounts]
    counts = Counter(side for column in sides for side in column.drop_nulls())
    if not counts:
        return None
    told = f"{counts['debit']:,} amounts of the sample are debits, {counts['credit']:,} credits"
    if is_return is not None and is_return.any():
        sales = Counter(sides[0].filter(~is_return).drop_nulls())
        returns = Counter(sides[0].filter(is_return).drop_nulls())
        side = sales.most_common(1)[0][0] if sales else "debit"
        sure = returns[side] == 0 and len(sales) == 1
        return Guess(side, f"{told}: most sales are {side}s, most returns are not", sure)
    side, count = counts.most_common(1)[0]
    why = f"{told}: those of the other side are taken for returns"
    return Guess(side, why, count >= counts.total() * MOST_SALES)


def side_counts(amounts: pl.Series) -> Counter[str]:
    """How many amounts of a column, as text, are debits, and how many credits."""
    return Counter(_sides(amounts).drop_nulls())


def _sides(cells: pl.Series) -> pl.Series:
    """The side that each amount says, as text; null where it says none."""
    found = cells.str.strip_chars().str.extract_groups(_MARKED).struct.unnest()
    around = found.select(pl.concat_str(["1", "2"], separator="\x1f"))
    marks = around.to_series()
    sides = {one: _side(*one.split("\x1f")) for one in marks.drop_nulls().unique()}
    return marks.replace_strict(sides, default=None, return_dtype=pl.String)


def _side(before: str, behind: str) -> str | None:
    marks = marks_of(before, behind)
    return None if marks is None else marks.side
