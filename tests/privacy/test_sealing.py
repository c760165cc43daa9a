"""A seal's codes are those of the clear sum to who has the slot's key, and noise to all others.

Chi-squared and binomial tests name their samples; each fails falsely once in 10^6 runs.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.base_transfers import Draw
from privacy.books import Book, Entry, SealedEntries
from privacy.envelopes import SealKey, SigningKey, digest
from privacy.errors import PlanRefused
from privacy.oblivious_transfer import Choices, TransferFailed
from privacy.seal_plans import CHUNK_SLOTS, SealContext, SealKind, SealPlan
from privacy.sealing import Receiver, SealSecrets, Sender, fresh_seed
from privacy.slot_keys import OneTimeKey
from privacy.two_key_sum import Aggregate, KeptSeed, Parts, mask_share, open_seed, sum_of_masks
from tests.privacy import reference_transfer as reference
from tests.privacy.reference_transfer import Law
from tests.privacy.seals import (
    BAND_CUTS,
    KEY,
    SET,
    Parties,
    Taken,
    bits_of,
    entries_of,
    is_share,
    is_uniform,
    keys_of,
    plan_of,
    shared,
    truth,
)
from tests.privacy.slots import slot_key

if TYPE_CHECKING:
    import numpy.typing as npt

    from privacy.directory import Slots
    from privacy.sealed_tables import Codes
    from privacy.sealing import Shares
    from privacy.slot_keys import SlotKey
    from privacy.two_key_sum import MaskedShare

SLOTS = 4096
DIRECTORY = digest(b"tonight")


def book_of(entries: SealedEntries, blank: npt.NDArray[np.bool_] | None = None) -> Book:
    """Tonight's, of two slots more than were sealed."""
    slots = entries.seal.sealed + 2
    gone = np.zeros(slots, bool)
    if blank is not None:
        gone[: len(blank)] = blank
    return entries.book(version=3, made_at=1_800_000_000, directory=DIRECTORY, blank=gone)


def expected_entry(plan: SealPlan, totals: list[int], *, marked: bool) -> Entry:
    """By a law in plain numbers, apart from `SealTable.codes`."""
    laws = [Law(table.modulus, table.bits, table.cuts, table.lowest) for table in plan.tables()]
    codes = [law.code(total) for law, total in zip(laws, totals, strict=False)]
    if plan.kind is SealKind.FINE:
        return Entry(tuple(codes), 0, marked)
    return Entry(tuple(codes[:-1]), codes[-1], marked)


# The law


@st.composite
def plans(draw: st.DrawFn) -> SealPlan:
    slots = draw(st.integers(1, 5))
    if draw(st.booleans()):
        middles = draw(st.lists(st.integers(-250, 250), min_size=1, max_size=2))
        return plan_of(slots, SealKind.FINE, tuple((4 * middle,) for middle in middles))
    first, steps = st.integers(-30, 30), st.lists(st.integers(2, 15), min_size=1, max_size=2)
    cuts = []
    for _ in range(draw(st.integers(1, 2))):
        low, apart = draw(first), draw(steps)
        cuts.append(tuple(2 * (low + sum(apart[:count])) for count in range(len(apart) + 1)))
    return plan_of(slots, SealKind.BAND, tuple(cuts))


def sums_of(plan: SealPlan) -> st.SearchStrategy[list[list[int]]]:
    """Of each slot, a sum a score and one of the evidence: near cuts, at wrap edges, anywhere."""
    half = plan.tables()[0].modulus // 2
    edges = [-half, half - 1, half, -half - 1, 0, 2**15 - 1, -(2**15)]
    scores = [
        st.sampled_from([*edges, *(cut + step for cut in table.cuts for step in (-1, 0))])
        | st.integers(-100, 100)
        for table in plan.tables()[: plan.scores]
    ]
    evidence = st.sampled_from([0, 1, 2, 3, 5, 6, 255, 256]) | st.integers(0, 255)
    return st.lists(st.tuples(*scores, evidence).map(list), min_size=plan.slots,
                    max_size=plan.slots)  # fmt: skip


