"""Calibration: what a score turned out to mean, by three numbers fitted to private counts alone.

Home outlets count their customers by (outcome, bin of the score); the noisy sum of those counts is
all that is read here. Bins begin FINE_CUTS whole points from a middle, a whole sum of parts near
the mean. So they are near even in c, the score's distance from that middle on a scale that is
straight near it and logarithmic far from it:

    sum of parts -> bin:  how many of FINE_CUTS are at or below sum - middle
    centre = base + middle,  score = base + sum
    c = asinh((score - centre) / POINTS_PER_LOGIT)
    log odds = centre / POINTS_PER_LOGIT + intercept + slope c + bend c^2

A bin begins at a whole sum, and what is between two sums is as the lower one's: a sum s stands for
[s, s + 1), and what it means itself is the probability HALF_POINT further on.

The training itself says intercept 0, slope 1 and bend 0 near the mean. That is the prior, so that
few customers or much noise leave a scorecard as it was trained, and many customers correct it.

Invariant: whatever noise made of the counts, the probability ascends with the score, and every
probability has a finite cut. Reading a release costs no privacy, so that everything here may be
done twice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from features.errors import CatalogueError
from features.scorecard import POINTS_PER_LOGIT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from features.events import Matrix, Vector
    from features.scorecard import Scorecard

Bins = npt.NDArray[np.uint8]

FINE_CUTS = (-12, -4, 0, 4, 12, 20, 44)
"""Where bins begin, in whole points from the middle: fixed, public, and few because every cell of a
count carries noise."""

FINE_STEP = 4
"""Middles, as FINE_CUTS, are multiples of so many points: whatever middles come over the years, no
bins tell a sum nearer than that."""

CALIBRATION_EDGES: Vector = np.arcsinh(np.array(FINE_CUTS) / POINTS_PER_LOGIT)
"""Edges of the bins in c."""
CALIBRATION_EDGES.flags.writeable = False

CALIBRATION_BINS = len(CALIBRATION_EDGES) + 1

CELLS_A_SCORE = 2 * CALIBRATION_BINS
"""Cells (outcome, bin) of one score, bins innermost; outcome 0 first."""

_WIDTHS = np.diff(CALIBRATION_EDGES)
CALIBRATION_ENDS: Vector = np.array(
    [CALIBRATION_EDGES[0] - _WIDTHS[0], *CALIBRATION_EDGES, CALIBRATION_EDGES[-1] + _WIDTHS[-1]]
)
"""Edges and both ends in c: the two open bins count as wide as their neighbours."""
CALIBRATION_ENDS.flags.writeable = False

CALIBRATION_MIDDLES: Vector = (CALIBRATION_ENDS[:-1] + CALIBRATION_ENDS[1:]) / 2
"""Middles of the bins in c."""
CALIBRATION_MIDDLES.flags.writeable = False

PRIOR_MEAN: Vector = np.array([0.0, 1.0, 0.0])
"""Intercept, slope and bend that the training itself promises."""
PRIOR_MEAN.flags.writeable = False

PRIOR_SD: Vector = np.array([0.7, 0.35, 0.15])
"""How far they are expected to be off; chosen on a simulated market (decision 17)."""
PRIOR_SD.flags.writeable = False

LEAST_SLOPE = 0.1
"""The least rise of log odds by c. The prior gives one slope in 200 a smaller one, and with it odds
differ by less than 40 % from the lowest edge to the highest: such a scorecard tells nothing.
Where the parabola would rise less, or turn, it goes on straight with this slope: what noise bends
down decides nothing, and a probability beyond the turn has a cut so far off that hardly anybody
reaches it."""

LEAST_SD = 0.5
"""Counts without noise are read as if with this: else an empty bin would be proof."""

HALF_TRUSTED = 3.0
"""A bin whose customers are so many standard deviations of the noise in their number counts half,
one of twice as many four fifths: else noise in empty bins would read as customers, and since little
can be less than rare, it would always name more people."""

LARGEST_CUT = 1000
"""In points, 100 in log odds: a cut there is beyond everybody's sum, and is held there."""

