"""Stores of release 0.1: their ledger is read anew, and what only they hold is taken over."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from features.ledger import KINDS
from outlet_client.ledger.event_store import EventStore
from outlet_client.ledger.old_parts import OldPartDamaged
from outlet_client.migrating import upgrade_database
from outlet_client.people.client_entries import note_entries
from outlet_client.people.network_change import move_people
from outlet_client.people.people_store import People
from tests.builders import outlet_at
from tests.outlet_client.kept_ledger import (
    AT,
    DATABASE,
    SECRET,
    append,
    entries,
    fates,
    home,
    lines,
    ours,
    outlet,
    row,
    sold,
    store,
    write,
)

if TYPE_CHECKING:
    from outlet_client.settings import OutletFile

__all__ = ["home", "ours", "store"]


def store_of_0_1(home: Path, *files: tuple[int, str, str], dead: tuple[int, ...] = ()) -> None:
    """An outlet's database as release 0.1 left it, with files it read: number, name, SHA-256."""
    dump = (Path(__file__).parents[1] / "stores" / "0.1" / "o1-outlet.sql").read_text()
    with closing(sqlite3.connect(home / "outlet.db")) as database:
        database.executescript(dump)
        for number, name, sha256 in files:
            about = {"mark": json.dumps({"sha256": sha256}), "kept_from": "2021-01-01"}
            text = json.dumps({**about, "columns": ["line_id", "price"]})
            database.execute("INSERT INTO intake_files VALUES (?, ?, ?)", (number, name, text))
        positions = np.array(dead, np.int64).tobytes()
        database.execute("INSERT INTO intake_parts VALUES (9, '{}', ?)", (positions,))
        database.commit()


def part_of_0_1(home: Path, *rows: tuple[int, int, str, float]) -> None:
    """Rows as release 0.1 kept them: file, row, line, price."""
    (home / "events").mkdir()
    table = pl.DataFrame(rows, schema=["file", "row", "line", "price"], orient="row")
    table.select(
        pl.col("file").cast(pl.Int32), "row", "line",
        customer=pl.lit("anna"), outlet=pl.lit("here"), date=pl.date(2026, 1, 5),
        kind=pl.lit("purchase", KINDS), price="price", list_price="price", basket=pl.lit("b"),
        serial=pl.lit(None, pl.String), reference=pl.lit(None, pl.String),
    ).write_parquet(home / "events" / "part-9.parquet")  # fmt: skip


def test_a_store_of_0_1_opens_and_its_ledger_is_read_anew(home: Path, ours: OutletFile) -> None:
    store_of_0_1(home)
    store = EventStore(home)
    assert not store.is_filled
    assert fates(store.take_in(ours, AT)) == (3, 0, 0, 0)


def test_settings_of_0_1_are_read_also_where_they_have_no_meaning_any_more(
    home: Path, store: EventStore
) -> None:
    sold(home, ("1", "anna", 10, 1))
    ours = outlet(home, f'reread_days = 7\n{DATABASE}changed = "changed"\n')
    assert store.take_in(ours, AT).used == 1


def test_customers_of_files_that_are_gone_are_known_after_an_upgrade(home: Path) -> None:
    store_of_0_1(home, (11, str(home / "gone.csv"), ""))
    part_of_0_1(home, (11, 1, "7", 7.0))
    move_people(home / "outlet.db")
    upgrade_database(home / "outlet.db")
    with closing(People(outlet_at(home), SECRET)) as people:
        with people.transaction() as connection:
            of_gone = {"customer_id": ["cleo"], "phone": ["+6591234568"], "email": [None]}
            known = pl.DataFrame(of_gone, schema_overrides={"email": pl.String})
            note_entries(connection, known, people.local_key, "SG")
        EventStore(home).take_in(outlet(home, 'ledger = "l.csv"\n'), AT, people)
    assert {"anna", "ben", "cleo"} <= entries(home)


def test_what_0_1_kept_of_files_that_are_gone_is_taken_over_once(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    exports = home / "exports"
    write(exports / "there.csv", row("1"), row("2"))
    write(exports / "renamed.csv", row("8"))
    known = hashlib.sha256((exports / "renamed.csv").read_bytes()).hexdigest()
    gone = exports / "gone.csv"
    old = (11, str(gone), "a"), (12, str(exports / "there.csv"), "b"), (13, "/x/was.csv", known)
    store_of_0_1(home, *old, dead=(1,))
    part_of_0_1(
        home, (11, 1, "1", 20.0), (11, 2, "dead", 9.0), (12, 1, "1", 10.0), (12, 2, "2", 10.0),
        (11, 3, "7", 7.0), (13, 1, "8", 10.0),
    )  # fmt: skip
    ours, store = outlet(home, 'ledger = "exports/*.csv"\n'), EventStore(home)
    found = store.take_in(ours, AT)
    assert (found.read_now, fates(found)) == (3, (4, 0, 1, 0))
    assert lines(store) == {"1": 20.0, "2": 10.0, "7": 7.0, "8": 10.0}
    assert "gone.csv: gone; 2 rows that were read of it are kept" in caplog.text
    assert [file.name for file in (home / "events").iterdir()] == ["ledger.parquet"]
    append(exports / "there.csv", row("1", price="30"))
    assert fates(store.take_in(ours, AT)) == (4, 0, 2, 0)
    assert lines(store)["1"] == 30.0


def test_a_damaged_part_of_0_1_stops_the_reading_until_somebody_decides(home: Path) -> None:
    store_of_0_1(home, (11, str(home / "gone.csv"), ""))
    part_of_0_1(home, (11, 1, "7", 7.0))
    part = home / "events" / "part-9.parquet"
    part.write_bytes(part.read_bytes()[:-9])
    ours, store = outlet(home, 'ledger = "l.csv"\n'), EventStore(home)
    with pytest.raises(OldPartDamaged, match=r"events/part-9\.parquet: damaged"):
        store.take_in(ours, AT)
    assert part.exists()
    part.unlink()
    assert store.take_in(ours, AT).used == 3
