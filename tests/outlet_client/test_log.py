"""The log: whatever is changed in it is found, and what is lost on the way to the office is not."""

from __future__ import annotations

import datetime as dt
import json
import multiprocessing
import re
import shutil
import sqlite3
import tempfile
import threading
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from outlet_client.database import create_databases
from outlet_client.errors import ServiceRefused, ServiceUnreachable
from outlet_client.log_tables.hash_chain import HASH_BYTES, Link, beginning, next_link
from outlet_client.log_tables.rights_store import RIGHTS_FILE, rights_as_they_are, rights_of
from outlet_client.main import app
from outlet_client.records.access_log import (
    KEEP_DAYS,
    LogAct,
    LogBroken,
    counts_of_day,
    entries,
    log_head,
    note_lookup_in,
    purge_log,
    recent_entries,
    record_act,
    record_act_in,
)
from outlet_client.records.actor import Actor, LookupPurpose
from outlet_client.records.countersigning import LogStanding, countersign
from outlet_client.records.log_audit import CONTRADICTS, Fault, Finding, LogContradicted, audit_log
from outlet_client.records.signed_heads import read_heads
from privacy.envelopes import SigningKey
from privacy.identity import Card, PartyKind
from privacy.keyring import Keyring
from privacy.log_heads import HeadRefused, HeadStatement, SignedHead, sign_head
from server.office.notary import Notary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.usefixtures("databases")

