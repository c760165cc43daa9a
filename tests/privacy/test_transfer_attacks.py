"""What a cheating HQ, a curious office or a restored one gets out of the transfer: chance.

Each attack also runs where it must succeed, on the fault that it is for; else its failure would
show nothing. Base transfers are drawn here, not computed: the attacks begin after them.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from privacy import oblivious_transfer as transfer
from privacy.base_transfers import Draw
from privacy.oblivious_transfer import (
    Choices,
    Rows,
    TransferFailed,
    checked_rows,
    choice_bits,
    choose,
    hidden_tables,
    picked_codes,
)
from privacy.seal_plans import CHUNK_SLOTS, SealContext
from privacy.sealed_tables import SealTable
from privacy.sealing import Receiver
from privacy.slot_keys import OneTimeKey
from tests.privacy import reference_transfer as reference
from tests.privacy.seals import (
    Coins,
    Parties,
    bits_of,
    context_of,
    entries_of,
    is_share,
    is_uniform,
    keys_of,
    plan_of,
    shared,
)
from tests.privacy.slots import slot_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt

    from privacy.sealed_tables import Codes

pytestmark = pytest.mark.statistical

SEED = bytes(range(32))
CONTEXT = context_of()
SMALL = SealTable.of_signed(64, (-3, 1, 6))


def numbers(table: SealTable, slots: int, seed: int) -> npt.NDArray[np.uint16]:
    """Below D, uint16[slots]."""
    return np.random.default_rng(seed).integers(0, table.modulus, slots).astype(np.uint16)


def pads_of(table: SealTable, slots: int) -> Codes:
    return np.frombuffer(secrets.token_bytes(slots), np.uint8) & np.uint8((1 << table.bits) - 1)


def made(
    coins: Coins, context: bytes, table: SealTable, sums: npt.NDArray[np.uint16],
    masks: npt.NDArray[np.uint16], pads: Codes,
) -> tuple[Choices, Rows, npt.NDArray[np.uint8]]:  # fmt: skip
    """A transfer: HQ's message, its rows, the office's tables."""
    bits = choice_bits(table, sums)
    message, rows = choose(coins.pairs, SEED, context, bits)
    office = checked_rows(coins.bits, coins.keys, context, message, len(bits))
    live = np.ones(len(sums), bool)
    hidden = b"".join(hidden_tables(office, coins.bits, 0, table, masks, pads, live, live))
    return message, rows, np.frombuffer(hidden, np.uint8).reshape(len(sums), -1)


# Entries that were not chosen


@pytest.fixture(
    scope="module",
    params=[
        SMALL,
        SealTable.of_counts(256, (1, 3, 6)),
        SealTable.of_signed(2048, (-8, 8, 24)),
        SealTable.of_signed(256, (-12, -4, 0, 4, 10, 21, 45)),
    ],
    ids=["64", "256", "2048", "256-fine"],
)
def opened(request: pytest.FixtureRequest) -> Opened:
    return Opened(request.param)


class Opened:
    """A transfer of 2,048 slots, as HQ sees it together with an outlet that has all tokens."""

    slots = 2048

    def __init__(self, table: SealTable) -> None:
        self.table, self.coins = table, Coins.of("opened")
        self.sums = numbers(table, self.slots, 1)
        self.masks, self.pads = numbers(table, self.slots, 2), pads_of(table, self.slots)
        _, self.rows, self.tables = made(
            self.coins, CONTEXT, table, self.sums, self.masks, self.pads
        )

    def truth(self, at: npt.NDArray[np.uint16]) -> Codes:
        return self.table.codes(at.astype(np.int64) - self.masks)

    def hits(self, offset: int, rows: Rows) -> int:
        """In how many slots the entry at Y + offset, bit by bit, opens to the truth."""
        at = (self.sums ^ np.uint16(offset)).astype(np.uint16)
        found = picked_codes(rows, 0, self.table, at, self.tables) ^ self.pads
        return int((found == self.truth(at)).sum())

    @property
    def offsets(self) -> list[int]:
        """All; of large tables each of one or two bits, and a few besides."""
        every = range(1, self.table.modulus)
        few = [one for one in every if one.bit_count() <= 1 or one % 97 == 0]
        return list(every) if self.table.modulus <= 256 else few


def test_the_chosen_entry_opens_and_no_other_though_its_pads_are_known(opened: Opened) -> None:
    """Agreement with the truth is 1 in 4 (of fine codes 1 in 16) at each distance from the choice.

    63, 255 or 31 distances of 2,048 slots each; false alarms 1 in 10^6 over all of a table's.
    """
    assert opened.hits(0, opened.rows) == opened.slots
    chance, tests = 2.0**-opened.table.bits, len(opened.offsets)
    for offset in opened.offsets:
        assert is_share(opened.hits(offset, opened.rows), opened.slots, chance, tests)


def test_four_entries_in_a_square_add_up_to_nothing(opened: Opened) -> None:
    """With pads per bit alone [the naive reading of NP99] their sum were that of their codes."""
    entries = entries_of(opened.table, opened.tables.tobytes())
    bits, slots = opened.table.choice_bits, np.arange(opened.slots)
    pairs = [(one, other) for one in range(bits) for other in range(one)]
    for one, other in pairs:
        total, codes = np.zeros(opened.slots, np.uint8), np.zeros(opened.slots, np.uint8)
        for offset in (0, 1 << one, 1 << other, 1 << one | 1 << other):
            at = (opened.sums ^ np.uint16(offset)).astype(np.uint16)
            total ^= entries[slots, at]
            codes ^= opened.truth(at)
        hits = int((total == codes).sum())
        assert is_share(hits, opened.slots, 2.0**-opened.table.bits, len(pairs))


def test_who_knew_all_of_the_offices_bits_would_open_every_entry(opened: Opened) -> None:
    """That is what the check guards, and that the test above can tell open from closed."""
    s = np.frombuffer(opened.coins.bits, np.uint8)
    chosen = choice_bits(opened.table, opened.sums).astype(bool)
    office = np.where(chosen[:, None], opened.rows.rows ^ s, opened.rows.rows)
    for offset in opened.offsets[:5]:
        at = (opened.sums ^ np.uint16(offset)).astype(np.uint16)
        other = choice_bits(opened.table, at).astype(bool)
        rows = Rows(np.where(other[:, None], office ^ s, office), opened.rows.key)
        assert opened.hits(offset, rows) == opened.slots


def test_tables_are_uniform_where_they_were_not_chosen(opened: Opened) -> None:
    """Chi-squared over all bytes of 2,048 tables, at least 32,768 of them."""
    assert is_uniform(opened.tables, 256)
    entries = entries_of(opened.table, opened.tables.tobytes())
    chosen = np.zeros(entries.shape, bool)
    chosen[np.arange(opened.slots), opened.sums] = True
    assert is_uniform(entries[~chosen], 1 << opened.table.bits)


# HQ's message


def residual(coins: Coins, message: Choices) -> npt.NDArray[np.uint8]:
    """HQ's columns less the streams that the office knows."""
    keys = [transfer._key(b"escapement/v1/transfer-stream", key, CONTEXT) for key in coins.keys]
    return message.columns ^ transfer._columns(keys, message.columns.shape[1])


