"""Masks cancel, seeds open only where they belong, and no row moves a sum too far."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from privacy import two_key_sum
from privacy.envelopes import SealKey, SigningKey, digest, frame
from privacy.errors import AnswerRefused, InvalidParameter, PlanRefused
from privacy.fixed_point import to_ring
from privacy.loss import Rho
from privacy.masks import Seed, mask
from privacy.plans import NightPlan, PlannedReleases, ReleasePlan, open_release, sign
from privacy.purposes import Purpose
from privacy.seal_plans import SealPlan, most_outlets
from privacy.two_key_sum import (
    SALT_BYTES,
    Aggregate,
    Carried,
    Contribution,
    KeptSeed,
    Parts,
    check_share,
    digest_of_set,
    mask_share,
    open_seed,
    shares_of,
    sum_of_masks,
)
from tests.privacy.seals import is_uniform
from tests.privacy.seals import plan_of as plan_of_seal

SCALE = 2**16
KEY = SealKey.generate()
OUTLETS = {name: SigningKey.generate() for name in "abc"}
PUBLIC = {name: key.public for name, key in OUTLETS.items()}


def seal_of(slots: int) -> SealPlan:
    return plan_of_seal(slots, key=KEY.public.hex())


def kept_of(plan: ReleasePlan | SealPlan, seed: Seed) -> KeptSeed:
    """What the office keeps of an answer to this plan."""
    return KeptSeed(seed, plan.dimension)


def plan_of(dimension: int, bits: int = 64, **changes: object) -> ReleasePlan:
    plan = ReleasePlan(
        "r", "00" * 32, "", Purpose.MOMENTS, dimension, bits,
        SCALE, SCALE, 2**28, 0, 3, "s", "d", "2026-01-31", "", KEY.public.hex(), 100,
    )  # fmt: skip
    return replace(plan, **changes)  # type: ignore[arg-type]


@settings(deadline=None)
@given(
    st.lists(hnp.arrays(np.float64, (3, 4), elements=st.floats(-2, 2)), min_size=3, max_size=3),
    st.sampled_from([32, 64]),
)
def test_masks_cancel_to_the_exact_sum_of_clipped_rows(parts: list[np.ndarray], bits: int) -> None:
    plan = plan_of(4, bits)
    contributions = [Contribution(rows) for rows in parts]
    shares = [
        mask_share(c, plan, "ab" * 32, name, OUTLETS[name])
        for c, name in zip(contributions, OUTLETS, strict=True)
    ]
    for share in shares:
        check_share(share, plan, "ab" * 32, PUBLIC)
    aggregate = Aggregate.of(plan, shares)
    seeds = [open_seed(envelope, "ab" * 32, KEY) for envelope in aggregate.envelopes]
    answer = sum_of_masks(plan, [KeptSeed(seed, plan.dimension) for seed in seeds])
    release = aggregate.customer_release(answer.tobytes(), np.zeros(4, dtype=np.int64))
    expected = sum(c.sums(plan) for c in contributions)
    assert (release.values * SCALE).tolist() == np.asarray(expected).tolist()


def parts_of(slots: int) -> st.SearchStrategy[Parts]:
    """Whole points of some slots, beyond the bounds too; the evidence last."""
    chosen = st.lists(st.integers(0, slots - 1), unique=True, max_size=slots)
    return chosen.flatmap(
        lambda places: st.lists(
            st.tuples(*[st.integers(-100, 100)] * 2, st.integers(-3, 12)),
            min_size=len(places),
            max_size=len(places),
        ).map(lambda rows: Parts(np.array(rows, np.int64).reshape(-1, 3), np.array(places, int)))
    )


def clear(parts: Parts, slots: int) -> list[list[int]]:
    """What an outlet gives each slot, by the bounds of the protocol in plain numbers."""
    given_to = dict(zip(parts.slots.tolist(), parts.parts.tolist(), strict=True))
    return [
        [max(-60, min(60, first)), max(-60, min(60, second)), max(0, min(6, events))]
        for first, second, events in (given_to.get(slot, [0, 0, 0]) for slot in range(slots))
    ]


@given(parts_of(5), parts_of(5), parts_of(3))
def test_a_seals_shares_are_those_of_the_clear_sums_carried_answers_included(
    one: Parts, other: Parts, earlier: Parts
) -> None:
    """Of an outlet that was carried its own shorter vector, slot by slot; order is nothing."""
    old, plan = seal_of(3), seal_of(5)
    absent = mask_share(earlier, old, "cd" * 32, "c", OUTLETS["c"])
    shares = [
        mask_share(parts, plan, "ab" * 32, name, OUTLETS[name])
        for parts, name in zip((one, other), "ba", strict=True)
    ]
    for share in shares:
        check_share(share, plan, "ab" * 32, PUBLIC)
        assert share.vector.dtype == np.uint16
    last = Carried(absent.envelope, "cd" * 32)
    aggregate = Aggregate.of(plan, shares, [(last, absent.vector)])
    assert aggregate.outlets == ("a", "b", "c")
    assert [envelope.outlet for envelope in aggregate.envelopes] == ["a", "b"]
    assert aggregate.carried == (last,)
    seeds = [kept_of(plan, open_seed(e, "ab" * 32, KEY)) for e in aggregate.envelopes]
    seeds.append(kept_of(old, open_seed(absent.envelope, "cd" * 32, KEY)))
    masks = shares_of(plan, sum_of_masks(plan, seeds))
    assert (masks == shares_of(plan, sum_of_masks(plan, seeds[::-1]))).all()
    assert aggregate.shares().shape == masks.shape == (5, 3)
    assert aggregate.shares().dtype == masks.dtype == np.uint16
    total = np.array(clear(one, 5)) + clear(other, 5) + [*clear(earlier, 3), [0] * 3, [0] * 3]
    assert ((aggregate.shares() - masks).astype(np.int16) == total).all()


def test_parts_are_given_to_each_slot_once_and_to_none_outside() -> None:
    plan, rows = seal_of(4), np.array([[1, 2, 3], [4, 5, 6]])
    assert Parts(rows, np.array([3, 0])).sums(plan).tolist() == [4, 5, 6, *[0] * 6, 1, 2, 3]
    assert Parts(np.zeros((0, 3), int), np.zeros(0, int)).sums(plan).tolist() == [0] * 12
    for slots in ([1, 1], [0], [0, 1, 2]):
        with pytest.raises(InvalidParameter, match="3 numbers a slot, each slot once"):
            Parts(rows, np.array(slots)).sums(plan)
    for width in (2, 4):
        with pytest.raises(InvalidParameter, match="3 numbers a slot, each slot once"):
            Parts(np.zeros((2, width), int), np.array([0, 1])).sums(plan)
    for slots in ([0, 4], [-1, 0]):
        with pytest.raises(InvalidParameter, match="a slot is outside the plan's"):
            Parts(rows, np.array(slots)).sums(plan)


def test_no_outlet_adds_more_than_its_bounds_however_large_its_parts_are() -> None:
    """Saturated at 60 points and six events, so that `most_outlets` of them never wrap."""
    plan, name = seal_of(3), "ab" * 32
    rows = np.array([[10**6, -(10**6), 10**6], [60, -60, 6], [2**62, -(2**62), -(2**62)]])
    total = np.zeros((3, 3), np.uint16)
    for number in range(most_outlets(plan.slots)):
        share = mask_share(Parts(rows, np.arange(3)), plan, name, f"o{number}", OUTLETS["a"])
        seed = open_seed(share.envelope, name, KEY)
        total += (share.vector - mask(seed, plan.dimension, 16)).reshape(3, 3)
    outlets = most_outlets(plan.slots)
    expected = [[60 * outlets, -60 * outlets, 6 * outlets]] * 2
    assert total.astype(np.int16).tolist() == [*expected, [60 * outlets, -60 * outlets, 0]]


@pytest.mark.statistical
def test_a_seals_masked_vectors_and_their_sum_are_uniform() -> None:
    """60,000 residues of equal parts, by their high and low byte; false alarms 1 in 10^6."""
    plan = seal_of(20_000)
    parts = Parts(np.full((20_000, 3), 5), np.arange(20_000))
    shares = [mask_share(parts, plan, "ab" * 32, name, OUTLETS[name]) for name in "ab"]
    sent = [share.vector for share in shares]
    for vector in (*sent, Aggregate.of(plan, shares).masked_sum, sent[0] - sent[1]):
        assert is_uniform(vector >> 8, 256)
        assert is_uniform(vector & 0xFF, 256)


def test_a_mask_longer_than_the_plan_is_refused() -> None:
    kept = KeptSeed(Seed.fresh(), 5)
    with pytest.raises(InvalidParameter, match="shorter than an answer it carries"):
        sum_of_masks(plan_of(4), [kept])
    assert "secret" in repr(kept)


@given(hnp.arrays(np.float64, (6, 4), elements=st.floats(-1e3, 1e3)), st.integers(0, 5))
def test_taking_one_unit_away_moves_the_sum_by_at_most_the_norm(
    rows: np.ndarray, gone: int
) -> None:
    plan = plan_of(4)
    whole = Contribution(rows).sums(plan)
    less = Contribution(np.delete(rows, gone, axis=0)).sums(plan)
    moved = [int(value) for value in whole - less]
    assert sum(value * value for value in moved) <= plan.norm**2


def test_a_contribution_of_another_width_is_refused() -> None:
    with pytest.raises(InvalidParameter, match="got width 3, expected 4"):
        Contribution(np.ones((2, 3))).sums(plan_of(4))


def test_a_seed_and_a_share_are_fresh_every_time() -> None:
    plan = plan_of(4)
    contribution = Contribution(np.ones((1, 4)))
    one, two = (mask_share(contribution, plan, "ab" * 32, "a", OUTLETS["a"]) for _ in range(2))
    assert one.vector.tolist() != two.vector.tolist()
    assert "secret" in repr(Seed.fresh())


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_seed_of_another_length_is_none(length: int) -> None:
    with pytest.raises(InvalidParameter, match=f"seed: got {length} bytes, expected 32"):
        Seed.of(bytes(length))


def test_a_mask_is_the_aes_256_ctr_key_stream() -> None:
    # NIST SP 800-38A has no vector from counter 0; this is AES-256 of the zero block [FIPS 197].
    stream = mask(bytes(32), 2, 64).tobytes()
    assert stream.hex() == "dc95c078a2408989ad48a21492842087"


@pytest.mark.parametrize(
    ("outlet", "plan_digest"), [("b", "ab" * 32), ("a", "cd" * 32)], ids=["outlet", "plan"]
)
def test_a_seed_does_not_open_for_another_outlet_or_plan(outlet: str, plan_digest: str) -> None:
    plan = plan_of(4)
    share = mask_share(Contribution(np.ones((1, 4))), plan, "ab" * 32, "a", OUTLETS["a"])
    moved = replace(share.envelope, outlet=outlet)
    with pytest.raises(AnswerRefused, match="does not open") as caught:
        open_seed(moved, plan_digest, KEY)
    assert caught.value.outlet == outlet


PLAN = plan_of(4)
SHARE = mask_share(Contribution(np.ones((1, 4))), PLAN, "ab" * 32, "a", OUTLETS["a"])


def test_a_tampered_vector_is_refused_by_hq() -> None:
    tampered = replace(SHARE, vector=SHARE.vector + np.uint64(1))
    with pytest.raises(AnswerRefused, match="vector and commitment differ"):
        check_share(tampered, PLAN, "ab" * 32, PUBLIC)


@given(st.binary(max_size=64))
def test_a_salt_other_than_the_one_that_was_committed_to_is_refused_by_hq(salt: bytes) -> None:
    """Also where it is shorter or longer, and signed: an outlet's answer has one form."""
    with pytest.raises(AnswerRefused, match="vector and commitment differ"):
        check_share(replace(SHARE, salt=salt), PLAN, "ab" * 32, PUBLIC)


