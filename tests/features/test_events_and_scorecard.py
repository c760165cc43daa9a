"""Events add up, point in time: the laws that everything else stands on."""

from __future__ import annotations

import datetime as dt
import json
import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import CatalogueError, FeatureError
from features.events import (
    CATALOGUE,
    COUNT_SCALE,
    DIMENSION,
    FEATURE_NAMES,
    POINT_BOUNDS,
    POINT_COLUMNS,
    POINTS,
    RATE_BOUNDS,
    RATE_COLUMNS,
    RATE_SCALE,
    RATES,
    USUAL_COUNT,
    CustomerSums,
    EventFeatures,
    count_feature,
    event_features,
)
from features.scorecard import (
    LARGEST_WEIGHT,
    MOST_SCORES,
    POINTS_PER_LOGIT,
    Scorecard,
    decode_scorecards,
    encode_scorecards,
)
from features.snapshot import Snapshot
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
    features_of,
    row,
    rows,
    sample,
    sightings,
    snapshot_of,
    some,
    sums_of,
)


@given(rows, sightings)
def test_a_row_after_the_cut_off_changes_no_feature(drawn: list[Row], seen: list[Row]) -> None:
    events = events_of(drawn, seen)
    before = events.filter(pl.col("date") <= CUT.date)
    assert np.array_equal(features_of(events), features_of(before))


@given(rows, sightings)
def test_what_outlets_add_up_by_themselves_adds_up_to_what_all_records_do(
    drawn: list[Row], seen: list[Row]
) -> None:
    events = events_of(drawn, seen)
    parts = [
        CustomerSums.of(event_features(Snapshot.take(own, CUT, END)), PEOPLE)
        for own in events.partition_by("outlet")
    ]
    linked = sums_of(events)
    for name in ("points", "rates"):
        together = np.sum([getattr(part, name) for part in parts], axis=0)
        np.testing.assert_allclose(together, getattr(linked, name), rtol=1e-12)
    assert np.sum([part.counts for part in parts], axis=0).tolist() == linked.counts.tolist()


@given(any_events(), st.data())
def test_an_event_that_moves_to_another_outlet_moves_nothing_but_what_numbers_of_events_say(
    events: EventFeatures, data: st.DataObject
) -> None:
    def vectors(outlets: list[str]) -> np.ndarray:
        keys = events.keys.with_columns(outlet=pl.Series(outlets))
        moved = EventFeatures(keys, events.points, events.rates)
        parts = [CustomerSums.of(at_outlet(moved, one), PEOPLE) for one in OUTLETS]
        return np.array(sum(part.vectors(USUAL) for part in parts))

    before = events.keys["outlet"].to_list()
    after = [data.draw(st.sampled_from(OUTLETS)) for _ in before]
    np.testing.assert_allclose(
        vectors(after)[:, :-1], vectors(before)[:, :-1], rtol=1e-9, atol=1e-9
    )


@given(any_events(), st.randoms())
def test_sums_ignore_the_order_of_events(events: EventFeatures, random: Any) -> None:
    order = np.array(random.sample(range(len(events.keys)), len(events.keys)))
    one, other = (CustomerSums.of(each, PEOPLE) for each in (events, some(events, order)))
    np.testing.assert_allclose(one.vectors(USUAL), other.vectors(USUAL), rtol=1e-9, atol=1e-12)


def test_sums_of_some_customers_leave_events_of_others_aside() -> None:
    events = sample(5)
    keys = pl.DataFrame({"customer": ["ben", "anna", "ben", "dora", "anna"], "outlet": ["o1"] * 5})
    events = EventFeatures(keys, events.points, events.rates)
    found = CustomerSums.of(events, pl.Series(["anna", "cleo", "ben"]))
    assert (len(found), found.counts.tolist()) == (3, [2, 0, 2])
    np.testing.assert_allclose(found.points[0], events.points[1] + events.points[4])
    np.testing.assert_allclose(found.rates[2], events.rates[0] + events.rates[2])
    assert not found.points[1].any()
    assert found.where(np.array([True, False, True])).counts.tolist() == [2, 2]
    assert found.where(np.array([1])).counts.tolist() == [0]
    assert events.customers().to_list() == ["anna", "ben", "dora"]


@given(any_events())
def test_events_one_by_one_add_up_to_their_total(events: EventFeatures) -> None:
    each, [total] = events.each(), events.total().vectors(USUAL)
    assert each.counts.tolist() == [1] * len(events.keys)
    together = each.vectors(USUAL)[:, 1:-1].sum(axis=0)
    np.testing.assert_allclose(together, total[1:-1], rtol=1e-9, atol=1e-9)