HALF_POINT = 0.5
"""From where a whole sum begins to its own middle. Without it bands would name 3 % too few."""

CUT_STEP = 2
"""Cuts of bands are multiples of so many points,"""
LEAST_GAP = 4
"""and so many points apart at least."""

_BOUNDS = ((-10.0, 10.0), (LEAST_SLOPE, 4.0), (-1.0, 1.0))
"""Far beyond what the prior believes: they keep the search off overflow."""
_STRAIGHT = 1e-9
"""A bend smaller than this is none."""
_MOST_COUNT = 1e12
"""Counts beyond are read as this: the search squares them."""
_FAR = 700.0
"""In c, further than any score: asinh of the largest float is 710."""


def calibration_dimension(scores: int) -> int:
    """The length of a joint calibration row for so many scores."""
    return CELLS_A_SCORE * scores


def calibration_norm(scores: int) -> float:
    """The norm of a joint calibration row for so many scores: one cell each."""
    return math.sqrt(scores)


def compressed(scores: Vector, centre: float) -> Vector:
    """The scale c of the bins, float64[n], ascending with the score and finite.

    Args:
        scores: float64[n], in points. A score that is not a number counts as the lowest.
        centre: The score in the middle of the bins, in points.
    """
    c = np.arcsinh((scores - centre) / POINTS_PER_LOGIT)
    return np.clip(np.where(np.isnan(c), -np.inf, c), -_FAR, _FAR)


def middle(card: Scorecard, second: Matrix) -> int:
    """The middle of a score's bins, a whole sum of parts: about the mean of customers at home.

    Args:
        card: The scorecard.
        second: float64[DIMENSION, DIMENSION], noisy second moments of a home customer's short
            vector; the first row is their mean vector.

    Returns:
        A multiple of FINE_STEP within +-LARGEST_CUT.
    """
    mean = float(second[0, 1:] @ np.asarray(card.weights[1:])) * POINTS_PER_LOGIT
    return FINE_STEP * round(min(max(mean, -LARGEST_CUT), LARGEST_CUT) / FINE_STEP)


def fine_bins(sums: npt.NDArray[np.int64], middle: int) -> Bins:
    """The bin of each sum of parts, as a fine seal makes it: uint8[n], below CALIBRATION_BINS.

    Args:
        sums: int64[n].
        middle: Of the score's bins.
    """
    return np.searchsorted(FINE_CUTS, sums - middle, side="right").astype(np.uint8)


def calibration_rows(bins: Bins, y: Matrix) -> Matrix:
    """Rows of the joint calibration counts: one cell (outcome, bin) a score, at home.

    Norm sqrt(k), for k scores. A bin that is none, from an entry read with a wrong key, makes zeros
    for its score: an outlet never refuses because of a value.

    Args:
        bins: uint8[n, k].
        y: float64[n, k] of 0 and 1, the outcome of each score.

    Returns:
        float64[n, calibration_dimension(k)]; a score's cells together, outcome 0 first.
    """
    customers, scores = bins.shape
    rows = np.zeros((customers, scores, 2, CALIBRATION_BINS))
    whose, score = np.nonzero(bins < CALIBRATION_BINS)
    came_true = (y[whose, score] > 0).astype(np.int64)
    rows[whose, score, came_true, bins[whose, score]] = 1.0
    return rows.reshape(customers, calibration_dimension(scores))


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """Noisy counts of customers by one score.

    Attributes:
        values: float64[CELLS_A_SCORE], by (outcome, bin), outcome 0 first.
        noise_sd: Standard deviation of the noise in each.
        centre: The score in the middle of the bins, in points: base and middle.
    """

    values: Vector = field(repr=False)
    noise_sd: float
    centre: float

    @classmethod
    def of(cls, values: Vector, noise_sd: float, place: int, centre: float) -> Self:
        """Reads one score's counts from a joint calibration release.

        Args:
            values: float64[calibration_dimension(k)], of k scores.
            noise_sd: Standard deviation of the noise in each value.
            place: Which score, counted from 0.
            centre: The score in the middle of its bins, in points: base and middle.

        Raises:
            CatalogueError: If the values are of another layout or not finite.
        """
        scores, rest = divmod(values.size, CELLS_A_SCORE)
        if values.ndim != 1 or rest or not scores or not np.isfinite(values).all():
            raise CatalogueError(
                f"calibration: got shape {values.shape}, "
                f"expected {CELLS_A_SCORE} finite numbers a score"
            )
        if not 0 <= place < scores:
            raise CatalogueError(f"calibration: got score {place}, expected one of {scores}")
        if not (0 <= noise_sd < math.inf and math.isfinite(centre)):
            raise CatalogueError(
                f"calibration: got noise {noise_sd} around {centre}, expected noise of 0 or more "
                "and a finite centre"
            )
        return cls(values.reshape(scores, -1)[place], noise_sd, centre)

    @property
    def customers(self) -> float:
        """The noisy number of customers counted."""
        return float(self.values.sum())

    @property
    def outcomes(self) -> Matrix:
        """float64[2, CALIBRATION_BINS], a row for customers without and one for those with it."""
        return self.values.reshape(2, CALIBRATION_BINS)


