"""A ledger is read once, and kept: what is new comes in, what was corrected is replaced.

However it came in, bit by bit or at once, the same rows count, and every row has one fate.
"""

from __future__ import annotations

import datetime as dt
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

import polars as pl
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import LedgerError
from outlet_client.ledger import ingest
from outlet_client.ledger.event_reader import read_events
from outlet_client.ledger.event_store import EventStore
from outlet_client.ledger.intake import Intake, first_day
from outlet_client.ledger.parquet_store import PartMissing
from outlet_client.people.people_store import People
from outlet_client.settings import OutletFile
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
def store(home: Path) -> Iterator[EventStore]:
    with closing(EventStore.open(home)) as found:
        yield found


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


def test_of_a_file_that_grew_only_the_end_is_read(
    home: Path, store: EventStore, ours: OutletFile
) -> None:
    store.take_in(ours, AT)
    append(home / "l.csv", row("4"), row("5", price="x"))
    found = store.take_in(ours, AT)
    assert (found.read_now, fates(found)) == (2, (4, 0, 0, 1))
    assert list(lines(store)) == ["1", "2", "3", "4"]
    assert store.quarantine(ours)["row"].to_list() == [5]


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


def test_a_line_is_corrected_in_another_file_too(home: Path, store: EventStore) -> None:
    ours = outlet(home, 'ledger = "exports/*.csv"\n')
    write(home / "exports" / "sales-9.csv", row("1"), row("2"))
    store.take_in(ours, AT)
    write(home / "exports" / "sales-10.csv", row("1", price="20"))
    assert fates(store.take_in(ours, AT)) == (2, 0, 1, 0)
    assert lines(store) == {"1": 20.0, "2": 10.0}


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


def test_of_a_database_only_rows_from_the_last_change_on_are_read(
    home: Path, store: EventStore
) -> None:
    ours = outlet(home, f'reread_days = 7\n{DATABASE}changed = "changed"\n')
    sold(home, ("1", "anna", 10, 1), ("2", "ben", 10, 2), ("3", "anna", 10, 3))
    store.take_in(ours, AT)
    sold(home, ("1", "anna", 11, 4), ("4", "cleo", 5, 4))
    found = store.take_in(ours, AT + dt.timedelta(days=1))
    assert (found.read_now, fates(found)) == (3, (4, 0, 0, 0))  # line 3 is as new as the last one
    assert lines(store) == {"1": 11.0, "2": 10.0, "3": 10.0, "4": 5.0}


def test_a_bad_row_of_a_database_leaves_quarantine_once_it_is_corrected(
    home: Path, store: EventStore
) -> None:
    ours = outlet(home, f'{DATABASE}changed = "changed"\n')
    sold(home, ("1", "anna", 10, 1), ("2", "ben", 1e12, 2))
    assert fates(store.take_in(ours, AT)) == (1, 0, 0, 1)
    assert fates(store.take_in(ours, AT)) == (1, 0, 0, 1)
    sold(home, ("2", "ben", 12, 3))
    assert fates(store.take_in(ours, AT)) == (2, 0, 0, 0)


def test_a_database_is_read_whole_now_and_then_so_that_deleted_rows_go(
    home: Path, store: EventStore
) -> None:
    ours = outlet(home, f'reread_days = 7\n{DATABASE}changed = "changed"\n')
    sold(home, ("1", "anna", 10, 1), ("2", "ben", 10, 2), ("3", "anna", 10, 3))
    store.take_in(ours, AT)
    with closing(sqlite3.connect(home / "pos.db")) as database:
        database.execute("DELETE FROM sales WHERE line_id = '2'")
        database.commit()
    assert fates(store.take_in(ours, AT + dt.timedelta(days=6))) == (3, 0, 0, 0)
    assert fates(store.take_in(ours, AT + dt.timedelta(days=7))) == (2, 0, 0, 0)
    assert set(lines(store)) == {"1", "3"}


def test_a_database_without_a_column_of_changes_is_read_whole_every_night(
    home: Path, store: EventStore
) -> None:
    ours = outlet(home, DATABASE)
    sold(home, ("1", "anna", 10, 1), ("2", "ben", 10, 2))
    store.take_in(ours, AT)
    sold(home, ("2", "ben", 12, 2))
    found = store.take_in(ours, AT)
    assert (found.read_now, fates(found)) == (2, (2, 0, 0, 0))
    assert lines(store) == {"1": 10.0, "2": 12.0}


