"""The parts that an outlet gives to seals."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from features.errors import CatalogueError
from features.events import CustomerSums
from features.points import ELSEWHERE, count_points, outlet_parts
from features.scorecard import encode_scorecards
from outlet_client.contribution.contributions import SlotSums
from outlet_client.errors import QuestionRefused
from privacy.dither import Dither
from privacy.envelopes import digest
from privacy.errors import PlanRefused
from privacy.purposes import Purpose
from privacy.seal_plans import SealKind, SealPlan
from privacy.slot_keys import OneTimeKey
from privacy.two_key_sum import Aggregate, KeptSeed, open_seed, shares_of, sum_of_masks
from sandbox.network import home_key
from tests.networks import CUT_OFF, small_world
from tests.outlet_client.contributing import (
    BOTH,
    BOTH_CARDS,
    CARD,
    EVENTS,
    MOMENTS,
    NEITHER,
    NOW,
    OUTLETS,
    Stage,
    floors_of,
    fresh,
    plan_of,
    seal_of,
    slots_of,
)
from tests.outlet_client.questions import CUTS, UNLOCK

if TYPE_CHECKING:
    from privacy.plans import ReleasePlan


@pytest.mark.parametrize("scores", [1, 2])
def test_the_parts_of_a_seal_are_of_everybody_listed_whom_the_outlet_has_met(scores: int) -> None:
    """One customer after another, each from their own events alone."""
    world, away = small_world(), 0
    cards = BOTH[:scores]
    for name, outlet in OUTLETS.items():
        events = world.events[name]
        found = slots_of(outlet, seal_of(outlet, scores=scores), encode_scorecards(cards))
        for slot, customer in enumerate(world.customers):
            one = CustomerSums.of(events, pl.Series([customer]))
            at_home = world.homes[slot] == name
            key = home_key(customer).slot_key.public
            dither = outlet.dither.of_slots([key], [card.outcome for card in cards])
            expected = outlet_parts(cards, one, np.array([at_home]), dither)
            assert found[slot].tolist() == expected[0].tolist()
            away += bool(found[slot].any()) and not at_home
    assert away > 50


def test_an_event_of_nobody_in_the_directory_adds_nothing() -> None:
    nobody = SlotSums.of(EVENTS, np.full(len(EVENTS.keys), -1), np.zeros(0, np.int64))
    unlisted = fresh(views={str(CUT_OFF): nobody})
    assert not slots_of(unlisted, seal_of(unlisted)).any()
    assert slots_of(OUTLETS["O1"], seal_of(OUTLETS["O1"])).any()


def test_where_it_is_not_the_home_an_outlet_halves_the_points_of_the_number_of_events() -> None:
    places = np.arange(len(EVENTS.keys)) % 7
    away = SlotSums.of(EVENTS, places, np.array([1, 5, 300]))
    assert away.slots.tolist() == list(range(7))
    assert away.at_home.tolist() == [False, True, False, False, False, True, False]
    full = count_points(CARD, away.sums.counts, np.ones(7, bool))
    counted = count_points(CARD, away.sums.counts, away.at_home)
    assert (counted / full).tolist() == np.where(away.at_home, 1.0, ELSEWHERE).tolist()
    assert away.sums.counts.sum() == len(EVENTS.keys)


def test_parts_are_rounded_by_the_outlets_own_dither_alike_in_every_seal() -> None:
    outlet = OUTLETS["O1"]
    first = slots_of(outlet, seal_of(outlet))
    again = slots_of(outlet, seal_of(outlet, release="a week later", hq_key=UNLOCK.public.hex()))
    assert again.tolist() == first.tolist()
    other = replace(outlet, dither=Dither.of(b"another folder"))
    moved = slots_of(other, seal_of(other)) - first
    assert set(moved[:, :2].ravel().tolist()) == {-1, 0, 1}
    assert not moved[:, 2].any()  # evidence is a count
    rekeyed = replace(outlet, keys=outlet.keys[::-1])
    assert (slots_of(rekeyed, seal_of(rekeyed)) != first).any()


def test_all_outlets_answers_are_shares_of_the_sum_of_their_parts() -> None:
    """As HQ and the office hold them: masked vectors, and masks; neither alone is the sum."""
    keys, shares, seeds, parts = {}, [], [], []
    office = Stage(fresh())
    question = office.ask(plan := seal_of(office.outlet), scorecard=BOTH_CARDS)
    name = digest(question["plan"])
    for outlet in OUTLETS.values():
        mine = fresh(outlet, office=office.key.public)
        share = mine.answer(question)
        assert share.vector.dtype == np.uint16
        keys[outlet.name] = mine.key.public
        assert share.envelope.signed_by(mine.key.public, name)
        shares.append(share)
        seeds.append(KeptSeed(open_seed(share.envelope, name, UNLOCK), plan.dimension))
        parts.append(slots_of(outlet, plan))
    held = Aggregate.of(plan, shares).shares()
    total = np.sum(parts, axis=0)
    opened = (held - shares_of(plan, sum_of_masks(plan, seeds))).view(np.int16)
    assert opened.tolist() == total.tolist()
    assert (held.view(np.int16) == total).mean() < 0.01  # of 1,200 uniform numbers


@pytest.mark.parametrize("kind", SealKind)
def test_a_seal_costs_nothing_of_the_year_and_asks_for_no_noise(kind: SealKind) -> None:
    office = Stage(fresh(settings=floors_of(most_epsilon=1e-9, least_noise=1e9)))
    plan = seal_of(office.outlet, kind)
    assert office.outlet.answer(office.ask(plan, scorecard=BOTH_CARDS)).vector.any()
    with office.outlet.answers.transaction() as answers:
        assert answers.spent(NOW) == 0


def test_a_seals_answer_is_given_once_and_another_plan_of_its_name_is_refused() -> None:
    office = Stage(fresh())
    plan = seal_of(office.outlet)
    question = office.ask(plan, scorecard=BOTH_CARDS)
    first = office.outlet.answer(question)
    again = office.outlet.answer(question)
    assert (again.vector.tobytes(), again.salt, again.envelope) == (
        first.vector.tobytes(), first.salt, first.envelope
    )  # fmt: skip
    others: list[ReleasePlan | SealPlan] = [
        replace(plan, cuts=((-12, 4), CUTS[1])),
        replace(plan, transfer_key=OneTimeKey.generate().public.hex()),
        replace(MOMENTS, release=plan.release),
    ]
    for other in others:
        with pytest.raises(QuestionRefused, match="another plan of this name was answered"):
            office.outlet.answer(office.ask(other, scorecard=BOTH_CARDS))


SLOTS = len(small_world().customers)
UNFIT: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "a slot more": ({"slots": SLOTS + 1}, QuestionRefused, "got slots and scores"),
    "a slot less": ({"slots": SLOTS - 1}, QuestionRefused, "got slots and scores"),
    "one score": ({"scores": 1, "cuts": CUTS[:1]}, QuestionRefused, "got slots and scores"),
    "few outlets": ({"quorum": 2}, QuestionRefused, "this outlet's least is 3"),
    "another day": ({"as_of": "1999-01-01"}, QuestionRefused, "band codes as of 1999-01-01"),
    "a bin a point": ({"cuts": ((0, 2), CUTS[1])}, PlanRefused, "ascending by 4"),
    "odd cuts": ({"cuts": ((1, 5), CUTS[1])}, PlanRefused, "multiples of 2"),
    "no point": ({"hq_key": "00" * 32}, PlanRefused, "no point in hex"),
}


@pytest.mark.parametrize("kind", SealKind)
@pytest.mark.parametrize("invented", [NEITHER, "y_loyal_2", "made up"])
def test_no_card_is_sealed_under_a_name_that_is_not_among_tonights_outcomes(
    kind: SealKind, invented: str
) -> None:
    """Under each name it would be rounded afresh, and the mean of many seals told what it hides."""
    office = Stage(fresh())
    other = replace(CARD, outcome=invented)
    for cards in ((other,), (CARD, other), (other, CARD)):
        plan = seal_of(office.outlet, kind, len(cards))
        with pytest.raises(QuestionRefused, match=f"asks for .*{invented}.* ready for y_loyal, "):
            office.outlet.answer(office.ask(plan, scorecard=encode_scorecards(cards)))
    twice = office.ask(seal_of(office.outlet, kind), scorecard=encode_scorecards((CARD, CARD)))
    with pytest.raises(CatalogueError):
        office.outlet.answer(twice)


@pytest.mark.parametrize("unfit", UNFIT)
def test_a_seal_that_does_not_fit_this_outlet_or_the_protocol_is_refused_though_signed(
    unfit: str,
) -> None:
    changes, error, reason = UNFIT[unfit]
    office = Stage(fresh())
    good = seal_of(office.outlet)
    with pytest.raises(error, match=reason):
        office.outlet.answer(office.ask(replace(good, **changes), scorecard=BOTH_CARDS))
    assert office.outlet.answer(office.ask(good, scorecard=BOTH_CARDS)).vector.any()


def test_a_seal_with_other_scorecards_or_of_another_night_is_refused() -> None:
    office = Stage(fresh())
    question = office.ask(seal_of(office.outlet), scorecard=BOTH_CARDS)
    with pytest.raises(QuestionRefused, match="scorecard is not the plan's"):
        office.outlet.answer({**question, "scorecard": encode_scorecards(BOTH[::-1])})
    other = office.ask(seal_of(office.outlet), night="other")
    exchanged = {name: other[name] for name in ("night", "night_signature")}
    with pytest.raises(QuestionRefused, match="another night"):
        office.outlet.answer({**question, **exchanged})
    with pytest.raises(CatalogueError):
        office.outlet.answer(office.ask(seal_of(office.outlet), scorecard=CARD.encode()))


def test_fine_codes_are_of_the_cut_off_and_of_no_other_day() -> None:
    today = "2026-06-01"
    outlet = fresh(views=dict.fromkeys((str(CUT_OFF), today), OUTLETS["O1"].views[str(CUT_OFF)]))
    office = Stage(outlet)
    fine = seal_of(outlet, SealKind.FINE)
    with pytest.raises(QuestionRefused, match=f"fine codes as of {today}, .* for {CUT_OFF}$"):
        office.outlet.answer(office.ask(replace(fine, as_of=today), scorecard=BOTH_CARDS))
    with pytest.raises(QuestionRefused, match="fine codes"):
        office.outlet.answer(office.ask(fine, scorecard=BOTH_CARDS, cut_off=today))
    assert office.outlet.answer(office.ask(fine, scorecard=BOTH_CARDS)).vector.any()
    bands = seal_of(outlet, release="bands", as_of=today)
    assert office.outlet.answer(office.ask(bands, scorecard=BOTH_CARDS)).vector.any()


def test_sums_per_slot_are_given_to_no_plan_that_could_open_them() -> None:
    """Not even with noise, as release 0.1 gave them."""
    office = Stage(fresh())
    plan = seal_of(office.outlet)
    for scores in (1, 2):
        opened = plan_of(Purpose.POINTS, plan.dimension, 1.0)
        cards = encode_scorecards(BOTH[:scores])
        with pytest.raises(QuestionRefused, match="no points of this dimension"):
            office.outlet.answer(office.ask(opened, scorecard=cards))
