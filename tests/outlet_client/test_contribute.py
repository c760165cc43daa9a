"""What an outlet answers, what it refuses, and how far one customer can move a network's sums."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.events import DIMENSION
from features.learning import Preconditioner
from features.ledger import canonical_events
from features.scorecard import Scorecard
from outlet_client.contribute import HomeCustomers, Outlet
from outlet_client.errors import OutletError, QuestionRefused
from outlet_client.settings import OutletSettings
from privacy.envelopes import SigningKey, digest
from privacy.errors import PlanRefused
from privacy.plans import NightPlan, PlannedReleases, ReleasePlan, sign
from privacy.units import Purpose
from sandbox.market import simulated_ledger
from server.hq.combine import Combiner
from tests.networks import CUT_OFF, TARGET, small_network, world_of

if TYPE_CHECKING:
    from sandbox.network import Network
from sandbox.replay import TrainOn

CARD = Scorecard.uncapped(TARGET, np.linspace(-0.5, 1.0, DIMENSION))
MATRIX = Preconditioner(np.eye(DIMENSION) * 1.5, 1.0).encode()


@pytest.fixture(scope="module")
def asked() -> tuple[Network, dict[str, bytes]]:
    """A network and the question that HQ asked for its first training round."""
    network = small_network()
    questions: list[dict[str, bytes]] = []
    with pytest.MonkeyPatch.context() as patched:
        collect = Combiner._collect

        def record(self: Combiner, plan: object, signed: object, ask: object) -> object:
            questions.append(
                {
                    "night": self.night.payload,
                    "night_signature": self.night.signature,
                    "plan": signed.payload,  # type: ignore[attr-defined]
                    "plan_signature": signed.signature,  # type: ignore[attr-defined]
                    "scorecard": ask.scorecard,  # type: ignore[attr-defined]
                    "preconditioner": ask.preconditioner,  # type: ignore[attr-defined]
                }
            )
            return collect(self, plan, signed, ask)  # type: ignore[arg-type]

        patched.setattr(Combiner, "_collect", record)
        network.night("n1", str(CUT_OFF), TARGET, points=False)
    return network, questions[1]


def fresh(network: Network, **changes: object) -> Outlet:
    """An outlet that has answered nothing yet."""
    outlet = small_network().outlets["O1"]
    known = network.outlets["O1"]
    values = {"office": known.office, "answers": outlet.answers, **changes}
    return replace(known, **values)  # type: ignore[arg-type]


def test_an_outlet_answers_what_the_office_signed(asked: tuple[Network, dict[str, bytes]]) -> None:
    network, question = asked
    share = fresh(network).answer(question)
    assert share.envelope.outlet == "O1"
    assert share.vector.shape == (DIMENSION + 1,)


@pytest.mark.parametrize("part", ["scorecard", "preconditioner"])
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
        fresh(network, directory_digest="ab" * 32).answer(question)


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
        fresh(network, settings=OutletSettings(**floors)).answer(question)


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
    ) -> dict[str, bytes]:
        lines = (PlannedReleases(plan.purpose, 9, None),)
        night_plan = NightPlan(night, cut_off, lines, length, head, 2**40)
        signed_night = sign(night_plan, self.key)
        plan = replace(plan, night=signed_night.digest, expires=2**40)
        signed = sign(plan, self.key)
        return {
            "night": signed_night.payload,
            "night_signature": signed_night.signature,
            "plan": signed.payload,
            "plan_signature": signed.signature,
            "scorecard": CARD.encode(),
            "preconditioner": b"",
        }


@pytest.fixture
def stage(asked: tuple[Network, dict[str, bytes]]) -> tuple[Stage, ReleasePlan]:
    network, question = asked
    plan = ReleasePlan.decode(question["plan"])
    plan = replace(
        plan, purpose=Purpose.MOMENTS, dimension=36, scorecard=digest(CARD.encode()),
        preconditioner="",
    )  # fmt: skip
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


def test_a_plan_without_noise_is_refused_outside_the_sandbox(
    stage: tuple[Stage, ReleasePlan],
) -> None:
    office, plan = stage
    question = office.ask(replace(plan, noise_scale=0))
    with pytest.raises(QuestionRefused, match="without noise"):
        replace(office.outlet, settings=OutletSettings()).answer(question)


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
    broken = HomeCustomers(np.full((2, DIMENSION), np.nan), np.zeros(2))
    outlet = replace(office.outlet, home=broken)
    assert outlet.answer(office.ask(plan)).vector.shape == (plan.dimension,)
    assert not outlet._contribution(plan, office.ask(plan)).sums(plan).any()
    assert "2 rows not finite or too long count as nothing" in caplog.text


def test_a_plan_of_another_cut_off_outcome_or_layout_is_refused(
    stage: tuple[Stage, ReleasePlan],
) -> None:
    office, plan = stage
    with pytest.raises(QuestionRefused, match="as of 1999-01-01, this outlet is ready for"):
        office.outlet.answer(office.ask(plan, cut_off="1999-01-01"))
    with pytest.raises(QuestionRefused, match="asks for y_loyal"):
        replace(office.outlet, outcome="y_flipper").answer(office.ask(plan))
    with pytest.raises(QuestionRefused, match="of this dimension"):
        office.outlet.answer(office.ask(replace(plan, dimension=35)))
    with pytest.raises(QuestionRefused, match="of this dimension"):
        office.outlet.answer(office.ask(replace(plan, purpose=Purpose.DEMAND)))


def test_nothing_that_holds_purchases_prints_them(stage: tuple[Stage, ReleasePlan]) -> None:
    outlet = stage[0].outlet
    for thing in (
        outlet,
        outlet.home,
        outlet.events,
        outlet._contribution(stage[1], {"scorecard": CARD.encode()}),
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


def test_a_home_customer_without_events_adds_nothing() -> None:
    outlet = small_network().outlets["O1"]
    known = outlet.events.customers().head(1)
    people = pl.concat([known, pl.Series(known.name, ["nobody"])])
    home = HomeCustomers.of(outlet.events, people, np.ones(2))
    assert (len(home.x), len(home.y)) == (1, 1)


def test_a_customer_named_twice_is_refused() -> None:
    network = small_network()
    events = network.outlets["O1"].events
    twice = pl.Series(["S00001", "S00001"])
    with pytest.raises(OutletError, match="named twice"):
        HomeCustomers.of(events, twice, np.zeros(2))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), who=st.integers(0, 10**6))
def test_removing_any_one_customer_moves_every_customer_sum_by_at_most_the_bound(
    seed: int, who: int
) -> None:
    """On the real contribution code: same directory and homes, one customer's records emptied."""
    ledger = simulated_ledger(np.random.default_rng(seed), outlets=3, customers=40)
    events = canonical_events(ledger, "simulated")
    whole_world = world_of(events)
    if whole_world.customers.is_empty():
        return
    gone = whole_world.customers[who % len(whole_world.customers)]
    emptied = world_of(events.filter(pl.col("customer") != gone))
    emptied = replace(  # the directory, the homes and what is labelled are public and stay
        emptied, customers=whole_world.customers, homes=whole_world.homes,
        y=whole_world.outcomes(TrainOn.HOME, TARGET), fold=whole_world.fold,
    )  # fmt: skip
    whole_world = replace(whole_world, y=emptied.y)
    emptied = replace(emptied, y=emptied.outcomes(TrainOn.HOME, TARGET))
    whole, less = (network_sums(world) for world in (whole_world, emptied))
    for purpose, (plan, total) in whole.items():
        moved = [int(value) for value in total - less[purpose][1]]
        assert sum(value * value for value in moved) <= plan.norm**2
        if purpose is not Purpose.TRAINING:
            assert any(moved)  # the customer did count