@given(st.data())
def test_who_has_the_slots_key_reads_the_codes_of_the_clear_sum(data: st.DataObject) -> None:
    """For every share, mask, cut, wrap edge and kind; marks, slots blank, newer, untold besides."""
    plan = data.draw(plans())
    slots = plan.slots
    totals = np.array(data.draw(sums_of(plan)), dtype=np.int64)
    whole = st.lists(st.sampled_from([0, 1, 2**16 - 1]) | st.integers(0, 2**16 - 1),
                     min_size=plan.width, max_size=plan.width)  # fmt: skip
    masks = np.array(data.draw(st.lists(whole, min_size=slots, max_size=slots)), dtype=np.uint16)
    flags = st.lists(st.booleans(), min_size=slots, max_size=slots)
    blank, marked = np.array(data.draw(flags), bool), np.array(data.draw(flags), bool)
    keys: list[SlotKey | None] = [None if gone else slot_key(n) for n, gone in enumerate(blank)]
    nonces = [bytes([slot]) * 32 for slot in range(slots)]
    fine = plan.kind is SealKind.FINE

    reached = data.draw(st.integers(0, slots))
    parties = Parties.of(plan)
    taken = parties.take(shared(totals, masks), masks, keys_of(*keys), reached)
    entries = parties.seal(taken).masked(
        taken.codes, marked, keys_of(*keys), parties.hq_key, nonces if fine else None
    )
    book = Book.decode(book_of(SealedEntries.decode(entries.encode()), blank).encode())
    for slot, key in enumerate(keys):
        if key is None:
            book.read(slot, slot_key(slot), nonces[slot])  # raises nothing
            continue
        mark = bool(marked[slot])
        expected = expected_entry(parties.plan, totals[slot].tolist(), marked=mark)
        if slot >= reached:
            expected = Entry((0,) * plan.scores, 0, mark)
        assert book.read(slot, key, nonces[slot] if fine else b"") == expected
    assert book.read(slots, slot_key(0)) is None
    assert book.read(slots + 1, slot_key(0)) is None


def test_slots_of_several_chunks_are_sealed_each_in_its_own() -> None:
    """50,003 slots of one score, nearly all of the first chunk blank; the last one is not told."""
    plan, random = plan_of(CHUNK_SLOTS + 3, cuts=BAND_CUTS[:1]), np.random.default_rng(2)
    some = [0, 1, CHUNK_SLOTS - 1, CHUNK_SLOTS, CHUNK_SLOTS + 1, CHUNK_SLOTS + 2]
    totals = random.integers(3, 12, (plan.slots, 2))
    masks = random.integers(0, 2**16, totals.shape).astype(np.uint16)
    keys = np.zeros((plan.slots, 32), np.uint8)
    for slot in some:
        keys[slot] = np.frombuffer(slot_key(slot % 7).public, np.uint8)
    parties = Parties.of(plan)
    taken = parties.take(shared(totals, masks), masks, keys, plan.slots - 1)
    assert len(set(taken.digests)) == 2
    entries = parties.seal(taken).masked(
        taken.codes, np.zeros(plan.slots, bool), keys, parties.hq_key
    )
    book = book_of(entries, np.asarray(~keys.any(axis=1)))
    for slot in some:
        clear = expected_entry(parties.plan, totals[slot].tolist(), marked=False)
        expected = clear if slot < plan.slots - 1 else Entry((0,), 0, many_outlets=False)
        assert book.read(slot, slot_key(slot % 7)) == expected
    swapped = replace(entries.seal, choices=entries.seal.choices[::-1])
    wrong = [replace(book, seal=swapped).read(slot, slot_key(slot % 7)) for slot in some]
    right = [book.read(slot, slot_key(slot % 7)) for slot in some]
    assert wrong != right  # by chance at 4^-12


