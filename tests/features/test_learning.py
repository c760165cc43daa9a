"""Each row stays within its norm, and the sums read back as what they stand for."""

from __future__ import annotations

from functools import cache

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from features.errors import CatalogueError
from features.events import (
    DIMENSION,
    POINTS,
    RATE_BOUNDS,
    RATES,
    CustomerSums,
    EventFeatures,
    Vector,
    event_features,
)
from features.learning import (
    BIN_EDGES,
    BINS,
    CLIP_SHARE,
    FLAG_SHARE,
    MOMENTS_DIMENSION,
    ROW_CLIP,
    USUAL_CLIP,
    USUAL_DIMENSION,
    Whitening,
    by_owner,
    counts_dimension,
    counts_rows,
    gradient_dimension,
    gradient_rows,
    moments_rows,
    read_gradients,
    read_usual,
    short_vectors,
    usual_rows,
)
from features.scorecard import LARGEST_WEIGHT, Scorecard
from privacy.fixed_point import clipping_units, to_integers
from privacy.plans import ReleasePlan
from privacy.two_key_sum import Contribution
from sandbox.baselines import auc
from tests.builders import Bench
from tests.features.ledgers import (
    USUAL,
    Row,
    any_events,
    events_of,
    rows,
    sample,
    sightings,
    snapshot_of,
)

RANDOM = np.random.default_rng(5)
COUNTS = RANDOM.geometric(0.3, 400).astype(float)
SUMS = CustomerSums(
    RANDOM.gamma(1.0, 0.3, (400, POINTS)) * COUNTS[:, None] / 2,
    RANDOM.beta(1.0, 3.0, (400, RATES)) * RATE_BOUNDS * COUNTS[:, None],
    COUNTS,
)
X = SUMS.vectors(USUAL)
CARD = Scorecard.of("y", RANDOM.normal(size=DIMENSION), USUAL)
OTHER = Scorecard.of("z", RANDOM.normal(size=DIMENSION) / 2, USUAL / 2)
CARDS = (CARD, OTHER)
Y = [
    (RANDOM.random(400) < 1 / (1 + np.exp(-card.score(SUMS) / 10))).astype(float) for card in CARDS
]


@st.composite
def any_sums(draw: st.DrawFn) -> CustomerSums:
    """Sums of five customers, also such as no events add up to."""
    values = draw(
        hnp.arrays(np.float64, (5, POINTS + RATES), elements=st.floats(-1e6, 1e6, width=32))
    )
    counts = draw(hnp.arrays(np.float64, 5, elements=st.integers(0, 10**6).map(float)))
    return CustomerSums(values[:, :POINTS], values[:, POINTS:], counts)


# --- norms ----------------------------------------------------------------------------------------

GRADIENT_NORM = 2.0
LAYOUTS = {
    "usual": (USUAL_DIMENSION, USUAL_CLIP),
    "moments": (MOMENTS_DIMENSION, ROW_CLIP**2),
    "gradient of 1": (gradient_dimension(1), GRADIENT_NORM),
    "gradient of 2": (gradient_dimension(2), GRADIENT_NORM * np.sqrt(2)),
    "counts of 1": (counts_dimension(1), 1.0),
    "counts of 2": (counts_dimension(2), np.sqrt(2)),
}
"""Of each sum its numbers, and how far one customer may move it."""


def rows_of_each_sum(sums: CustomerSums, y: list[np.ndarray], size: float) -> dict[str, np.ndarray]:
    """The rows of every sum, at scorecards of weights times a size, as far as there are such."""
    matrix = np.diag(np.arange(1.0, DIMENSION + 1))
    cards = []
    for card in CARDS:
        weights = np.clip(size * np.asarray(card.weights), -LARGEST_WEIGHT, LARGEST_WEIGHT)
        cards.append(Scorecard.of(card.outcome, weights, np.asarray(card.usual)))
    return {
        "usual": usual_rows(sums),
        "moments": moments_rows(cards[0].vectors(sums)),
        "gradient of 1": gradient_rows(sums, y[:1], cards[:1], matrix, GRADIENT_NORM),
        "gradient of 2": gradient_rows(sums, y, cards, matrix, GRADIENT_NORM * np.sqrt(2)),
        "counts of 1": counts_rows(sums, y[:1], cards[:1]),
        "counts of 2": counts_rows(sums, y, cards),
    }