OFFICE = SigningKey.generate()
NOON = dt.datetime(2026, 3, 2, 12, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
ASKED = Actor("mei", LookupPurpose.SALE)
CELLS = ("at", "act", "by", "purpose", "key", "about", "outcome")


class Lost(ServiceUnreachable):
    """The answer did not arrive."""

    def __init__(self) -> None:
        super().__init__("the privacy office", "UNAVAILABLE")


@dataclass
class Book:
    """An outlet's log, an office, and a clock."""

    home: Path
    notary: Notary = field(default_factory=lambda: Notary("sqlite://", OFFICE))
    now: dt.datetime = NOON

    def add(self, count: int = 1, by: str = "mei") -> None:
        with rights_of(self.home) as connection:
            for number in range(count):
                record_act(
                    connection, self.now, LogAct.LOOK_UP, by,
                    purpose=LookupPurpose.SALE, key=f"k{number % 3}", outcome="known",
                )  # fmt: skip

    def ask(self, digest: bytes, held: SignedHead | None) -> SignedHead:
        return self.notary.countersign("O1", digest, held, self.now.timestamp())

    def night(
        self, ask: Callable[[bytes, SignedHead | None], SignedHead] | None = None
    ) -> LogStanding:
        with rights_of(self.home):
            pass
        found = audit_log(self.home, OFFICE.public, "O1", self.now)
        return countersign(self.home, found, ask or self.ask, OFFICE.public, self.now)

    def findings(self) -> list[Finding]:
        return list(audit_log(self.home, OFFICE.public, "O1", self.now).findings)

    def faults(self) -> list[Fault]:
        return [one.fault for one in self.findings()]

    def run(self, *statements: str, **values: object) -> None:
        """Changes the file as somebody does who can write it."""
        with closing(sqlite3.connect(self.home / RIGHTS_FILE)) as store:
            for one in statements:
                store.execute(one, {name: v for name, v in values.items() if f":{name}" in one})
            store.commit()

    def forge(self) -> None:
        """Computes every hash anew, as who knows how would."""
        with closing(sqlite3.connect(self.home / RIGHTS_FILE)) as store:
            link = Link(*store.execute("SELECT number, hash FROM log_anchor").fetchone())
            for number, *cells in store.execute(
                'SELECT number, at, act, "by", purpose, "key", about, outcome FROM log ORDER BY 1'
            ).fetchall():
                link = next_link(link, cells)
                assert link.number == number
                store.execute("UPDATE log SET hash = ? WHERE number = ?", (link.hash, number))
            store.commit()

    @property
    def numbers(self) -> list[tuple[int, int | None]]:
        """Number and length of each statement that is kept."""
        with rights_of(self.home) as connection:
            return [(one.number, one.length) for one in read_heads(connection)]

    @property
    def length(self) -> int:
        with rights_of(self.home) as connection:
            return log_head(connection).number


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(tmp_path)


# --- the chain ------------------------------------------------------------------------------------


cells = st.lists(st.text(max_size=6), max_size=8)


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


def test_exports_of_a_person_are_shown_with_look_ups_and_other_acts_are_not(book: Book) -> None:
    for act in LogAct:
        record_act_in(book.home, NOON, act, "mei", key="k1", purpose=LookupPurpose.CUSTOMER)
    with rights_of(book.home) as connection:
        shown = [one.act for one in entries(connection, ["k1"], NOON)]
    assert shown == [LogAct.LOOK_UP, LogAct.EXPORT]


def test_a_persons_look_ups_of_a_day_are_counted_by_an_index(book: Book) -> None:
    book.add(3)
    book.now += DAY
    book.add(2)
    book.add(4, by="noor")
    record_act_in(book.home, book.now, LogAct.EXPORT, "mei")
    with rights_of(book.home) as connection:
        assert counts_of_day(connection, "mei", book.now) == 2
        assert counts_of_day(connection, "mei", NOON) == 5
        assert counts_of_day(connection, "noor", NOON) == 4
        assert counts_of_day(connection, "nobody", NOON) == 0
        plan = connection.exec_driver_sql(
            "EXPLAIN QUERY PLAN SELECT count(*) FROM log WHERE \"by\" = 'mei' AND at >= '2026' "
            "AND act = 'look-up'"
        ).all()
    assert "COVERING INDEX log_of_whom" in str(plan)


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


def never_asked(_digest: bytes, _held: SignedHead | None) -> SignedHead:
    raise AssertionError("the office was asked about a log that contradicts itself")


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


# --- statements -----------------------------------------------------------------------------------


def forged(book: Book, key: SigningKey = OFFICE, **changes: object) -> SignedHead:
    """The last statement with other fields."""
    with rights_of(book.home) as connection:
        last = read_heads(connection)[-1]
    statement = HeadStatement.decode(last.signed.payload)
    return sign_head(replace(statement, **changes), key)  # type: ignore[arg-type]  # by name


def test_a_statement_by_another_key_about_another_outlet_or_altered_is_refused(
    book: Book,
) -> None:
    book.add()
    book.night()
    assert book.findings() == []
    for made, why in (
        (forged(book, SigningKey.generate()), "not signed by the pinned privacy office"),
        (forged(book, outlet="O2"), "about outlet O2, expected O1"),
        (forged(book, number=2), "says that it is number 2"),
        (replace(forged(book), signature=b""), "not signed"),
        (replace(forged(book), payload="text"), "not signed"),  # type: ignore[arg-type]  # as SQLite takes it
    ):
        change = "UPDATE log_heads SET payload = :payload, signature = :signature"
        book.run(change, payload=made.payload, signature=made.signature)
        [found] = book.findings()
        assert found.fault is Fault.STATEMENT
        assert why in found.text


def test_a_gap_in_statements_is_found_and_says_which_are_missing(book: Book) -> None:
    for _ in range(6):
        book.add()
        book.night()
        book.now += DAY
    book.run("DELETE FROM log_heads WHERE number IN (1, 3, 4)")
    first, second = book.findings()
    assert (first.fault, first.first, first.last) == (Fault.WENT_BACK, 1, 1)
    assert (second.first, second.last) == (3, 4)
    assert second.text == (
        "statements 3 to 4 of the privacy office are missing here: this log was restored from a "
        "backup, or cut; what was logged between 2026-03-03 12:00 UTC and 2026-03-06 12:00 UTC may "
        "be gone"
    )
    book.run("DELETE FROM log_heads WHERE number = 6")  # the last: the next night tells
    assert len(book.findings()) == 2
    book.add()
    assert [(one.first, one.last) for one in book.night().findings] == [(1, 1), (3, 4)]
    assert book.numbers[-2:] == [(6, 6), (7, 7)]  # the office gave it again


def test_a_length_that_was_changed_is_found(book: Book) -> None:
    for _ in range(3):
        book.add()
        book.night()
        book.now += DAY
    book.run("UPDATE log_heads SET length = 0 WHERE number = 3")
    assert book.faults() == [Fault.STATEMENT, Fault.OTHERWISE]
    assert "kept as one about 0 entries" in book.findings()[0].text
    book.run("UPDATE log_heads SET length = 'x' WHERE number = 3")
    assert book.faults() == [Fault.WENT_BACK]


# --- retention ------------------------------------------------------------------------------------


def purge(book: Book) -> int:
    return purge_log(book.home, book.now - KEEP_DAYS * DAY)


def test_purging_keeps_the_chain_whole_and_the_year_before_provable(book: Book) -> None:
    for _ in range(16):
        book.add(2)
        book.night()
        purge(book)
        assert book.findings() == []
        book.now += 32 * DAY
    found = audit_log(book.home, OFFICE.public, "O1", book.now)
    assert (found.begins.number, found.head.number) == (8, 32)
    assert book.numbers[0] == (4, 8)  # older than a year, so that a missing one would show
    book.run("UPDATE log SET outcome = 'x' WHERE number = 9")
    assert book.faults() == [Fault.CHANGED]


def test_a_log_of_which_all_is_old_goes_whole_and_numbers_go_on(book: Book) -> None:
    book.add(3)
    book.night()
    book.now += 2 * KEEP_DAYS * DAY
    assert purge(book) == 3
    assert purge(book) == 0
    assert book.findings() == []
    book.add()
    assert book.length == 4
    assert book.night().entries == 4
    assert book.findings() == []


def test_entries_that_were_removed_too_soon_are_found(book: Book) -> None:
    for _ in range(4):
        book.add(3)
        book.night()
        book.now += DAY
    book.run(
        "UPDATE log_anchor SET number = 5, hash = (SELECT hash FROM log WHERE number = 5)",
        "DELETE FROM log WHERE number <= 5",
    )
    [found] = book.findings()
    assert (found.fault, found.first, found.last) == (Fault.EARLY, 4, 5)
    assert "younger than 365 days" in found.text
    book.night()  # nothing here contradicts what was countersigned
    book.run("DELETE FROM log_heads WHERE number = 1")  # to hide it
    assert book.faults() == [Fault.WENT_BACK]


def test_a_clock_that_was_wrong_neither_keeps_entries_for_ever_nor_removes_them_too_soon(
    book: Book,
) -> None:
    book.add()
    right, book.now = book.now, dt.datetime(2099, 1, 1, tzinfo=dt.UTC)
    book.add()
    book.now = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    book.add()
    book.now = right
    book.add()
    book.night()
    assert purge(book) == 0
    book.now += 200 * DAY
    book.add()
    book.night()
    book.now += (KEEP_DAYS - 100) * DAY
    assert purge(book) == 4  # the office saw them long ago, whatever they say
    assert book.findings() == []
    assert purge_log(book.home, book.now + 9 * DAY * KEEP_DAYS) == 1


def test_nothing_that_was_added_after_a_young_statement_goes(book: Book) -> None:
    """A clock that stood still in 1970 would give everything away."""
    book.add()
    book.night()
    book.now, right = dt.datetime(1970, 1, 1, tzinfo=dt.UTC), book.now
    book.add(3)
    book.now = right + DAY
    assert purge(book) == 0
    assert book.findings() == []


# --- what is lost on the way ----------------------------------------------------------------------


@dataclass(frozen=True)
class Night:
    """What happens in a night, and what was logged since the one before."""

    added: int
    fails: str
    days: int


nights = st.builds(
    Night,
    st.integers(0, 2),
    st.sampled_from(["never", "before the office stores", "after", "while it is kept"]),
    st.integers(0, 2),
)


@given(st.lists(nights, max_size=6))
def test_whatever_is_lost_between_the_office_and_here_is_no_finding_and_leaves_no_gap(
    planned: list[Night],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        create_databases(Path(folder))
        book = Book(Path(folder))
        for one in planned:
            book.add(one.added)
            failing_night(book, one.fails)
            assert book.findings() == []
            book.now += one.days * DAY
        book.now += DAY
        book.add()
        assert book.night().findings == ()
        assert [number for number, _ in book.numbers] == list(range(1, len(book.numbers) + 1))
        assert book.numbers[-1][1] == book.length
        assert [one.number for one in book.notary.last()] == [book.numbers[-1][0]]


def failing_night(book: Book, fails: str) -> None:
    if fails == "never":
        book.night()
        return

    def ask(digest: bytes, held: SignedHead | None) -> SignedHead:
        if fails == "before the office stores":
            raise Lost
        answer = book.ask(digest, held)
        if fails == "after":
            raise Lost
        book.run(
            "CREATE TRIGGER full BEFORE INSERT ON log_heads BEGIN SELECT RAISE(ABORT, ''); END"
        )
        return answer

    try:
        book.night(ask)
    except Exception:  # noqa: BLE001, S110  (as a kill would)
        pass
    finally:
        book.run("DROP TRIGGER IF EXISTS full")


def test_a_lost_answer_is_got_before_tonights_with_the_length_it_was_about(book: Book) -> None:
    book.add(3)
    failing_night(book, "after")
    book.now += DAY
    book.add(2)
    standing = book.night()
    assert (standing.entries, standing.at, standing.findings) == (5, book.now, ())
    assert book.numbers == [(1, 3), (2, 5)]


def test_a_night_that_is_done_again_on_the_same_day_asks_nobody(book: Book) -> None:
    book.add()
    first = book.night()
    assert book.night(never_asked) == first
    book.now += DAY
    assert book.night().at == book.now  # a new day: the office says so, though nothing was added
    assert book.numbers == [(1, 1), (2, 1)]


def test_the_office_is_never_shown_one_digest_for_two_nights(book: Book) -> None:
    shown = []

    def ask(digest: bytes, held: SignedHead | None) -> SignedHead:
        shown.append(digest)
        return book.ask(digest, held)

    for _ in range(5):  # nothing is logged, and the office does not learn that
        book.night(ask)
        book.now += DAY
    assert len(set(shown)) == len(shown) == 5


def test_an_answer_that_is_not_the_offices_is_not_kept(book: Book) -> None:
    book.add()
    other = Notary("sqlite://", SigningKey.generate())
    with pytest.raises(HeadRefused, match="not signed by the pinned"):
        book.night(lambda digest, held: other.countersign("O1", digest, held, 0))
    assert book.numbers == []


def test_an_office_that_only_has_old_answers_is_told_on(book: Book) -> None:
    book.add()
    book.night()
    book.now += DAY
    with rights_of(book.home) as connection:
        [old] = read_heads(connection)
    with pytest.raises(ServiceRefused, match="got number 1 again, expected a later one"):
        book.night(lambda _digest, _held: old.signed)


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


@pytest.fixture
def home(tmp_path: Path) -> Path:
    rings = {kind: Keyring(tmp_path / kind.value, kind) for kind in PartyKind}
    for kind, ring in rings.items():
        ring.create("O1" if kind is PartyKind.OUTLET else kind.value, "127.0.0.1:1", NOON)
    create_databases(rings[PartyKind.OUTLET].folder)
    for kind in (PartyKind.HQ, PartyKind.OFFICE):
        data = rings[kind].public_file.read_bytes()
        rings[PartyKind.OUTLET].trust(Card.decode(data, kind), data)
    folder = rings[PartyKind.OUTLET].folder
    (folder / "escapement.toml").write_text('ledger = "ledger.csv"\n')
    return folder


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