@pytest.mark.parametrize("kind", list(SealKind))
def test_hqs_message_is_the_references_under_the_padding_of_this_answer(kind: SealKind) -> None:
    parties, totals, masks, _ = small(kind)
    sums = shared(totals, masks)
    base = reference.base_transfers(SEED, bytes.fromhex(parties.digest), bits_of(BITS), SCALARS)
    padding = hashlib.sha256(b"escapement/v1/choices-padding" + SEED + base.answer).digest()
    choices = [
        int(total) % table.modulus >> bit & 1
        for place, table in enumerate(parties.plan.tables())
        for total in sums[:, place]
        for bit in range(table.choice_bits)
    ]
    context = SealContext(parties.digest, SET, 0).encode()
    message, _ = reference.hq_message(base.pairs, padding, context, choices)
    assert parties.receiver.choose(0, sums)[0].encode() == message.encoded


def test_a_seal_gives_the_same_bytes_however_often_it_is_continued() -> None:
    """HQ from its seed, the office from its secrets as it stored them; nothing else is drawn."""
    parties, totals, masks, keys = small(SealKind.BAND)
    first = parties.take(shared(totals, masks), masks, keys)
    receiver = Receiver.of(parties.plan, parties.digest, SET, SEED, ANSWER)
    sender = Sender(parties.plan, parties.digest, SET, SealSecrets.decode(parties.office.encode()))
    again = replace(parties, receiver=receiver, sender=sender)
    second = again.take(shared(totals, masks), masks, keys)
    assert [one.encode() for one in first.choices] == [one.encode() for one in second.choices]
    assert first.hidden == second.hidden
    assert (first.codes == second.codes).all()


ONE, TWO = ((11).to_bytes(32, "little"), (12).to_bytes(32, "little"))
SCALARS = tuple((1000 + i).to_bytes(32, "little") for i in range(128))
BITS = bytes(range(40, 56))
SEED = bytes(range(200, 232))


def answer_of(seed: bytes, bits: bytes) -> bytes:
    """The office's points, of SCALARS; which plan keys are bound to is nothing to them."""
    return reference.base_transfers(seed, bytes(32), bits_of(bits), SCALARS).answer


ANSWER = answer_of(SEED, BITS)


@cache
def small(kind: SealKind) -> tuple[Parties, npt.NDArray[np.int64], Shares, Slots]:
    """A seal of three slots of which all coins are given."""
    parties = Parties.of(
        plan_of(3, kind),
        seed=SEED,
        hq_key=OneTimeKey.from_bytes(ONE),
        office_key=OneTimeKey.from_bytes(TWO),
        draw=Draw(ANSWER, BITS, SCALARS),
    )
    totals = np.array([[-9, 15, 0], [0, 20, 2], [1023, -1024, 7]])
    masks = np.array([[1, 2, 3], [2047, 40_000, 65_535], [0, 500, 255]], np.uint16)
    return parties, totals, masks, keys_of(*OWNERS)


OWNERS = [slot_key(1), slot_key(2), slot_key(3)]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (SealKind.BAND, "2aecc4f31cfb9853918ec79c30da6823e18fa3bc6088a15163c56b69ae6dd947"),
        (SealKind.FINE, "9312298746403508336a4262e3fe6e5cab6454103746997209732f19556187aa"),
    ],
    ids=["band", "fine"],
)
def test_the_transcript_of_a_whole_seal_is_frozen(kind: SealKind, expected: str) -> None:
    """Plan, message, tables, codes and masked entries: what is sent, stored and published."""
    parties, totals, masks, keys = small(kind)
    taken = parties.take(shared(totals, masks), masks, keys)
    nonces = [b"1", b"2", b"3"] if kind is SealKind.FINE else None
    marked = np.array([False, True, False])
    entries = parties.seal(taken).masked(taken.codes, marked, keys, parties.hq_key, nonces)
    whole = [parties.plan.encode(), taken.choices[0].encode(), taken.hidden[0],
             taken.codes.tobytes(), entries.encode()]  # fmt: skip
    assert digest(b"".join(whole)) == expected


# What each party records


