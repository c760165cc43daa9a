"""What experts say before any data: published, on a page whose figures the code gives."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit

from features.bands import EVIDENCE_CAP, KNOWN_EVIDENCE_CODE, LEAST_EVIDENCE, named
from features.errors import CatalogueError
from features.events import (
    CATALOGUE,
    DIMENSION,
    FEATURE_NAMES,
    POINT_BOUNDS,
    RATE_BOUNDS,
    RATE_FEATURES,
    event_features,
)
from features.outcomes import Outcome
from features.points import (
    PART_BOUND,
    base_points,
    count_points,
    event_points,
    outlet_parts,
    part_points,
)
from features.reasons import reasons
from features.scorecard import POINTS_PER_LOGIT, Scorecard
from features.starting import (
    STARTING_POINTS,
    STARTING_USUAL,
    starting_scorecard,
    starting_usual,
)
from tests.features.ledgers import CUT, USUAL, events_of, row, snapshot_of

PAGE = Path(__file__).parents[2] / "docs" / "scorecards.md"
BLOCKS = ("all", "points", "rate")


@pytest.mark.parametrize("outcome", STARTING_POINTS)
def test_points_are_of_numbers_that_a_customer_has(outcome: Outcome) -> None:
    assert set(STARTING_POINTS[outcome]) <= set(FEATURE_NAMES)
    assert all(np.isfinite(points) for points in STARTING_POINTS[outcome].values())


@pytest.mark.parametrize("outcome", STARTING_POINTS)
def test_a_starting_scorecard_gives_the_published_points(outcome: Outcome) -> None:
    card = starting_scorecard(outcome)
    assert card.outcome == outcome.value
    assert Scorecard.decode(card.encode()) == card
    for name, weight in zip(FEATURE_NAMES, card.weights, strict=True):
        assert weight * POINTS_PER_LOGIT == pytest.approx(STARTING_POINTS[outcome].get(name, 0.0))


@pytest.mark.parametrize("outcome", STARTING_POINTS)
def test_a_starting_scorecard_takes_the_usual_event_that_is_known(outcome: Outcome) -> None:
    known, nothing = starting_scorecard(outcome, USUAL), starting_scorecard(outcome)
    assert (known.usual, known.weights) == (tuple(USUAL.tolist()), nothing.weights)
    assert not any(nothing.usual)


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


def tables() -> list[list[str]]:
    """The cells of every line of a table on the page."""
    return [
        [cell.strip().strip("`") for cell in line.strip().strip("|").split("|")]
        for line in PAGE.read_text().splitlines()
        if line.lstrip().startswith("|")
    ]


def test_the_published_table_has_every_number_and_its_points() -> None:
    """A table whose head names outcomes, and whose first column names numbers; blank is 0."""
    cells = tables()
    [head] = [line for line in cells if any(Outcome.LOYAL in cell for cell in line)]
    table = {line[0]: line for line in cells if line[0] in FEATURE_NAMES}
    assert set(table) == {name for points in STARTING_POINTS.values() for name in points}
    for outcome, points in STARTING_POINTS.items():
        [column] = [place for place, cell in enumerate(head) if outcome in cell]
        for name, line in table.items():
            written = line[column].replace("\u2212", "-").replace("+", "")
            assert float(written or 0) == points.get(name, 0.0), f"{outcome}, {name}"


def test_the_page_has_every_number_with_its_block_and_bound() -> None:
    found = {(line[0], line[1]): line[-1] for line in tables() if line[0] in BLOCKS}
    bounds = [*POINT_BOUNDS.tolist(), *RATE_BOUNDS.tolist()]
    names = [tuple(name.split(": ")) for name in FEATURE_NAMES[1:-1]]
    expected = dict(zip(names, bounds, strict=True))
    assert {name: float(bound) for name, bound in found.items() if bound} == expected
    assert set(found) - set(expected) == {("all", "intercept"), ("all", "log events")}
    assert f"`{CATALOGUE}`" in PAGE.read_text()


def test_the_page_says_what_an_outlet_tells_at_most() -> None:
    page = " ".join(PAGE.read_text().split())
    assert f"**from -{PART_BOUND} to +{PART_BOUND}**" in page
    assert f"the number of events, up to {EVIDENCE_CAP} an outlet" in page


def test_the_page_says_what_each_code_of_evidence_stands_for() -> None:
    """And what is new: the codes below that of the least evidence."""
    rows = [line for line in tables() if len(line) == 3 and line[0].isdigit()]
    written = {int(code): (events, bands) for code, events, bands in rows}
    assert {code: events for code, (events, _) in written.items()} == {
        0: "none", 1: "1 or 2", 2: "3 to 5", 3: "6 and more",
    }  # fmt: skip
    assert written[KNOWN_EVIDENCE_CODE][0].startswith(str(LEAST_EVIDENCE))
    for code, (_, bands) in written.items():
        assert bands == ("new" if code < KNOWN_EVIDENCE_CODE else "by the scores")


# --- the worked example of the page ---------------------------------------------------------------

EXAMPLE = {
    "o1": [
        row("anna", CUT.date - dt.timedelta(days=90), serial="s1", reference="limited-1"),
        row("anna", dt.date(2025, 12, 1), serial="s2", reference="scarce-1"),
    ],
    "o2": [row("anna", CUT.date, serial="s3", reference="scarce-1")],
}
RESOLD = [("s2", dt.date(2025, 12, 31), "confirmed")]


def example_card() -> Scorecard:
    """The starting scorecard of flipper risk, with the usual event that the page makes up."""
    made_up = {"discount": 0.16, "resold": 0.1, "suspected": 0.1}
    usual = np.array([made_up.get(feature.__name__, 0.0) for feature in RATE_FEATURES])
    return starting_scorecard(Outcome.FLIPPED, usual)


def test_the_pages_example_of_one_customer_at_two_outlets_is_what_the_code_gives() -> None:
    card, page = example_card(), " ".join(PAGE.read_text().split())
    written = {line[0]: line[1:] for line in tables() if len(line) == 3}
    total, evidences, places = base_points(card), 0, {"o1": 0, "o2": 1}
    for outlet, place in places.items():
        snapshot = snapshot_of(events_of(EXAMPLE[outlet], RESOLD))
        at_home = np.array([outlet == "o1"])
        events, found = event_features(snapshot), reasons(snapshot, "anna", card)
        texts = {reason.date: reason.text for reason in found.events}
        lines = dict(
            zip(
                [texts[day] for day in sorted(texts)],
                event_points(card, events.each()).tolist(),
                strict=True,
            )
        )
        sums = events.total()
        [lines["number of events"]] = count_points(card, sums.counts, at_home)
        [lines["together"]] = part_points(card, sums, at_home)
        for text, points in lines.items():
            assert written[text][place] == f"{points:+.1f}", text
        [[part, evidence]] = outlet_parts([card], sums, at_home).tolist()
        assert written["part"][place] == f"{part:+d}"
        total, evidences = total + part, evidences + evidence
    at_b = event_features(snapshot_of(events_of(EXAMPLE["o2"])))
    alone = card.score(at_b.total())  # as if B were the home
    chance = expit(np.array([total, alone[0]]) / POINTS_PER_LOGIT)
    assert (
        f"is -52 + 17 + 12 = {total:.0f}, a probability of {chance[0]:.2f}".replace("0.", ".")
        in page
    )
    assert f"have read {alone[0]:.0f}, {chance[1]:.2f}.".replace("0.", ".") in page
    parts, code = round(total - base_points(card)), KNOWN_EVIDENCE_CODE
    assert f"is the sum of parts, {parts}: with cuts at 26 and 32, say, it is code 1" in page
    assert named([1], code, [card.outcome])["flipper_risk"] == "elevated"
    assert 26 <= parts < 32
    assert f"2 + 1 = {evidences}, code {code}, enough to leave `new`" in page


def test_the_pages_reasons_are_what_reasons_says_of_the_example() -> None:
    found = reasons(snapshot_of(events_of(EXAMPLE["o1"], RESOLD)), "anna", example_card())
    lines = [f"{reason.text}: {reason.points:+d}" for reason in found.events]
    lines.append(f"number of events here ({len(found.events)}): {found.count:+d}")
    block = "\n".join(
        [
            f"flipper_risk: as a home this outlet gives {found.part:+d}",
            *(f"  {line}" for line in lines),
        ]
    )
    assert f"```\n{block}\nevidence: {found.evidence} events here" in PAGE.read_text()


def test_the_page_lists_the_published_usual_event_and_it_is_within_bounds() -> None:
    said = [f"`{name}` {rate:g}".replace(" 0.", " .") for name, rate in STARTING_USUAL.items()]
    assert ", ".join(said) in " ".join(PAGE.read_text().split())
    assert ((starting_usual() >= 0) & (starting_usual() <= RATE_BOUNDS)).all()
    Scorecard.of("y", np.zeros(DIMENSION), starting_usual())  # else it raises
