"""Starting scorecards: what experts would say before any data, published, one an outcome.

A network's first training begins here, and leaves a starting scorecard only as far as private data
supports (`server.hq.training`). The points are rules of thumb of the trade, rounded; 7 double the
odds. They were never fitted to a customer; how they rank simulated and real ledgers by themselves
is in docs/benchmarks.md.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from features.errors import CatalogueError
from features.events import FEATURE_NAMES, RATE_FEATURES
from features.outcomes import Outcome
from features.scorecard import POINTS_PER_LOGIT, Scorecard

if TYPE_CHECKING:
    from collections.abc import Mapping

    from features.events import Vector

STARTING_POINTS: Mapping[Outcome, Mapping[str, float]] = MappingProxyType(
    {
        Outcome.LOYAL: MappingProxyType(
            {
                "intercept": -31.0,
                "points: recent_purchase": 14.0,
                "points: recent_spend": 4.0,
                "rate: active": 20.0,
                "rate: resold": -100.0,
                "rate: waiting": 7.0,
                "log events": 7.0,
            }
        ),
        Outcome.FLIPPED: MappingProxyType(
            {
                "intercept": -52.0,
                "points: recent_scarce": 10.0,
                "rate: discount": 3.0,
                "rate: resold": 10.0,
                "rate: suspected": 14.0,
                "log events": 14.0,
            }
        ),
    }
)
"""Points of each number of a customer's vector; what is not named has none."""

STARTING_USUAL: Mapping[str, float] = MappingProxyType(
    {
        "active": 1.3,
        "lately": 0.1,
        "purchase_price": 0.6,
        "returned": 0.1,
        "discount": 0.1,
        "resold": 0.05,
        "suspected": 0.05,
        "waiting": 0.1,
    }
)
"""Rates of the trade's usual event, for what a network's own release of them cannot tell."""


def starting_usual() -> Vector:
    """The published usual event, float64[r]."""
    return np.array([STARTING_USUAL[feature.__name__] for feature in RATE_FEATURES])


def starting_scorecard(outcome: Outcome, usual: Vector | None = None) -> Scorecard:
    """The published scorecard of an outcome.

    Args:
        outcome: What it predicts.
        usual: float64[r], rates of the network's usual event; nothing known of it where None.

    Raises:
        CatalogueError: If experts have said nothing of it.
    """
    if outcome not in STARTING_POINTS:
        known = ", ".join(STARTING_POINTS)
        raise CatalogueError(f"starting scorecard: got '{outcome}', published are {known}")
    points = STARTING_POINTS[outcome]
    weights = np.array([points.get(name, 0.0) for name in FEATURE_NAMES])
    return Scorecard.of(outcome, weights / POINTS_PER_LOGIT, usual)
