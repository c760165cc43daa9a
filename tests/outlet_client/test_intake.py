"""A ledger is read anew where it changed, and kept: of rows of one line the last one stands.

However it came in, bit by bit or at once, the same rows count, and every row has one fate.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from features.errors import LedgerError
from features.ledger import KINDS
from outlet_client.ledger.event_reader import read_events
from outlet_client.ledger.event_store import EventsDamaged, EventStore
from outlet_client.ledger.intake import Intake, first_day
from outlet_client.ledger.old_parts import OldPartDamaged
from outlet_client.migrating import upgrade_database
from outlet_client.people.client_entries import note_entries
from outlet_client.people.network_change import move_people
from outlet_client.people.people_store import People
from outlet_client.settings import OutletFile
from tests.builders import outlet_at
from tests.postgres import postgres

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

AT = dt.datetime(2026, 11, 24, 2, 0, tzinfo=dt.UTC)
HEADER = "line_id,customer_id,purchased_at,price,kind,phone,email\n"
SECRET = b"s" * 32


def row(line: str, customer: str = "anna", day: str = "2026-01-05", price: str = "10") -> str:
    return f"{line},{customer},{day},{price},purchase,+6591234567,\n"


def write(place: Path, *rows: str, header: str = HEADER) -> None:
    place.parent.mkdir(exist_ok=True)
    place.write_text(header + "".join(rows))


def append(place: Path, *rows: str) -> None:
    with place.open("a") as file:
        file.write("".join(rows))


def outlet(home: Path, text: str) -> OutletFile:
    (home / "escapement.toml").write_text(text)
    return OutletFile.read(home / "escapement.toml")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    write(tmp_path / "l.csv", row("1"), row("2", "ben"), row("3"))
    return tmp_path


@pytest.fixture
def store(home: Path) -> EventStore:
    return EventStore(home)


@pytest.fixture
def ours(home: Path) -> OutletFile:
    return outlet(home, 'ledger = "l.csv"\n')


def lines(store: EventStore) -> dict[str, float]:
    """The price of each line that counts."""
    return dict(store.rows().sort("line").select("line", "price").iter_rows())


def fates(found: Intake) -> tuple[int, int, int, int]:
    assert found.rows == found.accounted
    return found.used, found.left_out, found.superseded, found.quarantined


# --- what is new ----------------------------------------------------------------------------------


def test_a_file_that_did_not_change_is_not_read_again(store: EventStore, ours: OutletFile) -> None:
    assert store.take_in(ours, AT).read_now == 3
    again = store.take_in(ours, AT)
    assert (again.read_now, again.rows) == (0, 3)
    assert store.counts() == again


def test_a_file_that_changed_is_read_whole_and_no_row_counts_twice(
    home: Path, store: EventStore, ours: OutletFile
) -> None:
    store.take_in(ours, AT)
    append(home / "l.csv", row("4"), row("5", price="x"))
    found = store.take_in(ours, AT)
    assert (found.read_now, fates(found)) == (5, (4, 0, 0, 1))
    assert list(lines(store)) == ["1", "2", "3", "4"]
    assert store.quarantine()["row"].to_list() == [5]


def test_a_file_with_another_beginning_replaces_all_that_was_read_of_it(
    home: Path, store: EventStore, ours: OutletFile
) -> None:
    append(home / "l.csv", row("bad", price="x"), row("old", day="2001-01-01"))
    assert fates(store.take_in(ours, AT)) == (3, 1, 0, 1)
    write(home / "l.csv", row("1", price="11"), row("3"), row("4"))
    found = store.take_in(ours, AT)
    assert (found.read_now, fates(found)) == (3, (3, 0, 0, 0))
    assert lines(store) == {"1": 11.0, "3": 10.0, "4": 10.0}
    assert (home / "quarantine.csv").read_text() == "file,row,line,column,reason\n"


def test_a_last_line_that_was_half_written_is_read_whole_later(
    home: Path, store: EventStore, ours: OutletFile
) -> None:
    append(home / "l.csv", row("4")[:9])
    assert fates(store.take_in(ours, AT)) == (3, 0, 0, 1)
    append(home / "l.csv", row("4")[9:])
    assert fates(store.take_in(ours, AT)) == (4, 0, 0, 0)


def test_new_files_of_a_pattern_come_in_and_those_that_vanished_keep_their_rows(
    home: Path, store: EventStore
) -> None:
    ours = outlet(home, 'ledger = "exports/*.csv"\n')
    write(home / "exports" / "a.csv", row("1"))
    store.take_in(ours, AT)
    write(home / "exports" / "b.csv", row("2"), row("3"))
    assert store.take_in(ours, AT).read_now == 2
    (home / "exports" / "a.csv").unlink()
    assert fates(store.take_in(ours, AT)) == (3, 0, 0, 0)
    assert set(lines(store)) == {"1", "2", "3"}


def test_rows_that_a_file_holds_no_more_count_no_more_and_that_is_logged(
    home: Path, store: EventStore, caplog: pytest.LogCaptureFixture
) -> None:
    ours = outlet(home, 'ledger = "exports/*.csv"\n')
    write(home / "exports" / "jan.csv", row("1"), row("2"), row("3"))
    write(home / "exports" / "feb.csv", row("4"))
    store.take_in(ours, AT)
    write(home / "exports" / "jan.csv", row("1"))
    assert fates(store.take_in(ours, AT)) == (2, 0, 0, 0)
    assert set(lines(store)) == {"1", "4"}
    assert "jan.csv: 2 rows fewer than before" in caplog.text


def test_what_is_corrected_in_a_file_that_is_gone_stays_corrected(
    home: Path, store: EventStore
) -> None:
    ours = outlet(home, 'ledger = "exports/*.csv"\n')
    write(home / "exports" / "jan.csv", row("1"), row("bad", price="x"))
    write(home / "exports" / "feb.csv", row("2"))
    store.take_in(ours, AT)
    append(home / "exports" / "feb.csv", row("1", price="11"))
    store.take_in(ours, AT)
    (home / "exports" / "jan.csv").unlink()
    assert fates(store.take_in(ours, AT)) == (2, 0, 1, 1)
    assert lines(store) == {"1": 11.0, "2": 10.0}


def test_a_renamed_file_is_the_one_it_was_also_where_a_new_one_has_its_name(
    home: Path, store: EventStore
) -> None:
    ours = outlet(home, 'ledger = "exports/*.csv"\n')
    plain = "customer_id,purchased_at,price,kind\n"
    sale = "anna,2026-01-0{},10,purchase\n"
    sales = home / "exports" / "sales.csv"
    for turn, month in enumerate(("jan", "feb"), start=1):
        write(sales, sale.format(turn) * 2, header=plain)
        store.take_in(ours, AT)
        sales.rename(home / "exports" / f"{month}.csv")
        found = store.take_in(ours, AT)
        assert (found.read_now, fates(found)) == (0, (2 * turn, 0, 0, 0))
    write(sales, sale.format(3) * 2, header=plain)
    store.take_in(ours, AT)
    sales.rename(home / "exports" / "mar.csv")
    write(sales, sale.format(4), header=plain)
    assert fates(store.take_in(ours, AT)) == (7, 0, 0, 0)


def test_an_outlets_folder_may_move_with_its_files(home: Path, store: EventStore) -> None:
    write(home / "exports" / "jan.csv", row("1"))
    write(home / "exports" / "feb.csv", row("2"))
    store.take_in(outlet(home, 'ledger = "exports/*.csv"\n'), AT)
    (home / "exports" / "jan.csv").unlink()
    moved = home.rename(home.with_name("moved"))
    append(moved / "exports" / "feb.csv", row("3"))
    found = EventStore(moved).take_in(OutletFile.read(moved / "escapement.toml"), AT)
    assert (found.read_now, fates(found)) == (2, (3, 0, 0, 0))


def test_a_single_file_that_is_missing_is_an_error_and_loses_nothing(
    home: Path, store: EventStore, ours: OutletFile
) -> None:
    store.take_in(ours, AT)
    (home / "l.csv").unlink()
    with pytest.raises(LedgerError, match="no such file"):
        store.take_in(ours, AT)
    assert len(store.rows()) == 3


def test_a_file_that_cannot_be_read_leaves_the_others_as_they_were(
    home: Path, store: EventStore
) -> None:
    ours = outlet(home, 'ledger = "exports/*.csv"\n')
    write(home / "exports" / "a.csv", row("1"))
    store.take_in(ours, AT)
    write(home / "exports" / "a.csv", row("1", price="12"))
    write(home / "exports" / "b.csv", row("2"), header="some,other,columns\n")
    with pytest.raises(LedgerError, match=r"^b\.csv"):
        store.take_in(ours, AT)
    assert lines(store) == {"1": 10.0}


# --- corrected lines ------------------------------------------------------------------------------


def test_the_last_row_of_a_line_stands_also_under_another_customer(
    home: Path, store: EventStore, ours: OutletFile
) -> None:
    append(home / "l.csv", row("1", price="11"))
    assert fates(store.take_in(ours, AT)) == (3, 0, 1, 0)
    append(home / "l.csv", row("1", "ben", price="12"), row("2", "anna"))
    assert fates(store.take_in(ours, AT)) == (3, 0, 3, 0)
    stands = dict(store.rows().select("line", "customer").iter_rows())
    assert stands == {"1": "ben", "2": "anna", "3": "anna"}
    assert lines(store)["1"] == 12.0


def test_a_line_that_is_corrected_to_a_day_too_old_to_keep_counts_no_more(
    home: Path, store: EventStore, ours: OutletFile
) -> None:
    store.take_in(ours, AT)
    append(home / "l.csv", row("1", day="2001-01-01"))
    assert fates(store.take_in(ours, AT)) == (2, 1, 1, 0)
    append(home / "l.csv", row("1", day="2026-02-01"))
    assert fates(store.take_in(ours, AT)) == (3, 1, 1, 0)


def test_a_correction_that_cannot_be_read_leaves_what_was_known(
    home: Path, store: EventStore, ours: OutletFile
) -> None:
    store.take_in(ours, AT)
    append(home / "l.csv", row("1", price="x"))
    assert fates(store.take_in(ours, AT)) == (3, 0, 0, 1)
    assert lines(store)["1"] == 10.0
    append(home / "l.csv", row("1", price="y"), row("1", price="13"))
    assert fates(store.take_in(ours, AT)) == (3, 0, 3, 0)
    assert lines(store)["1"] == 13.0


def test_a_line_is_corrected_in_another_file_too_and_stays_so_as_both_grow(
    home: Path, store: EventStore
) -> None:
    ours = outlet(home, 'ledger = "exports/*.csv"\n')
    one, other = home / "exports" / "till-9.csv", home / "exports" / "till-10.csv"
    write(one, row("1"), row("2"))
    store.take_in(ours, AT)
    write(other, row("1", price="20"))
    assert fates(store.take_in(ours, AT)) == (2, 0, 1, 0)
    append(one, row("3"))  # which says nothing new of line 1
    assert fates(store.take_in(ours, AT)) == (3, 0, 1, 0)
    assert lines(store) == {"1": 20.0, "2": 10.0, "3": 10.0}
    append(one, row("1", price="30"))  # which does
    assert fates(store.take_in(ours, AT)) == (3, 0, 2, 0)
    assert lines(store)["1"] == 30.0
    append(other, row("1", price="x"))
    assert fates(store.take_in(ours, AT)) == (3, 0, 2, 1)
    assert lines(store)["1"] == 30.0


def test_a_correction_that_is_taken_back_leaves_what_the_other_file_says(
    home: Path, store: EventStore
) -> None:
    ours = outlet(home, 'ledger = "exports/*.csv"\n')
    write(home / "exports" / "a.csv", row("1"))
    store.take_in(ours, AT)
    write(home / "exports" / "b.csv", row("1", price="20"), row("2"))
    store.take_in(ours, AT)
    write(home / "exports" / "b.csv", row("2"))
    assert fates(store.take_in(ours, AT)) == (2, 0, 0, 0)
    assert lines(store) == {"1": 10.0, "2": 10.0}


def test_a_line_that_was_too_old_in_one_file_says_nothing_new_as_days_go_by(
    home: Path, store: EventStore
) -> None:
    """What it says of the line is as it was, kept or too old."""
    ours = outlet(home, 'keep_days = 30\nledger = "exports/*.csv"\n')
    write(home / "exports" / "a.csv", row("1", day="2026-11-01"))
    store.take_in(ours, AT)
    write(home / "exports" / "b.csv", row("1", day="2026-11-20"))
    store.take_in(ours, AT)
    append(home / "exports" / "a.csv", row("2", day="2026-11-19"))
    assert fates(store.take_in(ours, AT + dt.timedelta(days=10))) == (2, 1, 0, 0)
    longer = outlet(home, 'keep_days = 60\nledger = "exports/*.csv"\n')
    assert fates(store.take_in(longer, AT)) == (2, 0, 1, 0)
    assert dict(store.rows().select("line", "date").iter_rows())["1"] == dt.date(2026, 11, 20)


def test_rows_without_a_line_id_are_all_kept(home: Path, store: EventStore) -> None:
    (home / "l.csv").write_text(
        "customer_id,purchased_at,price,kind\n" + "anna,2026-01-05,10,purchase\n" * 3
    )
    assert fates(store.take_in(outlet(home, 'ledger = "l.csv"\n'), AT)) == (3, 0, 0, 0)


# --- databases ------------------------------------------------------------------------------------


def sold(home: Path, *rows: tuple[str, str, float, int]) -> None:
    """Puts rows into a till's database: line, customer, price, when changed."""
    with closing(sqlite3.connect(home / "pos.db")) as database:
        database.execute(
            "CREATE TABLE IF NOT EXISTS sales (line_id TEXT PRIMARY KEY, customer_id TEXT, "
            "purchased_at TEXT, price REAL, kind TEXT, changed INTEGER)"
        )
        for line, customer, price, changed in rows:
            database.execute(
                "REPLACE INTO sales VALUES (?, ?, '2026-01-05', ?, 'purchase', ?)",
                (line, customer, price, changed),
            )
        database.commit()


