"""An entry is read with its slot's key only; a book that two parties did not sign is refused."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy import voprf
from privacy.books import LARGEST_NUMBER, LARGEST_SLOTS, Book, BookKind, BookRefused
from privacy.envelopes import SigningKey, digest, frame
from privacy.errors import InvalidParameter
from privacy.publications import (
    Publication,
    PublicationKind,
    PublicationRefused,
    Publishers,
    countersign,
)
from privacy.published_books import PublishedBook, SignedBook, open_book, sign_book
from privacy.slot_keys import KEY_BYTES, OneTimeKey, SlotKey
from privacy.voprf import TokenRefused
from tests.privacy.slots import NOT_POINTS, altered, slot_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from privacy.directory import Slots

SLOTS = 8192
KEYS = [SlotKey.of(secrets.token_bytes(32)) for _ in range(SLOTS)]
BANDS = (np.arange(SLOTS) % 7).astype(np.uint8)[:, None]
DIRECTORY = digest(b"tonight")
MADE_AT = 1_800_000_000
HQ, OFFICE = SigningKey.from_bytes(bytes(range(32))), SigningKey.from_bytes(bytes(range(1, 33)))
PUBLISHERS = Publishers(HQ.public, OFFICE.public)

# The number of equal bytes of 8,192 is binomial with mean 32 and sd 5.6 if masks are independent
# and uniform. Each bound below is 6 sd, a false alarm in about a hundred million runs.
EXPECTED, SIX_SD = SLOTS / 256, 6 * (SLOTS / 256) ** 0.5


def slots_of(keys: Sequence[SlotKey | None]) -> Slots:
    """uint8[n, KEY_BYTES]; blank where None."""
    rows = [bytes(KEY_BYTES) if key is None else key.public for key in keys]
    return np.frombuffer(b"".join(rows), np.uint8).reshape(-1, KEY_BYTES)


def book_of(
    entries: np.ndarray = BANDS,
    keys: Sequence[SlotKey | None] | None = None,
    kind: BookKind = BookKind.BAND,
    release: str = "points-7",
    version: int = 5,
    made_at: int = MADE_AT,
    nonces: Sequence[bytes] | None = None,
) -> Book:
    return Book.masked(
        entries,
        slots_of(KEYS[: len(entries)] if keys is None else keys),
        kind=kind,
        release=release,
        version=version,
        as_of="2026-03-01",
        made_at=made_at,
        directory=DIRECTORY,
        nonces=nonces,
    )


def published(
    signed: SignedBook, office: SigningKey = OFFICE, directory: str = DIRECTORY
) -> PublishedBook:
    said = Publication(PublicationKind.BOOK, 4, signed.digest, directory, MADE_AT + 5)
    return PublishedBook(signed, countersign(said, office))


def take(book: PublishedBook, publishers: Publishers = PUBLISHERS, not_before: int = 0) -> Book:
    """Opens a book that may be of any version and directory."""
    return open_book(book, publishers, newer_than=None, directory=None, not_before=not_before)


BOOK = book_of()
SMALL = book_of(BANDS[:5])
SIGNED = sign_book(SMALL, HQ)
PUBLISHED = published(SIGNED)


def body(book: Book) -> np.ndarray:
    return np.frombuffer(book.body, dtype=np.uint8)


def read_all(book: Book, keys: Sequence[SlotKey] = KEYS) -> np.ndarray:
    """What each slot reads as with the key at its place."""
    return np.array([book.read(slot, key)[0] for slot, key in enumerate(keys)])


def uniform(read: np.ndarray, entries: np.ndarray = BANDS[:, 0]) -> bool:
    return bool(abs(int((read == entries).sum()) - EXPECTED) < SIX_SD)


# Masks


@pytest.mark.parametrize("width", [1, 2])
def test_whoever_has_the_key_of_a_slot_reads_its_entry(width: int) -> None:
    entries = np.random.default_rng(1).integers(0, 256, (50, width)).astype(np.uint8)
    book = book_of(entries)
    assert [book.read(slot, KEYS[slot]) for slot in range(50)] == [row.tobytes() for row in entries]


def test_a_book_of_many_chunks_is_read_in_every_slot() -> None:
    assert (read_all(BOOK) == BANDS[:, 0]).all()


def test_the_mask_is_a_hash_of_the_shared_point_and_of_what_it_is_for() -> None:
    numbers = [(5).to_bytes(8, "big"), MADE_AT.to_bytes(8, "big"), (3).to_bytes(4, "big")]
    one_time = bytes.fromhex(BOOK.key)
    shared = voprf.multiply(KEYS[3]._secret, one_time)
    keys = (b"escapement/v1/slot-mask", shared, one_time, KEYS[3].public)
    context = (b"escapement/v1/book", b"band", b"points-7", *numbers, b"")
    expected = hashlib.sha256(frame(*keys, *context)).digest()
    assert body(BOOK)[3] ^ BANDS[3, 0] == expected[0]


def test_the_encoding_of_a_book_is_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voprf, "random_scalar", lambda: (9).to_bytes(32, "little"))
    entries = np.array([[1, 2], [3, 4]], np.uint8)
    keys = [slot_key(1), slot_key(2)]
    made = book_of(entries, keys, kind=BookKind.FINE, nonces=[bytes(32), bytes(range(32))])
    header = (
        b'{"as_of":"2026-03-01","directory":"%s","key":"%s","kind":"fine","made_at":1800000000,'
        b'"release":"points-7","slots":2,"version":5,"width":2}'
        % (DIRECTORY.encode(), voprf.multiply_base((9).to_bytes(32, "little")).hex().encode())
    )
    assert made.encode() == len(header).to_bytes(4, "big") + header + made.body
    assert made.body.hex() == "a71c43b6"
    signed = sign_book(made, HQ)
    assert signed.encode() == signed.signature + made.encode()
    assert signed.digest == digest(signed.encode())
    assert signed.digest == "1cb0c5469d4c55be07b39c502d2d4b36b902951c60d539a790099aac8a23ec1b"
    whole = published(signed)
    assert whole.encode() == whole.countersigned.encode() + signed.encode()


@pytest.mark.statistical
@pytest.mark.parametrize(
    "changes",
    [
        {"version": 6},
        {"release": "points-8"},
        {"kind": BookKind.FINE},
        {"made_at": MADE_AT + 1},
        {"key": OneTimeKey.generate().public.hex()},
    ],
)
def test_an_entry_read_as_of_another_book_is_uniform(changes: dict[str, object]) -> None:
    assert uniform(read_all(replace(BOOK, **changes)))  # type: ignore[arg-type]


@pytest.mark.statistical
def test_an_entry_read_with_another_key_is_uniform() -> None:
    assert uniform(read_all(BOOK, [*KEYS[1:], KEYS[0]]))


@pytest.mark.statistical
def test_an_entry_that_was_moved_to_another_slot_is_uniform() -> None:
    moved = replace(BOOK, body=BOOK.body[1:] + BOOK.body[:1])
    assert uniform(read_all(moved, [*KEYS[1:], KEYS[0]]), np.roll(BANDS[:, 0], -1))


@pytest.mark.statistical
def test_a_key_that_hq_lists_in_every_slot_has_another_mask_in_each() -> None:
    """Who knows one customer's key does not read others through it, nor one entry 8,192 times."""
    book = book_of(np.zeros_like(BANDS), [KEYS[0]] * SLOTS)
    counts = np.bincount(body(book), minlength=256)
    assert ((counts - EXPECTED) ** 2 / EXPECTED).sum() < 255 + 6 * 22.6
    assert not read_all(book, [KEYS[0]] * SLOTS).any()


