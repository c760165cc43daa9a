"""Accuracy: how right bands were, and whom they judged wrongly, from private counts alone.

Every figure comes with the standard deviation that the release's noise gives it, by the delta
method; that of sampling is not in it. Where noise covers the customers whom a figure is about,
there is no figure. Bands are those of scores and cuts: without hysteresis, and who would read "new"
counts where the score is.

Judged on the counts that its cuts were made of, a scorecard looks better than it is.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from features.calibration import (
    FINE_CENTRES,
    LEAST_SIGNAL,
    Calibration,
    Counts,
    least_customers,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from features.events import Vector


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

    A bin counts for the band that its middle is in.

    Args:
        calibration: What was promised.
        cuts: Ascending, in points.
        judged_on: The counts to take, such as one group's, or a later night's.

    Returns:
        One row a band, lowest first.
    """
    band_of_bin = np.searchsorted(np.asarray(cuts), FINE_CENTRES, side="right")
    return [
        _reliability_row(band, band_of_bin == band, calibration.probabilities, judged_on)
        for band in range(len(cuts) + 1)
    ]


def accuracy(counts: Counts, cut: float) -> Accuracy:
    """How right the band above a cut was.

    A bin is in the band when its middle is not below the cut.

    Args:
        counts: A group's.
        cut: Where the band begins, in points; infinite where nobody reaches it.
    """
    inside = cut <= FINE_CENTRES
    without, having = counts.outcomes[:, inside]
    others_without, others_having = counts.outcomes[:, ~inside]
    return Accuracy(
        float(without.sum() + having.sum()),
        precision=_share(having, without, counts.noise_sd),
        recall=_share(having, others_having, counts.noise_sd),
        false_alarms=_share(without, others_without, counts.noise_sd),
    )


def _share(part: Vector, rest: Vector, noise_sd: float) -> Estimate | None:
    """The share of a part in part and rest; None where noise covers both together."""
    whole = float(part.sum() + rest.sum())
    if whole < least_customers(len(part) + len(rest), noise_sd):
        return None
    share = min(max(float(part.sum()) / whole, 0.0), 1.0)
    spread = math.hypot(math.sqrt(len(part)) * (1 - share), math.sqrt(len(rest)) * share)
    return Estimate(share, noise_sd * spread / whole)


def _reliability_row(
    band: int, bins: npt.NDArray[np.bool_], probabilities: Vector, counted: Counts
) -> ReliabilityRow:
    without, having = counted.outcomes[:, bins]
    customers = float((without + having).sum())
    found = _share(having, without, counted.noise_sd)
    if found is None:
        return ReliabilityRow(band + 1, customers, None, None, None)
    within = probabilities[bins]
    predicted = float(np.clip((without + having) @ within / customers, within[0], within[-1]))
    return ReliabilityRow(band + 1, customers, predicted, found.value, found.noise_sd)
