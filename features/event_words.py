"""The kinds of events that a scorecard counts, in plain words, for customers.

Invariant: the words follow from the catalogue and a scorecard, which are the same at every outlet,
and from nobody's events.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from features.events import (
    COUNT_SCALE,
    FEATURE_NAMES,
    POINT_BOUNDS,
    POINT_FEATURES,
    RATE_BOUNDS,
    RATE_FEATURES,
    RATE_SCALE,
)
from features.scorecard import POINTS_PER_LOGIT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from features.scorecard import Scorecard

_LEAST_POINTS = 0.5
"""What rounds to no point moves no band."""

_WORDS = {
    "recent_purchase": "how often and how lately somebody bought",
    "lately": "how often and how lately somebody bought",
    "active": "how long ago anything happened",
    "recent_spend": "the size of purchases",
    "purchase_price": "the size of purchases",
    "recent_scarce": "scarce pieces bought lately",
    "returned": "pieces brought back",
    "discount": "purchases below the list price",
    "resold": "pieces that were confirmed resold",
    "suspected": "pieces that were seen for sale and are not confirmed resold",
    "waiting": "wishes for a reference, and the time since",
}
_NUMBER = "how many events there are"

_OF_FEATURE = (
    "",
    *(_WORDS[one.__name__] for one in (*POINT_FEATURES, *RATE_FEATURES)),
    _NUMBER,
)
"""In the order of `FEATURE_NAMES`; the intercept is nobody's event."""

_LARGEST = np.array([0.0, *POINT_BOUNDS, *(RATE_BOUNDS * RATE_SCALE), COUNT_SCALE * math.log(2)])
"""What one event can make of each number; of their number, what the first two do."""


def kinds_that_count(cards: Iterable[Scorecard]) -> tuple[str, ...]:
    """The kinds of events that scorecards give points for, each once, in the catalogue's order.

    Without a scorecard all kinds that the catalogue has: no other can count.
    """
    effects = [np.abs(np.asarray(card.weights)) * _LARGEST * POINTS_PER_LOGIT for card in cards]
    counts = [True] * len(FEATURE_NAMES)
    if effects:
        counts = (np.max(effects, axis=0) >= _LEAST_POINTS).tolist()
    return tuple(
        dict.fromkeys(
            words for words, one in zip(_OF_FEATURE, counts, strict=True) if words and one
        )
    )