@pytest.mark.parametrize("choice", [0, 1])
def test_hqs_columns_are_uniform_to_the_office_whatever_is_chosen(choice: int) -> None:
    """Chi-squared over 480,000 bytes: as sent, less known streams, and between two columns."""
    coins = Coins.of("columns")
    message, _ = choose(coins.pairs, SEED, CONTEXT, np.full(30_000, choice, np.uint8))
    assert is_uniform(message.columns, 256)
    known = residual(coins, message)
    assert is_uniform(known, 256)
    assert is_uniform(known[1:] ^ known[:-1], 256)


def check_sums(choice: int, runs: int = 160) -> npt.NDArray[np.uint8]:
    """The sum of r that HQ sends, of as many seeds: uint8[runs, 16]."""
    coins, choices = Coins.of("sums"), np.full(7, choice, np.uint8)
    return np.array(
        [
            list(choose(coins.pairs, secrets.token_bytes(32), CONTEXT, choices)[0].check[:16])
            for _ in range(runs)
        ],
        np.uint8,
    )


@pytest.mark.parametrize("choice", [0, 1])
def test_the_sum_of_choices_that_is_sent_is_uniform_whatever_they_are(choice: int) -> None:
    """Chi-squared over 160 sums of 16 bytes: the padding hides what it is a sum of."""
    assert is_uniform(check_sums(choice), 256)


