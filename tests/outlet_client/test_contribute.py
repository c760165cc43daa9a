"""What an outlet answers, what it refuses, and how far one customer can move a network's sums."""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.calibration import CALIBRATION_DIMENSION, FINE_BINS, calibration_rows, is_regular
from features.errors import CatalogueError
from features.events import DIMENSION
from features.learning import (
    COUNTS_DIMENSION,
    GRADIENT_CLIP,
    GRADIENT_DIMENSION,
    MOMENTS_DIMENSION,
    ROW_CLIP,
    Preconditioner,
)
from features.ledger import canonical_events
from features.points import PointsCode
from features.scorecard import Scorecard
from outlet_client.errors import OutletError, QuestionRefused
from outlet_client.night.contribute import HomeCustomers, Outlet
from outlet_client.settings import OutletSettings
from privacy.books import Book, BookRefused, Kind, fine_key, read_entry
from privacy.envelopes import SigningKey, digest
from privacy.errors import PlanRefused
from privacy.fixed_point import clipping_units
from privacy.plans import NightPlan, PlannedReleases, ReleasePlan, sign
from privacy.units import Purpose
from sandbox.market import simulated_market
from sandbox.network import Network, Settings, slot_keys
from sandbox.replay import TrainOn, World, market_events
from server.hq.combine import Combiner
from tests.networks import CUT_OFF, SECOND, TARGET, small_network, small_world, world_of

if TYPE_CHECKING:
    from privacy.two_key_sum import Contribution

CARD = Scorecard.of(TARGET, np.linspace(-0.5, 1.0, DIMENSION))
MATRIX = Preconditioner(np.eye(DIMENSION) * 1.5, 1.0, np.eye(DIMENSION)).encode()
CODES = [
    PointsCode.lossless((CARD,)),
    PointsCode.tangent((CARD, Scorecard.of(SECOND, -np.asarray(CARD.weights))), np.eye(DIMENSION)),
]


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
    assert share.vector.shape == (GRADIENT_DIMENSION,)


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
        attachment: bytes = b"",
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
            "attachment": attachment,
        }


