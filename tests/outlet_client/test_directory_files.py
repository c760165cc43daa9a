"""Directories on disk: what is fetched, what is taken of it, and what is kept."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest

from outlet_client.bands.book_store import not_shown
from outlet_client.people.directory_files import (
    directory_of,
    fetch_directory,
    forget_directories,
    keep_directory,
    latest_directory,
)
from privacy.directory import SLOT_BYTES, Directory, DirectoryChanges, DirectoryRefused
from privacy.errors import PrivacyError
from privacy.publications import PublicationRefused
from privacy.published_books import PublishedBook
from tests.outlet_client.fake_network import Library
from tests.privacy.slots import directory_of as directory_with
from tests.privacy.slots import rows_of
from tests.shelves import Press, band_codes, make_book, shelve

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from outlet_client.people.directory_files import PublishedDirectory
    from outlet_client.services import Services

PRESS = Press()
OFFICE = PRESS.office.public
FIRST = directory_with(1, 1, 2, 3, 4)
SECOND = directory_with(2, 1, None, 3, 4, 5)
THIRD = directory_with(3, None, None, 3, 4, 5, 6)


class Hq:
    """HQ's library in this process, and which directory it was told that the asker has."""

    def __init__(self) -> None:
        self.library = Library()
        self.told: list[str] = []

    def directory(self, name: str, held: str) -> bytes:
        self.told.append(held)
        return self.library.instead.get(name) or self.library.directory(name, held)

    def publish(self, directory: Directory, number: int) -> PublishedDirectory:
        made = PRESS.directory(directory, number)
        self.library.directories[directory.digest] = made
        return made

    def fetched(
        self, home: Path, directory: Directory, *, earlier: bool = False
    ) -> PublishedDirectory:
        services = cast("Services", self)
        return fetch_directory(home, services, directory.digest, OFFICE, earlier=earlier)


@pytest.fixture
def hq() -> Hq:
    """HQ with three nights' directories."""
    made = Hq()
    for number, directory in enumerate((FIRST, SECOND, THIRD), 1):
        made.publish(directory, number)
    return made


def files(home: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in home.iterdir()}


def test_what_changed_and_the_whole_give_the_same(hq: Hq, tmp_path: Path) -> None:
    nightly, at_once = tmp_path / "nightly", tmp_path / "at once"
    for home, nights in ((nightly, (FIRST, SECOND, THIRD)), (at_once, (THIRD,))):
        home.mkdir()
        for directory in nights:
            found = hq.fetched(home, directory)
            assert (found.directory.digest, found.directory.batch) == (
                directory.digest, directory.batch
            )  # fmt: skip
            assert found.directory.rows.tobytes() == directory.rows.tobytes()
    assert hq.told == ["", FIRST.digest, SECOND.digest, ""]
    [last] = files(at_once).items()
    assert last in files(nightly).items()


def test_what_is_here_is_fetched_from_nobody(hq: Hq, tmp_path: Path) -> None:
    hq.fetched(tmp_path, FIRST)
    assert hq.fetched(tmp_path, FIRST).number == 1
    assert hq.told == [""]


def damages() -> dict[str, Callable[[bytes], bytes]]:
    return {
        "emptied": lambda _: b"",
        "cut off": lambda data: data[:-1],
        "a byte of a key": lambda data: data[:-20] + bytes([data[-20] ^ 1]) + data[-19:],
        "the office's statement": lambda data: data[:9] + bytes([data[9] ^ 1]) + data[10:],
        "overwritten": lambda data: bytes(len(data)),
    }


@pytest.mark.parametrize("how", damages())
def test_a_damaged_directory_falls_back_to_an_earlier_one_and_else_to_the_whole(
    hq: Hq, tmp_path: Path, how: str
) -> None:
    hq.fetched(tmp_path, FIRST)
    hq.fetched(tmp_path, SECOND)
    for damaged, held in (((SECOND,), FIRST.digest), ((FIRST, SECOND), "")):
        good, mended = files(tmp_path), f"directory-{SECOND.digest[:32]}.bin"
        for one in damaged:
            place = tmp_path / f"directory-{one.digest[:32]}.bin"
            place.write_bytes(damages()[how](place.read_bytes()))
            with pytest.raises(PrivacyError):
                directory_of(tmp_path, one.digest, OFFICE)
        assert hq.fetched(tmp_path, SECOND).number == 2
        assert hq.told[-1] == held
        assert files(tmp_path)[mended] == good[mended]


