"""Calibration: what a score turned out to mean, from private counts alone.

Home outlets count their customers by (newcomer or regular, outcome, fine score bin); the noisy sum
of those counts is all that is read here. Both groups together give a calibrated probability a bin
and cuts in points; `features.accuracy` tells how right those are, for each group too. Reading a
release costs no privacy, so that everything here may be done twice.

Where noise covers the counts, the answer is the cautious one: no bin reaches any probability, and
no customer gets a band above the lowest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from features.errors import CatalogueError
from features.events import COUNT_SCALE
from features.scorecard import POINTS_PER_LOGIT

if TYPE_CHECKING:
    from features.events import Matrix, Vector

Bins = npt.NDArray[np.uint8]

_UPPER_LOGITS = (0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0)

FINE_EDGES: Vector = POINTS_PER_LOGIT * np.array(
    [*(-logit for logit in reversed(_UPPER_LOGITS)), 0.0, *_UPPER_LOGITS]
)
"""Fixed, public edges of the fine bins, in points: -6 to 6 in log odds, denser in the middle."""
FINE_EDGES.flags.writeable = False

FINE_BINS = len(FINE_EDGES) + 1

NEWCOMER_EVENTS = 3
"""Who has fewer events than this at the home outlet, as of the cut-off, is a newcomer."""

CALIBRATION_DIMENSION = 2 * 2 * FINE_BINS
"""Cells (group, outcome, fine bin), bins innermost; newcomers and outcome 0 first."""

LEAST_CUSTOMERS = 20.0
"""Bins are read together until they hold so many customers,"""
LEAST_SIGNAL = 5.0
"""and so many standard deviations of the noise in their number."""

_OUTER = np.diff(FINE_EDGES)[[0, -1]] * (-1, 1)
_ENDS = np.concatenate([FINE_EDGES[:1] + _OUTER[:1], FINE_EDGES, FINE_EDGES[-1:] + _OUTER[1:]])
FINE_CENTRES: Vector = (_ENDS[:-1] + _ENDS[1:]) / 2
"""Middles of the bins, in points; the two open ones count as wide as their neighbours."""
FINE_CENTRES.flags.writeable = False


class Group(StrEnum):
    """Whom a figure is about."""

    EVERYBODY = "everybody"
    NEWCOMERS = "newcomers"
    REGULARS = "regulars"


def fine_bins(scores: Vector) -> Bins:
    """The bin of each score: a fine book's entries, at HQ.

    Args:
        scores: float64[n], of `PointsCode.scores_alone`.

    Returns:
        uint8[n], 0 to FINE_BINS - 1. An edge belongs to the bin above it; a score that is not a
        number counts as the lowest.
    """
    ordered = np.where(np.isnan(scores), -np.inf, scores)
    return np.searchsorted(FINE_EDGES, ordered, side="right").astype(np.uint8)


def is_regular(x: Matrix) -> npt.NDArray[np.bool_]:
    """Who is no newcomer, bool[n], from vectors that a home outlet made of its own events alone.

    Args:
        x: float64[n, DIMENSION], as `customer_features` makes them: the events' log stands last.
    """
    return np.asarray(np.rint(np.expm1(x[:, -1] / COUNT_SCALE)) >= NEWCOMER_EVENTS)


def calibration_rows(bins: Bins, y: Vector, regular: npt.NDArray[np.bool_]) -> Matrix:
    """Rows of the calibration counts: one cell of (group, outcome, bin) a customer, at home.

    Norm 1. A bin that is none, from an entry read with a wrong key, makes a row of zeros: an
    outlet never refuses because of a value.

    Args:
        bins: uint8[n].
        y: float64[n] of 0 and 1.
        regular: bool[n], from `is_regular`.

    Returns:
        float64[n, CALIBRATION_DIMENSION].
    """
    rows = np.zeros((len(bins), CALIBRATION_DIMENSION))
    valid = bins < FINE_BINS
    cells = bins.astype(np.int64) + FINE_BINS * ((y > 0) + 2 * regular.astype(np.int64))
    rows[np.flatnonzero(valid), cells[valid]] = 1.0
    return rows


def isotonic(values: Vector, weights: Vector) -> Vector:
    """The closest ascending values in weighted squares, by pooling adjacent violators.

    Args:
        values: float64[n].
        weights: float64[n], above 0.

    Returns:
        float64[n], ascending.
    """
    pools: list[tuple[float, float, int]] = []
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        pool = (value, weight, 1)
        while pools and pools[-1][0] >= pool[0]:
            before, heavy, members = pools.pop()
            total = heavy + pool[1]
            mean = (before * heavy + pool[0] * pool[1]) / total
            pool = (mean, total, members + pool[2])
        pools.append(pool)
    return np.repeat([mean for mean, _, _ in pools], [members for _, _, members in pools])


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """Noisy counts of a group's customers.

    Attributes:
        values: float64[2 FINE_BINS], by (outcome, fine bin), outcome 0 first.
        noise_sd: Standard deviation of the noise in each.
    """

    values: Vector = field(repr=False)
    noise_sd: float

    @classmethod
    def of(cls, values: Vector, noise_sd: float, group: Group = Group.EVERYBODY) -> Self:
        """Reads a calibration release; everybody is both groups, with the noise of both.

        Args:
            values: float64[CALIBRATION_DIMENSION].
            noise_sd: Standard deviation of the noise in each value.
            group: Whose counts.

        Raises:
            CatalogueError: If the values are of another layout or not finite.
        """
        if values.shape != (CALIBRATION_DIMENSION,) or not np.isfinite(values).all():
            raise CatalogueError(
                f"calibration: got shape {values.shape}, "
                f"expected {CALIBRATION_DIMENSION} finite numbers"
            )
        if not 0 <= noise_sd < math.inf:
            raise CatalogueError(f"calibration: got noise {noise_sd}, expected 0 or more")
        newcomers, regulars = values.reshape(2, -1)
        if group is Group.EVERYBODY:
            return cls(newcomers + regulars, math.sqrt(2) * noise_sd)
        return cls(newcomers if group is Group.NEWCOMERS else regulars, noise_sd)

    @property
    def customers(self) -> float:
        """The noisy number of customers counted."""
        return float(self.values.sum())

    @property
    def outcomes(self) -> Matrix:
        """float64[2, FINE_BINS], a row for customers without and one for those with the outcome."""
        return self.values.reshape(2, FINE_BINS)

    def pool_edges(self) -> tuple[float, ...]:
        """Points at which the smallest ranges meet whose customers noise does not cover."""
        starts = _pools(self.outcomes.sum(axis=0), self.noise_sd)[1:-1]
        return tuple(float(FINE_EDGES[start - 1]) for start in starts)


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """What scores in each fine bin stand for.

    Attributes:
        counts: Everybody's, of which it is made.
        probabilities: float64[FINE_BINS], ascending within [0, 1]; all 0 where noise covers the
            counts.
    """

    counts: Counts
    probabilities: Vector

    @classmethod
    def of(cls, counts: Counts) -> Self:
        """Finds out what scores stand for.

        Neighbouring bins are pooled until they hold LEAST_CUSTOMERS, and LEAST_SIGNAL times the
        noise in their number. The pools' shares, weighted by their customers, are made ascending;
        between the pools' mean scores bins are interpolated, beyond them they continue flat. So an
        empty bin, whose share is noise over noise, decides nothing.

        Args:
            counts: Everybody's.
        """
        without, having = counts.outcomes
        totals = without + having
        *starts, stop = _pools(totals, counts.noise_sd)
        if not starts:
            return cls(counts, np.zeros(FINE_BINS))
        customers = np.add.reduceat(totals[:stop], starts)
        shares = np.clip(np.add.reduceat(having[:stop], starts) / customers, 0.0, 1.0)
        middles = np.add.reduceat((totals * FINE_CENTRES)[:stop], starts) / customers
        lasts = np.array([*starts[1:], stop]) - 1
        middles = np.clip(middles, FINE_CENTRES[starts], FINE_CENTRES[lasts])
        smooth = np.interp(FINE_CENTRES, middles, isotonic(shares, customers))
        return cls(counts, np.clip(np.maximum.accumulate(smooth), 0.0, 1.0))

    @property
    def usable(self) -> bool:
        """Whether any score reaches any probability; False where noise covers the counts."""
        return bool(self.probabilities[-1] > 0)

    def cut(self, probability: float) -> float:
        """The least score that stands for a probability.

        Args:
            probability: Above 0, up to 1.

        Returns:
            Points, interpolated between the middles of bins. Infinity when no bin reaches the
            probability: nobody does. Minus infinity when every bin does.

        Raises:
            CatalogueError: If the probability is outside its domain.
        """
        if not 0 < probability <= 1:
            raise CatalogueError(
                f"cut: got probability {probability}, expected above 0 and at most 1"
            )
        reached = int(np.searchsorted(self.probabilities, probability))
        if reached == FINE_BINS:
            return math.inf
        if reached == 0:
            return -math.inf
        low, high = self.probabilities[reached - 1 : reached + 1]
        left, right = FINE_CENTRES[reached - 1 : reached + 1]
        return float(left + (right - left) * (probability - low) / (high - low))


def least_customers(cells: int, noise_sd: float) -> float:
    """From how many customers on `cells` cells together say something."""
    return max(LEAST_CUSTOMERS, LEAST_SIGNAL * noise_sd * math.sqrt(cells))


def _least(bins: int, noise_sd: float) -> float:
    return least_customers(2 * bins, noise_sd)


def _pools(totals: Vector, noise_sd: float) -> list[int]:
    """Where pools begin, lowest first, and where the last ends; only 0 where noise covers all."""
    edges, held = [0], 0.0
    for place, total in enumerate(totals.tolist(), start=1):
        held += total
        if held >= _least(place - edges[-1], noise_sd):
            edges.append(place)
            held = 0.0
    # The few left over at the top join the last pool, unless noise in empty bins would cover it.
    last = edges[-2:][0]
    if len(edges) > 1 and totals[last:].sum() >= _least(FINE_BINS - last, noise_sd):
        edges[-1] = FINE_BINS
    return edges