DATABASE = '[ledger]\nsource = "sqlite:///pos.db"\ntable = "sales"\n'


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


# --- read anew ------------------------------------------------------------------------------------


def test_another_mapping_means_that_all_is_read_anew(home: Path, store: EventStore) -> None:
    plain = outlet(home, 'ledger = "l.csv"\n')
    store.take_in(plain, AT)
    other = outlet(home, '[ledger]\nsource = "l.csv"\n[ledger.constants]\noutlet_id = "o9"\n')
    assert store.take_in(other, AT).read_now == 3
    assert store.rows()["outlet"].unique().to_list() == ["o9"]
    assert store.counts().rows == 3


def test_what_was_read_of_a_file_that_is_gone_stays_as_it_was_read_under_another_mapping(
    home: Path, store: EventStore
) -> None:
    for name in "ab":
        write(home / "exports" / f"{name}.csv", row(name))
    store.take_in(outlet(home, 'ledger = "exports/*.csv"\n'), AT)
    (home / "exports" / "a.csv").unlink()
    text = '[ledger]\nsource = "exports/*.csv"\n[ledger.constants]\noutlet_id = "o9"\n'
    assert store.take_in(outlet(home, text), AT).read_now == 1
    assert dict(store.rows().select("line", "outlet").iter_rows()) == {"a": "here", "b": "o9"}


