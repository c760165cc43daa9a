"""What an outlet answers, what it refuses, and how far one customer can move a network's sums."""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.bands import EVIDENCE_CAP
from features.calibration import (
    CALIBRATION_BINS,
    calibration_dimension,
    calibration_norm,
    calibration_rows,
)
from features.errors import CatalogueError
from features.events import DIMENSION, POINTS, RATE_BOUNDS, RATES, CustomerSums
from features.learning import (
    MOMENTS_DIMENSION,
    ROW_CLIP,
    USUAL_CLIP,
    USUAL_DIMENSION,
    Whitening,
    counts_dimension,
    gradient_dimension,
)
from features.ledger import canonical_events
from features.points import ELSEWHERE, PART_BOUND, count_points, outlet_parts
from features.scorecard import Scorecard, decode_scorecards, encode_scorecards
from outlet_client.contribution.answer_store import AnswerStore
from outlet_client.contribution.contributions import HomeCustomers, Outlet, SlotSums, dimension
from outlet_client.errors import OutletError, QuestionRefused
from outlet_client.settings import OutletSettings
from privacy.books import Book, BookRefused
from privacy.budget import YEAR_SECONDS, Ledger, Policy
from privacy.dither import Dither
from privacy.envelopes import SigningKey, digest
from privacy.errors import PlanRefused
from privacy.loss import EpsilonDelta, Rho, epsilon_of
from privacy.plans import ReleasePlan
from privacy.purposes import Purpose
from privacy.seal_plans import SealKind, SealPlan
from privacy.slot_keys import OneTimeKey
from privacy.two_key_sum import Aggregate, KeptSeed, open_seed, shares_of, sum_of_masks
from sandbox.market import simulated_market
from sandbox.network import ANY_DAY, home_key, public_keys
from sandbox.world import HORIZON_DAYS, TrainOn, World, market_events
from tests.builders import outlet_at
from tests.networks import CUT_OFF, SECOND, TARGET, small_world, world_of
from tests.outlet_client import questions
from tests.outlet_client.questions import CUTS, DIRECTORY, NEVER, UNLOCK
from tests.shelves import SealKeys, directory_of, make_book

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from privacy.budget import LedgerEntry
    from privacy.two_key_sum import Contribution

USUAL = RATE_BOUNDS * np.linspace(0.1, 0.4, RATES)
CARD = Scorecard.of(TARGET, np.linspace(-0.5, 1.0, DIMENSION), USUAL)
BOTH = (CARD, Scorecard.of(SECOND, -np.asarray(CARD.weights), USUAL))
NORM = 2.0
MATRICES = {
    name: Whitening(
        np.eye(DIMENSION) * factor, np.ones(DIMENSION - 1), 1.0, np.eye(DIMENSION)
    ).encode()
    for name, factor in (("flat", 1.5), ("steep", 1e3))  # where it is steep every row is shortened
}
ONE_CARD, BOTH_CARDS = encode_scorecards(BOTH[:1]), encode_scorecards(BOTH)
NEITHER = "y_lapsed"
NOW = 1_800_000_000


def floors_of(**floors: float) -> OutletSettings:
    """Floors of an outlet that is asked about days long past, as in every test of this file."""
    return OutletSettings(**{"days_off": ANY_DAY, **floors})


def outlets_of(world: World) -> dict[str, Outlet]:
    """A world's outlets, ready for two outcomes as of its cut-off, everybody in training."""
    y = {name: world.outcomes(TrainOn.HOME, name) for name in (TARGET, SECOND)}
    members = world.members(y, np.ones(len(world.customers), dtype=bool))
    keys = public_keys(world.customers)
    customers = {customer: slot for slot, customer in enumerate(world.customers)}
    outlets = {}
    for name, member in members.items():
        places = [customers.get(one, -1) for one in member.events.keys["customer"]]
        homes = np.flatnonzero(world.at_home(name))
        view = SlotSums.of(member.events, np.array(places, dtype=np.int64), homes)
        outlets[name] = Outlet(
            name, floors_of(), SigningKey.generate(), SigningKey.generate().public,
            AnswerStore("sqlite://"), lambda: float(NOW), member.cut_off, member.home,
            {member.cut_off: view}, keys, DIRECTORY, HORIZON_DAYS, Dither.of(name.encode()),
            lambda _after: [],
        )  # fmt: skip
    return outlets