@pytest.mark.statistical
@pytest.mark.parametrize("changes", [{}, {"version": 6}, {"made_at": MADE_AT + 1}])
def test_two_books_of_the_same_entries_differ_by_uniform_bytes(changes: dict[str, int]) -> None:
    """Also where every field is the same: the one-time key never is."""
    other = book_of(version=changes.get("version", 5), made_at=changes.get("made_at", MADE_AT))
    assert other.key != BOOK.key
    counts = np.bincount(body(BOOK) ^ body(other), minlength=256)
    # chi-squared with 255 degrees of freedom: mean 255, sd 22.6; 6 sd
    assert ((counts - EXPECTED) ** 2 / EXPECTED).sum() < 255 + 6 * 22.6


@pytest.mark.statistical
def test_the_uniformity_check_notices_a_one_time_key_that_is_used_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = OneTimeKey.generate()
    monkeypatch.setattr(OneTimeKey, "generate", lambda: kept)
    counts = np.bincount(body(book_of()) ^ body(book_of()), minlength=256)
    assert ((counts - EXPECTED) ** 2 / EXPECTED).sum() > 1000


@pytest.mark.statistical
def test_a_withdrawn_slot_is_random_afresh_in_every_book() -> None:
    nobody: list[SlotKey | None] = [None] * SLOTS
    one, other = book_of(keys=nobody), book_of(keys=nobody)
    assert uniform(body(one), body(other))
    assert uniform(read_all(one))