def test_a_usual_event_says_nothing_by_its_rates() -> None:
    usual = CustomerSums(np.zeros((1, POINTS)), 7 * USUAL[None, :], np.array([7.0]))
    [vector] = usual.vectors(USUAL)
    np.testing.assert_allclose(vector[RATE_COLUMNS], 0.0, atol=1e-12)
    [absolute] = usual.vectors(np.zeros(RATES))
    np.testing.assert_allclose(absolute[RATE_COLUMNS], 7 * USUAL * RATE_SCALE)


def test_each_further_event_says_less_and_none_says_nothing() -> None:
    said = count_feature(np.arange(50.0))
    assert said[0] == 0
    assert said[2] == pytest.approx(0.8 * math.log(2))  # two events are a usual customer's
    assert (np.diff(said) > 0).all()
    assert (np.diff(said, 2) < 0).all()


@given(rows, sightings)
def test_every_feature_stays_within_its_public_bounds(drawn: list[Row], seen: list[Row]) -> None:
    features = event_features(snapshot_of(events_of(drawn, seen)))
    for values, bounds in [(features.points, POINT_BOUNDS), (features.rates, RATE_BOUNDS)]:
        assert values.shape == (len(features.keys), len(bounds))
        assert np.isfinite(values).all()
        assert (values >= 0).all()
        assert (values <= bounds * (1 + 1e-12)).all()


def test_every_bound_is_reached_or_nearly() -> None:
    """A bound that is too wide would cost noise for nothing."""
    dear: dict[str, Any] = {"reference": "scarce-1", "price": 1e5}
    drawn = [
        row("anna", CUT.date, serial="s1", **{**dear, "list_price": 1e9}),
        row("anna", CUT.date, serial="s2", **dear),
        row("anna", CUT.date, serial="s3", **dear),
        row("ben", CUT.date, "return"),
        row("ben", CUT.date, "interest"),
    ]
    seen = [("s2", CUT.date, "confirmed"), ("s3", CUT.date, "suspected")]
    found = event_features(snapshot_of(events_of(drawn, seen)))
    assert (found.points.max(axis=0) >= 0.95 * POINT_BOUNDS).all()
    assert (found.rates.max(axis=0) >= 0.95 * RATE_BOUNDS).all()


def test_a_vector_has_a_number_a_name() -> None:
    assert len(FEATURE_NAMES) == len(set(FEATURE_NAMES)) == DIMENSION
    assert len(POINT_BOUNDS) + len(RATE_BOUNDS) + 2 == DIMENSION
    assert (len(POINT_BOUNDS), len(RATE_BOUNDS)) == (POINTS, RATES)
    columns = FEATURE_NAMES[POINT_COLUMNS] + FEATURE_NAMES[RATE_COLUMNS]
    assert columns == FEATURE_NAMES[1:-1]  # all but the intercept and the number of events
    assert all(name.startswith("points: ") for name in FEATURE_NAMES[POINT_COLUMNS])
    assert all(name.startswith("rate: ") for name in FEATURE_NAMES[RATE_COLUMNS])
    # the examples below are of these
    assert (RATE_SCALE, COUNT_SCALE, USUAL_COUNT) == (0.25, 0.8, 2)


def test_features_of_one_known_customer_are_what_their_docstrings_say() -> None:
    """One basket of 10^2.5 at a fifth off today, and one brought back 90 days ago."""
    whole = 10**2.5
    drawn = [
        row("anna", CUT.date, price=100.0, list_price=125.0, basket_id="b1"),
        row("anna", CUT.date, price=whole - 100, list_price=1.25 * whole - 125, basket_id="b1"),
        row("anna", dt.date(2025, 11, 2), price=-50.0, list_price=50.0, basket_id="b2"),
    ]
    usual = np.array([1.0, 0.5, 0.25, 0.5, 1.0, 0.0, 0.25, 0.125])
    anna, ben, _ = features_of(events_of(drawn), usual)
    expected = {
        "intercept": 1,
        "points: recent_purchase": 1 / 8,
        "points: recent_spend": 1 / 3,  # the log price is 1
        "points: recent_scarce": 0,
        # 90 days are a quarter of the slow half-life; two usual events are taken off
        "rate: active": (3 + 3 / 2**0.25 - 2 * 1.0) / 4,
        "rate: lately": (1 - 2 * 0.5) / 4,
        "rate: purchase_price": (1 / 2 - 2 * 0.25) / 4,
        "rate: returned": (4 - 2 * 0.5) / 4,
        "rate: discount": (4 * 0.2 - 2 * 1.0) / 4,
        "rate: resold": 0,
        "rate: suspected": -2 * 0.25 / 4,
        "rate: waiting": -2 * 0.125 / 4,
        "log events": 0.8 * np.log(2),
    }
    assert tuple(expected) == FEATURE_NAMES
    np.testing.assert_allclose(anna, list(expected.values()), rtol=1e-9, atol=1e-12)
    assert ben.tolist() == [1, *[0] * (DIMENSION - 1)]


