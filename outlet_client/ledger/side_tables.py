"""The small tables beside a ledger: references, rates of currencies, sightings, interests.

Invariant: each is read whole every time, so nothing of it is kept here; of a bad cell there is one
error that names file, row and column.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from features.cell_parsing import amounts
from features.errors import LedgerError
from features.exchange_rates import by_day
from features.ledger import Tier, days_of, text_of
from features.sightings import SIGHTING_COLUMNS, canonical_sightings
from outlet_client.sources.row_batches import missing
from outlet_client.sources.table_reader import decoded, header_of, read_all

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Collection, Mapping

    import polars as pl

    from outlet_client.sources.source import Source


_RATES = ("currency", "rate")
_CODE = re.compile("[A-Z]{3}")


def read_references(source: Source) -> dict[str, Tier]:
    """Reads which tier each reference is in.

    Args:
        source: reference and tier.

    Raises:
        LedgerError: If a column is missing or a cell empty, a tier is none, or a reference is named
            twice.
    """
    table = present(read_all(source, ("reference", "tier")), source, ("reference", "tier"))
    known = {tier.value: tier for tier in Tier}
    found: dict[str, Tier] = {}
    tiers = decoded(table["tier"], source.codes)
    references = text_of(table["reference"], source.name)
    cells = (table["file"], table["row"], references, tiers)
    for file, row, reference, tier in zip(*cells, strict=True):
        if not reference or reference in found:
            raise LedgerError(file, row, "reference", "empty, or named twice; expected once")
        if tier not in known:
            reason = f"expected one of {', '.join(known)}"
            raise LedgerError(file, row, "tier", reason)
        found[reference] = known[tier]
    return found


def read_rates(source: Source) -> Mapping[str, tuple[tuple[dt.date, float], ...]]:
    """Reads what one unit of other currencies is worth in the outlet's own.

    Args:
        source: currency, rate and, where rates change, since.

    Returns:
        By currency, the first day of each rate and the rate; sorted by day.

    Raises:
        LedgerError: If a column is missing, a cell is none, or a currency has two rates of a day.
    """
    table = present(read_all(source, (*_RATES, "since")), source, _RATES)
    codes = text_of(table["currency"], source.name).fill_null("").str.to_uppercase()
    rates = amounts(table["rate"], source.name, source.decimal).values
    has_days = "since" in table.columns
    since = days_of(table["since"], source.name, source.dates).to_list() if has_days else []
    found: dict[tuple[str, dt.date | None], float] = {}
    cells = (table["file"], table["row"], codes, rates, since or [None] * len(table))
    for file, row, code, rate, day in zip(*cells, strict=True):
        if not _CODE.fullmatch(code):
            raise LedgerError(file, row, "currency", "expected a code such as JPY")
        if rate is None or not 0 < rate < math.inf:
            raise LedgerError(file, row, "rate", "expected what one unit is worth, above 0")
        if has_days and day is None:
            raise LedgerError(file, row, "since", "expected the day from which the rate holds")
        if (code, day) in found:
            reason = "a currency with two rates of a day; expected one"
            raise LedgerError(file, row, "currency", reason)
        found[code, day] = rate
    return by_day((code, day, rate) for (code, day), rate in found.items())


def read_sightings(source: Source) -> pl.DataFrame:
    """Reads resale sightings as `attach` takes them.

    Raises:
        LedgerError: At the first thing that is wrong.
    """
    table = present(read_all(source, SIGHTING_COLUMNS), source, SIGHTING_COLUMNS)
    return canonical_sightings(
        table.with_columns(
            days_of(table["seen_at"], source.name, source.dates).alias("seen_at"),
            decoded(table["status"], source.codes),
        ),
        source.name,
    )


def present(table: pl.DataFrame, source: Source, names: Collection[str]) -> pl.DataFrame:
    """The table, if these columns are in it.

    Raises:
        LedgerError: If one is missing.
    """
    for name in names:
        if name not in table.columns:
            raise LedgerError(source.name, None, name, missing(source, header_of(source)))
    return table
