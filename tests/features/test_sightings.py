"""Whose piece was seen, and that what is nobody's is kept apart."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import LedgerError
from features.events import pieces
from features.ledger import SIGHTINGS
from features.sightings import Apart, Attached, attach, canonical_sightings
from features.snapshot import CutOff, Snapshot
from tests.features.ledgers import (
    CUT,
    END,
    PEOPLE,
    START,
    Row,
    decided_over,
    decisions,
    events_of,
    features_of,
    ledger_of,
    row,
    rows,
    sightings,
    sightings_of,
)

if TYPE_CHECKING:
    from random import Random

SOLD, SEEN = dt.date(2025, 6, 1), dt.date(2025, 9, 1)
LATER = dt.date(2025, 12, 1)


def attached(drawn: list[Row], seen: list[Row]) -> Attached:
    return attach(ledger_of(drawn), sightings_of(seen))


def whose(found: Attached) -> list[tuple[str, str, dt.date]]:
    """Customer, kind and day of each sighting that is somebody's."""
    seen = found.events.filter(pl.col("kind").is_in(["suspected", "confirmed"]))
    return sorted(seen.select("customer", "kind", "date").iter_rows())


def why(found: Attached) -> list[tuple[str, str]]:
    return sorted(found.apart.select("serial", "why").iter_rows())


# --- whose it is ----------------------------------------------------------------------------------


def test_a_sighting_belongs_to_who_bought_the_piece() -> None:
    bought = row("anna", SOLD, serial="s1", reference="scarce-1", price=9000.0)
    found = attached([bought, row("ben", SOLD, serial="s2")], [("s1", SEEN, "confirmed")])
    assert whose(found) == [("anna", "confirmed", SEEN)]
    sighting = found.events.row(-1, named=True)
    assert (sighting["serial"], sighting["outlet"], sighting["tier"]) == ("s1", "o1", "allocation")
    assert (sighting["price"], sighting["list_price"]) == (0.0, 0.0)  # nothing was spent again
    assert sum(found.counts().values()) == 0


def test_a_piece_may_be_seen_on_the_day_of_its_sale() -> None:
    found = attached([row("anna", SOLD, serial="s1")], [("s1", SOLD, "suspected")])
    assert whose(found) == [("anna", "suspected", SOLD)]


def test_a_serial_that_nobody_bought_here_is_kept_apart_and_counted() -> None:
    serviced = row("anna", SOLD, "service", serial="s9")  # bought elsewhere
    asked = row("ben", SOLD, "interest")
    seen = [("s8", SEEN, "confirmed"), ("s9", SEEN, "confirmed"), ("s9", LATER, "suspected")]
    found = attached([serviced, asked], seen)
    assert whose(found) == []
    assert found.counts() == {
        "never sold here": 3, "seen before its sale": 0, "brought back before it was seen": 0
    }  # fmt: skip
    assert found.events.equals(ledger_of([serviced, asked]))


def test_a_piece_that_was_seen_before_its_sale_is_nobodys() -> None:
    found = attached(
        [row("anna", SEEN, serial="s1")],
        [("s1", SEEN - dt.timedelta(days=1), "confirmed"), ("s1", LATER, "suspected")],
    )
    assert whose(found) == [("anna", "suspected", LATER)]
    assert why(found) == [("s1", Apart.BEFORE_SALE)]


def test_a_piece_that_was_brought_back_before_it_was_seen_is_nobodys() -> None:
    back = row("anna", SEEN, "return", serial="s1")
    found = attached([row("anna", SOLD, serial="s1"), back], [("s1", LATER, "confirmed")])
    assert whose(found) == []
    assert why(found) == [("s1", Apart.BROUGHT_BACK)]


def test_a_piece_that_was_seen_before_it_was_brought_back_is_its_buyers() -> None:
    back = row("anna", LATER, "return", serial="s1")
    found = attached([row("anna", SOLD, serial="s1"), back], [("s1", SEEN, "confirmed")])
    assert whose(found) == [("anna", "confirmed", SEEN)]