def test_of_a_flipper_who_also_collects_the_kept_and_the_resold_piece_both_count() -> None:
    """One by allocation kept for 360 days; one limited, a fifth off, confirmed after 60; waits."""
    drawn = [
        row("anna", dt.date(2025, 2, 5), serial="kept", reference="scarce-1", price=10_000.0),
        row("anna", dt.date(2025, 11, 2), serial="gone", reference="limited-1", price=1000.0,
            list_price=1250.0),
        row("anna", dt.date(2025, 11, 2), "interest", reference="scarce-1"),
    ]  # fmt: skip
    seen = [("gone", dt.date(2026, 1, 1), "confirmed"), ("gone", dt.date(2026, 1, 20), "suspected")]
    [anna, *_] = features_of(events_of(drawn, seen), np.zeros(RATES))
    year, quarter = 1 / 2, 1 / 2**0.25  # what 360 and 90 days leave by the slow half-life
    expected = {
        "intercept": 1,
        "points: recent_purchase": (1 / 16 + 1 / 2) / 8,
        "points: recent_spend": 1.2**3 / 3 * (year + quarter),  # above 1,000: a log price of 1.2
        "points: recent_scarce": 1 / 16,  # the piece seen for sale can't be resold again
        "rate: active": 3 * (year + 2 * quarter) / 4,
        "rate: lately": (1 / 16 + 1 / 2) / 4,
        "rate: purchase_price": (0.8 + 0.6) / 4,  # log prices 1.6 and 1.2
        "rate: returned": 0,
        "rate: discount": 4 * 0.2 / 4,
        "rate: resold": (2 + 2 / 2) / 4,  # 60 days: half as quick as on the day
        "rate: suspected": 0,  # confirmed
        "rate: waiting": (4 / 2) / 4,
        "log events": 0.8 * np.log(1 + 3 / 2),
    }
    assert tuple(expected) == FEATURE_NAMES
    np.testing.assert_allclose(anna, list(expected.values()), rtol=1e-9)


def test_a_snapshot_counts_what_it_leaves_out() -> None:
    days = (CUT.date, dt.date(2026, 2, 1), dt.date(2026, 4, 1))
    drawn = [row("anna", day) for day in days]
    snapshot = Snapshot.take(events_of(drawn), CUT, END)
    assert (len(snapshot.history), len(snapshot.future), snapshot.left_out) == (1, 1, 2)
    with pytest.raises(FeatureError, match="before the cut-off"):
        Snapshot.take(events_of(drawn), CUT, dt.date(2026, 1, 1))


# --- scorecards -----------------------------------------------------------------------------------

CARD = Scorecard.of("y", np.arange(DIMENSION) / 7, USUAL)
OTHER = Scorecard.of("z", -np.arange(DIMENSION) / 3)


@given(any_events())
def test_a_score_weighs_the_vector_in_tenths_of_log_odds(events: EventFeatures) -> None:
    sums = CustomerSums.of(events, PEOPLE)
    expected = 10 * sums.vectors(USUAL) @ (np.arange(DIMENSION) / 7)
    np.testing.assert_allclose(CARD.score(sums), expected, rtol=1e-12, atol=1e-9)


def test_a_scorecard_reads_back_and_a_foreign_or_broken_one_is_refused() -> None:
    assert Scorecard.decode(CARD.encode()) == CARD
    for broken in [
        b"{}",
        b"x",
        b"",
        b"\xff",
        b"7",
        b"null",
        b"[" * 100_000,
        b" " * 2**16 + CARD.encode(),
        CARD.encode().replace(CATALOGUE.encode(), b"escapement/v2/watches"),
        CARD.encode().replace(b"[0.0,", b"[1" + b"0" * 400 + b","),
        CARD.encode().replace(b"[0.0,", b"[NaN,"),
        CARD.encode().replace(b"[0.0,", b"[0.0,0.0,"),
        encode_scorecards([CARD]),
    ]:
        with pytest.raises(CatalogueError):
            Scorecard.decode(broken)
    with pytest.raises(CatalogueError):
        Scorecard("y", (float("nan"),) * DIMENSION)


OUT_OF_BOUNDS = {
    "below 0": np.where(np.arange(RATES) == 2, -1e-9, USUAL),
    "above its bound": np.where(np.arange(RATES) == 2, RATE_BOUNDS + 1e-9, USUAL),
    "not a number": np.where(np.arange(RATES) == 2, np.nan, USUAL),
    "not finite": np.where(np.arange(RATES) == 2, np.inf, USUAL),
    "one too few": USUAL[:-1],
    "one too many": np.append(USUAL, 0.0),
}