def test_another_source_is_another_ledger_and_what_counts_no_more_is_logged(
    home: Path, store: EventStore, ours: OutletFile, caplog: pytest.LogCaptureFixture
) -> None:
    store.take_in(ours, AT)
    sold(home, ("1", "anna", 10, 1))
    (home / "l.csv").unlink()
    assert fates(store.take_in(outlet(home, DATABASE), AT)) == (1, 0, 0, 0)
    assert "3 rows that were read of that one count no more" in caplog.text


def test_what_was_too_old_comes_back_where_more_is_kept(home: Path, store: EventStore) -> None:
    append(home / "l.csv", row("4", day="2020-01-01"))
    ours = outlet(home, 'keep_days = 365\nledger = "l.csv"\n')
    assert fates(store.take_in(ours, AT)) == (3, 1, 0, 0)
    longer = outlet(home, 'keep_days = 36500\nledger = "l.csv"\n')
    assert fates(store.take_in(longer, AT)) == (4, 0, 0, 0)


def test_events_that_were_deleted_are_read_anew_and_damaged_ones_are_named(
    home: Path, store: EventStore, ours: OutletFile
) -> None:
    store.take_in(ours, AT)
    whole = (home / "events" / "ledger.parquet").read_bytes()
    for damaged in (b"", whole[:-9], b"PAR1" + whole[4:-4] + b"none"):
        (home / "events" / "ledger.parquet").write_bytes(damaged)
        with pytest.raises(EventsDamaged, match=r"events/ledger\.parquet: damaged"):
            store.rows()
    (home / "events" / "ledger.parquet").unlink()
    assert not store.is_filled
    assert store.take_in(ours, AT).read_now == 3
    assert len(store.rows()) == 3


