"""Points: what one outlet's events give a customer, and what the sum over outlets is.

    score = base + sum over outlets of part
    part  = sum over the outlet's events of event points + points of their number

A part is a whole number within +-PART_BOUND: that is all an outlet tells of a score. An outlet that
is not the customer's home halves the points of the number of events: the base and the training are
the home's, and what somebody else also counted is news only in part. Beside the parts goes the
evidence, the number of events up to EVIDENCE_CAP.

Invariant: a part depends on nothing but the outlet's own events, public scorecards, and whether the
outlet is the home.
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

    from features.events import CustomerSums, Vector
    from features.scorecard import Scorecard

Parts = npt.NDArray[np.int64]

PART_BOUND = 60
"""The most points one outlet gives or takes: six in log odds, odds of 400 to 1. On the simulated
market 4.5 % of parts are longer, and clipping them costs .0005 of AUC; at 40 it costs up to .02."""

ELSEWHERE = 0.5
"""What the points of the number of events count at an outlet that is not the home."""


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
    cards: Sequence[Scorecard], sums: CustomerSums, at_home: npt.NDArray[np.bool_]
) -> Parts:
    """The whole numbers that an outlet adds to its customers' sums.

    Args:
        cards: The k scorecards.
        sums: What the outlet's events of n customers add up to.
        at_home: bool[n], whose home it is.

    Returns:
        int64[n, k + 1]: a part a scorecard, and the evidence last.
    """
    parts = [whole_points(part_points(card, sums, at_home)) for card in cards]
    return np.stack([*parts, evidence(sums.counts)], axis=1)


def part_points(card: Scorecard, sums: CustomerSums, at_home: npt.NDArray[np.bool_]) -> Vector:
    """An outlet's parts before rounding and bound, float64[n]."""
    return event_points(card, sums) + count_points(card, sums.counts, at_home)


def whole_points(points: Vector) -> npt.NDArray[np.int64]:
    """Rounds to whole points within +-PART_BOUND."""
    return np.clip(nearest(points), -PART_BOUND, PART_BOUND).astype(np.int64)


def nearest(points: Vector) -> Vector:
    """Rounds to whole points, ties alike in whatever order events were added up: float64[n]."""
    return np.rint(np.round(points, 6))  # the last bits of a sum depend on its order


def evidence(counts: Vector) -> npt.NDArray[np.int64]:
    """Numbers of events, as far as they are told: up to EVIDENCE_CAP an outlet."""
    return np.minimum(counts, EVIDENCE_CAP).astype(np.int64)


def base_points(card: Scorecard) -> float:
    """What everybody has, in points: part of every score, and sent by nobody."""
    return card.weights[0] * POINTS_PER_LOGIT
