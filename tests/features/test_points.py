"""Points: what one outlet tells of a customer, and what adds up over outlets."""

from __future__ import annotations

import math
import secrets
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from features.bands import EVIDENCE_CAP
from features.events import (
    DIMENSION,
    POINTS,
    RATE_BOUNDS,
    RATES,
    CustomerSums,
    EventFeatures,
    count_feature,
    event_features,
)
from features.points import (
    ELSEWHERE,
    NEAREST,
    PART_BOUND,
    base_points,
    bounded,
    count_points,
    event_points,
    evidence,
    outlet_parts,
    part_points,
    whole_points,
)
from features.scorecard import LARGEST_WEIGHT, MOST_SCORES, Scorecard
from features.snapshot import Snapshot
from privacy.dither import Dither
from tests.features.ledgers import (
    CUT,
    END,
    OUTLETS,
    PEOPLE,
    USUAL,
    Row,
    any_events,
    at_outlet,
    events_of,
    rows,
    sample,
    sightings,
    snapshot_of,
    some,
)

LOYAL = Scorecard.of("y_loyal", np.linspace(-0.5, 1.0, DIMENSION), USUAL)
LAPSED = Scorecard.of("y_lapsed", np.linspace(0.8, -0.7, DIMENSION), USUAL / 2)
CARDS = (LOYAL, LAPSED)
HOME, ELSE = np.ones(len(PEOPLE), dtype=bool), np.zeros(len(PEOPLE), dtype=bool)

dithers = st.floats(0, 1, exclude_max=True)

usual_events = hnp.arrays(np.float64, RATES, elements=st.floats(0, 1)).map(
    lambda shares: shares * RATE_BOUNDS
)


def card_lists(largest: float) -> st.SearchStrategy[tuple[Scorecard, ...]]:
    """One to four scorecards, their weights up to a size."""
    weights = hnp.arrays(np.float64, DIMENSION, elements=st.floats(-largest, largest))
    drawn = st.lists(st.tuples(weights, usual_events), min_size=1, max_size=MOST_SCORES)
    return drawn.map(
        lambda pairs: tuple(
            Scorecard.of(f"y{place}", weight, usual) for place, (weight, usual) in enumerate(pairs)
        )
    )


def points_by_hand(card: Scorecard, events: EventFeatures, who: str, share: float) -> float:
    """What one outlet's events give a customer, event by event, in plain arithmetic."""
    total, number = 0.0, 0
    for customer, points, rates in zip(
        events.keys["customer"], events.points.tolist(), events.rates.tolist(), strict=True
    ):
        if customer != who:
            continue
        number += 1
        of_points, of_rates = card.weights[1 : 1 + POINTS], card.weights[1 + POINTS : -1]
        total += sum(w * value for w, value in zip(of_points, points, strict=True))
        total += sum(
            w * (value - usual) / 4
            for w, value, usual in zip(of_rates, rates, card.usual, strict=True)
        )
    return 10 * (total + share * card.weights[-1] * 0.8 * math.log(1 + number / 2))


# --- what a part is -------------------------------------------------------------------------------


@given(any_events(), card_lists(5.0), st.lists(st.booleans(), min_size=3, max_size=3))
def test_a_part_is_event_points_and_count_points_in_whole_points_within_the_bound(
    events: EventFeatures, cards: tuple[Scorecard, ...], home: list[bool]
) -> None:
    at_home, sums = np.array(home), CustomerSums.of(events, PEOPLE)
    found = outlet_parts(cards, sums, at_home)
    assert found.shape == (len(PEOPLE), len(cards) + 1)
    assert found.dtype == np.int64
    for place, card in enumerate(cards):
        together = event_points(card, sums) + count_points(card, sums.counts, at_home)
        assert part_points(card, sums, at_home).tolist() == together.tolist()
        for row, who in enumerate(PEOPLE):
            exact = points_by_hand(card, events, who, 1.0 if home[row] else ELSEWHERE)
            assert together[row] == pytest.approx(exact, rel=1e-9, abs=1e-9)
            told = found[row, place]
            assert abs(told - min(max(exact, -PART_BOUND), PART_BOUND)) <= 0.5 + 1e-5
    assert found[:, -1].tolist() == np.minimum(sums.counts, EVIDENCE_CAP).tolist()


