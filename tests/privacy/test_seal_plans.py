"""A seal plan has one form, terms within the constants, and is no other kind of plan."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.envelopes import SigningKey, digest, frame
from privacy.errors import PlanRefused
from privacy.plans import (
    NightPlan,
    PlannedReleases,
    ReleaseDraft,
    ReleasePlan,
    Signed,
    canonical,
    open_release,
    sign,
)
from privacy.purposes import Purpose
from privacy.seal_plans import (
    CHUNK_SLOTS,
    CUT_STEP,
    EVIDENCE_CAP,
    EVIDENCE_CUTS,
    EVIDENCE_MODULUS,
    FINE_CUTS,
    FINE_STEP,
    LARGEST_CUT,
    LARGEST_FULL,
    LEAST_GAP,
    LEAST_THERE,
    PART_BOUND,
    RING_BITS,
    SealContext,
    SealDraft,
    SealKind,
    SealPlan,
    is_seal_plan,
    most_counted,
    most_outlets,
    open_seal_plan,
    score_modulus,
    sign_seal,
)
from privacy.sealed_tables import SealTable
from tests.privacy.seals import BAND_CUTS, MIDDLES, plan_of
from tests.privacy.slots import NOT_POINTS, slot_key

OFFICE = SigningKey.from_bytes(bytes(range(32)))
PLAN = plan_of(7)
FINE = plan_of(7, SealKind.FINE)
DRAFT = SealDraft(
    **{k: v for k, v in asdict(PLAN).items() if k not in ("key", "slot_key", "expires")}
)
RELEASE = ReleasePlan(
    "r", "00" * 32, "", Purpose.MOMENTS, 4, 64, 1, 1, 2**28, 0, 3, "s", "d", "2026-01-31", "",
    "ab" * 32, 100,
)  # fmt: skip


def changed(plan: SealDraft, **changes: object) -> bytes:
    """Canonical bytes of a plan with other values, of whatever types."""
    return canonical({**asdict(plan), **changes})


# The form


@pytest.mark.parametrize("plan", [PLAN, FINE, DRAFT], ids=["band", "fine", "draft"])
def test_a_plan_reads_back_as_it_was_written(plan: SealDraft) -> None:
    assert type(plan).decode(plan.encode()) == plan
    assert type(plan).decode(plan.encode()).encode() == plan.encode()


def test_the_encoding_of_a_plan_is_frozen() -> None:
    assert PLAN.encode().startswith(
        b'{"as_of":"2026-03-01","cuts":[[-8,8,24],[10,20]],"directory":"'
    )
    assert digest(PLAN.encode()) == FROZEN


FROZEN = "157e337a224710850f6d7b3dfc751aaef62f264ced81d78bdfdfddac1cb3bce0"


def test_a_draft_is_no_plan_and_a_plan_no_draft() -> None:
    with pytest.raises(PlanRefused, match="other fields"):
        SealDraft.decode(PLAN.encode())
    with pytest.raises(PlanRefused, match="other fields"):
        SealPlan.decode(DRAFT.encode())
    with pytest.raises(PlanRefused, match="other fields"):
        SealPlan.decode(RELEASE.encode())
    with pytest.raises(PlanRefused, match="other fields"):
        ReleasePlan.decode(PLAN.encode())


WRONG: list[object] = [
    None,
    True,
    1.5,
    "x",
    [],
    {},
    [[]],
    [[True]],
    [["8"]],
    [[8.0]],
    [{}],
    ["ab"],
    {"8": 1},
    -1,
]


@pytest.mark.parametrize("field", sorted(asdict(PLAN)))
@pytest.mark.parametrize("value", WRONG, ids=repr)
def test_a_field_of_another_type_is_refused(field: str, value: object) -> None:
    """Or read as it is: no other bytes ever stand for the same plan."""
    data = changed(PLAN, **{field: value})
    try:
        read = SealPlan.decode(data)
    except PlanRefused:
        return
    assert read.encode() == data
    assert type(getattr(read, field)) is type(getattr(PLAN, field))
    if field == "cuts":
        with pytest.raises(PlanRefused):
            read.check()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


@given(st.sampled_from(sorted(asdict(PLAN))), JSON)
def test_whatever_stands_in_a_field_the_plan_is_refused_or_read_as_it_is(
    field: str, value: object
) -> None:
    data = changed(PLAN, **{field: value})
    try:
        read = SealPlan.decode(data)
        read.check()
    except PlanRefused:
        return
    assert read.encode() == data


@given(st.binary(max_size=200))
def test_random_bytes_are_refused_and_nothing_else_happens(data: bytes) -> None:
    with pytest.raises(PlanRefused):
        SealPlan.decode(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[" * 100_000,
        b"[]",
        b"null",
        PLAN.encode() + b"\n",
        PLAN.encode().replace(b'"cuts"', b' "cuts"'),
        PLAN.encode().replace(b'"quorum":3', b'"quorum":3,"quorum":3'),
        PLAN.encode().replace(b'"quorum":3', b'"quorum":' + b"9" * 5000),
        PLAN.encode().replace(b'"quorum":3', b'"quorum":03'),
        PLAN.encode().replace(b'"parent":""', b'"more":"","parent":""'),
        PLAN.encode().replace(b'"parent":"",', b""),
        PLAN.encode().replace(b'"parent":""', b'"parent":"\xff"'),
    ],
    ids=range(12),
)  # fmt: skip
def test_what_is_not_canonical_is_refused(data: bytes) -> None:
    with pytest.raises(PlanRefused, match=r"^plan: "):
        SealPlan.decode(data)


# The terms


@st.composite
def band_cuts(draw: st.DrawFn) -> tuple[int, ...]:
    """Two or three, as the protocol has them."""
    steps = draw(st.lists(st.integers(2, 100), min_size=1, max_size=2))
    first = draw(st.integers(-LARGEST_CUT // 2, LARGEST_CUT // 2 - sum(steps)))
    return tuple(2 * (first + sum(steps[:count])) for count in range(len(steps) + 1))


@given(st.lists(band_cuts(), min_size=1, max_size=2), st.integers(1, 2**25))
def test_cuts_within_the_law_pass(cuts: list[tuple[int, ...]], slots: int) -> None:
    plan = plan_of(slots, SealKind.BAND, tuple(cuts))
    plan.check()
    assert plan.width == len(cuts) + 1
    assert len(plan.tables()) == plan.width


@given(st.lists(st.lists(st.integers(-1010, 1010), max_size=4), max_size=3))
def test_check_is_the_law_of_cuts(cuts: list[list[int]]) -> None:
    made = tuple(tuple(of_one) for of_one in cuts)
    band = 1 <= len(made) <= 2 and all(
        2 <= len(of_one) <= 3
        and all(cut % CUT_STEP == 0 and -LARGEST_CUT <= cut <= LARGEST_CUT for cut in of_one)
        and all(high - low >= LEAST_GAP for low, high in pairwise(of_one))
        for of_one in made
    )
    fine = 1 <= len(made) <= 2 and all(
        len(of_one) == 1 and abs(of_one[0]) <= LARGEST_CUT and of_one[0] % FINE_STEP == 0
        for of_one in made
    )
    for kind, right in [(SealKind.BAND, band), (SealKind.FINE, fine)]:
        plan = replace(plan_of(3, kind), cuts=made, scores=len(made))
        try:
            plan.check()
        except PlanRefused:
            assert not right
        else:
            assert right


@pytest.mark.parametrize(
    "cuts",
    [
        (8,), (8, 10), (8, 11), (7, 11), (8, 8), (24, 8, -8), (-8, 8, 24, 40), (), (-1002, 0),
        (0, 1002), (0, 4, 7), (0, 4, 6),
    ],
)  # fmt: skip
def test_cuts_outside_the_law_are_refused(cuts: tuple[int, ...]) -> None:
    with pytest.raises(
        PlanRefused, match=re.escape(f"seal-1: got cuts {list(cuts)}, expected 2 or 3")
    ):
        plan_of(3, cuts=(cuts,)).check()
    with pytest.raises(PlanRefused):
        plan_of(3, cuts=(BAND_CUTS[0], cuts)).check()


@pytest.mark.parametrize("middle", [(), (4, 8), (1004,), (-1004,), (1,), (2,), (-6,)])
def test_a_fine_seal_has_one_middle_a_score(middle: tuple[int, ...]) -> None:
    with pytest.raises(PlanRefused, match="expected one middle within"):
        plan_of(3, SealKind.FINE, (middle,)).check()
    plan_of(3, SealKind.FINE, ((1000,), (-1000,))).check()


def test_a_band_seal_with_middles_and_a_fine_seal_with_cuts_are_refused() -> None:
    for kind, cuts in [(SealKind.BAND, MIDDLES), (SealKind.FINE, BAND_CUTS)]:
        with pytest.raises(PlanRefused, match="got cuts"):
            plan_of(3, kind, cuts).check()


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("slots", [0, -1, 2**25 + 1]),
        ("scores", [0, 3, -1]),
        ("quorum", [0, -1, 2**31 + 1]),
        ("hq_key", ["", "00" * 32, "zz" * 32, PLAN.hq_key.upper(), PLAN.hq_key + "00"]),
        ("transfer_key", ["", "00" * 32, PLAN.hq_key[:-2], *(bad.hex() for bad in NOT_POINTS)]),
    ],
)
def test_a_number_or_key_outside_its_domain_is_refused(field: str, values: list[Any]) -> None:
    said = "a key is no point in hex" if field.endswith("key") else f"{field} is not within 1 and"
    for value in values:
        with pytest.raises(PlanRefused, match=f"^seal plan seal-1: {said}"):
            replace(PLAN, **{field: value}).check()


def test_cuts_of_another_number_of_scores_are_refused() -> None:
    for scores in (1, 2):
        plan = replace(plan_of(3, cuts=BAND_CUTS[:scores]), scores=3 - scores)
        with pytest.raises(
            PlanRefused, match=f"got cuts of {scores} scores, expected {3 - scores}"
        ):
            plan.check()


# Constants, and why they hold


@given(st.lists(band_cuts(), min_size=1, max_size=2), st.integers(-250, 250))
def test_no_cuts_tell_sums_apart_that_are_nearer_than_their_step(
    cuts: list[tuple[int, ...]], middle: int
) -> None:
    """However many seals there are: 2k and 2k + 1 have one band, 4k to 4k + 3 one bin."""
    for kind, own, step in [
        (SealKind.BAND, tuple(cuts), CUT_STEP),
        (SealKind.FINE, ((FINE_STEP * middle,),), FINE_STEP),
    ]:
        plan = plan_of(3, kind, own)
        plan.check()
        for table in plan.tables()[: plan.scores]:
            codes = table.codes(np.arange(-table.modulus // 2, table.modulus // 2))
            assert (codes.reshape(-1, step) == codes[::step, None]).all()


def test_fine_bins_are_eight_and_begin_at_multiples_of_their_step() -> None:
    assert len(FINE_CUTS) == 7
    assert all(cut % FINE_STEP == 0 for cut in FINE_CUTS)
    assert sorted(set(FINE_CUTS)) == list(FINE_CUTS)


@pytest.mark.parametrize(("slots", "counted"), [(1, 12), (LARGEST_FULL, 12), (2**25, 6)])
def test_a_slot_is_marked_before_its_sum_could_wrap(slots: int, counted: int) -> None:
    """A quarter of the outlets may add before their own registration is counted."""
    assert most_counted(slots) == counted
    assert most_counted(slots) * 4 <= most_outlets(slots) * 3


@pytest.mark.parametrize("slots", [1, LARGEST_FULL, LARGEST_FULL + 1, 2**25])
def test_no_sum_of_so_many_outlets_wraps_and_one_more_could(slots: int) -> None:
    most, half = most_outlets(slots), score_modulus(slots) // 2
    assert -half <= -most * PART_BOUND
    assert most * PART_BOUND <= half - 1
    assert most * EVIDENCE_CAP <= EVIDENCE_MODULUS - 1
    assert (most + 1) * PART_BOUND > half - 1
    assert most == (17 if slots <= LARGEST_FULL else 8)


def test_every_modulus_divides_the_ring() -> None:
    """So that shares in the ring are shares modulo D, and nothing is rounded."""
    for slots in (1, LARGEST_FULL + 1):
        for kind in SealKind:
            for table in plan_of(slots, kind).tables():
                assert 2**RING_BITS % table.modulus == 0
                assert 1 << table.choice_bits == table.modulus


def test_tables_are_of_the_cuts_and_of_constants_that_hq_does_not_choose() -> None:
    assert PLAN.tables() == (
        SealTable.of_signed(2048, (-8, 8, 24)),
        SealTable.of_signed(2048, (10, 20)),
        SealTable.of_counts(256, EVIDENCE_CUTS),
    )
    assert FINE.tables() == (
        SealTable.of_signed(2048, tuple(4 + cut for cut in FINE_CUTS)),
        SealTable.of_signed(2048, tuple(cut - 8 for cut in FINE_CUTS)),
    )
    large = plan_of(LARGEST_FULL + 1)
    assert [table.modulus for table in large.tables()] == [1024, 1024, 256]


@pytest.mark.parametrize(
    ("slots", "lengths"),
    [(1, [1]), (CHUNK_SLOTS, [CHUNK_SLOTS]), (CHUNK_SLOTS + 1, [CHUNK_SLOTS, 1]),
     (3 * CHUNK_SLOTS - 1, [CHUNK_SLOTS, CHUNK_SLOTS, CHUNK_SLOTS - 1])],
)  # fmt: skip
def test_chunks_are_fixed_and_cover_each_slot_once(slots: int, lengths: list[int]) -> None:
    assert CHUNK_SLOTS == 50_000
    plan = plan_of(slots)
    places = [plan.places(chunk) for chunk in range(plan.chunks)]
    assert [len(part) for part in places] == lengths
    assert [slot for part in places for slot in part] == list(range(slots))
    for chunk in (-1, plan.chunks):
        with pytest.raises(PlanRefused, match=f"got chunk {chunk}, expected one of {plan.chunks}"):
            plan.places(chunk)


def test_a_seal_is_of_points_in_a_small_ring() -> None:
    assert PLAN.purpose is Purpose.POINTS
    assert (PLAN.ring_bits, PLAN.outlet_bound, PLAN.width, PLAN.dimension) == (16, 60, 3, 21)


@pytest.mark.parametrize("field", sorted(asdict(DRAFT)))
def test_a_plan_is_of_the_same_draft_if_every_field_is(field: str) -> None:
    plan = replace(PLAN, key="ab" * 32, slot_key=slot_key(3).public.hex(), expires=1)
    assert plan.same_draft(DRAFT)
    assert DRAFT.same_draft(plan)
    others: dict[str, object] = {"kind": SealKind.FINE, "cuts": BAND_CUTS[:1]}
    value = getattr(DRAFT, field)
    other = others.get(field, value + 1 if isinstance(value, int) else f"{value}x")
    assert not plan.same_draft(replace(DRAFT, **{field: other}))  # type: ignore[arg-type]  # fields by name
    assert not DRAFT.same_draft(replace(plan, **{field: other}))  # type: ignore[arg-type]  # fields by name


def test_a_night_plans_line_of_seals_costs_nothing() -> None:
    line = PlannedReleases(Purpose.POINTS, 2, None)
    night = NightPlan("n", "2026-01-01", (line,), 1, "h", 9)
    assert NightPlan.decode(night.encode()) == night
    assert night.line(PLAN.purpose).total == 0


# Signed


def test_a_signed_plan_opens_until_it_expires() -> None:
    signed = sign_seal(PLAN, OFFICE)
    assert signed.digest == digest(PLAN.encode())
    assert open_seal_plan(signed, OFFICE.public, PLAN.expires - 1) == PLAN
    for late in (0, 5):
        with pytest.raises(PlanRefused, match=f"seal plan: expired {late} s ago"):
            open_seal_plan(signed, OFFICE.public, PLAN.expires + late)


def test_an_unsigned_or_edited_plan_is_refused() -> None:
    signed = sign_seal(PLAN, OFFICE)
    edited = signed.payload.replace(b"[10,20]", b"[10,14]")
    for bad in (
        replace(signed, payload=edited),
        replace(signed, signature=bytes(64)),
        Signed(
            PLAN.encode(), SigningKey.generate().sign(b"escapement/v1/seal-plan", PLAN.encode())
        ),
    ):
        with pytest.raises(PlanRefused, match="not signed by the pinned privacy office"):
            open_seal_plan(bad, OFFICE.public, 1)


def test_a_plan_whose_terms_are_outside_the_law_is_refused_though_it_is_signed() -> None:
    for bad in (plan_of(3, cuts=((8, 9),)), plan_of(3, quorum=0), plan_of(3, hq_key="00" * 32)):
        with pytest.raises(PlanRefused, match=r"^seal plan seal-1: "):
            open_seal_plan(sign_seal(bad, OFFICE), OFFICE.public, 1)


def test_what_the_office_signed_as_one_kind_of_plan_is_no_other() -> None:
    seal, release = sign_seal(PLAN, OFFICE), sign(RELEASE, OFFICE)
    with pytest.raises(PlanRefused, match="not signed"):
        open_release(seal, OFFICE.public, 1)
    with pytest.raises(PlanRefused, match="not signed"):
        open_seal_plan(release, OFFICE.public, 1)
    for signature in (OFFICE.sign(b"escapement/v1/release-plan", PLAN.encode()),
                      OFFICE.sign(PLAN.encode()), OFFICE.sign(b"", PLAN.encode())):  # fmt: skip
        with pytest.raises(PlanRefused, match="not signed"):
            open_seal_plan(Signed(PLAN.encode(), signature), OFFICE.public, 1)


TEXT = st.sampled_from(
    [
        "transfer_key",
        '"transfer_key":',
        '\\"transfer_key":',
        '","transfer_key":"',
        "\\",
        '"',
        "\\\\",
    ]
) | st.text(max_size=20)


@given(st.data())
def test_no_customer_sums_plan_is_taken_for_a_seals(data: st.DataObject) -> None:
    """Whatever HQ writes into its fields: quotes are escaped in canonical JSON."""
    texts = {
        name: data.draw(TEXT)
        for name, value in asdict(RELEASE).items()
        if isinstance(value, str) and name != "purpose"
    }
    plan = replace(RELEASE, **texts)  # type: ignore[arg-type]  # fields by name
    assert not is_seal_plan(plan.encode())
    assert not is_seal_plan(ReleaseDraft.encode(plan))
    assert ReleasePlan.decode(plan.encode()) == plan
    seal = replace(PLAN, **{k: v for k, v in texts.items() if hasattr(PLAN, k)})  # type: ignore[arg-type]  # fields by name
    assert is_seal_plan(seal.encode())


def test_which_plan_is_a_seals() -> None:
    assert is_seal_plan(PLAN.encode())
    assert is_seal_plan(FINE.encode())
    assert is_seal_plan(DRAFT.encode())
    assert not is_seal_plan(RELEASE.encode())
    assert not is_seal_plan(json.dumps({"release": "transfer_key"}).encode())


# What a chunk's secrets are bound to


def test_a_context_binds_plan_set_and_chunk_in_one_length() -> None:
    one, other = digest(b"1"), digest(b"2")
    contexts = [SealContext(p, s, c).encode() for p in (one, other) for s in (one, other)
                for c in (0, 1, 256)]  # fmt: skip
    assert len(set(contexts)) == len(contexts)
    assert {len(context) for context in contexts} == {84}
    assert contexts[0] == frame(bytes.fromhex(one), bytes.fromhex(one), bytes(8))


def test_the_codes_of_the_evidence_are_those_that_the_desk_explains() -> None:
    """None, one or two events, three to five, six and more."""
    [*_, evidence] = DRAFT.tables()
    assert evidence.codes(np.arange(9)).tolist() == [0, 1, 1, 2, 2, 2, 3, 3, 3]


def test_cuts_and_middles_reach_to_the_largest_and_no_farther() -> None:
    """Where nobody's sum is: so a band that nobody reaches has a cut, too."""
    for cuts in ((-1000, 4, 1000), (-1000, 1000)):
        SealDraft.decode(changed(DRAFT, cuts=[cuts, cuts])).check()
    for cuts in ((-1002, 4), (4, 1002)):
        with pytest.raises(PlanRefused, match=r"within|\+-1000"):
            SealDraft.decode(changed(DRAFT, cuts=[cuts, cuts])).check()


def test_of_the_outlets_of_earlier_seals_three_quarters_are_to_be_there() -> None:
    assert Fraction(3, 4) == LEAST_THERE