def test_a_piece_sold_again_has_each_sighting_at_who_owned_it_then() -> None:
    drawn = [
        row("anna", SOLD, serial="s1"),
        row("anna", SEEN, "return", serial="s1"),
        row("ben", LATER, serial="s1"),
    ]
    between = SEEN + dt.timedelta(days=9)
    found = attached(
        drawn,
        [
            ("s1", SOLD + dt.timedelta(days=9), "suspected"),
            ("s1", between, "suspected"),
            ("s1", LATER + dt.timedelta(days=9), "confirmed"),
        ],
    )
    assert [(who, kind) for who, kind, _ in whose(found)] == [
        ("anna", "suspected"), ("ben", "confirmed")
    ]  # fmt: skip
    assert found.counts()[Apart.BROUGHT_BACK.value] == 1
    assert found.apart["date"].to_list() == [between]


def test_an_interest_or_a_service_visit_makes_nobody_an_owner() -> None:
    drawn = [
        row("anna", SOLD, serial="s1"),
        row("ben", SEEN, "service", serial="s1"),
        row("ben", SEEN, "accepted", serial="s1"),
    ]
    assert whose(attached(drawn, [("s1", LATER, "confirmed")])) == [("anna", "confirmed", LATER)]


def test_what_was_suspected_and_then_confirmed_is_both() -> None:
    found = attached(
        [row("anna", SOLD, serial="s1")], [("s1", LATER, "confirmed"), ("s1", SEEN, "suspected")]
    )
    assert whose(found) == [("anna", "confirmed", LATER), ("anna", "suspected", SEEN)]


def test_an_outlet_without_sightings_has_its_events_and_counts_nothing() -> None:
    events = ledger_of([row("anna", SOLD, serial="s1")])
    for found in (attach(events, sightings_of([])), Attached.without(events)):
        assert found.events.equals(events)
        assert found.counts() == dict.fromkeys((one.value for one in Apart), 0)


@given(rows, sightings)
def test_every_sighting_is_somebodys_or_apart_and_no_other_row_changes(
    drawn: list[Row], seen: list[Row]
) -> None:
    events = ledger_of([("anna", "o1", *rest) for _, _, *rest in drawn])
    found = attach(events, sightings_of(seen))
    assert found.events.head(len(events)).equals(events)
    assert len(found.events) - len(events) + len(found.apart) == len(seen)
    assert sum(found.counts().values()) == len(found.apart)


# --- dismissed ------------------------------------------------------------------------------------


def test_what_was_dismissed_later_or_on_the_same_day_is_gone_and_what_comes_after_stays() -> None:
    drawn = [row("anna", SOLD, serial=serial) for serial in ("s1", "s2", "s3")]
    seen = [
        ("s1", SOLD, "suspected"),
        ("s1", SEEN, "confirmed"),
        ("s1", SEEN, "dismissed"),
        ("s2", SEEN, "dismissed"),
        ("s2", LATER, "suspected"),
        ("s3", SOLD, "suspected"),
    ]
    events = attach(ledger_of(drawn), sightings_of(seen)).events
    found = pieces(Snapshot.take(events, CUT, CUT.date)).sort("key")
    assert found["suspected"].to_list() == [False, True, True]
    assert not found["confirmed"].any()


# --- decided by people ----------------------------------------------------------------------------

DAY = dt.timedelta(days=1)


def decided(drawn: list[Row], seen: list[Row], decisions: list[Row]) -> Attached:
    return attach(ledger_of(drawn), decided_over(seen, decisions))


def status(found: Attached, customer: str, day: dt.date = CUT.date) -> str | None:
    """What piece s1 of a customer says as of a day; None where it was never seen by then."""
    events = found.events.filter(customer=customer, serial="s1")
    one = pieces(Snapshot.take(events, CutOff(day), day))
    seen = events.filter(pl.col("kind").is_in(list(SIGHTINGS)), pl.col("date") <= day)
    if one.is_empty() or seen.is_empty():
        return None
    if one["confirmed"].any():
        return "confirmed"
    return "suspected" if one["suspected"].any() else "dismissed"