@given(any_events(), card_lists(5.0))
def test_at_home_base_and_part_are_the_score_that_is_trained(
    events: EventFeatures, cards: tuple[Scorecard, ...]
) -> None:
    sums = CustomerSums.of(events, PEOPLE)
    for card in cards:
        found = base_points(card) + part_points(card, sums, HOME)
        np.testing.assert_allclose(found, card.score(sums), rtol=1e-9, atol=1e-9)


@given(any_events(), card_lists(5.0))
def test_points_of_single_events_add_up_to_those_of_their_sum(
    events: EventFeatures, cards: tuple[Scorecard, ...]
) -> None:
    for card in cards:
        each = event_points(card, events.each()).sum()
        assert each == pytest.approx(event_points(card, events.total())[0], rel=1e-9, abs=1e-8)


@given(card_lists(LARGEST_WEIGHT))
def test_a_customer_without_events_is_given_nothing_and_no_evidence(
    cards: tuple[Scorecard, ...],
) -> None:
    nobody = CustomerSums.of(sample(3), pl.Series(["ben", "cleo", "dora"]))
    for at_home in (HOME, ELSE):
        assert not outlet_parts(cards, nobody, at_home).any()
        for card in cards:
            assert not part_points(card, nobody, at_home).any()


@given(
    card_lists(LARGEST_WEIGHT),
    hnp.arrays(np.float64, (3, POINTS + RATES), elements=st.floats(-1e6, 1e6)),
    hnp.arrays(np.float64, 3, elements=st.integers(0, 10**6).map(float)),
)
def test_no_part_leaves_its_bound_and_no_evidence_its_cap(
    cards: tuple[Scorecard, ...], values: np.ndarray, counts: np.ndarray
) -> None:
    sums = CustomerSums(values[:, :POINTS], values[:, POINTS:], counts)
    found = outlet_parts(cards, sums, np.array([True, False, True]))
    assert (PART_BOUND, EVIDENCE_CAP) == (60, 6)
    assert np.abs(found[:, :-1]).max() <= 60
    assert found[:, -1].min() >= 0
    assert found[:, -1].max() <= 6


def test_parts_reach_their_bound_either_way_and_evidence_its_cap() -> None:
    many = sample(20).total()
    for sign in (1, -1):
        card = Scorecard.of("y", sign * np.ones(DIMENSION))
        assert outlet_parts([card], many, np.array([True])).tolist() == [[sign * 60, 6]]


def test_evidence_is_the_number_of_events_as_far_as_it_is_told() -> None:
    assert evidence(np.arange(9.0)).tolist() == [0, 1, 2, 3, 4, 5, 6, 6, 6]


# --- home and elsewhere ---------------------------------------------------------------------------


