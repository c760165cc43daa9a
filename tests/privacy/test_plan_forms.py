"""Plans: one form, one line a purpose, and parameters with which the promised law holds."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from privacy.errors import PlanRefused
from privacy.fixed_point import LARGEST_NORM, LARGEST_SCALE
from privacy.loss import Rho
from privacy.noise import LARGEST_NOISE_SCALE
from privacy.plans import (
    LARGEST_DIMENSION,
    NightPlan,
    PlannedReleases,
    ReleaseDraft,
    ReleasePlan,
)
from privacy.purposes import Purpose
from tests.json_forms import other_forms

LINE = PlannedReleases(Purpose.MOMENTS, 3, Rho(1, 3))
NIGHT = NightPlan("n", "2026-01-01", (LINE,), 1, "h", 9)
DRAFT = ReleaseDraft(
    "r", "n", "p", Purpose.MOMENTS, 4, 64, 2**16, 2**16, 2**20, 2**18, 3, "s", "d", "2026-01-31",
    "a",
)  # fmt: skip


def test_a_line_costs_what_all_its_releases_do_and_nothing_without_noise() -> None:
    assert LINE.total == 1
    assert PlannedReleases(Purpose.POINTS, 3, None).total == 0


def test_a_night_has_one_line_a_purpose_each_of_one_release_at_least() -> None:
    for lines in ((LINE, LINE), (LINE, replace(LINE, count=1)), (replace(LINE, count=0),),
                  (replace(LINE, count=-1),)):  # fmt: skip
        with pytest.raises(PlanRefused, match="one line a purpose, each of a positive count"):
            replace(NIGHT, releases=lines)
    assert replace(NIGHT, releases=(replace(LINE, count=1),)).line(Purpose.MOMENTS).count == 1
    with pytest.raises(PlanRefused, match="plans no release for training"):
        NIGHT.line(Purpose.TRAINING)


def test_a_night_plan_in_another_form_is_refused() -> None:
    """Whether its bytes sort before or after the canonical ones."""
    for other in other_forms(NIGHT.encode()):
        with pytest.raises(PlanRefused):
            NightPlan.decode(other)


@pytest.mark.parametrize("other", [b"{}", b'""'])
def test_a_night_plan_whose_releases_are_empty_and_no_list_is_refused(other: bytes) -> None:
    data = replace(NIGHT, releases=()).encode()
    assert NightPlan.decode(data).releases == ()
    assert data.count(b"[]") == 1
    with pytest.raises(PlanRefused, match="releases are no list of lists"):
        NightPlan.decode(data.replace(b"[]", other))


def test_a_release_for_a_purpose_that_nobody_knows_is_refused() -> None:
    data = DRAFT.encode().replace(b'"moments"', b'"money"')
    with pytest.raises(PlanRefused, match="unknown purpose"):
        ReleaseDraft.decode(data)


@pytest.mark.parametrize("name", [one.name for one in fields(ReleaseDraft)])
def test_a_draft_that_differs_in_one_field_is_another_draft(name: str) -> None:
    """Whichever of the two is larger: a plan that was signed is given for its own draft only."""
    value = getattr(DRAFT, name)
    plan = ReleasePlan(**{one.name: getattr(DRAFT, one.name) for one in fields(DRAFT)}, key="k",
                       expires=1)  # fmt: skip
    assert DRAFT.same_draft(plan)
    assert DRAFT.same_draft(DRAFT)
    for other in (value + 1, value - 1) if isinstance(value, int) else ("", "~"):
        changed: Any = {name: other}
        assert not replace(DRAFT, **changed).same_draft(plan)


def test_without_noise_no_cost_bounds_a_release() -> None:
    assert replace(DRAFT, noise_scale=0).rho() is None
    assert DRAFT.rho() == Rho(1, 32)  # a quarter of the norm's inverse, squared and halved


WIDE = replace(DRAFT, outlet_bound=1, noise_scale=1)
LARGEST = {
    "dimension": LARGEST_DIMENSION,
    "scale": LARGEST_SCALE,
    "norm": LARGEST_NORM,
    "quorum": 2**31,
    "outlet_bound": 2**40,
    "noise_scale": LARGEST_NOISE_SCALE,
}


@pytest.mark.parametrize("name", LARGEST)
def test_a_parameter_is_within_its_domain_to_the_edge(name: str) -> None:
    changed: Any = {name: LARGEST[name]}
    replace(WIDE, **changed).check(outlets=3)
    beyond = 2**63 + 1 if name == "outlet_bound" else LARGEST[name] + 1
    for wrong in (beyond, -1, *([] if name == "noise_scale" else [0])):
        changed = {name: wrong}
        with pytest.raises(PlanRefused, match=f"{name.replace('_s', ' s')} is "):
            replace(WIDE, **changed).check(outlets=3)
    assert LARGEST_DIMENSION == 2**27


@pytest.mark.parametrize("bits", [0, 8, 48, 128])
def test_a_ring_is_one_that_there_is(bits: int) -> None:
    with pytest.raises(PlanRefused, match="release plan r: "):
        replace(WIDE, ring_bits=bits).check(outlets=1)


@pytest.mark.parametrize("bound", [2**62, 2**63])
def test_a_sum_that_could_wrap_is_refused(bound: int) -> None:
    replace(WIDE, outlet_bound=2**60).check(outlets=3)
    with pytest.raises(PlanRefused, match="release plan r: "):
        replace(WIDE, outlet_bound=bound).check(outlets=3)