@dataclass(frozen=True)
class Recorded:
    """A seal of 4,096 slots of one customer's key, and everything about it."""

    parties: Parties
    totals: npt.NDArray[np.int64]
    masks: Shares
    taken: Taken
    truth: Codes
    pads: Codes

    @classmethod
    def of(cls, parties: Parties, totals: npt.NDArray[np.int64], masks: Shares) -> Recorded:
        taken = parties.take(shared(totals, masks), masks, KEYS)
        pads = parties.pads([KEY] * SLOTS, taken.digests[0])
        return cls(parties, totals, masks, taken, truth(parties.plan, totals), pads)


KEYS = keys_of(*[KEY] * SLOTS)


@cache
def drawn() -> tuple[npt.NDArray[np.int64], Shares]:
    """Sums as of customers, and masks: the same in all tests."""
    random = np.random.default_rng(5)
    totals = np.rint(random.normal(5, 20, (SLOTS, 3))).astype(np.int64)
    totals[:, 2] = random.integers(0, 9, SLOTS)
    return totals, random.integers(0, 2**16, (SLOTS, 3)).astype(np.uint16)


@cache
def band() -> Recorded:
    return Recorded.of(Parties.of(plan_of(SLOTS)), *drawn())


@cache
def fine() -> Recorded:
    return Recorded.of(Parties.of(plan_of(SLOTS, SealKind.FINE)), *drawn())


@pytest.mark.statistical
@pytest.mark.parametrize("recorded", [band, fine])
def test_the_codes_that_hq_takes_are_uniform_whatever_is_sealed(recorded: object) -> None:
    """4,096 slots: of each table, of all together, and of those of each true code."""
    seal: Recorded = recorded()  # type: ignore[operator]
    tables = seal.parties.plan.tables()
    for place, table in enumerate(tables):
        codes, cells = seal.taken.codes[:, place], 1 << table.bits
        assert is_uniform(codes, cells)
        assert not is_uniform(seal.truth[:, place], cells)  # what would be seen without pads
        for code in range(len(table.cuts) + 1):
            mine = codes[seal.truth[:, place] == code]
            assert len(mine) < 5 * cells or is_uniform(mine, cells)
    bits = tables[0].bits
    both = seal.taken.codes[:, 0].astype(int) << bits | seal.taken.codes[:, 1]
    assert is_uniform(both, 1 << 2 * bits)
    assert (seal.taken.codes ^ seal.pads == seal.truth).all()


@pytest.mark.statistical
@pytest.mark.parametrize("recorded", [band, fine])
def test_messages_and_tables_on_the_wire_are_uniform_bytes(recorded: object) -> None:
    """1.9 MB of HQ's message and 4.4 MB or more of the office's tables."""
    seal: Recorded = recorded()  # type: ignore[operator]
    for sent in (seal.taken.choices[0].encode(), seal.taken.hidden[0]):
        assert len(sent) > 1_000_000
        assert is_uniform(np.frombuffer(sent, np.uint8), 256)


@pytest.mark.statistical
@pytest.mark.parametrize("recorded", [band, fine])
def test_the_book_is_uniform_bytes(recorded: object) -> None:
    """4,096 entries or twice as many; also less the mask of another slot, and less HQ's codes."""
    seal: Recorded = recorded()  # type: ignore[operator]
    nonces = None if seal.parties.plan.kind is SealKind.BAND else [b"home"] * SLOTS
    entries = seal.parties.seal(seal.taken).masked(
        seal.taken.codes, np.zeros(SLOTS, bool), KEYS, seal.parties.hq_key, nonces
    )
    body = np.frombuffer(entries.body, np.uint8).reshape(SLOTS, -1)
    assert is_uniform(body, 256)
    assert is_uniform(body[1:] ^ body[:-1], 256)
    packed = entries.seal._packed(seal.taken.codes)
    assert is_uniform(body ^ packed, 256)
    assert is_uniform(body ^ entries.seal._packed(seal.truth), 256)


OTHER_CUTS = ((-6, 8, 24), (8, 20, 30))