def test_changes_without_line_ids_are_refused(home: Path, store: EventStore) -> None:
    with closing(sqlite3.connect(home / "pos.db")) as database:
        database.execute("CREATE TABLE sales (customer_id, purchased_at, price, kind, changed)")
        database.execute("INSERT INTO sales VALUES ('anna', '2026-01-05', 10, 'purchase', 1)")
        database.commit()
    with pytest.raises(LedgerError, match="line_id: missing; `changed` needs it"):
        store.take_in(outlet(home, f'{DATABASE}changed = "changed"\n'), AT)
    assert store.take_in(outlet(home, DATABASE), AT).used == 1


def test_a_postgres_till_is_read_by_its_moments_of_change(home: Path, store: EventStore) -> None:
    begun = "2026-11-2{} 10:00:00+08"
    insert = sa.text(
        "INSERT INTO sales VALUES (:line, :who, '2026-11-01 23:30+08', :price, 'purchase', :at) "
        "ON CONFLICT (line_id) DO UPDATE SET price = :price, changed = :at"
    )
    with postgres() as url:
        engine = sa.create_engine(url)
        with engine.begin() as till:
            till.execute(
                sa.text(
                    "CREATE TABLE sales (line_id bigint PRIMARY KEY, customer_id text, "
                    "purchased_at timestamptz, price numeric(12, 2), kind text, "
                    "changed timestamptz)"
                )
            )
            for line in (1, 2, 3):
                given = {"line": line, "who": "anna", "price": 10, "at": begun.format(line)}
                till.execute(insert, given)
        text = DATABASE.replace("sqlite:///pos.db", url)
        ours = outlet(home, f'{text}changed = "changed"\n')
        assert store.take_in(ours, AT).read_now == 3
        with engine.begin() as till:
            till.execute(insert, {"line": 1, "who": "", "price": 11.5, "at": begun.format(4)})
            till.execute(insert, {"line": 4, "who": "ben", "price": 5, "at": begun.format(5)})
        found = store.take_in(ours, AT)
        engine.dispose()
    assert (found.read_now, fates(found)) == (3, (4, 0, 0, 0))
    assert lines(store) == {"1": 11.5, "2": 10.0, "3": 10.0, "4": 5.0}
    assert store.rows()["date"].unique().to_list() == [dt.date(2026, 11, 1)]


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


def test_what_was_too_old_comes_back_where_more_is_kept(home: Path, store: EventStore) -> None:
    append(home / "l.csv", row("4", day="2020-01-01"))
    ours = outlet(home, 'keep_days = 365\nledger = "l.csv"\n')
    assert fates(store.take_in(ours, AT)) == (3, 1, 0, 0)
    longer = outlet(home, 'keep_days = 36500\nledger = "l.csv"\n')
    assert fates(store.take_in(longer, AT)) == (4, 0, 0, 0)


def test_parts_that_were_deleted_are_read_anew_and_a_part_that_is_missing_is_named(
    home: Path, store: EventStore, ours: OutletFile
) -> None:
    store.take_in(ours, AT)
    (part,) = (home / "events").iterdir()
    part.unlink()
    with pytest.raises(PartMissing, match="events/part-"):
        store.rows()
    (home / "events").rmdir()
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


# --- parts ----------------------------------------------------------------------------------------


def test_parts_are_private_and_many_small_ones_become_one(
    home: Path, store: EventStore, ours: OutletFile
) -> None:
    for number in range(30):
        append(home / "l.csv", row(f"n{number}"), row("1", price=f"{number}"))
        store.take_in(ours, AT)
    parts = list((home / "events").iterdir())
    assert len(parts) <= ingest.MOST_SMALL + 1
    assert {part.stat().st_mode & 0o777 for part in parts} == {0o600}
    assert (home / "events").stat().st_mode & 0o777 == 0o700
    assert lines(store) == {"1": 29.0, "2": 10.0, "3": 10.0} | {f"n{n}": 10.0 for n in range(30)}
    assert fates(store.counts()) == (33, 0, 30, 0)


def test_a_file_that_was_merged_with_others_is_replaced_alone(
    home: Path, store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "MOST_SMALL", 1)
    ours = outlet(home, 'ledger = "exports/*.csv"\n')
    for name in "abcd":
        write(home / "exports" / f"{name}.csv", row(f"{name}1"), row(f"{name}2"))
        store.take_in(ours, AT)
    assert len(list((home / "events").iterdir())) == 1
    write(home / "exports" / "b.csv", row("b2", price="7"))
    assert fates(store.take_in(ours, AT)) == (7, 0, 0, 0)
    assert lines(store) == dict.fromkeys(["a1", "a2", "c1", "c2", "d1", "d2"], 10.0) | {"b2": 7.0}


