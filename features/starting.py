"""Starting scorecards: what experts would say before any data, published, one an outcome.

A network's first training begins here, and leaves a starting scorecard only as far as private data
supports (`server.hq.training`). The points are rules of thumb of the trade, rounded; 20 double the
odds. They were never fitted to a customer; how they rank simulated and real ledgers by themselves
is in docs/benchmarks.md.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from features.errors import CatalogueError
from features.events import FEATURE_NAMES
from features.outcomes import Outcome
from features.scorecard import POINTS_PER_LOGIT, Scorecard

if TYPE_CHECKING:
    from collections.abc import Mapping

STARTING_POINTS: Mapping[Outcome, Mapping[str, float]] = MappingProxyType(
    {
        Outcome.LOYAL: MappingProxyType(
            {
                "intercept": -90.0,
                "points: recent_purchase": 40.0,
                "points: recent_spend": 10.0,
                "rate: active": 60.0,
                "rate: resold": -300.0,
                "rate: waiting": 20.0,
                "log events": 20.0,
            }
        ),
        Outcome.FLIPPED: MappingProxyType(
            {
                "intercept": -150.0,
                "points: recent_scarce": 30.0,
                "rate: discount": 10.0,
                "rate: resold": 30.0,
                "rate: suspected": 40.0,
                "log events": 40.0,
            }
        ),
    }
)
"""Points of each number of a customer's vector; what is not named has none."""


def starting_scorecard(outcome: Outcome) -> Scorecard:
    """The published scorecard of an outcome.

    Raises:
        CatalogueError: If experts have said nothing of it.
    """
    if outcome not in STARTING_POINTS:
        known = ", ".join(STARTING_POINTS)
        raise CatalogueError(f"starting scorecard: got '{outcome}', published are {known}")
    points = STARTING_POINTS[outcome]
    weights = np.array([points.get(name, 0.0) for name in FEATURE_NAMES])
    return Scorecard.of(outcome, weights / POINTS_PER_LOGIT)