@cache
def same_but_for_the_cuts() -> Recorded:
    """HQ has the same sums sealed again, with other cuts; every key and coin is the same."""
    first = band().parties
    bits = first.office.transfers.bits
    parties = Parties.of(
        plan_of(SLOTS, cuts=OTHER_CUTS),
        seed=first.seed,
        hq_key=first.hq_key,
        office_key=first.office.one_time,
        draw=Draw(answer_of(first.seed, bits), bits, SCALARS),
    )
    return Recorded.of(parties, *drawn())


@cache
def second_seal() -> Recorded:
    """A later seal of the same sums with other cuts, as it is."""
    return Recorded.of(Parties.of(plan_of(SLOTS, cuts=OTHER_CUTS)), *drawn())


@pytest.mark.statistical
@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("again", ["all keys fresh", "all keys the same"])
def test_two_seals_of_the_same_sums_with_other_cuts_are_independent(again: str, place: int) -> None:
    """Chi-squared over the 16 pairs of codes of 4,096 slots.

    Under one pad two lists of cuts tell who lies between them: the control.
    """
    first = band()
    second = second_seal() if again == "all keys fresh" else same_but_for_the_cuts()
    one, other = first.taken.codes[:, place], second.taken.codes[:, place]
    assert is_uniform(one * 4 + other, 16)
    assert is_uniform(one ^ other, 4)
    assert (other ^ second.pads[:, place] == second.truth[:, place]).all()
    pad = first.pads[:, place]
    both = (first.truth[:, place] ^ pad) * 4 + (second.truth[:, place] ^ pad)
    assert not is_uniform(both, 16)


@pytest.mark.statistical
def test_two_cut_lists_never_stand_under_one_pad() -> None:
    """All entries of both tables, summed, are uniform: 4,096 tables of 2,048 entries.

    As of one pad and one row they would be zero but between the cuts.
    """
    first, second = band(), same_but_for_the_cuts()
    assert first.parties.plan.hq_key == second.parties.plan.hq_key
    assert first.parties.plan.slot_key == second.parties.plan.slot_key
    assert first.parties.digest != second.parties.digest
    one, other = (np.frombuffer(seal.taken.hidden[0], np.uint8) for seal in (first, second))
    assert is_uniform(one ^ other, 256)
    agree = (first.pads == second.pads).sum(axis=0)
    assert all(is_share(int(hits), SLOTS, 1 / 4, tests=3) for hits in agree)


# Attacks


@pytest.mark.statistical
def test_recorded_tables_stay_closed_to_an_outlet_once_the_seals_keys_are_gone() -> None:
    """A thief of everything on the wire and of every token knows all pads, and has no row.

    A million entries of 1,024 tables agree with the truth in 1 of 4, as does the chosen entry.
    """
    seal = band()
    tables = seal.parties.plan.tables()
    start = SLOTS * sum(table.table_bytes for table in tables[:2])
    hidden = seal.taken.hidden[0][start:]
    entries = entries_of(tables[2], hidden)[:1024] ^ seal.pads[:1024, 2:]
    masks = tables[2].residues(seal.masks[:1024, 2]).astype(int)
    places = np.arange(tables[2].modulus)
    true = tables[2].codes((places[None, :] - masks[:, None]).ravel()).reshape(entries.shape)
    assert is_share(int((entries == true).sum()), entries.size, 1 / 4, tests=2)
    chosen = tables[2].residues(shared(seal.totals, seal.masks)[:1024, 2])
    rows = np.arange(1024)
    hits = int((entries[rows, chosen] == true[rows, chosen]).sum())
    assert is_share(hits, 1024, 1 / 4, tests=2)


@pytest.mark.statistical
def test_codes_without_the_slots_key_or_the_offices_stay_noise() -> None:
    """With another customer's key, another slot's, or the choices of another chunk or seal."""
    seal = band()
    codes, true = seal.taken.codes[:, 0], seal.truth[:, 0]
    choices = seal.taken.digests[0]
    others = [
        seal.parties.pads([slot_key(4)] * SLOTS, choices)[:, 0],
        np.roll(seal.pads[:, 0], 1),
        seal.parties.pads([KEY] * SLOTS, digest(b"other choices"))[:, 0],
        replace(seal.parties, set=digest(b"others")).pads([KEY] * SLOTS, choices)[:, 0],
    ]
    for pads in others:
        for code in range(4):
            assert is_uniform((codes ^ pads)[true == code], 4)


