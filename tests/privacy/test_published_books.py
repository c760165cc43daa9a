"""A book that two parties did not sign, or that is not the one to use, is refused."""

from __future__ import annotations

import re
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.books import BookRefused
from privacy.envelopes import SigningKey, digest, frame
from privacy.publications import (
    Publication,
    PublicationKind,
    PublicationRefused,
    Publishers,
    check_published,
    countersign,
)
from privacy.published_books import BookSummary, PublishedBook, SignedBook, open_book, sign_book
from privacy.seal_plans import SealKind
from tests.privacy.made_books import (
    DIRECTORY,
    FEW,
    HQ,
    MADE_AT,
    OFFICE,
    PUBLISHED,
    PUBLISHERS,
    SIGNED,
    SMALL,
    book_of,
    published,
    take,
)
from tests.privacy.slots import altered


def test_the_newest_book_of_hq_opens() -> None:
    opened = open_book(
        PUBLISHED,
        PUBLISHERS,
        newer_than=3,
        directory=DIRECTORY,
        not_before=MADE_AT,
        not_after=MADE_AT,
        kind=SealKind.BAND,
    )
    assert opened == SMALL
    assert take(PUBLISHED) == SMALL
    assert PublishedBook.decode(PUBLISHED.encode()) == PUBLISHED


def test_the_office_is_shown_all_of_a_book_but_its_entries() -> None:
    """And countersigns a digest of signature, header and digest of the entries."""
    summary = SIGNED.summary
    assert summary == BookSummary(SIGNED.signature, SMALL.encode_header(), digest(SMALL.body))
    assert summary.encode() == frame(
        SIGNED.signature, SMALL.encode_header(), digest(SMALL.body).encode()
    )
    assert SIGNED.digest == summary.digest == digest(summary.encode())
    header = summary.read()
    assert asdict(header) == {k: v for k, v in asdict(SMALL).items() if k != "body"}
    assert len(summary.encode()) < 1024
    check_published(PUBLISHED.countersigned, OFFICE.public, PublicationKind.BOOK, summary.encode())


@pytest.mark.parametrize(
    "summary",
    [
        replace(SIGNED.summary, signature=bytes(64)),
        replace(SIGNED.summary, header=SMALL.encode_header().replace(b"n\":5", b"n\":6")),
        replace(SIGNED.summary, body=digest(b"other entries")),
        BookSummary(SIGNED.signature + SMALL.encode_header()[:1], SMALL.encode_header()[1:],
                    digest(SMALL.body)),
    ],
    ids=["signature", "header", "body", "cut elsewhere"],
)  # fmt: skip
def test_the_digest_of_a_book_covers_each_part_of_it(summary: BookSummary) -> None:
    assert summary.digest != SIGNED.digest
    with pytest.raises(PublicationRefused, match="countersigned"):
        check_published(
            PUBLISHED.countersigned, OFFICE.public, PublicationKind.BOOK, summary.encode()
        )


def test_a_summary_whose_header_is_malformed_is_refused() -> None:
    for header in (b"", b"{}", SMALL.encode_header() + b" "):
        with pytest.raises(BookRefused, match=r"^book: "):
            replace(SIGNED.summary, header=header).read()


def test_other_entries_under_the_same_header_are_another_book() -> None:
    """HQ cannot show two outlets two books of one countersignature."""
    other = replace(SMALL, body=SMALL.body[::-1])
    for signed in (sign_book(other, HQ), SignedBook(other.encode(), SIGNED.signature)):
        with pytest.raises((BookRefused, PublicationRefused)):
            take(replace(PUBLISHED, signed=signed))