def last_word(seen: list[Row], decisions: list[Row], day: dt.date) -> str | None:
    """The same, of who had the piece all the time, by the rule as a manager reads it.

    Of one day, the table comes first, a dismissal last in it; then the decisions as they were
    taken. A dismissal takes back all before it, a suspicion changes nothing that is confirmed.
    """
    said = None
    first = [(one[1], 0, one[2] == "dismissed", one[2]) for one in seen if one[0] == "s1"]
    then = [(one[1], 1 + turn, False, one[2]) for turn, one in enumerate(decisions)]
    for when, _, _, kind in sorted([*first, *then]):
        if when <= day and not (kind == "suspected" and said == "confirmed"):
            said = kind
    return said


def test_a_confirmation_is_of_who_had_the_piece_when_it_was_seen_whoever_has_it_by_now() -> None:
    drawn = [
        row("anna", SOLD, serial="s1"),
        row("anna", SEEN + DAY, "return", serial="s1"),
        row("ben", SEEN + 2 * DAY, serial="s1"),
    ]
    seen = [("s1", SEEN, "suspected")]
    found = decided(drawn, seen, [("s1", LATER, "confirmed", SEEN)])
    assert whose(found) == [("anna", "confirmed", LATER), ("anna", "suspected", SEEN)]
    assert status(found, "anna", LATER - DAY) == "suspected"
    assert status(found, "anna", LATER) == "confirmed"
    assert status(found, "ben") is None


def test_what_is_decided_later_on_the_same_day_stands() -> None:
    drawn, seen = [row("anna", SOLD, serial="s1")], [("s1", SEEN, "suspected")]
    yes, no = ("s1", LATER, "confirmed", SEEN), ("s1", LATER, "dismissed", LATER)
    for order in ([no, yes], [yes, no], [yes, no, yes], [no, yes, no]):
        found = decided(drawn, seen, order)
        assert status(found, "anna", LATER - DAY) == "suspected"
        assert status(found, "anna") == order[-1][2]


def test_a_decision_outranks_a_row_of_the_table_of_its_own_day_and_a_newer_row_the_decision() -> (
    None
):
    drawn = [row("anna", SOLD, serial="s1")]
    for kind, other in (("confirmed", "dismissed"), ("dismissed", "confirmed")):
        decision = ("s1", LATER, kind, SEEN)
        same = decided(drawn, [("s1", SEEN, "suspected"), ("s1", LATER, other)], [decision])
        assert status(same, "anna") == kind
        newer = decided(drawn, [("s1", SEEN, "suspected"), ("s1", LATER + DAY, other)], [decision])
        assert status(newer, "anna", LATER) == kind
        assert status(newer, "anna", LATER + DAY) == other


def test_a_confirmation_of_one_customers_sighting_leaves_the_others_dismissed_on_its_day() -> None:
    drawn = [
        row("anna", SOLD, serial="s1"),
        row("anna", SEEN + DAY, "return", serial="s1"),
        row("ben", SEEN + 2 * DAY, serial="s1"),
    ]
    seen = [("s1", SEEN, "confirmed"), ("s1", SEEN + 9 * DAY, "confirmed")]
    no, bens = ("s1", LATER, "dismissed", LATER), ("s1", LATER, "confirmed", SEEN + 9 * DAY)
    found = decided(drawn, seen, [no, bens])
    assert (status(found, "anna"), status(found, "ben")) == ("dismissed", "confirmed")


def test_a_decision_about_nobodys_piece_is_used_for_nothing_and_counts_nothing() -> None:
    seen = [("s8", SEEN, "suspected")]
    decisions = [("s8", LATER, "confirmed", SEEN), ("s8", LATER, "dismissed", LATER)]
    found = decided([row("anna", SOLD, serial="s1")], seen, decisions)
    assert whose(found) == []
    assert why(found) == [("s8", Apart.NEVER_SOLD)]


