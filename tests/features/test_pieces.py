"""What one event is: a piece with everything attached to it, and what each part of it says."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given

from features.events import POINT_FEATURES, RATE_FEATURES, event_features, pieces
from tests.features.ledgers import CUT, Row, events_of, row, rows, sightings, snapshot_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

BOUGHT, SERVICED, SEEN = dt.date(2025, 6, 1), dt.date(2025, 8, 1), dt.date(2025, 9, 1)
LATER = dt.date(2025, 12, 1)
NAMES = [feature.__name__ for feature in (*POINT_FEATURES, *RATE_FEATURES)]


def pieces_of(drawn: Sequence[Row], seen: Sequence[Row] = ()) -> pl.DataFrame:
    return pieces(snapshot_of(events_of(drawn, seen)))


def only(drawn: Sequence[Row], seen: Sequence[Row] = ()) -> dict[str, Any]:
    """The one event that the rows make."""
    return pieces_of(drawn, seen).row(named=True)


def said(drawn: Sequence[Row], seen: Sequence[Row] = ()) -> dict[str, float]:
    """The features of the one event that the rows make."""
    found = event_features(snapshot_of(events_of(drawn, seen)))
    [values] = np.hstack([found.points, found.rates])
    return dict(zip(NAMES, values.tolist(), strict=True))


# --- what is one event ----------------------------------------------------------------------------


def test_a_piece_with_everything_attached_to_it_is_one_event() -> None:
    drawn = [
        row("anna", SERVICED, "service", serial="s1", price=250.0),
        row("anna", BOUGHT, serial="s1", reference="limited-1", price=900.0, list_price=1000.0),
        row("anna", LATER, "return", serial="s1", reference="limited-1", price=900.0),
    ]
    seen = [("s1", SEEN, "suspected"), ("s1", SEEN + dt.timedelta(days=3), "confirmed")]
    assert only(drawn, seen) == {
        "customer": "anna", "outlet": "o1", "key": "s1", "kind": "purchase", "date": BOUGHT,
        "price": 900.0, "list_price": 1000.0, "tier": "limited", "bought": True, "returned": True,
        "serviced": True, "declined": False, "suspected": True, "confirmed": True,
        "held_days": (SEEN - BOUGHT).days, "age": (CUT.date - BOUGHT).days,
    }  # fmt: skip


def test_each_thing_that_may_be_attached_to_a_piece_is_said_of_no_other() -> None:
    flags = ("bought", "returned", "serviced", "declined", "suspected", "confirmed")
    bought_only, asked = row("anna", BOUGHT, serial="s1"), row("anna", BOUGHT, "interest")
    for event, true in (
        (only([bought_only]), {"bought"}),
        (only([row("anna", BOUGHT, "return", serial="s1")]), {"returned"}),
        (only([row("anna", BOUGHT, "service", serial="s1")]), {"serviced"}),
        (only([asked]), set()),
        (only([row("anna", BOUGHT, "declined")]), {"declined"}),
        (only([bought_only], [("s1", SEEN, "suspected")]), {"bought", "suspected"}),
        (only([bought_only], [("s1", SEEN, "confirmed")]), {"bought", "confirmed"}),
    ):
        assert {flag for flag in flags if event[flag]} == true


def test_a_serviced_piece_that_was_bought_elsewhere_is_an_event_and_no_purchase() -> None:
    event = only([row("anna", SERVICED, "service", serial="s1", reference="scarce-1", price=250.0)])
    assert (event["kind"], event["date"], event["key"]) == ("service", SERVICED, "s1")
    assert (event["bought"], event["serviced"], event["price"]) == (False, True, 0.0)
    says = said([row("anna", CUT.date, "service", serial="s1", reference="scarce-1")])
    assert says.pop("active") == 3
    assert set(says.values()) == {0.0}


def test_an_interest_is_one_event_with_the_answers_to_its_offers() -> None:
    drawn = [
        row("anna", BOUGHT, "interest", basket_id="i1", reference="scarce-1"),
        row("anna", SEEN, "declined", basket_id="i1", reference="scarce-1"),
        row("anna", LATER, "accepted", basket_id="i1", reference="scarce-1"),
    ]
    event = only(drawn)
    assert (event["kind"], event["date"], event["key"]) == ("interest", BOUGHT, "i1")
    assert (event["declined"], event["bought"], event["tier"]) == (True, False, "allocation")
    says = said(drawn)
    assert {name for name, value in says.items() if value > 0} == {"active", "waiting"}


def test_an_interest_is_another_event_than_a_purchase_in_its_basket() -> None:
    drawn = [
        row("anna", BOUGHT, "interest", basket_id="b"),
        row("anna", BOUGHT, "accepted", basket_id="b"),
        row("anna", BOUGHT, basket_id="b"),
        row("anna", BOUGHT, "return", basket_id="b"),
    ]
    assert pieces_of(drawn)["kind"].to_list() == ["purchase", "return", "interest"]


def test_pieces_without_a_serial_are_one_event_a_basket_of_the_scarcest_tier() -> None:
    drawn = [
        row("anna", BOUGHT, basket_id="b", price=10.0, reference=reference)
        for reference in ("open-1", "scarce-1", "limited-1")
    ]
    event = only(drawn)
    assert (event["price"], event["tier"], event["key"]) == (30.0, "allocation", "b")


def test_a_serial_that_is_named_as_a_basket_is_another_event() -> None:
    assert (
        len(pieces_of([row("anna", BOUGHT, serial="x"), row("anna", BOUGHT, basket_id="x")])) == 2
    )


def test_a_piece_that_two_people_bought_is_an_event_of_each() -> None:
    drawn = [
        row("anna", BOUGHT, serial="s1"),
        row("anna", SERVICED, "return", serial="s1"),
        row("ben", SEEN, serial="s1"),
    ]
    found = pieces_of(drawn, [("s1", LATER, "confirmed")])
    assert found.select("customer", "returned", "confirmed").rows() == [
        ("anna", True, False), ("ben", False, True)
    ]  # fmt: skip


@given(rows, sightings)
def test_events_come_in_the_order_that_is_promised_and_none_is_after_the_cut_off(
    drawn: list[Row], seen: list[Row]
) -> None:
    snapshot = snapshot_of(events_of(drawn, seen))
    found = pieces(snapshot)
    assert found.equals(found.sort("customer", "date", "outlet", "kind", "key"))
    assert (found["age"] >= 0).all()
    assert (found["held_days"] >= 0).all()
    assert event_features(snapshot).keys.equals(found.select("customer", "outlet"))


def test_a_piece_that_its_buyer_brought_back_and_bought_again_was_held_until_it_was_seen() -> None:
    drawn = [
        row("anna", dt.date(2024, 1, 1), serial="s1", price=1000.0),
        row("anna", dt.date(2025, 2, 1), "return", serial="s1", price=1000.0),
        row("anna", dt.date(2025, 3, 1), serial="s1", price=1000.0),
    ]
    event = only(drawn, [("s1", dt.date(2025, 1, 1), "confirmed")])
    assert (event["price"], event["held_days"]) == (1000.0, 366)


# --- what it says ---------------------------------------------------------------------------------


def bought(days_ago: int = 0, **cells: Any) -> list[Row]:
    return [row("anna", CUT.date - dt.timedelta(days=days_ago), serial="s1", **cells)]


def seen_after(days: int, days_ago: int, status: str = "confirmed") -> list[Row]:
    return [("s1", CUT.date - dt.timedelta(days=days_ago - days), status)]


def test_a_quick_resale_says_more_than_a_slow_one_and_a_slow_one_still_says_half() -> None:
    says = [said(bought(2400), seen_after(days, 2400)) for days in (0, 30, 60, 120, 2400)]
    assert [one["resold"] for one in says] == pytest.approx(
        [4, 2 + 2 / 2**0.5, 3, 2.5, 2], rel=1e-9
    )
    assert {one["suspected"] for one in says} == {0.0}


def test_what_is_only_suspected_is_not_resold_and_says_the_same_whenever_it_was_seen() -> None:
    for days in (0, 60, 240):
        says = said(bought(240), seen_after(days, 240, "suspected"))
        assert (says["resold"], says["suspected"]) == (0.0, 4.0)


def test_a_piece_first_suspected_and_then_confirmed_was_held_until_the_first_of_both() -> None:
    seen = seen_after(60, 120, "suspected") + seen_after(90, 120)
    says = said(bought(120), seen)
    assert says["resold"] == pytest.approx(3.0)
    assert says["suspected"] == 0


def test_a_confirmation_counts_on_though_the_piece_was_suspected_again() -> None:
    seen = seen_after(60, 120) + seen_after(90, 120, "suspected")
    assert said(bought(120), seen)["resold"] == pytest.approx(3.0)


def test_who_waits_says_so_less_every_quarter() -> None:
    for days, expected in [(0, 4.0), (90, 2.0), (180, 1.0)]:
        asked = [row("anna", CUT.date - dt.timedelta(days=days), "interest")]
        assert said(asked)["waiting"] == pytest.approx(expected)
    assert said(bought(0))["waiting"] == 0


@pytest.mark.parametrize(
    ("reference", "seen", "expected"),
    [
        ("scarce-1", [], 1.0),
        ("limited-1", [], 0.5),
        ("open-1", [], 0.0),
        (None, [], 0.0),
        ("scarce-1", seen_after(0, 0, "suspected"), 0.6),
        ("scarce-1", seen_after(0, 0), 0.0),
    ],
)
def test_what_could_be_resold_is_scarce_and_not_yet_seen(
    reference: str | None, seen: list[Row], expected: float
) -> None:
    says = said(bought(reference=reference), seen)
    assert says["recent_scarce"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("price", "list_price", "expected"),
    [(100, 100, 0), (75, 100, 1), (0, 100, 4), (120, 100, 0), (1e9, 1.0, 0)],
)
def test_a_discount_is_four_times_its_share(
    price: float, list_price: float, expected: float
) -> None:
    assert said(bought(price=price, list_price=list_price))["discount"] == expected


@pytest.mark.parametrize(
    ("price", "size", "spend"),
    [(0.5, 0, 0), (1, 0, 0), (10, 0.2, 0.4**3 / 3), (1e3, 0.6, 0.576), (1e5, 1, 0.576),
     (1e8, 1, 0.576)],
)  # fmt: skip
def test_a_price_counts_on_a_log_scale_between_public_bounds(
    price: float, size: float, spend: float
) -> None:
    says = said(bought(price=price))
    assert says["purchase_price"] == pytest.approx(size)
    assert says["recent_spend"] == pytest.approx(spend)


def test_what_a_purchase_says_halves_at_its_half_life() -> None:
    today, quarter, year = (said(bought(days)) for days in (0, 90, 360))
    for name in ("recent_purchase", "lately"):
        assert quarter[name] == pytest.approx(today[name] / 2)
    for name in ("recent_spend", "active"):
        assert year[name] == pytest.approx(today[name] / 2)
