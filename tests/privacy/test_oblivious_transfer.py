"""The transfer equals a slow one written apart from it, byte for byte, and its bytes are frozen."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy import oblivious_transfer as transfer
from privacy.oblivious_transfer import (
    CHECK_BYTES,
    PIECE_SLOTS,
    Choices,
    TransferFailed,
    _in_order,
    checked_rows,
    choice_bits,
    choose,
    hidden_tables,
    padded,
    picked_codes,
)
from privacy.sealed_tables import SealTable
from tests.privacy import reference_transfer as reference
from tests.privacy.reference_transfer import Law
from tests.privacy.seals import Coins, bits_of, context_of

if TYPE_CHECKING:
    import numpy.typing as npt

SEED = bytes(range(32))
CONTEXT = context_of(3)
BITS = bytes(range(7, 23))
COINS = Coins.of("coins", BITS)

CUTS = {2: (-3, 1, 6), 4: (-12, -4, 0, 4, 10, 21, 45)}
TABLES = [
    *(SealTable(modulus, bits, CUTS[bits], -modulus // 2) for modulus in (64, 256, 2048)
      for bits in (2, 4)),
    SealTable.of_counts(256, (1, 3, 6)),
]  # fmt: skip


def law_of(table: SealTable) -> Law:
    return Law(table.modulus, table.bits, table.cuts, table.lowest)


def name(table: SealTable | str) -> str:
    if isinstance(table, str):
        return table[:6]
    return f"{table.modulus}-{table.bits}" + ("" if table.lowest else "-counts")


def drawn(
    table: SealTable, slots: int, seed: int = 1
) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16], npt.NDArray[np.uint8]]:
    """Y, M and pads of some slots, the first and last sums among them."""
    random = np.random.default_rng(seed)
    sums = random.integers(0, table.modulus, slots).astype(np.uint16)
    sums[0], sums[-1] = 0, table.modulus - 1
    masks = random.integers(0, table.modulus, slots).astype(np.uint16)
    pads = random.integers(0, 1 << table.bits, slots).astype(np.uint8)
    return sums, masks, pads


# What it is made of, against published values


@pytest.mark.parametrize(
    ("key", "plain", "cipher"),
    [
        (  # [FIPS 197, C.1]
            "000102030405060708090a0b0c0d0e0f",
            "00112233445566778899aabbccddeeff",
            "69c4e0d86a7b0430d8cdb78070b4c55a",
        ),
        (  # [FIPS 197, B]
            "2b7e151628aed2a6abf7158809cf4f3c",
            "3243f6a8885a308d313198a2e0370734",
            "3925841d02dc09fbdc118597196a0b32",
        ),
    ],
)
def test_the_hashs_permutation_is_aes_128(key: str, plain: str, cipher: str) -> None:
    block = bytes.fromhex(plain)
    assert reference.aes(bytes.fromhex(key), block).hex() == cipher
    blocks = np.frombuffer(block * 6, np.uint8).reshape(2, 3, 16)
    permuted = transfer._permuted(bytes.fromhex(key), blocks)
    assert permuted.shape == (2, 3, 16)
    assert permuted.tobytes().hex() == cipher * 6


def test_a_column_is_the_stream_of_a_counter_from_zero() -> None:
    """E(0, 0) and E(0, 1) of GCM's first test case [McGrew and Viega, B]."""
    expected = "66e94bd4ef8a2c3b884cfa59ca342b2e58e2fccefa7e3061367f1d57a4e7455a"
    assert transfer._stream(bytes(16), 32).tobytes().hex() == expected
    assert reference.stream(bytes(16), 32).hex() == expected