def test_the_number_of_days_kept_may_be_larger_than_the_calendar(ours: OutletFile) -> None:
    ever = ours.model_copy(update={"keep_days": 10**9})
    assert first_day(ever, AT) == dt.date(1, 1, 1)
    assert first_day(ours, AT) == dt.date(2021, 11, 24)


# --- retention ------------------------------------------------------------------------------------


def bytes_of(folder: Path) -> bytes:
    return b"".join(place.read_bytes() for place in folder.iterdir())


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


# --- the file -------------------------------------------------------------------------------------


def test_what_was_read_is_one_private_file_without_phones_and_mails(
    home: Path, store: EventStore, ours: OutletFile
) -> None:
    for number in range(3):
        append(home / "l.csv", row(f"n{number}"), row("1", price=f"{number}"))
        store.take_in(ours, AT)
    (kept,) = (home / "events").iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert (home / "events").stat().st_mode & 0o777 == 0o700
    assert not set(pl.read_parquet_schema(kept)) & {"phone", "email"}
    assert b"91234567" not in kept.read_bytes()
    assert fates(store.counts()) == (6, 0, 3, 0)


def test_a_reader_sees_the_last_reading_and_waits_for_no_writer(
    home: Path, store: EventStore, ours: OutletFile
) -> None:
    store.take_in(ours, AT)
    append(home / "l.csv", row("4"))
    seen: list[int] = []
    reader = threading.Thread(target=lambda: seen.append(len(store.rows())), daemon=True)
    writer = threading.Thread(target=lambda: store.take_in(ours, AT))
    with store.locked():
        writer.start()
        reader.start()
        reader.join(timeout=30)
    writer.join()
    assert [*seen, len(store.rows())] == [3, 4]


