"""What an amount in another currency is worth in the outlet's own.

Invariant: an amount is converted by a rate that the outlet gave, of its own day or the last one
before, or its cell is bad.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from features.ledger_format import LedgerFormat

EARLY = "before the first day that its currency has a rate; add one"


def rates_of(currency: pl.Series, days: pl.Series, form: LedgerFormat) -> pl.Series:
    """What one unit of the currency of each amount is worth.

    Args:
        currency: ISO 4217 codes, null of the outlet's own.
        days: The day of each row; null where it is bad.
        form: The outlet's own currency, and its rates; of each other currency there is one.

    Returns:
        Float64; null where the day is before the currency's first rate.
    """
    found = pl.repeat(1.0, len(currency), eager=True)
    for code in currency.drop_nulls().unique():
        places = (currency == code).fill_null(value=False).arg_true()
        if code in form.dated:
            rates = _of_days(form.dated[code], days.gather(places))
        elif code in form.rates:
            rates = pl.repeat(form.rates[code], len(places), eager=True)
        else:  # its own
            continue
        found = found.scatter(places, rates)
    return found


def _of_days(table: Sequence[tuple[dt.date, float]], days: pl.Series) -> pl.Series:
    """The last rate on or before each day; that of the first day where the day is bad."""
    starts = np.array([start for start, _ in table], "datetime64[D]")
    values = np.array([rate for _, rate in table], np.float64)
    theirs = days.fill_null(table[0][0]).to_numpy().astype("datetime64[D]")
    at = np.searchsorted(starts, theirs, side="right") - 1
    return pl.Series(np.where(at >= 0, values[np.maximum(at, 0)], np.nan)).fill_nan(None)


def by_day(
    rows: Iterable[tuple[str, dt.date | None, float]],
) -> Mapping[str, tuple[tuple[dt.date, float], ...]]:
    """A table of rates as `LedgerFormat` has it.

    Args:
        rows: Currency, the first day of the rate, None of one that always held, and the rate.
    """
    found: dict[str, list[tuple[dt.date, float]]] = {}
    for code, since, rate in rows:
        found.setdefault(code, []).append((since or dt.date.min, rate))
    return {code: tuple(sorted(rates)) for code, rates in found.items()}
