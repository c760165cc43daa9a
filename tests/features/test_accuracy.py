"""Figures from counts are those of the customers counted, or none where noise covers them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from features.accuracy import Accuracy, accuracy, auc_of_cells, reliability
from features.calibration import (
    CALIBRATION_DIMENSION,
    FINE_CENTRES,
    FINE_EDGES,
    Calibration,
    Counts,
    Group,
    calibration_rows,
    fine_bins,
)
from features.learning import COUNTS_DIMENSION, auc_of_counts
from sandbox.baselines import auc
from tests.features.test_calibration import CELLS, NOISE, NOISY, counts, population

if TYPE_CHECKING:
    from features.accuracy import ReliabilityRow


def of_bands(made: Counts, cuts: list[float]) -> list[ReliabilityRow]:
    return reliability(Calibration.of(made), cuts, made)


def test_the_auc_of_the_counts_is_the_auc_of_the_scores() -> None:
    scores, y = population(20_000)
    found = auc_of_cells(counts(20_000), 0.0)
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
    draws = truth + random.normal(0, noise, (1000, CELLS))
    found = [estimate for values in draws if (estimate := auc_of_cells(values, noise))]
    assert len(found) == 1000
    exact = auc_of_cells(truth, 0.0)
    assert exact is not None
    values, stated = np.array(found).T
    ratio = np.sqrt((stated**2).mean()) / values.std()
    assert 0.85 < ratio < 1.25
    assert values.mean() == pytest.approx(exact.value, abs=0.25 * values.std())


def test_each_band_comes_true_as_often_as_it_promised() -> None:
    made, later = (Counts(counts(100_000, seed), 0.0) for seed in (1, 2))
    calibration = Calibration.of(made)
    cuts = [calibration.cut(0.25), calibration.cut(0.6)]
    rows = reliability(calibration, cuts, later)
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
    calibration = Calibration.of(Counts(values, noise_sd))
    low, high = reliability(calibration, [cut], calibration.counts)
    split = int(np.searchsorted(FINE_CENTRES, cut))
    for row, bins in [(low, slice(split)), (high, slice(split, None))]:
        if row.predicted is not None:
            promised = calibration.probabilities[bins]
            assert promised.min() <= row.predicted <= promised.max()


def test_a_band_that_noise_covers_has_no_reliability() -> None:
    values = counts(20_000) + np.random.default_rng(7).normal(0, 5, CELLS)
    calibration = Calibration.of(Counts(values, 5.0))
    empty, full = reliability(calibration, [FINE_EDGES[1]], calibration.counts)
    assert (empty.predicted, empty.observed, empty.noise_sd) == (None, None, None)
    assert full.observed == pytest.approx(0.27, abs=0.03)
    nobody = reliability(calibration, [calibration.cut(0.25), math.inf], calibration.counts)[-1]
    assert nobody.customers == 0
    assert nobody.observed is None


@pytest.mark.statistical
def test_the_noise_of_a_band_is_as_stated() -> None:
    random = np.random.default_rng(8)
    truth = counts(20_000)
    draws = truth + random.normal(0, 10, (1000, CELLS))
    rows = [of_bands(Counts(values, 10.0), [-30.0, 10.0])[1] for values in draws]
    observed = np.array([row.observed for row in rows], dtype=float)
    stated = np.array([row.noise_sd for row in rows], dtype=float)
    assert observed.std() == pytest.approx(stated.mean(), rel=0.15)


# --- precision, recall, false alarms --------------------------------------------------------------


@given(
    st.sampled_from(list(Group)),
    st.sampled_from([-math.inf, *FINE_EDGES.tolist()]),
    st.integers(0, 5),
)
def test_without_noise_the_figures_are_plain_shares_of_customers(
    group: Group, edge: float, seed: int
) -> None:
    scores, y = population(3000, seed)
    regular = np.random.default_rng(seed).random(3000) < 0.4
    release = calibration_rows(fine_bins(scores), y, regular).sum(axis=0)
    found = accuracy(Counts.of(release, 0.0, group), edge)
    chosen = {Group.EVERYBODY: regular | ~regular, Group.NEWCOMERS: ~regular}.get(group, regular)
    inside, came_true = scores[chosen] >= edge, y[chosen] > 0
    assert found.customers == inside.sum()
    for estimate, part, whole in (
        (found.precision, inside & came_true, inside),
        (found.recall, inside & came_true, came_true),
        (found.false_alarms, inside & ~came_true, ~came_true),
    ):
        if whole.sum() < 20:
            assert estimate is None
        else:
            assert estimate is not None
            assert estimate.value == pytest.approx(part.sum() / whole.sum())
            assert estimate.noise_sd == 0


def test_a_bin_is_in_the_band_when_its_middle_is() -> None:
    made = Counts(counts(20_000), 0.0)
    below, above = FINE_CENTRES[20] - 0.01, FINE_CENTRES[20] + 0.01
    both = made.outcomes[:, 20].sum()
    assert accuracy(made, below).customers - accuracy(made, above).customers == both > 0
    assert accuracy(made, FINE_CENTRES[20]) == accuracy(made, below)


def test_noise_that_covers_whom_a_figure_is_about_leaves_none() -> None:
    random = np.random.default_rng(9)
    values = counts(3000) + random.normal(0, 10, CELLS)
    found = accuracy(Counts(values, 10.0), FINE_CENTRES[-4])
    assert found.precision is None  # hardly anybody is up there
    assert found.recall is not None
    assert found.false_alarms is not None
    covered = accuracy(Counts(random.normal(0, 30, CELLS), 30.0), 0.0)
    assert (covered.precision, covered.recall, covered.false_alarms) == (None, None, None)


def test_of_a_band_that_nobody_reaches_nobody_is_suspected_wrongly() -> None:
    found = accuracy(Counts(counts(20_000), 10.0), math.inf)
    assert found == (0.0, None, (0.0, 0.0), (0.0, 0.0))


@pytest.mark.statistical
@pytest.mark.parametrize("group", list(Group))
def test_the_noise_of_precision_recall_and_false_alarms_is_as_stated(group: Group) -> None:
    # 1,000 draws: the sd of an sd is 2.2 %; 15 % is more than 6 of them, a wrong group's is 41 %.
    random = np.random.default_rng(10)
    scores, y = population(40_000)
    truth = calibration_rows(fine_bins(scores), y, random.random(40_000) < 0.5).sum(axis=0)
    draws = truth + random.normal(0, 10, (1000, CALIBRATION_DIMENSION))
    found = [accuracy(Counts.of(values, 10.0, group), 12.0) for values in draws]
    exact = accuracy(Counts.of(truth, 0.0, group), 12.0)
    for (_, true), *estimates in zip(exact.shares(), *(one.shares() for one in found), strict=True):
        values, stated = np.array([estimate for _, estimate in estimates], dtype=float).T
        assert true is not None
        assert values.std() == pytest.approx(stated.mean(), rel=0.15)
        assert values.mean() == pytest.approx(true.value, abs=0.25 * values.std())


@given(NOISY, NOISE, st.floats(-200, 200))
def test_figures_are_shares_and_read_back_as_they_were_written(
    values: np.ndarray, noise_sd: float, cut: float
) -> None:
    found = accuracy(Counts(values, noise_sd), cut)
    assert Accuracy.from_json(found.as_json()) == found
    for _, estimate in found.shares():
        assert estimate is None or (0 <= estimate.value <= 1 and estimate.noise_sd >= 0)
