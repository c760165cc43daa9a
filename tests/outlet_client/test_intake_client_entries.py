"""Client entries: the customers that a reading of the ledger notes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.outlet_client.kept_ledger import (
    AT,
    append,
    bytes_of,
    entries,
    home,
    ours,
    outlet,
    people,
    row,
    store,
    write,
)

if TYPE_CHECKING:
    from pathlib import Path

    from outlet_client.ledger.event_store import EventStore
    from outlet_client.people.people_store import People
    from outlet_client.settings import OutletFile

__all__ = ["home", "ours", "people", "store"]


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
