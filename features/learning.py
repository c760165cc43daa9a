"""What a customer adds to each sum that trains or judges scorecards, and how the sums are read.

Outlets make the rows, HQ reads the sums; both sides of each layout stand side by side here. A row
is the *whole* of what a customer adds, for all k scorecards that are trained together, so the
clipping norm of a release bounds everything.

    usual        number of events and rates, over 2 + events          norm USUAL_CLIP
    moments      upper triangle of x x', off-diagonals times sqrt 2   norm ROW_CLIP^2
    gradient     k gradients in whitened space, and a flag            gradient_norm times sqrt k
    counts       k cells of (score bin, outcome)                      norm sqrt k

Moments and gradients see the same *short* vectors, so that the moments describe the very rows that
train: the features are scaled down, the intercept never is. A gradient's row is scaled by its
vector alone, never by its outcome: else mostly those would be cut for whom a rare outcome came
true, and it would rank below chance (docs/decisions/0019).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from features.errors import CatalogueError
from features.events import DIMENSION, RATE_BOUNDS, RATES, Matrix, Vector

if TYPE_CHECKING:
    from collections.abc import Sequence

    from features.events import CustomerSums
    from features.scorecard import Scorecard

USUAL_CLIP = 1.5
"""Clipping norm of a row of the usual event's sum."""

ROW_CLIP = 2.5
"""Longest vector that counts in full, intercept included."""

FLAG_SHARE = 0.1
"""Part of a gradient row's norm that carries 'this row was scaled down'."""

LARGEST_ENTRY = 1e6
"""Public bound on a whitening's entries."""

MEAN_SHARE = 1 / 3
"""Part of the squared mean that stays in what is whitened: 0 is a covariance, 1 a plain second
moment. At 0 rare outcomes rank .03 to .05 better and loyal ones .004 worse, at 1 they rank below
chance; chosen with real ledgers in view (docs/decisions/0019)."""

CLIP_SHARE = 0.7
"""A gradient's clipping norm, in usual lengths of a whitened vector: noise falls with it, and what
long rows say. From 1 to .75 rare outcomes rank up to .01 better and none worse by more than .001
but punks by .006; at .5 loyal ones fall."""

NOISE_EDGE, LEAST_SHARE = 0.5, 0.1
"""Least variance of a direction: in norms of the noise's matrix, and in parts of all variance."""

USUAL_DIMENSION = 1 + RATES
MOMENTS_DIMENSION = DIMENSION * (DIMENSION + 1) // 2

BIN_EDGES = np.array([-2.5, -1.5, -0.75, 0.0, 0.75, 1.5, 2.5])
"""Fixed, public score bins, in log odds: coarse, because every cell carries noise."""
BINS = len(BIN_EDGES) + 1

_NOTHING = 1e-9
_PRIOR_EVENTS = 2.0
"""Of a customer in the usual event's sum: one of one event counts a third, of many nearly 1."""
_UPPER = np.triu_indices(DIMENSION)
_WEIGHT = np.where(_UPPER[0] == _UPPER[1], 1.0, math.sqrt(2))


def gradient_dimension(scores: int) -> int:
    """Numbers of a gradient row of so many scorecards."""
    return scores * DIMENSION + 1


def counts_dimension(scores: int) -> int:
    """Numbers of a row of evaluation counts."""
    return scores * 2 * BINS


def shorten(rows: Matrix, norm: float) -> tuple[Matrix, Vector]:
    """Scales rows longer than `norm` down to it.

    A modelling step within a row; the privacy bound is `privacy.clipping`'s, on the whole row.

    Returns:
        float64[n, d], and float64[n] of 1 where a row was shortened.
    """
    lengths = np.linalg.norm(rows, axis=1)
    factor = np.minimum(1.0, norm / np.maximum(lengths, 1e-300))
    return rows * factor[:, None], (lengths > norm).astype(np.float64)


def usual_rows(sums: CustomerSums) -> Matrix:
    """Rows of the sum that tells the usual event: [n, rates] / (2 + n) of a home customer.

    Returns:
        float64[n, USUAL_DIMENSION], none longer than USUAL_CLIP.
    """
    rows = np.hstack([sums.counts[:, None], sums.rates]) / (_PRIOR_EVENTS + sums.counts)[:, None]
    return shorten(rows, USUAL_CLIP)[0]


def read_usual(values: Vector, noise_sd: float, said: Vector | None = None) -> Vector:
    """Reads the usual event's rates, float64[r] within their bounds.

    A rate that noise covers is what was said of it before, and all are where noise covers the
    number of events: a rate of noise would be a second count of events, of either sign by chance.

    Args:
        values: float64[USUAL_DIMENSION], a release.
        noise_sd: Standard deviation of the noise in each.
        said: float64[r], what experts say; 0 where None, so that rates count as they are.
    """
    said = np.zeros(RATES) if said is None else said
    if values[0] <= 4 * noise_sd:
        return said
    rates = np.clip(values[1:] / values[0], 0.0, RATE_BOUNDS)
    return np.where(values[1:] > 2 * noise_sd, rates, said)


def short_vectors(x: Matrix) -> Matrix:
    """Vectors whose features are scaled down to ROW_CLIP, the intercept left at 1.

    Args:
        x: float64[n, DIMENSION].

    Returns:
        float64[n, DIMENSION], none longer than ROW_CLIP.
    """
    features, _ = shorten(x[:, 1:], math.sqrt(ROW_CLIP**2 - 1))
    return np.hstack([x[:, :1], features])