@pytest.mark.parametrize("length", [0, 16, 31, 33, 64])
def test_a_salt_of_another_length_is_refused_though_its_outlet_signed_it(
    length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(two_key_sum, "SALT_BYTES", length)
        share = mask_share(Contribution(np.ones((1, 4))), PLAN, "ab" * 32, "a", OUTLETS["a"])
    assert len(share.salt) == length
    with pytest.raises(AnswerRefused, match="vector and commitment differ"):
        check_share(share, PLAN, "ab" * 32, PUBLIC)


def test_the_commitment_is_frozen() -> None:
    fields = (bytes.fromhex("ab" * 32), b"a", SHARE.salt, SHARE.vector.astype("<u8").tobytes())
    made = hashlib.sha256(frame(b"escapement/v1/commitment", *fields)).hexdigest()
    assert SHARE.envelope.commitment == made
    vector = np.arange(3, dtype="<u4")
    assert (
        two_key_sum._commitment("cd" * 32, "o1", bytes(range(32)), vector)
        == "5246b9145f795f45b093f8aa4351b4ee701b9b9aebc48aa25918e13890a04c68"
    )


def test_a_salt_is_random_and_never_made_of_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one seed, plan and vector, the office's view of two answers has nothing in common."""
    kept = Seed.fresh()
    monkeypatch.setattr(Seed, "fresh", lambda: kept)
    shares = [
        mask_share(Contribution(np.ones((1, 4))), PLAN, "ab" * 32, "a", OUTLETS["a"])
        for _ in range(20)
    ]
    assert len({share.vector.tobytes() for share in shares}) == 1
    assert len({share.salt for share in shares}) == 20
    assert len({share.envelope.commitment for share in shares}) == 20
    assert {len(share.salt) for share in shares} == {SALT_BYTES}


def test_the_office_cannot_tell_a_right_guess_from_a_wrong_one() -> None:
    """It opens the seed and knows the mask, so that it lacks nothing but the salt.

    This is `attacks/digest_oracle.py`: of a few customers it tried all vectors until one fitted.
    """
    envelope = SHARE.envelope
    seed = open_seed(envelope, "ab" * 32, KEY)
    masked = to_ring(Contribution(np.ones((1, 4))).sums(PLAN), PLAN.outlet_bound, 64) + mask(
        seed, 4, 64
    )
    assert masked.tolist() == SHARE.vector.tolist()  # the right guess
    assert digest(masked.tobytes()) != envelope.commitment
    derived = [hashlib.sha256(bytes(seed)).digest(), mask(seed, 8, 64).tobytes()[32:]]
    for salt in (b"", bytes(SALT_BYTES), bytes(seed), *derived, envelope.sealed_seed[:32]):
        made = two_key_sum._commitment("ab" * 32, "a", salt, masked)
        assert made != envelope.commitment
    for shown in (envelope.sealed_seed, envelope.signature, repr(envelope).encode()):
        assert SHARE.salt not in shown
        assert SHARE.salt.hex().encode() not in shown
    assert repr(SHARE.salt)[2:-1] not in repr(SHARE)


def test_a_commitment_is_for_one_plan_and_one_outlet() -> None:
    made = {
        two_key_sum._commitment(plan, outlet, SHARE.salt, SHARE.vector)
        for plan in ("ab" * 32, "cd" * 32)
        for outlet in ("a", "b", "")
    }
    assert len(made) == 6


@pytest.mark.parametrize(
    "changes",
    [
        {"commitment": "zz" * 32},
        {"commitment": SHARE.envelope.commitment.upper()},
        {"commitment": SHARE.envelope.commitment[:-2] + "  "},
        {"commitment": "ä" * 64},
        {"commitment": SHARE.envelope.commitment[:-1]},
        {"commitment": "00" * 32},
        {"sealed_seed": SHARE.envelope.sealed_seed[:-1]},
        {"sealed_seed": bytes(80)},
        {"signature": SHARE.envelope.signature[:-1]},
        {"signature": bytes(64)},
        {"outlet": "b"},
    ],
)
def test_an_envelope_has_one_form_and_nothing_else_happens(changes: dict[str, Any]) -> None:
    assert SHARE.envelope.signed_by(PUBLIC["a"], "ab" * 32)
    assert not replace(SHARE.envelope, **changes).signed_by(PUBLIC["a"], "ab" * 32)
    with pytest.raises(AnswerRefused):
        check_share(
            replace(SHARE, envelope=replace(SHARE.envelope, **changes)), PLAN, "ab" * 32, PUBLIC
        )


def test_the_sums_of_a_seal_are_no_customer_release_and_the_other_way_round() -> None:
    seal = Aggregate.of(seal_of(2), [])
    answer, zeros = seal.masked_sum.tobytes(), np.zeros(6, dtype=np.int64)
    with pytest.raises(InvalidParameter, match="seal-1: the sums of a seal are never opened"):
        seal.customer_release(answer, zeros)
    customers = Aggregate.of(plan_of(6), [])
    with pytest.raises(InvalidParameter, match="r: a customer sum is not sealed"):
        customers.shares()
    with pytest.raises(InvalidParameter, match="r: a customer sum is not sealed"):
        shares_of(plan_of(6), customers.masked_sum)
    assert customers.customer_release(bytes(48), zeros).values.tolist() == [0.0] * 6
    with pytest.raises(AnswerRefused, match="another length"):
        customers.customer_release(bytes(47), zeros)


def test_a_set_is_named_by_all_of_its_answers_in_whatever_order() -> None:
    """HQ's streams are bound to this name: two sets of one name would show their choices."""
    envelopes = [
        mask_share(PARTS, seal_of(3), "ab" * 32, name, OUTLETS[name]).envelope for name in "abc"
    ]
    one, two, three = envelopes
    named = digest_of_set([one, two], [Carried(three, "cd" * 32)])
    assert named == digest_of_set([two, one], iter([Carried(three, "cd" * 32)]))
    assert len(bytes.fromhex(named)) == 32
    changed = [
        replace(one, outlet="d"),
        replace(one, sealed_seed=bytes(80)),
        replace(one, commitment="00" * 32),
        replace(one, signature=bytes(64)),
    ]
    others = [
        *(digest_of_set([other, two], [Carried(three, "cd" * 32)]) for other in changed),
        digest_of_set([one, two], []),
        digest_of_set([one, two, two], [Carried(three, "cd" * 32)]),
        digest_of_set([one, two, three], []),
        digest_of_set([one, two], [Carried(three, "ef" * 32)]),
        digest_of_set([one], [Carried(two, "cd" * 32), Carried(three, "cd" * 32)]),
        digest_of_set([], []),
    ]
    assert len({named, *others}) == 1 + len(others)


@pytest.mark.parametrize("bits", [32, 64])
def test_a_share_of_another_ring_or_length_than_the_seals_is_refused(bits: int) -> None:
    plan = seal_of(3)
    share = mask_share(PARTS, plan, "ab" * 32, "a", OUTLETS["a"])
    wide = share.vector.astype(f"<u{bits // 8}")
    for vector in (wide, share.vector[:-1], share.vector.reshape(3, 3)):
        with pytest.raises(AnswerRefused, match="another shape or ring"):
            check_share(replace(share, vector=vector), plan, "ab" * 32, PUBLIC)


def test_an_answer_to_one_kind_of_plan_verifies_for_no_other() -> None:
    seal, name = seal_of(3), "ab" * 32
    share = mask_share(PARTS, seal, name, "a", OUTLETS["a"])
    customers = plan_of(9, 32, purpose=Purpose.CALIBRATION)
    with pytest.raises(AnswerRefused):
        check_share(share, customers, name, PUBLIC)
    with pytest.raises(AnswerRefused):
        check_share(SHARE, seal, name, PUBLIC)


PARTS = Parts(np.array([[1, 2, 3]]), np.array([1]))


def test_a_plan_reads_back_as_it_was_signed() -> None:
    office = SigningKey.generate()
    plan = plan_of(4)
    assert open_release(sign(plan, office), office.public, 99) == plan


def test_an_expired_unsigned_or_edited_plan_is_refused() -> None:
    office = SigningKey.generate()
    signed = sign(plan_of(4), office)
    with pytest.raises(PlanRefused, match="expired 0 s ago"):
        open_release(signed, office.public, 100)
    with pytest.raises(PlanRefused, match="not signed"):
        open_release(signed, SigningKey.generate().public, 1)
    edited = replace(signed, payload=signed.payload.replace(b'"quorum":3', b'"quorum":1'))
    with pytest.raises(PlanRefused, match="not signed"):
        open_release(edited, office.public, 1)


NIGHT = NightPlan("n", "2026-01-01", (PlannedReleases(Purpose.MOMENTS, 2, Rho(1, 3)),), 1, "h", 9)


@pytest.mark.parametrize(
    "payload",
    [
        NIGHT.encode().replace(b'"moments",2', b'"moments",true'),
        NIGHT.encode().replace(b'"1/3"', b'"-1/3"'),
        NIGHT.encode().replace(b'"moments"', b'"money"'),
        NIGHT.encode().replace(b'"ledger_length":1', b'"ledger_length":1,"ledger_length":1'),
    ],
)
def test_a_malformed_night_plan_is_refused(payload: bytes) -> None:
    assert NightPlan.decode(NIGHT.encode()) == NIGHT
    with pytest.raises(PlanRefused):
        NightPlan.decode(payload)


@pytest.mark.parametrize(
    "payload",
    [b"[]", b"{}", b"\xff", plan_of(4).encode().replace(b'"dimension":4', b'"dimension":true'),
     plan_of(4).encode().replace(b'"dimension"', b' "dimension"')],
)  # fmt: skip
def test_a_malformed_plan_is_refused(payload: bytes) -> None:
    with pytest.raises(PlanRefused):
        ReleasePlan.decode(payload)
