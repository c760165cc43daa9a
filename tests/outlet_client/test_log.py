"""The log's chain: what is written, and that whatever is changed is found."""

from __future__ import annotations

import datetime as dt
import re
import sqlite3
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlet_client.database import create_databases
from outlet_client.log_tables.hash_chain import HASH_BYTES, Link, beginning, next_link
from outlet_client.log_tables.rights_store import RIGHTS_FILE, rights_of
from outlet_client.records.access_log import (
    PROPOSAL,
    LogAct,
    LogBroken,
    counts_of_day,
    entries,
    log_head,
    note_lookup_in,
    note_lookups,
    recent_entries,
    record_act_in,
)
from outlet_client.records.actor import LookupPurpose
from outlet_client.records.log_audit import CONTRADICTS, Fault, LogContradicted
from tests.outlet_client.logged_outlet import (
    ASKED,
    CELLS,
    DAY,
    NOON,
    Book,
    book,
    cells,
    never_asked,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server.office.notary import Notary

__all__ = ["book"]

pytestmark = pytest.mark.usefixtures("databases")


# --- the chain ------------------------------------------------------------------------------------


@given(cells, cells, st.integers(0, 5), st.integers(0, 5))
def test_no_two_lists_of_cells_or_numbers_have_one_hash(
    one: list[str], other: list[str], first: int, second: int
) -> None:
    before = beginning()
    made, next_ = (
        next_link(Link(first, before.hash), one),
        next_link(Link(second, before.hash), other),
    )
    assert (made.hash == next_.hash) == ((one, first) == (other, second))
    assert len(made.hash) == HASH_BYTES


def test_two_new_logs_have_nothing_in_common_that_could_be_guessed(tmp_path: Path) -> None:
    heads = set()
    for name in "ab":
        (tmp_path / name).mkdir()
        create_databases(tmp_path / name)
        record_act_in(tmp_path / name, NOON, LogAct.SIGN_IN, "mei")
        with rights_of(tmp_path / name) as connection:
            heads.add(log_head(connection).hash)
    assert len(heads) == 2


def test_entries_are_numbered_from_one_in_the_order_they_were_added(book: Book) -> None:
    record_act_in(book.home, NOON, LogAct.SIGN_IN, "mei", about="password", outcome="signed in")
    note_lookup_in(book.home, NOON + DAY, ASKED, "k1", "known")
    record_act_in(
        book.home, NOON, LogAct.OVERRIDE, "noor", about="allocation 3", outcome="2 changed"
    )
    with rights_of(book.home) as connection:
        found = recent_entries(connection, NOON, limit=9)
        assert [(one.number, one.act, one.by, one.purpose) for one in found] == [
            (3, LogAct.OVERRIDE, "noor", None),
            (2, LogAct.LOOK_UP, "mei", LookupPurpose.SALE),
            (1, LogAct.SIGN_IN, "mei", None),
        ]
        assert (found[0].about, found[0].outcome, found[0].key) == ("allocation 3", "2 changed", "")
        assert recent_entries(connection, NOON + DAY, limit=9) == (found[1],)
        assert recent_entries(connection, NOON, by="mei", limit=9) == found[1:]
        assert recent_entries(connection, NOON, act=LogAct.OVERRIDE, limit=9) == found[:1]
        assert recent_entries(connection, NOON, key="k1", limit=9) == (found[1],)
        assert recent_entries(connection, NOON, limit=2) == found[:2]
        assert recent_entries(connection, NOON, limit=2, before_number=2) == found[2:]
        assert entries(connection, ["k1"], NOON) == (found[1],)
    assert book.findings() == []


def test_exports_and_letters_of_a_person_are_shown_with_look_ups_and_other_acts_are_not(
    book: Book,
) -> None:
    for act in LogAct:
        record_act_in(book.home, NOON, act, "mei", key="k1", purpose=LookupPurpose.CUSTOMER)
    with rights_of(book.home) as connection:
        shown = [one.act for one in entries(connection, ["k1"], NOON)]
    assert set(shown) == {LogAct.LOOK_UP, LogAct.EXPORT, LogAct.LETTER}
    assert len(shown) == 3


def test_a_persons_look_ups_of_a_day_are_counted_however_the_name_was_typed(book: Book) -> None:
    book.add(3)
    book.now += DAY
    book.add(2)
    book.add(1, by="MEI")
    book.add(4, by="noor")
    record_act_in(book.home, book.now, LogAct.EXPORT, "mei")
    with rights_of(book.home) as connection:
        note_lookups(connection, book.now, ASKED, [("k1", "known")] * 7, PROPOSAL)
        assert counts_of_day(connection, "mei", book.now) == 3
        assert counts_of_day(connection, "Mei", NOON) == 6
        assert counts_of_day(connection, "noor", NOON) == 4
        assert counts_of_day(connection, "nobody", NOON) == 0
        assert counts_of_day(connection, "mei", NOON, LogAct.EXPORT) == 1


def test_counting_a_day_reads_no_entry_of_the_year_and_none_of_a_proposal(book: Book) -> None:
    book.add(1)
    with rights_of(book.home) as connection:
        asked: list[str] = []
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        driver.set_trace_callback(asked.append)
        counts_of_day(connection, "mei", NOON)
        driver.set_trace_callback(None)
        plans = [str(driver.execute(f"EXPLAIN QUERY PLAN {one}").fetchall()) for one in asked]
    assert len(plans) == 2
    assert all("SCAN log" not in plan and "COVERING INDEX log_of_whom" in plan for plan in plans)
    assert "by=? AND act=? AND about=? AND at>?" in plans[1]


def test_an_entry_that_is_none_is_said_to_be_and_not_shown_as_one(book: Book) -> None:
    book.add(2)
    book.run("UPDATE log SET act = 'fun' WHERE number = 2")
    with rights_of(book.home) as connection, pytest.raises(LogBroken, match="entry 2 is none"):
        recent_entries(connection, NOON, limit=9)


def test_nothing_is_added_to_a_log_that_does_not_say_where_it_begins(book: Book) -> None:
    book.add()
    book.run("DELETE FROM log", "DELETE FROM log_anchor")
    with pytest.raises(LogBroken, match="from a backup"):
        book.add()
    assert Fault.CHANGED in book.faults()


# --- whatever is changed is found -----------------------------------------------------------------


THE_REST = 'at, act, "by", purpose, "key", about, outcome, hash'


CHANGES = {
    "a cell": ("UPDATE log SET CELL = CELL || ' ' WHERE number = :number",),
    "a cell is no text": ("UPDATE log SET CELL = x'ff' WHERE number = :number",),
    "a cell is not even that": (
        "UPDATE log SET CELL = CAST(x'ff' AS TEXT) WHERE number = :number",
    ),
    "the hash": ("UPDATE log SET hash = zeroblob(32) WHERE number = :number",),
    "the hash is none": ("UPDATE log SET hash = x'00' WHERE number = :number",),
    "deleted": ("DELETE FROM log WHERE number = :number",),
    "deleted and closed": (
        "DELETE FROM log WHERE number = :number",
        "UPDATE log SET number = -number WHERE number > :number",
        "UPDATE log SET number = -number - 1 WHERE number < 0",
    ),
    "put in": (
        "UPDATE log SET number = -number WHERE number >= :number",
        "UPDATE log SET number = -number + 1 WHERE number < 0",
        "INSERT INTO log SELECT :number, REST FROM log WHERE number = :number + 1",
    ),
    "put before": ("INSERT INTO log SELECT 0, REST FROM log WHERE number = :number",),
    "swapped": (
        "UPDATE log SET number = -1 WHERE number = :number",
        "UPDATE log SET number = :number WHERE number = :other",
        "UPDATE log SET number = :other WHERE number = -1",
    ),
    "where it begins": ("UPDATE log_anchor SET hash = zeroblob(32)",),
    "begins later": ("UPDATE log_anchor SET number = :number",),
    "begins nowhere": ("DELETE FROM log_anchor",),
    "begins twice": ("INSERT INTO log_anchor SELECT * FROM log_anchor",),
}


@given(
    st.sampled_from(sorted(CHANGES)), st.sampled_from(CELLS), st.integers(1, 5), st.integers(1, 4)
)
def test_any_change_deletion_insertion_or_swap_is_found_and_not_countersigned(
    change: str, cell: str, number: int, step: int
) -> None:
    with minutes() as book:
        assert book.findings() == []
        other = (number + step - 1) % 5 + 1
        names = {"CELL": f'"{cell}"', "REST": THE_REST}
        statements = [re.sub("CELL|REST", lambda m: names[m[0]], one) for one in CHANGES[change]]
        book.run(*statements, number=number, other=other)
        assert set(book.faults()) & CONTRADICTS
        with pytest.raises(LogContradicted):
            book.night(never_asked)


_MADE: list[tuple[bytes, Notary]] = []


@contextmanager
def minutes() -> Iterator[Book]:
    """A countersigned log of five entries, each other than the last; made once, and copied."""
    with tempfile.TemporaryDirectory() as folder:
        create_databases(Path(folder))
        book = Book(Path(folder))
        if not _MADE:
            for _ in range(5):
                book.now += dt.timedelta(minutes=1)
                book.add()
            book.night()
            _MADE.append(((book.home / RIGHTS_FILE).read_bytes(), book.notary))
        [(data, book.notary)] = _MADE
        (book.home / RIGHTS_FILE).write_bytes(data)
        yield book


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("number", [1, 5, 9])
def test_a_log_that_was_changed_and_computed_anew_is_found_by_the_countersignature(
    book: Book, cell: str, number: int
) -> None:
    for _ in range(3):
        book.add(3)
        book.night()
        book.now += DAY
    change = "UPDATE log SET CELL = CELL || ' ' WHERE number = :number".replace("CELL", f'"{cell}"')
    book.run(change, number=number)
    book.forge()
    [found] = book.findings()
    assert found.fault is Fault.OTHERWISE
    assert found.first <= number <= found.last
    assert found.last - found.first == 2  # as close as statements are


def test_a_finding_names_the_entries_and_says_what_is_wrong(book: Book) -> None:
    book.add(9)
    book.run("UPDATE log SET \"by\" = 'noor' WHERE number IN (3, 4, 7)")
    book.run("DELETE FROM log WHERE number = 9")
    first, second = (one.text for one in book.findings())
    assert first == (
        "entries 3 to 4 do not follow from what is before: the entries, or entry 2, changed, put "
        "in or moved"
    )
    assert second == (
        "entry 7 does not follow from what is before: the entry, or entry 6, changed, put in or "
        "moved"
    )
    book.run("DELETE FROM log WHERE number = 5")
    assert book.findings()[0].text == "entry 5 is missing"


def test_a_log_that_was_cut_after_a_night_is_found(book: Book) -> None:
    book.add(5)
    book.night()
    book.run("DELETE FROM log WHERE number > 3")
    [found] = book.findings()
    assert (found.fault, found.first, found.last) == (Fault.MISSING, 4, 5)
    book.now += DAY
    book.add(4)  # what comes after hides nothing
    [found] = book.findings()
    assert (found.fault, found.first, found.last) == (Fault.OTHERWISE, 1, 5)


def test_what_was_added_and_cut_since_the_last_night_cannot_be_told(book: Book) -> None:
    book.add(5)
    book.night()
    book.add(5)
    book.run("DELETE FROM log WHERE number > 5")
    assert book.findings() == []


def test_a_log_that_is_emptied_and_begun_anew_is_found_by_the_next_night(book: Book) -> None:
    for _ in range(3):
        book.add(5)
        book.night()
        book.now += DAY
    for file in book.home.iterdir():
        file.unlink()
    create_databases(book.home)
    book.add(20)
    assert book.findings() == []  # nothing here says that there was another log
    [found] = book.night().findings
    assert (found.fault, found.first, found.last) == (Fault.WENT_BACK, 1, 3)


def test_a_log_that_was_taken_out_whole_is_found_and_not_mended_by_looking(book: Book) -> None:
    book.add(3)
    book.night()
    book.run("DROP TABLE log", "DROP TABLE log_heads")
    for _ in range(2):
        [found] = book.findings()
        assert found.text.startswith("rights.db has no log and no log_heads: ")
