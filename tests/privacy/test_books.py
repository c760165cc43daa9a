"""An entry is read with its key only, and a book that is not HQ's newest is refused."""

from __future__ import annotations

import hmac
import json
import re
import secrets
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.books import (
    LARGEST_NUMBER,
    LARGEST_SLOTS,
    Book,
    BookKind,
    BookRefused,
    SignedBook,
    fine_key,
    mask_entries,
    open_book,
    read_entry,
    sign_book,
)
from privacy.envelopes import SigningKey, digest, frame
from privacy.errors import InvalidParameter

SLOTS = 8192
TOKENS = [secrets.token_bytes(32) for _ in range(SLOTS)]
BANDS = (np.arange(SLOTS) % 7).astype(np.uint8)[:, None]
DIRECTORY = digest(b"tonight")
MADE_AT = 1_800_000_000
HQ = SigningKey.generate()

# The number of equal bytes of 8,192 is binomial with mean 32 and sd 5.6 if masks are independent
# and uniform. Each bound below is 6 sd, a false alarm in about a hundred million runs.
EXPECTED, SIX_SD = SLOTS / 256, 6 * (SLOTS / 256) ** 0.5


def book_of(
    entries: np.ndarray = BANDS,
    keys: list[bytes | None] | None = None,
    kind: BookKind = BookKind.BAND,
    release: str = "points-7",
    version: int = 5,
    made_at: int = MADE_AT,
) -> Book:
    return Book.masked(
        entries,
        list(TOKENS[: len(entries)]) if keys is None else keys,
        kind=kind,
        release=release,
        version=version,
        as_of="2026-03-01",
        made_at=made_at,
        directory=DIRECTORY,
    )


BOOK = book_of()
SMALL = book_of(BANDS[:5])
SIGNED = sign_book(SMALL, HQ)


def body(book: Book) -> np.ndarray:
    return np.frombuffer(book.body, dtype=np.uint8)


@pytest.mark.parametrize("width", [1, 2])
def test_whoever_has_the_key_reads_the_entry(width: int) -> None:
    entries = np.random.default_rng(1).integers(0, 256, (50, width)).astype(np.uint8)
    book = book_of(entries)
    assert [read_entry(book, slot, TOKENS[slot]) for slot in range(50)] == [
        row.tobytes() for row in entries
    ]


def test_masking_twice_gives_the_entries_back() -> None:
    twice = mask_entries(
        body(BOOK)[:, None],
        TOKENS,
        kind=BookKind.BAND,
        release="points-7",
        version=5,
        made_at=MADE_AT,
    )
    assert twice == BANDS.tobytes()


def test_the_mask_is_hkdf_as_rfc_5869_spells_it_out() -> None:
    numbers = [(5).to_bytes(8, "big"), MADE_AT.to_bytes(8, "big"), (3).to_bytes(4, "big")]
    info = frame(b"escapement/v1/book", b"band", b"points-7", *numbers)
    extracted = hmac.digest(bytes(32), TOKENS[3], "sha256")
    expected = hmac.digest(extracted, info + b"\x01", "sha256")
    assert body(BOOK)[3] ^ BANDS[3, 0] == expected[0]


@pytest.mark.statistical
@pytest.mark.parametrize(
    "changes",
    [
        {"version": 6},
        {"release": "points-8"},
        {"kind": BookKind.FINE},
        {"made_at": MADE_AT + 1},
    ],
)
def test_an_entry_read_as_of_another_book_is_uniform(changes: dict[str, object]) -> None:
    other = replace(BOOK, **changes)  # type: ignore[arg-type]
    read = [read_entry(other, slot, token)[0] for slot, token in enumerate(TOKENS)]
    equal = int((np.array(read) == BANDS[:, 0]).sum())
    assert abs(equal - EXPECTED) < SIX_SD


@pytest.mark.statistical
def test_an_entry_read_with_another_key_or_in_another_slot_is_uniform() -> None:
    moved = replace(BOOK, body=BOOK.body[1:] + BOOK.body[:1])
    turned = np.roll(BANDS[:, 0], -1)
    with_another_key = [read_entry(BOOK, s, TOKENS[s - 1])[0] for s in range(SLOTS)]
    in_another_slot = [read_entry(moved, s, TOKENS[(s + 1) % SLOTS])[0] for s in range(SLOTS)]
    assert abs(int((np.array(with_another_key) == BANDS[:, 0]).sum()) - EXPECTED) < SIX_SD
    assert abs(int((np.array(in_another_slot) == turned).sum()) - EXPECTED) < SIX_SD