@dataclass(frozen=True, slots=True)
class Calibration:
    """What scores stand for.

    Attributes:
        centre: The score in the middle of the bins, in points.
        intercept: By how much log odds at the middle differ from the training's own.
        slope: Rise of log odds by c at the middle, LEAST_SLOPE or more.
        bend: Of log odds, by c squared.
    """

    centre: float
    intercept: float
    slope: float
    bend: float

    @classmethod
    def of(cls, counts: Counts) -> Self:
        """Finds out what scores stand for: the three numbers by penalised weighted least squares.

        A bin's residual is weighted by the release's noise and by sampling; what noise covers says
        next to nothing, and the prior decides. The search is deterministic, begins at the prior,
        and ends there where it finds nothing better.

        Args:
            counts: Of one score.
        """
        # Loaded here: every program would pay for it otherwise.
        from scipy.optimize import minimize

        start = _loss(PRIOR_MEAN, counts)[0]
        found = minimize(
            _loss, PRIOR_MEAN, args=(counts,), jac=True, method="L-BFGS-B", bounds=_BOUNDS
        )
        better = np.isfinite(found.x).all() and found.fun <= start
        return cls(counts.centre, *(found.x if better else PRIOR_MEAN).tolist())

    def log_odds(self, c: Vector) -> Vector:
        """Calibrated log odds on the bins' scale, float64[n].

        Args:
            c: float64[n], finite; of `compressed`.
        """
        near = _near(c, self.slope, self.bend)
        bent = self.slope * near + self.bend * near**2 + LEAST_SLOPE * (c - near)
        return self.centre / POINTS_PER_LOGIT + self.intercept + bent

    def probability(self, scores: Vector) -> Vector:
        """The calibrated probability of each score, float64[n], ascending with it.

        Args:
            scores: float64[n], in points.
        """
        return np.asarray(expit(self.log_odds(compressed(scores, self.centre))))

    def cut(self, probability: float) -> float:
        """The score that stands for a probability, in points, within +-LARGEST_CUT.

        Args:
            probability: Between 0 and 1, both excluded.

        Raises:
            CatalogueError: If the probability is outside its domain.
        """
        if not 0 < probability < 1:
            raise CatalogueError(f"cut: got probability {probability}, expected between 0 and 1")
        wanted = math.log(probability / (1 - probability))
        c = self._where(wanted - self.centre / POINTS_PER_LOGIT - self.intercept)
        reach = math.asinh(2 * (LARGEST_CUT + abs(self.centre)) / POINTS_PER_LOGIT)
        points = self.centre + POINTS_PER_LOGIT * math.sinh(min(max(c, -reach), reach))
        return min(max(points, -float(LARGEST_CUT)), float(LARGEST_CUT))

    def cuts(self, thresholds: Sequence[float], base: float) -> tuple[int, ...]:
        """Where bands begin, in sums of parts: multiples of CUT_STEP, LEAST_GAP or more apart.

        Where two thresholds' cuts are nearer, the upper moves up; all stay within +-LARGEST_CUT.

        Args:
            thresholds: Probabilities between 0 and 1, ascending.
            base: What everybody has, in points: a score less its sum of parts.

        Raises:
            CatalogueError: If thresholds are anything else.
        """
        if not all(low < high for low, high in pairwise(thresholds)):
            raise CatalogueError(f"cuts: got thresholds {tuple(thresholds)}, expected ascending")
        found: list[int] = []
        least, most = -LARGEST_CUT, LARGEST_CUT - LEAST_GAP * (len(thresholds) - 1)
        for threshold in thresholds:
            cut = CUT_STEP * round((self.cut(threshold) - base - HALF_POINT) / CUT_STEP)
            found.append(min(max(cut, least), most))
            least, most = found[-1] + LEAST_GAP, most + LEAST_GAP
        return tuple(found)

    def _where(self, rise: float) -> float:
        """Where log odds have risen by so much from those at the centre, in c."""
        turn = _turn(self.slope, self.bend)
        if math.isfinite(turn):
            there = self.slope * turn + self.bend * turn**2
            if (rise > there) if self.bend < 0 else (rise < there):
                return turn + (rise - there) / LEAST_SLOPE
        root = math.sqrt(max(self.slope**2 + 4 * self.bend * rise, 0.0))
        return 2 * rise / (self.slope + root)


