"""DeLong's test: AUCs of several scores on the same customers, with their covariance.

The AUC is how often, of two customers with different outcomes, the one with outcome 1 is ranked
first, ties counted half. Its variance is DeLong's [DDC88], by midranks [SX14]. Only customers of
one fold are compared with each other, since only they were scored by the same model: pooled over
folds, held-out scores rank worse than the models do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from features.events import Matrix, Vector


@dataclass(frozen=True, slots=True, eq=False)
class Aucs:
    """AUCs of k scores.

    Attributes:
        values: float64[k].
        covariance: float64[k, k], of the values; chance in which customers are judged, no other.
        freedom: Degrees of freedom of the covariance: of the rarer outcome's customers, less folds.
    """

    values: Vector
    covariance: Matrix
    freedom: int


def delong(y: Vector, scores: Matrix, folds: npt.NDArray[np.int64]) -> Aucs:
    """Computes AUCs within folds.

    Where a score puts all customers of an outcome in the same place, such as a perfect one, their
    variance is that of one more customer who stands half right; nothing is ever certain.

    Args:
        y: float64[n] of 0 and 1.
        scores: float64[n, k].
        folds: int64[n]; each fold needs both outcomes, and more customers of each than one.
    """
    names = np.unique(folds)
    ones, zeros = int((y > 0).sum()), int((y <= 0).sum())
    kinds = scores.shape[1]
    values = np.zeros(kinds)
    spread_ones, spread_zeros = np.zeros((kinds, kinds)), np.zeros((kinds, kinds))
    share_of_zeros = 0.0
    for name in names:
        inside = folds == name
        of_ones, of_zeros = _placements(y[inside] > 0, scores[inside])
        values += of_ones.sum(axis=0) / ones
        spread_ones += _scatter(of_ones)
        spread_zeros += _scatter(of_zeros)
        share_of_zeros += (len(of_ones) / ones) ** 2 / len(of_zeros)
    freedom = ones - len(names), zeros - len(names)
    covariance = (
        _at_least(spread_ones / freedom[0], ones) / ones
        + _at_least(spread_zeros / freedom[1], zeros) * share_of_zeros
    )
    return Aucs(values, covariance, min(freedom))


def _placements(ones: npt.NDArray[np.bool_], scores: Matrix) -> tuple[Matrix, Matrix]:
    """Of each customer, the share of those with the other outcome who stand on the right side."""
    # Loaded here: every command would pay for it otherwise.
    from scipy.stats import rankdata

    within = rankdata(scores, axis=0)
    of_ones, of_zeros = rankdata(scores[ones], axis=0), rankdata(scores[~ones], axis=0)
    return (
        (within[ones] - of_ones) / len(of_zeros),
        1 - (within[~ones] - of_zeros) / len(of_ones),
    )


def _scatter(values: Matrix) -> Matrix:
    around = values - values.mean(axis=0)
    return np.asarray(around.T @ around)


def _at_least(covariance: Matrix, customers: int) -> Matrix:
    """The same, its diagonal no smaller than what one customer who stands half right would make."""
    floor = 0.25 / (customers + 1)
    raised = np.maximum(np.diag(covariance), floor)
    return covariance + np.diag(raised - np.diag(covariance))
