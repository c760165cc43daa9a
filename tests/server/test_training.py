"""A training goes as far from what experts said as its releases support, and no further."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.linear_model import LogisticRegression

from features.events import DIMENSION
from features.learning import GRADIENT_CLIP, ROW_CLIP, gradient_rows, moments_rows
from features.outcomes import Outcome
from features.scorecard import Scorecard
from features.starting import starting_scorecard
from privacy.envelopes import SealKey
from privacy.plans import ReleasePlan
from privacy.two_key_sum import CustomerRelease
from privacy.units import Purpose
from sandbox.baselines import auc
from server.hq.training import LEAST_CURVATURE, Training, curvature
from tests.builders import CUT_OFF, SCALE

ROUNDS, STEP = 20, 0.5
LOYAL = starting_scorecard(Outcome.LOYAL)
RANDOM = np.random.default_rng(17)
KEY = SealKey.generate().public.hex()


def release(purpose: Purpose, values: np.ndarray, noise_sd: float) -> CustomerRelease:
    """A release as it comes back from the two-key sum, with noise of about that size."""
    scale = round(noise_sd * SCALE / 2**0.5)
    plan = ReleasePlan(
        "n1/001", "00" * 32, "", purpose, len(values), 64, SCALE, SCALE, 2**40, scale,
        3, "s", "d", CUT_OFF, "", KEY, 100,
    )  # fmt: skip
    made = CustomerRelease(plan, ("a", "b", "c"), values)
    noisy = values + RANDOM.normal(0, made.noise_sd, len(values)) if scale else values
    return CustomerRelease(plan, made.outlets, noisy)


@dataclass
class People:
    """Customers who follow a truth, and trainings on them."""

    number: int
    truth: np.ndarray
    seed: int = 3

    def __post_init__(self) -> None:
        random = np.random.default_rng(self.seed)
        drawn = random.gamma(1.0, 0.35, (self.number, DIMENSION - 1))
        self.x = np.hstack([np.ones((self.number, 1)), drawn])
        chance = 1 / (1 + np.exp(-(self.x @ self.truth)))
        self.y = (random.random(self.number) < chance).astype(float)

    def begin(self, card: Scorecard | None, noise: float, rounds: int = ROUNDS) -> Training:
        moments = moments_rows(self.x).sum(axis=0)
        noisy = release(Purpose.MOMENTS, moments, noise * ROW_CLIP**2)
        return Training.begin(noisy, card, rounds)

    def trained(self, card: Scorecard | None, noise: float = 0.0) -> np.ndarray:
        """Weights after all rounds, at noise of so many clips."""
        training = self.begin(card, noise)
        for _ in range(ROUNDS):
            matrix = training.preconditioner.matrix
            rows = gradient_rows(self.x, self.y, training.weights, matrix)
            noisy = release(Purpose.TRAINING, rows.sum(axis=0), noise * GRADIENT_CLIP)
            training = training.after_round(noisy, STEP)
        return training.averaged


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
    np.testing.assert_allclose(training.weights, LOYAL.weights, rtol=1e-6, atol=1e-6)
    assert (training.pulled, training.iterates) == (True, ())


def test_without_a_card_it_begins_at_nothing_and_is_not_pulled_back() -> None:
    training = FEW.begin(None, 0.0)
    assert (training.weights == 0).all()
    assert not training.pulled
    far = training.start + 1.0
    gone = Training(training.preconditioner, training.start, False, ROUNDS, (far,))  # noqa: FBT003  (a field)
    flat = release(Purpose.TRAINING, np.zeros(DIMENSION + 1), 0.0)
    assert gone.after_round(flat, STEP).iterates[-1].tolist() == far.tolist()


def test_with_a_card_a_flat_gradient_leads_back_to_it() -> None:
    training = FEW.begin(LOYAL, 0.0)
    far = training.start + 1.0
    gone = Training(training.preconditioner, training.start, True, ROUNDS, (far,))  # noqa: FBT003  (a field)
    flat = release(Purpose.TRAINING, np.zeros(DIMENSION + 1), 0.0)
    back = gone.after_round(flat, STEP).iterates[-1] - training.start
    assert (back < 1).all()
    assert (back > 0).all()


def test_with_enormous_noise_it_stays_at_the_starting_scorecard() -> None:
    starting = np.asarray(LOYAL.weights)
    assert distance(MANY.trained(LOYAL, noise=1e5), starting) < 0.05
    assert distance(FEW.trained(LOYAL, noise=100.0), starting) < 0.2


def test_without_noise_and_with_many_customers_it_ranks_as_logistic_regression() -> None:
    best = ranking(fitted(MANY))
    assert best > 0.7
    assert ranking(MANY.trained(None)) == pytest.approx(best, abs=0.003)
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
def test_noise_alone_makes_no_weights_without_bounds(noise: float) -> None:
    for card in (LOYAL, None):
        weights = FEW.trained(card, noise)
        assert np.isfinite(weights).all()
        assert Scorecard.of("y", weights).outcome == "y"  # within the public bound


# --- rounds ---------------------------------------------------------------------------------------


def test_the_answer_is_the_mean_of_the_later_half() -> None:
    training = FEW.begin(None, 0.0)
    points = tuple(np.full(DIMENSION, float(place)) for place in range(5))
    done = Training(training.preconditioner, training.start, False, 5, points)  # noqa: FBT003  (a field)
    expected = training.preconditioner.matrix @ np.full(DIMENSION, 3.0)
    np.testing.assert_allclose(done.averaged, expected)


def test_the_same_releases_make_the_same_training() -> None:
    """It is repeated after a kill."""
    rows = gradient_rows(FEW.x, FEW.y, np.asarray(LOYAL.weights), np.eye(DIMENSION))
    gradient = release(Purpose.TRAINING, rows.sum(axis=0), 1.0)
    once, twice = (FEW.begin(LOYAL, 0.0).after_round(gradient, STEP) for _ in range(2))
    assert once.weights.tolist() == twice.weights.tolist()
    assert once.clipped == twice.clipped


# --- curvature ------------------------------------------------------------------------------------

small = st.floats(-20, 20)


@given(
    hnp.arrays(np.float64, DIMENSION, elements=small),
    hnp.arrays(np.float64, (DIMENSION, DIMENSION), elements=small),
)
def test_curvature_is_between_nothing_and_a_quarter_however_noisy_the_moments(
    weights: np.ndarray, drawn: np.ndarray
) -> None:
    found = curvature(weights, (drawn + drawn.T) / 2)
    assert 0 < found <= 0.25 + 1e-12


@pytest.mark.parametrize("log_odds", [-6.0, -2.0, 0.0, 0.5, 3.0])
def test_where_all_customers_are_alike_curvature_is_that_of_their_probability(
    log_odds: float,
) -> None:
    x = np.array([1.0, *np.linspace(0, 1, DIMENSION - 1)])
    weights = np.array([log_odds, *[0.0] * (DIMENSION - 1)])
    p = 1 / (1 + np.exp(-log_odds))
    assert curvature(weights, np.outer(x, x)) == pytest.approx(p * (1 - p), rel=1e-9)


def test_curvature_is_the_mean_over_customers_whose_log_odds_are_normal() -> None:
    random = np.random.default_rng(6)
    x = np.hstack([np.ones((200_000, 1)), random.normal(0, 0.5, (200_000, DIMENSION - 1))])
    weights = np.array([-1.0, *np.linspace(-1, 1, DIMENSION - 1)])
    p = 1 / (1 + np.exp(-(x @ weights)))
    found = curvature(weights, x.T @ x / len(x))
    assert found == pytest.approx((p * (1 - p)).mean(), rel=0.01)
    assert found > LEAST_CURVATURE
