"""The log after a backup, under threads and processes, and at the command line."""

from __future__ import annotations

import datetime as dt
import json
import multiprocessing
import shutil
import threading
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from outlet_client.log_tables.rights_store import RIGHTS_FILE, rights_as_they_are, rights_of
from outlet_client.main import app
from outlet_client.records.access_log import (
    LogAct,
    counts_of_day,
    note_lookup_in,
    record_act,
    record_act_in,
)
from outlet_client.records.countersigning import LogStanding, countersign
from outlet_client.records.log_audit import CONTRADICTS, Fault, audit_log
from privacy.identity import PartyKind
from privacy.keyring import Keyring
from server.office.notary import Notary
from tests.outlet_client.logged_outlet import ASKED, DAY, NOON, OFFICE, Book, book, home

__all__ = ["book", "home"]

pytestmark = pytest.mark.usefixtures("databases")


# --- a backup that was brought back ---------------------------------------------------------------


def test_after_a_restore_it_is_said_which_statements_are_missing_and_nights_go_on(
    book: Book, tmp_path: Path
) -> None:
    def night() -> LogStanding:
        book.add(2)
        made = book.night()
        book.now += DAY
        return made

    for _ in range(3):
        night()
    copy = tmp_path / "copy.db"
    with rights_of(book.home):  # nobody writes
        shutil.copy2(book.home / RIGHTS_FILE, copy)
    for _ in range(4):
        night()
    assert book.findings() == []
    for file in book.home.glob(f"{RIGHTS_FILE}*"):
        file.unlink()
    shutil.copy2(copy, book.home / RIGHTS_FILE)
    book.add()
    assert book.findings() == []  # the folder alone cannot tell
    [found] = night().findings
    assert (found.fault, found.first, found.last) == (Fault.WENT_BACK, 4, 7)
    assert found.text == (
        "statements 4 to 7 of the privacy office are missing here: this log was restored from a "
        "backup, or cut; what was logged between 2026-03-04 12:00 UTC and 2026-03-09 12:00 UTC may "
        "be gone"
    )
    assert book.numbers == [(1, 2), (2, 4), (3, 6), (7, None), (8, 9)]
    for _ in range(3):
        assert night().findings == (found,)  # for the record
    assert book.numbers[-1] == (11, 15)
    assert set(book.faults()).isdisjoint(CONTRADICTS)


# --- threads and processes ------------------------------------------------------------------------


def write(home: str, by: str, count: int) -> None:
    for number in range(count):
        record_act_in(Path(home), NOON, LogAct.LOOK_UP, by, key=f"k{number}")


def test_threads_and_processes_that_write_at_once_leave_one_whole_chain(book: Book) -> None:
    book.add()
    spawn = multiprocessing.get_context("spawn")
    workers: list[threading.Thread | multiprocessing.process.BaseProcess] = [
        spawn.Process(target=write, args=(str(book.home), f"process {number}", 10))
        for number in range(2)
    ]
    workers += [
        threading.Thread(target=write, args=(str(book.home), f"thread {number}", 10))
        for number in range(2)
    ]
    for one in workers:
        one.start()
    while any(one.is_alive() for one in workers):
        assert book.findings() == []  # also of a log that is being written
        time.sleep(0.1)
    assert book.length == 1 + 4 * 10
    assert book.findings() == []
    with rights_of(book.home) as connection:
        assert counts_of_day(connection, "process 1", NOON) == 10


def test_who_verifies_waits_for_no_writer(book: Book) -> None:
    book.add(3)
    with rights_of(book.home) as connection:
        record_act(connection, NOON, LogAct.EXPORT, "mei")
        assert audit_log(book.home, OFFICE.public, "O1", NOON).head.number == 3
        with rights_as_they_are(book.home) as other:
            assert other is not None


# --- commands -------------------------------------------------------------------------------------


def run(home: Path, *words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["log", *words, "--home", str(home)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, " ".join(done.output.split())


def test_verify_says_what_is_there_what_is_wrong_and_what_it_cannot_tell(home: Path) -> None:
    code, said = run(home, "verify")
    assert code == 0
    assert "Log of O1: no entries are kept. Countersigned by the privacy office: never." in said
    office = Keyring(home.parent / "office", PartyKind.OFFICE).identity()
    book = Book(home, Notary("sqlite://", office.signing), dt.datetime.now(dt.UTC))
    book.add(4)
    found = audit_log(home, office.card.verify_key, "O1", book.now)
    countersign(home, found, book.ask, office.card.verify_key, book.now)
    code, said = run(home, "verify")
    assert code == 0
    assert "entries 1 to 4. Countersigned by the privacy office: up to entry 4, on 20" in said
    assert "Findings: none. What this cannot tell: Entries since the last countersigned" in said
    book.run("UPDATE log SET outcome = 'x' WHERE number = 2")
    code, said = run(home, "verify")
    assert code == 9
    assert "changed: entry 2 does not follow from what is before" in said
    code, said = run(home, "verify", "--json")
    assert code == 9
    told = json.loads(said)
    assert [(one["fault"], one["first"], one["last"]) for one in told["findings"]] == [
        ("changed", 2, 2)
    ]
    assert (told["first"], told["last"], told["countersigned"]) == (1, 4, 4)
    assert len(told["cannot_tell"]) == 3


def test_the_log_is_listed_by_day_and_by_person_and_as_json_it_is_an_export(home: Path) -> None:
    assert run(home, "show") == (0, "Nothing was logged.")
    record_act_in(home, NOON, LogAct.OVERRIDE, "noor", about="allocation 3", outcome="2 changed")
    note_lookup_in(home, NOON + 2 * DAY, ASKED, "k", "known")
    code, said = run(home, "show")
    assert code == 0
    assert "1 2026-03-02 12:00 UTC noor: override, allocation 3, 2 changed" in said
    assert "2 2026-03-04 12:00 UTC mei: look-up, sale, nobody in the client book, known" in said
    assert "noor" not in run(home, "show", "--by", "mei")[1]
    assert "noor" not in run(home, "show", "--since", "2026-03-04")[1]
    assert run(home, "show", "--since", "yesterday")[0] == 1
    told = json.loads(run(home, "show", "--json")[1])
    assert [one["number"] for one in told] == [1, 2]
    assert told[0]["about"] == "allocation 3"
    assert "export, the log, json" in run(home, "show")[1]
