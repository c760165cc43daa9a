"""An entry is read with its slot's key only; a book that two parties did not sign is refused."""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.books import (
    LARGEST_NUMBER,
    LARGEST_SLOTS,
    Book,
    BookHeader,
    BookRefused,
    Entry,
    Seal,
    SealedEntries,
)
from privacy.envelopes import SigningKey, digest, frame
from privacy.errors import InvalidParameter
from privacy.pads import pads
from privacy.publications import (
    Publication,
    PublicationKind,
    PublicationRefused,
    Publishers,
    check_published,
    countersign,
)
from privacy.published_books import BookSummary, PublishedBook, SignedBook, open_book, sign_book
from privacy.seal_plans import CHUNK_SLOTS, SealContext, SealKind
from privacy.slot_keys import KEY_BYTES, OneTimeKey, SlotKey
from privacy.voprf import TokenRefused
from tests.privacy.seals import is_share, is_uniform, keys_of, plan_of
from tests.privacy.slots import NOT_POINTS, altered, slot_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from privacy.directory import Slots
    from privacy.sealed_tables import Codes

SLOTS = 2048
KEYS = [SlotKey.of(secrets.token_bytes(32)) for _ in range(SLOTS)]
DIRECTORY, PLAN, SET = digest(b"tonight"), digest(b"plan"), digest(b"set")
MADE_AT = 1_800_000_000
HQ_KEY = OneTimeKey.from_bytes((11).to_bytes(32, "little"))
OFFICE_KEY = OneTimeKey.from_bytes((12).to_bytes(32, "little"))
HQ, OFFICE = SigningKey.from_bytes(bytes(range(32))), SigningKey.from_bytes(bytes(range(1, 33)))
PUBLISHERS = Publishers(HQ.public, OFFICE.public)
BANDS = np.stack([np.arange(SLOTS) % 4, np.arange(SLOTS) // 4 % 4, np.arange(SLOTS) // 16 % 4],
                 axis=1).astype(np.uint8)  # fmt: skip
MARKED = np.arange(SLOTS) % 5 == 0


def seal_of(
    slots: int, kind: SealKind = SealKind.BAND, hq_key: OneTimeKey = HQ_KEY, **changes: object
) -> Seal:
    values = {
        "kind": kind,
        "scores": 2,
        "sealed": slots,
        "as_of": "2026-03-01",
        "plan": PLAN,
        "set": SET,
        "choices": tuple(digest(b"%d" % chunk) for chunk in range(-(-slots // CHUNK_SLOTS))),
        "hq_key": hq_key.public.hex(),
        "office_key": OFFICE_KEY.public.hex(),
        **changes,
    }
    return Seal(**values)  # type: ignore[arg-type]


def under_pads(seal: Seal, codes: Codes, keys: Slots, office_key: OneTimeKey = OFFICE_KEY) -> Codes:
    """Codes as HQ picks them, of a seal of one chunk."""
    width, bits = codes.shape[1], 2 if seal.kind is SealKind.BAND else 4
    over = pads(
        office_key, keys, 0, width, hq_key=bytes.fromhex(seal.hq_key), plan=seal.plan,
        context=SealContext(seal.plan, seal.set, 0).encode(), choices=seal.choices[0],
    )  # fmt: skip
    return codes ^ over & np.uint8((1 << bits) - 1)


def entries_of(
    codes: Codes = BANDS,
    keys: Sequence[SlotKey | None] = KEYS,
    kind: SealKind = SealKind.BAND,
    nonces: Sequence[bytes] | None = None,
    marked: npt.NDArray[np.bool_] = MARKED,
    hq_key: OneTimeKey = HQ_KEY,
) -> SealedEntries:
    seal, slots = seal_of(len(codes), kind, hq_key), keys_of(*keys)
    padded = under_pads(seal, codes, slots)
    return seal.masked(padded, marked[: len(codes)], slots, hq_key, nonces)


def book_of(
    entries: SealedEntries, version: int = 5, made_at: int = MADE_AT, added: int = 0,
    blank: Sequence[int] = (),
) -> Book:  # fmt: skip
    gone = np.zeros(entries.seal.sealed + added, bool)
    gone[list(blank)] = True
    return entries.book(version=version, made_at=made_at, directory=DIRECTORY, blank=gone)


def published(
    signed: SignedBook, office: SigningKey = OFFICE, directory: str = DIRECTORY
) -> PublishedBook:
    said = Publication(PublicationKind.BOOK, 4, signed.digest, directory, MADE_AT + 5)
    return PublishedBook(signed, countersign(said, office))


def take(book: PublishedBook, publishers: Publishers = PUBLISHERS, not_before: int = 0) -> Book:
    """Opens a book that may be of any version and directory."""
    return open_book(book, publishers, newer_than=None, directory=None, not_before=not_before)


ENTRIES = entries_of()
BOOK = book_of(ENTRIES)
FEW = entries_of(BANDS[:5], KEYS[:5])
SMALL = book_of(FEW, added=2)
FINE_FEW = entries_of(BANDS[:5, :2] + np.uint8(3), KEYS[:5], SealKind.FINE, [b"home"] * 5)
SIGNED = sign_book(SMALL, HQ)
PUBLISHED = published(SIGNED)


def body(book: Book) -> npt.NDArray[np.uint8]:
    return np.frombuffer(book.body, dtype=np.uint8)


def read_all(
    book: Book, keys: Sequence[SlotKey] = KEYS, nonces: Sequence[bytes] | None = None
) -> Codes:
    """What each slot reads as with the key at its place, the codes in a row."""
    found = []
    for slot, key in enumerate(keys):
        entry = book.read(slot, key, b"" if nonces is None else nonces[slot])
        assert entry is not None
        found.append([*entry.codes, entry.evidence, entry.many_outlets])
    return np.array(found, np.uint8)


WHOLE = np.hstack([BANDS, MARKED[:, None]]).astype(np.uint8)


def unrelated(read: Codes, whole: Codes = WHOLE) -> bool:
    """Whether codes are even over all 64 triples, marks over 2, and none is nearer to the truth."""
    triples = (read[:, 0].astype(int) * 4 + read[:, 1]) * 4 + read[:, 2]
    near = all(is_share(int((one == true).sum()), len(one), 1 / 4, tests=4)
               for one, true in zip(read.T[:3], whole.T, strict=False))  # fmt: skip
    return is_uniform(triples, 64) and is_uniform(read[:, 3], 2) and near


# Layers


def test_whoever_has_the_key_of_a_slot_reads_its_entry() -> None:
    assert (read_all(BOOK) == WHOLE).all()
    assert BOOK.read(7, KEYS[7]) == Entry((3, 1), 0, many_outlets=False)
    assert (BOOK.kind, BOOK.as_of, BOOK.seal.width) == (SealKind.BAND, "2026-03-01", 1)


@pytest.mark.parametrize("scores", [1, 2])
def test_a_fine_book_has_a_bin_a_score_and_the_mark(scores: int) -> None:
    bins = (np.arange(40).reshape(20, 2) % 8).astype(np.uint8)[:, :scores]
    nonces = [b"home %d" % slot for slot in range(20)]
    seal = seal_of(20, SealKind.FINE, scores=scores)
    slots = keys_of(*KEYS[:20])
    entries = seal.masked(under_pads(seal, bins, slots), MARKED[:20], slots, HQ_KEY, nonces)
    book = book_of(entries)
    assert (seal.width, len(book.body)) == (scores, 20 * scores)
    for slot in range(20):
        expected = Entry(tuple(bins[slot].tolist()), 0, bool(MARKED[slot]))
        assert book.read(slot, KEYS[slot], nonces[slot]) == expected


@pytest.mark.parametrize("scores", [1, 2])
def test_a_band_book_of_one_score_or_two_has_one_byte_an_entry(scores: int) -> None:
    codes = BANDS[:20, [*range(scores), 2]]
    seal, slots = seal_of(20, scores=scores), keys_of(*KEYS[:20])
    entries = seal.masked(under_pads(seal, codes, slots), MARKED[:20], slots, HQ_KEY)
    assert len(entries.body) == 20
    for slot in range(20):
        expected = Entry(tuple(codes[slot, :scores].tolist()), int(codes[slot, scores]),
                         bool(MARKED[slot]))  # fmt: skip
        assert book_of(entries).read(slot, KEYS[slot]) == expected


def test_the_encoding_of_a_book_is_frozen() -> None:
    keys = [slot_key(1), slot_key(2)]
    codes = np.array([[1, 2, 3], [3, 0, 1]], np.uint8)
    made = book_of(entries_of(codes, keys, marked=np.array([False, True])))
    choices, key = digest(b"0").encode(), HQ_KEY.public.hex().encode()
    header = (
        b'{"as_of":"2026-03-01","choices":["%s"],"directory":"%s","hq_key":"%s","kind":"band",'
        b'"made_at":1800000000,"office_key":"%s","plan":"%s","scores":2,"sealed":2,"set":"%s",'
        b'"slots":2,"version":5}'
        % (choices, DIRECTORY.encode(), key, OFFICE_KEY.public.hex().encode(), PLAN.encode(),
           SET.encode())
    )  # fmt: skip
    assert made.encode_header() == header
    assert made.encode() == len(header).to_bytes(4, "big") + header + made.body
    assert made.body.hex() == FROZEN_BODY
    nonces = [bytes(32), bytes(range(32))]
    fine = entries_of(codes[:, :2] + np.uint8(4), keys, SealKind.FINE, nonces)
    assert fine.body.hex() == FROZEN_FINE_BODY
    signed = sign_book(made, HQ)
    assert signed.encode() == signed.signature + made.encode()
    assert signed.digest == FROZEN_DIGEST
    whole = published(signed)
    assert whole.encode() == whole.countersigned.encode() + signed.encode()


FROZEN_BODY, FROZEN_FINE_BODY = "a03c", "dcaa302f"
FROZEN_DIGEST = "253896124b490536b59bb13e78ed48d6ed266a7d46f4e6107d8d2603732649b2"


OTHER = OneTimeKey.generate()


@pytest.mark.statistical
@pytest.mark.parametrize(
    "changes",
    [
        {"plan": digest(b"other plan")},
        {"set": digest(b"other set")},
        {"choices": (digest(b"other choices"),)},
        {"hq_key": OTHER.public.hex()},
        {"office_key": OTHER.public.hex()},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_an_entry_read_as_of_another_seal_is_uniform(changes: dict[str, object]) -> None:
    """The layer that is bound to what changed: marks are under HQ's alone."""
    seal = replace(BOOK.seal, **changes)  # type: ignore[arg-type]
    read = read_all(replace(BOOK, seal=seal))
    if changes.keys() & {"set", "choices"}:
        assert (read[:, 3] == MARKED).all()
        read[:, 3] = np.arange(SLOTS) % 2
    assert unrelated(read)


@pytest.mark.statistical
def test_an_entry_read_with_another_key_is_uniform() -> None:
    """2,048 entries in 64 cells, and each code agrees with its own in 1 of 4."""
    assert unrelated(read_all(BOOK, [*KEYS[1:], KEYS[0]]))


@pytest.mark.statistical
def test_an_entry_that_was_moved_to_another_slot_is_uniform() -> None:
    moved = replace(BOOK, body=BOOK.body[1:] + BOOK.body[:1])
    assert unrelated(read_all(moved, [*KEYS[1:], KEYS[0]]), np.roll(WHOLE, -1, axis=0))


@pytest.mark.statistical
def test_one_layer_is_not_enough() -> None:
    """HQ, which knows its mask, has codes under pads; the office, which knows pads, the masks."""
    seal, slots = BOOK.seal, keys_of(*KEYS)
    nothing = np.zeros(BANDS.shape, np.uint8)
    mask = np.frombuffer(seal.masked(nothing, np.zeros(SLOTS, bool), slots, HQ_KEY).body, np.uint8)
    pad = seal._packed(under_pads(seal, nothing, slots))[:, 0]
    clear = seal._packed(BANDS)[:, 0] | np.where(MARKED, np.uint8(0x40), np.uint8(0))
    assert (body(BOOK) ^ mask ^ pad == clear).all()
    assert is_uniform((body(BOOK) ^ mask) & 0x3F, 64)
    assert is_uniform(body(BOOK) ^ pad, 256)
    assert is_uniform(body(BOOK), 256)
    assert not is_uniform(clear & 0x4F, 0x50)


@pytest.mark.statistical
def test_a_key_that_hq_lists_in_every_slot_has_another_mask_in_each() -> None:
    """Who knows one customer's key does not read others through it, nor one entry 2,048 times."""
    entries = entries_of(np.zeros_like(BANDS), [KEYS[0]] * SLOTS, marked=np.zeros(SLOTS, bool))
    assert is_uniform(np.frombuffer(entries.body, np.uint8), 256)
    assert not read_all(book_of(entries), [KEYS[0]] * SLOTS).any()


@pytest.mark.statistical
def test_two_books_of_the_same_entries_differ_by_uniform_bytes() -> None:
    """Of two seals: each has a one-time key of its own. Under one key it is seen that they do."""
    other = entries_of(hq_key=OneTimeKey.generate())
    assert is_uniform(body(BOOK) ^ np.frombuffer(other.body, np.uint8), 256)
    again = entries_of((3 - BANDS).astype(np.uint8))
    assert not is_uniform((body(BOOK) ^ np.frombuffer(again.body, np.uint8)) & 0x3F, 64)


def test_between_seals_every_book_has_the_same_entries() -> None:
    """Byte for byte, so that XOR of two nights tells who was withdrawn and nothing else."""
    later = book_of(FEW, version=6, made_at=MADE_AT + 86_400, added=3, blank=[1])
    assert [later.body[slot] == SMALL.body[slot] for slot in (0, 2, 3, 4)] == [True] * 4
    assert later.seal == SMALL.seal
    for slot in (0, 2, 3, 4):
        assert later.read(slot, KEYS[slot]) == SMALL.read(slot, KEYS[slot])


@pytest.mark.statistical
def test_withdrawn_and_added_slots_are_random_afresh_in_every_book() -> None:
    """1,536 and 2,048 of them; also what a withdrawn customer's own key reads there."""
    gone = slice(0, 1536)
    first, second = (book_of(ENTRIES, added=SLOTS, blank=range(gone.stop)) for _ in range(2))
    one, two, before = body(first), body(second), body(BOOK)
    for part in (
        one[SLOTS:],
        one[SLOTS:] ^ two[SLOTS:],
        one[gone] ^ before[gone],
        one[gone] ^ two[gone],
    ):
        assert is_uniform(part, 256)
    assert (one[gone.stop : SLOTS] == before[gone.stop :]).all()
    assert unrelated(read_all(first, KEYS[gone]), WHOLE[gone])


def test_a_slot_that_was_added_after_the_seal_has_no_entry() -> None:
    assert SMALL.read(5, KEYS[5]) is None
    assert SMALL.read(6, KEYS[6]) is None
    assert SMALL.slots == 7


def test_blank_slots_at_the_seal_do_not_move_the_others() -> None:
    keys = [KEYS[slot] if slot % 3 else None for slot in range(50)]
    book = book_of(entries_of(BANDS[:50], keys), blank=range(0, 50, 3))
    for slot, key in enumerate(keys):
        if key is not None:
            assert book.read(slot, key) == BOOK.read(slot, key)


@pytest.mark.statistical
def test_the_key_of_a_slot_alone_does_not_read_a_fine_book() -> None:
    """Nor with another home's nonce; 1,024 slots, of whose 16 codes half read as the last bin."""
    slots, bins = 1024, (np.arange(2048).reshape(1024, 2) % 8).astype(np.uint8)
    nonces = [secrets.token_bytes(32) for _ in range(slots)]
    book = book_of(entries_of(bins, KEYS[:slots], SealKind.FINE, nonces))
    assert (read_all(book, KEYS[:slots], nonces)[:, :2] == bins).all()
    shares = [1 / 16] * 7 + [9 / 16]
    wrong = [
        read_all(book, KEYS[:slots]),
        read_all(book, KEYS[:slots], nonces[1:] + nonces[:1]),
        read_all(book, KEYS[1 : slots + 1], nonces),
    ]
    for read in wrong:
        assert is_uniform(read[:, :2], 8, shares)
        assert is_uniform(read[bins[:, 0] == 2, 0], 8, shares)


@given(st.binary(min_size=7, max_size=7), st.integers(0, 4), st.integers(0, 2**32))
def test_every_byte_of_a_body_reads_as_codes(crafted: bytes, slot: int, key: int) -> None:
    """Whatever HQ puts there, and whoever reads it: nothing is raised at a desk."""
    read = replace(SMALL, body=crafted).read(slot, slot_key(key % 9))
    assert read is not None
    assert len(read.codes) == 2
    assert set(read.codes) | {read.evidence} <= {0, 1, 2, 3}
    fine = book_of(FINE_FEW)
    other = replace(fine, body=(crafted * 2)[:10]).read(slot, slot_key(key % 9), crafted)
    assert other is not None
    assert len(other.codes) == 2
    assert set(other.codes) <= set(range(8))
    assert other.evidence == 0


def test_all_256_bytes_read_as_codes_and_each_code_is_of_64() -> None:
    read = [replace(SMALL, body=bytes([byte]) * 7).read(0, KEYS[0]) for byte in range(256)]
    whole = [(one.codes, one.evidence, one.many_outlets) for one in read if one is not None]
    assert len(set(whole)) == 128
    assert all(whole.count(one) == 2 for one in set(whole))  # of the one bit that is not read


def test_the_secret_half_of_a_one_time_key_is_in_nothing_that_hq_keeps() -> None:
    one_time = OneTimeKey.generate()
    entries = entries_of(BANDS[:5], KEYS[:5], hq_key=one_time)
    book = book_of(entries)
    assert book.seal.hq_key == one_time.public.hex()
    held = book.encode() + entries.encode() + sign_book(book, HQ).encode()
    held += repr(book).encode() + repr(entries).encode()
    assert one_time._secret not in held
    assert one_time._secret.hex().encode() not in held


# What is made into a book


@pytest.mark.parametrize(
    ("codes", "marked", "keys"),
    [
        (BANDS[:4], MARKED[:5], KEYS[:5]),
        (BANDS[:5], MARKED[:4], KEYS[:5]),
        (BANDS[:5], MARKED[:5], KEYS[:4]),
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


# The format


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
        replace(SMALL, **{field: value})  # type: ignore[arg-type]


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


# What is published


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
        (None, digest(b"other"), 0, None, None, "fetch directory and book again"),
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
