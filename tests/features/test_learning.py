"""Each row stays within its norm, and the sums read back as what they stand for."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from features.errors import CatalogueError
from features.events import DIMENSION
from features.learning import (
    BINS,
    GRADIENT_CLIP,
    ROW_CLIP,
    Preconditioner,
    auc_of_counts,
    by_owner,
    counts_rows,
    gradient_rows,
    moments_rows,
    read_gradient,
)
from privacy.plans import ReleasePlan
from privacy.two_key_sum import Contribution
from sandbox.baselines import auc
from tests.builders import Bench

RANDOM = np.random.default_rng(5)
X = np.hstack([np.ones((400, 1)), RANDOM.gamma(1.0, 0.6, (400, DIMENSION - 1))])
W = RANDOM.normal(size=DIMENSION)
Y = (RANDOM.random(400) < 1 / (1 + np.exp(-(X @ W)))).astype(float)


@given(hnp.arrays(np.float64, (5, DIMENSION), elements=st.floats(-1e6, 1e6)))
def test_no_row_is_longer_than_its_norm(x: np.ndarray) -> None:
    y = np.array([0.0, 1.0, 0.0, 1.0, 1.0])
    matrix = np.diag(np.arange(1.0, DIMENSION + 1))
    for rows, norm in [
        (moments_rows(x), ROW_CLIP**2),
        (gradient_rows(x, y, W / 1e6, matrix), GRADIENT_CLIP),
        (counts_rows(x, y, W), 1.0),
    ]:
        assert np.linalg.norm(rows, axis=1).max() <= norm * (1 + 1e-9)


def test_the_preconditioner_whitens_what_is_above_the_noise() -> None:
    short = X * np.minimum(1, ROW_CLIP / np.linalg.norm(X, axis=1))[:, None]
    preconditioner = Preconditioner.of(moments_rows(X).sum(axis=0), 0.0)
    second = preconditioner.matrix.T @ short.T @ short @ preconditioner.matrix
    values = np.linalg.eigvalsh(second / preconditioner.customers)
    assert values.max() == pytest.approx(1, rel=1e-9)
    assert preconditioner.customers == pytest.approx((short[:, 0] ** 2).sum())
    np.testing.assert_allclose(preconditioner.second, short.T @ short / preconditioner.customers)


def test_a_preconditioner_of_pure_noise_blows_nothing_up() -> None:
    noise = np.random.default_rng(1).normal(0, 100, DIMENSION * (DIMENSION + 1) // 2)
    preconditioner = Preconditioner.of(noise, 100.0)
    assert np.abs(preconditioner.matrix).max() <= 1 + 1e-9


def test_gradient_and_clipped_share_read_back() -> None:
    matrix = np.eye(DIMENSION)
    rows = gradient_rows(X, Y, W, matrix)
    mean, share = read_gradient(rows.sum(axis=0), len(X))
    residual = 1 / (1 + np.exp(-(X @ W))) - Y
    exact = X * residual[:, None]
    long = np.linalg.norm(exact, axis=1) > GRADIENT_CLIP * np.sqrt(0.99)
    assert share == pytest.approx(long.mean())
    assert 0 < share < 1
    np.testing.assert_allclose(rows[~long, :-1], exact[~long])
    assert mean.shape == (DIMENSION,)


def test_counts_are_one_cell_a_customer_and_their_auc_is_near_the_true_one() -> None:
    rows = counts_rows(X, Y, W)
    assert (rows.sum(axis=1) == 1).all()
    counts = rows.sum(axis=0)
    assert counts[BINS:].sum() == Y.sum()
    true = auc(Y, X @ W)
    assert auc_of_counts(counts) == pytest.approx(true, abs=0.02)


def test_counts_without_both_outcomes_have_no_auc() -> None:
    assert auc_of_counts(np.r_[np.ones(BINS), -np.ones(BINS)]) is None


def test_a_preconditioner_of_another_size_or_not_finite_is_refused() -> None:
    good = Preconditioner(np.eye(DIMENSION), 1.0, np.eye(DIMENSION)).encode()
    assert Preconditioner.decode_matrix(good).tolist() == np.eye(DIMENSION).tolist()
    for bad in (good[:-8], np.full((DIMENSION, DIMENSION), np.nan).tobytes()):
        with pytest.raises(CatalogueError):
            Preconditioner.decode_matrix(bad)


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
