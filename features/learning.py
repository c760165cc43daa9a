"""What a customer adds to each sum that trains or judges a scorecard, and how the sums are read.

Outlets make the rows, HQ reads the sums; both sides of each layout stand side by side here. A row
is the *whole* of what a customer adds, so the clipping norm of a release bounds everything.

    moments      upper triangle of x x', off-diagonals times sqrt 2     norm ROW_CLIP^2
    gradient     clipped gradient in preconditioned space, and a flag   norm GRADIENT_CLIP
    counts       one cell of (score bin, outcome)                       norm 1
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.errors import CatalogueError
from features.events import DIMENSION, Matrix, Vector

ROW_CLIP = 2.5
"""Longest x that counts in full in the moments; longer ones are scaled down."""

GRADIENT_CLIP = 2.0
"""Longest gradient row, in preconditioned space."""

FLAG_SHARE = 0.1
"""Part of the gradient's clip that carries 'this row was clipped'."""

LARGEST_ENTRY = 1e6
"""Public bound on a preconditioner's entries."""

MOMENTS_DIMENSION = DIMENSION * (DIMENSION + 1) // 2
GRADIENT_DIMENSION = DIMENSION + 1

BIN_EDGES = np.array([-2.5, -1.5, -0.75, 0.0, 0.75, 1.5, 2.5])
"""Fixed, public score bins, in log odds: coarse, because every cell carries noise."""
BINS = len(BIN_EDGES) + 1
COUNTS_DIMENSION = 2 * BINS

_UPPER = np.triu_indices(DIMENSION)
_WEIGHT = np.where(_UPPER[0] == _UPPER[1], 1.0, math.sqrt(2))


def shorten(rows: Matrix, norm: float) -> tuple[Matrix, Vector]:
    """Scales rows longer than `norm` down to it.

    A modelling step within a row; the privacy bound is `privacy.clipping`'s, on the whole row.

    Returns:
        float64[n, d], and float64[n] of 1 where a row was shortened.
    """
    lengths = np.linalg.norm(rows, axis=1)
    factor = np.minimum(1.0, norm / np.maximum(lengths, 1e-300))
    return rows * factor[:, None], (lengths > norm).astype(np.float64)


def moments_rows(x: Matrix) -> Matrix:
    """Rows of the moments sum.

    With the off-diagonals times sqrt 2, the norm of a row is |x|^2, at most ROW_CLIP^2.

    Args:
        x: float64[n, DIMENSION].

    Returns:
        float64[n, MOMENTS_DIMENSION].
    """
    short, _ = shorten(x, ROW_CLIP)
    return short[:, _UPPER[0]] * short[:, _UPPER[1]] * _WEIGHT


def by_owner(rows: Matrix, owners: npt.NDArray[np.int64]) -> Matrix:
    """One row a person, for people of whom there are several rows: their sum over its square root.

    The clipping norm is then the person's, not the row's. As much as k alike rows add is what k
    rows at random would: a person of many rows counts more than one of few, and is not drowned.

    Args:
        rows: float64[n, d].
        owners: int64[n], whose each row is.

    Returns:
        float64[people, d]; the rows as they are where each is another's.
    """
    people, index, counts = np.unique(owners, return_inverse=True, return_counts=True)
    if len(people) == len(rows):
        return rows
    summed = np.zeros((len(people), rows.shape[1]))
    np.add.at(summed, index, rows)
    return summed / np.sqrt(counts)[:, None]