def test_withdrawn_slots_do_not_move_the_others() -> None:
    keys = [KEYS[slot] if slot % 3 else None for slot in range(50)]
    book = book_of(BANDS[:50], keys)
    for slot, key in enumerate(keys):
        assert key is None or book.read(slot, key)[0] == BANDS[slot, 0]


@pytest.mark.statistical
def test_the_key_of_a_slot_alone_does_not_read_a_fine_book() -> None:
    nonces = [secrets.token_bytes(32) for _ in KEYS]
    book = book_of(kind=BookKind.FINE, nonces=nonces)
    assert all(
        book.read(slot, KEYS[slot], nonces[slot])[0] == BANDS[slot, 0]
        for slot in range(0, SLOTS, 97)
    )
    assert uniform(read_all(book))
    with_anothers = [book.read(slot, KEYS[slot], nonces[slot - 1])[0] for slot in range(SLOTS)]
    assert uniform(np.array(with_anothers))
    nonce_alone = [book.read(slot, KEYS[slot - 1], nonces[slot])[0] for slot in range(SLOTS)]
    assert uniform(np.array(nonce_alone))


def test_the_secret_half_of_a_one_time_key_is_in_nothing_that_hq_keeps() -> None:
    one_time = OneTimeKey.generate()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(OneTimeKey, "generate", lambda: one_time)
        book = book_of(BANDS[:5])
    assert book.key == one_time.public.hex()
    held = book.encode() + sign_book(book, HQ).encode() + repr(book).encode()
    assert one_time._secret not in held
    assert one_time._secret.hex().encode() not in held


@pytest.mark.parametrize(
    "entries",
    [BANDS.astype(np.int64), BANDS[:, 0], np.zeros((SLOTS, 3), np.uint8), BANDS[1:]],
)
def test_entries_of_another_shape_are_refused(entries: np.ndarray) -> None:
    with pytest.raises(InvalidParameter, match="expected"):
        book_of(entries, KEYS)


@pytest.mark.parametrize(
    "keys",
    [
        np.zeros((5, KEY_BYTES - 1), np.uint8),
        np.zeros((4, KEY_BYTES), np.uint8),
        np.zeros((5, KEY_BYTES), np.int64),
        np.zeros(5 * KEY_BYTES, np.uint8),
    ],
)
def test_keys_of_another_shape_are_refused(keys: np.ndarray) -> None:
    with pytest.raises(InvalidParameter, match=r"^keys: expected one a slot, uint8\[5, 32\]$"):
        Book.masked(
            BANDS[:5], keys, kind=BookKind.BAND, release="r", version=1, as_of="2026-03-01",
            made_at=1, directory=DIRECTORY,
        )  # fmt: skip


@pytest.mark.parametrize("bad", [bad for bad in NOT_POINTS if any(bad)], ids=bytes.hex)
def test_a_key_that_is_no_point_is_refused_without_naming_it(bad: bytes) -> None:
    with pytest.raises(TokenRefused) as caught:
        book_of(BANDS[:2], [KEYS[0], replace(KEYS[1], public=bad)])
    assert bad.hex() not in str(caught.value)