@given(any_sums(), st.floats(0, 10))
def test_no_row_is_longer_than_its_norm(sums: CustomerSums, size: float) -> None:
    y = [np.array([0.0, 1.0, 0.0, 1.0, 1.0]), np.array([1.0, 1.0, 0.0, 0.0, 1.0])]
    found = rows_of_each_sum(sums, y, size)
    assert set(found) == set(LAYOUTS)
    for name, (dimension, norm) in LAYOUTS.items():
        assert found[name].shape == (5, dimension)
        assert np.linalg.norm(found[name], axis=1).max() <= norm * (1 + 1e-9)


def test_rows_as_long_as_their_norm_are_common_so_that_no_norm_is_too_wide() -> None:
    """Of a gradient where an outcome came true that was taken to be impossible."""
    found = rows_of_each_sum(SUMS, [np.ones(400)] * 2, -20.0)
    for name, (_, norm) in LAYOUTS.items():
        longest = np.linalg.norm(found[name], axis=1).max()
        assert longest == pytest.approx(norm, rel=1e-3), name


@given(rows, sightings, st.sampled_from(["anna", "ben", "cleo"]), st.floats(0, 10))
def test_one_customer_moves_each_joint_sum_by_no_more_than_its_norm(
    drawn: list[Row], seen: list[Row], who: str, size: float
) -> None:
    """By its rows of real events, all of them taken away; also to the last integer."""
    events = event_features(snapshot_of(events_of(drawn, seen)))
    home = events.customers()
    assume(who in home)

    def each_sum(customers: pl.Series) -> dict[str, np.ndarray]:
        y = [customers.is_in(liked).to_numpy().astype(float) for liked in (["anna"], ["ben"])]
        return rows_of_each_sum(CustomerSums.of(events, customers), y, size)

    everybody, others = each_sum(home), each_sum(home.filter(home != who))
    scale = 2**20
    for name, (dimension, norm) in LAYOUTS.items():
        moved = everybody[name].sum(axis=0) - others[name].sum(axis=0)
        assert np.linalg.norm(moved) <= norm * (1 + 1e-9), name
        units = clipping_units(norm, scale)
        (whole, zeroed), (less, _) = (
            to_integers(one[name], scale, units) for one in (everybody, others)
        )
        assert zeroed == 0
        assert np.square(whole.sum(axis=0) - less.sum(axis=0)).sum() <= units**2, name
        # the clip of the release takes nothing from such rows
        assert np.abs(whole - everybody[name] * scale).max() <= 2
        assert whole.shape[1] == dimension


# --- the usual event ------------------------------------------------------------------------------


def test_a_customer_of_one_event_counts_a_third_in_the_usual_event_and_of_many_nearly_1() -> None:
    quiet = CustomerSums(np.zeros((3, POINTS)), np.zeros((3, RATES)), np.array([0.0, 1.0, 98.0]))
    assert usual_rows(quiet)[:, 0].tolist() == pytest.approx([0, 1 / 3, 0.98])


def test_two_customers_make_the_usual_event_by_hand() -> None:
    rates = np.zeros((2, RATES))
    rates[0, 1], rates[1, 1] = 2.0, 0.0  # of two events both late; of six none
    found = usual_rows(CustomerSums(np.zeros((2, POINTS)), rates, np.array([2.0, 6.0])))
    assert found[:, 0].tolist() == [2 / 4, 6 / 8]
    usual = read_usual(found.sum(axis=0), 0.0)
    assert usual[1] == pytest.approx((2 / 4) / (2 / 4 + 6 / 8))
    assert usual.sum() == usual[1]


@given(any_events(), st.integers(1, 40))
def test_where_everybody_does_the_same_that_is_the_usual_event(
    events: EventFeatures, times: int
) -> None:
    """Also where rows are shortened: rates and number of events are shortened together."""
    total = events.total()
    usual = total.rates[0] / total.counts[0]
    alike = CustomerSums(
        np.zeros((times, POINTS)), np.outer(np.arange(1.0, times + 1), usual),
        np.arange(1.0, times + 1),
    )  # fmt: skip
    found = read_usual(usual_rows(alike).sum(axis=0), 0.0)
    np.testing.assert_allclose(found, usual, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("count", "rate"), [(4.0, 0.0), (40.0, 2.1 / 40), (-7.0, 0.0)])
def test_where_noise_covers_the_number_of_events_nothing_is_known_of_the_usual_one(
    count: float, rate: float
) -> None:
    found = read_usual(np.append(count, np.full(RATES, 2.1)), 1.0)
    assert found.tolist() == pytest.approx([rate] * RATES)


