"""Places: how well scores rank customers where they are looked up, beside an outlet by itself.

    main    the outlet where a customer has most events
    other   an outlet that has met the customer and is not the main one

At each place the network's score stands beside the *own view*: the same scorecard on that outlet's
own events alone. What the network is for is the difference, and the more so where nobody has met
the customer and there is no own view at all.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from features.points import base_points
from sandbox.baselines import auc

if TYPE_CHECKING:
    import numpy.typing as npt

    from features.events import Vector
    from sandbox.clear_sum import ClearSum


class Place(StrEnum):
    """Where a customer is looked up."""

    MAIN = "main"
    OTHER = "other"


class AtPlace(NamedTuple):
    """How a scorecard ranks customers at a place; None where an outcome is missing.

    Attributes:
        network: AUC of the clear sum.
        own_view: AUC of what the outlet there would think by itself.
    """

    network: float | None
    own_view: float | None


def by_place(
    clear: ClearSum, place_of_card: int, y: Vector, among: npt.NDArray[np.bool_]
) -> dict[Place, AtPlace]:
    """Measures one scorecard at both places.

    Args:
        clear: The clear sum and each outlet's events.
        place_of_card: Which scorecard.
        y: float64[n] of 0 and 1.
        among: bool[n], who is judged: customers who were in no training sum.

    Returns:
        A figure a place. At *main* a customer counts once, also one whom nobody has met: such a one
        has the base everywhere. At *other* a customer counts once an outlet.
    """
    score, views = clear.scores[place_of_card], clear.own_views(place_of_card)
    met = ~np.isnan(views)
    is_main = np.zeros_like(met)
    is_main[np.arange(len(y)), clear.main()] = True
    views = np.where(met, views, base_points(clear.cards[place_of_card]))
    found = {}
    for place, pairs in ((Place.MAIN, is_main), (Place.OTHER, met & ~is_main)):
        customer, outlet = np.nonzero(pairs & among[:, None])
        found[place] = AtPlace(
            auc(y[customer], score[customer]), auc(y[customer], views[customer, outlet])
        )
    return found