OUTLETS = outlets_of(small_world())


def fresh(outlet: Outlet = OUTLETS["O1"], **changes: object) -> Outlet:
    """An outlet that has answered nothing yet."""
    values = {"answers": AnswerStore("sqlite://"), **changes}
    return replace(outlet, **values)  # type: ignore[arg-type]  # fields by name


def plan_of(purpose: Purpose, dimension: int, norm: float, **changes: object) -> ReleasePlan:
    return questions.plan_of(purpose, dimension, norm, str(CUT_OFF), **changes)


def seal_of(
    outlet: Outlet, kind: SealKind = SealKind.BAND, scores: int = 2, **changes: object
) -> SealPlan:
    values = {"as_of": str(CUT_OFF), **changes}
    return questions.seal_of(len(outlet.keys), kind=kind, scores=scores, **values)  # type: ignore[arg-type]


MOMENTS = plan_of(Purpose.MOMENTS, MOMENTS_DIMENSION, ROW_CLIP**2)


class Stage:
    """An outlet, and an office that signs whatever it is asked to."""

    def __init__(self, outlet: Outlet) -> None:
        self.key = SigningKey.generate()
        self.outlet = replace(outlet, office=self.key.public)

    def ask(
        self,
        plan: ReleasePlan | SealPlan,
        *,
        cut_off: str = str(CUT_OFF),
        scorecard: bytes = ONE_CARD,
        **told: Any,
    ) -> dict[str, bytes]:
        return questions.question(plan, self.key, cut_off=cut_off, scorecard=scorecard, **told)


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


EVENTS = small_world().events["O1"]


def home_of(people: pl.Series) -> HomeCustomers:
    number = len(people)
    keys = [home_key(str(place)) for place in range(number)]
    y = {TARGET: np.ones(number), SECOND: np.zeros(number)}
    return HomeCustomers.of(EVENTS, people, y, np.arange(number) + 5, keys)


def test_a_home_customer_without_events_adds_nothing() -> None:
    known = EVENTS.customers().head(1)
    people = pl.concat([pl.Series(known.name, ["nobody"]), known])
    home = home_of(people)
    assert len(home.sums) == 1
    assert home.sums.counts[0] > 0
    assert {name: y.tolist() for name, y in home.y.items()} == {TARGET: [1.0], SECOND: [0.0]}
    assert (home.slots.tolist(), home.keys) == ([6], (home_key("1"),))


def test_a_customer_named_twice_is_refused() -> None:
    with pytest.raises(OutletError, match="named twice"):
        home_of(pl.Series(["C000001", "C000001"]))


# --- the removal law ------------------------------------------------------------------------------

Sums = dict[str, tuple[ReleasePlan | SealPlan, "np.ndarray"]]


def fine_book(
    customers: pl.Series, bins: np.ndarray, marked: tuple[int, ...] = (), **changes: Any
) -> bytes:
    """A fine book of tonight's directory, readable by homes, as HQ makes one."""
    directory = directory_of(public_keys(customers))
    nonces = [home_key(customer).nonce for customer in customers][: len(bins)]
    whole = {"as_of": str(CUT_OFF), "kind": SealKind.FINE, "nonces": nonces, "marked": marked}
    return replace(make_book(bins, directory, **whole | changes), directory=DIRECTORY).encode()


def bins_of(customers: pl.Series, width: int = 2) -> np.ndarray:
    """Any bins; a function of the directory alone."""
    random = np.random.default_rng(len(customers))
    return random.integers(0, CALIBRATION_BINS, (len(customers), width)).astype(np.uint8)


