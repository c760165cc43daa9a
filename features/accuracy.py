"""Accuracy: how right bands were, and whom they judged wrongly, from private counts alone.

A cut falls inside a bin, and divides it as if c were spread like a standard normal variable around
0 for customers without the outcome and around 1 for those with it, which is what slope 1 says of a
rare one. On simulated markets numbers and shares in a band are then right on average, and mostly
within a tenth; spread evenly, up to a quarter too many would be named wrongly.

Every figure comes with the standard deviation that the release's noise gives it, by the delta
method; that of sampling is not in it. Where noise covers the customers whom a figure is about,
there is no figure. Bands are those of scores and cuts: who would read "new" counts where the score
is.

Judged on the counts that its cuts were made of, a scorecard looks better than it is.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from scipy.special import expit, ndtr

from features.calibration import (
    CALIBRATION_BINS,
    CALIBRATION_EDGES,
    CALIBRATION_ENDS,
    Calibration,
    Counts,
    compressed,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from features.events import Vector

LEAST_CUSTOMERS = 20.0
"""A figure is about so many customers at least,"""
LEAST_SIGNAL = 5.0
"""and so many standard deviations of the noise in their number."""

_LOWS, _HIGHS = np.array([-np.inf, *CALIBRATION_EDGES]), np.array([*CALIBRATION_EDGES, np.inf])
_MIDDLES = (0.0, 1.0)
"""Of c without the outcome and with it; measured .1 and 1.2, with standard deviations .6 to 1.2."""
_HAVING: Vector = np.repeat([0.0, 1.0], CALIBRATION_BINS)
"""Cells of customers with the outcome."""


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


class Accuracy(NamedTuple):
    """How right the highest band was.

    Attributes:
        customers: Noisy number of customers in the band.
        precision: Of those in the band, the share for whom the outcome came true.
        recall: Of those for whom it came true, the share in the band.
        false_alarms: Of those for whom it did not, the share in the band: where the band is a
            risk's, the share of customers who are suspected wrongly.
    """

    customers: float
    precision: Estimate | None
    recall: Estimate | None
    false_alarms: Estimate | None

    def as_json(self) -> dict[str, object]:
        """Plain values, for `json.dumps`."""
        named = {name: None if found is None else found._asdict() for name, found in self.shares()}
        return {"customers": self.customers, **named}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Self:
        """Reads what `as_json` gave."""
        shares = (raw[name] for name in cls._fields[1:])
        return cls(raw["customers"], *(None if one is None else Estimate(**one) for one in shares))

    def shares(self) -> list[tuple[str, Estimate | None]]:
        """The three figures by name."""
        found = (self.precision, self.recall, self.false_alarms)
        return list(zip(self._fields[1:], found, strict=True))


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


def reliability(
    calibration: Calibration, cuts: Sequence[float], judged_on: Counts
) -> list[ReliabilityRow]:
    """What each band promised and what came true.

    Args:
        calibration: What was promised.
        cuts: Ascending, in points.
        judged_on: The counts to take, such as a later night's.

    Returns:
        One row a band, lowest first.
    """
    ends = [-math.inf, *cuts, math.inf]
    return [
        _reliability_row(band, low, high, calibration, judged_on)
        for band, (low, high) in enumerate(pairwise(ends), 1)
    ]


def accuracy(counts: Counts, cut: float) -> Accuracy:
    """How right the band above a cut was.

    Args:
        counts: Of one score.
        cut: Where the band begins, in points.
    """
    inside = _above(cut, counts.centre)
    return Accuracy(
        float(counts.values @ inside),
        precision=_share(counts, inside * _HAVING, inside),
        recall=_share(counts, inside * _HAVING, _HAVING),
        false_alarms=_share(counts, inside * (1 - _HAVING), 1 - _HAVING),
    )


def _above(cut: float, centre: float) -> Vector:
    """The share of each cell that is not below a cut, float64[CELLS_A_SCORE]."""
    c = np.clip(compressed(np.array([cut]), centre), _LOWS, _HIGHS)
    shares = [
        (ndtr(_HIGHS - middle) - ndtr(c - middle)) / (ndtr(_HIGHS - middle) - ndtr(_LOWS - middle))
        for middle in _MIDDLES
    ]
    return np.concatenate(shares)


def _share(counts: Counts, part: Vector, whole: Vector) -> Estimate | None:
    """The share of a part in a whole, both weights of cells; None where noise covers the whole."""
    customers = float(counts.values @ whole)
    noise = counts.noise_sd * float(np.linalg.norm(whole))
    if customers < max(LEAST_CUSTOMERS, LEAST_SIGNAL * noise):
        return None
    share = min(max(float(counts.values @ part) / customers, 0.0), 1.0)
    spread = float(np.linalg.norm(part - share * whole))
    return Estimate(share, counts.noise_sd * spread / customers)


def _reliability_row(
    band: int, low: float, high: float, calibration: Calibration, counted: Counts
) -> ReliabilityRow:
    inside = _above(low, counted.centre) - _above(high, counted.centre)
    customers = float(counted.values @ inside)
    found = _share(counted, inside * _HAVING, inside)
    if found is None:
        return ReliabilityRow(band, customers, None, None, None)
    ends = compressed(np.array([low, high]), counted.centre)
    parts = np.clip([CALIBRATION_ENDS[:-1], CALIBRATION_ENDS[1:]], *ends)  # of bins, in the band
    promised = expit(calibration.log_odds(parts.mean(axis=0)))
    held = (counted.values * inside).reshape(2, CALIBRATION_BINS).sum(axis=0)
    among = promised[inside[:CALIBRATION_BINS] > 0]
    predicted = float(np.clip(held @ promised / customers, among[0], among[-1]))
    return ReliabilityRow(band, customers, predicted, found.value, found.noise_sd)
