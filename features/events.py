"""The event catalogue: what one event says about a customer, in public constants only.

An **event** is what one customer bought, or brought back, in one basket at one outlet. Its feature
vector has a block of *point* features (how much: they add up) and a block of *rate* features (what
kind: their sum is divided by n0 plus the number of events). Both add up over events and outlets, so
the vector of a customer is

    x = [1,  sum of point features,  sum of rate features / (n0 + events),  log(1 + events)]

Every bound, half-life and scale below is a constant of the catalogue. None was fitted to a
network's data, so none has to be paid for. Each value stays within [0, bound].
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from features.ledger import Kind

if TYPE_CHECKING:
    from features.snapshot import Snapshot

Matrix = npt.NDArray[np.float64]
Vector = npt.NDArray[np.float64]

CATALOGUE = "escapement/v1/retail"
"""The catalogue's name; part of every scorecard's digest. A changed constant needs a new name."""

N0 = 2.0
"""Events' worth of doubt in a rate: a share seen once in one event counts for a third."""

FAST_DAYS, SLOW_DAYS = 90.0, 360.0
"""Half-lives of an event's age, in days."""

PRICE_LOW, PRICE_HIGH = 1.0, 100_000.0
"""Prices are read on a log scale between these bounds, in major currency units."""


def _is(kind: Kind) -> pl.Expr:
    return (pl.col("kind") == kind.value).cast(pl.Float64)


def _decay(half_life: float) -> pl.Expr:
    return 0.5 ** (pl.col("age") / half_life)


def log_price() -> pl.Expr:
    """Price on a log scale: 0 at the low bound, 1 halfway (about 316), 2 at the high bound."""
    clipped = pl.col("price").clip(PRICE_LOW, PRICE_HIGH)
    return 2 * (clipped / PRICE_LOW).log() / math.log(PRICE_HIGH / PRICE_LOW)


def recent_purchase() -> pl.Expr:
    """1 for a purchase, halved every 90 days: recency and frequency fall out of the sum."""
    return _is(Kind.PURCHASE) * _decay(FAST_DAYS)


def recent_spend() -> pl.Expr:
    """Cube of the log price of a purchase, halved every 360 days: large purchases stand out."""
    return _is(Kind.PURCHASE) * log_price() ** 3 * _decay(SLOW_DAYS)


def purchase_price() -> pl.Expr:
    """Log price of a purchase; as a rate, the usual size of a basket."""
    return _is(Kind.PURCHASE) * log_price()


def returned() -> pl.Expr:
    """4 for a return; as a rate, the share of baskets brought back."""
    return 4 * _is(Kind.RETURN)


def discount() -> pl.Expr:
    """4 times the discount share of a purchase, between 0 and 4."""
    listed = pl.col("list_price").clip(lower_bound=0.01)
    return 4 * _is(Kind.PURCHASE) * (1 - pl.col("price") / listed).clip(0, 1)


POINT_FEATURES = (recent_purchase, recent_spend)
RATE_FEATURES = (purchase_price, recent_purchase, returned, discount)
POINT_BOUNDS = np.array([1.0, 8.0])
RATE_BOUNDS = np.array([2.0, 1.0, 4.0, 4.0])
FEATURE_NAMES = (
    "intercept",
    *(f"points: {feature.__name__}" for feature in POINT_FEATURES),
    *(f"rate: {feature.__name__}" for feature in RATE_FEATURES),
    "log events",
)
DIMENSION = len(FEATURE_NAMES)
"""d, the length of a customer's vector."""


@dataclass(frozen=True, slots=True, repr=False)
class EventFeatures:
    """An outlet's events as numbers.

    Attributes:
        keys: customer and outlet of each event, [events].
        points: float64[events, p], the point features.
        rates: float64[events, r], the rate features.
    """

    keys: pl.DataFrame
    points: Matrix
    rates: Matrix

    def customers(self) -> pl.Series:
        """The customers who have events, in order."""
        return self.keys["customer"].unique().sort()


def event_features(snapshot: Snapshot) -> EventFeatures:
    """Computes phi for every event at or before the cut-off.

    Args:
        snapshot: One outlet's, or several outlets', as of a cut-off.

    Returns:
        One row an event, in order of customer, date, outlet, basket and kind.
    """
    events = (
        snapshot.history.group_by("customer", "outlet", "basket", "kind")
        .agg(pl.col("date").max(), pl.col("price").sum(), pl.col("list_price").sum())
        .sort("customer", "date", "outlet", "basket", "kind")
        .with_columns(age=(pl.lit(snapshot.cut_off.date) - pl.col("date")).dt.total_days())
    )
    return EventFeatures(
        events.select("customer", "outlet"),
        _evaluate(events, [feature() for feature in POINT_FEATURES]),
        _evaluate(events, [feature() for feature in RATE_FEATURES]),
    )


def customer_features(events: EventFeatures, customers: pl.Series) -> Matrix:
    """Adds events up into one vector a customer.

    Args:
        events: From `event_features`; events of other customers are left aside.
        customers: String[n], no duplicates.

    Returns:
        float64[n, DIMENSION], in the order of `customers`; a customer without events has
        [1, 0, ..., 0].
    """
    index = positions(events.keys["customer"], customers)
    known = index >= 0
    index = index[known]

    def total(values: Matrix) -> Matrix:
        return np.stack(
            [np.bincount(index, column[known], len(customers)) for column in values.T], axis=1
        )

    count = np.bincount(index, minlength=len(customers)).astype(np.float64)[:, None]
    return np.hstack(
        [
            np.ones_like(count),
            total(events.points),
            total(events.rates) / (N0 + count),
            np.log1p(count),
        ]
    )


def positions(keys: pl.Series, among: pl.Series) -> npt.NDArray[np.int64]:
    """Where each key stands in `among`; -1 where it does not. int64[len(keys)]."""
    places = among.alias("key").to_frame().with_row_index("position")
    joined = keys.alias("key").to_frame().join(places, on="key", how="left", maintain_order="left")
    return joined["position"].cast(pl.Int64).fill_null(-1).to_numpy()


def _evaluate(events: pl.DataFrame, features: list[pl.Expr]) -> Matrix:
    named = [feature.alias(str(index)) for index, feature in enumerate(features)]
    return events.select(named).to_numpy().astype(np.float64)
