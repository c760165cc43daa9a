"""Reasons: they are in plain words, and add up to what the outlet sends."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.events import (
    DIMENSION,
    POINT_FEATURES,
    RATE_FEATURES,
    CustomerSums,
    event_features,
    pieces,
)
from features.ledger import SIGHTINGS, Kind, Tier, canonical_events
from features.outcomes import Outcome
from features.points import (
    PART_BOUND,
    count_points,
    event_points,
    outlet_parts,
    part_points,
    whole_points,
)
from features.reasons import Reasons, reasons, rounded_together
from features.scorecard import LARGEST_WEIGHT, Scorecard
from features.sightings import attach, canonical_sightings
from features.snapshot import CutOff, Snapshot
from features.starting import starting_scorecard
from tests.features.ledgers import USUAL

if TYPE_CHECKING:
    from collections.abc import Sequence

CUT = CutOff(dt.date(2026, 1, 31))
PEOPLE = pl.Series(["anna", "ben", "cleo"])
TIERS = {"OP": Tier.OPEN, "LI": Tier.LIMITED, "AL": Tier.ALLOCATION}
CARD = Scorecard.of("y", np.linspace(-1.0, 2.0, DIMENSION), USUAL)
RATE_FEATURES_BY_NAME = [feature.__name__ for feature in RATE_FEATURES]
COLUMNS = {
    "customer_id": pl.String, "kind": pl.String, "purchased_at": pl.Date, "basket_id": pl.String,
    "serial": pl.String, "reference": pl.String, "price": pl.Float64,
}  # fmt: skip

days = st.dates(dt.date(2023, 1, 1), dt.date(2026, 3, 1))
kinds = st.sampled_from([kind for kind in Kind if kind not in SIGHTINGS])
serials = st.sampled_from(["s1", "s2", "s3", None])
rows = st.lists(
    st.tuples(
        st.sampled_from(PEOPLE.to_list()), kinds, days, st.sampled_from(["b1", "b2", "b3"]),
        serials, st.sampled_from([*TIERS, None]), st.floats(0, 1e6),
    ),
    min_size=1, max_size=20,
)  # fmt: skip
sightings = st.lists(
    st.tuples(serials.filter(bool), days, st.sampled_from(["suspected", "confirmed"]))
)
weights = st.sampled_from([0.3, 5.0, LARGEST_WEIGHT]).flatmap(
    lambda size: st.lists(st.floats(-size, size), min_size=DIMENSION, max_size=DIMENSION)
)
"""Of a size: few parts of the smallest reach the bound, all of the largest do."""

dithers = st.floats(0, 1, exclude_max=True)


def snapshot_of(
    drawn: Sequence[tuple[Any, ...]], seen: Sequence[tuple[Any, ...]] = (), outlet: str = "o1"
) -> Snapshot:
    """Of an outlet's ledger rows and sightings."""
    ledger = pl.DataFrame(list(drawn), schema=COLUMNS, orient="row")
    ledger = ledger.with_columns(outlet_id=pl.lit(outlet), list_price=1.25 * pl.col("price"))
    table = pl.DataFrame(
        [(serial, str(day), status) for serial, day, status in seen],
        schema={"serial": pl.String, "seen_at": pl.String, "status": pl.String}, orient="row",
    )  # fmt: skip
    events = canonical_events(ledger, "drawn", TIERS)
    events = attach(events, canonical_sightings(table, "drawn")).events
    return Snapshot.take(events, CUT, CUT.date)


def total(found: Reasons) -> int:
    return sum(one.points for one in found.events) + found.count + found.over


