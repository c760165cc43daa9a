"""A question is bound to its plan field by field: what differs is refused whichever is larger.

And the outlet's floors at their very edges.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from features.learning import FLAG_SHARE, gradient_dimension
from features.scorecard import Scorecard, encode_scorecards
from outlet_client.contribution.answer_store import _ANSWERS, AnswerStore
from outlet_client.contribution.contributions import HomeCustomers
from outlet_client.contribution.scorecard_store import read_scorecards
from outlet_client.errors import QuestionRefused
from privacy.errors import PlanRefused
from privacy.loss import EpsilonDelta, Rho
from privacy.plans import ReleasePlan, sign
from privacy.purposes import Purpose
from privacy.seal_plans import SealKind, SealPlan, is_seal_plan, sign_seal
from sandbox.network import home_key
from tests.builders import outlet_at
from tests.networks import CUT_OFF, SECOND, TARGET
from tests.outlet_client.contributing import (
    BOTH,
    BOTH_CARDS,
    CARD,
    EVENTS,
    MATRICES,
    MOMENTS,
    ONE_CARD,
    OUTLETS,
    USUAL,
    Stage,
    bins_of,
    fine_book,
    floors_of,
    fresh,
    plan_of,
    seal_of,
    sealed_bins,
)
from tests.outlet_client.test_calibration_answers import PEOPLE, calibration_question

if TYPE_CHECKING:
    from pathlib import Path

BELOW, ABOVE = "0" * 64, "f" * 64
"""Digests before and after every other."""


def rebound(office: Stage, question: dict[str, bytes], **changes: str) -> dict[str, bytes]:
    """The same question with a plan that names something else, signed by the office."""
    if is_seal_plan(question["plan"]):
        seal: Any = replace(SealPlan.decode(question["plan"]), **changes)  # type: ignore[arg-type]  # fields by name
        signed = sign_seal(seal, office.key)
    else:
        plan: Any = replace(ReleasePlan.decode(question["plan"]), **changes)  # type: ignore[arg-type]  # fields by name
        signed = sign(plan, office.key)
    return {**question, "plan": signed.payload, "plan_signature": signed.signature}


REASONS = {
    "night": "another night",
    "scorecard": "scorecard is not the plan's",
    "directory": "directory is not tonight's",
    "attachment": "attachment is not the plan's",
}


@pytest.mark.parametrize("other", [BELOW, ABOVE])
@pytest.mark.parametrize("part", REASONS)
def test_a_plan_that_names_something_else_than_comes_with_it_is_refused(
    part: str, other: str
) -> None:
    office = Stage(fresh())
    plans: list[ReleasePlan | SealPlan] = [MOMENTS]
    if part != "attachment":
        plans.append(seal_of(office.outlet, scores=1))
    for plan in plans:
        question = office.ask(plan)
        with pytest.raises(QuestionRefused, match=REASONS[part]):
            office.outlet.answer(rebound(office, question, **{part: other}))
        assert office.outlet.answer(question).vector.any()


@pytest.mark.parametrize("day", ["1999-01-01", "2999-01-01"])
def test_another_day_is_refused_be_it_before_or_after(day: str) -> None:
    office = Stage(fresh())
    for as_of, cut_off in ((day, str(CUT_OFF)), (str(CUT_OFF), day), (day, day)):
        with pytest.raises(QuestionRefused, match="this outlet is ready for"):
            office.outlet.answer(office.ask(replace(MOMENTS, as_of=as_of), cut_off=cut_off))
    fine = seal_of(office.outlet, SealKind.FINE)
    with pytest.raises(QuestionRefused, match="asks for fine codes"):
        office.outlet.answer(office.ask(fine, scorecard=BOTH_CARDS, cut_off=day))


@pytest.mark.parametrize("other", [BELOW, ABOVE])
@pytest.mark.parametrize("part", ["night", "scorecard"])
def test_a_fine_book_is_held_against_the_seal_of_this_very_night_and_scorecard(
    part: str, other: str
) -> None:
    office = Stage(fresh())
    book = fine_book(PEOPLE, bins_of(PEOPLE), sealed=sealed_bins(office))
    with office.outlet.answers.transaction() as answers:
        payload = answers.fine_plan() or b""
        kept: Any = {part: other}
        answers.keep_fine_plan(replace(SealPlan.decode(payload), **kept).encode())
    with pytest.raises(QuestionRefused, match="away when its bins were sealed"):
        office.outlet.answer(calibration_question(office, book))
    with office.outlet.answers.transaction() as answers:
        answers.keep_fine_plan(payload)
    assert office.outlet.answer(calibration_question(office, book)).vector.any()


def test_a_signed_plan_whose_sum_could_leave_its_ring_is_refused() -> None:
    """What an outlet adds would wrap there, and the sum be of nothing."""
    office = Stage(fresh())
    with pytest.raises(PlanRefused):
        office.outlet.answer(office.ask(replace(MOMENTS, ring_bits=32)))


def test_noise_of_the_outlets_very_least_is_enough() -> None:
    least = MOMENTS.noise_scale / MOMENTS.norm
    office = Stage(fresh(settings=floors_of(least_noise=least)))
    below = replace(MOMENTS, noise_scale=MOMENTS.noise_scale - 1)
    with pytest.raises(QuestionRefused, match="this outlet's least is"):
        office.outlet.answer(office.ask(below))
    assert office.outlet.answer(office.ask(MOMENTS)).vector.any()


def test_a_year_may_be_spent_to_its_last_part_and_not_beyond() -> None:
    settings = floors_of(most_epsilon=1.0)
    office = Stage(fresh(settings=settings))
    office.outlet.answer(office.ask(MOMENTS))
    cost = MOMENTS.rho()
    assert cost is not None
    left = EpsilonDelta(settings.most_epsilon, settings.delta).rho() - cost
    later = office.ask(replace(MOMENTS, release="later"))
    for spent in (left + Rho(1, 2**80), left):
        with office.outlet.answers.transaction() as answers:
            answers.connection.execute(_ANSWERS.update().values(rho=Rho(spent).encode()))
        if spent > left:
            with pytest.raises(QuestionRefused, match="year is spent"):
                office.outlet.answer(later)
    assert office.outlet.answer(later).vector.any()


@pytest.mark.parametrize("kept", [2, 4])
def test_each_home_customer_has_one_key_of_its_own(kept: int) -> None:
    """With a key more or less, everybody behind would be read with a neighbour's."""
    people = pl.concat([EVENTS.customers().head(2), pl.Series(["nobody"])])
    keys = [home_key(str(place)) for place in range(kept)]
    with pytest.raises(ValueError, match="zip"):
        HomeCustomers.of(EVENTS, people, {TARGET: np.ones(3)}, np.arange(3), keys)
    office = Stage(fresh())
    book = fine_book(PEOPLE, bins_of(PEOPLE), sealed=sealed_bins(office))
    home = office.outlet.home
    short = replace(office.outlet, home=replace(home, keys=home.keys[:-1]))
    with pytest.raises(ValueError, match="zip"):
        short.answer(calibration_question(office, book))


