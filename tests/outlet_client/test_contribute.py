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
from features.noisy_points import MOST_EVENTS, RING_BITS, SCALE, PointsCode
from features.scorecard import Scorecard, encode_scorecards
from outlet_client.contribution.contributions import HomeCustomers, Outlet, dimension
from outlet_client.errors import OutletError, QuestionRefused
from outlet_client.people.people_store import HomeKey
from outlet_client.settings import OutletSettings
from privacy.books import Book, BookKind, BookRefused
from privacy.budget import YEAR_SECONDS
from privacy.envelopes import SigningKey, digest
from privacy.errors import PlanRefused
from privacy.fixed_point import clipping_units
from privacy.loss import Rho, epsilon_of
from privacy.plans import NightPlan, PlannedReleases, ReleasePlan, sign
from privacy.units import Purpose
from sandbox.market import simulated_market
from sandbox.network import ANY_DAY, Network, Settings, home_key, public_keys
from sandbox.world import TrainOn, World, market_events
from server.hq.combine import Combiner
from tests.networks import CUT_OFF, SECOND, TARGET, small_network, small_world, world_of

if TYPE_CHECKING:
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
CODES = [PointsCode.of(BOTH[:scores], np.eye(DIMENSION)) for scores in (1, 2)]
NEITHER = "y_lapsed"


@pytest.fixture(scope="module")
def asked() -> tuple[Network, dict[str, bytes]]:
    """A network and the question that HQ asked for its first training round."""
    network = small_network()
    questions: list[dict[str, bytes]] = []
    with pytest.MonkeyPatch.context() as patched:
        collect = Combiner._collect

        def record(
            self: Combiner, plan: object, signed: object, ask: object, at_fault: object
        ) -> object:
            questions.append(
                {
                    "night": self.night.payload,
                    "night_signature": self.night.signature,
                    "plan": signed.payload,  # type: ignore[attr-defined]
                    "plan_signature": signed.signature,  # type: ignore[attr-defined]
                    "scorecard": ask.scorecard,  # type: ignore[attr-defined]
                    "attachment": ask.attachment,  # type: ignore[attr-defined]
                }
            )
            return collect(self, plan, signed, ask, at_fault)  # type: ignore[arg-type]

        patched.setattr(Combiner, "_collect", record)
        network.night("n1", str(CUT_OFF), TARGET)
    return network, questions[2]


def fresh(network: Network, **changes: object) -> Outlet:
    """An outlet that has answered nothing yet."""
    outlet = small_network().outlets["O1"]
    known = network.outlets["O1"]
    values = {"office": known.office, "answers": outlet.answers, **changes}
    return replace(known, **values)  # type: ignore[arg-type]


def floors_of(**floors: float) -> OutletSettings:
    """Floors of an outlet that is asked about days long past, as in every test of this file."""
    return OutletSettings(**{"days_off": ANY_DAY, **floors})


def test_an_outlet_answers_what_the_office_signed(asked: tuple[Network, dict[str, bytes]]) -> None:
    network, question = asked
    share = fresh(network).answer(question)
    assert share.envelope.outlet == "O1"
    assert share.vector.shape == (gradient_dimension(1),)


@pytest.mark.parametrize("part", ["scorecard", "attachment"])
def test_a_question_that_does_not_fit_its_plan_is_refused(
    asked: tuple[Network, dict[str, bytes]], part: str
) -> None:
    network, question = asked
    with pytest.raises(QuestionRefused, match=f"{part} is not the plan's"):
        fresh(network).answer({**question, part: question[part] + b" "})


def test_an_unsigned_plan_and_one_of_another_office_are_refused(
    asked: tuple[Network, dict[str, bytes]],
) -> None:
    network, question = asked
    with pytest.raises(PlanRefused, match="not signed"):
        fresh(network).answer({**question, "plan_signature": bytes(64)})
    with pytest.raises(PlanRefused, match="not signed"):
        fresh(network, office=SigningKey.generate().public).answer(question)


