"""The small tables beside a ledger: references, sightings, interests.

Invariant: each is read whole every time, so nothing of it is kept here; of a bad cell there is one
error that names file, row and column.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from features.errors import LedgerError
from features.ledger import Tier, days_of, text_of
from features.sightings import SIGHTING_COLUMNS, canonical_sightings
from outlet_client.sources.row_batches import missing
from outlet_client.sources.table_reader import decoded, header_of, read_all

if TYPE_CHECKING:
    from collections.abc import Collection

    import polars as pl

    from outlet_client.sources.source import Source


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
