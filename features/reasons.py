"""Reasons: how many points each event gives its customer, as one outlet's own ledger shows it.

Invariant: base, the number of events and all reasons add up to the score of the same events.

    score = base + b log(1 + n) / 2 + sum over events of (points + rate points / (n0 + n))

Here n counts the events of one outlet. A network's n is larger, so an event may count less there;
nothing of this module knows by how much.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from features.events import COUNT_SCALE, N0, POINT_FEATURES, event_features, pieces
from features.ledger import Kind, Tier
from features.scorecard import POINTS_PER_LOGIT

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator, Mapping

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
        points: What it adds to the score.
        date: Of the purchase, else of its first row.
    """

    text: str
    points: float
    date: dt.date


@dataclass(frozen=True, slots=True, repr=False)
class Reasons:
    """A customer's score by the events of one outlet, taken apart.

    Attributes:
        base: Points of everybody.
        count: Points of the number of events.
        events: One an event, the largest first; of equals the latest.
    """

    base: float
    count: float
    events: tuple[Reason, ...]


def reasons(snapshot: Snapshot, customer: str, card: Scorecard) -> Reasons:
    """Takes a customer's score apart into base, number of events and events.

    Args:
        snapshot: One outlet's, as of a cut-off.
        customer: Whose events count; without any there are no reasons, and the base alone.
        card: What gives points.

    Returns:
        What adds up to `card.score` of the customer's vector of these events, before rounding.
    """
    own = replace(snapshot, history=snapshot.history.filter(pl.col("customer") == customer))
    events, numbers = pieces(own), event_features(own)  # in the same order
    weights = np.asarray(card.weights) * POINTS_PER_LOGIT
    rates = 1 + len(POINT_FEATURES)
    points = numbers.points @ weights[1:rates]
    points = points + numbers.rates @ weights[rates:-1] / (N0 + len(events))
    found = [
        Reason(_words(event), point, event["date"])
        for event, point in zip(events.iter_rows(named=True), points.tolist(), strict=True)
    ]
    found.sort(key=lambda one: (-abs(one.points), -one.date.toordinal()))
    count = weights[-1] * COUNT_SCALE * np.log1p(len(events))
    return Reasons(float(weights[0]), float(count), tuple(found))


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
