"""Calibration: what a score turned out to mean, from private counts alone.

Home outlets count their customers by (fine score bin, outcome); the noisy sum of those counts is
all that is read here. It gives a calibrated probability a bin, cuts in points, an AUC and a
reliability table. Reading a release costs no privacy, so that everything here may be done twice.

Where noise covers the counts, the answer is the cautious one: no bin reaches any probability, and
no customer gets a band above the lowest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from features.errors import CatalogueError
from features.scorecard import POINTS_PER_LOGIT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from features.events import Matrix, Vector

Bins = npt.NDArray[np.uint8]

_UPPER_LOGITS = (0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0)

FINE_EDGES: Vector = POINTS_PER_LOGIT * np.array(
    [*(-logit for logit in reversed(_UPPER_LOGITS)), 0.0, *_UPPER_LOGITS]
)
"""Fixed, public edges of the fine bins, in points: -6 to 6 in log odds, denser in the middle."""
FINE_EDGES.flags.writeable = False

FINE_BINS = len(FINE_EDGES) + 1
CALIBRATION_DIMENSION = 2 * FINE_BINS

LEAST_CUSTOMERS = 20.0
"""Bins are read together until they hold so many customers,"""
LEAST_SIGNAL = 5.0
"""and so many standard deviations of the noise in their number."""

_OUTER = np.diff(FINE_EDGES)[[0, -1]] * (-1, 1)
_ENDS = np.concatenate([FINE_EDGES[:1] + _OUTER[:1], FINE_EDGES, FINE_EDGES[-1:] + _OUTER[1:]])
FINE_CENTRES: Vector = (_ENDS[:-1] + _ENDS[1:]) / 2
"""Middles of the bins, in points; the two open ones count as wide as their neighbours."""
FINE_CENTRES.flags.writeable = False


class Estimate(NamedTuple):
    """A number read from a release.

    Attributes:
        value: The number.
        noise_sd: Standard deviation that the release's noise gives it; sampling is not in it.
    """

    value: float
    noise_sd: float


class ReliabilityRow(NamedTuple):
    """How true one band was.

    Attributes:
        band: Index in the scheme's bands, "new" left out: 1 is below all cuts.
        customers: Noisy number of customers.
        predicted: Mean calibrated probability; None where noise covers the customers.
        observed: Share in which the outcome came true, within [0, 1]; None likewise.
        noise_sd: Standard deviation that the release's noise gives `observed`; None likewise.
    """

    band: int
    customers: float
    predicted: float | None
    observed: float | None
    noise_sd: float | None


def fine_bins(scores: Vector) -> Bins:
    """The bin of each score: a fine book's entries, at HQ.

    Args:
        scores: float64[n], in points.

    Returns:
        uint8[n], 0 to FINE_BINS - 1. An edge belongs to the bin above it; a score that is not a
        number counts as the lowest.
    """
    ordered = np.where(np.isnan(scores), -np.inf, scores)
    return np.searchsorted(FINE_EDGES, ordered, side="right").astype(np.uint8)


def calibration_rows(bins: Bins, y: Vector) -> Matrix:
    """Rows of the calibration counts: one cell of (bin, outcome) a customer, at the home outlet.

    Norm 1. A bin that is none, from an entry read with a wrong key, makes a row of zeros: an
    outlet never refuses because of a value.

    Args:
        bins: uint8[n].
        y: float64[n] of 0 and 1.

    Returns:
        float64[n, CALIBRATION_DIMENSION]; cells of outcome 0 first.
    """
    rows = np.zeros((len(bins), CALIBRATION_DIMENSION))
    valid = bins < FINE_BINS
    cells = bins.astype(np.int64) + FINE_BINS * (y > 0)
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


def auc_of_cells(values: Vector, noise_sd: float) -> Estimate | None:
    """The AUC that binned counts stand for, ties counted half.

    Negative counts are not raised to 0: as they are, they keep the number of ordered pairs free of
    bias, since noise in one cell is independent of noise in another.

    Args:
        values: float64[2 b], cells of outcome 0 first, bins in ascending order.
        noise_sd: Standard deviation of the noise in each value.

    Returns:
        The AUC within [0, 1]. Its noise by the delta method, to second order in the number of
        pairs. None where either outcome has no more customers than noise would make.
    """
    without, having = values.reshape(2, -1)
    bins, zeros, ones = len(without), float(without.sum()), float(having.sum())
    if min(zeros, ones) <= LEAST_SIGNAL * noise_sd * math.sqrt(bins):
        return None
    below = np.cumsum(without) - without / 2
    above = ones - np.cumsum(having) + having / 2
    auc = float(having @ below) / (zeros * ones)
    slopes = np.concatenate([above - auc * ones, below - auc * zeros])
    # Noise times noise: weight 1 for every bin below another, 1/2 within one bin.
    products = noise_sd**2 * math.sqrt(bins * (bins - 1) / 2 + bins / 4)
    noise = math.hypot(noise_sd * float(np.linalg.norm(slopes)), products) / (zeros * ones)
    return Estimate(min(max(auc, 0.0), 1.0), noise)


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """What scores in each fine bin stand for.

    Attributes:
        values: float64[CALIBRATION_DIMENSION], the noisy counts it is made of.
        noise_sd: Standard deviation of the noise in each.
        probabilities: float64[FINE_BINS], ascending within [0, 1]; all 0 where noise covers the
            counts.
    """

    values: Vector = field(repr=False)
    noise_sd: float
    probabilities: Vector

    @classmethod
    def of(cls, values: Vector, noise_sd: float) -> Self:
        """Reads a calibration release.

        Neighbouring bins are pooled until they hold LEAST_CUSTOMERS, and LEAST_SIGNAL times the
        noise in their number. The pools' shares, weighted by their customers, are made ascending;
        between the pools' mean scores bins are interpolated, beyond them they continue flat. So an
        empty bin, whose share is noise over noise, decides nothing.

        Args:
            values: float64[CALIBRATION_DIMENSION].
            noise_sd: Standard deviation of the noise in each value.

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
        without, having = values.reshape(2, FINE_BINS)
        totals = without + having
        *starts, stop = _pools(totals, noise_sd)
        if not starts:
            return cls(values, noise_sd, np.zeros(FINE_BINS))
        customers = np.add.reduceat(totals[:stop], starts)
        shares = np.clip(np.add.reduceat(having[:stop], starts) / customers, 0.0, 1.0)
        middles = np.add.reduceat((totals * FINE_CENTRES)[:stop], starts) / customers
        lasts = np.array([*starts[1:], stop]) - 1
        middles = np.clip(middles, FINE_CENTRES[starts], FINE_CENTRES[lasts])
        smooth = np.interp(FINE_CENTRES, middles, isotonic(shares, customers))
        return cls(values, noise_sd, np.clip(np.maximum.accumulate(smooth), 0.0, 1.0))

    @property
    def customers(self) -> float:
        """The noisy number of customers counted."""
        return float(self.values.sum())

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

    def auc(self) -> Estimate | None:
        """How well scores order the outcomes; see `auc_of_cells`."""
        return auc_of_cells(self.values, self.noise_sd)

    def reliability(
        self, cuts: Sequence[float], judged_on: Calibration | None = None
    ) -> list[ReliabilityRow]:
        """What each band promised and what came true, without hysteresis and without "new".

        A bin counts for the band that its middle is in. Judged on the counts it was made of, a
        calibration looks better than it is: judge last month's on this month's counts.

        Args:
            cuts: Ascending, in points.
            judged_on: Whose counts to take; its own if None.

        Returns:
            One row a band, lowest first.
        """
        counted = self if judged_on is None else judged_on
        band_of_bin = np.searchsorted(np.asarray(cuts), FINE_CENTRES, side="right")
        return [
            _reliability_row(band, band_of_bin == band, self.probabilities, counted)
            for band in range(len(cuts) + 1)
        ]


def _least(bins: int, noise_sd: float) -> float:
    """From how many customers on `bins` bins together say something."""
    return max(LEAST_CUSTOMERS, LEAST_SIGNAL * noise_sd * math.sqrt(2 * bins))


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


def _reliability_row(
    band: int, bins: npt.NDArray[np.bool_], probabilities: Vector, counted: Calibration
) -> ReliabilityRow:
    without, having = counted.values.reshape(2, FINE_BINS)[:, bins]
    customers = float((without + having).sum())
    width = int(bins.sum())
    if not width or customers < _least(width, counted.noise_sd):
        return ReliabilityRow(band + 1, customers, None, None, None)
    within = probabilities[bins]
    predicted = float(np.clip((without + having) @ within / customers, within[0], within[-1]))
    observed = min(max(float(having.sum()) / customers, 0.0), 1.0)
    spread = math.sqrt(width) * math.hypot(observed, 1 - observed)
    return ReliabilityRow(
        band + 1, customers, predicted, observed, counted.noise_sd * spread / customers
    )
