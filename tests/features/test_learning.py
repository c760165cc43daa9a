"""Each row stays within its norm, and the sums read back as what they stand for."""

from __future__ import annotations

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
    counts_rows,
    gradient_rows,
    moments_rows,
    read_gradient,
)
from sandbox.baselines import auc

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
