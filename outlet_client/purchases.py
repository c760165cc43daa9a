"""Readers: from an outlet's files to the canonical event table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from features.errors import LedgerError
from features.ledger import Tier, canonical_events
from features.sightings import Attached, attach, canonical_sightings

if TYPE_CHECKING:
    from pathlib import Path

    from outlet_client.settings import OutletFile


def read_table(path: Path) -> pl.DataFrame:
    """Reads a Parquet file, or a CSV file (`.csv`, `.csv.gz`) with every cell as text.

    Raises:
        LedgerError: If there is no such file, or it is not of its format.
    """
    try:
        if path.suffix == ".parquet":
            return pl.read_parquet(path)
        return pl.read_csv(path, infer_schema=False)
    except FileNotFoundError as error:
        raise LedgerError(str(path), None, None, "no such file") from error
    except pl.exceptions.NoDataError as error:
        raise LedgerError(path.name, None, None, "no rows; expected at least one event") from error
    except (pl.exceptions.PolarsError, OSError) as error:
        raise LedgerError(path.name, None, None, "not readable as Parquet or CSV") from error


def read_references(path: Path) -> dict[str, Tier]:
    """Reads which tier each reference is in.

    Args:
        path: Parquet or CSV with reference and tier.

    Raises:
        LedgerError: If a column is missing or a cell empty, a tier is none, or a reference is named
            twice.
    """
    table = read_table(path)
    for name in ("reference", "tier"):
        if name not in table.columns:
            raise LedgerError(path.name, None, name, f"missing; got {', '.join(table.columns)}")
    known = {tier.value: tier for tier in Tier}
    found: dict[str, Tier] = {}
    cells = table.select(pl.col("reference", "tier").cast(pl.String).str.strip_chars())
    for row, (reference, tier) in enumerate(cells.iter_rows(), start=1):
        if not reference or reference in found:
            raise LedgerError(path.name, row, "reference", "empty, or named twice; expected once")
        if tier not in known:
            reason = f"got '{tier}', expected one of {', '.join(known)}"
            raise LedgerError(path.name, row, "tier", reason)
        found[reference] = known[tier]
    return found


def read_events(settings: OutletFile) -> Attached:
    """Reads and validates an outlet's ledger, with the sightings of the pieces it sold.

    Raises:
        LedgerError: At the first thing that is wrong, naming file, row and column.
    """
    path, references, sightings = settings.ledger, settings.references, settings.sightings
    tiers = None if references is None else read_references(references)
    events = canonical_events(read_table(path), path.name, tiers)
    if sightings is None:
        return Attached.without(events)
    return attach(events, canonical_sightings(read_table(sightings), sightings.name))
