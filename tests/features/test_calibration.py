"""Counts read back as what scores mean, and noise alone gives nobody a band."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.isotonic import isotonic_regression

from features.calibration import (
    CALIBRATION_DIMENSION,
    FINE_BINS,
    FINE_CENTRES,
    FINE_EDGES,
    Calibration,
    auc_of_cells,
    calibration_rows,
    fine_bins,
    isotonic,
)
from features.errors import CatalogueError
from features.learning import COUNTS_DIMENSION, auc_of_counts
from features.scorecard import POINTS_PER_LOGIT, probability
from sandbox.baselines import auc

NOISY = hnp.arrays(np.float64, CALIBRATION_DIMENSION, elements=st.floats(-100, 1e4))
NOISE = st.floats(0, 100)


def population(customers: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Scores in points whose probability is their own, about 27 % of outcome 1."""
    random = np.random.default_rng(seed)
    scores = random.normal(-1.3, 1.3, customers) * POINTS_PER_LOGIT
    return scores, (random.random(customers) < probability(scores)).astype(float)


def counts(customers: int, seed: int = 1) -> np.ndarray:
    scores, y = population(customers, seed)
    return np.asarray(calibration_rows(fine_bins(scores), y).sum(axis=0))


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
)
def test_a_row_is_one_cell_and_of_norm_one(bins: np.ndarray, y: np.ndarray) -> None:
    rows = calibration_rows(bins, y)
    assert rows.shape == (20, CALIBRATION_DIMENSION)
    assert np.linalg.norm(rows, axis=1).tolist() == [1.0] * 20
    assert (rows != 0).sum(axis=1).tolist() == [1] * 20
    assert np.argmax(rows, axis=1).tolist() == [b + 32 * o for b, o in zip(bins, y, strict=True)]


@given(
    hnp.arrays(np.uint8, 20),
    hnp.arrays(np.float64, 20, elements=st.floats(allow_nan=True, allow_infinity=True)),
)
def test_no_value_makes_a_row_longer_than_one_or_makes_an_outlet_refuse(
    bins: np.ndarray, y: np.ndarray
) -> None:
    norms = np.linalg.norm(calibration_rows(bins, y), axis=1)
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
    found = Calibration.of(values, noise_sd).probabilities
    assert found.shape == (FINE_BINS,)
    assert (np.diff(found) >= 0).all()
    assert found[0] >= 0
    assert found[-1] <= 1


@given(NOISY, NOISE, st.floats(0.001, 1), st.floats(0.001, 1))
def test_cuts_ascend_with_the_probability(
    values: np.ndarray, noise_sd: float, one: float, other: float
) -> None:
    calibration = Calibration.of(values, noise_sd)
    low, high = sorted((one, other))
    assert calibration.cut(low) <= calibration.cut(high)


def test_scores_that_mean_what_they_say_are_cut_where_they_say_it() -> None:
    calibration = Calibration.of(counts(200_000), 0.0)
    for wanted in (0.1, 0.25, 0.6, 0.8):
        points = math.log(wanted / (1 - wanted)) * POINTS_PER_LOGIT
        assert calibration.cut(wanted) == pytest.approx(points, abs=0.15 * POINTS_PER_LOGIT)


def test_scores_that_exaggerate_are_put_right() -> None:
    scores, y = population(200_000)
    calibration = Calibration.of(calibration_rows(fine_bins(2 * scores + 30), y).sum(axis=0), 0.0)
    points = 2 * math.log(0.25 / 0.75) * POINTS_PER_LOGIT + 30
    assert calibration.cut(0.25) == pytest.approx(points, abs=0.3 * POINTS_PER_LOGIT)


def test_noise_of_a_real_release_moves_a_cut_little() -> None:
    random = np.random.default_rng(3)
    truth = counts(10_000)
    cuts = [
        Calibration.of(truth + random.normal(0, 10, CALIBRATION_DIMENSION), 10.0).cut(0.25)
        for _ in range(200)
    ]
    assert np.isfinite(cuts).all()
    assert np.std(cuts) < 0.2 * POINTS_PER_LOGIT
    assert np.mean(cuts) == pytest.approx(-math.log(3) * POINTS_PER_LOGIT, abs=0.15 * 28.9)


def test_noise_alone_gives_nobody_a_band() -> None:
    random = np.random.default_rng(4)
    for _ in range(500):
        calibration = Calibration.of(random.normal(0, 30, CALIBRATION_DIMENSION), 30.0)
        assert not calibration.usable
        assert calibration.cut(0.001) == math.inf
        assert calibration.auc() is None


def test_noise_in_empty_bins_above_all_scores_promises_nothing() -> None:
    random = np.random.default_rng(5)
    for _ in range(500):
        values = random.normal(0, 10, CALIBRATION_DIMENSION)
        values[8:14] += 1000  # outcome 0, low bins
        values[FINE_BINS + 8 : FINE_BINS + 14] += 100
        assert Calibration.of(values, 10.0).cut(0.5) == math.inf


def test_the_few_at_the_top_join_the_pool_below_unless_noise_would_cover_it() -> None:
    values = np.zeros(CALIBRATION_DIMENSION)
    values[[5, 20, FINE_BINS + 20]] = 1000, 200, 200
    values[FINE_BINS + 25] = 50
    assert Calibration.of(values, 10.0).probabilities[-1] == pytest.approx(250 / 450)
    values[31] = -250
    assert Calibration.of(values, 10.0).probabilities[-1] == pytest.approx(200 / 400)


