"""The outlet's local model, fitted on its own customers only; it never leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from features.events import Matrix, Vector

FOLDS = 5


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
    # Loaded here: every command would pay for it otherwise, and only the night's report needs it.
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if len(y) == 0 or y.min() == y.max():
        return np.full(len(among), y.mean() if len(y) else 0.5)
    model = make_pipeline(
        StandardScaler(), LogisticRegression(solver="newton-cholesky", max_iter=1000)
    )
    return np.asarray(model.fit(x[:, 1:], y).predict_proba(among[:, 1:])[:, 1])


def folds_of(y: Vector, random: np.random.Generator) -> npt.NDArray[np.int64]:
    """Deals customers into folds at random, each outcome evenly.

    Args:
        y: float64[n] of 0 and 1.
        random: Who shuffles.

    Returns:
        int64[n], 0 to FOLDS - 1; the numbers of one outcome in two folds differ by 1 at most.
    """
    folds = np.empty(len(y), dtype=np.int64)
    for outcome in (False, True):
        places = random.permutation(np.flatnonzero((y > 0) == outcome))
        folds[places] = np.arange(len(places)) % FOLDS
    return folds


def held_out(x: Matrix, y: Vector, folds: npt.NDArray[np.int64]) -> Vector:
    """Scores each customer with a model fitted on the other folds.

    Args:
        x: float64[n, DIMENSION].
        y: float64[n] of 0 and 1.
        folds: int64[n], from `folds_of`.

    Returns:
        float64[n] of probabilities; only those within one fold are of one model.
    """
    scores = np.empty(len(y))
    for fold in range(FOLDS):
        judged = folds == fold
        scores[judged] = fit_and_score(x[~judged], y[~judged], x[judged])
    return scores
