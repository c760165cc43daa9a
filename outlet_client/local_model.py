"""A model of the outlet's own, from its own customers only; it never leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

if TYPE_CHECKING:
    from features.events import Matrix, Vector


def fit_and_score(x: Matrix, y: Vector, among: Matrix) -> Vector:
    """Fits a logistic regression on one outlet's customers and scores others.

    Args:
        x: float64[n, DIMENSION], the outlet's home customers.
        y: float64[n] of 0 and 1.
        among: float64[m, DIMENSION], customers to score.

    Returns:
        float64[m] of probabilities; the share of ones where all outcomes are alike, or half where
        there are none.
    """
    if len(y) == 0 or y.min() == y.max():
        return np.full(len(among), y.mean() if len(y) else 0.5)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return np.asarray(model.fit(x[:, 1:], y).predict_proba(among[:, 1:])[:, 1])
