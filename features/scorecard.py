"""Scorecard: the weights of a customer's vector, and what a point is.

    score = base + sum of points + (sum of rate points) / (n0 + events) + b log(1 + events) / 2

Scores are in points; 20 points double the odds, as is usual for scorecards [Sid06, ch. 6]. How
events become numbers that add up over outlets is `points.py`'s.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from features.errors import CatalogueError
from features.events import CATALOGUE, DIMENSION, Matrix, Vector

POINTS_PER_LOGIT = 20 / math.log(2)
"""Points per unit of log odds: 20 points double the odds."""

LARGEST_WEIGHT = 1e6
"""Public bound: with it, no arithmetic on a customer's finite numbers can overflow."""


@dataclass(frozen=True, slots=True)
class Scorecard:
    """A trained, or starting, scorecard.

    Attributes:
        outcome: What it predicts.
        weights: float64[DIMENSION] in log odds, in the order of `events.FEATURE_NAMES`.
    """

    outcome: str
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        small = all(abs(weight) <= LARGEST_WEIGHT for weight in self.weights)
        if len(self.weights) != DIMENSION or not small:
            raise CatalogueError(
                f"scorecard: expected {DIMENSION} weights within +-{LARGEST_WEIGHT:g}"
            )

    @classmethod
    def of(cls, outcome: str, weights: Vector) -> Self:
        """A scorecard of an array of weights, float64[DIMENSION]."""
        return cls(outcome, tuple(np.asarray(weights, dtype=np.float64).tolist()))

    def score(self, x: Matrix) -> Vector:
        """Scores customers whose whole vector is known, float64[n], in points.

        Args:
            x: float64[n, DIMENSION].
        """
        return np.asarray(x @ np.asarray(self.weights)) * POINTS_PER_LOGIT

    def encode(self) -> bytes:
        """Canonical bytes; their digest names the scorecard, catalogue included, in plans."""
        body = {"catalogue": CATALOGUE, "outcome": self.outcome, "weights": self.weights}
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
            card = cls(str(raw["outcome"]), weights)
        except (KeyError, OverflowError, RecursionError, TypeError, ValueError) as error:
            raise CatalogueError("scorecard: malformed") from error
        if catalogue != CATALOGUE:
            raise CatalogueError(f"scorecard: of another catalogue, expected {CATALOGUE}")
        return card


def probability(score: Vector) -> Vector:
    """The probability that a score in points stands for, before calibration. float64[n]."""
    return np.asarray(1 / (1 + np.exp(-np.clip(score / POINTS_PER_LOGIT, -50, 50))))