@pytest.mark.statistical
@pytest.mark.parametrize("changes", [{"version": 6}, {"made_at": MADE_AT + 1}])
def test_two_books_of_the_same_entries_differ_by_uniform_bytes(changes: dict[str, int]) -> None:
    other = book_of(version=changes.get("version", 5), made_at=changes.get("made_at", MADE_AT))
    counts = np.bincount(body(BOOK) ^ body(other), minlength=256)
    # chi-squared with 255 degrees of freedom: mean 255, sd 22.6; 6 sd
    assert ((counts - EXPECTED) ** 2 / EXPECTED).sum() < 255 + 6 * 22.6


@pytest.mark.statistical
def test_the_uniformity_check_notices_a_mask_that_is_used_twice() -> None:
    again = mask_entries(
        BANDS, TOKENS, kind=BookKind.BAND, release="points-7", version=5, made_at=MADE_AT
    )
    counts = np.bincount(body(BOOK) ^ np.frombuffer(again, dtype=np.uint8), minlength=256)
    assert ((counts - EXPECTED) ** 2 / EXPECTED).sum() > 1000


@pytest.mark.statistical
def test_a_withdrawn_slot_is_random_afresh_in_every_book() -> None:
    nobody: list[bytes | None] = [None] * SLOTS
    one, other = book_of(keys=nobody), book_of(keys=nobody)
    assert abs(int((body(one) == body(other)).sum()) - EXPECTED) < SIX_SD
    read = [read_entry(one, slot, token)[0] for slot, token in enumerate(TOKENS)]
    assert abs(int((np.array(read) == BANDS[:, 0]).sum()) - EXPECTED) < SIX_SD


@pytest.mark.statistical
def test_a_token_alone_does_not_read_a_fine_book() -> None:
    nonces = [secrets.token_bytes(32) for _ in TOKENS]
    keys = [fine_key(token, nonce) for token, nonce in zip(TOKENS, nonces, strict=True)]
    book = book_of(keys=list(keys), kind=BookKind.FINE)
    assert all(
        read_entry(book, slot, keys[slot])[0] == BANDS[slot, 0] for slot in range(0, SLOTS, 97)
    )
    by_token = [read_entry(book, slot, token)[0] for slot, token in enumerate(TOKENS)]
    assert abs(int((np.array(by_token) == BANDS[:, 0]).sum()) - EXPECTED) < SIX_SD


@pytest.mark.parametrize(
    "entries",
    [BANDS.astype(np.int64), BANDS[:, 0], np.zeros((SLOTS, 3), np.uint8), BANDS[1:]],
)
def test_entries_of_another_shape_are_refused(entries: np.ndarray) -> None:
    with pytest.raises(InvalidParameter, match="expected"):
        book_of(entries, list(TOKENS))


def test_a_short_key_and_a_slot_outside_are_refused_without_naming_them() -> None:
    with pytest.raises(InvalidParameter, match="got 31 bytes, expected 32"):
        book_of(BANDS[:1], [b"x" * 31])
    with pytest.raises(InvalidParameter, match="got 31 bytes, expected 32"):
        read_entry(SMALL, 0, b"x" * 31)
    for slot in (-1, 5):
        with pytest.raises(InvalidParameter, match=r"^slot: outside the book, expected 0 to 4$"):
            read_entry(SMALL, slot, TOKENS[0])


@given(
    st.binary(max_size=20),
    st.sampled_from(BookKind),
    st.integers(0, LARGEST_NUMBER),
    st.integers(0, LARGEST_NUMBER),
    st.dates(),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=128),
)
def test_a_book_survives_the_journey(
    content: bytes, kind: BookKind, version: int, made_at: int, day: object, name: str
) -> None:
    book = Book(kind, name, version, str(day), made_at, len(content), 1, name, content)
    assert Book.decode(book.encode()) == book


@given(st.binary(max_size=400))
def test_random_bytes_are_refused_and_nothing_else_happens(data: bytes) -> None:
    with pytest.raises(BookRefused):
        Book.decode(data)


@given(st.binary(max_size=400))
def test_a_random_header_is_refused_and_nothing_else_happens(header: bytes) -> None:
    with pytest.raises(BookRefused):
        Book.decode(frame(header))


HEADER = json.loads(SMALL.encode()[4 : -len(SMALL.body)])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


@given(st.sampled_from(sorted(HEADER)), JSON)
def test_a_header_field_of_another_value_is_refused_or_read_as_it_is(
    name: str, value: object
) -> None:
    changed = {**HEADER, name: value}
    data = frame(json.dumps(changed, sort_keys=True, separators=(",", ":")).encode()) + SMALL.body
    try:
        book = Book.decode(data)
    except BookRefused:
        return
    assert book.encode() == data