def test_another_directory_than_tonights_is_refused(
    asked: tuple[Network, dict[str, bytes]],
) -> None:
    network, question = asked
    with pytest.raises(QuestionRefused, match="directory"):
        fresh(network, directory="ab" * 32).answer(question)


def test_an_expired_plan_is_refused(asked: tuple[Network, dict[str, bytes]]) -> None:
    network, question = asked
    with pytest.raises(PlanRefused, match="expired"):
        fresh(network, clock=lambda: 4e9).answer(question)


@pytest.mark.parametrize(
    ("floors", "reason"),
    [
        ({"least_quorum": 4}, "got quorum 3, this outlet's least is 4"),
        ({"least_noise": 1000.0}, "this outlet's least is 1000"),
        ({"most_epsilon": 0.01}, "year is spent"),
    ],
)
def test_an_outlets_own_floors_stand_above_a_signed_plan(
    asked: tuple[Network, dict[str, bytes]], floors: dict[str, float], reason: str
) -> None:
    network, question = asked
    with pytest.raises(QuestionRefused, match=reason):
        fresh(network, settings=floors_of(**floors)).answer(question)


DELTA = 1e-6


def digest_of(data: bytes) -> str:
    """A digest as plans carry it."""
    return digest(data) if data else ""


class Stage:
    """An office of our own, to sign what a real one would not."""

    def __init__(self, network: Network) -> None:
        self.key = SigningKey.generate()
        self.outlet = fresh(network, office=self.key.public)

    def ask(
        self,
        plan: ReleasePlan,
        *,
        length: int = 1,
        head: str = "h",
        night: str = "n",
        cut_off: str = str(CUT_OFF),
        scorecard: bytes = ONE_CARD,
        attachment: bytes = b"",
    ) -> dict[str, bytes]:
        lines = (PlannedReleases(plan.purpose, 9, None),)
        night_plan = NightPlan(night, cut_off, lines, length, head, 2**40)
        signed_night = sign(night_plan, self.key)
        plan = replace(
            plan, night=signed_night.digest, expires=2**40, scorecard=digest_of(scorecard),
            attachment=digest_of(attachment),
        )  # fmt: skip
        signed = sign(plan, self.key)
        return {
            "night": signed_night.payload,
            "night_signature": signed_night.signature,
            "plan": signed.payload,
            "plan_signature": signed.signature,
            "scorecard": scorecard,
            "attachment": attachment,
        }


@pytest.fixture
def stage(asked: tuple[Network, dict[str, bytes]]) -> tuple[Stage, ReleasePlan]:
    network, question = asked
    plan = ReleasePlan.decode(question["plan"])
    plan = replace(plan, purpose=Purpose.MOMENTS, dimension=MOMENTS_DIMENSION)
    return Stage(network), plan


def test_another_plan_under_an_answered_name_is_refused(stage: tuple[Stage, ReleasePlan]) -> None:
    office, plan = stage
    office.outlet.answer(office.ask(plan))
    with pytest.raises(QuestionRefused, match="another plan of this name"):
        office.outlet.answer(office.ask(replace(plan, quorum=4)))


def test_a_ledger_that_goes_back_is_refused(stage: tuple[Stage, ReleasePlan]) -> None:
    office, plan = stage
    office.outlet.answer(office.ask(plan, length=9, head="a"))
    for length, head in [(8, "b"), (9, "b")]:
        later = replace(plan, release=f"later-{length}-{head}")
        with pytest.raises(QuestionRefused, match="went back"):
            office.outlet.answer(office.ask(later, length=length, head=head))
    later = replace(plan, release="later")
    share = office.outlet.answer(office.ask(later, length=10, head="c"))
    assert share.vector.shape == (plan.dimension,)


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
    with pytest.raises(QuestionRefused, match="of this dimension"):
        office.outlet.answer(office.ask(replace(plan, purpose=Purpose.DEMAND)))


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
    outlet = replace(office.outlet, home=OUTLETS_OF_TWO.outlets["O1"].home)
    for cards in ((other,), (CARD, other), (other, CARD), (*BOTH, other)):
        fits = dimension(purpose, len(cards))
        assert fits is not None
        question = office.ask(
            replace(plan, purpose=purpose, dimension=fits), scorecard=encode_scorecards(cards)
        )
        with pytest.raises(QuestionRefused, match=f"asks for .*{NEITHER}.* ready for y_loyal, "):
            outlet.answer(question)