CIPHERTEXT = (
    "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
    "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091"
)
GCM = [  # key, nonce, additional data, ciphertext, GHASH, tag
    (  # [McGrew and Viega, B], test case 2
        "00" * 16, "00" * 12, "", "0388dace60b6a392f328c2b971b2fe78",
        "f38cbb1ad69223dcc3457ae5b6b0f885", "ab6e47d42cec13bdf53a67b21257bddf",
    ),
    (  # test case 4
        "feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
        "feedfacedeadbeeffeedfacedeadbeefabaddad2",
        CIPHERTEXT,
        "698e57f70e6ecc7fd9463b7260a9ae5f", "5bc94fbc3221a5db94fae95ae7121a47",
    ),
    (  # NIST's vectors (CAVS 14.0), 128 bits of additional data, no plaintext, count 0
        "77be63708971c4e240d1cb79e8d77feb", "e0e00f19fed7ba0136a797f3",
        "7a43ec1d9c0a5a78a0b16533a6213cab", "", None, "209fcc8d3675ed938e9c7166709dd946",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("key", "nonce", "added", "cipher", "hashed", "tag"), GCM)
def test_the_references_ghash_is_that_of_gcm(
    key: str, nonce: str, added: str, cipher: str, hashed: str | None, tag: str
) -> None:
    k, a, c = (bytes.fromhex(text) for text in (key, added, cipher))
    lengths = (8 * len(a)).to_bytes(8, "big") + (8 * len(c)).to_bytes(8, "big")
    whole = a + bytes(-len(a) % 16) + c + bytes(-len(c) % 16) + lengths
    made = reference.ghash(reference.aes(k, bytes(16)), whole)
    assert hashed is None or made.hex() == hashed
    first = reference.aes(k, bytes.fromhex(nonce) + (1).to_bytes(4, "big"))
    assert reference.xor(made, first).hex() == tag


@given(st.integers(1, 40), st.binary(min_size=1, max_size=8), st.integers(0, 2**32))
def test_the_universal_hash_is_ghash_under_a_key_of_the_chunk_and_u(
    blocks: int, context: bytes, seed: int
) -> None:
    random = np.random.default_rng(seed)
    columns = random.integers(0, 256, (128, 16 * blocks)).astype(np.uint8)
    hashing = transfer._universal(context, columns)
    message = reference.Message([column.tobytes() for column in columns], b"")
    one, other = columns[0], columns[1]
    assert hashing(one) == reference.column_sum(message.check_key(context), one.tobytes())
    assert hashing(one ^ other) == reference.xor(hashing(one), hashing(other))
    assert hashing(np.zeros(16 * blocks, np.uint8)) == bytes(16)
    columns[int(random.integers(128)), int(random.integers(16 * blocks))] ^= 1
    assert transfer._universal(context, columns)(other) != hashing(other)
    assert transfer._universal(context + b"1", columns)(other) != hashing(other)


# Against the reference


@pytest.mark.parametrize("count", [1, 127, 128, 129, 300])
def test_hqs_message_and_rows_equal_the_references(count: int) -> None:
    choices = np.random.default_rng(count).integers(0, 2, count).astype(np.uint8)
    made, rows = choose(COINS.pairs, SEED, CONTEXT, choices)
    expected, t = reference.hq_message(COINS.pairs, SEED, CONTEXT, choices.tolist())
    assert made.encode() == expected.encoded
    assert made.digest == hashlib.sha256(expected.encoded).hexdigest()
    assert [row.tobytes() for row in rows.rows] == t
    assert rows.key == expected.hash_key(CONTEXT)
    assert 8 * made.columns.shape[1] == padded(count) >= count + 128


@pytest.mark.parametrize("count", [1, 128, 300])
def test_the_offices_rows_equal_the_references(count: int) -> None:
    choices = np.random.default_rng(count).integers(0, 2, count).astype(np.uint8)
    made, t = choose(COINS.pairs, SEED, CONTEXT, choices)
    rows = checked_rows(COINS.bits, COINS.keys, CONTEXT, made, count)
    message = reference.Message([c.tobytes() for c in made.columns], made.check)
    expected = reference.office_rows(bits_of(BITS), COINS.keys, CONTEXT, message, count)
    assert [row.tobytes() for row in rows.rows] == expected
    assert rows.key == t.key
    chosen = choices.astype(bool)
    s = np.frombuffer(BITS, np.uint8)
    assert (rows.rows[~chosen] == t.rows[~chosen]).all()
    assert (rows.rows[chosen] == t.rows[chosen] ^ s).all()


def test_the_reference_refuses_what_the_office_refuses() -> None:
    made, _ = choose(COINS.pairs, SEED, CONTEXT, np.ones(20, np.uint8))
    message = reference.Message([c.tobytes() for c in made.columns], made.check[:-1] + b"\0")
    assert reference.office_rows(bits_of(BITS), COINS.keys, CONTEXT, message, 20) is None


@pytest.mark.parametrize("table", TABLES, ids=name)
def test_tables_and_what_is_picked_of_them_equal_the_references(table: SealTable) -> None:
    """Several slots, one blank, the first one not told, behind tables of another kind."""
    slots = 2 if table.modulus == 2048 else 4
    sums, masks, pads = drawn(table, slots)
    before = np.array([1, 0, 1], np.uint8)  # the bits of some other table
    choices = np.concatenate([before, choice_bits(table, sums)])
    made, own = choose(COINS.pairs, SEED, CONTEXT, choices)
    office = checked_rows(COINS.bits, COINS.keys, CONTEXT, made, len(choices))
    live, told = np.ones(slots, bool), np.ones(slots, bool)
    live[1] = told[0] = False
    made_tables = hidden_tables(office, BITS, len(before), table, masks, pads, live, told)
    hidden = b"".join(made_tables)
    picked = picked_codes(own, len(before), table, sums, packed(hidden, table))

    law, expected, codes = law_of(table), [], []
    laws = [law if known else replace(law, cuts=()) for known in told]
    _, t = reference.hq_message(COINS.pairs, SEED, CONTEXT, choices.tolist())
    message = reference.Message([c.tobytes() for c in made.columns], made.check)
    q = reference.office_rows(bits_of(BITS), COINS.keys, CONTEXT, message, len(choices))
    assert q is not None
    key = message.hash_key(CONTEXT)
    for slot in range(slots):
        start = len(before) + slot * law.choice_bits
        mine = slice(start, start + law.choice_bits)
        made_table = bytes(table.table_bytes)
        if live[slot]:
            made_table = reference.office_table(
                laws[slot], key, BITS, q[mine], start, int(masks[slot]), int(pads[slot])
            )
        expected.append(made_table)
        codes.append(reference.hq_pick(law, key, t[mine], start, int(sums[slot]), made_table))
    assert hidden == b"".join(expected)
    assert picked.tolist() == codes
    totals = (sums.astype(int) - masks).tolist()
    clear = np.array([one.code(total) for one, total in zip(laws, totals, strict=True)])
    assert (picked ^ pads)[live].tolist() == clear[live].tolist()


def packed(hidden: bytes, table: SealTable) -> npt.NDArray[np.uint8]:
    return np.frombuffer(hidden, np.uint8).reshape(-1, table.table_bytes)


@pytest.mark.parametrize("table", TABLES, ids=name)
def test_no_two_entries_of_a_table_are_under_the_same_bits_of_a_row(table: SealTable) -> None:
    """Else the sum of four entries would be that of their codes: sealed_streams.py, 3."""
    law = law_of(table)
    used = {
        (bit, entry >> bit & 1, reference._ranks(law, bit, entry >> bit & 1)[byte], shift)
        for entry in range(law.modulus)
        for byte, shift in [law.place(entry)]
        for bit in range(law.choice_bits)
    }
    assert len(used) == law.modulus * law.choice_bits


def test_choices_are_the_bits_of_the_sums_lowest_first() -> None:
    table = SealTable.of_signed(64, (0,))
    assert choice_bits(table, np.array([1, 32, 45], np.uint16)).tolist() == [
        *(1, 0, 0, 0, 0, 0), *(0, 0, 0, 0, 0, 1), *(1, 0, 1, 1, 0, 1),
    ]  # fmt: skip
    assert (
        law_of(table).choices([1, 32, 45])
        == choice_bits(table, np.array([1, 32, 45], np.uint16)).tolist()
    )


def test_tables_are_the_same_in_however_many_pieces_they_are_made() -> None:
    """The first, the last of one piece, and the last of all, behind a start of their own."""
    table, slots = SealTable.of_signed(64, (-3, 1, 6)), 2 * PIECE_SLOTS + 3
    sums, masks, pads = drawn(table, slots)
    made, own = choose(COINS.pairs, SEED, CONTEXT, choice_bits(table, sums))
    office = checked_rows(COINS.bits, COINS.keys, CONTEXT, made, slots * 6)
    pieces = list(hidden_tables(office, BITS, 0, table, masks, pads, *[np.ones(slots, bool)] * 2))
    assert [len(piece) for piece in pieces] == [16 * PIECE_SLOTS] * 2 + [16 * 3]
    hidden, law = packed(b"".join(pieces), table), law_of(table)
    for slot in (0, PIECE_SLOTS - 1, PIECE_SLOTS, slots - 1):
        rows = [row.tobytes() for row in office.rows[6 * slot : 6 * slot + 6]]
        assert hidden[slot].tobytes() == reference.office_table(
            law, office.key, BITS, rows, 6 * slot, int(masks[slot]), int(pads[slot])
        )
    assert (picked_codes(own, 0, table, sums, hidden) ^ pads).tolist() == [
        law.code(int(total)) for total in sums.astype(int) - masks
    ]


def test_rows_beyond_the_first_piece_of_columns_are_those_of_their_bits() -> None:
    count = transfer._PIECE_BITS + 300
    choices = np.random.default_rng(5).integers(0, 2, count).astype(np.uint8)
    made, own = choose(COINS.pairs, SEED, CONTEXT, choices)
    office = checked_rows(COINS.bits, COINS.keys, CONTEXT, made, count)
    assert own.rows.shape == office.rows.shape == (count, 16)
    streams = [
        reference.key_of(b"escapement/v1/transfer-stream", zero, CONTEXT) for zero, _ in COINS.pairs
    ]
    for row in (0, transfer._PIECE_BITS - 1, transfer._PIECE_BITS, count - 1):
        block = (row // 128).to_bytes(16, "big")
        bits = [bits_of(reference.aes(key, block))[row % 128] for key in streams]
        assert bits_of(own.rows[row].tobytes()) == bits
    differ = own.rows ^ office.rows
    assert (differ == np.where(choices[:, None], np.frombuffer(BITS, np.uint8), 0)).all()


# Frozen transcripts: who changes one changes what HQ and the office say to one another


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (
            SealTable.of_signed(64, (-3, 1, 6)),
            "deede7b55ff2b769d1bb3f33521c92d2053f151f50f669ff68d3f2cd8b8b0ab9",
        ),
        (
            SealTable.of_counts(256, (1, 3, 6)),
            "2ec7aa42605450fe34b248c7718487f30641ee5cd8d35486d1a5dee37eea8580",
        ),
        (
            SealTable.of_signed(2048, (-8, 8, 24)),
            "2d6641a4229f82e42af139c4a513818341be909b53bea74d9948457c3bc7d445",
        ),
        (
            SealTable.of_signed(2048, (-12, -4, 0, 4, 10, 21, 45)),
            "6f4d28a874738f2f2b5f72aed8af3c450ace60e6ca53afa1b5161408d82adb88",
        ),
    ],
    ids=name,
)
def test_the_transcript_of_a_transfer_is_frozen(table: SealTable, expected: str) -> None:
    """Message, tables and picked codes of five slots, the third of them blank."""
    sums = (np.arange(5) * 7919 % table.modulus).astype(np.uint16)
    masks = (np.arange(5) * 104729 % table.modulus).astype(np.uint16)
    pads = np.arange(5, dtype=np.uint8) & np.uint8((1 << table.bits) - 1)
    choices = choice_bits(table, sums)
    made, own = choose(COINS.pairs, SEED, CONTEXT, choices)
    office = checked_rows(COINS.bits, COINS.keys, CONTEXT, made, len(choices))
    live = np.array([True, True, False, True, True])
    hidden = b"".join(hidden_tables(office, BITS, 0, table, masks, pads, live, live))
    picked = picked_codes(own, 0, table, sums, packed(hidden, table))
    whole = hashlib.sha256(made.encode() + hidden + picked.tobytes()).hexdigest()
    assert whole == expected