@pytest.mark.parametrize(
    "header",
    [
        b"[" * 1000,
        b"",
        b"{}",
        b"[]",
        json.dumps(HEADER, sort_keys=True).encode(),
        json.dumps({**HEADER, "more": 1}, sort_keys=True, separators=(",", ":")).encode(),
        json.dumps({**HEADER, "release": "\ud800"}, sort_keys=True, separators=(",", ":")).encode(),
        json.dumps({**HEADER, "release": "r" * 2000}, sort_keys=True).encode(),
        json.dumps({**HEADER, "as_of": "20260301"}, sort_keys=True, separators=(",", ":")).encode(),
        json.dumps({**HEADER, "version": True}, sort_keys=True, separators=(",", ":")).encode(),
        json.dumps({**HEADER, "slots": 2**27 + 1}, sort_keys=True, separators=(",", ":")).encode(),
    ],
)
def test_a_header_outside_the_form_is_refused(header: bytes) -> None:
    with pytest.raises(BookRefused, match=r"^book: "):
        Book.decode(frame(header) + SMALL.body)


def test_a_body_of_another_length_is_refused() -> None:
    for data in (SMALL.encode()[:-1], SMALL.encode() + b"\0"):
        with pytest.raises(BookRefused, match="bytes of entries, expected 5"):
            Book.decode(data)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("version", -1),
        ("version", LARGEST_NUMBER + 1),
        ("made_at", -1),
        ("slots", LARGEST_SLOTS + 1),
        ("width", 0),
        ("width", 3),
        ("release", ""),
        ("directory", "a\nb"),
        ("as_of", "2026-02-30"),
    ],
)
def test_a_header_field_outside_its_domain_is_refused(field: str, value: object) -> None:
    with pytest.raises(BookRefused, match=f"^book: .*{field}"):
        replace(SMALL, **{field: value})  # type: ignore[arg-type]


def test_the_newest_book_of_hq_opens() -> None:
    opened = open_book(
        SIGNED, HQ.public, newer_than=4, directory=DIRECTORY, not_before=MADE_AT, kind=BookKind.BAND
    )
    assert opened == SMALL
    assert open_book(SIGNED, HQ.public, newer_than=None, directory=None, not_before=0) == SMALL


@given(st.integers(0, 8 * (len(SIGNED.book) + len(SIGNED.signature)) - 1))
def test_a_flipped_bit_anywhere_is_refused(bit: int) -> None:
    data = bytearray(SIGNED.book + SIGNED.signature)
    data[bit // 8] ^= 1 << bit % 8
    size = len(SIGNED.book)
    with pytest.raises(BookRefused, match="not signed by the pinned HQ"):
        open_book(
            SignedBook(bytes(data[:size]), bytes(data[size:])),
            HQ.public,
            newer_than=None,
            directory=None,
            not_before=0,
        )


@given(st.binary(max_size=100))
def test_a_published_book_is_read_back_and_one_without_a_signature_refused(data: bytes) -> None:
    if len(data) < 64:
        with pytest.raises(BookRefused, match="expected 64"):
            SignedBook.decode(data)
    else:
        assert SignedBook.decode(data).encode() == data
    assert SignedBook.decode(SIGNED.encode()) == SIGNED


def test_another_signer_is_refused() -> None:
    forged = sign_book(SMALL, SigningKey.generate())
    with pytest.raises(BookRefused, match="keep the last book and tell HQ"):
        open_book(forged, HQ.public, newer_than=None, directory=None, not_before=0)


def test_a_signature_under_another_domain_is_refused() -> None:
    other = SignedBook(SIGNED.book, HQ.sign(b"escapement/v1/other", SIGNED.book))
    with pytest.raises(BookRefused, match="not signed"):
        open_book(other, HQ.public, newer_than=None, directory=None, not_before=0)


@pytest.mark.parametrize(
    ("newer_than", "directory", "not_before", "kind", "message"),
    [
        (5, None, 0, None, "got version 5, expected one above 5; keep the book you have"),
        (9, None, 0, None, "got version 5, expected one above 9"),
        (None, digest(b"other"), 0, None, "fetch directory and book again"),
        (None, None, MADE_AT + 60, None, "stale, made 60 s before"),
        (None, None, 0, BookKind.FINE, "got a band book, expected a fine book"),
    ],
)
def test_a_genuine_book_that_is_not_the_one_to_use_is_refused(
    newer_than: int | None,
    directory: str | None,
    not_before: int,
    kind: BookKind | None,
    message: str,
) -> None:
    with pytest.raises(BookRefused, match=re.escape(message)):
        open_book(
            SIGNED,
            HQ.public,
            newer_than=newer_than,
            directory=directory,
            not_before=not_before,
            kind=kind,
        )


def test_a_network_without_customers_has_an_empty_book() -> None:
    book = book_of(np.zeros((0, 1), np.uint8), [])
    assert Book.decode(book.encode()) == book
