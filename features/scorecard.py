"""Scorecard: points per event, rate points per event, and how they add up to a score.

    score = base + sum of points + (sum of rate points) / (n0 + events) + b log(1 + events)

Scores are in points; 20 points double the odds, as is usual for scorecards [Sid06, ch. 6]. Each
event's points are capped, so that no single event says more than the event cap.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from features.errors import CatalogueError
from features.events import (
    CATALOGUE,
    DIMENSION,
    N0,
    POINT_BOUNDS,
    RATE_BOUNDS,
    EventFeatures,
    Matrix,
    Vector,
)

POINTS_PER_LOGIT = 20 / math.log(2)
"""Points per unit of log odds: 20 points double the odds."""

POINTS_WIDTH = 3
"""Numbers a slot: points, rate points, events."""

LARGEST_WEIGHT, LARGEST_CAP = 1e6, 1e9
"""Public bounds: with them, no arithmetic on a customer's finite numbers can overflow."""

_POINTS = slice(1, 1 + len(POINT_BOUNDS))
_RATES = slice(_POINTS.stop, _POINTS.stop + len(RATE_BOUNDS))


@dataclass(frozen=True, slots=True)
class Scorecard:
    """A trained, or starting, scorecard.

    Attributes:
        outcome: What it predicts.
        weights: float64[DIMENSION] in log odds, in the order of `events.FEATURE_NAMES`.
        event_cap: The most points, up or down, that one event may add; rate points likewise.
    """

    outcome: str
    weights: tuple[float, ...]
    event_cap: float

    def __post_init__(self) -> None:
        small = all(abs(weight) <= LARGEST_WEIGHT for weight in self.weights)
        if len(self.weights) != DIMENSION or not small:
            raise CatalogueError(
                f"scorecard: expected {DIMENSION} weights within +-{LARGEST_WEIGHT:g}"
            )
        if not 0 < self.event_cap <= LARGEST_CAP:
            raise CatalogueError(f"scorecard: expected an event cap above 0, up to {LARGEST_CAP:g}")

    @classmethod
    def uncapped(cls, outcome: str, weights: Vector) -> Self:
        """A scorecard whose cap no event can reach, from the catalogue's public bounds."""
        size = np.abs(np.asarray(weights, dtype=np.float64))
        most = max(float(size[_POINTS] @ POINT_BOUNDS), float(size[_RATES] @ RATE_BOUNDS))
        cap = max(most * POINTS_PER_LOGIT * (1 + 1e-9), 1.0)
        return cls(outcome, tuple(float(w) for w in weights), cap)

    def event_points(self, events: EventFeatures) -> Matrix:
        """Points, rate points and count of each event: what a points release is made of.

        Returns:
            float64[events, 3]: points and rate points within the event cap, and 1.
        """
        weights = np.asarray(self.weights) * POINTS_PER_LOGIT
        points = np.clip(events.points @ weights[_POINTS], -self.event_cap, self.event_cap)
        rates = np.clip(events.rates @ weights[_RATES], -self.event_cap, self.event_cap)
        return np.stack([points, rates, np.ones_like(points)], axis=1)

    def score(self, sums: Matrix) -> Vector:
        """Scores customers from their sums over events and outlets.

        Args:
            sums: float64[n, 3], points, rate points and number of events.

        Returns:
            float64[n], in points.
        """
        points, rates, count = sums.T
        base, per_log = self.weights[0] * POINTS_PER_LOGIT, self.weights[-1] * POINTS_PER_LOGIT
        count = np.maximum(count, 0.0)  # noise may take a count below zero
        return np.asarray(base + points + rates / (N0 + count) + per_log * np.log1p(count))

    def encode(self) -> bytes:
        """Canonical bytes; their digest names the scorecard, catalogue included, in plans."""
        body = {
            "catalogue": CATALOGUE,
            "outcome": self.outcome,
            "weights": self.weights,
            "event_cap": self.event_cap,
        }
        return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads `encode`'s bytes.

        Raises:
            CatalogueError: If they are of another catalogue or not a scorecard.
        """
        try:
            raw = json.loads(data)
            catalogue = raw["catalogue"]
            weights = tuple(float(w) for w in raw["weights"])
            card = cls(str(raw["outcome"]), weights, float(raw["event_cap"]))
        except (KeyError, TypeError, ValueError) as error:
            raise CatalogueError("scorecard: malformed") from error
        if catalogue != CATALOGUE:
            raise CatalogueError(f"scorecard: of another catalogue, expected {CATALOGUE}")
        return card


def probability(score: Vector) -> Vector:
    """The probability that a score in points stands for, before calibration. float64[n]."""
    return np.asarray(1 / (1 + np.exp(-np.clip(score / POINTS_PER_LOGIT, -50, 50))))