def test_many_rows_go_to_several_parts_and_correct_one_another_across_them(
    home: Path, store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "PART_ROWS", 2)
    write(home / "exports" / "a.csv", row("1"), row("2"), row("3"))
    write(home / "exports" / "b.csv", row("4"), row("2", price="12"), row("1", day="2001-01-01"))
    for turn, name in enumerate("ab"):
        os.utime(home / "exports" / f"{name}.csv", (turn, turn))
    found = store.take_in(outlet(home, 'ledger = "exports/*.csv"\n'), AT)
    assert fates(found) == (3, 1, 2, 0)
    assert lines(store) == {"2": 12.0, "3": 10.0, "4": 10.0}


# --- client entries -------------------------------------------------------------------------------


def entries(home: Path) -> set[str]:
    """Customer ids with an entry that stands."""
    with closing(sqlite3.connect(home / "outlet.db")) as database:
        rows = database.execute("SELECT customer FROM client_entries WHERE NOT former").fetchall()
    return {customer for (customer,) in rows}


@pytest.fixture
def people(home: Path) -> Iterator[People]:
    with closing(People(f"sqlite:///{home / 'outlet.db'}", SECRET)) as found:
        yield found


def test_who_the_customers_are_is_noted_with_what_is_new(
    home: Path, store: EventStore, ours: OutletFile, people: People
) -> None:
    store.take_in(ours, AT, people)
    assert entries(home) == {"anna", "ben"}
    append(home / "l.csv", row("4", "cleo"), row("5", "dora", price="x"))
    store.take_in(ours, AT, people)
    assert entries(home) == {"anna", "ben", "cleo", "dora"}
    assert b"91234567" not in (home / "outlet.db").read_bytes()
    assert b"91234567" not in bytes_of(home / "events")


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
from outlet_client.events import event_store
from outlet_client.events import intake_state
from outlet_client.events import parts
from outlet_client.settings import OutletFile

home, where = Path(sys.argv[1]), sys.argv[2]
owner, name = {
    "before a part is written": (parts.Parts, "write"),
    "before a part is renamed": (parts, "_sync"),
    "before the transaction": (intake_state, "save"),
    "in the transaction": (intake_state, "_about_part"),
    "before the quarantine file": (event_store, "_write_quarantine"),
}[where]

def die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)

setattr(owner, name, die)
event_store.EventStore.open(home).take_in(
    OutletFile.read(home / "escapement.toml"), dt.datetime(2026, 11, 24, 2, 0, tzinfo=dt.UTC)
)
"""


@pytest.mark.parametrize(
    "where",
    [
        "before a part is written",
        "before a part is renamed",
        "before the transaction",
        "in the transaction",
        "before the quarantine file",
    ],
)
def test_a_kill_anywhere_loses_nothing_and_doubles_nothing(
    home: Path, store: EventStore, ours: OutletFile, where: str
) -> None:
    store.take_in(ours, AT)
    append(home / "l.csv", row("4"), row("1", price="11"), row("5", price="x"))
    died = subprocess.run([sys.executable, "-c", _DYING, home, where], check=False)  # noqa: S603  (our own words)
    assert died.returncode == -signal.SIGKILL
    assert fates(store.counts()) in {(3, 0, 0, 0), (4, 0, 1, 1)}
    assert fates(store.take_in(ours, AT)) == (4, 0, 1, 1)
    assert lines(store) == {"1": 11.0, "2": 10.0, "3": 10.0, "4": 10.0}
    assert len(list((home / "events").iterdir())) == 3
    assert "l.csv,6,5,price" in (home / "quarantine.csv").read_text()


def test_two_at_a_time_read_once(home: Path, ours: OutletFile) -> None:
    found: list[Intake] = []

    def take() -> None:
        with closing(EventStore.open(home)) as store:
            found.append(store.take_in(ours, AT))

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


@settings(deadline=None, max_examples=40)
@given(_CHANGES)
def test_rows_that_came_bit_by_bit_are_the_rows_of_one_reading(
    changes: list[tuple[str, bool, list[tuple[str, str, str, str]]]],
) -> None:
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        ours = outlet(Path(one), 'ledger = "exports/*.csv"\n')
        found = None
        with closing(EventStore.open(Path(one))) as store:
            for turn, (name, grows, some) in enumerate(changes):
                place = Path(one) / "exports" / f"{name}.csv"
                if grows and place.exists():
                    append(place, *written_rows(name, some))
                else:
                    write(place, *written_rows(name, some))
                os.utime(place, (turn, turn))
                found = store.take_in(ours, AT)
            rows = store.rows()
        with closing(EventStore.open(Path(other))) as store:
            at_once = store.take_in(ours, AT)
            assert found is not None
            assert fates(at_once) == fates(found)
            order = [pl.col(name) for name in rows.columns]
            assert store.rows().sort(order).equals(rows.sort(order))
