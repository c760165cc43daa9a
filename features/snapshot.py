"""Snapshot: the only door to rows, point in time.

Invariant: `history` holds no row after the cut-off, and nothing but `outcomes.py` reads `future`.
So a row after the cut-off can never change a feature.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import polars as pl
from typing_extensions import override

from features.errors import FeatureError


@dataclass(frozen=True, slots=True, order=True)
class CutOff:
    """The last day that a feature may see, in the ledger's calendar."""

    date: dt.date

    @classmethod
    def parse(cls, text: str) -> CutOff:
        """Reads an ISO 8601 date."""
        try:
            return cls(dt.date.fromisoformat(text))
        except ValueError as error:
            raise FeatureError(f"cut-off: got '{text}', expected a date as YYYY-MM-DD") from error

    @override
    def __str__(self) -> str:
        return self.date.isoformat()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An event table as of a cut-off.

    Attributes:
        cut_off: The last day in `history`.
        horizon_end: The last day in `future`.
        history: Events at or before the cut-off.
        future: Events after it, to the horizon's end: for outcomes only.
        left_out: How many rows after the cut-off are in no feature.
    """

    cut_off: CutOff
    horizon_end: dt.date
    history: pl.DataFrame
    future: pl.DataFrame
    left_out: int

    @classmethod
    def take(cls, events: pl.DataFrame, cut_off: CutOff, horizon_end: dt.date) -> Snapshot:
        """Splits a canonical event table at a cut-off.

        Args:
            events: From `canonical_events`.
            cut_off: The last day that a feature may see.
            horizon_end: The last day that an outcome may see; not before the cut-off.
        """
        if horizon_end < cut_off.date:
            raise FeatureError(f"horizon: ends {horizon_end}, before the cut-off {cut_off}")
        after = pl.col("date") > cut_off.date
        history = events.filter(~after)
        future = events.filter(after & (pl.col("date") <= horizon_end))
        return cls(cut_off, horizon_end, history, future, len(events) - len(history))
