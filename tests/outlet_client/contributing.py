"""Outlets of a small world, and what their tests ask them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from features.calibration import CALIBRATION_BINS
from features.events import DIMENSION, RATE_BOUNDS, RATES
from features.learning import MOMENTS_DIMENSION, ROW_CLIP, Whitening
from features.scorecard import Scorecard, decode_scorecards, encode_scorecards
from outlet_client.contribution.answer_store import AnswerStore
from outlet_client.contribution.contributions import Outlet, SlotSums
from outlet_client.settings import OutletSettings
from privacy.dither import Dither
from privacy.envelopes import SigningKey, digest
from privacy.purposes import Purpose
from privacy.seal_plans import SealKind, SealPlan
from sandbox.network import ANY_DAY, home_key, public_keys
from sandbox.world import HORIZON_DAYS, TrainOn, World
from tests.networks import CUT_OFF, SECOND, TARGET, small_world
from tests.outlet_client import questions
from tests.outlet_client.questions import DIRECTORY
from tests.shelves import SealKeys, directory_of, make_book

if TYPE_CHECKING:
    import polars as pl

    from privacy.plans import ReleasePlan

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
    """Floors of an outlet that is asked about days long past, as in every test that uses this."""
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
    return questions.seal_of(len(outlet.keys), kind=kind, scores=scores, **values)  # type: ignore[arg-type]  # fields by name


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


EVENTS = small_world().events["O1"]


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


def sums_of(
    outlet: Outlet, plan: ReleasePlan | SealPlan, cards: bytes, attachment: bytes = b""
) -> np.ndarray:
    """What an outlet adds, in integers, before the mask."""
    question = {"scorecard": cards, "attachment": attachment}
    if isinstance(plan, SealPlan):
        return outlet._parts(plan, question).sums(plan)
    return outlet._contribution(plan, question).sums(plan)


def slots_of(outlet: Outlet, plan: SealPlan, cards: bytes = BOTH_CARDS) -> np.ndarray:
    """What an outlet adds to a seal, int64[slots, width]."""
    return sums_of(outlet, plan, cards).reshape(plan.slots, plan.width)


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