def test_choices_of_one_chunk_say_nothing_of_another_chunks() -> None:
    """attacks/sealed_streams.py, 1: streams that begin anew gave the office Y1 + Y2.

    Of 20,000 bits half agree; as the sketch had it, under one context, all did.
    """
    coins = Coins.of("two chunks")
    bits = np.random.default_rng(4).integers(0, 2, (2, 20_000)).astype(np.uint8)

    def agreeing(second: bytes) -> int:
        one, _ = choose(coins.pairs, SEED, CONTEXT, bits[0])
        other, _ = choose(coins.pairs, SEED, second, bits[1])
        told = np.unpackbits(one.columns[0] ^ other.columns[0])[: bits.shape[1]]
        return int((told == (bits[0] ^ bits[1])).sum())

    for second in (context_of(1), context_of(0, b"other plan"), context_of(0, b"plan", b"other")):
        assert is_share(agreeing(second), bits.shape[1], 1 / 2, tests=3)
    assert agreeing(CONTEXT) == bits.shape[1]


def test_the_same_choices_in_two_chunks_meet_other_hashes() -> None:
    """attacks/sealed_streams.py, 1: HQ chose alike, and the tables' sum was without any pad."""
    coins, slots = Coins.of("alike"), 500
    sums, masks = numbers(SMALL, slots, 1), numbers(SMALL, slots, 2)
    pads = np.zeros(slots, np.uint8)
    tables = [made(coins, context_of(chunk), SMALL, sums, masks, pads)[2] for chunk in (0, 1, 0)]
    assert is_uniform(tables[0] ^ tables[1], 256)
    assert not (tables[0] ^ tables[2]).any()


# Cheating, with the check recomputed


def cheated(
    coins: Coins, context: bytes, choices: npt.NDArray[np.uint8], guesses: Mapping[int, int]
) -> Choices:
    """HQ's message with another choice in some columns, and a check made for its guesses of s.

    Args:
        coins: Of which it knows the pairs.
        context: Of the chunk.
        choices: In all other columns.
        guesses: s_i of each bad column.
    """
    honest, _ = choose(coins.pairs, SEED, context, choices)
    error = np.zeros(honest.columns.shape[1], np.uint8)
    error[0] = 0x40
    columns = honest.columns.copy()
    for column in guesses:
        columns[column] ^= error
    domain = b"escapement/v1/transfer-stream"
    first, second = (
        transfer._columns(
            [transfer._key(domain, pair[which], context) for pair in coins.pairs], len(error)
        )
        for which in (0, 1)
    )
    chosen = (honest.columns ^ first ^ second)[0]
    hashing = transfer._universal(context, columns)
    sums = [
        hashing(column ^ error if guesses.get(place) else column)
        for place, column in enumerate(first)
    ]
    return Choices(columns, hashing(chosen) + b"".join(sums))


def passes(coins: Coins, context: bytes, message: Choices, count: int) -> bool:
    try:
        checked_rows(coins.bits, coins.keys, context, message, count)
    except TransferFailed:
        return False
    return True


@pytest.mark.parametrize("guesses", [{}, {5: 0}, {5: 1}, {0: 1, 127: 0}, {3: 0, 60: 1, 61: 1}])
def test_c_bad_columns_pass_where_all_their_bits_are_guessed(guesses: dict[int, int]) -> None:
    """attacks/sealed_streams.py, 2: under the new key, made for the guess. 120 offices each.

    Passing tells HQ the bits, no more: c columns pass at 2^-c, false alarms 1 in 10^6.
    """
    coins, choices, runs = Coins.of("cheat"), np.ones(20, np.uint8), 120
    message, passed = cheated(coins, CONTEXT, choices, guesses), 0
    for _ in range(runs):
        office = coins.choosing(secrets.token_bytes(16))
        s = bits_of(office.bits)
        right = all(s[column] == guess for column, guess in guesses.items())
        assert passes(office, CONTEXT, message, len(choices)) == right
        passed += right
    assert is_share(passed, runs, 2.0 ** -len(guesses))


def test_bad_columns_of_several_chunks_have_to_be_guessed_in_each() -> None:
    coins, choices, runs = Coins.of("cheat"), np.ones(20, np.uint8), 80
    tried = [
        (context_of(chunk), cheated(coins, context_of(chunk), choices, {chunk: 1}))
        for chunk in (0, 1)
    ]
    passed = 0
    for _ in range(runs):
        office = coins.choosing(secrets.token_bytes(16))
        passed += all(passes(office, context, message, 20) for context, message in tried)
    assert is_share(passed, runs, 1 / 4)