@given(rows, sightings, weights, st.lists(dithers, min_size=3, max_size=3))
def test_the_lines_add_up_to_what_the_outlet_sends_if_it_is_the_home(
    drawn: list[tuple[Any, ...]],
    seen: list[tuple[Any, ...]],
    weight: list[float],
    dither: list[float],
) -> None:
    """To the last point, under any dither, also where more than the bound is not sent."""
    card, snapshot = Scorecard.of("y", np.array(weight), USUAL), snapshot_of(drawn, seen)
    sums = CustomerSums.of(event_features(snapshot), PEOPLE)
    everybody = np.ones(len(PEOPLE), dtype=bool)
    sent = outlet_parts([card], sums, everybody, np.array(dither)[:, None])
    for customer, own, (part, evidence) in zip(PEOPLE, dither, sent.tolist(), strict=True):
        found = reasons(snapshot, customer, card, own)
        assert (total(found), found.part, found.evidence) == (part, part, evidence)
        assert abs(found.part) == PART_BOUND or found.over == 0
        assert found.over * found.part <= 0
        sizes = [abs(one.points) for one in found.events]
        assert sizes == sorted(sizes, reverse=True)


@given(rows, sightings, st.lists(st.floats(-5, 5), min_size=DIMENSION, max_size=DIMENSION), dithers)
def test_each_line_is_less_than_a_point_from_what_it_stands_for(
    drawn: list[tuple[Any, ...]], seen: list[tuple[Any, ...]], weight: list[float], dither: float
) -> None:
    card, snapshot = Scorecard.of("y", np.array(weight), USUAL), snapshot_of(drawn, seen)
    events = event_features(snapshot)
    for customer in events.customers():
        mine = (events.keys["customer"] == customer).to_numpy()
        exact = np.sort(event_points(card, events.each().where(mine)))
        found = reasons(snapshot, customer, card, dither)
        lines = np.sort([one.points for one in found.events])
        assert np.abs(lines - exact).max() < 1 + 1e-6
        [count] = count_points(card, np.array([float(mine.sum())]), np.array([True]))
        assert abs(found.count - count) < 1 + 1e-6


CAPPED = Scorecard.of("y", np.full(DIMENSION, 3.0))


@pytest.mark.parametrize("sign", [1, -1])
def test_what_is_over_the_bound_has_a_line_of_its_own(sign: int) -> None:
    card = Scorecard.of("y", sign * np.asarray(CAPPED.weights))
    drawn = [
        ("anna", "purchase", CUT.date, f"b{place}", f"s{place}", "AL", 900.0) for place in range(5)
    ]
    found = reasons(snapshot_of(drawn), "anna", card)
    lines = sum(one.points for one in found.events) + found.count
    assert (found.part, total(found), found.evidence) == (sign * PART_BOUND, sign * PART_BOUND, 5)
    assert lines * sign > PART_BOUND
    assert found.over == found.part - lines


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), dithers)
def test_numbers_rounded_together_add_up_to_their_rounded_sum(
    exact: list[float], dither: float
) -> None:
    total = int(whole_points(np.array([sum(exact)]), dither)[0])
    found = rounded_together(np.array(exact), total)
    assert found.sum() == total
    assert found.dtype == np.int64
    assert np.abs(found - exact).max() < 1 + 1e-6


def test_a_part_that_its_dither_rounds_up_has_a_point_more_in_its_lines() -> None:
    drawn = [("anna", "purchase", MAY, "b", "s", "LI", 8_000.0)]
    snapshot, at_home = snapshot_of(drawn), np.array([True])
    [exact] = part_points(CARD, event_features(snapshot).total(), at_home)
    below = int(np.floor(exact))
    edge = 1 - (exact - below)
    assert 0.1 < edge < 0.9
    for dither, part in ((0.0, below), (edge - 0.01, below), (edge + 0.01, below + 1)):
        found = reasons(snapshot, "anna", CARD, dither)
        assert (found.part, total(found)) == (part, part)


@pytest.mark.parametrize(
    ("exact", "expected"),
    [
        ([0.3, 0.3, 0.3], [1, 0, 0]),  # of equals the first
        ([1.2, 2.7, -0.9], [1, 3, -1]),
        ([0.6, 0.7, 0.7], [0, 1, 1]),
        ([-0.4, -0.4, -0.4], [0, 0, -1]),
        ([5.0, -2.0], [5, -2]),
        ([0.0], [0]),
    ],
)
def test_what_rounding_owes_goes_to_the_largest_remainders(
    exact: list[float], expected: list[int]
) -> None:
    assert rounded_together(np.array(exact), round(sum(exact))).tolist() == expected


