"""Reads everything that an outlet's settings name, changes nothing, and says what is wrong.

Invariant: a table that cannot be read does not end the check; it is a problem, as the night would
have it, and the others are read nevertheless.
"""

from __future__ import annotations

import datetime as dt
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from features.errors import FeatureError, LedgerError
from outlet_client.allocation.ranking import read_policy
from outlet_client.errors import OutletError
from outlet_client.ledger.intake import LEDGER_NAMES, first_day
from outlet_client.ledger.side_tables import read_references, read_sightings
from outlet_client.ledger.sighting_rows import sightings_of
from outlet_client.setup.findings import Found, Table, batches_of
from outlet_client.setup.ledger_check import LedgerCheck
from outlet_client.setup.side_table_check import IDENTIFIERS, Typed, check_small

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import polars as pl

    from features.ledger import Tier
    from outlet_client.settings import OutletFile
    from outlet_client.sources.source import Source

Progress = "Callable[[str, int, float | None], None]"
"""Hears of each batch: the table's name, how many rows, and the share of the table read so far."""


def look_over(
    settings: OutletFile,
    at: dt.datetime,
    progress: Callable[[str, int, float | None], None] = lambda *_: None,
    home: Path | None = None,
) -> Found:
    """Reads all tables and judges them.

    Args:
        settings: The outlet's.
        at: When this is.
        progress: Hears of each batch of the ledger: the file's name, how many rows, and the share
            of the file that is read; None where that is unknown.
        home: The outlet's folder, for the sightings that staff reported there; None without.
    """
    found = Found({"ledger": Table("ledger", settings.ledger.name)})
    typed = Typed()
    for name in ("references", "sightings", "interests", "clients"):
        source: Source | None = getattr(settings, name)
        if source is not None:
            with _problem(found, name):
                check_small(found, name, source, typed if name == "clients" else None)
    tiers = _tiers(found, settings)
    seen = _seen(found, settings, home)
    with _problem(found, "ledger"):
        _ledger(found, settings, at, (tiers, seen, typed), progress)
    if settings.policy is not None:
        with _problem(found, "policy"):
            read_policy(settings.policy)
    _clients(found, settings, typed)
    _notes(found, settings, at)
    return found


@contextmanager
def _problem(found: Found, name: str) -> Iterator[None]:
    try:
        yield
    except (FeatureError, OutletError) as error:
        found.problems.append(f"{name}: {error}")
    except OSError as error:
        found.problems.append(f"{name}: {error.strerror or type(error).__name__}")


def _sound(found: Found, name: str) -> bool:
    return name in found.tables and found.tables[name].bad == 0


def _tiers(found: Found, settings: OutletFile) -> dict[str, Tier] | None:
    """The tier of each reference; also what its cells one by one do not show: named twice."""
    if settings.references is not None and _sound(found, "references"):
        with _problem(found, "references"):
            return read_references(settings.references)
    return None


def _seen(found: Found, settings: OutletFile, home: Path | None) -> pl.DataFrame | None:
    if settings.sightings is None or _sound(found, "sightings"):
        with _problem(found, "sightings"):
            if home is not None:
                return sightings_of(home, settings)
            return None if settings.sightings is None else read_sightings(settings.sightings)
    return None


def _ledger(
    found: Found,
    settings: OutletFile,
    at: dt.datetime,
    beside: tuple[dict[str, Tier] | None, pl.DataFrame | None, Typed],
    progress: Callable[[str, int, float | None], None],
) -> None:
    tiers, seen, typed = beside
    table = found.tables["ledger"]
    check = LedgerCheck(settings, at, tiers, seen)
    names = (*LEDGER_NAMES, *IDENTIFIERS)
    try:
        for number, file, batch, reading in batches_of(settings.ledger, names):
            check.add(number, file, batch, table)
            if settings.clients is None:
                typed.add(batch.rows)
            share = reading.done / reading.size if reading is not None and reading.size else None
            progress(file, len(batch.rows), share)
    finally:
        check.settle(found, table)
    if not found.counts.rows:
        raise LedgerError(settings.ledger.name, None, None, "no rows; expected at least one event")
    if not found.counts.used:
        raise LedgerError(settings.ledger.name, None, None, _why_none(found, settings, at))
    if check.future:
        found.notes.append(f"ledger: {check.future:,} rows are dated after today")


def _why_none(found: Found, settings: OutletFile, at: dt.datetime) -> str:
    left_out = found.counts.left_out
    span = found.tables["ledger"].columns["purchased_at"].range if left_out else None
    if span is None or not isinstance(span[0], dt.date):
        return "no row can be used; the bad cells above say why"
    return (
        f"no row can be used: {left_out:,} are older than keep_days = {settings.keep_days}; if "
        f"these days are right, {(at.date() - span[0]).days} would keep them all"
    )


def _clients(found: Found, settings: OutletFile, typed: Typed) -> None:
    """Whether the customers can be recognised."""
    name = "ledger" if settings.clients is None else "clients"
    table = found.tables.get(name)
    if table is None or not table.rows:
        return
    if not set(IDENTIFIERS) & set(table.columns):
        what = "map phone or email, or name the client book in a section [clients]"
        found.problems.append(f"{name}: nobody can be recognised without phone or e-mail; {what}")
        return
    with _problem(found, "region"):
        typed.settle(table, settings.region)
    ledger = found.tables.get("ledger")
    if name == "clients" and ledger is not None and "customer_id" in ledger.columns:
        here, there = (one.columns["customer_id"].hashes for one in (ledger, table))
        missing = int((~np.isin(here, there)).sum())
        if missing:
            words = f"{missing:,} of {len(here):,} customers of the ledger are not in it"
            (found.problems if missing == len(here) else found.notes).append(f"clients: {words}")


def _notes(found: Found, settings: OutletFile, at: dt.datetime) -> None:
    for name, table in found.tables.items():
        if name not in ("ledger", "clients") and table.bad:
            found.problems.append(f"{name}: {table.bad:,} bad cells; a night reads none such")
    counts = found.counts
    if counts.unknown:
        words = f"{counts.unknown:,} rows have a reference in no tier: {len(found.unknown):,} such"
        found.notes.append(f"references: {words}; add them, until then the rows are in quarantine")
    if counts.superseded > counts.rows / 10:
        words = f"{counts.superseded:,} rows count no more, since a later row has their line_id"
        found.notes.append(f"ledger: {words}; is it a key of its own for every row of all files?")
    if counts.used and counts.left_out > counts.rows / 2:
        day = first_day(settings, at)
        found.notes.append(f"ledger: {counts.left_out:,} rows are before {day} and left out")
