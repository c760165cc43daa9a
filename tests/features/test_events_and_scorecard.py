"""Points add up, point in time: the laws that everything else stands on."""

from __future__ import annotations

import datetime as dt
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
    N0,
    POINT_BOUNDS,
    RATE_BOUNDS,
    event_features,
)
from features.points import COUNT_SHARE, PointsCode
from features.scorecard import POINTS_PER_LOGIT, Scorecard, probability
from features.snapshot import Snapshot
from tests.features.ledgers import (
    CUT,
    END,
    PEOPLE,
    Row,
    events_of,
    features_of,
    row,
    rows,
    sightings,
    snapshot_of,
)


@given(rows, sightings)
def test_a_row_after_the_cut_off_changes_no_feature(drawn: list[Row], seen: list[Row]) -> None:
    events = events_of(drawn, seen)
    before = events.filter(pl.col("date") <= CUT.date)
    assert np.array_equal(features_of(events), features_of(before))


@given(rows, sightings)
def test_the_score_from_sums_over_outlets_is_the_score_from_all_records(
    drawn: list[Row], seen: list[Row]
) -> None:
    random = np.random.default_rng(0)
    card = Scorecard.of("y", random.normal(size=DIMENSION))
    code = PointsCode.lossless((card,))
    events = events_of(drawn, seen)
    sums = np.zeros((len(PEOPLE), code.width))
    for part in events.partition_by("outlet"):
        own = event_features(Snapshot.take(part, CUT, END))
        for index, customer in enumerate(PEOPLE):
            mine = (own.keys["customer"] == customer).to_numpy()
            sums[index] += code.rows(own)[mine].sum(axis=0)
    linked = features_of(events) @ np.asarray(card.weights) * POINTS_PER_LOGIT
    [scores] = code.scores(sums)
    np.testing.assert_allclose(scores, linked, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(card.score(features_of(events)), linked, rtol=1e-12, atol=1e-12)


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


@given(rows, sightings, st.floats(0.01, 50))
def test_no_event_says_more_than_the_event_cap(
    drawn: list[Row], seen: list[Row], size: float
) -> None:
    card = Scorecard.of("y", np.linspace(-3, 3, DIMENSION) * size)
    events = event_features(snapshot_of(events_of(drawn, seen)))
    lossless = PointsCode.lossless((card,)).rows(events)
    assert (np.abs(lossless[:, :2]) <= 1 + 1e-12).all()
    assert (lossless[:, 2] == 1).all()
    capped = PointsCode.tangent((card,), np.eye(DIMENSION)).rows(events)
    assert (np.abs(capped[:, 0]) <= np.sqrt(1 - COUNT_SHARE**2) + 1e-12).all()
    assert (capped[:, 1] == COUNT_SHARE).all()


def test_a_vector_has_a_number_a_name() -> None:
    assert len(FEATURE_NAMES) == len(set(FEATURE_NAMES)) == DIMENSION
    assert len(POINT_BOUNDS) + len(RATE_BOUNDS) + 2 == DIMENSION
    assert (COUNT_SCALE, N0) == (0.5, 2)  # the examples below are of these


def test_features_of_one_known_customer_are_what_their_docstrings_say() -> None:
    """One basket of 10^2.5 at a fifth off today, and one brought back 90 days ago."""
    whole = 10**2.5
    drawn = [
        row("anna", CUT.date, price=100.0, list_price=125.0, basket_id="b1"),
        row("anna", CUT.date, price=whole - 100, list_price=1.25 * whole - 125, basket_id="b1"),
        row("anna", dt.date(2025, 11, 2), price=-50.0, list_price=50.0, basket_id="b2"),
    ]
    anna, ben, _ = features_of(events_of(drawn))
    expected = {
        "intercept": 1,
        "points: recent_purchase": 1 / 8,
        "points: recent_spend": 1 / 3,  # the log price is 1
        "points: recent_scarce": 0,
        "rate: active": (3 + 3 / 2**0.25) / 4,  # 90 days are a quarter of the slow half-life
        "rate: lately": 1 / 4,
        "rate: purchase_price": (1 / 2) / 4,
        "rate: returned": 4 / 4,
        "rate: discount": 4 * 0.2 / 4,
        "rate: resold": 0,
        "rate: suspected": 0,
        "rate: waiting": 0,
        "log events": np.log(3) / 2,
    }
    assert tuple(expected) == FEATURE_NAMES
    np.testing.assert_allclose(anna, list(expected.values()), rtol=1e-9)
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
    [anna, *_] = features_of(events_of(drawn, seen))
    year, quarter = 1 / 2, 1 / 2**0.25  # what 360 and 90 days leave by the slow half-life
    expected = {
        "intercept": 1,
        "points: recent_purchase": (1 / 16 + 1 / 2) / 8,
        "points: recent_spend": 1.2**3 / 3 * (year + quarter),  # above 1,000: a log price of 1.2
        "points: recent_scarce": 1 / 16,  # the piece seen for sale can't be resold again
        "rate: active": 3 * (year + 2 * quarter) / 5,
        "rate: lately": (1 / 16 + 1 / 2) / 5,
        "rate: purchase_price": (0.8 + 0.6) / 5,  # log prices 1.6 and 1.2
        "rate: returned": 0,
        "rate: discount": 4 * 0.2 / 5,
        "rate: resold": (2 + 2 / 2) / 5,  # 60 days: half as quick as on the day
        "rate: suspected": 0,  # confirmed
        "rate: waiting": (4 / 2) / 5,
        "log events": np.log(4) / 2,
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


def test_a_scorecard_reads_back_and_a_foreign_or_broken_one_is_refused() -> None:
    card = Scorecard.of("y", np.arange(DIMENSION) / 7)
    assert Scorecard.decode(card.encode()) == card
    for broken in [
        b"{}",
        b"x",
        b"",
        b"\xff",
        b"[" * 100_000,
        card.encode().replace(CATALOGUE.encode(), b"escapement/v1/retail"),
        card.encode().replace(b"[0.0,", b"[1" + b"0" * 400 + b","),
        card.encode().replace(b"[0.0,", b"[NaN,"),
        card.encode().replace(b"[0.0,", b"[0.0,0.0,"),
    ]:
        with pytest.raises(CatalogueError):
            Scorecard.decode(broken)
    with pytest.raises(CatalogueError):
        Scorecard("y", (float("nan"),) * DIMENSION)


def test_twenty_points_double_the_odds() -> None:
    one, two = probability(np.array([7.0, 27.0]))
    assert two / (1 - two) == pytest.approx(2 * one / (1 - one))