def test_the_cut_at_both_ends() -> None:
    values = np.zeros(CALIBRATION_DIMENSION)
    values[[5, FINE_BINS + 5]] = 80, 20
    values[[20, FINE_BINS + 20]] = 50, 50
    calibration = Calibration.of(values, 0.0)
    assert calibration.cut(0.51) == math.inf
    assert calibration.cut(0.2) == -math.inf
    assert calibration.cut(0.5) == pytest.approx(FINE_CENTRES[20])
    half_way = (FINE_CENTRES[5] + FINE_CENTRES[20]) / 2
    assert calibration.cut(0.35) == pytest.approx(half_way, abs=1e-9)
    assert calibration.customers == 200


@pytest.mark.parametrize("wanted", [0.0, -0.1, 1.1, math.nan])
def test_a_probability_outside_its_domain_is_refused(wanted: float) -> None:
    with pytest.raises(CatalogueError, match="expected above 0"):
        Calibration.of(counts(1000), 0.0).cut(wanted)


@pytest.mark.parametrize(
    ("values", "noise_sd"),
    [
        (np.zeros(16), 0.0),
        (np.full(CALIBRATION_DIMENSION, np.nan), 0.0),
        (np.zeros(CALIBRATION_DIMENSION), -1.0),
        (np.zeros(CALIBRATION_DIMENSION), math.nan),
    ],
)
def test_counts_of_another_layout_are_refused(values: np.ndarray, noise_sd: float) -> None:
    with pytest.raises(CatalogueError, match="expected"):
        Calibration.of(values, noise_sd)


def test_the_auc_of_the_counts_is_the_auc_of_the_scores() -> None:
    scores, y = population(20_000)
    found = Calibration.of(counts(20_000), 0.0).auc()
    assert found is not None
    assert found.value == pytest.approx(auc(y, scores), abs=0.005)
    assert found.noise_sd == 0


@given(hnp.arrays(np.float64, COUNTS_DIMENSION, elements=st.integers(0, 1000)))
def test_the_auc_of_the_coarse_counts_is_the_same(values: np.ndarray) -> None:
    found, expected = auc_of_cells(values, 0.0), auc_of_counts(values)
    assert (found is None) == (expected is None)
    if found is not None:
        assert found.value == pytest.approx(expected)


@pytest.mark.statistical
@pytest.mark.parametrize(("customers", "noise"), [(20_000, 20.0), (3_000, 10.0)])
def test_the_noise_of_the_auc_is_as_stated(customers: int, noise: float) -> None:
    # 1,000 draws: the sd of an sd is 2.2 %; 15 % is more than 6 of them.
    random = np.random.default_rng(6)
    truth = counts(customers)
    draws = truth + random.normal(0, noise, (1000, CALIBRATION_DIMENSION))
    found = [estimate for values in draws if (estimate := auc_of_cells(values, noise))]
    assert len(found) == 1000
    exact = auc_of_cells(truth, 0.0)
    assert exact is not None
    values, stated = np.array(found).T
    ratio = np.sqrt((stated**2).mean()) / values.std()
    assert 0.85 < ratio < 1.25
    assert values.mean() == pytest.approx(exact.value, abs=0.25 * values.std())


def test_each_band_comes_true_as_often_as_it_promised() -> None:
    calibration, later = (Calibration.of(counts(100_000, seed), 0.0) for seed in (1, 2))
    cuts = [calibration.cut(0.25), calibration.cut(0.6)]
    rows = calibration.reliability(cuts, later)
    assert [row.band for row in rows] == [1, 2, 3]
    assert sum(row.customers for row in rows) == pytest.approx(100_000)
    for row in rows:
        assert row.predicted is not None
        assert row.observed == pytest.approx(row.predicted, abs=0.02)
        assert row.noise_sd == 0


@given(NOISY, NOISE, st.floats(-200, 200))
def test_what_a_band_promised_is_what_its_bins_did(
    values: np.ndarray, noise_sd: float, cut: float
) -> None:
    calibration = Calibration.of(values, noise_sd)
    low, high = calibration.reliability([cut])
    split = int(np.searchsorted(FINE_CENTRES, cut))
    for row, bins in [(low, slice(split)), (high, slice(split, None))]:
        if row.predicted is not None:
            promised = calibration.probabilities[bins]
            assert promised.min() <= row.predicted <= promised.max()


def test_a_band_that_noise_covers_has_no_reliability() -> None:
    values = counts(20_000) + np.random.default_rng(7).normal(0, 5, CALIBRATION_DIMENSION)
    calibration = Calibration.of(values, 5.0)
    empty, full = calibration.reliability([FINE_EDGES[1]])
    assert (empty.predicted, empty.observed, empty.noise_sd) == (None, None, None)
    assert full.observed == pytest.approx(0.27, abs=0.03)
    nobody = calibration.reliability([calibration.cut(0.25), math.inf])[-1]
    assert nobody.customers == 0
    assert nobody.observed is None


@pytest.mark.statistical
def test_the_noise_of_a_band_is_as_stated() -> None:
    random = np.random.default_rng(8)
    truth = counts(20_000)
    draws = truth + random.normal(0, 10, (1000, CALIBRATION_DIMENSION))
    rows = [Calibration.of(values, 10.0).reliability([-30.0, 10.0])[1] for values in draws]
    observed = np.array([row.observed for row in rows], dtype=float)
    stated = np.array([row.noise_sd for row in rows], dtype=float)
    assert observed.std() == pytest.approx(stated.mean(), rel=0.15)
