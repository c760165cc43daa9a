"""Figures from counts are those of the customers counted, or none where noise covers them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from features.accuracy import Accuracy, _share, accuracy, auc_of_cells, reliability
from features.calibration import (
    CALIBRATION_EDGES,
    CELLS_A_SCORE,
    LARGEST_CUT,
    Calibration,
    Counts,
)
from features.scorecard import POINTS_PER_LOGIT
from sandbox.baselines import auc
from tests.features.test_calibration import BASE, CENTRE, COUNTS, NOISE, cells, counts, population

EDGES = CENTRE + POINTS_PER_LOGIT * np.sinh(CALIBRATION_EDGES)
"""Edges of the bins in points."""
CUTS = st.floats(-200, 200)


def made(values: np.ndarray, noise_sd: float = 0.0) -> Counts:
    return Counts(values, noise_sd, CENTRE)


def test_the_auc_of_eight_bins_is_a_little_below_that_of_the_scores() -> None:
    scores, y = population(20_000)
    found = auc_of_cells(counts(20_000), 0.0)
    assert found is not None
    exact = auc(y, scores)
    assert exact is not None
    assert exact - 0.02 < found.value < exact
    assert found.noise_sd == 0


def test_the_auc_and_its_noise_are_those_of_pairs_counted_one_by_one() -> None:
    """With each derivative taken by steps, and each product of two noises by itself."""
    without, having = [41.0, 30.0, 17.0, 9.0], [3.0, 8.0, 21.0, 35.0]
    values, sd = np.array(without + having), 1.5
    weights = np.array([[1.0 if i < j else 0.5 * (i == j) for j in range(4)] for i in range(4)])

    def pairs(cells: np.ndarray) -> float:
        return float(cells[:4] @ weights @ cells[4:])

    def all_pairs(cells: np.ndarray) -> float:
        return float(cells[:4].sum() * cells[4:].sum())

    found = auc_of_cells(values, sd)
    assert found is not None
    assert found.value == pytest.approx(pairs(values) / all_pairs(values))
    steps = np.eye(8)
    slopes = [
        pairs(values + one) - pairs(values - one)
        - found.value * (all_pairs(values + one) - all_pairs(values - one))
        for one in steps
    ]  # fmt: skip
    first = sd**2 * sum((slope / 2) ** 2 for slope in slopes)
    second = sd**4 * float((weights**2).sum())
    assert found.noise_sd == pytest.approx(np.sqrt(first + second) / all_pairs(values))


def test_an_auc_of_noisy_counts_is_within_0_and_1() -> None:
    """Counts below zero stand for fewer pairs than none, or for more than all."""
    low, high = [100.0, 0.0, 0.0, -10.0], [-10.0, 0.0, 0.0, 100.0]
    for without, having, value in ((high, low, 0.0), (low, high, 1.0)):
        found = auc_of_cells(np.array(without + having), 0.1)
        assert found is not None
        assert found.value == value


def test_a_share_is_told_of_twenty_customers_where_noise_does_not_cover_them() -> None:
    whole, part = np.ones(CELLS_A_SCORE), np.zeros(CELLS_A_SCORE)
    part[0] = 1.0

    def share(customers: float, noise_sd: float) -> object:
        values = np.zeros(CELLS_A_SCORE)
        values[0] = customers
        return _share(made(values, noise_sd), part, whole)

    assert share(20.0, 0.0) is not None
    assert share(19.9, 0.0) is None
    covers = 5 * 10.0 * np.sqrt(CELLS_A_SCORE)
    assert share(covers + 1e-6, 10.0) is not None
    assert share(covers - 1e-6, 10.0) is None


@pytest.mark.statistical
@pytest.mark.parametrize(("customers", "noise"), [(20_000, 20.0), (7_000, 10.0)])
def test_the_noise_of_the_auc_is_as_stated(customers: int, noise: float) -> None:
    # 1,000 draws: the sd of an sd is 2.2 %; 15 % is more than 6 of them.
    random = np.random.default_rng(6)
    truth = counts(customers)
    draws = truth + random.normal(0, noise, (1000, CELLS_A_SCORE))
    found = [estimate for values in draws if (estimate := auc_of_cells(values, noise))]
    assert len(found) == 1000
    exact = auc_of_cells(truth, 0.0)
    assert exact is not None
    values, stated = np.array(found).T
    ratio = np.sqrt((stated**2).mean()) / values.std()
    assert 0.85 < ratio < 1.25
    assert values.mean() == pytest.approx(exact.value, abs=0.25 * values.std())


# --- bands ----------------------------------------------------------------------------------------


def test_each_band_comes_true_as_often_as_it_promised() -> None:
    first, later = (made(counts(200_000, seed)) for seed in (1, 2))
    calibration = Calibration.of(first)
    cuts = [BASE + cut for cut in calibration.cuts((0.1, 0.25), BASE)]
    rows = reliability(calibration, cuts, later)
    assert [row.band for row in rows] == [1, 2, 3]
    assert sum(row.customers for row in rows) == pytest.approx(200_000)
    for row in rows:
        assert row.predicted is not None
        assert row.observed == pytest.approx(row.predicted, abs=0.02)
        assert row.noise_sd == 0


@given(COUNTS, NOISE, st.lists(CUTS, min_size=1, max_size=2).map(sorted))
def test_what_a_band_promised_is_what_the_curve_says_between_its_cuts(
    values: np.ndarray, noise_sd: float, cuts: list[float]
) -> None:
    counted = made(values, noise_sd)
    calibration = Calibration.of(counted)
    rows = reliability(calibration, cuts, counted)
    assert len(rows) == len(cuts) + 1
    assert sum(row.customers for row in rows) == pytest.approx(counted.customers, abs=1e-3)
    at = [0.0, *calibration.probability(np.array(cuts)), 1.0]
    for row, low, high in zip(rows, at, at[1:], strict=False):
        if row.predicted is not None:
            assert low - 1e-9 <= row.predicted <= high + 1e-9


def test_a_band_that_noise_covers_has_no_reliability() -> None:
    values = counts(20_000) + np.random.default_rng(7).normal(0, 5, CELLS_A_SCORE)
    counted = made(values, 5.0)
    full, empty = reliability(Calibration.of(counted), [LARGEST_CUT], counted)
    assert empty.customers == pytest.approx(0, abs=0.1)
    assert (empty.predicted, empty.observed, empty.noise_sd) == (None, None, None)
    assert full.observed == pytest.approx(population(20_000)[1].mean(), abs=0.01)


@pytest.mark.statistical
def test_the_noise_of_a_band_is_as_stated() -> None:
    # 300 draws: the sd of an sd is 4.1 %; 17 % is more than 4 of them.
    random = np.random.default_rng(8)
    draws = counts(20_000) + random.normal(0, 10, (300, CELLS_A_SCORE))
    plain = Calibration(CENTRE, 0.0, 1.0, 0.0)
    rows = [reliability(plain, [-28.0, -12.0], made(values, 10.0))[1] for values in draws]
    observed = np.array([row.observed for row in rows], dtype=float)
    stated = np.array([row.noise_sd for row in rows], dtype=float)
    assert observed.std() == pytest.approx(stated.mean(), rel=0.17)


# --- precision, recall, false alarms --------------------------------------------------------------


@given(st.integers(0, 6), st.integers(0, 5))
def test_without_noise_the_figures_at_an_edge_are_plain_shares_of_customers(
    edge: int, seed: int
) -> None:
    scores, y = population(3000, seed)
    found = accuracy(made(cells(scores, y)), float(EDGES[edge]))
    inside, came_true = scores >= EDGES[edge], y > 0
    assert found.customers == pytest.approx(inside.sum())
    for estimate, part, whole in (
        (found.precision, inside & came_true, inside),
        (found.recall, inside & came_true, came_true),
        (found.false_alarms, inside & ~came_true, ~came_true),
    ):
        assert estimate is not None
        assert estimate.value == pytest.approx(part.sum() / whole.sum())
        assert estimate.noise_sd == 0


def test_a_cut_divides_its_bin_as_the_normal_density_does_higher_with_the_outcome() -> None:
    values = np.zeros(CELLS_A_SCORE)
    values[[5, 13]] = 300, 100
    begins, ends = CALIBRATION_EDGES[4:6]  # c from .88 to 1.49
    for c in (begins, 1.1, 1.4, ends):
        cut = CENTRE + POINTS_PER_LOGIT * float(np.sinh(c))
        found = accuracy(made(values), cut)
        shares = [
            (norm.cdf(ends, middle) - norm.cdf(c, middle))
            / (norm.cdf(ends, middle) - norm.cdf(begins, middle))
            for middle in (0, 1)
        ]
        assert found.customers == pytest.approx(300 * shares[0] + 100 * shares[1], abs=1e-6)
        assert found.false_alarms is not None
        assert found.recall is not None
        assert found.false_alarms.value == pytest.approx(shares[0], abs=1e-9)
        assert found.recall.value == pytest.approx(shares[1], abs=1e-9)


@pytest.mark.parametrize("spread", [0.9, 1.0, 1.1])
def test_a_divided_bin_tells_numbers_that_are_about_true(spread: float) -> None:
    random = np.random.default_rng(12)
    scores = CENTRE + POINTS_PER_LOGIT * np.sinh(random.normal(0, spread, 400_000))
    y = (random.random(400_000) < Calibration(CENTRE, 0, 1, 0).probability(scores)).astype(float)
    counted = made(cells(scores, y))
    for cut in range(-25, 10, 5):
        found, inside = accuracy(counted, cut), scores >= cut
        assert found.customers == pytest.approx(inside.sum(), rel=0.16)
        assert found.recall is not None
        assert found.false_alarms is not None
        assert found.recall.value == pytest.approx((inside & (y > 0)).sum() / y.sum(), rel=0.16)
        wrong = (inside & (y == 0)).sum() / (y == 0).sum()
        assert found.false_alarms.value == pytest.approx(wrong, rel=0.16)


def test_noise_that_covers_whom_a_figure_is_about_leaves_none() -> None:
    random = np.random.default_rng(9)
    values = counts(5000) + random.normal(0, 10, CELLS_A_SCORE)
    found = accuracy(made(values, 10.0), CENTRE + 150)
    assert found.precision is None  # hardly anybody is up there
    assert found.recall is not None
    assert found.false_alarms is not None
    covered = accuracy(made(random.normal(0, 30, CELLS_A_SCORE), 30.0), CENTRE)
    assert (covered.precision, covered.recall, covered.false_alarms) == (None, None, None)


def test_of_a_band_that_nobody_reaches_nobody_is_suspected_wrongly() -> None:
    found = accuracy(made(counts(20_000), 10.0), LARGEST_CUT)
    assert found.customers == pytest.approx(0, abs=0.01)
    assert found.precision is None
    for estimate in (found.recall, found.false_alarms):
        assert estimate is not None
        assert estimate == pytest.approx((0, 0), abs=1e-3)


@pytest.mark.statistical
@pytest.mark.parametrize("cut", [float(EDGES[4]), -10.0])
def test_the_noise_of_precision_recall_and_false_alarms_is_as_stated(cut: float) -> None:
    # 1,000 draws: the sd of an sd is 2.2 %; 15 % is more than 6 of them.
    random = np.random.default_rng(10)
    truth = counts(40_000)
    draws = truth + random.normal(0, 10, (1000, CELLS_A_SCORE))
    found = [accuracy(made(values, 10.0), cut) for values in draws]
    exact = accuracy(made(truth), cut)
    for (_, true), *estimates in zip(exact.shares(), *(one.shares() for one in found), strict=True):
        values, stated = np.array([estimate for _, estimate in estimates], dtype=float).T
        assert true is not None
        assert values.std() == pytest.approx(stated.mean(), rel=0.15)
        assert values.mean() == pytest.approx(true.value, abs=0.25 * values.std())


@given(COUNTS, NOISE, CUTS)
def test_figures_are_shares_and_read_back_as_they_were_written(
    values: np.ndarray, noise_sd: float, cut: float
) -> None:
    found = accuracy(made(values, noise_sd), cut)
    assert Accuracy.from_json(found.as_json()) == found
    for _, estimate in found.shares():
        assert estimate is None or (0 <= estimate.value <= 1 and estimate.noise_sd >= 0)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=8))
def test_the_auc_of_counts_is_the_share_of_pairs_in_order_ties_counted_half(
    cells: list[tuple[int, int]],
) -> None:
    without, having = np.array(cells, dtype=float).T
    found = auc_of_cells(np.concatenate([without, having]), 0.0)
    if not (without.any() and having.any()):
        assert found is None
        return
    pairs = [
        (n * m) * (1.0 if low < high else 0.5 if low == high else 0.0)
        for low, n in enumerate(without)
        for high, m in enumerate(having)
    ]
    assert found is not None
    assert found.value == pytest.approx(sum(pairs) / (without.sum() * having.sum()))
    assert found.noise_sd == 0