@pytest.mark.parametrize("count", [-7.0, 4.0, 40.0])
def test_a_rate_that_noise_covers_is_what_was_said_of_it(count: float) -> None:
    said = RATE_BOUNDS / 10
    values = np.append(count, [2.1, 1.9, -5.0, 0.0, 2.0, 8.0, 0.1, 1.0])
    found = read_usual(values, 1.0, said)
    told = [2.1 / 40, *said[1:5], 8.0 / 40, *said[6:]] if count == 40.0 else said
    assert found.tolist() == pytest.approx(list(told))


@given(
    hnp.arrays(np.float64, USUAL_DIMENSION, elements=st.floats(-1e9, 1e9)),
    st.one_of(st.just(0.0), st.floats(1e-3, 1e3)),
)
def test_a_usual_event_is_always_one_that_a_scorecard_can_carry(
    values: np.ndarray, noise_sd: float
) -> None:
    Scorecard.of("y", np.zeros(DIMENSION), read_usual(values, noise_sd))  # else it raises


# --- moments --------------------------------------------------------------------------------------


@given(
    hnp.arrays(np.float64, (5, DIMENSION - 1), elements=st.floats(-1e6, 1e6, width=32)),
)
def test_short_vectors_keep_their_intercept_and_their_direction(features: np.ndarray) -> None:
    x = np.hstack([np.ones((5, 1)), features])
    short = short_vectors(x)
    assert (short[:, 0] == 1).all()
    lengths = np.linalg.norm(short, axis=1)
    assert lengths.max() <= ROW_CLIP + 1e-9
    kept = np.linalg.norm(x, axis=1) <= ROW_CLIP
    assert short[kept].tolist() == x[kept].tolist()
    crossed = short[:, 1:] * np.linalg.norm(features, axis=1)[:, None]
    np.testing.assert_allclose(
        crossed, features * np.linalg.norm(short[:, 1:], axis=1)[:, None], rtol=1e-6, atol=1e-6
    )


def test_whitened_features_are_centred_and_of_the_variances_that_are_told() -> None:
    space = Whitening.of(moments_rows(X).sum(axis=0), 0.0)
    z = short_vectors(X) @ space.matrix
    assert (z[:, 0] == 1).all()
    np.testing.assert_allclose(z[:, 1:].mean(axis=0), 0, atol=1e-9)
    assert space.customers == pytest.approx(len(X))
    np.testing.assert_allclose(space.variances, z[:, 1:].var(axis=0), atol=1e-9)
    assert space.variances.max() <= 1
    lengths = np.linalg.norm(z, axis=1)
    usual = np.sqrt(np.square(lengths).mean())
    assert space.gradient_norm == pytest.approx(CLIP_SHARE * usual)
    short = short_vectors(X)
    np.testing.assert_allclose(space.second, short.T @ short / len(X))


def test_a_whitening_of_pure_noise_blows_nothing_up_and_expects_short_rows() -> None:
    noise = np.random.default_rng(1).normal(0, 100, MOMENTS_DIMENSION)
    space = Whitening.of(noise, 100.0)
    assert np.abs(space.matrix[1:, 1:]).max() <= 2
    assert (space.variances <= 1).all()
    assert space.gradient_norm < CLIP_SHARE * np.sqrt(DIMENSION)


def test_directions_below_noise_have_one_common_variance() -> None:
    """Single eigenvalues are noise there: told apart, noise would say which way to learn."""
    noise = np.random.default_rng(1).normal(0, 100, MOMENTS_DIMENSION)
    variances = Whitening.of(noise, 100.0).variances
    common = variances[0]  # of the least eigenvalue, which pure noise has below 0
    assert 0 < common < 1
    assert np.isclose(variances, common, rtol=1e-9).sum() > len(variances) / 2


@pytest.mark.parametrize("noise_sd", [3.0, 50.0])
def test_a_whitening_stands_for_no_fewer_customers_than_noise_could_make(noise_sd: float) -> None:
    """Four deviations: what is divided by a number that noise made is anything."""
    assert Whitening.of(np.zeros(MOMENTS_DIMENSION), noise_sd).customers == 4 * noise_sd
    assert Whitening.of(np.zeros(MOMENTS_DIMENSION), 0.0).customers == 1


