"""What an outlet adds up, and how far one customer can move a network's sums."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.bands import EVIDENCE_CAP
from features.calibration import calibration_dimension, calibration_norm
from features.learning import (
    MOMENTS_DIMENSION,
    ROW_CLIP,
    USUAL_CLIP,
    USUAL_DIMENSION,
    counts_dimension,
    gradient_dimension,
)
from features.ledger import canonical_events
from features.points import PART_BOUND
from features.scorecard import encode_scorecards
from outlet_client.contribution.contributions import HomeCustomers
from outlet_client.errors import OutletError
from privacy.plans import ReleasePlan
from privacy.purposes import Purpose
from privacy.seal_plans import SealPlan
from sandbox.market import simulated_market
from sandbox.network import home_key
from sandbox.world import World, market_events
from tests.networks import CUT_OFF, SECOND, TARGET, small_world, world_of
from tests.outlet_client.contributing import (
    BOTH,
    EVENTS,
    MATRICES,
    NORM,
    bins_of,
    fine_book,
    outlets_of,
    plan_of,
    seal_of,
    sums_of,
)


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


Sums = dict[str, tuple[ReleasePlan | SealPlan, "np.ndarray"]]


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