def test_many_rows_correct_one_another_across_batches_and_files(
    home: Path, store: EventStore
) -> None:
    number = 60_000
    write(home / "exports" / "a.csv", *(row(str(line)) for line in range(number)), row("7"))
    write(home / "exports" / "b.csv", row("2", price="12"), row("1", day="2001-01-01"))
    for turn, name in enumerate("ab"):
        os.utime(home / "exports" / f"{name}.csv", (turn, turn))
    found = store.take_in(outlet(home, 'ledger = "exports/*.csv"\n'), AT)
    assert fates(found) == (number - 1, 1, 3, 0)
    assert lines(store)["2"] == 12.0
    assert "1" not in lines(store)


def test_of_files_that_are_read_together_the_one_written_last_corrects_the_others(
    home: Path, store: EventStore
) -> None:
    for turn, (name, price) in enumerate({"c": "1", "a": "3", "b": "2"}.items()):
        write(home / "exports" / f"{name}.csv", row("1", price=price))
        os.utime(home / "exports" / f"{name}.csv", (turn, turn))
    store.take_in(outlet(home, 'ledger = "exports/*.csv"\n'), AT)
    assert lines(store) == {"1": 2.0}
    os.utime(home / "exports" / "a.csv", (9, 9))
    (home / "events" / "ledger.parquet").unlink()
    store.take_in(outlet(home, 'ledger = "exports/*.csv"\n'), AT)
    assert lines(store) == {"1": 3.0}


