"""Places: which pairs of customer and outlet count where, on examples counted by hand."""

from __future__ import annotations

import numpy as np

from features.events import DIMENSION, POINTS, RATES, CustomerSums
from features.scorecard import Scorecard
from sandbox.clear_sum import ClearSum
from sandbox.lookup_places import AtPlace, Place, by_place
from tests.networks import TARGET

CARD = Scorecard.of(TARGET, np.r_[0.0, 0.1, np.zeros(DIMENSION - 2)])
"""A customer's first number is the own view."""

COUNTS = [[3, 1, 0], [1, 2, 0], [2, 0, 0], [0, 1, 1], [0, 0, 0], [1, 1, 4]]
VIEWS = [[1, 2, 9], [4, 1, 9], [2, 9, 9], [9, 5, 1], [9, 9, 9], [3, 0, 0.5]]
"""Of six customers at three outlets; 9 where the outlet never met them, and has no view."""

SCORES = np.array([5, 1, 2, 6, 9, 0])
Y = np.array([1.0, 0.0, 1.0, 0.0, 1.0, 0.0])
EVERYBODY = np.ones(6, dtype=bool)


def example(counts: list[list[int]] = COUNTS) -> ClearSum:
    known, views = np.array(counts, dtype=np.float64), np.array(VIEWS, dtype=np.float64)
    sums = {}
    for place, name in enumerate(("o1", "o2", "o3")):
        points = np.zeros((6, POINTS))
        points[:, 0] = views[:, place]
        sums[name] = CustomerSums(points, np.zeros((6, RATES)), known[:, place])
    return ClearSum((CARD,), sums, np.stack([SCORES, np.zeros(6, dtype=np.int64)], axis=1))


def test_at_the_main_outlet_a_customer_counts_once_and_elsewhere_once_an_outlet() -> None:
    """At main: scores 5, 2, 9 against 1, 6, 0 and views 1, 2, 0 against 1, 5, .5.

    The fifth was met nowhere: the view of such a one is the base, 0. Elsewhere: the first against
    the second, the fourth and twice the last. Views there are 2 against 4, 1, 3 and 0.
    """
    found = by_place(example(), 0, Y, EVERYBODY)
    assert found == {
        Place.MAIN: AtPlace(7 / 9, 3.5 / 9),
        Place.OTHER: AtPlace(3 / 4, 2 / 4),
    }


def test_only_those_who_are_judged_count() -> None:
    among = np.array([True, True, False, True, True, False])
    found = by_place(example(), 0, Y, among)
    assert found == {
        Place.MAIN: AtPlace(3 / 4, 0.5 / 4),
        Place.OTHER: AtPlace(1 / 2, 1 / 2),
    }


def test_where_an_outcome_is_missing_there_is_no_figure() -> None:
    nothing = AtPlace(None, None)
    for y in (np.zeros(6), np.ones(6)):
        assert by_place(example(), 0, y, EVERYBODY) == {Place.MAIN: nothing, Place.OTHER: nothing}
    alone = [[max(row), 0, 0] for row in COUNTS]
    found = by_place(example(alone), 0, Y, EVERYBODY)
    assert found[Place.OTHER] == nothing  # nobody was met at a second outlet
    assert found[Place.MAIN].network == 7 / 9
    assert by_place(example(), 0, Y, ~EVERYBODY)[Place.MAIN] == nothing