def _turn(slope: float, bend: float) -> float:
    """Where the parabola rises by LEAST_SLOPE only, in c; infinite where it is straight."""
    if abs(bend) < _STRAIGHT:
        return math.copysign(math.inf, -bend)
    return (LEAST_SLOPE - slope) / (2 * bend)


def _near(c: Vector, slope: float, bend: float) -> Vector:
    """The part of c that is on the parabola: up to its turn where it bends down, else from it."""
    turn = _turn(slope, bend)
    return np.minimum(c, turn) if turn > 0 or bend < 0 else np.maximum(c, turn)


def _loss(parameters: Vector, counts: Counts) -> tuple[float, Vector]:
    """Twice the penalised negative log likelihood, and its gradient, float64[3].

    Of what k customers with and m without the outcome say of its probability q, whatever their
    number: r = (1 - q) k - q m, over the root of (1 - q)^2 + q^2, which r owes to noise.
    """
    curve = Calibration(counts.centre, *parameters.tolist())
    near = _near(CALIBRATION_MIDDLES, curve.slope, curve.bend)
    q = expit(curve.log_odds(CALIBRATION_MIDDLES))
    without, having = np.clip(counts.outcomes, -_MOST_COUNT, _MOST_COUNT)
    customers, noise = np.maximum(without + having, 0.0), max(counts.noise_sd, LEAST_SD) ** 2
    trust = customers**2 / (customers**2 + 2 * HALF_TRUSTED**2 * noise)
    residual, spread = (1 - q) * having - q * without, (1 - q) ** 2 + q**2
    variance = noise * spread + customers * q * (1 - q)
    surprise = residual / variance
    off = (parameters - PRIOR_MEAN) / PRIOR_SD
    loss = float(trust @ (residual * surprise + np.log(variance / spread)) + off @ off)
    by_variance = (1 / variance - surprise**2) * (2 * noise * (2 * q - 1) + customers * (1 - 2 * q))
    by_q = by_variance - 2 * surprise * (having + without) - 2 * (2 * q - 1) / spread
    # Where the parabola ends its slope is LEAST_SLOPE, so that the end's own move adds nothing.
    gradient = np.array([np.ones_like(near), near, near**2]) @ (trust * q * (1 - q) * by_q)
    return loss, gradient + 2 * off / PRIOR_SD