def test_the_columns_of_a_ledger_are_those_that_all_its_files_have(
    home: Path, store: EventStore
) -> None:
    write(home / "exports" / "a.csv", row("1"))
    headed = HEADER.replace("phone", "reference")
    write(home / "exports" / "b.csv", row("2").replace("+6591234567", "R1"), header=headed)
    store.take_in(outlet(home, 'ledger = "exports/*.csv"\n'), AT)
    assert "customer_id" in store.columns()
    assert "reference" not in store.columns()


# --- stores of 0.1 --------------------------------------------------------------------------------


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


# --- client entries -------------------------------------------------------------------------------


def entries(home: Path) -> set[str]:
    """Customer ids with an entry that stands."""
    with closing(sqlite3.connect(home / "outlet.db")) as database:
        rows = database.execute("SELECT customer FROM client_entries WHERE NOT former").fetchall()
    return {customer for (customer,) in rows}


@pytest.fixture
def people(home: Path) -> Iterator[People]:
    with closing(People(outlet_at(home), SECRET)) as found:
        yield found


def test_who_the_customers_are_is_noted_with_what_is_new(
    home: Path, store: EventStore, ours: OutletFile, people: People
) -> None:
    store.take_in(ours, AT, people)
    assert entries(home) == {"anna", "ben"}
    append(home / "l.csv", row("4", "cleo"), row("5", "dora", price="x"))
    store.take_in(ours, AT, people)
    assert entries(home) == {"anna", "ben", "cleo", "dora"}
    abroad = ours.model_copy(update={"region": "US"})
    assert store.take_in(abroad, AT, people).read_now == 5
    assert b"91234567" not in (home / "outlet.db").read_bytes()
    assert b"91234567" not in bytes_of(home / "events")
    write(home / "l.csv", row("1"), row("4", "cleo"))
    store.take_in(ours, AT, people)
    assert entries(home) == {"anna", "cleo"}


def test_a_ledger_that_was_read_without_people_is_read_again_with_them(
    home: Path, store: EventStore, ours: OutletFile, people: People
) -> None:
    store.take_in(ours, AT)
    assert store.take_in(ours, AT, people).read_now == 3
    assert entries(home) == {"anna", "ben"}
    assert store.take_in(ours, AT, people).read_now == 0


def test_customers_of_a_client_book_are_not_noted_from_the_ledger(
    home: Path, store: EventStore, people: People
) -> None:
    write(home / "c.csv", header="customer_id,phone,email\n")
    store.take_in(outlet(home, 'ledger = "l.csv"\nclients = "c.csv"\n'), AT, people)
    assert entries(home) == set()


# --- kills, and two at a time ---------------------------------------------------------------------