@pytest.mark.parametrize("bits", [bytes(16), b"\xff" * 16, bytes(range(7, 23))])
@pytest.mark.parametrize("column", [0, 64, 127])
def test_a_check_that_was_not_recomputed_never_passes(column: int, bits: bytes) -> None:
    """Nor do a changed sum, another chunk, or another release: in no column, whatever s."""
    coins = Coins.of("stale", bits)
    honest, _ = choose(coins.pairs, SEED, CONTEXT, np.ones(20, np.uint8))
    assert passes(coins, CONTEXT, honest, 20)
    columns = honest.columns.copy()
    columns[column, 0] ^= 0x40
    assert not passes(coins, CONTEXT, Choices(columns, honest.check), 20)
    at = 16 * (1 + column)
    flipped = honest.check[:at] + bytes([honest.check[at] ^ 1]) + honest.check[at + 1 :]
    assert not passes(coins, CONTEXT, Choices(honest.columns, flipped), 20)
    for other in (context_of(1), context_of(0, b"other"), context_of(0, b"plan", b"other")):
        assert not passes(coins, other, honest, 20)
    assert not passes(Coins.of("others", bits), CONTEXT, honest, 20)


def test_another_vector_of_choices_passes_with_a_check_of_its_own_only() -> None:
    """Consistent columns are what the check is about, not which they are."""
    coins = Coins.of("consistent")
    honest, _ = choose(coins.pairs, SEED, CONTEXT, np.ones(20, np.uint8))
    other, _ = choose(coins.pairs, SEED, CONTEXT, np.zeros(20, np.uint8))
    assert passes(coins, CONTEXT, other, 20)
    assert not passes(coins, CONTEXT, Choices(other.columns, honest.check), 20)
    assert not passes(coins, CONTEXT, Choices(honest.columns, other.check), 20)


# An office that was restored, and answers other choices of the same chunk


class Restored:
    """attacks/sealed_rollback.py at 64 entries: choices Y, and Y with each one bit turned.

    The office has its old secrets each time, and fresh pads, as these bind the choices' digest.
    """

    slots = 12

    def __init__(self) -> None:
        self.coins = Coins.of("restored")
        self.sums = numbers(SMALL, self.slots, 1)
        self.masks = numbers(SMALL, self.slots, 2)
        tables = [self._peeled(self.sums ^ np.uint16(flip)) for flip in self._flips()]
        self.entries = np.arange(SMALL.modulus)
        self.apart = self.sums[:, None].astype(int) ^ self.entries
        self.guess = tables[0].copy()
        for bit in range(SMALL.choice_bits):
            unknown = (self.apart >> bit & 1).astype(bool)
            self.guess ^= np.where(unknown, tables[0] ^ tables[bit + 1], 0).astype(np.uint8)

    @staticmethod
    def _flips() -> list[int]:
        return [0, *(1 << bit for bit in range(SMALL.choice_bits))]

    def _peeled(self, sums: npt.NDArray[np.uint16]) -> Codes:
        """All entries, less the hashes of the rows that HQ has."""
        pads = pads_of(SMALL, self.slots)
        _, rows, hidden = made(self.coins, CONTEXT, SMALL, sums, self.masks, pads)
        tables, bits = hidden.copy(), SMALL.choice_bits
        for bit in range(bits):
            own = transfer._numbers(0, 0, self.slots, bits, bit)
            for value in (0, 1):
                mine = (sums >> bit & 1) == value
                part = np.ascontiguousarray(tables[mine])
                chosen = rows.rows[own[mine].astype(int)]
                transfer._hide(part, SMALL, bit, value, rows.key, chosen, own[mine])
                tables[mine] = part
        return entries_of(SMALL, tables.tobytes())

    def recovered(self) -> list[list[int]]:
        """Of each slot the masks that the tables fit, up to a constant a bit."""
        return [
            [mask for mask in range(SMALL.modulus) if self._fits(slot, mask)]
            for slot in range(self.slots)
        ]

    def _fits(self, slot: int, mask: int) -> bool:
        rest = SMALL.codes(self.entries - mask) ^ self.guess[slot]
        rest = rest ^ rest[self.sums[slot]]
        linear = np.zeros(SMALL.modulus, np.uint8)
        for bit in range(SMALL.choice_bits):
            constant = rest[self.sums[slot] ^ np.uint16(1 << bit)]
            linear ^= np.where(self.apart[slot] >> bit & 1, constant, 0).astype(np.uint8)
        return bool((linear == rest).all())