@pytest.mark.parametrize("usual", OUT_OF_BOUNDS.values(), ids=OUT_OF_BOUNDS.keys())
def test_a_usual_event_outside_its_bounds_is_refused(usual: np.ndarray) -> None:
    with pytest.raises(CatalogueError, match="usual rates"):
        Scorecard.of("y", np.zeros(DIMENSION), usual)
    crafted = json.dumps({**json.loads(CARD.encode()), "usual": usual.tolist()}).encode()
    with pytest.raises(CatalogueError, match="usual rates"):
        Scorecard.decode(crafted)


@pytest.mark.parametrize("usual", [np.zeros(RATES), RATE_BOUNDS], ids=["none", "the bounds"])
def test_a_usual_event_at_its_bounds_is_taken(usual: np.ndarray) -> None:
    card = Scorecard.of("y", np.zeros(DIMENSION), usual)
    assert Scorecard.decode(card.encode()).usual == tuple(usual.tolist())


def test_a_scorecard_of_which_no_usual_event_is_known_counts_rates_as_they_are() -> None:
    assert OTHER.usual == (0.0,) * RATES
    sums = sample(3).total()
    assert OTHER.vectors(sums).tolist() == sums.vectors(np.zeros(RATES)).tolist()


def test_several_scorecards_read_back_in_their_order() -> None:
    for cards in [(CARD,), (OTHER, CARD), (CARD, OTHER)]:
        assert decode_scorecards(encode_scorecards(cards)) == cards


def _named(*outcomes: str) -> list[Scorecard]:
    return [Scorecard.of(outcome, np.zeros(DIMENSION)) for outcome in outcomes]


ENCODED = encode_scorecards([CARD, OTHER])
NOT_SCORECARDS = {
    "none": encode_scorecards([]),
    "five": encode_scorecards(_named(*"abcde")),
    "two of one outcome": encode_scorecards([CARD, OTHER, Scorecard.of("y", np.zeros(DIMENSION))]),
    "one by itself": CARD.encode(),
    "an object of them": b'{"0":' + CARD.encode() + b"}",
    "text": json.dumps([CARD.encode().decode()]).encode(),
    "nothing": b"",
    "not JSON": b"x",
    "not UTF-8": b"\xff\xfe\xfd",
    "null": b"null",
    "a number in the list": ENCODED.replace(b"[{", b"[7,{", 1),
    "deep": b"[" * 2**15,
    "too long": b" " * 2**16 + ENCODED,
    "another catalogue in the second": ENCODED.replace(
        CATALOGUE.encode(), b"escapement/v2/watches"
    ).replace(b"escapement/v2/watches", CATALOGUE.encode(), 1),
    "cut short": ENCODED[:-1],
}


@pytest.mark.parametrize("data", NOT_SCORECARDS.values(), ids=NOT_SCORECARDS.keys())
def test_what_is_no_list_of_scorecards_is_refused_as_such(data: bytes) -> None:
    with pytest.raises(CatalogueError):
        decode_scorecards(data)


def test_the_same_scorecards_in_another_form_are_refused() -> None:
    """They would have another digest, by which limits on scorecards go."""
    encoded = encode_scorecards(_named("a"))
    spaced = encoded.replace(b",", b", ", 1)
    assert json.loads(spaced) == json.loads(encoded)
    with pytest.raises(CatalogueError, match="not in canonical form"):
        decode_scorecards(spaced)


def test_as_many_scorecards_as_may_be_are_taken() -> None:
    most = _named(*"abcd")
    assert len(most) == MOST_SCORES
    assert decode_scorecards(encode_scorecards(most)) == tuple(most)


@given(st.binary(max_size=400))
def test_random_bytes_are_never_scorecards(data: bytes) -> None:
    with pytest.raises(CatalogueError):
        decode_scorecards(data)


@given(st.data())
def test_flipped_bytes_are_refused_or_leave_scorecards_that_give_finite_scores(
    data: st.DataObject,
) -> None:
    raw = bytearray(ENCODED)
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        cards = decode_scorecards(bytes(raw))
    except CatalogueError:
        return
    for card in cards:
        assert np.isfinite(card.score(sample().each())).all()
        assert max(map(abs, card.weights)) <= LARGEST_WEIGHT


def test_seven_points_double_the_odds() -> None:
    """Very nearly: a doubling is 6.93 points."""
    assert math.exp(7 / POINTS_PER_LOGIT) == pytest.approx(2, rel=0.01)