def test_other_nonces_than_one_a_slot_are_refused() -> None:
    for count in (4, 6):
        with pytest.raises(InvalidParameter, match=f"nonces: got {count}, expected one a slot, 5"):
            book_of(BANDS[:5], kind=BookKind.FINE, nonces=[bytes(32)] * count)


def test_a_slot_outside_is_refused() -> None:
    for slot in (-1, 5, 2**40):
        with pytest.raises(InvalidParameter, match=r"^slot: outside the book, expected 0 to 4$"):
            SMALL.read(slot, KEYS[0])


@pytest.mark.parametrize("bad", [bad for bad in NOT_POINTS if len(bad) == 32], ids=bytes.hex)
def test_a_book_whose_one_time_key_is_no_point_is_refused_before_anything_is_read(
    bad: bytes,
) -> None:
    """Else an outlet would raise while it answers if it has a customer, and HQ would see that."""
    forged = SMALL.encode().replace(SMALL.key.encode(), bad.hex().encode())
    with pytest.raises(BookRefused, match="key is no point of 32 bytes in hex; tell HQ"):
        Book.decode(forged)
    signed = SignedBook(forged, HQ.sign(b"escapement/v1/book", forged))
    with pytest.raises(BookRefused, match="key is no point"):
        take(published(signed))


# The format


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
    book = Book(kind, name, version, str(day), made_at, len(content), 1, name, BOOK.key, content)
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
        json.dumps({**HEADER, "key": "0" * 63}, sort_keys=True, separators=(",", ":")).encode(),
        json.dumps(
            {**HEADER, "key": SMALL.key.upper()}, sort_keys=True, separators=(",", ":")
        ).encode(),
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
        ("as_of", "2026-W09-7"),
        ("key", ""),
        ("key", "ab" * 31),
        ("key", slot_key(1).public.hex() + " "),
        ("key", "ä" * 64),
        ("key", slot_key(1).public.hex().upper()),
    ],
)
def test_a_header_field_outside_its_domain_is_refused(field: str, value: object) -> None:
    with pytest.raises(BookRefused, match=f"^book: .*{field}"):
        replace(SMALL, **{field: value})  # type: ignore[arg-type]


def test_the_newest_book_of_hq_opens() -> None:
    opened = open_book(
        PUBLISHED,
        PUBLISHERS,
        newer_than=3,
        directory=DIRECTORY,
        not_before=MADE_AT,
        not_after=MADE_AT,
        kind=BookKind.BAND,
    )
    assert opened == SMALL
    assert take(PUBLISHED) == SMALL


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
    second = sign_book(book_of(BANDS[:5]), HQ)
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
        (None, digest(b"other"), 0, None, None, "fetch directory and book again"),
        (None, None, MADE_AT + 60, None, None, "stale, made 60 s before"),
        (None, None, 0, MADE_AT - 60, None, "made 60 s after the latest moment accepted"),
        (None, None, 0, None, BookKind.FINE, "got a band book, expected a fine book"),
    ],
)
def test_a_genuine_book_that_is_not_the_one_to_use_is_refused(
    newer_than: int | None,
    directory: str | None,
    not_before: int,
    not_after: int | None,
    kind: BookKind | None,
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


def test_a_network_without_customers_has_an_empty_book() -> None:
    book = book_of(np.zeros((0, 1), np.uint8), [])
    assert Book.decode(book.encode()) == book


@pytest.mark.parametrize(("kind", "nonces"), [(BookKind.FINE, None), (BookKind.BAND, [b"n"])])
def test_a_fine_book_needs_the_homes_nonces_and_no_other_takes_any(
    kind: BookKind, nonces: list[bytes] | None
) -> None:
    entries, keys = np.zeros((1, 1), np.uint8), np.zeros((1, KEY_BYTES), np.uint8)
    header = {"release": "r", "version": 1, "as_of": "2026-01-01", "made_at": 1, "directory": "d"}
    with pytest.raises(InvalidParameter, match="in a fine book, and in no other"):
        Book.masked(entries, keys, kind=kind, nonces=nonces, **header)  # type: ignore[arg-type]
