"""Rows of a ledger that are too old: never written, purged, back where more is kept."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from outlet_client.ledger.intake import first_day
from tests.outlet_client.kept_ledger import (
    AT,
    append,
    bytes_of,
    fates,
    home,
    lines,
    ours,
    outlet,
    row,
    store,
)

if TYPE_CHECKING:
    from pathlib import Path

    from outlet_client.ledger.event_store import EventStore
    from outlet_client.settings import OutletFile

__all__ = ["home", "ours", "store"]


def test_what_was_too_old_comes_back_where_more_is_kept(home: Path, store: EventStore) -> None:
    append(home / "l.csv", row("4", day="2020-01-01"))
    ours = outlet(home, 'keep_days = 365\nledger = "l.csv"\n')
    assert fates(store.take_in(ours, AT)) == (3, 1, 0, 0)
    longer = outlet(home, 'keep_days = 36500\nledger = "l.csv"\n')
    assert fates(store.take_in(longer, AT)) == (4, 0, 0, 0)


def test_the_number_of_days_kept_may_be_larger_than_the_calendar(ours: OutletFile) -> None:
    ever = ours.model_copy(update={"keep_days": 10**9})
    assert first_day(ever, AT) == dt.date(1, 1, 1)
    assert first_day(ours, AT) == dt.date(2021, 11, 24)


def test_purged_rows_are_on_the_disk_no_more(home: Path, store: EventStore) -> None:
    append(home / "l.csv", row("4", "methuselah", day="2020-01-01"), row("5", price="x"))
    ours = outlet(home, 'keep_days = 36500\nledger = "l.csv"\n')
    store.take_in(ours, AT)
    assert b"methuselah" in bytes_of(home / "events")
    assert store.purge(dt.date(2021, 1, 1)) == 1
    assert b"methuselah" not in bytes_of(home / "events")
    assert fates(store.counts()) == (3, 1, 0, 1)
    assert store.purge(dt.date(2021, 1, 1)) == 0
    assert fates(store.take_in(ours, AT)) == (4, 0, 0, 1)  # where more is kept it is read again


def test_what_is_too_old_is_never_written(home: Path, store: EventStore, ours: OutletFile) -> None:
    append(home / "l.csv", row("4", "methuselah", day="2020-01-01"))
    assert fates(store.take_in(ours, AT)) == (3, 1, 0, 0)
    assert b"methuselah" not in bytes_of(home / "events")


def test_a_row_that_was_corrected_away_stays_away_when_its_successor_is_purged(
    home: Path, store: EventStore, ours: OutletFile
) -> None:
    store.take_in(ours, AT)
    append(home / "l.csv", row("1", day="2022-01-01"))
    store.take_in(ours, AT)
    assert store.purge(dt.date(2023, 1, 1)) == 1
    assert set(lines(store)) == {"2", "3"}
    assert fates(store.counts()) == (2, 1, 1, 0)