@dataclass(frozen=True, slots=True)
class Preconditioner:
    """A whitening map, from noisy second moments.

    Attributes:
        matrix: float64[DIMENSION, DIMENSION]; z = x @ matrix has about unit second moments.
        customers: About how many customers the moments stand for; long rows count less.
        second: float64[DIMENSION, DIMENSION], the noisy second moments of an average customer.
    """

    matrix: Matrix
    customers: float
    second: Matrix

    @classmethod
    def of(cls, moments: Vector, noise_sd: float) -> Preconditioner:
        """Reads a moments release.

        Directions in which there is less than noise, or less than a tenth of the average customer,
        are not blown up: eigenvalues are floored at max(4 sd sqrt(d), n / 10).

        Args:
            moments: float64[MOMENTS_DIMENSION].
            noise_sd: Standard deviation of the noise in each value.
        """
        second = np.zeros((DIMENSION, DIMENSION))
        second[_UPPER] = moments / _WEIGHT
        second = second + np.triu(second, 1).T
        customers = max(float(second[0, 0]), 4 * noise_sd, 1.0)
        values, vectors = np.linalg.eigh(second)
        floor = max(4 * noise_sd * math.sqrt(DIMENSION), 0.1 * customers)
        matrix = vectors * np.sqrt(customers / np.maximum(values, floor))
        return cls(matrix, customers, second / customers)

    def encode(self) -> bytes:
        """The bytes whose digest names the map in plans."""
        return np.ascontiguousarray(self.matrix, dtype="<f8").tobytes()

    @staticmethod
    def decode_matrix(data: bytes) -> Matrix:
        """Reads `encode`'s bytes.

        Raises:
            CatalogueError: If they are not a square matrix of the catalogue's dimension, its
                entries within the public bound.
        """
        if len(data) != 8 * DIMENSION**2:
            raise CatalogueError(f"preconditioner: expected {DIMENSION} x {DIMENSION} numbers")
        matrix = np.frombuffer(data, dtype="<f8").reshape(DIMENSION, DIMENSION)
        if not (np.abs(matrix) <= LARGEST_ENTRY).all():
            raise CatalogueError(f"preconditioner: expected numbers within +-{LARGEST_ENTRY:g}")
        return matrix


def gradient_rows(x: Matrix, y: Vector, weights: Vector, matrix: Matrix) -> Matrix:
    """Rows of the logistic gradient's sum, in preconditioned space.

    Args:
        x: float64[n, DIMENSION].
        y: float64[n] of 0 and 1.
        weights: float64[DIMENSION], in log odds.
        matrix: The preconditioner's.

    Returns:
        float64[n, GRADIENT_DIMENSION]: the gradient, shortened so that flag and gradient together
        stay within GRADIENT_CLIP, and the flag, FLAG_SHARE * GRADIENT_CLIP where it was shortened.
    """
    residual = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30))) - y
    room = GRADIENT_CLIP * math.sqrt(1 - FLAG_SHARE**2)
    gradient, shortened = shorten((x @ matrix) * residual[:, None], room)
    return np.hstack([gradient, shortened[:, None] * (FLAG_SHARE * GRADIENT_CLIP)])


def read_gradient(values: Vector, customers: float) -> tuple[Vector, float]:
    """Reads a gradient release.

    Returns:
        float64[DIMENSION], the mean gradient, and the share of rows that were shortened.
    """
    share = float(values[-1]) / (FLAG_SHARE * GRADIENT_CLIP * customers)
    return values[:-1] / customers, share


def counts_rows(x: Matrix, y: Vector, weights: Vector) -> Matrix:
    """Rows of the evaluation counts: one cell of (score bin, outcome) a customer.

    Returns:
        float64[n, COUNTS_DIMENSION]; cells of outcome 0 first.
    """
    cell = np.searchsorted(BIN_EDGES, x @ weights) + BINS * (y > 0)
    return np.eye(COUNTS_DIMENSION)[cell.astype(np.int64)]


def auc_of_counts(values: Vector) -> float | None:
    """The AUC that binned counts stand for, ties counted half; None without both outcomes.

    Args:
        values: float64[COUNTS_DIMENSION]; negative counts, which only noise makes, count as 0.
    """
    without, having = np.maximum(values, 0).reshape(2, BINS)
    pairs = without.sum() * having.sum()
    if pairs <= 0:
        return None
    below = np.cumsum(without) - without
    return float((having * (below + without / 2)).sum() / pairs)