@given(hnp.arrays(np.float64, MOMENTS_DIMENSION, elements=st.floats(-1e6, 1e6)), st.floats(0, 1e3))
def test_any_moments_make_a_map_that_can_be_undone_and_sent(
    moments: np.ndarray, noise_sd: float
) -> None:
    space = Whitening.of(moments, noise_sd)
    assert np.isfinite(space.matrix).all()
    assert abs(np.linalg.det(space.matrix[1:, 1:])) > 0
    assert Whitening.decode_matrix(space.encode()).tolist() == space.matrix.tolist()
    assert ((space.variances >= 0) & (space.variances <= 1)).all()


def test_a_whitening_of_another_size_or_not_finite_is_refused() -> None:
    eye = np.eye(DIMENSION)
    good = Whitening(eye, np.ones(DIMENSION - 1), 1.0, eye).encode()
    assert Whitening.decode_matrix(good).tolist() == eye.tolist()
    for bad in (good[:-8], np.full((DIMENSION, DIMENSION), np.nan).tobytes()):
        with pytest.raises(CatalogueError):
            Whitening.decode_matrix(bad)


def test_each_scorecard_needs_its_own_outcome() -> None:
    """With one too few, the last scorecard's part of every row would be missing."""
    for y, cards in ((Y[:1], CARDS), (Y, CARDS[:1])):
        with pytest.raises(ValueError, match="zip"):
            counts_rows(SUMS, y, cards)
        with pytest.raises(ValueError, match="zip"):
            gradient_rows(SUMS, y, cards, np.eye(DIMENSION), 2.0)


def test_score_bins_are_one_after_another_and_as_wide_below_0_as_above() -> None:
    assert (np.diff(BIN_EDGES) > 0).all()
    assert (-BIN_EDGES[::-1] == BIN_EDGES).all()


# --- gradients ------------------------------------------------------------------------------------


@pytest.mark.parametrize("scores", [1, 2])
def test_gradients_and_the_share_of_long_rows_read_back(scores: int) -> None:
    """Long rows count by the room over their length, whatever their outcome."""
    cards, y, norm = CARDS[:scores], Y[:scores], 2.0 * np.sqrt(scores)
    found = gradient_rows(SUMS, y, cards, np.eye(DIMENSION), norm)
    sums, share = read_gradients(found.sum(axis=0), len(X), scores, norm)
    room = 2.0 * np.sqrt(1 - FLAG_SHARE**2)
    long = np.zeros(len(X), dtype=bool)
    for place, (card, outcome) in enumerate(zip(cards, y, strict=True)):
        short = short_vectors(card.vectors(SUMS))
        lengths = np.linalg.norm(short, axis=1)
        weight = np.minimum(1.0, room / lengths)
        residual = 1 / (1 + np.exp(-(short @ np.asarray(card.weights)))) - outcome
        block = found[:, place * DIMENSION : (place + 1) * DIMENSION]
        np.testing.assert_allclose(block, short * (weight * residual)[:, None], atol=1e-12)
        np.testing.assert_allclose(sums[place], block.sum(axis=0))
        long |= lengths > room
    assert 0 < long.mean() < 1
    assert share == pytest.approx(long.mean())
    assert found[:, -1].tolist() == pytest.approx((long * FLAG_SHARE * norm).tolist())


def test_how_much_a_row_is_scaled_down_does_not_depend_on_its_outcome() -> None:
    """Else a rare outcome's few would be cut more than the many others."""
    zero, one = (
        gradient_rows(SUMS, [np.full(len(X), value)], [CARD], np.eye(DIMENSION), 1.0)
        for value in (0.0, 1.0)
    )
    short = short_vectors(X)
    chance = 1 / (1 + np.exp(-(short @ np.asarray(CARD.weights))))
    np.testing.assert_allclose(
        zero[:, :-1] * (chance - 1)[:, None], one[:, :-1] * chance[:, None], atol=1e-9
    )
    assert zero[:, -1].tolist() == one[:, -1].tolist()


