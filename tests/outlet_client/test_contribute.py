"""What an outlet answers, what it refuses, and how far one customer can move a network's sums."""

from __future__ import annotations

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
from outlet_client.errors import QuestionRefused
from outlet_client.settings import OutletSettings
from privacy.envelopes import SigningKey
from privacy.errors import NotFinite, PlanRefused
from privacy.plans import NightPlan, PlannedReleases, ReleasePlan, sign
from privacy.units import Purpose
from sandbox.market import simulated_ledger
from server.hq.combine import Combiner
from tests.networks import CUT_OFF, TARGET, small_network, world_of

if TYPE_CHECKING:
    from sandbox.network import Network

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
        self, plan: ReleasePlan, *, length: int = 1, head: str = "h", night: str = "n"
    ) -> dict[str, bytes]:
        lines = (PlannedReleases(plan.purpose, 9, None),)
        signed_night = sign(NightPlan(night, "2026-01-01", lines, length, head, 2**40), self.key)
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
    from privacy.envelopes import digest

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


def test_features_that_are_not_finite_leave_nothing(stage: tuple[Stage, ReleasePlan]) -> None:
    office, plan = stage
    broken = HomeCustomers(np.full((2, DIMENSION), np.nan), np.zeros(2))
    with pytest.raises(NotFinite):
        replace(office.outlet, home=broken).answer(office.ask(plan))


def test_a_customer_named_twice_is_refused() -> None:
    network = small_network()
    events = network.outlets["O1"].events
    twice = pl.Series(["S00001", "S00001"])
    with pytest.raises(QuestionRefused, match="named twice"):
        HomeCustomers.of(events, twice, np.zeros(2))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), who=st.integers(0, 10**6))
def test_removing_any_one_customer_moves_every_customer_sum_by_at_most_the_bound(
    seed: int, who: int
) -> None:
    """On the real contribution code: same directory and homes, one customer's records emptied."""
    ledger = simulated_ledger(np.random.default_rng(seed), outlets=3, customers=40)
    events = canonical_events(ledger, "simulated")
    with_everybody = world_of(events)
    if with_everybody.customers.is_empty():
        return
    gone = with_everybody.customers[who % len(with_everybody.customers)]
    without = world_of(events.filter(pl.col("customer") != gone))
    whole, less = (network_sums(world) for world in (with_everybody, without))
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
    slots = len(network.directory)
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
        less = replace(outlet, events=fewer)._contribution(plan, question).sums(plan)
        moved = [int(value) for value in whole - less]
        assert sum(value * value for value in moved) <= plan.norm**2