def questions_of(world: World) -> dict[str, tuple[ReleasePlan | SealPlan, bytes, bytes]]:
    """All that can be asked of one outcome and of both: plan, scorecards, attachment."""
    questions: dict[str, tuple[ReleasePlan | SealPlan, bytes, bytes]] = {}
    outlet = next(iter(outlets_of(world).values()))
    for scores in (1, 2):
        cards = encode_scorecards(BOTH[:scores])
        book = fine_book(world.customers, bins_of(world.customers, scores))
        asked_for = [
            ("usual", Purpose.USUAL, USUAL_DIMENSION, USUAL_CLIP, b""),
            ("moments", Purpose.MOMENTS, MOMENTS_DIMENSION, ROW_CLIP**2, b""),
            *(
                (name, Purpose.TRAINING, gradient_dimension(scores), NORM * scores**0.5, matrix)
                for name, matrix in MATRICES.items()
            ),
            ("evaluation", Purpose.EVALUATION, counts_dimension(scores), scores**0.5, b""),
            ("calibration", Purpose.CALIBRATION, calibration_dimension(scores),
             calibration_norm(scores), book),
        ]  # fmt: skip
        for name, purpose, length, norm, attachment in asked_for:
            plan = plan_of(purpose, length, norm)
            questions[f"{name} of {scores}"] = plan, cards, attachment
        questions[f"parts of {scores}"] = seal_of(outlet, scores=scores), cards, b""
    return questions


def sums_of(
    outlet: Outlet, plan: ReleasePlan | SealPlan, cards: bytes, attachment: bytes = b""
) -> np.ndarray:
    """What an outlet adds, in integers, before the mask."""
    question = {"scorecard": cards, "attachment": attachment}
    if isinstance(plan, SealPlan):
        return outlet._parts(plan, question).sums(plan)
    return outlet._contribution(plan, question).sums(plan)


def network_sums(world: World) -> Sums:
    """What all outlets' contributions come to, in integers, for everything that can be asked."""
    outlets = outlets_of(world).values()
    return {
        key: (plan, np.sum([sums_of(one, plan, *told) for one in outlets], axis=0))
        for key, (plan, *told) in questions_of(world).items()
    }


def left_with(world: World, events: pl.DataFrame) -> World:
    """The same network with fewer events; directory and homes stay."""
    return replace(
        world_of(events), customers=world.customers, owners=world.owners, homes=world.homes
    )


def check_removal(events: pl.DataFrame, who: int) -> set[str]:
    """Empties one customer's records at all outlets; the directory, homes and book stay.

    Returns:
        Which customer sums moved.
    """
    world = world_of(events)
    gone = world.customers[who % len(world.customers)]
    rest = events.filter(pl.col("customer") != gone)
    if rest.filter(pl.col("date") <= CUT_OFF.date).is_empty():
        return set()
    emptied = left_with(world, rest)
    whole, less = network_sums(world), network_sums(emptied)
    slot = world.customers.to_list().index(gone)
    moved_by = set()
    for key, (plan, total) in whole.items():
        moved = [int(value) for value in total - less[key][1]]
        if isinstance(plan, SealPlan):
            of_slot = np.reshape(moved, (plan.slots, plan.width))
            assert of_slot[slot].any()
            assert not np.delete(of_slot, slot, axis=0).any()
            most = len(world.outlets) * np.array([PART_BOUND] * plan.scores + [EVIDENCE_CAP])
            assert (np.abs(of_slot[slot]) <= most).all()
        else:
            assert sum(value * value for value in moved) <= plan.norm**2
            moved_by |= {key} if any(moved) else set()
    return moved_by


@given(seed=st.integers(0, 10**6), who=st.integers(0, 10**6))
def test_removing_any_one_customer_moves_every_customer_sum_by_at_most_the_bound(
    seed: int, who: int
) -> None:
    """On the real contribution code, and another slot's parts by nothing."""
    random = np.random.default_rng(seed)
    events = market_events(simulated_market(random, outlets=3, customers=40))
    if events.filter(pl.col("date") <= CUT_OFF.date).is_empty():
        return
    moved = check_removal(events, who)
    # the customer did count
    counted = ("usual", "moments", "flat", "steep", "evaluation")
    assert {f"{name} of {scores}" for name in counted for scores in (1, 2)} <= moved


