"""Reasons: how many points each event gives its customer, as one outlet's own ledger shows it.

Invariant: the lines are whole points and add up to the part that the outlet gives the customer, if
it is the customer's home: rounded by the dither that the part is rounded by.

    part = sum over events of event points + points of their number + what is over the bound

At an outlet that is not the home the points of the number are halved. Which of the two an outlet is
would tell that somebody met the customer before, and is not said; nothing of this module knows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from features.events import event_features, pieces
from features.ledger import Kind, Tier
from features.points import (
    NEAREST,
    bounded,
    count_points,
    event_points,
    evidence,
    part_points,
    whole_points,
)

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator, Mapping

    import numpy.typing as npt

    from features.events import Vector
    from features.scorecard import Scorecard
    from features.snapshot import Snapshot

_NAMES = {
    Kind.PURCHASE: "purchase",
    Kind.RETURN: "return",
    Kind.SERVICE: "service",
    Kind.INTEREST: "interest",
    Kind.ACCEPTED: "offer accepted",
    Kind.DECLINED: "offer declined",
    Kind.SUSPECTED: "piece",
    Kind.CONFIRMED: "piece",
    Kind.DISMISSED: "piece",
}


@dataclass(frozen=True, slots=True, repr=False)
class Reason:
    """What one event gives.

    Attributes:
        text: The event in plain words, such as "LIMITED reference, March 2024, serviced".
        points: What it adds to the sum.
        date: Of the purchase, else of its first row.
    """

    text: str
    points: int
    date: dt.date


@dataclass(frozen=True, slots=True, repr=False)
class Reasons:
    """What an outlet's events give a customer, taken apart.

    Attributes:
        part: The whole points that a home gives.
        count: Points of the number of events.
        over: What is over the bound and does not count, with its sign turned; 0 as a rule.
        evidence: The number of events, as far as it is told.
        events: One an event, the largest first; of equals the latest.
    """

    part: int
    count: int
    over: int
    evidence: int
    events: tuple[Reason, ...]


def reasons(snapshot: Snapshot, customer: str, card: Scorecard, dither: float = NEAREST) -> Reasons:
    """Takes an outlet's part of a customer's score apart into its events and their number.

    Args:
        snapshot: One outlet's, as of a cut-off.
        customer: Whose events count; without any there are no reasons, and the part is 0.
        card: What gives points.
        dither: The outlet's own of this customer and score, in [0, 1).

    Returns:
        Whole points that add up to what `outlet_parts` gives a home.
    """
    own = replace(snapshot, history=snapshot.history.filter(pl.col("customer") == customer))
    events, numbers = pieces(own), event_features(own)  # in the same order
    sums, at_home = numbers.total(), np.array([True])
    exact = [*event_points(card, numbers.each()), *count_points(card, sums.counts, at_home)]
    whole = whole_points(part_points(card, sums, at_home), dither)
    total, part = int(whole[0]), int(bounded(whole)[0])
    *points, counted = rounded_together(np.array(exact), total).tolist()
    found = [
        Reason(_words(event), point, event["date"])
        for event, point in zip(events.iter_rows(named=True), points, strict=True)
    ]
    found.sort(key=lambda one: (-abs(one.points), -one.date.toordinal()))
    return Reasons(part, counted, part - total, int(evidence(sums.counts)[0]), tuple(found))


def rounded_together(exact: Vector, total: int) -> npt.NDArray[np.int64]:
    """Rounds numbers so that they add up to their rounded sum: by largest remainders.

    Args:
        exact: float64[n], n at least 1.
        total: Their sum, rounded up or down.

    Returns:
        int64[n], each less than 1 from what it was, but for ties of the last bit.
    """
    whole = np.floor(exact)
    missing = total - int(whole.sum())
    order = np.argsort(whole - exact, kind="stable")
    whole[order[: max(missing, 0)]] += 1
    whole[order[len(order) + min(missing, 0) :]] -= 1
    return whole.astype(np.int64)


def _words(event: Mapping[str, Any]) -> str:
    """One row of `pieces` in plain words: what it is, when, and what came of it."""
    kind = Kind.PURCHASE if event["bought"] else Kind(event["kind"])
    what = _NAMES[kind]
    if event["tier"] != Tier.OPEN.value:  # also what has no tier is open
        scarce = f"{event['tier'].upper()} reference"
        what = scarce if event["bought"] else f"{what} ({scarce})"
    return ", ".join([what, f"{event['date']:%B %Y}", *_since(event, kind)])


def _since(event: Mapping[str, Any], kind: Kind) -> Iterator[str]:
    """What an event of a kind holds besides."""
    if event["serviced"] and kind is not Kind.SERVICE:
        yield "serviced"
    if event["returned"] and kind is not Kind.RETURN:
        yield "returned"
    if event["declined"] and kind is not Kind.DECLINED:
        yield _NAMES[Kind.DECLINED]
    if event["confirmed"] or event["suspected"]:
        days = event["held_days"]
        held = f" after {days} {'day' if days == 1 else 'days'}" if event["bought"] else ""
        yield f"{'confirmed' if event['confirmed'] else 'suspected'} resold{held}"
