"""What keeps an outlet running: its own files are checked, and come back with a backup."""

from __future__ import annotations

import datetime as dt
import re
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from outlet_client.allocation.ranking import DEFAULT_POLICY
from outlet_client.commands import doctor
from outlet_client.commands.upkeep import BackupFailed, write_backup
from outlet_client.database import create_databases
from outlet_client.ledger.event_store import EventStore
from outlet_client.log_tables.rights_store import RightsStore
from outlet_client.main import app
from outlet_client.settings import OutletFile
from privacy.identity import PartyKind
from privacy.keyring import Keyring
from tests.shelves import Press, band_codes, make_book, make_directory, shelve

if TYPE_CHECKING:
    from pathlib import Path

FILES = {
    "ledger.csv": "customer_id,outlet_id,purchased_at,price,list_price,kind,basket_id,serial,"
    "reference\na,o,2026-01-01,1,1,purchase,b,77,R1\n",
    "references.csv": "reference,tier\nR1,allocation\nR2,open\n",
    "sightings.csv": "serial,seen_at,status\n77,2026-02-01,suspected\n78,2026-02-01,confirmed\n",
    "policy.toml": DEFAULT_POLICY.read_text(),
    "escapement.toml": 'ledger = "ledger.csv"\nreferences = "references.csv"\n'
    'sightings = "sightings.csv"\npolicy = "policy.toml"\n',
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An outlet's folder with all files that the settings may name; nobody is reached from it."""
    monkeypatch.setattr(doctor, "REACH_SECONDS", 0.1)
    now = dt.datetime.now(dt.UTC)
    rings = {kind: Keyring(tmp_path / kind.value, kind) for kind in PartyKind}
    for kind, ring in rings.items():
        where = "" if kind is PartyKind.OUTLET else "127.0.0.1:9"
        ring.create(kind.value, where, now, service_address=where)
    create_databases(rings[PartyKind.OUTLET].folder)
    for kind in (PartyKind.HQ, PartyKind.OFFICE):
        data = rings[kind].public_file.read_bytes()
        rings[PartyKind.OUTLET].trust(rings[kind].identity().card, data)
    found = tmp_path / PartyKind.OUTLET.value
    for name, text in FILES.items():
        (found / name).write_text(text)
    return found


def run(*words: object) -> str:
    return " ".join(CliRunner().invoke(app, [str(word) for word in words]).output.split())


def test_doctor_reads_references_sightings_and_policy(home: Path) -> None:
    said = run("doctor", "--home", home)
    assert "✓ ledger: 1 rows, 2026-01-01 to 2026-01-01" in said
    assert "✓ references: can be read" in said
    assert "✓ sightings: 1 of no customer here" in said
    assert "✓ policy: can be read" in said


def test_an_hq_that_does_not_listen_by_day_is_no_fault_and_one_without_services_is(
    home: Path,
) -> None:
    said = run("doctor", "--home", home)
    assert "- HQ (listens during a night only): 127.0.0.1:9: not known by day: HQ listens" in said
    assert "- clock: it is held against HQ's; not known by day" in said
    assert "? " not in said.replace("is this outlet on the list there? ", "")
    assert "✗ HQ's services:" in said


def test_doctor_says_which_book_is_shown_and_why_none_is(home: Path) -> None:
    assert "✓ band book: none yet; it comes with the network's first bands" in run(
        "doctor", "--home", home
    )
    rings = {kind: Keyring(home.parent / kind.value, kind) for kind in PartyKind}
    press = Press(*(rings[kind].identity().signing for kind in (PartyKind.HQ, PartyKind.OFFICE)))
    directory, now = make_directory([]), dt.datetime.now(dt.UTC)
    for version, (days, mark, words) in enumerate(
        [(36, "✓", "as of"), (38, "✗", "sealed as of")],
        1,  # where midnight comes between
    ):
        book = make_book(
            band_codes([]), directory, as_of=str(now.date() - dt.timedelta(days=days)),
            made_at=now.timestamp(), version=version,
        )  # fmt: skip
        assert shelve(home, book, directory, press, now)
        said = run("doctor", "--home", home)
        assert re.search(f"{mark} band book: (band book: )?{words} {book.as_of}", said), said
    (home / "book.bin").write_bytes(b"no book")
    assert "✗ band book: " in run("doctor", "--home", home)


def test_doctor_says_which_file_is_wrong_in_its_own_words(home: Path) -> None:
    (home / "references.csv").write_text("reference,tier\nR1,[red]\n")
    (home / "sightings.csv").write_text("serial,seen_at,status\n77,soon,suspected\n")
    (home / "policy.toml").write_text("[[rule]]\n")
    said = run("doctor", "--home", home)
    assert "✗ references: references.csv, row 1, column tier: expected one of open" in said
    assert "[red]" not in said
    assert "✗ sightings: sightings.csv, row 1, column seen_at" in said
    assert "✗ policy: policy.toml" in said


def test_doctor_counts_bad_rows_and_changes_nothing(home: Path) -> None:
    (home / "ledger.csv").write_text(
        FILES["ledger.csv"] + "a,o,2026-01-03,x,1,purchase,b,77,R1\n" * 2
    )
    before = set(home.iterdir())
    said = run("doctor", "--home", home)
    assert "✗ ledger: 2 of 3 rows cannot be used, expected at most 2.0%" in said
    text = "most_quarantined = 0.7\n" + FILES["escapement.toml"]
    (home / "escapement.toml").write_text(text)
    said = run("doctor", "--home", home)
    assert "✓ ledger: 3 rows, 2026-01-01 to 2026-01-01; 2 of 3 rows cannot be used" in said
    beside = (".db-wal", ".db-shm")  # SQLite's, of a file that is read only
    assert {file for file in home.iterdir() if file.suffix not in beside} == before


def test_doctor_looks_for_no_file_that_is_not_set(home: Path) -> None:
    (home / "escapement.toml").write_text('ledger = "ledger.csv"\n')
    said = run("doctor", "--home", home)
    assert "✓ ledger" in said
    assert not any(name in said for name in ("references:", "sightings:", "policy:"))
    (home / "escapement.toml").write_text("[[ledger]]\n")
    assert "✗ settings:" in run("doctor", "--home", home)


def test_an_error_with_square_brackets_is_shown_whole(home: Path) -> None:
    said = run("allocate", "--reference", "[red]", "--pieces", "1", "--home", home)
    assert "reference [red]: in no tier of references.csv" in said


def test_a_backup_brings_back_the_events_and_what_is_known_of_them(
    home: Path, tmp_path: Path
) -> None:
    settings, at = OutletFile.read(home / "escapement.toml"), dt.datetime.now(dt.UTC)
    EventStore(home).take_in(settings, at)
    events = EventStore(home).rows()
    RightsStore(home).close()
    with closing(sqlite3.connect(home / "rights.db")) as rights:
        rights.execute("CREATE TABLE asked (who)")
    run("backup", tmp_path / "b.tar.gz", "--home", home)
    run("restore", tmp_path / "b.tar.gz", "--home", tmp_path / "again")
    again = EventStore(tmp_path / "again")
    assert len(events) == 1
    assert again.rows().equals(events)
    assert again.counts().rows == 1
    with closing(sqlite3.connect(tmp_path / "again" / "rights.db")) as rights:
        assert rights.execute("SELECT * FROM asked").fetchall() == []
    assert (tmp_path / "again" / "events").stat().st_mode & 0o077 == 0


def test_a_backup_that_was_killed_leaves_the_last_one_as_it_was(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "b.tar.gz"
    run("backup", file, "--home", home)
    before = file.read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr("outlet_client.commands.upkeep._copy_whole", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            write_backup(home, file)
    assert file.read_bytes() == before
    write_backup(home, file)
    assert file.read_bytes() != before
    assert {one.name for one in tmp_path.glob("b.tar.gz*")} == {"b.tar.gz"}


def test_a_damaged_database_is_no_backup(home: Path, tmp_path: Path) -> None:
    rights = home / "rights.db"
    EventStore(home).take_in(OutletFile.read(home / "escapement.toml"), dt.datetime.now(dt.UTC))
    RightsStore(home).close()
    with closing(sqlite3.connect(rights)) as connection:
        connection.execute("CREATE TABLE some (a INTEGER PRIMARY KEY, b TEXT)")
        rows = ((n, "x" * 500) for n in range(200))
        connection.executemany("INSERT INTO some VALUES (?, ?)", rows)
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray(rights.read_bytes())
    data[-20 * 4096 :: 4096] = b"\xff" * len(data[-20 * 4096 :: 4096])
    rights.write_bytes(data)
    with pytest.raises(BackupFailed, match=r"rights\.db: its copy is damaged"):
        write_backup(home, tmp_path / "b.tar.gz")
    assert not (tmp_path / "b.tar.gz").exists()


def test_a_backup_brings_back_the_policy(home: Path, tmp_path: Path) -> None:
    run("backup", tmp_path / "b.tar.gz", "--home", home)
    run("restore", tmp_path / "b.tar.gz", "--home", tmp_path / "again")
    assert (tmp_path / "again" / "policy.toml").read_text() == FILES["policy.toml"]


def test_a_restore_names_all_that_is_not_remembered(home: Path, tmp_path: Path) -> None:
    run("backup", tmp_path / "b.tar.gz", "--home", home)
    said = run("restore", tmp_path / "b.tar.gz", "--home", tmp_path / "again")
    for gone in ("Plans answered", "Withdrawals", "Disputes", "corrections", "look-ups"):
        assert gone in said