def test_a_kill_while_a_directory_is_written_leaves_the_one_before(
    hq: Hq, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hq.fetched(tmp_path, FIRST)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("pathlib.Path.replace", killed)
        with pytest.raises(KeyboardInterrupt):
            hq.fetched(tmp_path, SECOND)
    held = latest_directory(tmp_path, OFFICE)
    assert held is not None
    assert held.directory.digest == FIRST.digest
    assert hq.fetched(tmp_path, SECOND).number == 2


# --- what HQ may try ------------------------------------------------------------------------------


def tried() -> dict[str, tuple[Directory, type[PrivacyError], str]]:
    """Directories after the second that take away or exchange, and what is said of each."""
    rows = SECOND.rows
    rekeyed, rehomed, back = rows.copy(), rows.copy(), rows.copy()
    rekeyed[2] = rows_of(7)[0]
    rehomed[2, -1] ^= 1
    back[1] = rows_of(2)[0]
    random = np.random.default_rng(3).integers(0, 256, rows.shape).astype(np.uint8)
    went_back, other = "it went back; tell the privacy office", "another one; tell the privacy"
    return {
        "random": (Directory(3, random), DirectoryRefused, other),
        "shrunken": (Directory(3, rows[:-1]), DirectoryRefused, went_back),
        "of no slot": (Directory(3, rows[:0]), DirectoryRefused, went_back),
        "of an older batch": (Directory(1, rows), DirectoryRefused, went_back),
        "a key exchanged": (Directory(3, rekeyed), DirectoryRefused, other),
        "a home exchanged": (Directory(3, rehomed), DirectoryRefused, other),
        "a blank slot in use again": (Directory(3, back), DirectoryRefused, other),
        "in another order": (Directory(3, rows[::-1].copy()), DirectoryRefused, other),
    }


@pytest.mark.parametrize("which", tried())
def test_a_directory_that_does_more_than_blank_and_add_is_refused_whoever_signed_it(
    hq: Hq, tmp_path: Path, which: str
) -> None:
    """As if the office had made a mistake: it countersigned the directory."""
    hq.fetched(tmp_path, SECOND)
    before = files(tmp_path)
    directory, error, reason = tried()[which]
    told = PRESS.countersigned(directory, 3).encode()
    hq.library.instead[directory.digest] = told + directory.encode()
    with pytest.raises(error, match=reason):
        hq.fetched(tmp_path, directory)
    assert files(tmp_path) == before


@pytest.mark.parametrize("which", [*tried(), "honest"])
def test_a_directory_that_the_office_did_not_countersign_is_refused(
    hq: Hq, tmp_path: Path, which: str
) -> None:
    hq.fetched(tmp_path, SECOND)
    before = files(tmp_path)
    directory = THIRD if which == "honest" else tried()[which][0]
    own = replace(PRESS, office=PRESS.hq).countersigned(directory, 3)
    signed = PRESS.countersigned(directory, 3)
    altered = replace(signed, payload=signed.payload.replace(b'"number":3', b'"number":4'))
    for said, reason in (
        (own, "not countersigned by the pinned privacy office"),
        (altered, "not countersigned by the pinned privacy office"),
        (PRESS.countersigned(THIRD if which != "honest" else FIRST, 3), "countersigned [0-9a-f]+;"),
    ):
        hq.library.instead[directory.digest] = said.encode() + directory.encode()
        with pytest.raises(PublicationRefused, match=reason):
            hq.fetched(tmp_path, directory)
        assert files(tmp_path) == before


def test_a_key_for_two_slots_is_refused_whoever_signed_it(hq: Hq, tmp_path: Path) -> None:
    hq.fetched(tmp_path, SECOND)
    doubled = np.concatenate([SECOND.rows, SECOND.rows[2:3]])
    head = b'escapement/v1/directory\n{"batch": 3, "slots": 6}\n'
    changes = DirectoryChanges(SECOND.digest, 3, np.zeros(0, np.uint32), SECOND.rows[2:3])
    for body in (head + doubled.tobytes(), changes.encode()):
        hq.library.instead[THIRD.digest] = PRESS.countersigned(THIRD, 3).encode() + body
        with pytest.raises(DirectoryRefused, match="a key stands for two slots"):
            hq.fetched(tmp_path, THIRD)


@pytest.mark.parametrize("number", [1, 2])
def test_an_older_number_and_the_same_one_again_are_refused(
    hq: Hq, tmp_path: Path, number: int
) -> None:
    hq.fetched(tmp_path, SECOND)
    before = files(tmp_path)
    hq.publish(THIRD, number)
    with pytest.raises(PublicationRefused, match=f"number {number}, number 2 is here already"):
        hq.fetched(tmp_path, THIRD)
    assert files(tmp_path) == before


def test_another_directory_than_was_asked_for_is_refused(hq: Hq, tmp_path: Path) -> None:
    hq.library.instead[SECOND.digest] = hq.library.directory(THIRD.digest, "")
    with pytest.raises(PublicationRefused, match=f"expected {SECOND.digest[:16]}; tell HQ"):
        hq.fetched(tmp_path, SECOND)
    assert files(tmp_path) == {}


def test_changes_of_another_directory_or_that_say_less_than_they_do_are_refused(
    hq: Hq, tmp_path: Path
) -> None:
    hq.fetched(tmp_path, SECOND)
    changes = DirectoryChanges.between(SECOND, THIRD)
    told = PRESS.countersigned(THIRD, 3).encode()
    empty = np.zeros((0, SLOT_BYTES), np.uint8)
    for wrong, reason in (
        (DirectoryChanges.between(FIRST, THIRD), "changes of another one; fetch it whole"),
        (replace(changes, blanked=np.array([9], np.uint32)), "blanked that is not there"),
        (replace(changes, blanked=np.array([0, 1], np.uint32)), "change less than they say"),
    ):
        hq.library.instead[THIRD.digest] = told + wrong.encode()
        with pytest.raises(DirectoryRefused, match=reason):
            hq.fetched(tmp_path, THIRD)
    for less in (replace(changes, blanked=np.zeros(0, np.uint32)), replace(changes, added=empty)):
        hq.library.instead[THIRD.digest] = told + less.encode()
        with pytest.raises(PublicationRefused, match="the privacy office countersigned"):
            hq.fetched(tmp_path, THIRD)


def test_without_a_directory_here_changes_are_none(hq: Hq, tmp_path: Path) -> None:
    changes = DirectoryChanges.between(FIRST, SECOND).encode()
    hq.library.instead[SECOND.digest] = PRESS.countersigned(SECOND, 2).encode() + changes
    with pytest.raises(DirectoryRefused, match="malformed"):
        hq.fetched(tmp_path, SECOND)


# --- a book's directory ---------------------------------------------------------------------------


def test_a_books_directory_may_be_an_earlier_one_and_the_latest_stays_the_latest(
    hq: Hq, tmp_path: Path
) -> None:
    hq.fetched(tmp_path, THIRD)
    with pytest.raises(PublicationRefused, match="number 1, number 3 is here already"):
        hq.fetched(tmp_path, FIRST)
    assert hq.fetched(tmp_path, FIRST, earlier=True).number == 1
    held = latest_directory(tmp_path, OFFICE)
    assert held is not None
    assert held.number == 3
    assert hq.fetched(tmp_path, SECOND, earlier=True).number == 2


@pytest.mark.parametrize("number", [1, 2])
def test_a_books_directory_that_the_latest_does_not_go_on_from_is_refused(
    hq: Hq, tmp_path: Path, number: int
) -> None:
    hq.fetched(tmp_path, SECOND)
    before = files(tmp_path)
    other = directory_with(1, 1, 2, 9, 4)
    hq.publish(other, number)
    with pytest.raises(PrivacyError):
        hq.fetched(tmp_path, other, earlier=True)
    assert files(tmp_path) == before


def test_the_latest_and_the_books_are_kept_and_no_other(tmp_path: Path) -> None:
    numbered = {9: FIRST, 10: SECOND, 11: THIRD}
    for number in (10, 9, 11):
        keep_directory(tmp_path, PRESS.directory(numbered[number], number))
    (tmp_path / "directory-damaged.bin").write_bytes(b"\0" * 99)
    (tmp_path / "book.bin").write_bytes(b"")
    forget_directories(tmp_path, OFFICE, [FIRST.digest])
    assert directory_of(tmp_path, FIRST.digest, OFFICE).number == 9
    held = latest_directory(tmp_path, OFFICE)
    assert held is not None
    assert held.number == 11
    assert len(files(tmp_path)) == 3
    forget_directories(tmp_path, OFFICE, [THIRD.digest])
    assert set(files(tmp_path)) == {"book.bin", f"directory-{THIRD.digest[:32]}.bin"}
    assert (tmp_path / f"directory-{THIRD.digest[:32]}.bin").stat().st_mode & 0o077 == 0


# --- what HQ does not show ------------------------------------------------------------------------


def test_what_the_office_countersigned_and_hq_did_not_show_here_is_named(tmp_path: Path) -> None:
    publishers, now = PRESS.publishers, dt.datetime.now(dt.UTC)
    codes = band_codes([("new", "new")] * FIRST.slots)
    made = make_book(codes, FIRST, as_of="2026-01-01", made_at=now.timestamp())
    other = make_book(codes, FIRST, as_of="2026-01-01", made_at=now.timestamp(), version=2)
    said = [
        PRESS.countersigned(one, number).encode() for number, one in enumerate((FIRST, SECOND), 1)
    ]
    books = [PublishedBook.decode(PRESS.book(one)).countersigned.encode() for one in (made, other)]
    assert not_shown(tmp_path, publishers, b"", b"") == []  # nothing was published yet
    assert len(not_shown(tmp_path, publishers, said[0], books[0])) == 2
    assert shelve(tmp_path, made, FIRST, PRESS, now)
    assert not_shown(tmp_path, publishers, said[0], books[0]) == []
    [directory] = not_shown(tmp_path, publishers, said[1], books[0])
    assert directory.startswith("directory: the privacy office countersigned number 2 on ")
    [book] = not_shown(tmp_path, publishers, said[0], books[1])  # another outlet's, as it were
    assert book.startswith("book: the privacy office countersigned number 2 on ")
    stranger = Press().countersigned(SECOND, 2).encode()
    with pytest.raises(PublicationRefused, match="not countersigned by the pinned"):
        not_shown(tmp_path, publishers, stranger, b"")
