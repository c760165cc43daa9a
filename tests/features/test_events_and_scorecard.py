"""Points add up, point in time: the laws that everything else stands on."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import CatalogueError, FeatureError
from features.events import (
    DIMENSION,
    POINT_BOUNDS,
    RATE_BOUNDS,
    customer_features,
    event_features,
)
from features.ledger import canonical_events
from features.outcomes import Outcome, Thresholds, observe
from features.points import COUNT_SHARE, PointsCode
from features.scorecard import POINTS_PER_LOGIT, Scorecard, probability
from features.snapshot import CutOff, Snapshot

if TYPE_CHECKING:
    from collections.abc import Sequence

CUT = CutOff(dt.date(2026, 1, 31))
END = dt.date(2026, 3, 31)
PEOPLE = pl.Series(["anna", "ben", "cleo"])

rows = st.lists(
    st.tuples(
        st.sampled_from(PEOPLE.to_list()),
        st.sampled_from(["o1", "o2", "o3"]),
        st.dates(dt.date(2025, 1, 1), END),
        st.floats(-1e6, 1e6),
        st.floats(0, 1e6),
        st.sampled_from(["b1", "b2", "b3"]),
    ),
    min_size=1,
    max_size=25,
)


def events_of(drawn: Sequence[tuple[object, ...]]) -> pl.DataFrame:
    names = ["customer_id", "outlet_id", "purchased_at", "price", "list_price", "basket_id"]
    frame = pl.DataFrame(drawn, schema=names, orient="row")
    return canonical_events(frame.with_columns(is_return=pl.col("price") < 0), "drawn")


def features_of(events: pl.DataFrame) -> np.ndarray:
    return customer_features(event_features(Snapshot.take(events, CUT, END)), PEOPLE)


@given(rows)
def test_a_row_after_the_cut_off_changes_no_feature(drawn: list[tuple[object, ...]]) -> None:
    events = events_of(drawn)
    before = events.filter(pl.col("date") <= CUT.date)
    assert np.array_equal(features_of(events), features_of(before))


@given(rows)
def test_an_outcome_sees_only_what_is_after_the_cut_off(drawn: list[tuple[object, ...]]) -> None:
    events = events_of(drawn)
    after = events.filter(pl.col("date") > CUT.date)
    for outcome in Outcome:
        whole, only = (
            observe(outcome, Snapshot.take(part, CUT, END), PEOPLE, Thresholds())
            for part in (events, after)
        )
        assert whole.tolist() == only.tolist()


@given(rows)
def test_the_score_from_sums_over_outlets_is_the_score_from_all_records(
    drawn: list[tuple[object, ...]],
) -> None:
    random = np.random.default_rng(0)
    card = Scorecard.of("y", random.normal(size=DIMENSION))
    code = PointsCode.lossless((card,))
    events = events_of(drawn)
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


@given(rows)
def test_every_feature_stays_within_its_public_bounds(drawn: list[tuple[object, ...]]) -> None:
    features = event_features(Snapshot.take(events_of(drawn), CUT, END))
    for values, bounds in [(features.points, POINT_BOUNDS), (features.rates, RATE_BOUNDS)]:
        assert np.isfinite(values).all()
        assert (values >= 0).all()
        assert (values <= bounds * (1 + 1e-12)).all()


@given(rows, st.floats(0.01, 50))
def test_no_event_says_more_than_the_event_cap(
    drawn: list[tuple[object, ...]], size: float
) -> None:
    card = Scorecard.of("y", np.linspace(-3, 3, DIMENSION) * size)
    events = event_features(Snapshot.take(events_of(drawn), CUT, END))
    lossless = PointsCode.lossless((card,)).rows(events)
    assert (np.abs(lossless[:, :2]) <= 1 + 1e-12).all()
    assert (lossless[:, 2] == 1).all()
    capped = PointsCode.tangent((card,), np.eye(DIMENSION)).rows(events)
    assert (np.abs(capped[:, 0]) <= np.sqrt(1 - COUNT_SHARE**2) + 1e-12).all()
    assert (capped[:, 1] == COUNT_SHARE).all()


def test_features_of_one_known_customer_are_what_their_docstrings_say() -> None:
    drawn = [
        ("anna", "o1", dt.date(2026, 1, 31), 100.0, 125.0, "b1"),
        ("anna", "o1", dt.date(2026, 1, 31), 216.2277660168, 270.28470752, "b1"),  # same basket
        ("anna", "o2", dt.date(2025, 11, 2), -50.0, 50.0, "b2"),  # 90 days before
    ]
    anna, ben, _ = features_of(events_of(drawn))
    expected = [1, 1, 1, 1 / 4, 1 / 4, 4 / 4, 4 * 0.2 / 4, np.log(3)]
    np.testing.assert_allclose(anna, expected, rtol=1e-6)
    assert ben.tolist() == [1, *[0] * (DIMENSION - 1)]


def test_home_outcomes_follow_public_thresholds() -> None:
    drawn = [
        ("anna", "o1", dt.date(2026, 2, 1), 10.0, 10.0, "b1"),
        ("anna", "o1", dt.date(2026, 2, 2), 10.0, 10.0, "b2"),
        ("ben", "o1", dt.date(2026, 2, 2), 300.0, 300.0, "b3"),
        ("cleo", "o1", dt.date(2026, 2, 2), 10.0, 10.0, "b4"),
        ("cleo", "o1", dt.date(2026, 2, 3), -500.0, 500.0, "b5"),
    ]
    snapshot = Snapshot.take(events_of(drawn), CUT, END)
    people = pl.Series([*PEOPLE, "dora"])
    loyal = observe(Outcome.LOYAL, snapshot, people, Thresholds())
    lapsed = observe(Outcome.LAPSED, snapshot, people, Thresholds())
    assert loyal.tolist() == [1, 1, 0, 0]
    assert lapsed.tolist() == [0, 0, 0, 1]


def test_a_snapshot_counts_what_it_leaves_out() -> None:
    drawn = [
        ("anna", "o1", dt.date(2026, 1, 31), 1.0, 1.0, "b1"),
        ("anna", "o1", dt.date(2026, 2, 1), 1.0, 1.0, "b2"),
        ("anna", "o1", dt.date(2026, 4, 1), 1.0, 1.0, "b3"),
    ]
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
        card.encode().replace(b"/v1/", b"/v0/"),
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
