"""Countersigned statements about the log: what they show, how long they stay, what is lost."""

from __future__ import annotations

import datetime as dt
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlet_client.database import create_databases
from outlet_client.errors import ServiceRefused
from outlet_client.log_tables.rights_store import rights_of
from outlet_client.records.access_log import (
    KEEP_DAYS,
    purge_log,
)
from outlet_client.records.log_audit import Fault, audit_log
from outlet_client.records.signed_heads import read_heads
from privacy.envelopes import SigningKey
from privacy.log_heads import HeadRefused, HeadStatement, SignedHead, sign_head
from server.office.notary import Notary
from tests.outlet_client.logged_outlet import DAY, OFFICE, Book, Lost, book, never_asked

__all__ = ["book"]

pytestmark = pytest.mark.usefixtures("databases")


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


def test_a_statement_that_is_dated_before_earlier_ones_lets_nothing_go(book: Book) -> None:
    for _ in range(3):
        book.add(2)
        book.night()
        book.now += DAY
    right, book.now = book.now, book.now - 2 * KEEP_DAYS * DAY
    book.add(2)
    book.night()
    book.now = right
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