@pytest.mark.parametrize("purpose", SIZES)
def test_a_sum_of_the_length_of_another_number_of_scorecards_is_refused(
    stage: tuple[Stage, ReleasePlan], purpose: Purpose
) -> None:
    office, plan = stage
    people = small_world().customers
    outlet = replace(office.outlet, home=OUTLETS_OF_TWO.outlets["O1"].home, slots=len(people))
    for cards in (BOTH[:1], BOTH):
        book = fine_book(people, bins_of(people, len(cards)))
        attachment = MATRICES["flat"] if purpose is Purpose.TRAINING else book
        for scores in (1, 2, 3, 4):
            sized = replace(
                plan, release=f"{len(cards)}/{scores}", purpose=purpose,
                dimension=SIZES[purpose](scores),
            )  # fmt: skip
            question = office.ask(sized, scorecard=encode_scorecards(cards), attachment=attachment)
            if scores == len(cards):
                assert outlet.answer(question).vector.shape == (sized.dimension,)
            else:
                with pytest.raises(QuestionRefused, match=f"no {purpose} of this dimension"):
                    outlet.answer(question)


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
        outlet.views[str(CUT_OFF)].events,
        outlet.home.sums,
        outlet._contribution(stage[1], {"scorecard": ONE_CARD}),
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


def home_of(outlet: Outlet, people: pl.Series) -> HomeCustomers:
    events = outlet.views[str(CUT_OFF)].events
    number = len(people)
    keys = [home_key(str(place)) for place in range(number)]
    y = {TARGET: np.ones(number), SECOND: np.zeros(number)}
    return HomeCustomers.of(events, people, y, np.arange(number) + 5, keys)


def test_a_home_customer_without_events_adds_nothing() -> None:
    outlet = small_network().outlets["O1"]
    known = outlet.views[str(CUT_OFF)].events.customers().head(1)
    people = pl.concat([pl.Series(known.name, ["nobody"]), known])
    home = home_of(outlet, people)
    assert len(home.sums) == 1
    assert home.sums.counts[0] > 0
    assert {name: y.tolist() for name, y in home.y.items()} == {TARGET: [1.0], SECOND: [0.0]}
    assert (home.slots.tolist(), home.keys) == ([6], (home_key("1"),))


def test_a_customer_named_twice_is_refused() -> None:
    outlet = small_network().outlets["O1"]
    with pytest.raises(OutletError, match="named twice"):
        home_of(outlet, pl.Series(["C000001", "C000001"]))


# --- the removal law ------------------------------------------------------------------------------

Sums = dict[str, tuple[ReleasePlan, "np.ndarray"]]


def plan_of(
    purpose: Purpose, dimension: int, norm: float, scale: int = 2**20, ring_bits: int = 64
) -> ReleasePlan:
    units = clipping_units(norm, scale)
    return ReleasePlan(
        "r", "", "", purpose, dimension, ring_bits, scale, units, 2**50, 1, 3, "", "",
        str(CUT_OFF), "", "00" * 32, 0,
    )  # fmt: skip


def points_plan(code: PointsCode, slots: int) -> ReleasePlan:
    return plan_of(Purpose.POINTS, code.width * slots, 1.0, SCALE, RING_BITS)


def fine_book(customers: pl.Series, entries: np.ndarray, **changes: object) -> bytes:
    """A fine book, readable by homes, as HQ makes one."""
    header: dict[str, Any] = {
        "kind": BookKind.FINE, "release": "points", "version": 1, "as_of": str(CUT_OFF),
        "made_at": 1, "directory": "d",
    }  # fmt: skip
    nonces = [home_key(customer).nonce for customer in customers]
    whole = {"nonces": nonces, **header, **changes}
    return Book.masked(entries, public_keys(customers), **whole).encode()