def network_sums(world: object) -> dict[Purpose, tuple[ReleasePlan, np.ndarray]]:
    network = small_network(world=world)  # type: ignore[arg-type]
    sums = {}
    for purpose, dimension, norm in [
        (Purpose.MOMENTS, 36, 9.0),
        (Purpose.TRAINING, DIMENSION + 1, 1.5),
        (Purpose.EVALUATION, 16, 1.0),
    ]:
        scale = 2**20
        plan = ReleasePlan(
            "r", "", "", purpose, dimension, 64, scale, int(norm * scale), 2**50, 1, 3, "", "",
            "", "00" * 32, 0,
        )  # fmt: skip
        question = {"scorecard": CARD.encode(), "preconditioner": MATRIX}
        parts = [o._contribution(plan, question).sums(plan) for o in network.outlets.values()]
        sums[purpose] = plan, np.sum(parts, axis=0)
    return sums


def test_removing_one_event_moves_the_points_by_at_most_the_event_bound() -> None:
    network = small_network()
    outlet = network.outlets["O1"]
    card = Scorecard(TARGET, CARD.weights, 12.0)
    slots = outlet.slots
    norm = int(np.ceil((2 * 12.0**2 + 1) ** 0.5 * 1024))
    plan = ReleasePlan(
        "r", "", "", Purpose.POINTS, 3 * slots, 64, 1024, norm, 2**40, 0, 3, "", "", "",
        "00" * 32, 0,
    )  # fmt: skip
    question = {"scorecard": card.encode(), "preconditioner": b""}
    whole = outlet._contribution(plan, question).sums(plan)
    for event in range(0, len(outlet.events.keys), 17):
        keep = np.arange(len(outlet.events.keys)) != event
        fewer = replace(
            outlet.events,
            keys=outlet.events.keys.filter(keep),
            points=outlet.events.points[keep],
            rates=outlet.events.rates[keep],
        )
        lighter = replace(outlet, events=fewer, event_slots=outlet.event_slots[keep])
        less = lighter._contribution(plan, question).sums(plan)
        moved = [int(value) for value in whole - less]
        assert sum(value * value for value in moved) <= plan.norm**2