@pytest.mark.statistical
@pytest.mark.parametrize("answers", [["a", "b"], ["a", "b", "c", "c"], ["a"], []], ids="".join)
def test_an_answer_left_out_or_counted_twice_leaves_uniform_garbage(answers: list[str]) -> None:
    """HQ gives a sum of other answers than the office's: what the outlet reads is of a mask.

    4,096 slots: the sums are even over 16 cells, and codes fall as wide as their bands are,
    whatever the true code is.
    """
    shares, masks, totals, plan = answered()
    known = {share.envelope.outlet: share for share in shares}
    wrong = Aggregate.of(plan, [known[name] for name in answers]).shares()
    table = plan.tables()[0]
    left = (wrong[:, 0] - masks[:, 0]) % table.modulus
    assert is_uniform(left >> 7, 16)
    codes, true = table.codes(left.astype(np.int64)), table.codes(totals[:, 0])
    low, *_, high = np.diff([table.lowest, *table.cuts, table.lowest + table.modulus])
    ends = np.array([low, table.modulus - low - high, high]) / table.modulus
    for code in range(4):  # the two bands in the middle are narrow
        assert is_uniform(np.array([0, 1, 1, 2])[codes[true == code]], 3, ends)


@cache
def answered() -> tuple[list[MaskedShare], Shares, npt.NDArray[np.int64], SealPlan]:
    """Three outlets' answers, the office's sum of their masks, and the true sums."""
    office, random = SealKey.generate(), np.random.default_rng(6)
    plan = plan_of(SLOTS, key=office.public.hex())
    name, total, shares, kept = digest(plan.encode()), np.zeros((SLOTS, 3), np.int64), [], []
    for outlet in "abc":
        parts = random.integers(-30, 30, (SLOTS, 3))
        parts[:, 2] = random.integers(0, 7, SLOTS)
        share = mask_share(
            Parts(parts, np.arange(SLOTS)), plan, name, outlet, SigningKey.generate()
        )
        shares.append(share)
        kept.append(KeptSeed(open_seed(share.envelope, name, office), plan.dimension))
        total += parts
    masks = sum_of_masks(plan, kept).reshape(SLOTS, 3)
    assert (Aggregate.of(plan, shares).shares() - masks == total.astype(np.uint16)).all()
    return shares, masks, total, plan


@pytest.mark.parametrize("shift", [1, -1, 33, -700, 2047])
def test_hq_can_shift_a_sum_by_a_number_that_it_knows(shift: int) -> None:
    """Not prevented, and said so: the code is then of x + d, for everybody who reads it."""
    parties, totals, masks, keys = small(SealKind.BAND)
    shifted = totals + np.array([shift, -shift, 0])
    taken = parties.take(shared(shifted, masks), masks, keys)
    codes = taken.codes ^ parties.pads(OWNERS, taken.digests[0])
    assert (codes == truth(parties.plan, shifted)).all()


@given(st.sampled_from([SealKind.BAND, SealKind.FINE]), st.integers(0, 2**32))
def test_whatever_the_office_sends_for_tables_raises_nothing_at_hq_or_outlet(
    kind: SealKind, seed: int
) -> None:
    """Every entry is a code of the table's, so that nobody learns by an error what was picked."""
    parties, totals, masks, keys = small(kind)
    message, rows = parties.receiver.choose(0, shared(totals, masks))
    size = 3 * sum(table.table_bytes for table in parties.plan.tables())
    crafted = np.random.default_rng(seed).bytes(size)
    codes = parties.receiver.pick(rows, shared(totals, masks), crafted)
    assert codes.dtype == np.uint8
    assert codes.shape == (3, len(parties.plan.tables()))
    nonces = [b""] * 3 if kind is SealKind.FINE else None
    taken = Taken(codes, (message,), (crafted,))
    entries = parties.seal(taken).masked(codes, np.zeros(3, bool), keys, parties.hq_key, nonces)
    for slot, key in enumerate(OWNERS):
        entry = book_of(entries).read(slot, key)
        assert entry is not None
        highest = 7 if kind is SealKind.FINE else 3
        assert all(0 <= code <= highest for code in entry.codes)
        assert 0 <= entry.evidence <= 3
        assert not entry.many_outlets


