"""What is made into a book, and the one form that a book has."""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy import books
from privacy.books import (
    LARGEST_NUMBER,
    LARGEST_SLOTS,
    Book,
    BookHeader,
    BookRefused,
    Seal,
    SealedEntries,
)
from privacy.envelopes import digest, frame
from privacy.errors import InvalidParameter
from privacy.publications import Publication, PublicationKind, countersign
from privacy.published_books import BookSummary, PublishedBook, SignedBook
from privacy.seal_plans import CHUNK_SLOTS, SealKind
from privacy.slot_keys import KEY_BYTES, SlotKey
from privacy.voprf import TokenRefused
from tests.privacy.made_books import (
    BANDS,
    DIRECTORY,
    FEW,
    FINE_FEW,
    HQ,
    HQ_KEY,
    KEYS,
    MADE_AT,
    MARKED,
    OFFICE,
    OFFICE_KEY,
    OTHER,
    PLAN,
    SET,
    SMALL,
    seal_of,
    take,
)
from tests.privacy.seals import keys_of, plan_of
from tests.privacy.slots import NOT_POINTS, slot_key

if TYPE_CHECKING:
    import numpy.typing as npt

    from privacy.sealed_tables import Codes


@pytest.mark.parametrize(
    ("codes", "marked", "keys"),
    [
        (BANDS[:4], MARKED[:5], KEYS[:5]),
        (BANDS[:5], MARKED[:4], KEYS[:5]),
        (BANDS[:5], MARKED[:5], KEYS[:4]),
        (BANDS[:5], MARKED[:6], KEYS[:6]),
        (BANDS[:5], MARKED[:4], KEYS[:4]),
        (BANDS[:5, :2], MARKED[:5], KEYS[:5]),
        (BANDS[:5, [0, 1, 2, 2]], MARKED[:5], KEYS[:5]),
        (BANDS[:5, 0], MARKED[:5], KEYS[:5]),
    ],
)
def test_codes_marks_and_keys_of_another_shape_are_refused(
    codes: Codes, marked: npt.NDArray[np.bool_], keys: list[SlotKey]
) -> None:
    with pytest.raises(InvalidParameter, match="book: expected 5 codes, marks and keys"):
        seal_of(5).masked(codes, marked, keys_of(*keys), HQ_KEY)


def test_a_fine_book_needs_the_homes_nonces_and_no_other_takes_any() -> None:
    for kind, nonces in [(SealKind.FINE, None), (SealKind.BAND, [b"n"] * 5)]:
        codes = BANDS[:5, :2] if kind is SealKind.FINE else BANDS[:5]
        with pytest.raises(InvalidParameter, match="in a fine book, and in no other"):
            seal_of(5, kind).masked(codes, MARKED[:5], keys_of(*KEYS[:5]), HQ_KEY, nonces)
    for count in (4, 6):
        with pytest.raises(InvalidParameter, match=f"nonces: got {count}, expected one a slot, 5"):
            seal_of(5, SealKind.FINE).masked(
                BANDS[:5, :2], MARKED[:5], keys_of(*KEYS[:5]), HQ_KEY, [b"n"] * count
            )


def test_a_book_is_masked_under_its_seals_own_key() -> None:
    with pytest.raises(InvalidParameter, match="one-time key: expected the seal's own"):
        seal_of(5).masked(BANDS[:5], MARKED[:5], keys_of(*KEYS[:5]), OTHER)


@pytest.mark.parametrize("bad", [bad for bad in NOT_POINTS if len(bad) == 32 and any(bad)],
                         ids=bytes.hex)  # fmt: skip
def test_a_key_that_is_no_point_is_refused_without_naming_it(bad: bytes) -> None:
    slots = np.frombuffer(KEYS[0].public + bad, np.uint8).reshape(2, KEY_BYTES)
    with pytest.raises(TokenRefused) as caught:
        seal_of(2).masked(BANDS[:2], MARKED[:2], slots, HQ_KEY)
    assert bad.hex() not in str(caught.value)


def test_a_seal_is_that_of_its_plan() -> None:
    plan = plan_of(9, hq_key=HQ_KEY.public.hex(), slot_key=OFFICE_KEY.public.hex())
    choices = [digest(b"0")]
    assert Seal.of(plan, PLAN, SET, choices) == seal_of(9)


