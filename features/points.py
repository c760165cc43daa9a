"""Points: what one outlet's events give a customer, and what the sum over outlets is.

    score = base + sum over outlets of part
    part  = sum over the outlet's events of event points + points of their number

A part is a whole number within +-PART_BOUND: that is all an outlet tells of a score. An outlet that
is not the customer's home halves the points of the number of events: the base and the training are
the home's, and what somebody else also counted is news only in part. Beside the parts goes the
evidence, the number of events up to EVIDENCE_CAP.

    whole points of p under a dither u: floor(p + u), 0 <= u < 1

Where an outlet's dithers are as good as drawn from [0, 1), whole points are p on average, so that
many small parts do not all vanish. The dither of a customer and score never changes: of fresh ones
the average over weekly seals would tell the fraction.

Invariant: a part depends on nothing but the outlet's own events, public scorecards, whether the
outlet is the home, and the outlet's dither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from features.bands import EVIDENCE_CAP
from features.events import POINT_COLUMNS, RATE_COLUMNS, RATE_SCALE, count_feature
from features.scorecard import POINTS_PER_LOGIT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from features.events import CustomerSums, Matrix, Vector
    from features.scorecard import Scorecard

Parts = npt.NDArray[np.int64]

PART_BOUND = 60
"""The most points one outlet gives or takes: six in log odds, odds of 400 to 1. On the simulated
market 4.5 % of parts are longer, and clipping them costs .0005 of AUC; at 40 it costs up to .02."""

ELSEWHERE = 0.5
"""What the points of the number of events count at an outlet that is not the home."""

NEAREST = 0.5
"""The dither that rounds to the nearest whole point; of halves the upper."""


def event_points(card: Scorecard, events: CustomerSums) -> Vector:
    """What events give, alone or added up, in points, before rounding: float64[n].

    Args:
        card: The scorecard.
        events: A row an event, or sums of several.
    """
    weights = np.asarray(card.weights) * POINTS_PER_LOGIT
    beyond = events.rates - events.counts[:, None] * np.asarray(card.usual)
    rates = RATE_SCALE * (beyond @ weights[RATE_COLUMNS])
    return np.asarray(events.points @ weights[POINT_COLUMNS] + rates)


def count_points(card: Scorecard, counts: Vector, at_home: npt.NDArray[np.bool_]) -> Vector:
    """What numbers of events give, in points, before rounding: float64[n].

    Args:
        card: The scorecard.
        counts: float64[n], numbers of events at this outlet.
        at_home: bool[n], whose home it is.
    """
    weight = card.weights[-1] * POINTS_PER_LOGIT
    return np.asarray(weight * np.where(at_home, 1.0, ELSEWHERE) * count_feature(counts))


def outlet_parts(
    cards: Sequence[Scorecard],
    sums: CustomerSums,
    at_home: npt.NDArray[np.bool_],
    dither: Matrix | None = None,
) -> Parts:
    """The whole numbers that an outlet adds to its customers' sums.

    Args:
        cards: The k scorecards.
        sums: What the outlet's events of n customers add up to.
        at_home: bool[n], whose home it is.
        dither: float64[n, k], the outlet's own, each in [0, 1); NEAREST everywhere where None.

    Returns:
        int64[n, k + 1]: a part a scorecard, and the evidence last.
    """
    dithers = np.full((len(sums), len(cards)), NEAREST) if dither is None else dither
    parts = [
        bounded(whole_points(part_points(card, sums, at_home), own))
        for card, own in zip(cards, dithers.T, strict=True)
    ]
    return np.stack([*parts, evidence(sums.counts)], axis=1)


def part_points(card: Scorecard, sums: CustomerSums, at_home: npt.NDArray[np.bool_]) -> Vector:
    """An outlet's parts before rounding and bound, float64[n]."""
    return event_points(card, sums) + count_points(card, sums.counts, at_home)


def whole_points(points: Vector, dither: Vector | float = NEAREST) -> Vector:
    """Rounds to whole points, before they are bounded: float64[n].

    Args:
        points: float64[n].
        dither: float64[n] or one for all, in [0, 1). Whole points stay as they are under any.
    """
    exact = np.round(points, 6)  # the last bits of a sum depend on its order
    below = np.floor(exact)
    return np.asarray(below + np.floor(exact - below + dither))


def bounded(whole: Vector) -> npt.NDArray[np.int64]:
    """Whole points within +-PART_BOUND, int64[n]."""
    return np.clip(whole, -PART_BOUND, PART_BOUND).astype(np.int64)


def evidence(counts: Vector) -> npt.NDArray[np.int64]:
    """Numbers of events, as far as they are told: up to EVIDENCE_CAP an outlet."""
    return np.minimum(counts, EVIDENCE_CAP).astype(np.int64)


def base_points(card: Scorecard) -> float:
    """What everybody has, in points: part of every score, and sent by nobody."""
    return card.weights[0] * POINTS_PER_LOGIT
