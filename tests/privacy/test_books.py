"""An entry is read with its slot's key only, and what else it reads as is uniform."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.books import Book, Entry
from privacy.envelopes import digest
from privacy.published_books import sign_book
from privacy.seal_plans import SealKind
from privacy.slot_keys import OneTimeKey, SlotKey
from tests.privacy.made_books import (
    BANDS,
    BOOK,
    DIRECTORY,
    ENTRIES,
    FEW,
    FINE_FEW,
    HQ,
    HQ_KEY,
    KEYS,
    MADE_AT,
    MARKED,
    OFFICE_KEY,
    OTHER,
    PLAN,
    SET,
    SLOTS,
    SMALL,
    book_of,
    entries_of,
    published,
    seal_of,
    under_pads,
)
from tests.privacy.seals import is_share, is_uniform, keys_of
from tests.privacy.slots import slot_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from privacy.sealed_tables import Codes


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
    seal = replace(BOOK.seal, **changes)  # type: ignore[arg-type]  # fields by name
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