@given(rows, sightings)
def test_pieces_and_event_features_are_in_one_order(
    drawn: list[tuple[Any, ...]], seen: list[tuple[Any, ...]]
) -> None:
    snapshot = snapshot_of(drawn, seen)
    events, numbers = pieces(snapshot), event_features(snapshot)
    assert events.select("customer", "outlet").equals(numbers.keys)
    for features, values in ((POINT_FEATURES, numbers.points), (RATE_FEATURES, numbers.rates)):
        for feature, column in zip(features, values.T, strict=True):
            expected = events.select(feature()).to_series().to_numpy()
            np.testing.assert_array_equal(column, expected)


@given(rows, sightings, st.randoms())
def test_reasons_do_not_depend_on_the_order_of_rows(
    drawn: list[tuple[Any, ...]], seen: list[tuple[Any, ...]], random: Any
) -> None:
    def told(found: list[tuple[Any, ...]]) -> tuple[int, int, list[tuple[str, dt.date]]]:
        one = reasons(snapshot_of(found, seen), "anna", CARD)
        lines = sorted((each.text, each.date) for each in one.events)
        return one.part, one.count, lines

    # The tier of a piece is its first row's; rows of a day stand in the ledger's order.
    first = {row[4] or row[3]: row[5] for row in reversed(drawn)}
    even = [(*row[:5], first[row[4] or row[3]], row[6]) for row in drawn]
    assert told(even) == told(random.sample(even, len(even)))


@given(rows, sightings)
def test_events_of_others_and_events_after_the_cut_off_change_no_reason(
    drawn: list[tuple[Any, ...]], seen: list[tuple[Any, ...]]
) -> None:
    snapshot = snapshot_of(drawn, seen)
    mine = snapshot.history.filter(pl.col("customer") == "anna")
    alone = Snapshot.take(mine, CUT, CUT.date)
    whole, only = (reasons(one, "anna", CARD) for one in (snapshot, alone))
    assert whole == only


def test_a_customer_without_events_has_no_reason_and_is_sent_nothing() -> None:
    snapshot = snapshot_of([("anna", "purchase", dt.date(2025, 5, 2), "b", None, None, 9.0)])
    assert reasons(snapshot, "ben", CARD) == Reasons(0, 0, 0, 0, ())