@given(sightings, decisions, st.dates(START, END))
def test_the_last_word_on_a_piece_counts_from_its_day_on(
    seen: list[Row], decisions: list[Row], day: dt.date
) -> None:
    drawn = [row("anna", dt.date(2024, 1, 1), serial="s1")]
    theirs = [one for one in decisions if one[0] == "s1"]
    assert status(decided(drawn, seen, decisions), "anna", day) == last_word(seen, theirs, day)


@given(rows, sightings, decisions)
def test_a_decision_after_the_cut_off_changes_no_feature(
    drawn: list[Row], seen: list[Row], decisions: list[Row]
) -> None:
    before = [one for one in decisions if one[1] <= CUT.date]
    expected = features_of(events_of(drawn, seen, before))
    assert np.array_equal(features_of(events_of(drawn, seen, decisions)), expected)


@given(rows, sightings, decisions)
def test_whose_a_decision_is_depends_on_nobody_elses_rows(
    drawn: list[Row], seen: list[Row], decisions: list[Row]
) -> None:
    events = ledger_of([(who, "o1", *rest) for who, _, *rest in drawn])
    known = decided_over(seen, decisions)
    everybody = attach(events, known).events
    for customer in events["customer"].unique():
        own = events.filter(pl.col("customer") == customer)
        together = everybody.filter(pl.col("customer") == customer)
        assert Counter(attach(own, known).events.rows()) == Counter(together.rows())


@given(rows, sightings)
def test_nothing_decided_changes_nothing(drawn: list[Row], seen: list[Row]) -> None:
    events = ledger_of(drawn)
    plain, laid = attach(events, sightings_of(seen)), decided(drawn, seen, [])
    assert laid.events.equals(plain.events)
    assert (laid.counts(), laid.shared) == (plain.counts(), plain.shared)


# --- bad rows -------------------------------------------------------------------------------------

GOOD = {"serial": "s1", "seen_at": "2026-01-01", "status": "confirmed"}


@pytest.mark.parametrize(
    ("column", "cell", "reason"),
    [
        ("serial", " ", "empty; expected a serial"),
        ("serial", None, "empty; expected a serial"),
        ("seen_at", "2026-02-30", "expected a date in the calendar, as YYYY-MM-DD"),
        ("seen_at", "1 Feb", "expected a date in the calendar, as YYYY-MM-DD"),
        ("seen_at", None, "expected a date in the calendar, as YYYY-MM-DD"),
        ("status", "sold", "expected one of suspected, confirmed, dismissed"),
        ("status", "purchase", "expected one of suspected, confirmed, dismissed"),
        ("status", None, "expected one of suspected, confirmed, dismissed"),
    ],
)
def test_a_bad_cell_is_one_error_that_names_file_row_and_column(
    column: str, cell: str | None, reason: str
) -> None:
    table = pl.DataFrame([GOOD, {**GOOD, column: cell}])
    with pytest.raises(LedgerError) as caught:
        canonical_sightings(table, "seen.csv")
    assert str(caught.value) == f"seen.csv, row 2, column {column}: {reason}"


@pytest.mark.parametrize("column", ["serial", "seen_at", "status"])
def test_a_missing_column_is_named_with_what_is_there(column: str) -> None:
    with pytest.raises(LedgerError, match=rf"seen.csv, column {column}: missing; got \w+, \w+"):
        canonical_sightings(pl.DataFrame([GOOD]).drop(column), "seen.csv")


def test_dates_and_numbers_as_a_parquet_file_has_them_are_read() -> None:
    table = pl.DataFrame({"serial": [7], "seen_at": [SEEN], "status": ["confirmed"], "by": ["x"]})
    assert canonical_sightings(table, "x").rows() == [("7", SEEN, "confirmed")]


