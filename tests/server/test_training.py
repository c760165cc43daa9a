"""A training goes as far from its start as its releases support, and no further."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from features.events import DIMENSION, POINTS, RATE_SCALE, RATES, CustomerSums
from features.learning import ROW_CLIP, Whitening, gradient_rows, moments_rows
from features.outcomes import Outcome
from features.scorecard import Scorecard
from features.starting import starting_scorecard
from sandbox.baselines import auc
from server.hq.training import INTERCEPT_SD, LARGEST_INTERCEPT, LARGEST_SPREAD, Training, modelled

ROUNDS = 6
NOTHING = np.zeros(RATES)
LOYAL = Scorecard.of("y", np.clip(starting_scorecard(Outcome.LOYAL).weights, -3, 3))
"""Milder on resales than what is published: of these people everybody has some."""
RANDOM = np.random.default_rng(17)


def noisy(values: np.ndarray, noise_sd: float) -> np.ndarray:
    """A release as it comes back from the two-key sum."""
    return values + RANDOM.normal(0, noise_sd, values.shape) if noise_sd else values


@dataclass
class People:
    """Customers who follow a truth, and trainings on them."""

    number: int
    truth: np.ndarray
    seed: int = 3

    def __post_init__(self) -> None:
        random = np.random.default_rng(self.seed)
        points = random.gamma(1.0, 0.35, (self.number, POINTS))
        rates = random.gamma(1.0, 0.35, (self.number, RATES)) / RATE_SCALE
        self.sums = CustomerSums(points, rates, random.geometric(0.5, self.number).astype(float))
        self.x = self.sums.vectors(NOTHING)
        chance = 1 / (1 + np.exp(-(self.x @ self.truth)))
        self.y = (random.random(self.number) < chance).astype(float)

    def space(self, noise: float) -> tuple[Whitening, float]:
        noise_sd = noise * ROW_CLIP**2
        moments = moments_rows(self.x).sum(axis=0)
        return Whitening.of(noisy(moments, noise_sd), noise_sd), noise_sd

    def begin(self, card: Scorecard | None, noise: float) -> Training:
        return Training.begin("y", NOTHING, self.space(noise)[0], card)

    def round(self, training: Training, noise: float) -> Training:
        """One round at noise of so many clipping norms."""
        space = training.space
        rows = gradient_rows(
            self.sums, [self.y], [training.card], space.matrix, space.gradient_norm
        )
        gradient = noisy(rows.sum(axis=0)[:DIMENSION], noise * space.gradient_norm)
        return training.after_round(gradient, noise * space.gradient_norm)

    def trained(self, card: Scorecard | None, noise: float = 0.0) -> np.ndarray:
        """Weights after all rounds, at noise of so many clipping norms."""
        training = self.begin(card, noise)
        for _ in range(ROUNDS):
            training = self.round(training, noise)
        return np.asarray(training.card.weights)


TRUTH = np.array([-1.5, *np.linspace(-1.2, 1.6, DIMENSION - 1)])
FEW, MANY = People(300, TRUTH), People(20_000, TRUTH)
FRESH = People(5000, TRUTH, seed=4)


def ranking(weights: np.ndarray) -> float:
    found = auc(FRESH.y, FRESH.x @ weights)
    assert found is not None
    return found


def fitted(people: People) -> np.ndarray:
    model = LogisticRegression(C=1e6, fit_intercept=False, max_iter=1000).fit(people.x, people.y)
    return np.asarray(model.coef_[0])


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """How differently two scorecards score people, in log odds."""
    return float(np.std(FRESH.x @ (one - other)))


# --- where it begins, and how far it goes ---------------------------------------------------------


@pytest.mark.parametrize("noise", [0.0, 3.0, 1e4])
def test_a_training_begins_at_the_starting_scorecard_whatever_the_moments_noise(
    noise: float,
) -> None:
    training = FEW.begin(LOYAL, noise)
    np.testing.assert_allclose(training.card.weights, LOYAL.weights, rtol=1e-6, atol=1e-6)
    assert (training.from_card, training.measured) == (True, ())


def test_without_a_card_it_begins_at_nothing_and_its_first_round_sets_the_intercept_alone() -> None:
    training = FEW.begin(None, 0.0)
    assert not any(training.card.weights)
    once = FEW.round(training, 0.0)
    assert not once.at[1:].any()
    assert 1 / (1 + np.exp(-once.at[0])) == pytest.approx(
        FEW.y.mean(), abs=0.03
    )  # long rows count less
    assert FEW.round(once, 0.0).at[1:].any()


def test_with_enormous_noise_it_stays_at_the_starting_scorecard() -> None:
    starting = np.asarray(LOYAL.weights)
    # the noise in the moments makes many customers of few, whom the start is held against
    assert distance(MANY.trained(LOYAL, noise=1e5), starting) < 0.1
    assert distance(FEW.trained(LOYAL, noise=100.0), starting) < 0.2
    for _ in range(5):  # also in how often it comes true, in whitened space
        training = FEW.begin(LOYAL, 100.0)
        for _ in range(ROUNDS):
            training = FEW.round(training, 100.0)
        assert abs(training.at[0] - training.start[0]) < 2 * INTERCEPT_SD


def test_when_noise_covers_the_signal_what_a_training_leaves_ranks_neither_way() -> None:
    """40 trainings of an outcome that nothing tells, at the noise of epsilon 1.

    Single ones rank by chance, with a standard deviation of about .15; their mean's is .024.
    """
    people = People(2_000, np.r_[-2.0, np.zeros(DIMENSION - 1)], seed=12)
    ranks = []
    for _ in range(40):
        weights = people.trained(None, noise=20.0)
        ranks.append(0.5 if distance(weights, np.zeros(DIMENSION)) == 0 else ranking(weights))
    assert abs(np.mean(ranks) - 0.5) < 0.1


def test_a_rare_outcome_of_nothing_ranks_neither_way() -> None:
    """From nothing, weights once knew only that it was rare, and ranked others below chance.

    20 outcomes of one customer in 25, unrelated to anything. Were they ranked at random, the mean
    of their ranks by number of events would be .5 with a standard error of about .02; by plain
    steps from nothing it was below .3.
    """
    random = np.random.default_rng(23)
    people = People(2_500, np.zeros(DIMENSION), seed=6)
    busy = (people.x[:, -1] > np.median(people.x[:, -1])).astype(float)
    found = []
    for _ in range(20):
        people.y = (random.random(people.number) < 0.04).astype(float)
        score = people.x @ people.trained(None, noise=20.0)
        found.append(0.5 if np.ptp(score[1:]) == 0 else auc(busy, score))
    assert abs(np.mean([one for one in found if one is not None]) - 0.5) < 0.15


def test_a_rare_outcome_is_found_though_rows_are_long_and_noisy() -> None:
    truth = np.array([-6.0, *np.zeros(DIMENSION - 3), 2.0, 2.5])
    people, fresh = People(2_500, truth, seed=8), People(20_000, truth, seed=9)
    assert 0.02 < people.y.mean() < 0.06
    assert (np.linalg.norm(people.x, axis=1) > ROW_CLIP).mean() > 0.05
    best = auc(fresh.y, fresh.x @ truth)
    ranks = [auc(fresh.y, fresh.x @ people.trained(None, noise=10.0)) for _ in range(8)]
    assert best is not None
    assert np.mean([rank for rank in ranks if rank is not None]) > best - 0.12


def test_without_noise_and_with_many_customers_it_ranks_as_logistic_regression() -> None:
    best = ranking(fitted(MANY))
    assert best > 0.7
    # six rounds come slowly to weights of what varies little among customers
    assert ranking(MANY.trained(None)) == pytest.approx(best, abs=0.01)
    # these people are nothing like what experts expect, who rank them the wrong way round
    assert ranking(np.asarray(LOYAL.weights)) < 0.5
    assert ranking(MANY.trained(LOYAL)) == pytest.approx(best, abs=0.015)


def test_the_pull_vanishes_with_many_customers_and_holds_with_few() -> None:
    starting = np.asarray(LOYAL.weights)
    gone = [distance(people.trained(LOYAL), starting) for people in (FEW, MANY)]
    free = [distance(people.trained(None), starting) for people in (FEW, MANY)]
    assert gone[0] < 0.7 * free[0]
    assert gone[1] > 0.85 * free[1]


def test_with_few_customers_a_good_starting_scorecard_ranks_better_than_none() -> None:
    experts = Scorecard.of("y", 0.7 * TRUTH)
    assert ranking(FEW.trained(experts)) > ranking(FEW.trained(None)) + 0.005


@pytest.mark.parametrize("noise", [10.0, 1e3, 1e6])
@pytest.mark.parametrize("card", [LOYAL, None])
def test_noise_alone_makes_no_weights_without_bounds(noise: float, card: Scorecard | None) -> None:
    training = FEW.begin(card, noise)
    for _ in range(ROUNDS):
        training = FEW.round(training, noise)
        gone = training.at[1:] - training.start[1:]
        spread = np.sqrt(training.space.variances @ gone**2)
        assert abs(training.at[0]) <= LARGEST_INTERCEPT
        assert spread <= LARGEST_SPREAD * (1 + 1e-9)
        assert training.card.outcome == "y"  # within the public bound


# --- rounds ---------------------------------------------------------------------------------------


def test_a_measurement_is_the_same_wherever_it_is_taken() -> None:
    """Nearly: of customers as HQ models them. So rounds may be averaged."""
    training = MANY.begin(None, 0.0)
    for _ in range(ROUNDS):
        training = MANY.round(training, 0.0)
    late = np.stack(training.measured[2:]) / MANY.number
    assert np.ptp(late, axis=0).max() < 0.02


def test_noise_of_a_scorecard_falls_with_rounds() -> None:
    def spread(rounds: int) -> float:
        answers = []
        for _ in range(20):
            training = MANY.begin(None, 0.0)
            for _ in range(rounds):
                training = MANY.round(training, 30.0)
            answers.append(training.at[1:])
        return float(np.std(answers, axis=0).mean())

    assert spread(6) < 0.95 * spread(2)


def test_the_same_releases_make_the_same_training() -> None:
    """It is repeated after a kill."""
    training = FEW.begin(LOYAL, 0.0)
    gradient = RANDOM.normal(0, 30, DIMENSION)
    once, twice = (training.after_round(gradient, 1.0) for _ in range(2))
    assert once.card == twice.card
    assert once.at.tolist() == twice.at.tolist()


def test_a_training_is_not_changed_by_its_rounds() -> None:
    training = FEW.begin(LOYAL, 0.0)
    before = replace(training, at=training.at.copy())
    FEW.round(FEW.round(training, 1.0), 1.0)
    assert training.at.tolist() == before.at.tolist()
    assert training.measured == ()


# --- curvature ------------------------------------------------------------------------------------


@given(st.floats(-50, 50), st.floats(0, 50))
def test_a_modelled_chance_is_one_and_its_curvature_at_most_a_quarter(
    mean: float, spread: float
) -> None:
    chance, bend = modelled(mean, spread)
    assert 0 < chance < 1
    assert 0 < bend <= 0.25 + 1e-12


@pytest.mark.parametrize("log_odds", [-6.0, -2.0, 0.0, 0.5, 3.0])
def test_where_all_customers_are_alike_the_model_is_their_probability(log_odds: float) -> None:
    p = 1 / (1 + np.exp(-log_odds))
    assert modelled(log_odds, 0.0) == pytest.approx((p, p * (1 - p)), rel=1e-9)


def test_the_model_is_the_mean_over_customers_whose_log_odds_are_normal() -> None:
    odds = np.random.default_rng(6).normal(-1.0, 1.5, 200_000)
    p = 1 / (1 + np.exp(-odds))
    assert modelled(-1.0, 1.5) == pytest.approx((p.mean(), (p * (1 - p)).mean()), rel=0.01)