@pytest.mark.parametrize("change", [-1, 1, -512])
def test_tables_of_another_length_end_the_release(change: int) -> None:
    parties, totals, masks, keys = small(SealKind.BAND)
    taken = parties.take(shared(totals, masks), masks, keys)
    _, rows = parties.receiver.choose(0, shared(totals, masks))
    hidden = (taken.hidden[0] + b"\0")[: len(taken.hidden[0]) + change]
    with pytest.raises(TransferFailed, match=f"seal-1: got {len(hidden)} bytes of tables"):
        parties.receiver.pick(rows, shared(totals, masks), hidden)


def test_choices_for_another_set_plan_or_chunk_fail_at_the_office() -> None:
    parties, totals, masks, _ = small(SealKind.BAND)
    message, _ = parties.receiver.choose(0, shared(totals, masks))
    others = [
        replace(parties.sender, set=digest(b"others")),
        replace(parties.sender, digest=digest(b"other plan")),
    ]
    for sender in others:
        with pytest.raises(TransferFailed, match="not the same in all columns"):
            sender.rows(0, sender.read(0, message.encode()))
    longer = replace(parties.plan, slots=CHUNK_SLOTS + 3)
    sender = replace(parties.sender, plan=longer)
    with pytest.raises(TransferFailed, match="not the same in all columns"):
        sender.rows(1, sender.read(1, message.encode()))


def test_choices_of_another_length_or_chunk_are_refused() -> None:
    parties, totals, masks, _ = small(SealKind.BAND)
    message, _ = parties.receiver.choose(0, shared(totals, masks))
    with pytest.raises(TransferFailed, match="choices: got"):
        parties.sender.read(0, message.encode() + b"\0")
    for chunk in (-1, 1):
        with pytest.raises(PlanRefused, match=f"got chunk {chunk}, expected one of 1"):
            parties.sender.read(chunk, message.encode())


def test_other_choices_meet_other_pads_and_hashes() -> None:
    """Also where an office was restored, and answers for the same chunk again."""
    parties, totals, masks, keys = small(SealKind.BAND)
    one = parties.take(shared(totals, masks), masks, keys)
    other = parties.take(shared(totals + 1, masks), masks, keys)
    assert one.digests != other.digests
    raw = [parties.sender.rows(0, Choices.decode(t.choices[0].encode(), 90)) for t in (one, other)]
    assert raw[0].key != raw[1].key
    assert (parties.pads(OWNERS, one.digests[0]) != parties.pads(OWNERS, other.digests[0])).any()
    mixed = one.codes ^ parties.pads(OWNERS, other.digests[0])
    assert (mixed != truth(parties.plan, totals)).any()


# What is kept, and what is not shown


def test_the_offices_secrets_read_back_and_are_not_printed() -> None:
    parties, *_ = small(SealKind.BAND)
    encoded = parties.office.encode()
    assert len(encoded) == 32 + 16 + 128 * 32
    read = SealSecrets.decode(encoded)
    assert read.encode() == encoded
    assert read.one_time.public == parties.office.one_time.public
    shown = repr(parties.office) + repr(parties.sender) + repr(parties.receiver)
    for secret in (ONE, TWO, BITS, SEED, *parties.office.transfers.keys):
        assert repr(secret)[2:-1] not in shown
        assert secret.hex() not in shown


def test_a_seed_is_fresh_and_its_first_message_its_own() -> None:
    seeds = [fresh_seed() for _ in range(20)]
    assert {len(seed) for seed in seeds} == {32}
    assert len(set(seeds)) == len({Receiver.first_message(seed) for seed in seeds}) == 20
    secret = reference.scalar_of(SEED, b"escapement/v1/base-transfer-scalar")
    assert Receiver.first_message(SEED) == reference.times_base(secret)
