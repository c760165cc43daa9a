"""Counts read back as what scores mean; where noise covers them, scores stay as trained."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import expit

from features import calibration as module
from features.calibration import (
    CALIBRATION_BINS,
    CALIBRATION_EDGES,
    CALIBRATION_ENDS,
    CALIBRATION_MIDDLES,
    CELLS_A_SCORE,
    CUT_STEP,
    FINE_CUTS,
    LARGEST_CUT,
    LEAST_GAP,
    LEAST_SLOPE,
    Calibration,
    Counts,
    calibration_dimension,
    calibration_norm,
    calibration_rows,
    compressed,
    fine_bins,
    middle,
)
from features.errors import CatalogueError
from features.events import DIMENSION
from features.points import base_points
from features.scorecard import LARGEST_WEIGHT, POINTS_PER_LOGIT, Scorecard

BASE, MIDDLE = -42.0, 12
CENTRE = BASE + MIDDLE
"""Of the made-up populations: about 1 in 13 has the outcome."""

COUNTS = hnp.arrays(np.float64, CELLS_A_SCORE, elements=st.floats(-1e4, 1e6))
WILD = hnp.arrays(np.float64, CELLS_A_SCORE, elements=st.floats(-1e18, 1e18))
NOISE = st.floats(0, 100)
CENTRES = st.floats(-100, 60)
BASES = st.floats(-100, 60)
SHARES = st.floats(1e-6, 1 - 1e-6)


def population(
    customers: int, seed: int = 1, intercept: float = 0.0, slope: float = 1.0, bend: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Scores in points around CENTRE, and outcomes that come true by the three numbers.

    They are not whole points, but `sums_of` makes them so: a sum stands for the point above it.
    """
    random = np.random.default_rng(seed)
    scores = CENTRE + POINTS_PER_LOGIT * np.sinh(random.normal(0, 1, customers))
    true = Calibration(CENTRE, intercept, slope, bend).probability(scores)
    return scores, (random.random(customers) < true).astype(float)


def sums_of(scores: np.ndarray) -> np.ndarray:
    """The sums of parts of scores, int64[n]."""
    return np.floor(scores - BASE).astype(np.int64)