def test_moments_are_taken_at_the_rates_of_the_first_of_two_scorecards() -> None:
    outlet = OUTLETS["O1"]
    other = Scorecard.of(SECOND, np.asarray(CARD.weights), np.asarray(USUAL) * 0.5)
    rows = [
        outlet._contribution(MOMENTS, {"scorecard": encode_scorecards(cards)}).rows.tolist()
        for cards in ((CARD,), (CARD, other), (other, CARD))
    ]
    assert rows[0] == rows[1] != rows[2]


@pytest.mark.parametrize("norm", [0.75, 2.5])
def test_gradients_are_held_within_the_plans_norm_in_the_units_of_a_row(norm: float) -> None:
    """Each scaled down to fill its room, and flagged: not cut by the last check instead."""
    plan = plan_of(Purpose.TRAINING, gradient_dimension(1), norm)
    question = {"scorecard": ONE_CARD, "attachment": MATRICES["steep"]}
    rows = OUTLETS["O1"]._contribution(plan, question).rows
    assert np.linalg.norm(rows, axis=1).max() <= norm
    assert rows[:, -1].max() == pytest.approx(FLAG_SHARE * norm, rel=1e-4)


def test_scorecards_that_bands_were_sealed_with_are_kept_with_the_answer(tmp_path: Path) -> None:
    """A card that was only sealed for bins is not what a desk explains bands by."""
    office = Stage(fresh(OUTLETS["O1"], answers=AnswerStore(outlet_at(tmp_path))))
    office.outlet.answer(office.ask(seal_of(office.outlet), scorecard=BOTH_CARDS))
    bins = seal_of(office.outlet, SealKind.FINE, 1, release="bins")
    office.outlet.answer(office.ask(bins))
    kept = read_scorecards(tmp_path)
    assert (kept.as_of, kept.cards) == (str(CUT_OFF), BOTH)
    office.outlet.answers.close()