DAYS = (CUT_OFF.date - dt.timedelta(days=400), CUT_OFF.date, CUT_OFF.date + dt.timedelta(days=90))
extreme_rows = st.lists(
    st.tuples(
        st.sampled_from(["anna", "ben", "cleo", "dora"]),
        st.sampled_from(["o1", "o2", "o3"]),
        st.sampled_from(DAYS),
        st.sampled_from([-1e9, -1.0, 0.0, 0.01, 300.0, 1e5, 1e9]),
        st.sampled_from([0.0, 1.0, 1e9]),
        st.sampled_from([f"b{index}" for index in range(40)]),
    ),
    min_size=2,
    max_size=60,
)


@given(extreme_rows, st.integers(0, 3))
def test_the_bound_holds_for_ledgers_at_the_edges_of_the_catalogue(
    drawn: list[tuple[object, ...]], who: int
) -> None:
    names = ["customer_id", "outlet_id", "purchased_at", "price", "list_price", "basket_id"]
    frame = pl.DataFrame(drawn, schema=names, orient="row")
    events = canonical_events(frame.with_columns(is_return=pl.col("price") < 0), "drawn")
    if not events.filter(pl.col("date") <= CUT_OFF.date).is_empty():
        check_removal(events, who)


def test_a_home_customer_who_only_bought_elsewhere_is_in_no_customer_sum_and_keeps_parts() -> None:
    world = small_world()
    home = world.homes[0]
    away = next(
        (customer, at)
        for customer, at, where in world.snapshot.history.filter(pl.col("outlet") != home)
        .join(pl.DataFrame({"customer": world.customers, "home": world.homes}), on="customer")
        .select("customer", "home", "outlet")
        .iter_rows()
        if at == home and where
    )[0]
    left = pl.concat([world.snapshot.history, world.snapshot.future]).filter(
        (pl.col("customer") != away) | (pl.col("outlet") != home)
    )
    emptied = left_with(world, left)
    everywhere = left.filter(pl.col("customer") != away)
    gone = left_with(world, everywhere)
    some, none = network_sums(emptied), network_sums(gone)
    for key, (plan, total) in some.items():
        assert isinstance(plan, SealPlan) == (total != none[key][1]).any()


# --- parts for seals ------------------------------------------------------------------------------


def slots_of(outlet: Outlet, plan: SealPlan, cards: bytes = BOTH_CARDS) -> np.ndarray:
    """What an outlet adds to a seal, int64[slots, width]."""
    return sums_of(outlet, plan, cards).reshape(plan.slots, plan.width)


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


# --- calibration ----------------------------------------------------------------------------------


def calibrated(outlet: Outlet, book: bytes, scores: int = 2) -> Contribution:
    plan = plan_of(Purpose.CALIBRATION, calibration_dimension(scores), calibration_norm(scores))
    cards = encode_scorecards(BOTH[:scores])
    return outlet._contribution(plan, {"scorecard": cards, "attachment": book})


@pytest.mark.parametrize("scores", [1, 2])
def test_calibration_counts_each_home_customer_in_the_bins_that_the_book_names(
    scores: int,
) -> None:
    world = small_world()
    entries = bins_of(world.customers, scores)
    for outlet in OUTLETS.values():
        rows = calibrated(outlet, fine_book(world.customers, entries), scores).rows
        home = outlet.home
        y = np.stack([home.y[card.outcome] for card in BOTH[:scores]], axis=1)
        expected = calibration_rows(entries[home.slots], y)
        assert len(home.slots) > 10
        assert rows.tolist() == expected.tolist()


def test_calibration_reads_the_books_columns_in_the_order_of_the_questions_scorecards() -> None:
    world = small_world()
    entries = bins_of(world.customers)
    outlet = OUTLETS["O1"]
    plan = plan_of(Purpose.CALIBRATION, calibration_dimension(2), calibration_norm(2))
    question = {
        "scorecard": encode_scorecards(BOTH[::-1]),
        "attachment": fine_book(world.customers, entries),
    }
    home = outlet.home
    y = np.stack([home.y[SECOND], home.y[TARGET]], axis=1)
    expected = calibration_rows(entries[home.slots], y)
    assert outlet._contribution(plan, question).rows.tolist() == expected.tolist()