# --- point in time --------------------------------------------------------------------------------


@given(rows, sightings)
def test_a_sighting_after_the_cut_off_changes_no_feature(drawn: list[Row], seen: list[Row]) -> None:
    before = [sighting for sighting in seen if sighting[1] <= CUT.date]
    assert np.array_equal(
        features_of(events_of(drawn, seen)), features_of(events_of(drawn, before))
    )


@given(rows, sightings)
def test_a_sale_or_a_return_after_the_cut_off_moves_no_sighting_that_a_feature_sees(
    drawn: list[Row], seen: list[Row]
) -> None:
    before = [one for one in drawn if one[2] <= CUT.date]
    if before:
        expected = features_of(events_of(before, seen))
        assert np.array_equal(features_of(events_of(drawn, seen)), expected)


def test_a_dismissal_after_the_cut_off_changes_no_feature() -> None:
    drawn = [row("anna", SOLD, serial="s1")]
    seen = [("s1", LATER, "suspected")]
    dismissed = [*seen, ("s1", CUT.date + dt.timedelta(days=1), "dismissed")]
    assert np.array_equal(
        features_of(events_of(drawn, dismissed)), features_of(events_of(drawn, seen))
    )


def sold_once_a_day(drawn: list[Row]) -> list[Row]:
    """At each outlet a piece changes hands once a day, as in a shop."""
    moves = Counter[tuple[str, str, dt.date]]()
    kept = []
    for one in drawn:
        place = (one[1], one[7], one[2])
        moves[place] += one[7] is not None and one[3] in ("purchase", "return")
        if moves[place] <= 1:
            kept.append(one)
    return kept


@given(rows.map(sold_once_a_day), sightings, st.randoms(use_true_random=False))
def test_the_order_of_rows_and_sightings_changes_nothing(
    drawn: list[Row], seen: list[Row], random: Random
) -> None:
    expected = features_of(events_of(drawn, seen))
    random.shuffle(drawn)
    random.shuffle(seen)
    np.testing.assert_allclose(features_of(events_of(drawn, seen)), expected, rtol=1e-12)
    assert expected.shape[0] == len(PEOPLE)


# --- one customer's rows ----------------------------------------------------------------------


@given(rows, sightings)
def test_whose_a_sighting_is_depends_on_nobody_elses_rows(
    drawn: list[Row], seen: list[Row]
) -> None:
    """So that taking one customer away changes no other customer's events."""
    events = ledger_of([(who, "o1", *rest) for who, _, *rest in drawn])
    everybody = attach(events, sightings_of(seen)).events
    for customer in events["customer"].unique():
        own = events.filter(pl.col("customer") == customer)
        alone = attach(own, sightings_of(seen)).events
        together = everybody.filter(pl.col("customer") == customer)
        assert Counter(alone.rows()) == Counter(together.rows())


def test_a_piece_whose_return_was_not_booked_is_seen_at_both_who_bought_it_and_counted() -> None:
    drawn = [row("anna", SOLD, serial="s1"), row("ben", SEEN, serial="s1")]
    found = attach(ledger_of(drawn), sightings_of([("s1", LATER, "confirmed")]))
    confirmed = found.events.filter(pl.col("kind") == "confirmed")
    assert sorted(confirmed["customer"]) == ["anna", "ben"]
    assert found.shared == 1
    assert found.apart.is_empty()


def test_a_dismissal_clears_also_who_has_brought_the_piece_back_since() -> None:
    drawn = [
        row("anna", SOLD, serial="s1"),
        row("anna", LATER, "return", serial="s1"),
        row("ben", LATER, serial="s1"),
    ]
    day = LATER + dt.timedelta(days=1)
    seen = [("s1", SEEN, "confirmed"), ("s1", day, "dismissed")]
    events = attach(ledger_of(drawn), sightings_of(seen)).events
    assert not pieces(Snapshot.take(events, CUT, CUT.date))["confirmed"].any()
