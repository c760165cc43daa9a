"""A small outlet's ledger in files and in a till's database, and what its readings keep."""

from __future__ import annotations

import datetime as dt
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from outlet_client.ledger.event_store import EventStore
from outlet_client.people.people_store import People
from outlet_client.settings import OutletFile
from tests.builders import outlet_at

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from outlet_client.ledger.intake import Intake

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


def bytes_of(folder: Path) -> bytes:
    return b"".join(place.read_bytes() for place in folder.iterdir())


def entries(home: Path) -> set[str]:
    """Customer ids with an entry that stands."""
    with closing(sqlite3.connect(home / "outlet.db")) as database:
        rows = database.execute("SELECT customer FROM client_entries WHERE NOT former").fetchall()
    return {customer for (customer,) in rows}


@pytest.fixture
def people(home: Path) -> Iterator[People]:
    with closing(People(outlet_at(home), SECRET)) as found:
        yield found