def moments_rows(x: Matrix) -> Matrix:
    """Rows of the moments sum, of short vectors.

    With the off-diagonals times sqrt 2, the norm of a row is |x|^2, at most ROW_CLIP^2.

    Args:
        x: float64[n, DIMENSION].

    Returns:
        float64[n, MOMENTS_DIMENSION].
    """
    short = short_vectors(x)
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
class Whitening:
    """A map to a space of centred features of about unit variance, from noisy second moments.

    Attributes:
        matrix: float64[DIMENSION, DIMENSION]; z = x @ matrix = [1, whitened features].
        variances: float64[DIMENSION - 1], what is left of unit variance in each whitened feature:
            less where there is less variance, or no more than noise.
        customers: About how many customers the moments stand for.
        second: float64[DIMENSION, DIMENSION], the noisy second moments of an average short vector.
    """

    matrix: Matrix
    variances: Vector
    customers: float
    second: Matrix

    @classmethod
    def of(cls, moments: Vector, noise_sd: float) -> Whitening:
        """Reads a moments release.

        Directions in which there is less than noise, or less than LEAST_SHARE of all variance, are
        not blown up. What is below noise has one common variance: single eigenvalues are noise
        there.

        Args:
            moments: float64[MOMENTS_DIMENSION].
            noise_sd: Standard deviation of the noise in each value.
        """
        second = np.zeros((DIMENSION, DIMENSION))
        second[_UPPER] = moments / _WEIGHT
        second = second + np.triu(second, 1).T
        customers = max(float(second[0, 0]), 4 * noise_sd, 1.0)
        second = second / customers
        features, error = DIMENSION - 1, noise_sd / customers
        mean = np.clip(second[0, 1:], -ROW_CLIP, ROW_CLIP)
        about = second[1:, 1:] - (1 - MEAN_SHARE) * np.outer(mean, mean)
        values, axes = np.linalg.eigh(about)
        total = float(np.trace(second[1:, 1:]) - mean @ mean)
        noise = NOISE_EDGE * math.sqrt(2 * features) * error
        least = max(noise, LEAST_SHARE * max(total, error * math.sqrt(features)), _NOTHING)
        floored = np.maximum(values, least)
        variances = (np.maximum(values, 0.0) - MEAN_SHARE * (mean @ axes) ** 2) / floored
        covered = values < noise
        if covered.any():
            common = max(float(values[covered].mean()), error / math.sqrt(features))
            variances[covered] = common / floored[covered]
        matrix = np.zeros((DIMENSION, DIMENSION))
        matrix[0, 0] = 1.0
        matrix[1:, 1:] = axes / np.sqrt(floored)
        matrix[0, 1:] = -mean @ matrix[1:, 1:]
        return cls(matrix, np.clip(variances, 0.0, 1.0), customers, second)

    @property
    def gradient_norm(self) -> float:
        """The clipping norm of one outcome's gradient: CLIP_SHARE of a usual whitened vector's."""
        return CLIP_SHARE * math.sqrt(1 + float(self.variances.sum()))

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
            raise CatalogueError(f"whitening: expected {DIMENSION} x {DIMENSION} numbers")
        matrix = np.frombuffer(data, dtype="<f8").reshape(DIMENSION, DIMENSION)
        if not (np.abs(matrix) <= LARGEST_ENTRY).all():
            raise CatalogueError(f"whitening: expected numbers within +-{LARGEST_ENTRY:g}")
        return matrix


def gradient_rows(
    sums: CustomerSums,
    y: Sequence[Vector],
    cards: Sequence[Scorecard],
    matrix: Matrix,
    norm: float,
) -> Matrix:
    """Rows of the sum of k logistic gradients, in whitened space.

    Args:
        sums: What the customers' events at home add up to.
        y: float64[n] of 0 and 1 a scorecard.
        cards: At which the gradients are taken.
        matrix: The whitening's.
        norm: The clipping norm of a row.

    Returns:
        float64[n, gradient_dimension(k)]: the gradients side by side, each scaled by the length of
        its whitened vector so that all of them and the flag together stay within the norm; and the
        flag, FLAG_SHARE of the norm where they were scaled down.
    """
    room = norm * math.sqrt((1 - FLAG_SHARE**2) / len(cards))
    gradients, scaled = [], np.zeros(len(sums), dtype=bool)
    for outcome, card in zip(y, cards, strict=True):
        x = short_vectors(card.vectors(sums))
        odds = np.clip(x @ np.asarray(card.weights), -30, 30)
        z, longer = shorten(x @ matrix, room)
        gradients.append(z * (1 / (1 + np.exp(-odds)) - outcome)[:, None])
        scaled |= longer > 0
    return np.hstack([*gradients, scaled[:, None] * (FLAG_SHARE * norm)])


def read_gradients(
    values: Vector, customers: float, scores: int, norm: float
) -> tuple[Matrix, float]:
    """Reads a gradient release.

    Returns:
        float64[scores, DIMENSION], the sums of gradients, and the share of rows that were scaled
        down.
    """
    share = float(values[-1]) / (FLAG_SHARE * norm * customers)
    return values[:-1].reshape(scores, DIMENSION), share


def counts_rows(sums: CustomerSums, y: Sequence[Vector], cards: Sequence[Scorecard]) -> Matrix:
    """Rows of the evaluation counts: one cell of (score bin, outcome) a customer and scorecard.

    Returns:
        float64[n, counts_dimension(k)], scorecards side by side; of each, outcome 0 first.
    """
    return np.hstack(
        [
            np.eye(2 * BINS)[
                np.searchsorted(BIN_EDGES, card.vectors(sums) @ np.asarray(card.weights))
                + BINS * (outcome > 0)
            ]
            for outcome, card in zip(y, cards, strict=True)
        ]
    )
