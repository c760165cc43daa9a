"""Counts read back as what scores mean, and noise alone gives nobody a band."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.isotonic import isotonic_regression

from features.accuracy import auc_of_cells
from features.calibration import (
    CALIBRATION_DIMENSION,
    FINE_BINS,
    FINE_CENTRES,
    FINE_EDGES,
    NEWCOMER_EVENTS,
    Calibration,
    Counts,
    Group,
    calibration_rows,
    fine_bins,
    is_regular,
    isotonic,
)
from features.errors import CatalogueError
from features.events import POINT_BOUNDS, RATE_BOUNDS, EventFeatures, customer_features
from features.scorecard import POINTS_PER_LOGIT, probability

CELLS = 2 * FINE_BINS
NOISY = hnp.arrays(np.float64, CELLS, elements=st.floats(-100, 1e4))
NOISE = st.floats(0, 100)


def population(customers: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Scores in points whose probability is their own, about 27 % of outcome 1."""
    random = np.random.default_rng(seed)
    scores = random.normal(-1.3, 1.3, customers) * POINTS_PER_LOGIT
    return scores, (random.random(customers) < probability(scores)).astype(float)


def cells(scores: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Everybody's counts."""
    rows = calibration_rows(fine_bins(scores), y, scores > 0)
    return Counts.of(rows.sum(axis=0), 0.0).values


def counts(customers: int, seed: int = 1) -> np.ndarray:
    return cells(*population(customers, seed))


def test_the_edges_are_symmetric_ascending_and_densest_in_the_middle() -> None:
    assert len(FINE_EDGES) == 31
    assert FINE_EDGES.tolist() == (-FINE_EDGES[::-1]).tolist()
    assert FINE_EDGES[-1] == pytest.approx(6 * POINTS_PER_LOGIT)
    widths = np.diff(FINE_EDGES)[15:]
    assert (np.diff(widths) > -1e-9).all()
    assert (FINE_CENTRES[1:] > FINE_EDGES).all()
    assert (FINE_CENTRES[:-1] < FINE_EDGES).all()


def test_an_edge_belongs_to_the_bin_above_and_nonsense_to_the_lowest() -> None:
    assert fine_bins(FINE_EDGES).tolist() == list(range(1, FINE_BINS))
    assert fine_bins(np.nextafter(FINE_EDGES, -np.inf)).tolist() == list(range(FINE_BINS - 1))
    assert fine_bins(np.array([-np.inf, np.inf, np.nan])).tolist() == [0, 31, 0]
    assert fine_bins(FINE_CENTRES).tolist() == list(range(FINE_BINS))


@given(
    hnp.arrays(np.uint8, 20, elements=st.integers(0, FINE_BINS - 1)),
    hnp.arrays(np.float64, 20, elements=st.sampled_from([0.0, 1.0])),
    hnp.arrays(np.bool_, 20),
)
def test_a_row_is_one_cell_and_of_norm_one(
    bins: np.ndarray, y: np.ndarray, regular: np.ndarray
) -> None:
    rows = calibration_rows(bins, y, regular)
    assert rows.shape == (20, CALIBRATION_DIMENSION)
    assert np.linalg.norm(rows, axis=1).tolist() == [1.0] * 20
    assert (rows != 0).sum(axis=1).tolist() == [1] * 20
    assert np.argmax(rows, axis=1).tolist() == [
        b + 32 * o + 64 * g for b, o, g in zip(bins, y, regular.astype(int), strict=True)
    ]


@given(
    hnp.arrays(np.uint8, 20),
    hnp.arrays(np.float64, 20, elements=st.floats(allow_nan=True, allow_infinity=True)),
    hnp.arrays(np.float64, (20, 2), elements=st.floats(-9, 9) | st.just(math.nan)),
)
def test_no_value_makes_a_row_longer_than_one_or_makes_an_outlet_refuse(
    bins: np.ndarray, y: np.ndarray, x: np.ndarray
) -> None:
    norms = np.linalg.norm(calibration_rows(bins, y, is_regular(x)), axis=1)
    assert norms.tolist() == (bins < FINE_BINS).astype(float).tolist()


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0.01, 1e4)), min_size=1, max_size=32),
)
def test_isotonic_agrees_with_scikit_learn(pairs: list[tuple[float, float]]) -> None:
    values, weights = np.array(pairs).T
    ours = isotonic(values, weights)
    assert (np.diff(ours) >= 0).all()
    theirs = isotonic_regression(values, sample_weight=weights)
    assert ours == pytest.approx(theirs, abs=1e-9)


@given(NOISY, NOISE)
def test_probabilities_ascend_within_zero_and_one(values: np.ndarray, noise_sd: float) -> None:
    found = Calibration.of(Counts(values, noise_sd)).probabilities
    assert found.shape == (FINE_BINS,)
    assert (np.diff(found) >= 0).all()
    assert found[0] >= 0
    assert found[-1] <= 1


@given(NOISY, NOISE, st.floats(0.001, 1), st.floats(0.001, 1))
def test_cuts_ascend_with_the_probability(
    values: np.ndarray, noise_sd: float, one: float, other: float
) -> None:
    calibration = Calibration.of(Counts(values, noise_sd))
    low, high = sorted((one, other))
    assert calibration.cut(low) <= calibration.cut(high)


def test_scores_that_mean_what_they_say_are_cut_where_they_say_it() -> None:
    calibration = Calibration.of(Counts(counts(200_000), 0.0))
    for wanted in (0.1, 0.25, 0.6, 0.8):
        points = math.log(wanted / (1 - wanted)) * POINTS_PER_LOGIT
        assert calibration.cut(wanted) == pytest.approx(points, abs=0.15 * POINTS_PER_LOGIT)


