"""The errors of `features`.

    FeatureError
    +-- LedgerError       a ledger that cannot be read as events: file, row, column, reason
    +-- CatalogueError    a scorecard, catalogue or matrix that does not fit another
    +-- PolicyRefused     an allocation policy that cannot be read or breaks a law (allocation.py)

A message never carries a cell that could identify a customer.
"""

from __future__ import annotations


class FeatureError(Exception):
    """Base of every error that `features` raises on purpose."""


class LedgerError(FeatureError):
    """A ledger that cannot be read as events.

    Attributes:
        source: The file's or table's name.
        row: The first bad row, counted from 1 without the header; None if it is about the whole.
        column: The bad column, or None.
        reason: What was got and what was expected.
    """

    def __init__(self, source: str, row: int | None, column: str | None, reason: str) -> None:
        place = [source]
        if row is not None:
            place.append(f"row {row}")
        if column is not None:
            place.append(f"column {column}")
        super().__init__(f"{', '.join(place)}: {reason}")
        self.source = source
        self.row = row
        self.column = column
        self.reason = reason


class CatalogueError(FeatureError):
    """A scorecard, catalogue or matrix that does not fit another."""