@given(any_events(), card_lists(5.0))
def test_an_outlet_that_is_not_the_home_halves_the_points_of_the_number_and_nothing_else(
    events: EventFeatures, cards: tuple[Scorecard, ...]
) -> None:
    sums = CustomerSums.of(events, PEOPLE)
    for card in cards:
        home, elsewhere = (part_points(card, sums, where) for where in (HOME, ELSE))
        of_number = count_points(card, sums.counts, HOME)
        np.testing.assert_allclose(home - elsewhere, of_number / 2, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(elsewhere - of_number / 2, event_points(card, sums), atol=1e-8)
    evidences = [outlet_parts(cards, sums, where)[:, -1].tolist() for where in (HOME, ELSE)]
    assert evidences[0] == evidences[1]


def test_two_events_at_home_give_half_as_much_again_elsewhere() -> None:
    card = Scorecard.of("y", np.r_[np.zeros(DIMENSION - 1), 2.0])
    found = count_points(card, np.array([2.0, 2.0, 0.0]), np.array([True, False, True]))
    assert found.tolist() == pytest.approx([16 * math.log(2), 8 * math.log(2), 0])


# --- adding up over outlets -----------------------------------------------------------------------


@given(rows, sightings, st.data())
def test_parts_of_outlets_by_themselves_add_up_exactly_to_the_networks_sum(
    drawn: list[Row], seen: list[Row], data: st.DataObject
) -> None:
    """To the last point: an outlet alone sends what the linked records say of it."""
    events = events_of(drawn, seen)
    home = {who: data.draw(st.sampled_from(OUTLETS)) for who in PEOPLE}
    alone = np.zeros((len(PEOPLE), len(CARDS) + 1), dtype=np.int64)
    for own in events.partition_by("outlet"):
        at_home = np.array([home[who] == own["outlet"][0] for who in PEOPLE])
        sums = CustomerSums.of(event_features(Snapshot.take(own, CUT, END)), PEOPLE)
        alone += outlet_parts(CARDS, sums, at_home)
    linked = event_features(snapshot_of(events))
    network = np.zeros_like(alone)
    for row, who in enumerate(PEOPLE):
        for outlet in OUTLETS:
            mine = (linked.keys["customer"] == who) & (linked.keys["outlet"] == outlet)
            total = some(linked, mine.to_numpy()).total()
            network[row] += outlet_parts(CARDS, total, np.array([home[who] == outlet]))[0]
    assert alone.tolist() == network.tolist()


@given(any_events(), st.data())
def test_what_other_outlets_know_moves_no_part(events: EventFeatures, data: st.DataObject) -> None:
    before = outlet_parts(CARDS, CustomerSums.of(at_outlet(events, "o1"), PEOPLE), HOME)
    elsewhere = (events.keys["outlet"] != "o1").to_numpy()
    kept = np.array([data.draw(st.booleans()) or not other for other in elsewhere])
    less = at_outlet(some(events, kept), "o1")
    assert outlet_parts(CARDS, CustomerSums.of(less, PEOPLE), HOME).tolist() == before.tolist()


@given(any_events(), st.data())
def test_an_event_that_moves_between_outlets_moves_no_event_points(
    events: EventFeatures, data: st.DataObject
) -> None:
    def total(outlets: list[str], card: Scorecard) -> np.ndarray:
        keys = events.keys.with_columns(outlet=pl.Series(outlets))
        moved = EventFeatures(keys, events.points, events.rates)
        parts = (CustomerSums.of(at_outlet(moved, one), PEOPLE) for one in OUTLETS)
        return np.array(sum(event_points(card, part) for part in parts))

    before = events.keys["outlet"].to_list()
    after = [data.draw(st.sampled_from(OUTLETS)) for _ in before]
    for card in CARDS:
        np.testing.assert_allclose(total(before, card), total(after, card), rtol=1e-9, atol=1e-8)


def test_three_events_at_each_of_two_outlets_give_about_what_six_at_one_do() -> None:
    """What the half is for; without it they would give a third more."""
    card = Scorecard.of("y", np.r_[np.zeros(DIMENSION - 1), 1.0])
    three = count_points(card, np.array([3.0, 3.0]), np.array([True, False]))
    [six] = count_points(card, np.array([6.0]), np.array([True]))
    assert three.sum() == pytest.approx(six, rel=0.02)
    assert 2 * three[0] > 1.3 * six


# --- whole points ---------------------------------------------------------------------------------


def test_without_a_dither_whole_points_are_the_nearest_and_then_bounded() -> None:
    exact = np.array([-1e9, -60.6, -59.6, -0.5, -0.4, 0.0, 0.4, 0.5, 0.6, 59.4, 60.4, 1e9])
    whole = whole_points(exact)
    assert whole.tolist() == [-1e9, -61, -60, 0, 0, 0, 0, 1, 1, 59, 60, 1e9]
    assert bounded(whole).tolist() == [-60, -60, -60, 0, 0, 0, 0, 1, 1, 59, 60, 60]
    assert bounded(whole).dtype == np.int64


def rounded_by_hand(exact: float, dither: float) -> int:
    known = float(np.round(exact, 6))
    below = math.floor(known)
    return below + (known - below + dither >= 1)


@given(st.floats(-1e4, 1e4), dithers)
def test_a_dither_decides_between_the_whole_points_below_and_above(
    exact: float, dither: float
) -> None:
    [found] = whole_points(np.array([exact]), dither)
    assert found == rounded_by_hand(exact, dither)
    assert abs(found - exact) < 1 + 1e-6


@given(st.integers(-(10**6), 10**6), dithers)
def test_whole_points_stay_as_they_are_under_every_dither(points: int, dither: float) -> None:
    """Else who has no event would be given a point now and then."""
    about = points + np.array([0.0, 1e-9, -1e-9])
    assert whole_points(about, dither).tolist() == [points] * 3
    assert whole_points(about, np.nextafter(1.0, 0.0)).tolist() == [points] * 3


@given(any_events(), card_lists(5.0), st.data())
def test_each_score_of_a_customer_is_rounded_by_its_own_dither_before_the_bound(
    events: EventFeatures, cards: tuple[Scorecard, ...], data: st.DataObject
) -> None:
    shape = (len(PEOPLE), len(cards))
    drawn = data.draw(hnp.arrays(np.float64, shape, elements=dithers))
    sums = CustomerSums.of(events, PEOPLE)
    found = outlet_parts(cards, sums, HOME, drawn)
    for row, place in np.ndindex(*shape):
        [exact] = part_points(cards[place], sums.where(np.array([row])), HOME[:1])
        told = rounded_by_hand(exact, float(drawn[row, place]))
        assert found[row, place] == min(max(told, -PART_BOUND), PART_BOUND)
    assert found[:, -1].tolist() == evidence(sums.counts).tolist()
    half = np.full(shape, NEAREST)
    assert (
        outlet_parts(cards, sums, HOME).tolist() == outlet_parts(cards, sums, HOME, half).tolist()
    )


def test_dithers_of_another_number_of_scores_are_an_error() -> None:
    with pytest.raises(ValueError, match="zip"):
        outlet_parts(CARDS, sample(3).total(), np.array([True]), np.full((1, 1), NEAREST))


@pytest.mark.statistical
def test_small_parts_of_many_customers_live_on_average_and_are_the_same_every_week() -> None:
    """20,000 customers of .2 points at an outlet, and an outlet's real dithers.

    Their mean has a standard deviation of .0028: within .015 of .2 but for 1 secret in 4 million.
    Nearest whole points are 0, all of them.
    """
    keys = [number.to_bytes(32, "big") for number in range(20_000)]
    drawn = Dither.of(secrets.token_bytes(32)).of_slots(keys, ["y_loyal", "y_flipped"])
    card = Scorecard.of("y", np.r_[np.zeros(DIMENSION - 1), 0.02 / count_feature(np.ones(1))])
    sums = CustomerSums(np.zeros((20_000, POINTS)), np.zeros((20_000, RATES)), np.ones(20_000))
    everybody = np.ones(20_000, dtype=bool)
    weekly = [outlet_parts([card, card], sums, everybody, drawn) for _week in range(3)]
    for place in (0, 1):
        told = weekly[0][:, place]
        assert set(told.tolist()) == {0, 1}
        assert abs(told.mean() - 0.2) < 0.015
    assert weekly[0].tolist() == weekly[1].tolist() == weekly[2].tolist()
    apart = (weekly[0][:, 0] != weekly[0][:, 1]).mean()
    assert apart == pytest.approx(
        2 * 0.2 * 0.8, abs=0.02
    )  # one score's dither says nothing of another's
    assert not outlet_parts([card], sums, everybody)[:, 0].any()


@given(any_events(), st.randoms(), card_lists(5.0))
def test_the_order_in_which_events_are_added_up_moves_no_part(
    events: EventFeatures, random: Any, cards: tuple[Scorecard, ...]
) -> None:
    order = np.array(random.sample(range(len(events.keys)), len(events.keys)))
    before, after = (CustomerSums.of(one, PEOPLE) for one in (events, some(events, order)))
    assert outlet_parts(cards, before, HOME).tolist() == outlet_parts(cards, after, HOME).tolist()


@pytest.mark.parametrize("half", [0.5, 1.5, -2.5, 58.5])
def test_a_tie_is_decided_alike_however_its_sum_came_about(half: float) -> None:
    about = np.array([half, np.nextafter(half, 99), np.nextafter(half, -99), half * (1 + 1e-14)])
    assert set(whole_points(about).tolist()) == {half + 0.5}


def test_the_base_is_the_intercepts_and_nobody_sends_it() -> None:
    card = Scorecard.of("y", np.r_[-5.2, np.zeros(DIMENSION - 1)])
    assert base_points(card) == pytest.approx(-52)
    assert outlet_parts([card], sample(4).total(), np.array([True])).tolist() == [[0, 4]]