def cells(scores: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The counts of one score without noise, float64[CELLS_A_SCORE]."""
    rows = calibration_rows(fine_bins(sums_of(scores), MIDDLE)[:, None], y[:, None])
    return np.asarray(rows.sum(axis=0))


def counts(customers: int, seed: int = 1) -> np.ndarray:
    return cells(*population(customers, seed))


def calibrated(values: np.ndarray, noise_sd: float = 0.0, centre: float = CENTRE) -> Calibration:
    return Calibration.of(Counts(values, noise_sd, centre))


# --- bins and rows --------------------------------------------------------------------------------


def test_the_bins_are_those_that_were_agreed() -> None:
    assert FINE_CUTS == (-12, -4, 0, 4, 12, 20, 44)
    assert (CALIBRATION_BINS, CELLS_A_SCORE) == (8, 16)
    edges = [-1.016, -0.390, 0.0, 0.390, 1.016, 1.444, 2.187]
    assert CALIBRATION_EDGES.tolist() == pytest.approx(edges, abs=5e-4)
    assert CALIBRATION_ENDS[1:-1].tolist() == CALIBRATION_EDGES.tolist()
    middles = [-1.329, -0.703, -0.195, 0.195, 0.703, 1.230, 1.816, 2.559]
    assert CALIBRATION_MIDDLES.tolist() == pytest.approx(middles, abs=5e-4)


def test_a_cut_belongs_to_the_bin_above() -> None:
    cuts = MIDDLE + np.array(FINE_CUTS)
    assert fine_bins(cuts, MIDDLE).tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert fine_bins(cuts - 1, MIDDLE).tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert fine_bins(np.array([-(10**6), MIDDLE, 10**6]), MIDDLE).tolist() == [0, 3, 7]
    assert fine_bins(cuts, MIDDLE).dtype == np.uint8


@given(hnp.arrays(np.int64, 30, elements=st.integers(-1100, 1100)), st.integers(-1000, 1000))
def test_the_bins_whose_likelihood_is_weighed_are_those_that_are_sealed(
    sums: np.ndarray, middle: int
) -> None:
    c = compressed(sums.astype(np.float64), middle)
    among = np.searchsorted(CALIBRATION_EDGES, c, side="right")
    assert fine_bins(sums, middle).tolist() == among.tolist()


def test_the_middle_is_the_mean_sum_of_homes_in_steps_of_four_points() -> None:
    x = np.random.default_rng(3).gamma(1.0, 1.0, (50, DIMENSION))
    x[:, 0] = 1
    card = Scorecard.of("y", np.linspace(-4.0, 1.0, DIMENSION))
    found = middle(card, x.T @ x / len(x))
    mean = float((10 * x @ np.asarray(card.weights)).mean())
    assert type(found) is int
    assert abs(base_points(card) + found - mean) <= 2
    assert found % 4 == 0
    assert abs(found) > 10


@pytest.mark.parametrize("sign", [1, -1])
def test_a_middle_is_never_beyond_the_largest_cut(sign: int) -> None:
    """No moments, however noisy, make a plan that the office refuses."""
    card = Scorecard.of("y", np.full(DIMENSION, sign * LARGEST_WEIGHT))
    assert middle(card, np.full((DIMENSION, DIMENSION), 1e6)) == sign * LARGEST_CUT


@given(
    st.integers(1, 3).flatmap(
        lambda k: st.tuples(
            hnp.arrays(np.uint8, (20, k), elements=st.integers(0, 7)),
            hnp.arrays(np.float64, (20, k), elements=st.sampled_from([0.0, 1.0])),
        )
    )
)
def test_a_joint_row_is_one_cell_a_score_and_its_norm_is_exact(
    drawn: tuple[np.ndarray, np.ndarray],
) -> None:
    bins, y = drawn
    scores = bins.shape[1]
    rows = calibration_rows(bins, y)
    assert rows.shape == (20, calibration_dimension(scores)) == (20, 16 * scores)
    assert np.linalg.norm(rows, axis=1).tolist() == [calibration_norm(scores)] * 20
    for row, each_bin, each_y in zip(rows, bins, y, strict=True):
        assert np.flatnonzero(row).tolist() == [
            16 * score + 8 * int(came_true) + bin_
            for score, (bin_, came_true) in enumerate(zip(each_bin, each_y, strict=True))
        ]


@given(
    hnp.arrays(np.uint8, (20, 2)),
    hnp.arrays(np.float64, (20, 2), elements=st.floats(allow_nan=True, allow_infinity=True)),
    hnp.arrays(np.uint8, 2),
    hnp.arrays(np.float64, 2, elements=st.floats(allow_nan=True, allow_infinity=True)),
)
def test_whatever_one_customer_is_they_move_the_sum_by_at_most_the_norm(
    bins: np.ndarray, y: np.ndarray, other_bins: np.ndarray, other_y: np.ndarray
) -> None:
    rows = calibration_rows(bins, y)
    assert (np.linalg.norm(rows, axis=1) <= calibration_norm(2)).all()
    assert rows.sum(axis=1).tolist() == (bins < 8).sum(axis=1).tolist()  # a wrong key makes zeros
    total = rows.sum(axis=0)
    without = calibration_rows(bins[1:], y[1:]).sum(axis=0)
    moved = without + calibration_rows(other_bins[None], other_y[None]).sum(axis=0)
    assert np.linalg.norm(total - without) <= calibration_norm(2)
    assert np.linalg.norm(moved - without) <= calibration_norm(2)


def test_each_score_is_read_from_its_own_cells_with_the_noise_of_one() -> None:
    one, other = population(500), population(500, seed=2)
    bins = np.stack([fine_bins(sums_of(scores), MIDDLE) for scores, _ in (one, other)], axis=1)
    release = calibration_rows(bins, np.stack([one[1], other[1]], axis=1)).sum(axis=0)
    for place, known in enumerate((one, other)):
        found = Counts.of(release, 7.0, place, CENTRE)
        assert found.values.tolist() == cells(*known).tolist()
        assert (found.noise_sd, found.centre, found.customers) == (7.0, CENTRE, 500)
        assert found.outcomes.tolist() == cells(*known).reshape(2, 8).tolist()


@pytest.mark.parametrize(
    ("values", "noise_sd", "place", "centre"),
    [
        (np.zeros(15), 0.0, 0, 0.0),
        (np.zeros(0), 0.0, 0, 0.0),
        (np.zeros((2, 16)), 0.0, 0, 0.0),
        (np.full(32, np.nan), 0.0, 0, 0.0),
        (np.zeros(32), 0.0, 2, 0.0),
        (np.zeros(32), 0.0, -1, 0.0),
        (np.zeros(32), -1.0, 0, 0.0),
        (np.zeros(32), math.nan, 0, 0.0),
        (np.zeros(32), 0.0, 0, math.inf),
    ],
)
def test_counts_of_another_layout_are_refused(
    values: np.ndarray, noise_sd: float, place: int, centre: float
) -> None:
    with pytest.raises(CatalogueError, match="expected"):
        Counts.of(values, noise_sd, place, centre)


# --- whatever the counts --------------------------------------------------------------------------


@given(COUNTS | WILD, NOISE, CENTRES)
def test_whatever_noise_made_of_the_counts_the_probability_ascends_with_the_score(
    values: np.ndarray, noise_sd: float, centre: float
) -> None:
    found = calibrated(values, noise_sd, centre)
    scores = centre + np.concatenate([-np.geomspace(1e6, 1e-3, 200), np.geomspace(1e-3, 1e6, 200)])
    shares = found.probability(scores)
    assert (np.diff(shares) >= 0).all()
    assert ((shares >= 0) & (shares <= 1)).all()
    c = np.linspace(-5, 5, 400)
    assert (np.diff(found.log_odds(c)) >= 0.999 * LEAST_SLOPE * np.diff(c)).all()
    assert found == calibrated(values, noise_sd, centre)


@given(COUNTS | WILD, NOISE, CENTRES | st.floats(-1e9, 1e9), SHARES)
@example(np.zeros(16), 0.0, 0.0, 0.5)
@example(np.repeat([0.0, 1e6], 8), 0.0, 600.0, 1e-6)
@example(np.concatenate([np.full(8, 1e5), np.zeros(8)]), 0.0, -600.0, 1 - 1e-6)
def test_every_threshold_has_a_finite_cut_that_means_it(
    values: np.ndarray, noise_sd: float, centre: float, threshold: float
) -> None:
    found = calibrated(values, noise_sd, centre)
    cut = found.cut(threshold)
    assert abs(cut) <= LARGEST_CUT
    share = float(found.probability(np.array([cut]))[0])
    if cut == -LARGEST_CUT:
        assert share >= threshold - 1e-6
    elif cut == LARGEST_CUT:
        assert share <= threshold + 1e-6
    else:
        assert share == pytest.approx(threshold, rel=1e-4, abs=1e-9)


@given(
    COUNTS | WILD,
    NOISE,
    CENTRES | st.floats(-1e9, 1e9),
    BASES | st.floats(-1e7, 1e7),
    st.lists(SHARES, min_size=1, max_size=3, unique=True),
)
@example(np.zeros(16), 0.0, 0.0, -1e7, [0.2, 0.3, 0.4])
@example(np.zeros(16), 0.0, 0.0, 1e7, [0.2, 0.3, 0.4])
def test_cuts_of_bands_ascend_on_an_even_grid_and_keep_apart_within_the_largest(
    values: np.ndarray, noise_sd: float, centre: float, base: float, thresholds: list[float]
) -> None:
    found = calibrated(values, noise_sd, centre)
    cuts = found.cuts(sorted(thresholds), base)
    assert all(type(cut) is int and cut % CUT_STEP == 0 for cut in cuts)
    assert all(gap >= LEAST_GAP for gap in np.diff(cuts))
    assert max(map(abs, cuts)) <= LARGEST_CUT
    wanted = [min(found.cut(one) - base - 0.5, LARGEST_CUT) for one in sorted(thresholds)]
    room = LARGEST_CUT - LEAST_GAP * (len(cuts) - 1)
    assert abs(cuts[0] - min(max(wanted[0], -LARGEST_CUT), room)) <= CUT_STEP / 2
    if cuts[-1] < LARGEST_CUT:  # the upper moves up, none moves down
        assert all(cut >= at - CUT_STEP / 2 for cut, at in zip(cuts, wanted, strict=True))


def test_of_two_cuts_that_are_nearer_the_upper_moves_up() -> None:
    plain = Calibration(0.0, 0.0, 1.0, 0.0)
    assert plain.cuts((0.5, 0.501), 0.0) == (0, 4)
    assert plain.cuts((0.5, 0.501, 0.502), 0.0) == (0, 4, 8)
    steep = plain.cuts((0.3, 0.7), 0.0)
    assert steep == (-10, 10)  # 10 sinh(.85) is 9.5


@given(BASES, st.integers(-50, 50))
def test_a_cut_is_the_score_that_a_threshold_stands_for_less_the_base(base: float, at: int) -> None:
    plain = Calibration(base + at, 0.0, 1.0, 0.0)
    share = float(plain.probability(np.array([base + at + 0.5]))[0])
    assert all(abs(cut - at) <= 1 for cut in plain.cuts((share,), base))
    assert plain.cuts((share,), base - 40)[0] - plain.cuts((share,), base)[0] in {38, 40, 42}


def test_bands_of_rounded_scores_begin_where_the_scores_reach_their_thresholds() -> None:
    """On average, over cuts that are a point off either way: half a point more would show.

    Of thresholds near the middle; far from it the curve between coarse bins is off by more.
    """
    scores, y = population(2_000_000)
    sums = np.rint(scores - BASE).astype(np.int64)
    rows = np.bincount(fine_bins(sums, MIDDLE) + 8 * y.astype(np.int64), minlength=16)
    found = calibrated(rows.astype(np.float64))
    true = Calibration(CENTRE, 0.0, 1.0, 0.0)
    thresholds = np.linspace(0.04, 0.1, 100).tolist()
    off = [found.cuts((one,), BASE)[0] - (true.cut(one) - BASE) for one in thresholds]
    assert abs(np.mean(off)) < 0.3


def test_cuts_that_nobody_reaches_stand_at_the_largest_and_still_apart() -> None:
    """A plan with others would be refused."""
    plain = Calibration(0.0, 0.0, 1.0, 0.0)
    assert plain.cuts((0.2, 0.3, 0.4), -2000.0) == (992, 996, 1000)
    assert plain.cuts((0.2, 0.3, 0.4), 2000.0) == (-1000, -996, -992)


@pytest.mark.parametrize("wanted", [0.0, 1.0, -0.1, 1.1, math.nan])
def test_a_probability_outside_its_domain_is_refused(wanted: float) -> None:
    with pytest.raises(CatalogueError, match="expected between 0 and 1"):
        calibrated(counts(1000)).cut(wanted)
    with pytest.raises(CatalogueError, match="expected"):
        calibrated(counts(1000)).cuts((0.1, wanted), BASE)


def test_thresholds_that_do_not_ascend_are_refused() -> None:
    with pytest.raises(CatalogueError, match="expected ascending"):
        calibrated(counts(1000)).cuts((0.3, 0.2), BASE)


def test_where_the_parabola_turns_it_goes_on_straight_and_slowly() -> None:
    c = np.linspace(-8, 8, 1601)
    for bend in (-0.2, 0.2):
        found = Calibration(CENTRE, 0.0, 1.0, bend)
        turn = (LEAST_SLOPE - 1.0) / (2 * bend)
        beyond = c > turn + 0.01 if bend < 0 else c < turn - 0.01
        slopes = np.gradient(found.log_odds(c), c)
        assert slopes[beyond] == pytest.approx(LEAST_SLOPE, abs=1e-6)
        assert (slopes[~beyond] > LEAST_SLOPE - 1e-6).all()
        within = np.abs(c) < 1
        expected = CENTRE / POINTS_PER_LOGIT + c + bend * c**2
        assert found.log_odds(c)[within] == pytest.approx(expected[within])


def test_the_gradient_of_the_search_is_that_of_what_it_minimises() -> None:
    random = np.random.default_rng(7)
    for _ in range(20):
        made = Counts(random.normal(300, 300, 16), 17.0, CENTRE)
        at = np.array([random.normal(0, 0.5), random.uniform(0.3, 1.5), random.normal(0, 0.2)])
        _, gradient = module._loss(at, made)
        steps = np.eye(3) * 1e-5
        slopes = [module._loss(at + e, made)[0] - module._loss(at - e, made)[0] for e in steps]
        assert gradient == pytest.approx(np.array(slopes) / 2e-5, rel=1e-4, abs=1e-3)


# --- what scores mean -----------------------------------------------------------------------------


def test_scores_that_mean_what_they_say_stay_as_trained() -> None:
    random = np.random.default_rng(2)
    scores = random.normal(CENTRE, 10.0, 200_000)
    y = (random.random(200_000) < expit(scores / POINTS_PER_LOGIT)).astype(float)
    found = calibrated(cells(scores, y))
    for wanted in (0.02, 0.05, 0.1, 0.15):
        points = math.log(wanted / (1 - wanted)) * POINTS_PER_LOGIT
        assert found.cut(wanted) == pytest.approx(points, abs=0.15 * POINTS_PER_LOGIT)


@pytest.mark.parametrize("true", [(0.5, 1.0, 0.0), (-0.6, 0.6, 0.1), (0.0, 1.4, -0.15)])
def test_with_many_customers_scores_that_mislead_are_put_right(
    true: tuple[float, float, float],
) -> None:
    found = calibrated(cells(*population(200_000, 3, *true)))
    assert found.intercept == pytest.approx(true[0], abs=0.06)
    assert found.slope == pytest.approx(true[1], abs=0.08)
    assert found.bend == pytest.approx(true[2], abs=0.05)


def test_a_scorecard_that_ranks_the_wrong_way_round_tells_nobody_apart() -> None:
    scores, y = population(100_000)
    found = calibrated(cells(2 * CENTRE - scores, y))
    assert found.slope == LEAST_SLOPE
    assert found.cut(0.3) > CENTRE + 100


def test_an_outcome_that_nobody_or_everybody_has_is_read_too() -> None:
    nobody, everybody = population(2000)[1] * 0, population(2000)[1] * 0 + 1
    scores = population(2000)[0]
    rare, common = calibrated(cells(scores, nobody)), calibrated(cells(scores, everybody))
    plain = Calibration(CENTRE, 0.0, 1.0, 0.0)
    assert (rare.probability(scores) < plain.probability(scores)).mean() > 0.9
    assert (common.probability(scores) > plain.probability(scores)).all()


@pytest.mark.statistical
def test_where_noise_covers_the_counts_scores_stay_as_trained() -> None:
    # 200 draws of noise alone: the median of each number is off by less than .02, and about six of
    # seven cuts (sd .025) are within 6 points of the trained one; without HALF_TRUSTED few are.
    random = np.random.default_rng(4)
    trained = Calibration(CENTRE, 0.0, 1.0, 0.0)
    found = [calibrated(random.normal(0, 30, 16), 30.0) for _ in range(200)]
    numbers = np.array([(one.intercept, one.slope, one.bend) for one in found])
    assert np.median(numbers, axis=0) == pytest.approx([0, 1, 0], abs=0.02)
    cuts = np.array([one.cut(0.3) for one in found])
    assert np.mean(np.abs(cuts - trained.cut(0.3)) < 6) > 0.78


@pytest.mark.statistical
def test_the_noise_of_a_release_spreads_the_share_above_a_cut_as_decision_17_says() -> None:
    # A network of 7,000, with the noise of one training of twelve a year: of 200 draws nine in ten
    # name between half and 1.8 times as many as the truth does (1.55 here), and none nobody.
    random = np.random.default_rng(5)
    scores, y = population(7000)
    truth = cells(scores, y)
    right = (scores >= Calibration(CENTRE, 0.0, 1.0, 0.0).cut(0.2)).mean()
    shares = np.array(
        [
            (scores >= calibrated(truth + random.normal(0, 17, 16), 17.0).cut(0.2)).mean()
            for _ in range(200)
        ]
    )
    low, middle, high = np.quantile(shares, [0.05, 0.5, 0.95])
    assert 0.5 * right < low
    assert middle == pytest.approx(right, rel=0.25)
    assert high < 1.8 * right
    assert shares.min() > 0


@pytest.mark.statistical
def test_less_noise_and_more_customers_spread_the_cut_less() -> None:
    random = np.random.default_rng(6)

    def spread(customers: int, noise_sd: float) -> float:
        truth = counts(customers)
        cuts = [
            calibrated(truth + random.normal(0, noise_sd, 16), noise_sd).cut(0.2)
            for _ in range(100)
        ]
        return float(np.std(cuts))

    much, little, many = spread(7000, 17.0), spread(7000, 5.0), spread(70_000, 17.0)
    assert little < 0.5 * much
    assert many < 0.25 * much
