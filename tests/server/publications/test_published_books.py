"""Which books the office countersigns: one a number, of a seal that is complete."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path  # noqa: TC003  (pytest reads annotations)

import pytest

from privacy.books import BookHeader, BookRefused
from privacy.directory import (
    Directory,
)
from privacy.envelopes import SigningKey, digest
from privacy.oblivious_transfer import TransferFailed
from privacy.publications import (
    Publication,
    PublicationKind,
    PublicationRefused,
    Publishers,
)
from privacy.published_books import BookSummary, PublishedBook, open_book
from privacy.seal_plans import SealKind
from server.office.publications import Publications
from server.office.seal_store import CompleteSeal
from tests.privacy.slots import slot_key
from tests.server.publications.shown_changes import HOUR
from tests.server.seal_benches import SealBench
from tests.server.slot_histories import NETWORK, SEAL, HonestHq, PublishingOffice, seal_named

pytestmark = pytest.mark.usefixtures("both_engines")


def test_a_book_is_countersigned_once_a_number_and_again_by_the_same_bytes(
    tmp_path: Path,
) -> None:
    office = PublishingOffice(f"sqlite:///{tmp_path / 'publications.db'}")
    hq = HonestHq()
    for number in (1, 2):
        hq.apply(come=(number,))
        office.show(hq)
        directory, name = hq.directory.digest, office.summary().digest
        made = office.book(directory)
        said = office.said(made, PublicationKind.BOOK)
        at = int(office.clock.at)
        assert said == Publication(PublicationKind.BOOK, number, name, directory, at)
        office.reopen()
        office.clock.at += 100 * HOUR
        assert office.book(directory) == made
        assert office.store.latest() == (hq.said, made)
        for other in ({"body": b"other entries"}, {"version": 2}):
            with pytest.raises(
                PublicationRefused, match=f"countersigned for directory number {number}"
            ):
                office.book(directory, **other)
        assert office.store.latest() == (hq.said, made)


def test_an_unchanged_directory_has_another_book_with_its_next_number(
    office: PublishingOffice, hq: HonestHq
) -> None:
    directory = hq.directory.digest
    office.book(directory)
    office.clock.at += 20 * HOUR
    with pytest.raises(PublicationRefused, match="directory number 2"):
        office.book(directory, b"another")
    office.show(hq)
    said = office.said(office.book(directory, b"another"), PublicationKind.BOOK)
    assert (said.number, said.digest) == (3, office.summary(b"another").digest)


def test_a_book_of_another_directory_than_the_last_is_refused(
    office: PublishingOffice, hq: HonestHq
) -> None:
    for directory in (*hq.past, "", "x"):
        if directory != hq.directory.digest:
            with pytest.raises(PublicationRefused, match="the last that was countersigned"):
                office.book(directory)
    with pytest.raises(PublicationRefused, match="expected none yet"):
        PublishingOffice().book(hq.directory.digest, directory=hq.directory.digest)


def test_a_book_of_a_number_stays_when_the_next_directory_comes(
    office: PublishingOffice, hq: HonestHq
) -> None:
    made = office.book(hq.directory.digest)
    hq.apply(come=(9,))
    office.show(hq)
    assert office.store.latest() == (hq.said, made)


def refuse_book(office: PublishingOffice, why: str, **changes: object) -> None:
    """Expects a refusal of a book of the last directory, which changes nothing."""
    before = office.store.latest()
    with pytest.raises(PublicationRefused, match=why):
        office.book(office.store.latest_directory(), **changes)  # type: ignore[arg-type]
    assert office.store.latest() == before


def test_a_header_of_another_directory_or_number_of_slots_is_refused(
    office: PublishingOffice, hq: HonestHq
) -> None:
    earlier = next(name for name in hq.past if name != hq.directory.digest)
    for changes in ({"directory": earlier}, {"slots": 4}, {"slots": 6}):
        refuse_book(office, "its header is of another directory, .* of 5 slots", **changes)
    assert office.book(hq.directory.digest).payload


@pytest.mark.parametrize("name", ["plan", "set", "as_of", "scores", "hq_key", "office_key"])
def test_a_book_says_of_its_seal_what_the_office_stored(
    office: PublishingOffice, hq: HonestHq, name: str
) -> None:
    other = {
        "as_of": "2027-01-16",
        "scores": 1,
        "hq_key": slot_key(9).public.hex(),
        "office_key": slot_key(9).public.hex(),
    }.get(name, digest(b"another"))
    seal = replace(SEAL, **{name: other})  # type: ignore[arg-type]
    refuse_book(office, "not one that this office completed", seal=seal)
    assert office.book(hq.directory.digest).payload


def test_the_slots_and_choices_of_a_book_are_its_seals(
    office: PublishingOffice, hq: HonestHq
) -> None:
    choices = (digest(b"of chunk 0"),)
    seal = seal_named("of slots", sealed=5, choices=choices)
    office.sealed[seal.plan] = CompleteSeal(seal, 2)
    for changes in ({"sealed": 4}, {"choices": (digest(b"others"),)}):
        other = replace(seal, **changes)
        refuse_book(office, "not one that this office completed", seal=other)
    assert office.book(hq.directory.digest, seal=seal).payload


def test_fine_bins_are_never_published(office: PublishingOffice, hq: HonestHq) -> None:
    seal = seal_named("fine", kind=SealKind.FINE)
    office.sealed[seal.plan] = CompleteSeal(seal, 2)
    refuse_book(office, "got a fine book, expected one of bands", seal=seal)
    assert office.book(hq.directory.digest).payload


def test_books_go_back_to_no_older_seal_also_after_a_restart(tmp_path: Path) -> None:
    office = PublishingOffice(f"sqlite:///{tmp_path / 'publications.db'}", hours=0)
    hq = HonestHq()
    for at, name in enumerate(["old", "middle", "new"]):
        seal = seal_named(name)
        office.sealed[seal.plan] = CompleteSeal(seal, 10 + at)
    for number, name in enumerate(["middle", "middle", "old", "new", "middle", "new"]):
        hq.apply(come=(number,))
        office.show(hq)
        office.reopen()
        if (number, name) in [(2, "old"), (4, "middle")]:
            refuse_book(office, "its seal is older than the last book's", seal=seal_named(name))
        else:
            assert office.book(hq.directory.digest, seal=seal_named(name)).payload


@pytest.mark.parametrize("header", [b"", b"{}", b"[]", b"\xff"])
def test_a_malformed_header_is_refused(
    office: PublishingOffice, hq: HonestHq, header: bytes
) -> None:
    summary = replace(office.summary(), header=header)
    with pytest.raises(BookRefused):
        office.store.countersign_book(hq.directory.digest, summary, at=0)


def test_without_seals_there_is_no_book(hq: HonestHq) -> None:
    """As in a store that is opened to copy it."""
    store = Publications("sqlite://", SigningKey.generate(), 0)
    changes = hq.changes(Directory.empty().digest)
    store.countersign_directory(
        NETWORK, changes, hq.evidence, None, open_batch=1000, sizes={}, at=0
    )
    header = BookHeader(seal_named("a plan"), 1, 1, hq.directory.slots, hq.directory.digest)
    summary = BookSummary(bytes(64), header.encode_header(), digest(b"entries"))
    with pytest.raises(PublicationRefused, match="not one that this office completed"):
        store.countersign_book(hq.directory.digest, summary, at=0)


@pytest.fixture
def sealing(office: PublishingOffice, hq: HonestHq) -> SealBench:
    """An office that seals what it countersigns."""
    bench = SealBench(customers=tuple(range(5)))
    office.store = Publications("sqlite://", office.key, 0, bench.bench.store.complete_seal)
    hq.said = None
    show_from_the_start(office, hq, bench)
    return bench


def show_from_the_start(office: PublishingOffice, hq: HonestHq, bench: SealBench) -> None:
    """Has the directory countersigned, and seals be of it."""
    base = office.store.last_directory().digest or Directory.empty().digest
    hq.said = office.countersign(hq.changes(base), hq.evidence, hq.said)
    bench.bench.listed = office.store.directory()
    bench.bench.directory = office.store.latest_directory()
    assert bench.bench.directory == bench.bench.listed.digest == hq.directory.digest


@pytest.mark.parametrize("end", ["closed", "expired"])
def test_a_book_of_a_complete_seal_is_countersigned_and_read_by_outlets(
    office: PublishingOffice, hq: HonestHq, sealing: SealBench, end: str
) -> None:
    seal = sealing.seal()
    seal.sign()
    seal.store()
    directory = hq.directory.digest
    for taken in (False, True):
        if taken:
            seal.take_all()
        summary = seal.book().summary if taken else office.summary(seal=seal.seal())
        with pytest.raises(PublicationRefused, match="not one that this office completed"):
            office.store.countersign_book(directory, summary, at=0)
    if end == "closed":
        seal.close()
    else:
        sealing.bench.clock.at += sealing.settings.release_minutes * 60
        sealing.night("later")
    signed = seal.book()
    made = office.store.countersign_book(directory, signed.summary, at=0)
    publishers = Publishers(sealing.hq_key.public, office.key.public)
    book = open_book(
        PublishedBook(signed, made), publishers, newer_than=None, directory=directory, not_before=0
    )
    clear = seal.clear()
    for slot in range(5):
        codes, evidence = seal.read(book, slot) or ((), -1)
        assert [*codes, evidence] == clear[slot].tolist()


def test_between_two_seals_a_later_directory_has_a_book_of_the_last_one(
    office: PublishingOffice, hq: HonestHq, sealing: SealBench
) -> None:
    seal = sealing.whole()
    office.store.countersign_book(hq.directory.digest, seal.book().summary, at=0)
    hq.apply(come=(7,), go=(0,))
    show_from_the_start(office, hq, sealing)
    signed = seal.book()
    made = office.store.countersign_book(hq.directory.digest, signed.summary, at=0)
    publishers = Publishers(sealing.hq_key.public, office.key.public)
    book = open_book(
        PublishedBook(signed, made), publishers, newer_than=1, directory=None, not_before=0
    )
    assert book.read(5, slot_key(7)) is None
    codes, evidence = seal.read(book, 1) or ((), -1)
    assert [*codes, evidence] == seal.clear()[1].tolist()


@pytest.mark.parametrize("how", ["given up", "failed", "calibration"])
def test_a_seal_that_came_to_no_end_or_is_not_of_bands_has_no_book(
    office: PublishingOffice, hq: HonestHq, sealing: SealBench, how: str
) -> None:
    seal = sealing.seal(kind=SealKind.FINE if how == "calibration" else SealKind.BAND)
    seal.sign()
    seal.store()
    if how == "failed":
        with pytest.raises(TransferFailed):
            sealing.office.seal_chunk(seal.signed.digest, 0, seal.cheating())
    elif how == "calibration":
        seal.take_all()
    seal.close()
    why = "got a fine book" if how == "calibration" else "not one that this office completed"
    with pytest.raises(PublicationRefused, match=why):
        office.store.countersign_book(hq.directory.digest, office.summary(seal=seal.seal()), at=0)
