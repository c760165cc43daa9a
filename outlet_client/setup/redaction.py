"""What an operator's terminal may show of a bad cell.

Invariant: no name, phone or e-mail is shown, whatever column a wrong mapping took it from. Of a
cell its shape is shown at most, where a letter is an x and a digit a 9; only a short code is shown
as it is, and that only of a column that holds codes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from outlet_client.setup.column_matching import MOST_CODES, may_be_shown

CODE_COLUMNS = ("kind", "is_return")
_SHAPED = ("purchased_at", "price", "list_price")

_LONGEST = 32
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
    """A reference, unless it could be a name or a phone: then its shape."""
    has_digit = any(character.isdigit() for character in reference)
    return repr(reference) if has_digit and may_be_shown(reference) else shape_of(reference)
