"""Readings of a ledger that are killed, or run two at a time or beside a reader."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from outlet_client.ledger.event_store import EventStore
from tests.outlet_client.kept_ledger import (
    AT,
    append,
    entries,
    fates,
    home,
    lines,
    ours,
    people,
    row,
    store,
)

if TYPE_CHECKING:
    from pathlib import Path

    from outlet_client.ledger.intake import Intake
    from outlet_client.people.people_store import People
    from outlet_client.settings import OutletFile

__all__ = ["home", "ours", "people", "store"]


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
