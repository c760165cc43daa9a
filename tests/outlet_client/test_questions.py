"""What an outlet answers, and what it refuses: signatures, floors, ledgers, days, layouts."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest

from features.calibration import calibration_dimension
from features.errors import CatalogueError
from features.events import POINTS, RATES, CustomerSums
from features.learning import MOMENTS_DIMENSION, counts_dimension, gradient_dimension
from features.scorecard import encode_scorecards
from outlet_client.contribution.answer_store import AnswerStore
from outlet_client.contribution.contributions import HomeCustomers, dimension
from outlet_client.errors import QuestionRefused
from privacy.budget import YEAR_SECONDS, Ledger, Policy
from privacy.envelopes import SigningKey
from privacy.errors import PlanRefused
from privacy.loss import EpsilonDelta, Rho, epsilon_of
from privacy.purposes import Purpose
from sandbox.network import home_key
from tests.networks import CUT_OFF, TARGET, small_world
from tests.outlet_client.contributing import (
    BOTH,
    BOTH_CARDS,
    CARD,
    MATRICES,
    MOMENTS,
    NEITHER,
    NOW,
    ONE_CARD,
    Stage,
    bins_of,
    fine_book,
    floors_of,
    fresh,
    seal_of,
    sealed_bins,
)
from tests.outlet_client.questions import NEVER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from privacy.budget import LedgerEntry
    from privacy.plans import ReleasePlan


@pytest.fixture
def stage() -> tuple[Stage, ReleasePlan]:
    return Stage(fresh()), MOMENTS


def test_an_outlet_answers_what_the_office_signed(stage: tuple[Stage, ReleasePlan]) -> None:
    office, plan = stage
    share = office.outlet.answer(office.ask(plan))
    assert share.envelope.outlet == "O1"
    assert share.vector.shape == (MOMENTS_DIMENSION,)


@pytest.mark.parametrize("part", ["scorecard", "attachment"])
def test_a_question_that_does_not_fit_its_plan_is_refused(
    stage: tuple[Stage, ReleasePlan], part: str
) -> None:
    office, plan = stage
    question = office.ask(plan)
    with pytest.raises(QuestionRefused, match=f"{part} is not the plan's"):
        office.outlet.answer({**question, part: question[part] + b" "})


def test_an_unsigned_plan_and_one_of_another_office_are_refused() -> None:
    office = Stage(fresh())
    for plan in (MOMENTS, seal_of(office.outlet, scores=1)):
        question = office.ask(plan)
        with pytest.raises(PlanRefused, match="not signed"):
            office.outlet.answer({**question, "plan_signature": bytes(64)})
        with pytest.raises(PlanRefused, match="not signed"):
            fresh(office=SigningKey.generate().public).answer(question)
        assert office.outlet.answer(question).vector.any()


def test_another_directory_than_tonights_is_refused() -> None:
    office = Stage(fresh(directory="ab" * 32))
    for plan in (MOMENTS, seal_of(office.outlet, scores=1)):
        with pytest.raises(QuestionRefused, match="directory"):
            office.outlet.answer(office.ask(plan))


def test_an_expired_plan_is_refused() -> None:
    office = Stage(fresh(clock=lambda: float(NEVER)))
    for plan in (MOMENTS, seal_of(office.outlet, scores=1)):
        with pytest.raises(PlanRefused, match="expired"):
            office.outlet.answer(office.ask(plan))


@pytest.mark.parametrize(
    ("floors", "reason"),
    [
        ({"least_quorum": 4}, "got quorum 3, this outlet's least is 4"),
        ({"least_noise": 1000.0}, "got noise 8 times .* this outlet's least is 1000"),
        ({"most_epsilon": 0.01}, "year is spent"),
    ],
)
def test_an_outlets_own_floors_stand_above_a_signed_plan(
    stage: tuple[Stage, ReleasePlan], floors: dict[str, float], reason: str
) -> None:
    office, plan = stage
    with pytest.raises(QuestionRefused, match=reason):
        replace(office.outlet, settings=floors_of(**floors)).answer(office.ask(plan))


DELTA = 1e-6


def test_another_plan_under_an_answered_name_is_refused(stage: tuple[Stage, ReleasePlan]) -> None:
    office, plan = stage
    office.outlet.answer(office.ask(plan))
    with pytest.raises(QuestionRefused, match="another plan of this name"):
        office.outlet.answer(office.ask(replace(plan, quorum=4)))


POLICY = Policy(EpsilonDelta(4.0, 1e-6), {Purpose.TRAINING: Fraction(1)})


def nights(*names: str, ledger: Ledger | None = None) -> Ledger:
    """A ledger of nights, a day apart."""
    made = ledger or Ledger(POLICY)
    for name in names:
        at = NOW + made.length * 86_400
        made = made.reserve(name, {Purpose.TRAINING: Rho(0)}, at).close(name, at)
    return made


def answers_under(office: Stage, plan: ReleasePlan, ledger: Ledger, release: str) -> None:
    """Has the outlet answer in a night of an office with this ledger."""
    outlet = replace(office.outlet, ledger=ledger.since)
    asked = replace(plan, release=release)
    question = office.ask(asked, length=ledger.length, head=ledger.head)
    assert outlet.answer(question).vector.shape == (plan.dimension,)


def test_a_ledger_that_goes_back_is_refused_and_however_long_it_grows(
    stage: tuple[Stage, ReleasePlan],
) -> None:
    office, plan = stage
    seen = nights("a", "b", "c")
    answers_under(office, plan, seen, "r0")
    restored, begun_anew = nights("a", "b"), nights("x")
    for number in range(9):
        for name, other in (("restored", restored), ("anew", begun_anew)):
            with pytest.raises(QuestionRefused, match="went back: it does not go on from entry 6"):
                answers_under(office, plan, other, f"{name}-{number}")
        restored = nights(f"later-{number}", ledger=restored)
        begun_anew = nights(f"later-{number}", ledger=begun_anew)
    assert restored.length > seen.length
    answers_under(office, plan, nights("d", ledger=seen), "r1")


def test_a_plan_that_names_another_ledger_than_its_entries_make_is_refused(
    stage: tuple[Stage, ReleasePlan],
) -> None:
    office, plan = stage
    seen = nights("a")
    answers_under(office, plan, seen, "r0")
    later = nights("b", ledger=seen)
    office.outlet = replace(office.outlet, ledger=later.since)
    question = office.ask(replace(plan, release="r1"), length=later.length, head="c" * 64)
    with pytest.raises(QuestionRefused, match="went back"):
        office.outlet.answer(question)


def test_a_ledger_that_was_brought_back_is_answered_under_again(
    stage: tuple[Stage, ReleasePlan],
) -> None:
    office, plan = stage
    seen = nights("a", "b")
    answers_under(office, plan, seen, "r0")
    with pytest.raises(QuestionRefused, match="went back"):
        answers_under(office, plan, nights("a", "other"), "r1")
    answers_under(office, plan, seen.reconcile(NOW, {}), "r2")


def test_a_lost_ledger_is_answered_under_where_it_has_charged_a_year_and_while_that_counts(
    stage: tuple[Stage, ReleasePlan],
) -> None:
    office, plan = stage
    answers_under(office, plan, nights("a", "b"), "r0")
    anew = nights("x").lose(NOW + 60)
    answers_under(office, plan, anew, "r1")
    later = nights("y", ledger=anew)
    answers_under(office, plan, later, "r2")
    for number, back in enumerate((anew, nights("z", ledger=anew), nights("z", "u", ledger=anew))):
        with pytest.raises(QuestionRefused, match="went back"):
            answers_under(office, plan, back, f"r3-{number}")
    answers_under(office, plan, nights("y", ledger=anew).reconcile(NOW, {}), "r4")
    other = Stage(fresh())
    answers_under(other, plan, nights("a", "b"), "r0")
    other.outlet = replace(other.outlet, clock=lambda: float(NOW + 61 + YEAR_SECONDS))
    with pytest.raises(QuestionRefused, match="went back"):
        answers_under(other, plan, anew, "r1")


def test_a_plan_that_an_outlet_forgot_is_answered_under_fresh_masks() -> None:
    """By an outlet that was restored from a copy: the office opens one set, so one of the two."""
    office = Stage(fresh())
    for plan in (MOMENTS, seal_of(office.outlet, scores=1)):
        question = office.ask(plan)
        first = office.outlet.answer(question)
        forgot = replace(office.outlet, answers=AnswerStore("sqlite://"))
        second = forgot.answer(question)
        assert (first.vector != second.vector).mean() > 0.9
        for secret in ("sealed_seed", "commitment"):
            assert getattr(first.envelope, secret) != getattr(second.envelope, secret)
        assert first.salt != second.salt
        assert forgot.answer(question).vector.tobytes() == second.vector.tobytes()


def test_a_first_ledger_is_taken_as_it_is_and_one_that_is_known_is_not_asked_for(
    stage: tuple[Stage, ReleasePlan],
) -> None:
    def never(_after: int) -> Sequence[LedgerEntry]:
        raise AssertionError

    office, plan = stage
    office.outlet = replace(office.outlet, ledger=never)
    for number in range(2):
        asked = office.ask(replace(plan, release=f"r{number}"), length=9, head="a" * 64)
        office.outlet.answer(asked)


def test_an_outlet_answers_no_more_a_rolling_year_than_its_own_floor_whatever_its_clock(
    stage: tuple[Stage, ReleasePlan],
) -> None:
    office, plan = stage
    cost = plan.rho()
    assert cost is not None
    room = epsilon_of(Rho(cost * Fraction(5, 2)), DELTA)  # for two such plans, not for three
    now = [10 * YEAR_SECONDS]
    outlet = replace(
        office.outlet,
        settings=floors_of(most_epsilon=room, delta=DELTA),
        clock=lambda: float(now[0]),
    )

    def ask(name: str, at: int) -> bytes:
        now[0] = at
        return outlet.answer(office.ask(replace(plan, release=name))).vector.tobytes()

    start, half = now[0], YEAR_SECONDS // 2
    first = ask("first", start)
    ask("second", start + half)
    for at in (start + half, start + YEAR_SECONDS - 1, start - 5 * YEAR_SECONDS):
        with pytest.raises(QuestionRefused, match=r"year is spent \(epsilon"):
            ask("third", at)
    assert ask("first", start + half) == first  # what was answered is answered again
    ask("third", start + YEAR_SECONDS)  # the first is a year old
    with pytest.raises(QuestionRefused, match="year is spent"):
        ask("fourth", start + YEAR_SECONDS + half - 1)
    ask("fourth", start + YEAR_SECONDS + half)


def test_a_plan_without_noise_is_refused_outside_the_sandbox(
    stage: tuple[Stage, ReleasePlan],
) -> None:
    office, plan = stage
    question = office.ask(replace(plan, noise_scale=0))
    with pytest.raises(QuestionRefused, match="without noise"):
        replace(office.outlet, settings=floors_of()).answer(question)


def test_a_plan_of_another_night_is_refused(stage: tuple[Stage, ReleasePlan]) -> None:
    office, plan = stage
    other = office.ask(plan, night="other")
    question = {**office.ask(plan), "night": other["night"]}
    question["night_signature"] = other["night_signature"]
    with pytest.raises(QuestionRefused, match="another night"):
        office.outlet.answer(question)


def test_features_that_are_not_finite_count_as_nothing_and_are_no_error(
    stage: tuple[Stage, ReleasePlan], caplog: pytest.LogCaptureFixture
) -> None:
    office, plan = stage
    nothing = CustomerSums(
        np.full((2, POINTS), np.nan), np.full((2, RATES), np.inf), np.full(2, np.nan)
    )
    broken = HomeCustomers(
        nothing,
        {TARGET: np.zeros(2)},
        np.arange(2),
        np.arange(2),
        (home_key("nobody"),) * 2,
    )
    outlet = replace(office.outlet, home=broken)
    for purpose in (Purpose.MOMENTS, Purpose.USUAL):
        fits = dimension(purpose, 1)
        assert fits is not None
        plan = replace(plan, release=purpose.value, purpose=purpose, dimension=fits)
        caplog.clear()
        assert outlet.answer(office.ask(plan)).vector.shape == (fits,)
        assert not outlet._contribution(plan, office.ask(plan)).sums(plan).any()
        assert "2 rows not finite or too long count as nothing" in caplog.text


def test_a_plan_of_another_cut_off_outcome_or_layout_is_refused(
    stage: tuple[Stage, ReleasePlan],
) -> None:
    office, plan = stage
    other_day = replace(plan, as_of="1999-01-01")
    for asked_of, cut_off in [(other_day, "1999-01-01"), (other_day, str(CUT_OFF))]:
        with pytest.raises(QuestionRefused, match="as of 1999-01-01, this outlet is ready for"):
            office.outlet.answer(office.ask(asked_of, cut_off=cut_off))
    with pytest.raises(QuestionRefused, match="this outlet is ready for"):
        office.outlet.answer(office.ask(plan, cut_off="1999-01-01"))
    home = office.outlet.home
    with pytest.raises(QuestionRefused, match="asks for y_loyal"):
        replace(office.outlet, home=replace(home, y={"y_flipper": home.y[TARGET]})).answer(
            office.ask(plan)
        )
    with pytest.raises(QuestionRefused, match="of this dimension"):
        office.outlet.answer(office.ask(replace(plan, dimension=MOMENTS_DIMENSION - 1)))
    with pytest.raises(QuestionRefused, match="of this dimension"):
        office.outlet.answer(office.ask(replace(plan, purpose=Purpose.USUAL)))
    with pytest.raises(QuestionRefused, match="no points of this dimension"):
        office.outlet.answer(office.ask(replace(plan, purpose=Purpose.POINTS)))


SIZES = {
    Purpose.TRAINING: gradient_dimension,
    Purpose.EVALUATION: counts_dimension,
    Purpose.CALIBRATION: calibration_dimension,
}


@pytest.mark.parametrize("purpose", [Purpose.USUAL, Purpose.MOMENTS, *SIZES])
def test_a_list_of_scorecards_with_one_outcome_that_this_outlet_is_not_ready_for_is_refused(
    stage: tuple[Stage, ReleasePlan], purpose: Purpose
) -> None:
    office, plan = stage
    other = replace(CARD, outcome=NEITHER)
    for cards in ((other,), (CARD, other), (other, CARD), (*BOTH, other)):
        fits = dimension(purpose, len(cards))
        assert fits is not None
        question = office.ask(
            replace(plan, purpose=purpose, dimension=fits), scorecard=encode_scorecards(cards)
        )
        with pytest.raises(QuestionRefused, match=f"asks for .*{NEITHER}.* ready for y_loyal, "):
            office.outlet.answer(question)


@pytest.mark.parametrize("purpose", SIZES)
def test_a_sum_of_the_length_of_another_number_of_scorecards_is_refused(
    stage: tuple[Stage, ReleasePlan], purpose: Purpose
) -> None:
    office, plan = stage
    people = small_world().customers
    for cards in (BOTH[:1], BOTH):
        sealed = sealed_bins(office, encode_scorecards(cards), f"{len(cards)} bins")
        book = fine_book(people, bins_of(people, len(cards)), sealed=sealed)
        attachment = MATRICES["flat"] if purpose is Purpose.TRAINING else book
        for scores in (1, 2, 3, 4):
            sized = replace(
                plan, release=f"{len(cards)}/{scores}", purpose=purpose,
                dimension=SIZES[purpose](scores),
            )  # fmt: skip
            question = office.ask(sized, scorecard=encode_scorecards(cards), attachment=attachment)
            if scores == len(cards):
                assert office.outlet.answer(question).vector.shape == (sized.dimension,)
            else:
                with pytest.raises(QuestionRefused, match=f"no {purpose} of this dimension"):
                    office.outlet.answer(question)


@pytest.mark.parametrize("scorecard", [CARD.encode(), b"[]", b"", encode_scorecards((CARD, CARD))])
def test_what_is_no_list_of_scorecards_of_different_outcomes_is_refused(
    stage: tuple[Stage, ReleasePlan], scorecard: bytes
) -> None:
    office, plan = stage
    with pytest.raises(CatalogueError):
        office.outlet.answer(office.ask(plan, scorecard=scorecard))


def test_nothing_that_holds_purchases_prints_them(stage: tuple[Stage, ReleasePlan]) -> None:
    outlet = stage[0].outlet
    for thing in (
        outlet,
        outlet.home,
        outlet.views[str(CUT_OFF)],
        outlet.home.sums,
        outlet._contribution(stage[1], {"scorecard": ONE_CARD}),
        outlet._parts(seal_of(outlet), {"scorecard": BOTH_CARDS}),
    ):
        assert repr(thing).startswith(
            f"<{type(thing).__module__}.{type(thing).__qualname__} object"
        )


def test_two_threads_with_one_plan_get_the_same_bytes(stage: tuple[Stage, ReleasePlan]) -> None:
    office, plan = stage
    question = office.ask(plan)
    with ThreadPoolExecutor(8) as pool:
        shares = list(pool.map(lambda _: office.outlet.answer(question), range(8)))
    assert len({share.vector.tobytes() for share in shares}) == 1
