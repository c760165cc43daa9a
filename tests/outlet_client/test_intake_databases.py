"""Ledgers in a till's database: read as it stands every night."""

from __future__ import annotations

import datetime as dt
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import sqlalchemy as sa

from outlet_client.ledger.event_reader import read_events
from tests.outlet_client.kept_ledger import (
    AT,
    DATABASE,
    fates,
    home,
    lines,
    ours,
    outlet,
    sold,
    store,
)
from tests.postgres import postgres

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from outlet_client.ledger.event_store import EventStore
    from outlet_client.settings import OutletFile

__all__ = ["home", "ours", "store"]


def test_a_database_is_read_as_it_stands_every_night(home: Path, store: EventStore) -> None:
    ours = outlet(home, DATABASE)
    sold(home, ("1", "anna", 10, 1), ("2", "ben", 1e12, 2), ("3", "anna", 10, 3))
    assert fates(store.take_in(ours, AT)) == (2, 0, 0, 1)
    sold(home, ("1", "anna", 11, 4), ("2", "ben", 12, 4), ("4", "cleo", 5, 4))
    with closing(sqlite3.connect(home / "pos.db")) as database:
        database.execute("DELETE FROM sales WHERE line_id = '3'")
        database.commit()
    found = store.take_in(ours, AT + dt.timedelta(days=1))
    assert (found.read_now, fates(found)) == (3, (3, 0, 0, 0))
    assert lines(store) == {"1": 11.0, "2": 12.0, "4": 5.0}


def test_of_a_databases_rows_of_one_line_the_one_that_was_changed_last_stands(
    home: Path, store: EventStore
) -> None:
    with closing(sqlite3.connect(home / "pos.db")) as database:
        database.execute("CREATE TABLE sales (line_id, customer_id, purchased_at, price, kind, at)")
        for price, at in ((12, 3), (10, 1), (11, 2)):
            database.execute(
                "INSERT INTO sales VALUES ('1', 'anna', '2026-01-05', ?, 'purchase', ?)",
                (price, at),
            )
        database.commit()
    assert fates(store.take_in(outlet(home, f'{DATABASE}changed = "at"\n'), AT)) == (1, 0, 2, 0)
    assert lines(store) == {"1": 12.0}


def test_a_postgres_till_is_read_as_it_stands(home: Path, store: EventStore) -> None:
    with postgres() as url:
        engine = sa.create_engine(url)
        with engine.begin() as till:
            till.execute(
                sa.text(
                    "CREATE TABLE sales (line_id bigint PRIMARY KEY, customer_id text, "
                    "purchased_at timestamptz, price numeric(12, 2), kind text)"
                )
            )
            till.execute(
                sa.text(
                    "INSERT INTO sales SELECT n, 'anna', '2026-11-01 23:30+08', 10, 'purchase' "
                    "FROM generate_series(1, 3) AS n"
                )
            )
        ours = outlet(home, DATABASE.replace("sqlite:///pos.db", url))
        assert fates(store.take_in(ours, AT)) == (3, 0, 0, 0)
        with engine.begin() as till:
            till.execute(sa.text("UPDATE sales SET price = 11.5, kind = 'x' WHERE line_id = 1"))
            till.execute(sa.text("UPDATE sales SET price = 11.5 WHERE line_id = 2"))
            till.execute(sa.text("DELETE FROM sales WHERE line_id = 3"))
        found = store.take_in(ours, AT)
        engine.dispose()
    assert fates(found) == (1, 0, 0, 1)
    assert lines(store) == {"2": 11.5}
    assert store.rows()["date"].unique().to_list() == [dt.date(2026, 11, 1)]
    assert store.quarantine().select("file", "column").rows() == [("sales", "kind")]


def test_by_day_a_database_that_was_read_is_left_to_the_night(home: Path) -> None:
    sold(home, ("1", "anna", 10, 1))
    ours = outlet(home, DATABASE)
    assert read_events(home, ours, AT, by_day=True).intake.read_now == 1
    sold(home, ("2", "ben", 10, 2))
    assert read_events(home, ours, AT, by_day=True).intake.rows == 1
    assert read_events(home, ours, AT).intake.rows == 2


def test_another_source_is_another_ledger_and_what_counts_no_more_is_logged(
    home: Path, store: EventStore, ours: OutletFile, caplog: pytest.LogCaptureFixture
) -> None:
    store.take_in(ours, AT)
    sold(home, ("1", "anna", 10, 1))
    (home / "l.csv").unlink()
    assert fates(store.take_in(outlet(home, DATABASE), AT)) == (1, 0, 0, 0)
    assert "3 rows that were read of that one count no more" in caplog.text
