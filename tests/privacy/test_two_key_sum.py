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
from privacy.two_key_sum import (
    SALT_BYTES,
    Aggregate,
    Carried,
    Contribution,
    KeptSeed,
    check_share,
    mask_share,
    open_seed,
    sum_of_masks,
)
from privacy.units import Purpose
from tests.builders import SCALE

KEY = SealKey.generate()
OUTLETS = {name: SigningKey.generate() for name in "abc"}
PUBLIC = {name: key.public for name, key in OUTLETS.items()}


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


@settings(deadline=None)
@given(
    st.lists(hnp.arrays(np.float64, (2, 5), elements=st.floats(-2, 2)), min_size=2, max_size=2),
    hnp.arrays(np.float64, (2, 3), elements=st.floats(-2, 2)),
    st.sampled_from([32, 64]),
)
def test_a_carried_answer_adds_exactly_its_own_shorter_vector(
    parts: list[np.ndarray], earlier: np.ndarray, bits: int
) -> None:
    old, plan = plan_of(3, bits, purpose=Purpose.POINTS), plan_of(5, bits, purpose=Purpose.POINTS)
    absent = mask_share(Contribution(earlier), old, "cd" * 32, "c", OUTLETS["c"])
    shares = [
        mask_share(Contribution(rows), plan, "ab" * 32, name, OUTLETS[name])
        for rows, name in zip(parts, "ba", strict=True)
    ]
    last = Carried(absent.envelope, "cd" * 32)
    aggregate = Aggregate.of(plan, shares, [(last, absent.vector)])
    assert aggregate.outlets == ("a", "b", "c")
    assert [envelope.outlet for envelope in aggregate.envelopes] == ["a", "b"]
    assert aggregate.carried == (last,)
    kept = [KeptSeed(open_seed(e, "ab" * 32, KEY), 5) for e in aggregate.envelopes]
    kept.append(KeptSeed(open_seed(absent.envelope, "cd" * 32, KEY), 3))
    answer = sum_of_masks(plan, kept)
    assert answer.tolist() == sum_of_masks(plan, kept[::-1]).tolist()
    table = aggregate.score_table(answer.tobytes(), np.zeros(5, dtype=np.int64))
    expected = sum(Contribution(rows).sums(plan) for rows in parts)
    expected = np.asarray(expected) + np.append(Contribution(earlier).sums(old), [0, 0])
    assert (table.values * SCALE).tolist() == expected.tolist()


def test_a_mask_longer_than_the_plan_is_refused() -> None:
    kept = KeptSeed(Seed.fresh(), 5)
    with pytest.raises(InvalidParameter, match="shorter than an answer it carries"):
        sum_of_masks(plan_of(4), [kept])
    assert "secret" in repr(kept)


@given(
    hnp.arrays(np.float64, (6, 4), elements=st.floats(-1e3, 1e3)),
    st.integers(0, 5),
    st.booleans(),
)
def test_taking_one_unit_away_moves_the_sum_by_at_most_the_norm(
    rows: np.ndarray,
    gone: int,
    scattered: bool,  # noqa: FBT001
) -> None:
    plan = plan_of(12 if scattered else 4)
    starts = np.array([0, 4, 8, 0, 4, 8]) if scattered else None
    whole = Contribution(rows, starts).sums(plan)
    fewer_starts = None if starts is None else np.delete(starts, gone)
    less = Contribution(np.delete(rows, gone, axis=0), fewer_starts).sums(plan)
    moved = [int(value) for value in whole - less]
    assert sum(value * value for value in moved) <= plan.norm**2


def test_a_seed_and_a_share_are_fresh_every_time() -> None:
    plan = plan_of(4)
    contribution = Contribution(np.ones((1, 4)))
    one, two = (mask_share(contribution, plan, "ab" * 32, "a", OUTLETS["a"]) for _ in range(2))
    assert one.vector.tolist() != two.vector.tolist()
    assert "secret" in repr(Seed.fresh())


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


def test_a_sum_of_points_is_no_customer_release_and_the_other_way_round() -> None:
    zeros = np.zeros(4, dtype=np.int64)
    for purpose, method in [(Purpose.POINTS, "customer_release"), (Purpose.MOMENTS, "score_table")]:
        aggregate = Aggregate.of(plan_of(4, purpose=purpose), [])
        with pytest.raises(InvalidParameter):
            getattr(aggregate, method)(aggregate.masked_sum.tobytes(), zeros)


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
