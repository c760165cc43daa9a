"""What is learnt: judged after the cut-off, by public thresholds, from what one outlet sees."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import polars as pl
import pytest
from hypothesis import given

from features.errors import FeatureError
from features.outcomes import Outcome, Thresholds, observe
from tests.features.ledgers import (
    CUT,
    END,
    PEOPLE,
    Row,
    events_of,
    row,
    rows,
    sightings,
    snapshot_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

EARLY, BEFORE = dt.date(2025, 3, 1), dt.date(2025, 12, 1)
NEXT_DAY = CUT.date + dt.timedelta(days=1)
AFTER, TOO_LATE = dt.date(2026, 2, 15), END + dt.timedelta(days=1)


def judged(
    outcome: Outcome, drawn: Sequence[Row], seen: Sequence[Row] = (), people: pl.Series = PEOPLE
) -> list[float]:
    found = observe(outcome, snapshot_of(events_of(drawn, seen)), people, Thresholds())
    return [float(one) for one in found]


def all_judged(drawn: Sequence[Row], seen: Sequence[Row] = ()) -> dict[Outcome, list[float]]:
    snapshot = snapshot_of(events_of(drawn, seen))
    return {one: observe(one, snapshot, PEOPLE, Thresholds()).tolist() for one in Outcome}


# --- flipped --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bought", "seen", "flipped"),
    [
        (BEFORE, [(AFTER, "confirmed")], 1),
        (CUT.date, [(NEXT_DAY, "confirmed")], 1),
        (BEFORE, [(END, "confirmed")], 1),
        (BEFORE, [], 0),
        (BEFORE, [(TOO_LATE, "confirmed")], 0),
        (NEXT_DAY, [(AFTER, "confirmed")], 0),  # the purchase is itself after the cut-off
        (BEFORE, [(AFTER, "suspected")], 0),
        (BEFORE, [(CUT.date, "suspected"), (AFTER, "confirmed")], 1),
        (BEFORE, [(CUT.date, "confirmed")], 0),
        (BEFORE, [(CUT.date, "confirmed"), (AFTER, "confirmed")], 0),  # it was known
        (BEFORE, [(AFTER, "confirmed"), (AFTER, "confirmed"), (AFTER, "suspected")], 1),
    ],
)
def test_who_flipped_bought_by_the_cut_off_and_was_first_confirmed_after_it(
    bought: dt.date, seen: list[tuple[dt.date, str]], flipped: int
) -> None:
    drawn = [row("anna", bought, serial="s1"), row("ben", EARLY, serial="s2")]
    found = judged(Outcome.FLIPPED, drawn, [("s1", day, status) for day, status in seen])
    assert found == [flipped, 0, 0]


def test_of_two_pieces_the_one_that_is_new_counts() -> None:
    drawn = [row("anna", EARLY, serial="old"), row("anna", BEFORE, serial="new")]
    seen = [("old", BEFORE, "confirmed"), ("new", AFTER, "confirmed")]
    assert judged(Outcome.FLIPPED, drawn, seen) == [1, 0, 0]
    assert judged(Outcome.FLIPPED, drawn, seen[:1]) == [0, 0, 0]


def test_a_piece_sold_again_is_the_last_buyers_resale() -> None:
    drawn = [
        row("anna", EARLY, serial="s1"),
        row("anna", BEFORE, "return", serial="s1"),
        row("ben", CUT.date, serial="s1"),
    ]
    assert judged(Outcome.FLIPPED, drawn, [("s1", AFTER, "confirmed")]) == [0, 1, 0]


def test_a_serial_at_another_outlet_is_another_piece() -> None:
    drawn = [row("anna", BEFORE, serial="s1"), row("ben", NEXT_DAY, serial="s1", outlet_id="o2")]
    assert judged(Outcome.FLIPPED, drawn, [("s1", AFTER, "confirmed")]) == [1, 0, 0]


# --- loyal ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seen", "loyal"),
    [
        ([], 1),
        ([("s1", BEFORE, "confirmed")], 0),  # long before the cut-off
        ([("s1", AFTER, "confirmed")], 0),
        ([("s2", AFTER, "confirmed")], 0),  # a piece of within the horizon
        ([("s2", END, "confirmed")], 0),
        ([("s2", TOO_LATE, "confirmed")], 1),
        ([("s1", AFTER, "suspected")], 1),
        ([("s1", EARLY - dt.timedelta(days=1), "confirmed")], 1),  # not yet theirs
    ],
)
def test_nobody_of_whom_anything_was_confirmed_resold_is_loyal(seen: list[Row], loyal: int) -> None:
    drawn = [
        row("anna", EARLY, serial="s1"),
        row("anna", NEXT_DAY, serial="s2", price=300.0),
        row("ben", EARLY, serial="s3"),
        row("ben", AFTER, price=300.0),
    ]
    assert judged(Outcome.LOYAL, drawn, seen) == [loyal, 1, 0]
    assert judged(Outcome.LAPSED, drawn, seen) == [0, 0, 1]


def test_home_outcomes_follow_public_thresholds() -> None:
    drawn = [
        row("anna", NEXT_DAY, price=10.0),
        row("anna", AFTER, price=10.0),
        row("ben", AFTER, price=300.0),
        row("cleo", AFTER, price=10.0),
        row("cleo", AFTER, "return", price=500.0),
    ]
    people = pl.Series([*PEOPLE, "dora"])
    assert judged(Outcome.LOYAL, drawn, people=people) == [1, 1, 0, 0]
    assert judged(Outcome.LAPSED, drawn, people=people) == [0, 0, 0, 1]
    assert judged(Outcome.FLIPPED, drawn, people=people) == [0, 0, 0, 0]


def test_a_service_visit_or_an_interest_is_no_coming_back() -> None:
    drawn = [
        row("anna", AFTER, "service", price=900.0),
        row("anna", AFTER, "interest", price=900.0),
        row("anna", AFTER, "accepted", price=900.0),
    ]
    assert judged(Outcome.LOYAL, drawn) == [0, 0, 0]
    assert judged(Outcome.LAPSED, drawn) == [1, 1, 1]


# --- laws -----------------------------------------------------------------------------------------


@given(rows)
def test_without_sightings_an_outcome_sees_only_what_is_after_the_cut_off(
    drawn: list[Row],
) -> None:
    after = [one for one in drawn if one[2] > CUT.date] or [row("dora", CUT.date)]
    whole = all_judged(drawn)
    assert whole == all_judged(after)
    assert whole[Outcome.FLIPPED] == [0, 0, 0]


@given(rows, sightings)
def test_nothing_after_the_horizon_changes_an_outcome(drawn: list[Row], seen: list[Row]) -> None:
    late = [("s1", TOO_LATE, "confirmed"), ("s2", TOO_LATE, "confirmed")]
    bought = [*drawn, row("anna", TOO_LATE, serial="s1"), row("ben", TOO_LATE)]
    assert all_judged(bought, [*seen, *late]) == all_judged(drawn, seen)


@given(rows, sightings)
def test_who_flipped_is_not_loyal_and_suspicions_make_no_outcome(
    drawn: list[Row], seen: list[Row]
) -> None:
    whole = all_judged(drawn, seen)
    both = zip(whole[Outcome.FLIPPED], whole[Outcome.LOYAL], strict=True)
    assert all(flipped + loyal <= 1 for flipped, loyal in both)
    assert all_judged(drawn, [one for one in seen if one[2] != "suspected"]) == whole


def test_an_outcome_that_no_ledger_shows_is_refused() -> None:
    assert Outcome.named("y_flipped") is Outcome.FLIPPED
    with pytest.raises(FeatureError, match="shows y_loyal, y_flipped, y_lapsed; train on given"):
        Outcome.named("y_flip7")


def test_a_piece_that_was_only_serviced_before_the_cut_off_was_not_owned_then() -> None:
    """What is bought after it is in no feature, and its resale is the next cut-off's."""
    drawn = [row("anna", BEFORE, "service", serial="s1"), row("anna", NEXT_DAY, serial="s1")]
    assert judged(Outcome.FLIPPED, drawn, [("s1", AFTER, "confirmed")]) == [0, 0, 0]


@pytest.mark.parametrize(("days", "flipped"), [(-1, 1), (0, 0), (1, 0)])
def test_what_was_dismissed_on_the_day_of_its_confirmation_or_later_is_no_resale(
    days: int, flipped: int
) -> None:
    drawn = [row("anna", BEFORE, serial="s1")]
    seen = [("s1", AFTER, "confirmed"), ("s1", AFTER + dt.timedelta(days=days), "dismissed")]
    assert judged(Outcome.FLIPPED, drawn, seen)[0] == flipped
