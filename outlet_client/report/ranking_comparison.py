"""Compares the network's scorecard with the outlet's local model on held-out customers.

Both see the same numbers: this outlet's own events up to the cut-off. The outlet's own model is
fitted on the other folds; the network's scorecard was trained with these customers among others,
privately.

Intervals are meant to hold the truth 19 times in 20. DeLong's formula knows the chance in who is
judged, not that in whom the own model was fitted on, so its standard errors are widened wherever
that model is involved. On simulated customers (20 to 200 with the rarer outcome, `WIDENING` as
below) the interval of the difference held the truth in 93 to 99 of 100 cases; unwidened, in 84 to
94.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.special import stdtrit

from outlet_client.report.delong import delong
from outlet_client.report.local_model import folds_of, held_out

if TYPE_CHECKING:
    from collections.abc import Sequence

    from features.events import CustomerSums, Vector
    from features.scorecard import Scorecard
    from outlet_client.contribution.contributions import HomeCustomers

LEAST = 20
"""Of fewer customers with or without an outcome no figure is given: it would be mostly chance."""

CONFIDENCE = 0.95

WIDENING = 1.3
"""Of the standard error of whatever the outlet's own model is involved in; see above."""


class Interval(NamedTuple):
    """A figure, and between what the truth lies in all likelihood."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Compared:
    """How two scores ranked the same customers.

    Attributes:
        outcome: What is predicted.
        customers: How many were judged.
        came_true: For how many it came true.
        network: AUC of the network's scorecard on this outlet's own events,
        own: of the outlet's own model, on customers that it was not fitted on,
        difference: The network's AUC less the outlet's own.
    """

    outcome: str
    customers: int
    came_true: int
    network: Interval
    own: Interval
    difference: Interval

    @property
    def could_be_chance(self) -> bool:
        """Whether no difference at all is within the interval, as it is printed (0.1 of 100)."""
        low, high = (round(1000 * end) for end in self.difference[1:])
        return low <= 0 <= high


@dataclass(frozen=True, slots=True)
class TooFew:
    """No comparison, for want of customers with or without the outcome."""

    outcome: str
    customers: int
    came_true: int


@dataclass(frozen=True, slots=True)
class NoScorecard:
    """No comparison, for want of a scorecard for this outcome."""

    outcome: str


Measured = Compared | TooFew | NoScorecard


def measure(home: HomeCustomers, cards: Sequence[Scorecard]) -> list[Measured]:
    """Compares the network's scorecards with the outlet's own models, one outcome after another.

    The same customers always fall into the same folds, so that a report can be made again.

    Of somebody's several rows the first counts.
    """
    known = {card.outcome: card for card in cards}
    _, first = np.unique(home.owners, return_index=True)
    sums = home.sums.where(first)
    return [
        NoScorecard(outcome) if outcome not in known else compare(sums, y[first], known[outcome])
        for outcome, y in home.y.items()
    ]


def compare(sums: CustomerSums, y: Vector, card: Scorecard) -> Compared | TooFew:
    """Compares one scorecard with a model fitted on the other folds.

    Args:
        sums: What the outlet's own events add up to, one row a customer.
        y: float64[n] of 0 and 1.
        card: The network's.
    """
    customers, came_true = len(y), int((y > 0).sum())
    if min(came_true, customers - came_true) < LEAST:
        return TooFew(card.outcome, customers, came_true)
    folds = folds_of(y, np.random.default_rng(0))
    fitted = held_out(card.vectors(sums), y, folds)
    scores = np.stack([card.score(sums), fitted], axis=1)
    found = delong(y, scores, folds)
    reach = float(stdtrit(found.freedom, (1 + CONFIDENCE) / 2))
    contrast = np.array([1.0, -1.0])
    of_difference = max(float(contrast @ found.covariance @ contrast), 0.0)
    network, own = found.values.tolist()
    return Compared(
        card.outcome,
        customers,
        came_true,
        _around(network, reach * math.sqrt(found.covariance[0, 0]), 0.0),
        _around(own, reach * WIDENING * math.sqrt(found.covariance[1, 1]), 0.0),
        _around(network - own, reach * WIDENING * math.sqrt(of_difference), -1.0),
    )


def _around(value: float, reach: float, least: float) -> Interval:
    return Interval(value, max(value - reach, least), min(value + reach, 1.0))
