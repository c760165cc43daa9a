"""What an operator's terminal may show of a bad cell.

Invariant: no name, phone or e-mail is shown, whatever column a wrong mapping took it from. A cell
is shown only if it looks like a date, an amount or a code; of any other, its shape at most: a
letter is an x, a digit a 9.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from outlet_client.setup.column_matching import MOST_CODES, may_be_shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_LONGEST = 32

_MONTH_WORDS = (
    "jan january januar janvier gennaio feb february februar fevrier febbraio mar march mrz "
    "marz mars marzo apr april avril aprile may mai maggio mag jun june juni juin giugno giu "
    "jul july juli juillet luglio lug aug august aout agosto ago sep sept september septembre "
    "settembre set oct october okt oktober octobre ottobre ott nov november novembre dec "
    "december dez dezember decembre dicembre dic am pm utc gmt"
)
_NOTHING_WORDS = "null nan none inf infinity nil na ka leer unbekannt offen tba tbd nd"
_CURRENCY_WORDS = "eur euro chf fr sfr usd us gbp sgd hkd jpy cny aud"
_MONTHS, _NOTHING, _CURRENCY = (
    frozenset(words.split()) for words in (_MONTH_WORDS, _NOTHING_WORDS, _CURRENCY_WORDS)
)
_PLAIN = {ord("é"): "e", ord("û"): "u", ord("ä"): "a"}
_NUMBERS_OF_A_DAY = 3
_PHONE = 7
"""So many digits can be a phone."""

_DAY = re.compile(
    r"(\d{1,2}|\d{4})([-./])\d{1,2}\2(\d{1,2}|\d{4})"
    r"([T ,]+\d{1,2}([:.]\d{1,2}){1,2}([.,]\d+)?)?(Z|[+-]\d\d:?\d\d)?"
    r"|(19|20)\d{6}|\d{1,6}|[ .,/-]*"
)
_AMOUNT = re.compile(
    r"[-+]?(\d{1,3}([.,' \u00a0\u2019]\d{3})+|\d{1,8})([.,]+\d{1,2})*([.,]-)?-?|\d{1,8}[.,]\d{3,20}"
)
_YEAR_OR_DAY = re.compile(r"\d{1,2}|(19|20)\d\d")
_WORD = r"[^\W\d_]{2,}"
_LONGEST_INITIALS = 3


@dataclass(frozen=True, slots=True)
class Column:
    """What is known of a column when one of its bad cells is to be shown.

    Attributes:
        name: The canonical one.
        distinct: How many different cells it has.
        some_good: Whether any of them can be read.
    """

    name: str
    distinct: int
    some_good: bool


def shape_of(cell: str) -> str:
    """A cell without what it says: letters as x, digits as 9, others as they are."""
    masked = re.sub(r"\d", "9", re.sub(r"[^\W\d_]", "x", cell[:_LONGEST]))
    return f"like {masked}{'...' if len(cell) > _LONGEST else ''}"


def _said(cell: str, words: frozenset[str]) -> bool:
    """Whether all words of a cell are of some: a single letter is none."""
    plain = cell.casefold().translate(_PLAIN)
    return all(word in words for word in re.findall(_WORD, plain))


def _is_nothing(cell: str) -> bool:
    return not re.search(r"\d", cell) and _said(cell, _NOTHING)


def _day(cell: str, _: Column) -> bool:
    """A day with its month as a word, or in digits as days are written."""
    bare = cell.strip()
    if re.search(_WORD, bare):
        numbers = re.findall(r"\d+", bare)
        is_day = all(_YEAR_OR_DAY.fullmatch(number) for number in numbers)
        return 0 < len(numbers) <= _NUMBERS_OF_A_DAY and is_day and _said(bare, _MONTHS)
    return bool(_DAY.fullmatch(bare))


def _amount(cell: str, _: Column) -> bool:
    """Digits as amounts are written, with a currency or not."""
    bare = re.sub(rf"{_WORD}|[^\W\d_]\.?|[$€£¥]", "", cell).strip(" .\u00a0")
    digits = sum(character.isdigit() for character in bare)
    return (
        _said(cell, _CURRENCY)
        and bool(_AMOUNT.fullmatch(bare))
        and not (digits >= _PHONE and re.search(r"^[0+]|^\d+$|\s", bare))
    )


def _code(cell: str, column: Column) -> bool:
    """Where no cell is a known code, the column may be one of names."""
    if column.distinct > MOST_CODES or not may_be_shown(cell):
        return False
    return column.some_good or len(cell) <= _LONGEST_INITIALS


_MAY: Mapping[str, Callable[[str, Column], bool]] = {
    **dict.fromkeys(("purchased_at", "seen_at", "since"), _day),
    **dict.fromkeys(("price", "list_price"), _amount),
    **dict.fromkeys(("kind", "is_return", "tier", "status"), _code),
}
"""The columns of which anything is shown: dates, amounts and codes."""


def shown(column: Column, cell: str | None) -> str | None:
    """A bad cell as the operator may see it; None of a column that is never shown.

    Args:
        column: Whose cell it is.
        cell: As it was read; None where it is empty.
    """
    may = _MAY.get(column.name)
    if may is None or cell is None:
        return None
    if len(cell) <= _LONGEST and "@" not in cell and (_is_nothing(cell) or may(cell, column)):
        return repr(cell)
    return shape_of(cell)


def reference_shown(reference: str) -> str:
    """A reference, unless it could be a name or a phone: then its shape."""
    has_digit = any(character.isdigit() for character in reference)
    return repr(reference) if has_digit and may_be_shown(reference) else shape_of(reference)