def test_other_choices_for_a_chunk_of_a_restored_office_open_nothing() -> None:
    """A wrong mask fits 64 entries of 2 bits, but for 7 constants, by chance at 2^-114."""
    assert Restored().recovered() == [[]] * Restored.slots


def test_they_would_open_every_mask_if_the_hashs_key_left_out_the_choices(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transfer, "_hash_key", lambda context, _: context[:16])
    restored = Restored()
    assert restored.recovered() == [[int(mask)] for mask in restored.masks]


# An office that answers one plan with other points, as HQ was put back to a copy of before


def inverse(x: int) -> int:
    """x^(2^128 - 2), of GF(2^128)."""
    found = 1 << 127
    for _ in range(127):
        x = reference.product(x, x)
        found = reference.product(found, x)
    return found


def choices_of(sums: npt.NDArray[np.uint16], parties: Parties) -> npt.NDArray[np.uint8]:
    tables = enumerate(parties.plan.tables())
    return np.concatenate([choice_bits(t, t.residues(sums[:, place])) for place, t in tables])


def first_block(parties: Parties, receivers: Sequence[Receiver], sums: object) -> bytes:
    """What two checks say of r's first block, if the second one is the same under both.

    Of the two blocks of r the sums are b1 h^3 + b2 h^2, under another h each time.
    """
    context, found = SealContext(parties.digest, parties.set, 0).encode(), []
    for receiver in receivers:
        message, _ = receiver.choose(0, sums)  # type: ignore[arg-type]
        columns = [column.tobytes() for column in message.columns]
        key = reference.Message(columns, b"").check_key(context)
        h = int.from_bytes(reference.aes(key, bytes(16)), "big")
        summed = int.from_bytes(message.check[:16], "big")
        found.append((h, reference.product(summed, inverse(reference.product(h, h)))))
    (one, first), (other, second) = found
    return reference.product(first ^ second, inverse(one ^ other)).to_bytes(16, "big")


@pytest.mark.parametrize("padding", ["of each answer", "the same"])
def test_an_office_that_answers_a_plan_twice_reads_no_choices_of_it(padding: str) -> None:
    """120 bits of four slots, 12 times; the control has one padding, and reads them all."""
    hits, runs, random = 0, 12, np.random.default_rng(9)
    for _ in range(runs):
        one = Parties.of(plan_of(4))
        draw = Draw.fresh(bytes.fromhex(one.plan.transfer_key))
        again = Receiver.of(one.plan, one.digest, one.set, one.seed, draw.answer)
        if padding == "the same":
            again = replace(again, _padding=one.receiver._padding)
        sums = random.integers(0, 2**16, (4, 3)).astype(np.uint16)
        block = first_block(one, [one.receiver, again], sums)
        true = choices_of(sums, one)
        assert len(true) == 120
        hits += int((np.unpackbits(np.frombuffer(block, np.uint8))[:120] == true).sum())
    if padding == "the same":
        assert hits == 120 * runs
    else:
        assert is_share(hits, 120 * runs, 1 / 2)


# Nothing is used twice: attacks/sealed_streams.py, 1 and 3


