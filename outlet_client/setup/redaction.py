"""What an operator's terminal may show of a bad cell.

Invariant: no name, phone or e-mail is shown, whatever column a wrong mapping took it from. Of a
cell its shape is shown at most, where a letter is an x and a digit a 9; only a short code is shown
as it is, and that only of a column that holds codes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import phonenumbers

from outlet_client.setup.code_guess import may_be_shown
from outlet_client.setup.sample_columns import MOST_CODES
from outlet_client.sources.customer_keys import PREFIX

CODE_COLUMNS = ("kind", "is_return")
_SHAPED = ("purchased_at", "price", "list_price")

_LONGEST = 32
_LONGEST_INITIALS = 3
_LEAST_DIGITS = 4
_LEAST_OF_A_PHONE = 7
_LONGEST_NAME = 40
_WATCH_NUMBER = re.compile(r"\d{3}\.\d{2}\.\d{2}(\.\d{2}\.\d{2}\.\d{3})?")
"""Groups that no country writes a phone in."""


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


def shown(column: Column, cell: str | None) -> str | None:
    """A bad cell as the operator may see it; None of a column that is never shown.

    Args:
        column: Whose cell it is.
        cell: As it was read; None where it is empty.
    """
    if cell is None or column.name not in (*CODE_COLUMNS, *_SHAPED):
        return None
    few = column.name in CODE_COLUMNS and column.distinct <= MOST_CODES and may_be_shown(cell)
    # Where no cell is a known code, the column may be one of names.
    return (
        repr(cell)
        if few and (column.some_good or len(cell) <= _LONGEST_INITIALS)
        else shape_of(cell)
    )


def reference_shown(reference: str) -> str:
    """A reference as a message may name it."""
    masked = reference_mask(reference)
    return repr(masked) if _is_reference(reference) else f"like {masked}"


def reference_mask(reference: str) -> str:
    """A reference as it may be shown: parts with digits as they are, words by their shape.

    What could be a phone or an address is shown by its shape alone, as what has no digit is. A
    phone has seven digits or more that no letter parts; only in the groups of watches' numbers, as
    in 210.30.42, such digits are none.
    """
    if not _is_reference(reference):
        return shape_of(reference).removeprefix("like ")
    return re.sub(r"[^\W\d_]+", _word_mask, reference)


def _is_reference(text: str) -> bool:
    if "@" in text or "+" in text or len(text) > _LONGEST_NAME:
        return False
    runs = [sum(map(str.isdigit, run)) for run in re.split(r"[^\W\d_]+", text)]
    if max(runs) < _LEAST_OF_A_PHONE:
        return sum(runs) > 0
    return _WATCH_NUMBER.fullmatch(text) is not None


def _word_mask(word: re.Match[str]) -> str:
    """A run of letters; only beside a digit, or of up to three capitals, is it no name."""
    text, start, end = word.string, word.start(), word.end()
    beside = text[max(start - 1, 0) : start] + text[end : end + 1]
    is_code = any(character.isdigit() for character in beside)
    return word[0] if is_code and len(word[0]) <= _LONGEST_INITIALS else "x" * len(word[0])


def customer_mask(key: str) -> str:
    """A customer's key: its shape, with the last two digits where it has four or more."""
    if key.startswith(PREFIX):
        return "mailbox"
    masked = re.sub(r"\d", "#", re.sub(r"[^\W\d_]", "x", key[:_LONGEST]))
    digits = [place for place, character in enumerate(key[:_LONGEST]) if character.isdigit()]
    if len(digits) < _LEAST_DIGITS:
        return masked
    return "".join(
        key[place] if place in digits[-2:] else character for place, character in enumerate(masked)
    )


def phone_mask(number: str) -> str:
    """A phone in E.164: its country and its last two digits."""
    country = phonenumbers.parse(number).country_code
    hidden = len(number) - len(f"+{country}") - 2
    return f"+{country} {'*' * hidden}{number[-2:]}"