def test_entries_read_back_and_of_another_length_are_refused() -> None:
    for entries in (FEW, FINE_FEW):
        assert SealedEntries.decode(entries.encode()) == entries
        for data in (entries.encode()[:-1], entries.encode() + b"\0", entries.encode()[:20], b""):
            with pytest.raises(BookRefused, match=r"^book: "):
                SealedEntries.decode(data)


def test_a_directory_that_lost_slots_is_refused() -> None:
    with pytest.raises(BookRefused, match="got 4 slots, 5 were sealed; tell HQ"):
        FEW.book(version=1, made_at=1, directory=DIRECTORY, blank=np.zeros(4, bool))


def test_a_slot_outside_is_refused() -> None:
    for slot in (-1, 7, 2**40):
        with pytest.raises(InvalidParameter, match=r"^slot: outside the book, expected 0 to 6$"):
            SMALL.read(slot, KEYS[0])


@given(
    st.integers(0, 20), st.integers(0, 5), st.sampled_from(SealKind), st.integers(1, 2),
    st.integers(0, LARGEST_NUMBER), st.integers(0, LARGEST_NUMBER), st.dates(),
)  # fmt: skip
def test_a_book_survives_the_journey(
    sealed: int, added: int, kind: SealKind, scores: int, version: int, made_at: int, day: object
) -> None:
    seal = seal_of(sealed, kind, scores=scores, as_of=str(day))
    content = secrets.token_bytes((sealed + added) * seal.width)
    book = Book(seal, version, made_at, sealed + added, DIRECTORY, content)
    assert Book.decode(book.encode()) == book
    header = BookHeader.decode_header(book.encode_header())
    assert (header.seal, header.version, header.made_at) == (seal, version, made_at)
    assert (header.slots, header.directory) == (sealed + added, DIRECTORY)


@given(st.binary(max_size=400))
def test_random_bytes_are_refused_and_nothing_else_happens(data: bytes) -> None:
    with pytest.raises(BookRefused):
        Book.decode(data)


@given(st.binary(max_size=400))
def test_a_random_header_is_refused_and_nothing_else_happens(header: bytes) -> None:
    with pytest.raises(BookRefused):
        Book.decode(frame(header))
    with pytest.raises(BookRefused):
        BookHeader.decode_header(header)


HEADER = json.loads(SMALL.encode_header())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


def with_header(**changes: object) -> bytes:
    changed = {**HEADER, **changes}
    return frame(json.dumps(changed, sort_keys=True, separators=(",", ":")).encode()) + SMALL.body


@given(st.sampled_from(sorted(HEADER)), JSON)
def test_a_header_field_of_another_value_is_refused_or_read_as_it_is(
    name: str, value: object
) -> None:
    data = with_header(**{name: value})
    try:
        book = Book.decode(data)
    except BookRefused:
        return
    assert book.encode() == data


@pytest.mark.parametrize(
    "data",
    [
        frame(b"[" * 100_000),
        frame(b""),
        frame(b"{}") + SMALL.body,
        frame(b"[]") + SMALL.body,
        frame(json.dumps(HEADER, sort_keys=True).encode()) + SMALL.body,
        frame(SMALL.encode_header() + b" ") + SMALL.body,
        with_header(more=1),
        with_header(as_of="\ud800"),
        with_header(as_of="20260301"),
        with_header(version=True),
        with_header(version=1.0),
        with_header(slots=2**27 + 1),
        with_header(kind="coarse"),
        with_header(choices=[1]),
        with_header(choices=HEADER["choices"] * 2),
        with_header(choices=[]),
        with_header(choices={}),
        with_header(hq_key="0" * 63),
        with_header(office_key=HEADER["office_key"].upper()),
        (2**18 + 1).to_bytes(4, "big") + b"{" * 2**19,
    ],
    ids=range(20),
)
def test_a_header_outside_the_form_is_refused(data: bytes) -> None:
    with pytest.raises(BookRefused, match=r"^book: "):
        Book.decode(data)