@given(st.integers(0, 8 * len(SIGNED.encode()) - 1))
def test_a_flipped_bit_anywhere_in_a_book_is_refused(bit: int) -> None:
    data = bytearray(SIGNED.encode())
    data[bit // 8] ^= 1 << bit % 8
    forged = SignedBook.decode(bytes(data))
    with pytest.raises(BookRefused, match="not signed by the pinned HQ"):
        take(replace(PUBLISHED, signed=forged))


@given(altered(PUBLISHED.encode()))
def test_an_altered_published_book_is_refused_and_nothing_else_happens(data: bytes) -> None:
    with pytest.raises((BookRefused, PublicationRefused)):
        take(PublishedBook.decode(data))


@given(st.binary(max_size=400))
def test_random_bytes_are_no_published_book_and_nothing_else_happens(data: bytes) -> None:
    for start in (b"", PUBLISHED.countersigned.encode()):
        with pytest.raises((BookRefused, PublicationRefused)):
            take(PublishedBook.decode(start + data))


@given(st.binary(max_size=100))
def test_a_signed_book_is_read_back_and_one_without_a_signature_refused(data: bytes) -> None:
    if len(data) < 64:
        with pytest.raises(BookRefused, match="expected 64"):
            SignedBook.decode(data)
    else:
        assert SignedBook.decode(data).encode() == data
    assert SignedBook.decode(SIGNED.encode()) == SIGNED


def test_a_published_book_is_read_back() -> None:
    assert PublishedBook.decode(PUBLISHED.encode()) == PUBLISHED
    assert PUBLISHED.encode() == PUBLISHED.countersigned.encode() + SIGNED.encode()


def test_another_signer_is_refused() -> None:
    forged = published(sign_book(SMALL, SigningKey.generate()))
    with pytest.raises(BookRefused, match="keep the last book and tell HQ"):
        take(forged)


def test_a_signature_under_another_domain_is_refused() -> None:
    other = SignedBook(SIGNED.book, HQ.sign(b"escapement/v1/other", SIGNED.book))
    with pytest.raises(BookRefused, match="not signed"):
        take(published(other))


def test_a_book_that_the_office_did_not_countersign_is_refused() -> None:
    for office in (SigningKey.generate(), HQ):
        with pytest.raises(PublicationRefused, match="not countersigned by the pinned"):
            take(published(SIGNED, office))


def test_a_book_in_place_of_the_one_that_was_countersigned_is_refused() -> None:
    """HQ signs two books of one night, for two outlets, and has the office's word for one."""
    second = sign_book(book_of(FEW, added=2), HQ)
    with pytest.raises(PublicationRefused, match="got digest"):
        take(PublishedBook(second, PUBLISHED.countersigned))


def test_what_was_countersigned_as_a_directory_is_no_book() -> None:
    said = Publication(PublicationKind.DIRECTORY, 4, SIGNED.digest, DIRECTORY, MADE_AT)
    with pytest.raises(PublicationRefused, match="what the office said of a directory"):
        take(PublishedBook(SIGNED, countersign(said, OFFICE)))


def test_a_book_that_names_another_directory_than_the_office_was_told_is_refused() -> None:
    with pytest.raises(BookRefused, match="of another directory than the privacy office was told"):
        take(published(SIGNED, directory=digest(b"yesterday")))


def test_publishers_that_change_places_are_not_the_pinned_ones() -> None:
    with pytest.raises(BookRefused, match="not signed by the pinned HQ"):
        take(PUBLISHED, Publishers(PUBLISHERS.office, PUBLISHERS.hq))


@pytest.mark.parametrize(
    ("newer_than", "directory", "not_before", "not_after", "kind", "message"),
    [
        (4, None, 0, None, None, "number 4, expected one above 4; keep the book you have"),
        (9, None, 0, None, None, "number 4, expected one above 9"),
        (None, "0" * 64, 0, None, None, "fetch directory and book again"),
        (None, "f" * 64, 0, None, None, "fetch directory and book again"),
        (None, None, MADE_AT + 60, None, None, "stale, made 60 s before"),
        (None, None, 0, MADE_AT - 60, None, "made 60 s after the latest moment accepted"),
        (None, None, 0, None, SealKind.FINE, "got a band book, expected a fine book"),
    ],
)
def test_a_genuine_book_that_is_not_the_one_to_use_is_refused(
    newer_than: int | None,
    directory: str | None,
    not_before: int,
    not_after: int | None,
    kind: SealKind | None,
    message: str,
) -> None:
    with pytest.raises(BookRefused, match=re.escape(message)):
        open_book(
            PUBLISHED,
            PUBLISHERS,
            newer_than=newer_than,
            directory=directory,
            not_before=not_before,
            not_after=not_after,
            kind=kind,
        )


def test_a_book_prints_none_of_its_entries() -> None:
    assert repr(SIGNED.book)[2:40] not in repr(SIGNED)
    assert repr(SMALL.body)[2:-1] not in repr(PUBLISHED)
