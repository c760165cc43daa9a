"""Masks cancel, seeds open only where they belong, and no row moves a sum too far."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from privacy.envelopes import SealKey, SigningKey
from privacy.errors import AnswerRefused, InvalidParameter, PlanRefused
from privacy.loss import Rho
from privacy.masks import Seed, mask
from privacy.plans import NightPlan, PlannedReleases, ReleasePlan, open_release, sign
from privacy.two_key_sum import (
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
    ("outlet", "digest"), [("b", "ab" * 32), ("a", "cd" * 32)], ids=["outlet", "plan"]
)
def test_a_seed_does_not_open_for_another_outlet_or_plan(outlet: str, digest: str) -> None:
    plan = plan_of(4)
    share = mask_share(Contribution(np.ones((1, 4))), plan, "ab" * 32, "a", OUTLETS["a"])
    moved = replace(share.envelope, outlet=outlet)
    with pytest.raises(AnswerRefused, match="does not open") as caught:
        open_seed(moved, digest, KEY)
    assert caught.value.outlet == outlet


def test_a_tampered_vector_is_refused_by_hq() -> None:
    plan = plan_of(4)
    share = mask_share(Contribution(np.ones((1, 4))), plan, "ab" * 32, "a", OUTLETS["a"])
    tampered = replace(share, vector=share.vector + np.uint64(1))
    with pytest.raises(AnswerRefused, match="digest"):
        check_share(tampered, plan, "ab" * 32, PUBLIC)


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