# The message


@given(st.integers(1, 700), st.integers(0, 2**32))
def test_choices_read_back(count: int, seed: int) -> None:
    choices = np.random.default_rng(seed).integers(0, 2, count).astype(np.uint8)
    made, _ = choose(COINS.pairs, SEED, CONTEXT, choices)
    read = Choices.decode(made.encode(), count)
    assert read.encode() == made.encode()
    assert read.digest == made.digest
    assert read.columns.shape == (128, padded(count) // 8)
    assert len(read.check) == CHECK_BYTES == 16 * 129


@pytest.mark.parametrize("change", [-1, 1, -128, 128 * 16])
def test_choices_of_another_length_are_refused(change: int) -> None:
    data = choose(COINS.pairs, SEED, CONTEXT, np.ones(20, np.uint8))[0].encode()
    data = (data + bytes(4096))[: len(data) + change]
    message = f"choices: got {len(data)} bytes, expected {len(data) - change}"
    with pytest.raises(TransferFailed, match=re.escape(message)):
        Choices.decode(data, 20)


def test_the_same_seed_makes_the_same_message_and_another_one_another() -> None:
    choices = np.ones(20, np.uint8)
    made = choose(COINS.pairs, SEED, CONTEXT, choices)[0]
    assert choose(COINS.pairs, SEED, CONTEXT, choices)[0].encode() == made.encode()
    assert choose(COINS.pairs, SEED[::-1], CONTEXT, choices)[0].check != made.check
    for other in (context_of(4), context_of(3, b"other"), context_of(3, b"plan", b"other")):
        assert not set(map(bytes, choose(COINS.pairs, SEED, other, choices)[0].columns)) & set(
            map(bytes, made.columns)
        )


def test_choices_and_rows_are_not_printed() -> None:
    made, rows = choose(COINS.pairs, SEED, CONTEXT, np.ones(20, np.uint8))
    assert repr(made) == "Choices()"
    assert repr(rows) == "Rows()"


@pytest.mark.parametrize("items", [0, 1, 100])
def test_chunks_that_are_worked_on_ahead_come_once_each_and_in_order(items: int) -> None:
    assert list(_in_order(lambda item: 2 * item, range(items))) == list(range(0, 2 * items, 2))