def bins_of(customers: pl.Series, width: int = 2) -> np.ndarray:
    """Any entries, some of which are no bin; a function of the directory alone."""
    random = np.random.default_rng(len(customers))
    return random.integers(0, CALIBRATION_BINS + 3, (len(customers), width)).astype(np.uint8)


def network_of(world: World) -> Network:
    """Outlets that learn two outcomes, everybody in training."""
    y = {name: world.outcomes(TrainOn.HOME, name) for name in (TARGET, SECOND)}
    everybody = np.ones(len(world.customers), dtype=bool)
    settings_ = Settings.one_training(1.0, 1e-6, 2)
    return Network.build(world.members(y, everybody), world.customers, settings_)


def questions_of(world: World) -> dict[str, tuple[ReleasePlan, bytes, bytes]]:
    """All that can be asked of one outcome and of both: plan, scorecards, attachment."""
    questions = {}
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
        code = CODES[scores - 1]
        plan = points_plan(code, len(world.customers))
        questions[f"points of {scores}"] = plan, code.encode(), b""
    return questions


def network_sums(world: World) -> Sums:
    """What all outlets' contributions come to, in integers, for everything that can be asked."""
    outlets = network_of(world).outlets.values()
    return {
        key: (
            plan,
            np.sum(
                [
                    outlet._contribution(plan, {"scorecard": cards, "attachment": attachment}).sums(
                        plan
                    )
                    for outlet in outlets
                ],
                axis=0,
            ),
        )
        for key, (plan, cards, attachment) in questions_of(world).items()
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
        if plan.purpose is Purpose.POINTS:
            of_slot = np.reshape(moved, (len(world.customers), -1))
            assert of_slot[slot].any()
            assert not np.delete(of_slot, slot, axis=0).any()
        else:
            assert sum(value * value for value in moved) <= plan.norm**2
            moved_by |= {key} if any(moved) else set()
    return moved_by


@given(seed=st.integers(0, 10**6), who=st.integers(0, 10**6))
def test_removing_any_one_customer_moves_every_customer_sum_by_at_most_the_bound(
    seed: int, who: int
) -> None:
    """On the real contribution code, and another slot's points by nothing."""
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


def test_a_home_customer_who_only_bought_elsewhere_is_in_no_customer_sum_and_keeps_points() -> None:
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
        assert (plan.purpose is Purpose.POINTS) == (total != none[key][1]).any()


@pytest.mark.parametrize("code", CODES, ids=["one score", "two scores"])
def test_removing_one_event_moves_the_points_by_at_most_the_event_bound(code: PointsCode) -> None:
    network = small_network()
    outlet = network.outlets["O1"]
    view = outlet.views[str(CUT_OFF)]
    plan = points_plan(code, outlet.slots)
    question = {"scorecard": code.encode(), "attachment": b""}
    whole = outlet._contribution(plan, question).sums(plan)
    for event in range(0, len(view.events.keys), 17):
        keep = np.arange(len(view.events.keys)) != event
        fewer = replace(
            view.events,
            keys=view.events.keys.filter(pl.Series(keep)),
            points=view.events.points[keep],
            rates=view.events.rates[keep],
        )
        lighter = replace(
            outlet, views={str(CUT_OFF): replace(view, events=fewer, slots=view.slots[keep])}
        )
        less = lighter._contribution(plan, question).sums(plan)
        moved = [int(value) for value in whole - less]
        assert 0 < sum(value * value for value in moved) <= plan.norm**2


def test_an_event_of_nobody_in_the_directory_adds_no_points() -> None:
    outlet = small_network().outlets["O1"]
    view = outlet.views[str(CUT_OFF)]
    unlisted = replace(
        outlet, views={str(CUT_OFF): replace(view, slots=np.full_like(view.slots, -1))}
    )
    for code in CODES:
        plan = points_plan(code, outlet.slots)
        question = {"scorecard": code.encode(), "attachment": b""}
        assert not unlisted._contribution(plan, question).sums(plan).any()
        assert outlet._contribution(plan, question).sums(plan).any()


# --- points that are refused ----------------------------------------------------------------------


@pytest.fixture
def points_stage(
    asked: tuple[Network, dict[str, bytes]], stage: tuple[Stage, ReleasePlan]
) -> tuple[Stage, ReleasePlan]:
    network, plan = asked[0], stage[1]
    code = CODES[1]
    office = Stage(network)
    plan = replace(
        plan, release="points", purpose=Purpose.POINTS, dimension=code.width * office.outlet.slots,
        scale=SCALE, norm=SCALE, noise_scale=SCALE, ring_bits=RING_BITS,
        outlet_bound=SCALE * MOST_EVENTS,
    )  # fmt: skip
    return office, plan


def ask_points(office: Stage, plan: ReleasePlan, code: bytes) -> dict[str, bytes]:
    return office.ask(plan, scorecard=code)


def test_points_are_answered_as_of_the_days_this_outlet_is_ready_for_and_no_other(
    points_stage: tuple[Stage, ReleasePlan],
) -> None:
    office, plan = points_stage
    code = CODES[1].encode()
    with pytest.raises(QuestionRefused, match=f"points as of 1999-01-01, .* ready for {CUT_OFF}"):
        office.outlet.answer(ask_points(office, replace(plan, as_of="1999-01-01"), code))
    with pytest.raises(QuestionRefused, match="no points of this layout"):
        office.outlet.answer(ask_points(office, plan, CODES[0].encode()))
    with pytest.raises(CatalogueError):
        office.outlet.answer(ask_points(office, plan, CARD.encode()))
    for changed in (
        {"ring_bits": 64}, {"scale": SCALE // 2}, {"norm": 1, "noise_scale": SCALE},
        {"outlet_bound": SCALE}, {"dimension": plan.dimension + 1},
    ):  # fmt: skip
        other = replace(plan, release="other", **changed)  # type: ignore[arg-type]
        with pytest.raises(QuestionRefused, match="no points of this layout"):
            office.outlet.answer(ask_points(office, other, code))
    share = office.outlet.answer(ask_points(office, plan, code))
    assert share.vector.shape == (plan.dimension,)


def test_points_below_the_outlets_own_noise_are_refused(
    points_stage: tuple[Stage, ReleasePlan],
) -> None:
    office, plan = points_stage
    outlet = replace(office.outlet, settings=floors_of(least_event_noise=2.0))
    with pytest.raises(QuestionRefused, match="this outlet's least is 2"):
        outlet.answer(ask_points(office, plan, CODES[1].encode()))


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
    for outlet in network_of(world).outlets.values():
        rows = calibrated(outlet, fine_book(world.customers, entries), scores).rows
        home = outlet.home
        y = np.stack([home.y[card.outcome] for card in BOTH[:scores]], axis=1)
        expected = calibration_rows(entries[home.slots], y)
        assert len(home.slots) > 10
        assert rows.tolist() == expected.tolist()


def test_calibration_reads_the_books_columns_in_the_order_of_the_questions_scorecards() -> None:
    world = small_world()
    entries = bins_of(world.customers)
    outlet = OUTLETS_OF_TWO.outlets["O1"]
    plan = plan_of(Purpose.CALIBRATION, calibration_dimension(2), calibration_norm(2))
    question = {
        "scorecard": encode_scorecards(BOTH[::-1]),
        "attachment": fine_book(world.customers, entries),
    }
    home = outlet.home
    y = np.stack([home.y[SECOND], home.y[TARGET]], axis=1)
    expected = calibration_rows(entries[home.slots], y)
    assert outlet._contribution(plan, question).rows.tolist() == expected.tolist()


def test_an_entry_of_the_fine_book_is_read_with_the_homes_key_only() -> None:
    world = small_world()
    slots = len(world.customers)
    entries = bins_of(world.customers)
    book = Book.decode(fine_book(world.customers, entries))
    keys = [home_key(customer) for customer in world.customers]
    strangers = {
        "the token alone": [HomeKey(key.slot_key, b"") for key in keys],
        "the nonce alone": [HomeKey(keys[i - 1].slot_key, keys[i].nonce) for i in range(slots)],
        "token and another's nonce": [
            HomeKey(keys[i].slot_key, keys[i - 1].nonce) for i in range(slots)
        ],
        "another's key": [keys[i - 1] for i in range(slots)],
    }
    read = [list(book.read(slot, *key)) for slot, key in enumerate(keys)]
    assert read == entries.tolist()
    for which in strangers.values():
        said = np.array([list(book.read(slot, *key)) for slot, key in enumerate(which)])
        # of 2 x 400 uniform bytes one in 256 agrees; 20 do with a chance below 1e-10
        assert (said == entries).sum() < 20


@given(st.integers(0, 2**32), st.booleans())
def test_a_garbage_fine_book_raises_nothing_and_no_row_is_longer_than_the_norm(
    seed: int,
    in_the_clear: bool,  # noqa: FBT001
) -> None:
    world = small_world()
    random = np.random.default_rng(seed)
    garbage = random.integers(0, 256, (len(world.customers), 2)).astype(np.uint8)
    header = Book.decode(fine_book(world.customers, bins_of(world.customers)))
    book = replace(header, body=garbage.tobytes()).encode()
    outlet = OUTLETS_OF_TWO.outlets["O1"]
    chosen = book if in_the_clear else fine_book(world.customers, garbage)
    contribution = calibrated(outlet, chosen)
    lengths = np.linalg.norm(contribution.rows, axis=1)
    assert len(lengths) == len(outlet.home.slots)
    assert set(lengths.tolist()) <= {0.0, 1.0, calibration_norm(2)}
    plan = plan_of(Purpose.CALIBRATION, calibration_dimension(2), calibration_norm(2))
    assert np.abs(contribution.sums(plan)).max() <= plan.norm * len(lengths)


OUTLETS_OF_TWO = network_of(small_world())


def other_books() -> dict[str, bytes]:
    people = small_world().customers
    more = pl.concat([people, pl.Series(people.name, ["another"])])
    return {
        "a slot more": fine_book(more, bins_of(more)),
        "a slot less": fine_book(people[:-1], bins_of(people[:-1])),
        "no slot": fine_book(people[:0], bins_of(people[:0])),
        "one outcome": fine_book(people, bins_of(people, 1)),
        "a band book": fine_book(people, bins_of(people), kind=BookKind.BAND, nonces=None),
    }


@pytest.mark.parametrize("which", other_books())
def test_a_fine_book_of_another_size_or_kind_is_refused(
    asked: tuple[Network, dict[str, bytes]], stage: tuple[Stage, ReleasePlan], which: str
) -> None:
    office, plan = Stage(asked[0]), stage[1]
    outlet = replace(
        office.outlet, home=OUTLETS_OF_TWO.outlets["O1"].home, slots=len(small_world().customers)
    )
    book = other_books()[which]
    plan = replace(plan, purpose=Purpose.CALIBRATION, dimension=calibration_dimension(2))
    with pytest.raises(QuestionRefused, match="no fine book of tonight's directory"):
        outlet.answer(office.ask(plan, scorecard=BOTH_CARDS, attachment=book))
    good = fine_book(small_world().customers, bins_of(small_world().customers))
    share = outlet.answer(office.ask(plan, scorecard=BOTH_CARDS, attachment=good))
    assert share.vector.shape == (calibration_dimension(2),)


@pytest.mark.parametrize("book", [b"", b"x", b"\0\0\0\x02{}", bytes(100)])
def test_what_is_no_book_is_refused_as_one(
    asked: tuple[Network, dict[str, bytes]], stage: tuple[Stage, ReleasePlan], book: bytes
) -> None:
    office, plan = Stage(asked[0]), stage[1]
    plan = replace(plan, purpose=Purpose.CALIBRATION, dimension=calibration_dimension(1))
    with pytest.raises(BookRefused):
        office.outlet.answer(office.ask(plan, attachment=book))