@pytest.fixture
def stage(asked: tuple[Network, dict[str, bytes]]) -> tuple[Stage, ReleasePlan]:
    network, question = asked
    plan = ReleasePlan.decode(question["plan"])
    plan = replace(
        plan, purpose=Purpose.MOMENTS, dimension=MOMENTS_DIMENSION, scorecard=digest(CARD.encode()),
        attachment="",
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
    broken = HomeCustomers(
        np.full((2, DIMENSION), np.nan),
        {TARGET: np.zeros(2)},
        np.arange(2),
        np.arange(2),
        (bytes(32),) * 2,
    )
    outlet = replace(office.outlet, home=broken)
    assert outlet.answer(office.ask(plan)).vector.shape == (plan.dimension,)
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
        office.outlet.answer(office.ask(replace(plan, purpose=Purpose.DEMAND)))


def test_nothing_that_holds_purchases_prints_them(stage: tuple[Stage, ReleasePlan]) -> None:
    outlet = stage[0].outlet
    for thing in (
        outlet,
        outlet.home,
        outlet.views[str(CUT_OFF)],
        outlet.views[str(CUT_OFF)].events,
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


def home_of(outlet: Outlet, people: pl.Series) -> HomeCustomers:
    events = outlet.views[str(CUT_OFF)].events
    number = len(people)
    keys = [bytes([place]) * 64 for place in range(number)]
    y = {TARGET: np.ones(number), SECOND: np.zeros(number)}
    return HomeCustomers.of(events, people, y, np.arange(number) + 5, keys)


def test_a_home_customer_without_events_adds_nothing() -> None:
    outlet = small_network().outlets["O1"]
    known = outlet.views[str(CUT_OFF)].events.customers().head(1)
    people = pl.concat([pl.Series(known.name, ["nobody"]), known])
    home = home_of(outlet, people)
    assert len(home.x) == 1
    assert {name: y.tolist() for name, y in home.y.items()} == {TARGET: [1.0], SECOND: [0.0]}
    assert (home.slots.tolist(), home.keys) == ([6], (b"\x01" * 64,))


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
    dimension = code.width * slots
    return plan_of(Purpose.POINTS, dimension, code.norm, code.scale, code.ring_bits)


def fine_book(customers: pl.Series, entries: np.ndarray, **changes: object) -> bytes:
    """A fine book, readable by homes, as HQ makes one."""
    header: dict[str, Any] = {
        "kind": Kind.FINE, "release": "points", "version": 1, "as_of": str(CUT_OFF),
        "made_at": 1, "directory": "d",
    }  # fmt: skip
    keys = [fine_key(key.token, key.home_nonce) for key in slot_keys(customers)]
    return Book.masked(entries, keys, **(header | changes)).encode()


def bins_of(customers: pl.Series, width: int = 2) -> np.ndarray:
    """Any entries, some of which are no bin; a function of the directory alone."""
    random = np.random.default_rng(len(customers))
    return random.integers(0, FINE_BINS + 3, (len(customers), width)).astype(np.uint8)


def network_of(world: World) -> Network:
    """Outlets that learn two outcomes, everybody in training."""
    y = {name: world.outcomes(TrainOn.HOME, name) for name in (TARGET, SECOND)}
    everybody = np.ones(len(world.customers), dtype=bool)
    settings_ = Settings.one_training(1.0, 1e-6, 2)
    return Network.build(world.members(y, everybody), world.customers, settings_)


def network_sums(world: World) -> Sums:
    """What all outlets' contributions come to, in integers, for everything that can be asked."""
    outlets = network_of(world).outlets.values()
    book = fine_book(world.customers, bins_of(world.customers))
    questions = {}
    for name in (TARGET, SECOND):
        card = replace(CARD, outcome=name).encode()
        for purpose, dimension, norm, attachment in [
            (Purpose.MOMENTS, MOMENTS_DIMENSION, ROW_CLIP**2, b""),
            (Purpose.TRAINING, GRADIENT_DIMENSION, GRADIENT_CLIP, MATRIX),
            (Purpose.EVALUATION, COUNTS_DIMENSION, 1.0, b""),
            (Purpose.CALIBRATION, CALIBRATION_DIMENSION, 1.0, book),
        ]:
            questions[f"{purpose} of {name}"] = plan_of(purpose, dimension, norm), card, attachment
    for code in CODES:
        plan = points_plan(code, len(world.customers))
        questions[f"points of {code.width}"] = plan, code.encode(), b""
    return {
        key: (
            plan,
            np.sum(
                [
                    outlet._contribution(plan, {"scorecard": card, "attachment": attachment}).sums(
                        plan
                    )
                    for outlet in outlets
                ],
                axis=0,
            ),
        )
        for key, (plan, card, attachment) in questions.items()
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


@settings(max_examples=20, deadline=None)
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
    for name in (TARGET, SECOND):
        assert {f"{Purpose.MOMENTS} of {name}", f"{Purpose.EVALUATION} of {name}"} <= moved


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


@settings(max_examples=30, deadline=None)
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


@pytest.mark.parametrize("code", CODES, ids=["lossless", "tangent"])
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
        scorecard=digest(code.encode()), scale=256, norm=256, noise_scale=256,
        ring_bits=code.ring_bits, outlet_bound=256 * code.most_events,
    )  # fmt: skip
    return office, plan


def ask_points(office: Stage, plan: ReleasePlan, code: bytes) -> dict[str, bytes]:
    return {**office.ask(replace(plan, scorecard=digest(code))), "scorecard": code}


def test_points_are_answered_as_of_the_days_this_outlet_is_ready_for_and_no_other(
    points_stage: tuple[Stage, ReleasePlan],
) -> None:
    office, plan = points_stage
    code = CODES[1].encode()
    with pytest.raises(QuestionRefused, match=f"points as of 1999-01-01, .* ready for {CUT_OFF}"):
        office.outlet.answer(ask_points(office, replace(plan, as_of="1999-01-01"), code))
    with pytest.raises(QuestionRefused, match="no points of this layout"):
        office.outlet.answer(ask_points(office, plan, PointsCode.lossless(CODES[1].cards).encode()))
    with pytest.raises(CatalogueError):
        office.outlet.answer(ask_points(office, plan, CARD.encode()))
    for changed in (
        {"ring_bits": 64}, {"scale": 128}, {"norm": 1, "noise_scale": 256}, {"outlet_bound": 256},
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
    outlet = replace(office.outlet, settings=OutletSettings(least_event_noise=2.0))
    with pytest.raises(QuestionRefused, match="this outlet's least is 2"):
        outlet.answer(ask_points(office, plan, CODES[1].encode()))


# --- calibration ----------------------------------------------------------------------------------


def calibrated(outlet: Outlet, book: bytes) -> Contribution:
    plan = plan_of(Purpose.CALIBRATION, CALIBRATION_DIMENSION, 1.0)
    return outlet._contribution(plan, {"scorecard": CARD.encode(), "attachment": book})


def test_calibration_counts_each_home_customer_in_the_bin_that_the_book_names() -> None:
    world = small_world()
    entries = bins_of(world.customers)
    for outlet in network_of(world).outlets.values():
        rows = calibrated(outlet, fine_book(world.customers, entries)).rows
        home = outlet.home
        expected = calibration_rows(entries[home.slots, 0], home.y[TARGET], is_regular(home.x))
        assert len(home.slots) > 10
        assert rows.tolist() == expected.tolist()
        card = replace(CARD, outcome=SECOND).encode()
        plan = plan_of(Purpose.CALIBRATION, CALIBRATION_DIMENSION, 1.0)
        question = {"scorecard": card, "attachment": fine_book(world.customers, entries)}
        second = calibration_rows(entries[home.slots, 1], home.y[SECOND], is_regular(home.x))
        assert outlet._contribution(plan, question).rows.tolist() == second.tolist()


def test_an_entry_of_the_fine_book_is_read_with_the_homes_key_only() -> None:
    world = small_world()
    slots = len(world.customers)
    entries = bins_of(world.customers)
    book = Book.decode(fine_book(world.customers, entries))
    keys = slot_keys(world.customers)
    strangers = {
        "the token alone": [key.token for key in keys],
        "the nonce alone": [key.home_nonce for key in keys],
        "token and another's nonce": [
            fine_key(keys[i].token, keys[i - 1].home_nonce) for i in range(slots)
        ],
        "another's key": [
            fine_key(keys[i - 1].token, keys[i - 1].home_nonce) for i in range(slots)
        ],
    }
    homes = [fine_key(key.token, key.home_nonce) for key in keys]
    read = [list(read_entry(book, slot, key)) for slot, key in enumerate(homes)]
    assert read == entries.tolist()
    for which in strangers.values():
        said = np.array([list(read_entry(book, slot, key)) for slot, key in enumerate(which)])
        # of 2 x 400 uniform bytes one in 256 agrees; 20 do with a chance below 1e-10
        assert (said == entries).sum() < 20


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.booleans())
def test_a_garbage_fine_book_raises_nothing_and_no_row_is_longer_than_1(
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
    assert set(lengths.tolist()) <= {0.0, 1.0}
    plan = plan_of(Purpose.CALIBRATION, CALIBRATION_DIMENSION, 1.0)
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
        "a band book": fine_book(people, bins_of(people), kind=Kind.BAND),
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
    plan = replace(
        plan, purpose=Purpose.CALIBRATION, dimension=CALIBRATION_DIMENSION, attachment=digest(book)
    )
    with pytest.raises(QuestionRefused, match="no fine book of tonight's directory"):
        outlet.answer(office.ask(plan, attachment=book))
    good = fine_book(small_world().customers, bins_of(small_world().customers))
    plan = replace(plan, attachment=digest(good))
    share = outlet.answer(office.ask(plan, attachment=good))
    assert share.vector.shape == (CALIBRATION_DIMENSION,)


@pytest.mark.parametrize("book", [b"", b"x", b"\0\0\0\x02{}", bytes(100)])
def test_what_is_no_book_is_refused_as_one(
    asked: tuple[Network, dict[str, bytes]], stage: tuple[Stage, ReleasePlan], book: bytes
) -> None:
    office, plan = Stage(asked[0]), stage[1]
    plan = replace(
        plan, purpose=Purpose.CALIBRATION, dimension=CALIBRATION_DIMENSION,
        attachment=digest(book) if book else "",
    )  # fmt: skip
    with pytest.raises(BookRefused):
        office.outlet.answer(office.ask(plan, attachment=book))
