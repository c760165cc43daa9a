"""How an outlet writes a ledger's rows: cells, codes, statuses and currencies.

Invariant: what a row means follows from the row and this alone; nothing is guessed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from features.cell_parsing import Format

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping, Sequence


class Standing(StrEnum):
    """What a status says of its row."""

    COUNTS = "counts"
    VOID = "void"
    """It is no event."""

    RETURNED = "returned"
    """What was bought came back: a purchase, and a return of the same amount and day."""


@dataclass(frozen=True, slots=True)
class LedgerFormat(Format):
    """How a ledger is written.

    Attributes:
        ignored: Codes in the column `kind` of rows that are no events, without blanks around.
        statuses: What each status means, in lower case and without blanks around; with none the
            column `status` is not looked at.
        walk_ins: What stands in `customer_id` for nobody, likewise; an empty cell always does.
        sales_are_negative: Whether a sale's quantity is below zero, or its price where there is no
            quantity.
        quantity_decimal: What stands before a quantity's fraction; None where that is `decimal`.
        dated: What one unit of another currency is worth from which day on, sorted by day; it goes
            before `rates`, which has each such currency too.
    """

    ignored: frozenset[str] = frozenset()
    statuses: Mapping[str, Standing] = field(default_factory=dict)
    walk_ins: frozenset[str] = frozenset()
    sales_are_negative: bool = False
    quantity_decimal: str | None = None
    dated: Mapping[str, Sequence[tuple[dt.date, float]]] = field(default_factory=dict)


PLAIN = LedgerFormat()


def normal(word: str) -> str:
    """A status or a word for nobody, as it is compared."""
    return word.strip().lower()