def test_a_gradient_is_the_slope_of_the_log_loss() -> None:
    """By differences, in whitened space."""
    few = SUMS.where(np.linalg.norm(X, axis=1) < 1.9)  # so short that none is scaled down
    y = Y[0][np.linalg.norm(X, axis=1) < 1.9]
    matrix = np.eye(DIMENSION) + np.diag(np.full(DIMENSION - 1, 0.01), 1)
    card = Scorecard.of("y", np.asarray(CARD.weights) / 3, USUAL)

    def loss(z: np.ndarray) -> float:
        odds = few.vectors(USUAL) @ (np.asarray(card.weights) + matrix @ z)
        return float(np.sum(np.log1p(np.exp(odds)) - y * odds))

    step = 1e-5 * np.eye(DIMENSION)
    slope = [(loss(one) - loss(-one)) / 2e-5 for one in step]
    found = gradient_rows(few, [y], [card], matrix, 2.5)
    [gradient], share = read_gradients(found.sum(axis=0), len(few), 1, 2.5)
    assert (share, len(few) > 20) == (0, True)
    np.testing.assert_allclose(gradient, slope, atol=1e-4)


# --- counts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("scores", [1, 2])
def test_counts_are_one_cell_a_customer_and_score_and_rank_nearly_as_scores_do(scores: int) -> None:
    found = counts_rows(SUMS, Y[:scores], CARDS[:scores]).reshape(len(X), scores, 2, BINS)
    assert (found.sum(axis=(2, 3)) == 1).all()
    for place in range(scores):
        outcome, bins = np.divmod(found[:, place].reshape(len(X), -1).argmax(axis=1), BINS)
        assert outcome.tolist() == Y[place].tolist()
        true = auc(Y[place], CARDS[place].score(SUMS))
        assert auc(Y[place], bins.astype(float)) == pytest.approx(true, abs=0.02)


@given(rows, sightings)
def test_each_scorecard_is_counted_as_if_it_were_alone(drawn: list[Row], seen: list[Row]) -> None:
    events = event_features(snapshot_of(events_of(drawn, seen)))
    sums = CustomerSums.of(events, events.customers())
    y: list[Vector] = [np.arange(float(len(sums))) % 2, np.ones(len(sums))]
    alone = [counts_rows(sums, [one], [card]) for one, card in zip(y, CARDS, strict=True)]
    assert counts_rows(sums, y, CARDS).tolist() == np.hstack(alone).tolist()


def test_an_outlet_without_home_customers_has_rows_of_every_sum_too() -> None:
    none = CustomerSums.of(sample(3), pl.Series([], dtype=pl.String))
    found = rows_of_each_sum(none, [np.zeros(0), np.zeros(0)], 1.0)
    for name, (dimension, _) in LAYOUTS.items():
        assert found[name].shape == (0, dimension)


# --- several rows of one person -------------------------------------------------------------------

people = st.lists(st.integers(0, 5), min_size=1, max_size=30)


def rows_of(number: int, seed: int, length: float) -> np.ndarray:
    """Rows no longer than a norm, some as long."""
    drawn = np.random.default_rng(seed).normal(size=(number, 4))
    factor = np.minimum(1.0, length / np.linalg.norm(drawn, axis=1))
    return np.asarray(drawn * factor[:, None])


@cache
def a_plan() -> ReleasePlan:
    """A plan of 4 numbers, their clipping norm 1."""
    bench = Bench()
    return ReleasePlan.decode(bench.office.sign_release(bench.draft(bench.night())).payload)


def test_one_row_a_person_stays_as_it_is() -> None:
    rows = rows_of(4, 1, 1.0)
    assert by_owner(rows, np.array([7, 3, 9, 1])).tolist() == rows.tolist()


def test_rows_of_one_person_add_up_over_the_root_of_their_number() -> None:
    rows = np.array([[1.0, 0.0], [0.0, 5.0], [1.0, 2.0], [1.0, 4.0], [1.0, 6.0]])
    found = by_owner(rows, np.array([4, 9, 4, 4, 4]))
    assert found.tolist() == [[4 / 2, 12 / 2], [0.0, 5.0]]


def test_a_network_of_nobody_adds_nothing() -> None:
    assert by_owner(np.zeros((0, 3)), np.zeros(0, dtype=np.int64)).shape == (0, 3)


@given(people, st.integers(0, 1000))
def test_a_person_of_any_number_of_rows_adds_no_more_than_the_clip(
    owners: list[int], seed: int
) -> None:
    """By the clip that a contribution really goes through, to the last integer."""
    plan = a_plan()
    rows = rows_of(len(owners), seed, 3.0)
    whose = np.array(owners)
    everybody = Contribution(by_owner(rows, whose)).sums(plan)
    others = whose != whose[0]
    without = Contribution(by_owner(rows[others], whose[others])).sums(plan)
    assert np.square(everybody - without).sum() <= plan.norm**2
