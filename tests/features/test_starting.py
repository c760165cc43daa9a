"""What experts say before any data: published, and of numbers that there are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from features.errors import CatalogueError
from features.events import FEATURE_NAMES
from features.outcomes import Outcome
from features.scorecard import POINTS_PER_LOGIT, Scorecard
from features.starting import STARTING_POINTS, starting_scorecard

PAGE = Path(__file__).parents[2] / "docs" / "scorecards.md"


@pytest.mark.parametrize("outcome", STARTING_POINTS)
def test_points_are_of_numbers_that_a_customer_has(outcome: Outcome) -> None:
    assert set(STARTING_POINTS[outcome]) <= set(FEATURE_NAMES)
    assert all(np.isfinite(points) for points in STARTING_POINTS[outcome].values())


@pytest.mark.parametrize("outcome", STARTING_POINTS)
def test_a_starting_scorecard_gives_the_published_points(outcome: Outcome) -> None:
    card = starting_scorecard(outcome)
    assert card.outcome == outcome.value
    assert Scorecard.decode(card.encode()) == card
    each = card.score(np.eye(len(FEATURE_NAMES)))
    for name, points in zip(FEATURE_NAMES, each.tolist(), strict=True):
        assert points == pytest.approx(STARTING_POINTS[outcome].get(name, 0.0))
    assert card.weights[0] * POINTS_PER_LOGIT == pytest.approx(each[0])


def test_experts_hold_a_resale_against_loyalty_and_for_the_risk() -> None:
    place = FEATURE_NAMES.index("rate: resold")
    assert starting_scorecard(Outcome.LOYAL).weights[place] < 0
    assert starting_scorecard(Outcome.FLIPPED).weights[place] > 0


def test_an_outcome_of_which_experts_said_nothing_is_refused() -> None:
    with pytest.raises(CatalogueError) as caught:
        starting_scorecard(Outcome.LAPSED)
    assert str(caught.value) == (
        "starting scorecard: got 'y_lapsed', published are y_loyal, y_flipped"
    )


def test_the_published_table_has_every_number_and_its_points() -> None:
    """A table whose head names outcomes, and whose first column names numbers; blank is 0."""
    cells = [
        [cell.strip().strip("`") for cell in line.strip().strip("|").split("|")]
        for line in PAGE.read_text().splitlines()
        if line.lstrip().startswith("|")
    ]
    [head] = [line for line in cells if any(Outcome.LOYAL in cell for cell in line)]
    table = {line[0]: line for line in cells if line[0] in FEATURE_NAMES}
    assert set(table) == {name for points in STARTING_POINTS.values() for name in points}
    for outcome, points in STARTING_POINTS.items():
        [column] = [place for place, cell in enumerate(head) if outcome in cell]
        for name, line in table.items():
            written = line[column].replace("\u2212", "-").replace("+", "")
            assert float(written or 0) == points.get(name, 0.0), f"{outcome}, {name}"