@pytest.mark.parametrize("unread", ["many outlets", "newer than the seal"])
def test_who_has_no_bin_is_counted_in_no_cell(unread: str) -> None:
    """At many outlets a sum may have wrapped; who came since the seal is in none."""
    world, outlet = small_world(), OUTLETS["O1"]
    bins, home = bins_of(world.customers), outlet.home
    without = home.slots >= home.slots[len(home.slots) // 2]
    if unread == "many outlets":
        book = fine_book(world.customers, bins, tuple(home.slots[without].tolist()))
    else:
        book = fine_book(world.customers, bins[: home.slots[without].min()])
    rows = calibrated(outlet, book).rows
    y = np.stack([home.y[card.outcome] for card in BOTH], axis=1)
    expected = calibration_rows(bins[home.slots], y)
    expected[without] = 0.0
    assert rows.tolist() == expected.tolist()
    assert 0 < without.sum() < len(without)


@given(st.integers(0, 2**32), st.booleans())
def test_a_garbage_fine_book_raises_nothing_and_no_row_is_longer_than_the_norm(
    seed: int,
    in_the_clear: bool,  # noqa: FBT001
) -> None:
    random = np.random.default_rng(seed)
    people = small_world().customers
    garbage = random.integers(0, 256, (len(people), 2)).astype(np.uint8)
    outlet = OUTLETS["O1"]
    book = fine_book(people, garbage % 16)
    if in_the_clear:
        book = replace(Book.decode(book), body=garbage.tobytes()).encode()
    contribution = calibrated(outlet, book)
    lengths = np.linalg.norm(contribution.rows, axis=1)
    assert len(lengths) == len(outlet.home.slots)
    assert set(lengths.tolist()) <= {0.0, calibration_norm(2)}
    plan = plan_of(Purpose.CALIBRATION, calibration_dimension(2), calibration_norm(2))
    assert np.abs(contribution.sums(plan)).max() <= plan.norm * len(lengths)


def sealed_bins(
    office: Stage, cards: bytes = BOTH_CARDS, release: str = "bins", **told: Any
) -> SealKeys:
    """Lets an outlet give its parts to a seal of bins; the seal's keys and plan."""
    made = SealKeys()
    plan = seal_of(
        office.outlet, SealKind.FINE, len(decode_scorecards(cards)), release=release,
        hq_key=made.hq.public.hex(), slot_key=made.office.public.hex(),
    )  # fmt: skip
    question = office.ask(plan, scorecard=cards, **told)
    office.outlet.answer(question)
    return replace(made, plan=digest(question["plan"]))


def calibration_question(
    office: Stage, book: bytes, cards: bytes = BOTH_CARDS, release: str = "cells", **told: Any
) -> dict[str, bytes]:
    """Asks for the counts that calibrate both scores."""
    plan = plan_of(
        Purpose.CALIBRATION, calibration_dimension(2), calibration_norm(2), release=release
    )
    return office.ask(plan, scorecard=cards, attachment=book, **told)


PEOPLE = small_world().customers
MORE = pl.concat([PEOPLE, pl.Series(PEOPLE.name, ["another"])])


def other_books(sealed: SealKeys) -> dict[str, bytes]:
    """Books that are not of the seal which was answered, though each says it is but for one."""
    other = OneTimeKey.generate()
    bins = bins_of(PEOPLE)
    good = Book.decode(fine_book(PEOPLE, bins, sealed=sealed))
    bands = np.zeros((len(PEOPLE), 3), np.uint8)
    return {
        "an office's key of HQ's own": fine_book(
            PEOPLE, bins, sealed=replace(sealed, office=other)
        ),
        "another key of HQ's": fine_book(PEOPLE, bins, sealed=replace(sealed, hq=other)),
        "another plan": fine_book(PEOPLE, bins, sealed=replace(sealed, plan="ab" * 32)),
        "all of its own": fine_book(PEOPLE, bins),
        "another day": fine_book(PEOPLE, bins, sealed=sealed, as_of="2001-01-01"),
        "a slot more": fine_book(MORE, bins_of(MORE), sealed=sealed),
        "a slot less": fine_book(PEOPLE[:-1], bins_of(PEOPLE[:-1]), sealed=sealed),
        "no slot": fine_book(PEOPLE[:0], bins_of(PEOPLE[:0]), sealed=sealed),
        "a slot that came since": fine_book(MORE, bins, sealed=sealed),
        "less sealed": fine_book(PEOPLE, bins[:-1], sealed=sealed),
        "one outcome": fine_book(PEOPLE, bins_of(PEOPLE, 1), sealed=sealed),
        "a band book": fine_book(PEOPLE, bands, kind=SealKind.BAND, nonces=None, sealed=sealed),
        "another directory": replace(good, directory="ab" * 32).encode(),
    }


@pytest.mark.parametrize("which", other_books(SealKeys()))
def test_a_fine_book_that_is_not_of_the_seal_that_was_answered_is_refused(which: str) -> None:
    """With an office's key of its own HQ knows each pad, and writes any bin for anybody."""
    office = Stage(fresh())
    sealed = sealed_bins(office)
    with pytest.raises(QuestionRefused, match=r"another seal|no fine book of tonight"):
        office.outlet.answer(calibration_question(office, other_books(sealed)[which]))
    good = fine_book(PEOPLE, bins_of(PEOPLE), sealed=sealed)
    share = office.outlet.answer(calibration_question(office, good))
    assert share.vector.shape == (calibration_dimension(2),)


def test_a_fine_book_is_counted_with_the_night_and_the_scorecards_that_it_was_sealed_with() -> None:
    office = Stage(fresh())
    book = fine_book(PEOPLE, bins_of(PEOPLE), sealed=sealed_bins(office))
    turned = encode_scorecards(BOTH[::-1])
    for told in ({"night": "another"}, {"cards": turned}):
        with pytest.raises(QuestionRefused, match="away when its bins were sealed"):
            office.outlet.answer(calibration_question(office, book, **told))
    assert office.outlet.answer(calibration_question(office, book)).vector.any()


def test_an_outlet_that_was_away_when_bins_were_sealed_stays_away_from_their_calibration() -> None:
    office, other = Stage(fresh()), Stage(fresh())
    sealed = sealed_bins(other)
    office.outlet.answer(office.ask(seal_of(office.outlet), scorecard=BOTH_CARDS))  # of bands
    book = fine_book(PEOPLE, bins_of(PEOPLE), sealed=sealed)
    with pytest.raises(QuestionRefused, match="away when its bins were sealed"):
        office.outlet.answer(calibration_question(office, book))
    assert office.outlet.answer(office.ask(MOMENTS)).vector.any()  # all else is answered


def test_of_two_seals_of_bins_the_last_is_calibrated_and_a_refused_one_changes_nothing() -> None:
    office = Stage(fresh())
    first, last = sealed_bins(office, release="first"), sealed_bins(office, release="last")
    with pytest.raises(QuestionRefused, match="least is 3"):
        office.outlet.answer(
            office.ask(seal_of(office.outlet, SealKind.FINE, quorum=2), scorecard=BOTH_CARDS)
        )
    with pytest.raises(QuestionRefused, match="of another seal"):
        office.outlet.answer(
            calibration_question(office, fine_book(PEOPLE, bins_of(PEOPLE), sealed=first))
        )
    book = fine_book(PEOPLE, bins_of(PEOPLE), sealed=last)
    assert office.outlet.answer(calibration_question(office, book)).vector.any()


def test_a_restart_between_seal_and_calibration_changes_nothing(tmp_path: Path) -> None:
    url = outlet_at(tmp_path)
    office = Stage(fresh(answers=AnswerStore(url)))
    sealed = sealed_bins(office)
    office.outlet.answers.close()
    office.outlet = replace(office.outlet, answers=AnswerStore(url))
    book = fine_book(PEOPLE, bins_of(PEOPLE), sealed=sealed)
    assert office.outlet.answer(calibration_question(office, book)).vector.any()
    office.outlet.answers.close()


@pytest.mark.parametrize("book", [b"", b"x", b"\0\0\0\x02{}", bytes(100)])
def test_what_is_no_book_is_refused_as_one(book: bytes) -> None:
    office = Stage(fresh())
    plan = plan_of(Purpose.CALIBRATION, calibration_dimension(1), calibration_norm(1))
    with pytest.raises(BookRefused):
        office.outlet.answer(office.ask(plan, attachment=book))