class Used:
    """Everything that a run's streams and hashes were made of, on both sides.

    Attributes:
        streams: Keys of streams, each of which begins at zero.
        hashes: Key, number, row and blocks of each hash at the office.
        picks: Key, number and block of each hash at HQ.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.streams: list[bytes] = []
        self.hashes: list[tuple[bytes, int, bytes, int]] = []
        self.picks: list[tuple[bytes, int, int]] = []
        stream, hashes, permuted = transfer._stream, transfer._hashes, transfer._permuted
        tweaks = transfer._tweaks

        def streaming(key: bytes, length: int) -> npt.NDArray[np.uint8]:
            self.streams.append(key)
            return stream(key, length)

        def hashing(
            key: bytes, rows: npt.NDArray[np.uint8], at: Sequence[int], length: int
        ) -> npt.NDArray[np.uint8]:
            self.hashes += [
                (key, int(number), row.tobytes(), block)
                for number, row in zip(at, rows, strict=True)
                for block in range(-(-length // 16))
            ]
            return hashes(key, rows, at, length)  # type: ignore[arg-type]

        def picking(at: Sequence[int], blocks: Sequence[int]) -> npt.NDArray[np.uint8]:
            self.picks += [
                (self.key, int(number), int(block))
                for number, block in zip(at, blocks, strict=True)
            ]
            return tweaks(at, blocks)  # type: ignore[arg-type]

        def permuting(key: bytes, blocks: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
            self.key = key
            return permuted(key, blocks)

        self.key = b""
        for name, fake in [
            ("_stream", streaming), ("_hashes", hashing), ("_tweaks", picking),
            ("_permuted", permuting),
        ]:  # fmt: skip
            monkeypatch.setattr(transfer, name, fake)


def runs() -> Iterator[tuple[Parties, int]]:
    """Two chunks of a release, then another set of its answers, and another plan of its coins.

    Base keys are the same in the first three, so that nothing but chunk and set tells them apart.
    """
    seed, bits = bytes(range(32)), bytes(range(7, 23))
    scalars = tuple((1000 + i).to_bytes(32, "little") for i in range(128))
    answer = reference.base_transfers(seed, bytes(32), bits_of(bits), scalars).answer
    coins = {
        "seed": seed,
        "hq_key": OneTimeKey.generate(),
        "office_key": OneTimeKey.generate(),
        "draw": Draw(answer, bits, scalars),
    }
    first = Parties.of(plan_of(CHUNK_SLOTS + 3), **coins)  # type: ignore[arg-type]
    yield first, 1
    short = replace(first.plan, slots=3)  # so that its first chunk has three slots as well
    receiver, sender = replace(first.receiver, plan=short), replace(first.sender, plan=short)
    yield replace(first, receiver=receiver, sender=sender), 0
    receiver, sender = replace(receiver, set="0" * 64), replace(sender, set="0" * 64)
    yield replace(first, receiver=receiver, sender=sender), 0
    yield Parties.of(plan_of(3), **coins), 0  # type: ignore[arg-type]


def test_no_stream_and_no_row_is_used_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over sides, chunks, sets, plans, slots, tables, bits, pieces and workers."""
    used, random = Used(monkeypatch), np.random.default_rng(8)
    monkeypatch.setattr(transfer, "PIECE_SLOTS", 2)  # so that three slots are two workers'
    everything = []
    for parties, chunk in runs():
        masks = random.integers(0, 2**16, (3, 3)).astype(np.uint16)
        sums = shared(random.integers(-20, 20, (3, 3)), masks)
        used.streams, used.hashes, used.picks = [], [], []
        message, rows = parties.receiver.choose(chunk, sums)
        hq, used.streams = used.streams, []
        assert len(set(hq)) == len(hq) == 2 * 128 + 1
        read = parties.sender.read(chunk, message.encode())
        office = parties.sender.rows(chunk, read)
        assert len(set(used.streams)) == len(used.streams) == 128
        assert set(used.streams) < set(hq)
        keys = keys_of(slot_key(1), slot_key(2), slot_key(3))
        tables = b"".join(parties.sender.tables(chunk, read, office, masks, keys, len(keys)))
        parties.receiver.pick(rows, sums, tables)
        check_hashes(used, parties)
        everything.append((set(hq), {key for key, *_ in used.hashes}))
    for place, (streams, hash_keys) in enumerate(everything):
        for others, other_keys in everything[:place]:
            assert not streams & others
            assert not hash_keys & other_keys


def check_hashes(used: Used, parties: Parties) -> None:
    """Each tweak is of two rows, which differ by s; HQ asks for each of its own once."""
    assert len(set(used.hashes)) == len(used.hashes)
    of_tweaks: dict[tuple[bytes, int, int], list[bytes]] = {}
    for key, number, row, block in used.hashes:
        of_tweaks.setdefault((key, number, block), []).append(row)
    s = int.from_bytes(parties.office.transfers.bits, "big")
    for one, other in of_tweaks.values():
        assert int.from_bytes(one, "big") ^ int.from_bytes(other, "big") == s
    bits = sum(table.choice_bits for table in parties.plan.tables())
    assert {number for _, number, _ in of_tweaks} == set(range(3 * bits))
    assert len({row for *_, row, _ in used.hashes}) == 2 * 3 * bits
    assert len(used.picks) == len(set(used.picks)) == 3 * bits
    assert set(used.picks) < set(of_tweaks)