def test_a_header_beyond_its_bound_is_not_parsed() -> None:
    long = with_header(plan="0" * 2**18)
    for data in (long, SMALL.encode()[:100], b"\0\0\0\0" + SMALL.body, b"\0"):
        with pytest.raises(BookRefused, match="cut off, or not a book; fetch it again"):
            Book.decode(data)


def test_the_header_of_the_largest_book_is_within_the_bound() -> None:
    """It names a digest a chunk, and nobody could read a book that is refused unread."""
    largest = BookHeader(seal_of(LARGEST_SLOTS), LARGEST_NUMBER, LARGEST_NUMBER, LARGEST_SLOTS, SET)
    assert len(largest.encode_header()) <= books._LONGEST_HEADER <= 2**18


def test_a_body_of_another_length_is_refused() -> None:
    for data in (SMALL.encode()[:-1], SMALL.encode() + b"\0"):
        with pytest.raises(BookRefused, match="bytes of entries, expected 7"):
            Book.decode(data)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("version", -1),
        ("version", LARGEST_NUMBER + 1),
        ("made_at", -1),
        ("made_at", LARGEST_NUMBER + 1),
        ("slots", LARGEST_SLOTS + 1),
        ("slots", 4),
        ("directory", "a\nb"),
        ("directory", DIRECTORY.upper()),
    ],
)
def test_a_header_field_outside_its_domain_is_refused(field: str, value: object) -> None:
    with pytest.raises(BookRefused, match=f"^book: .*{field}"):
        replace(SMALL, **{field: value})  # type: ignore[arg-type]  # fields by name


KEY_HEX = slot_key(1).public.hex()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("scores", 0, "got scores 0, expected 1 to 2"),
        ("scores", 3, "got scores 3"),
        ("sealed", -1, "got sealed -1"),
        ("sealed", LARGEST_SLOTS + 1, "got sealed"),
        ("sealed", CHUNK_SLOTS + 1, "got choices of 1 chunks for 50001 slots"),
        ("sealed", 0, "got choices of 1 chunks for 0 slots"),
        ("choices", (), "got choices of 0 chunks for 5 slots"),
        ("choices", ("x" * 64,), "are not digests in hex"),
        ("plan", "", "are not digests in hex"),
        ("set", PLAN.upper(), "are not digests in hex"),
        ("as_of", "2026-02-30", "as_of is not a day"),
        ("as_of", "2026-W09-7", "as_of is not a day"),
        *(
            (name, value, "a one-time key is no point in hex")
            for name in ("hq_key", "office_key")
            for value in ("", "ab" * 31, KEY_HEX + " ", "ä" * 64, KEY_HEX.upper(), "00" * 32)
        ),
    ],
)
def test_a_field_of_the_seal_outside_its_domain_is_refused(
    field: str, value: Any, message: str
) -> None:
    with pytest.raises(BookRefused, match=f"^book: .*{re.escape(message)}"):
        replace(SMALL.seal, **{field: value})


@pytest.mark.parametrize("bad", [bad for bad in NOT_POINTS if len(bad) == 32], ids=bytes.hex)
@pytest.mark.parametrize("which", ["hq_key", "office_key"])
def test_a_book_whose_one_time_key_is_no_point_is_refused_before_anything_is_read(
    bad: bytes, which: str
) -> None:
    """Else an outlet would raise while it answers if it has a customer, and HQ would see that."""
    forged = with_header(**{which: bad.hex()})
    with pytest.raises(BookRefused, match="a one-time key is no point in hex; tell HQ"):
        Book.decode(forged)
    signed = SignedBook(forged, HQ.sign(b"escapement/v1/book", forged))
    summary = BookSummary(signed.signature, forged[4:-7], digest(SMALL.body))
    said = Publication(PublicationKind.BOOK, 4, summary.digest, DIRECTORY, MADE_AT + 5)
    with pytest.raises(BookRefused, match="a one-time key is no point"):
        take(PublishedBook(signed, countersign(said, OFFICE)))


def test_a_network_without_customers_has_an_empty_book() -> None:
    empty = SealedEntries(seal_of(0), b"")
    book = empty.book(version=1, made_at=1, directory=DIRECTORY, blank=np.zeros(0, bool))
    assert Book.decode(book.encode()) == book