_DYING = """
import datetime as dt, os, signal, sys
from pathlib import Path
from outlet_client.ledger import event_store
from outlet_client.people.network_change import move_people
from outlet_client.people.people_store import People
from outlet_client.settings import OutletFile

home, where = Path(sys.argv[1]), sys.argv[2]
owner, name = {
    "before entries are noted": (event_store, "_note"),
    "before anything is written": (event_store.EventStore, "_save"),
    "before the file is renamed": (event_store, "_sync"),
    "before the quarantine file": (event_store, "_write_quarantine"),
}[where]

def die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)

setattr(owner, name, die)
event_store.EventStore(home).take_in(
    OutletFile.read(home / "escapement.toml"),
    dt.datetime(2026, 11, 24, 2, 0, tzinfo=dt.UTC),
    People(f"sqlite:///{home / 'outlet.db'}", b"s" * 32),
)
"""


@pytest.mark.parametrize(
    "where",
    [
        "before entries are noted",
        "before anything is written",
        "before the file is renamed",
        "before the quarantine file",
    ],
)
def test_a_kill_anywhere_loses_nothing_and_doubles_nothing(
    home: Path, store: EventStore, ours: OutletFile, people: People, where: str
) -> None:
    store.take_in(ours, AT, people)
    append(home / "l.csv", row("4", "cleo"), row("1", price="11"), row("5", price="x"))
    died = subprocess.run([sys.executable, "-c", _DYING, home, where], check=False)  # noqa: S603  (our own words)
    assert died.returncode == -signal.SIGKILL
    assert fates(store.counts()) == (
        (4, 0, 1, 1) if where == "before the quarantine file" else (3, 0, 0, 0)
    )
    assert fates(store.take_in(ours, AT, people)) == (4, 0, 1, 1)
    assert lines(store) == {"1": 11.0, "2": 10.0, "3": 10.0, "4": 10.0}
    assert entries(home) == {"anna", "ben", "cleo"}
    assert [file.name for file in (home / "events").iterdir()] == ["ledger.parquet"]
    assert "l.csv,6,5,price" in (home / "quarantine.csv").read_text()


def test_two_at_a_time_read_once(home: Path, ours: OutletFile) -> None:
    found: list[Intake] = []

    def take() -> None:
        found.append(EventStore(home).take_in(ours, AT))

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.read_now for one in found) == [0, 0, 0, 3]
    assert {one.rows for one in found} == {3}


# --- the law --------------------------------------------------------------------------------------

_ROWS = st.lists(
    st.tuples(
        st.sampled_from(["1", "2", "3", "4", ""]),
        st.sampled_from(["anna", "ben", ""]),
        st.sampled_from(["2026-01-05", "2001-01-01", "soon"]),
        st.sampled_from(["1", "2", "3", "x"]),
    ),
    max_size=5,
)
_CHANGES = st.lists(st.tuples(st.sampled_from("ab"), st.booleans(), _ROWS), min_size=1, max_size=6)


def written_rows(name: str, rows: Iterable[tuple[str, str, str, str]]) -> list[str]:
    """Lines of one file have ids that no other file has: which file is read last can't matter."""
    return [row(f"{name}{line}" if line else "", *others) for line, *others in rows]


@given(_CHANGES)
def test_rows_that_came_bit_by_bit_are_the_rows_of_one_reading(
    changes: list[tuple[str, bool, list[tuple[str, str, str, str]]]],
) -> None:
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        ours = outlet(Path(one), 'ledger = "exports/*.csv"\n')
        found = None
        store = EventStore(Path(one))
        for turn, (name, grows, some) in enumerate(changes):
            place = Path(one) / "exports" / f"{name}.csv"
            if grows and place.exists():
                append(place, *written_rows(name, some))
            else:
                write(place, *written_rows(name, some))
            os.utime(place, (turn, turn))
            found = store.take_in(ours, AT)
        at_once = EventStore(Path(other)).take_in(ours, AT)
        assert found is not None
        assert fates(at_once) == fates(found)
        rows, other_rows = store.rows(), EventStore(Path(other)).rows()
        order = [pl.col(name) for name in rows.columns]
        assert other_rows.sort(order).equals(rows.sort(order))