def test_scores_that_exaggerate_are_put_right() -> None:
    scores, y = population(200_000)
    calibration = Calibration.of(Counts(cells(2 * scores + 30, y), 0.0))
    points = 2 * math.log(0.25 / 0.75) * POINTS_PER_LOGIT + 30
    assert calibration.cut(0.25) == pytest.approx(points, abs=0.3 * POINTS_PER_LOGIT)


def test_noise_of_a_real_release_moves_a_cut_little() -> None:
    random = np.random.default_rng(3)
    truth = counts(10_000)
    cuts = [
        Calibration.of(Counts(truth + random.normal(0, 10, CELLS), 10.0)).cut(0.25)
        for _ in range(200)
    ]
    assert np.isfinite(cuts).all()
    assert np.std(cuts) < 0.2 * POINTS_PER_LOGIT
    assert np.mean(cuts) == pytest.approx(-math.log(3) * POINTS_PER_LOGIT, abs=0.15 * 28.9)


def test_noise_alone_gives_nobody_a_band() -> None:
    random = np.random.default_rng(4)
    for _ in range(500):
        calibration = Calibration.of(Counts(random.normal(0, 30, CELLS), 30.0))
        assert not calibration.usable
        assert calibration.cut(0.001) == math.inf
        assert auc_of_cells(calibration.counts.values, 30.0) is None


def test_noise_in_empty_bins_above_all_scores_promises_nothing() -> None:
    random = np.random.default_rng(5)
    for _ in range(500):
        values = random.normal(0, 10, CELLS)
        values[8:14] += 1000  # outcome 0, low bins
        values[FINE_BINS + 8 : FINE_BINS + 14] += 100
        assert Calibration.of(Counts(values, 10.0)).cut(0.5) == math.inf


def test_the_few_at_the_top_join_the_pool_below_unless_noise_would_cover_it() -> None:
    values = np.zeros(CELLS)
    values[[5, 20, FINE_BINS + 20]] = 1000, 200, 200
    values[FINE_BINS + 25] = 50
    assert Calibration.of(Counts(values, 10.0)).probabilities[-1] == pytest.approx(250 / 450)
    values[31] = -250
    assert Calibration.of(Counts(values, 10.0)).probabilities[-1] == pytest.approx(200 / 400)


def test_the_cut_at_both_ends() -> None:
    values = np.zeros(CELLS)
    values[[5, FINE_BINS + 5]] = 80, 20
    values[[20, FINE_BINS + 20]] = 50, 50
    calibration = Calibration.of(Counts(values, 0.0))
    assert calibration.cut(0.51) == math.inf
    assert calibration.cut(0.2) == -math.inf
    assert calibration.cut(0.5) == pytest.approx(FINE_CENTRES[20])
    half_way = (FINE_CENTRES[5] + FINE_CENTRES[20]) / 2
    assert calibration.cut(0.35) == pytest.approx(half_way, abs=1e-9)
    assert calibration.counts.customers == 200


@pytest.mark.parametrize("wanted", [0.0, -0.1, 1.1, math.nan])
def test_a_probability_outside_its_domain_is_refused(wanted: float) -> None:
    with pytest.raises(CatalogueError, match="expected above 0"):
        Calibration.of(Counts(counts(1000), 0.0)).cut(wanted)


@pytest.mark.parametrize(
    ("values", "noise_sd"),
    [
        (np.zeros(CELLS), 0.0),
        (np.full(CALIBRATION_DIMENSION, np.nan), 0.0),
        (np.zeros(CALIBRATION_DIMENSION), -1.0),
        (np.zeros(CALIBRATION_DIMENSION), math.nan),
    ],
)
def test_counts_of_another_layout_are_refused(values: np.ndarray, noise_sd: float) -> None:
    with pytest.raises(CatalogueError, match="expected"):
        Counts.of(values, noise_sd)


# --- newcomers and regulars ---------------------------------------------------------------------


def test_a_newcomer_has_fewer_than_three_events_at_home() -> None:
    counts = np.arange(200)
    whose = np.repeat(counts, counts)
    people = pl.Series([f"customer {count}" for count in counts])
    events = EventFeatures(
        pl.DataFrame({"customer": people.gather(whose), "outlet": ["o1"] * len(whose)}),
        np.zeros((len(whose), len(POINT_BOUNDS))),
        np.zeros((len(whose), len(RATE_BOUNDS))),
    )
    x = customer_features(events, people)
    assert is_regular(x).tolist() == (counts >= NEWCOMER_EVENTS).tolist()
    assert NEWCOMER_EVENTS == 3


def test_everybody_is_newcomers_and_regulars_with_the_noise_of_both() -> None:
    scores, y = population(5000)
    regular = np.arange(5000) % 3 == 0
    release = calibration_rows(fine_bins(scores), y, regular).sum(axis=0)
    for group, chosen in (
        (Group.NEWCOMERS, ~regular),
        (Group.REGULARS, regular),
        (Group.EVERYBODY, regular | ~regular),
    ):
        found = Counts.of(release, 7.0, group)
        assert found.values.tolist() == cells(scores[chosen], y[chosen]).tolist()
        assert found.customers == chosen.sum()
        assert found.noise_sd == pytest.approx(7 * (2**0.5 if group is Group.EVERYBODY else 1))
    assert Counts.of(release, 7.0).customers == 5000


def test_pools_hold_what_noise_does_not_cover_and_meet_at_edges() -> None:
    found = Counts(counts(20_000), 10.0)
    edges = found.pool_edges()
    assert set(edges) <= set(FINE_EDGES.tolist())
    assert list(edges) == sorted(edges)
    assert len(edges) > 5
    assert Counts(np.zeros(CELLS), 10.0).pool_edges() == ()