MAY, JUNE = dt.date(2025, 5, 2), dt.date(2025, 6, 5)
BOUGHT = ("purchase", MAY, "s", "AL")
WORDS: dict[str, list[tuple[str, dt.date, str | None, str | None]]] = {
    "ALLOCATION reference, May 2025": [BOUGHT],
    "LIMITED reference, May 2025": [("purchase", MAY, "s", "LI")],
    "purchase, May 2025": [("purchase", MAY, "s", "OP")],
    "purchase, June 2025": [("purchase", JUNE, None, None)],
    "return, June 2025": [("return", JUNE, None, None)],
    "return (LIMITED reference), June 2025": [("return", JUNE, "s", "LI")],
    "service (ALLOCATION reference), June 2025": [("service", JUNE, "s", "AL")],
    "interest (ALLOCATION reference), May 2025": [("interest", MAY, None, "AL")],
    "interest, May 2025": [("interest", MAY, None, None), ("accepted", JUNE, None, None)],
    "interest, May 2025, offer declined": [
        ("interest", MAY, None, None), ("declined", JUNE, None, None),
    ],
    "offer accepted, June 2025": [("accepted", JUNE, None, None)],
    "offer declined, June 2025": [("declined", JUNE, None, None)],
    "ALLOCATION reference, May 2025, serviced": [BOUGHT, ("service", JUNE, "s", "AL")],
    "ALLOCATION reference, May 2025, returned": [BOUGHT, ("return", JUNE, "s", "AL")],
    "ALLOCATION reference, May 2025, serviced, returned": [
        BOUGHT, ("service", JUNE, "s", "AL"), ("return", JUNE, "s", "AL"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("words", WORDS)
def test_each_kind_of_event_has_plain_words(words: str) -> None:
    drawn = [("anna", kind, day, "b", s, ref, 10.0) for kind, day, s, ref in WORDS[words]]
    [reason] = reasons(snapshot_of(drawn), "anna", CARD).events
    assert reason.text == words


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        ([("s", JUNE, "suspected")], "suspected resold after 34 days"),
        ([("s", JUNE, "confirmed")], "confirmed resold after 34 days"),
        ([("s", dt.date(2025, 5, 3), "confirmed")], "confirmed resold after 1 day"),
        (
            [("s", JUNE, "suspected"), ("s", dt.date(2025, 7, 1), "confirmed")],
            "confirmed resold after 34 days",
        ),
    ],
)
def test_a_sighting_says_after_how_many_days(seen: list[tuple[Any, ...]], words: str) -> None:
    drawn = [("anna", "purchase", MAY, "b", "s", "LI", 10.0)]
    [reason] = reasons(snapshot_of(drawn, seen), "anna", CARD).events
    assert reason.text == f"LIMITED reference, May 2025, {words}"
    assert reason.date == MAY


def test_every_kind_of_row_has_words() -> None:
    """Also a sighting whose purchase is in no row, as where a ledger was cut short."""
    history = snapshot_of([("anna", "purchase", MAY, "b", "s", "OP", 1.0)]).history
    texts = []
    for kind in Kind:
        lone = history.with_columns(kind=pl.lit(kind.value, history.schema["kind"]))
        [reason] = reasons(Snapshot.take(lone, CUT, CUT.date), "anna", CARD).events
        texts.append(reason.text)
    assert all(", May 2025" in text for text in texts)
    assert texts[-2:] == ["piece, May 2025, confirmed resold", "piece, May 2025"]


def test_a_confirmed_resale_is_the_first_reason_of_flipper_risk() -> None:
    drawn = [
        ("anna", "purchase", MAY, "b1", "s1", "LI", 8_000.0),
        ("anna", "purchase", MAY, "b2", "s2", "LI", 8_000.0),
        ("anna", "interest", JUNE, "b3", None, "AL", 0.0),
    ]
    card = starting_scorecard(Outcome.FLIPPED)
    found = reasons(snapshot_of(drawn, [("s2", JUNE, "confirmed")]), "anna", card).events
    assert found[0].text == "LIMITED reference, May 2025, confirmed resold after 34 days"
    assert found[0].points > found[1].points > 0
    assert found[2].text == "interest (ALLOCATION reference), June 2025"


def test_a_usual_event_gives_nothing_by_its_kind_and_another_more_or_less() -> None:
    drawn = [
        ("anna", "purchase", MAY, "b1", "s1", "OP", 8_000.0),  # a fifth off, as the usual event
        ("anna", "return", MAY, "b2", None, None, 0.0),  # nothing off
    ]
    discount = np.zeros(DIMENSION)
    discount[1 + len(POINT_FEATURES) + RATE_FEATURES_BY_NAME.index("discount")] = 3.0
    usual = np.zeros(len(RATE_FEATURES))
    usual[RATE_FEATURES_BY_NAME.index("discount")] = 4 * 0.2
    found = reasons(snapshot_of(drawn), "anna", Scorecard.of("y", discount, usual))
    assert {one.text: one.points for one in found.events} == {
        "purchase, May 2025": 0, "return, May 2025": -6,
    }  # fmt: skip
    assert (found.part, found.count) == (-6, 0)


def test_a_reason_never_shows_itself_in_an_error() -> None:
    found = reasons(snapshot_of([("anna", *BOUGHT[:2], "b", "s", "AL", 1.0)]), "anna", CARD)
    assert "May" not in f"{found} {found.events[0]!r}"
