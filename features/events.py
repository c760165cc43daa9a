"""The event catalogue: what one event says about a customer, in public constants only.

An **event** is one piece at one outlet with everything attached to its serial: bought, brought
back, serviced, seen for sale. Without a serial it is what one customer bought, or brought back, in
one basket; an interest is an event with the answers to its offers. An event has *point* features
(how much of something it is) and *rate* features (what kind it is, held against the usual event).
What one outlet knows of a customer is the vector

    x = [1,  sum of points,  (sum of rates - n usual rates) / 4,  .8 log(1 + n / 2)]

of the customer's n events there. All of it but the last number is a plain sum over events. A score
adds x . w up over *outlets*, so the vector that is trained is the very one an outlet sends points
of; which other forms were tried is in docs/decisions/0018.

Every bound, half-life and scale below is a constant of the catalogue. None was fitted to a
network's data, so none has to be paid for. Each value of an event stays within [0, bound].
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from features.ledger import SIGHTINGS, Kind, Tier

if TYPE_CHECKING:
    from features.snapshot import Snapshot

Matrix = npt.NDArray[np.float64]
Vector = npt.NDArray[np.float64]

CATALOGUE = "escapement/v3/watches"
"""The catalogue's name; part of every scorecard's digest. A changed constant needs a new name."""

RATE_SCALE = 0.25
"""Of a customer's summed rates beyond the usual event's."""

FAST_DAYS, SLOW_DAYS = 90.0, 360.0
"""Half-lives of an event's age, in days."""

PRICE_LOW, PRICE_HIGH = 1.0, 100_000.0
"""Prices are read on a log scale between these bounds, in major currency units."""

SPEND_HIGH = 1_000.0
"""What a purchase may count in spend; more would drown all else in a trade of dear pieces."""

QUICK_DAYS = 60.0
"""A resale so many days after the purchase counts half as quick as one on the day."""

USUAL_COUNT = 2.0
"""Events of a usual customer at an outlet: from about there on, each further one says less."""

COUNT_SCALE = 0.8
"""Of log(1 + events / USUAL_COUNT). Like all constant factors here, it brings a column's usual size
near 1, so that no column crowds the others out of a clipped row."""

SUSPICION = 0.4
"""What a suspected sighting counts, where a confirmed one counts 1."""


def _if(condition: pl.Expr) -> pl.Expr:
    return condition.cast(pl.Float64)


def _bought() -> pl.Expr:
    return _if(pl.col("bought"))


def _decay(half_life: float) -> pl.Expr:
    return 0.5 ** (pl.col("age") / half_life)


def log_price(high: float = PRICE_HIGH) -> pl.Expr:
    """Price on a log scale: 0 at the low bound, 1 halfway (about 316), 2 at the high bound."""
    clipped = pl.col("price").clip(PRICE_LOW, high)
    return 2 * (clipped / PRICE_LOW).log() / math.log(PRICE_HIGH / PRICE_LOW)


def seen() -> pl.Expr:
    """1 for a piece confirmed resold, SUSPICION for one suspected, 0 otherwise."""
    confirmed, suspected = _if(pl.col("confirmed")), _if(pl.col("suspected"))
    return pl.max_horizontal(confirmed, SUSPICION * suspected)


def scarcity() -> pl.Expr:
    """1 for a piece by allocation only, 1/2 for a limited one, 0 for an open one."""
    tier = pl.col("tier")
    return _if(tier == Tier.ALLOCATION.value) + 0.5 * _if(tier == Tier.LIMITED.value)


def recent_purchase() -> pl.Expr:
    """1/8 for a purchase, halved every 90 days: recency and frequency fall out of the sum."""
    return lately() / 8


def recent_spend() -> pl.Expr:
    """A third of the cubed log price, up to 1,000, halved every 360 days: large ones stand out."""
    return _bought() * log_price(SPEND_HIGH) ** 3 * _decay(SLOW_DAYS) / 3


def recent_scarce() -> pl.Expr:
    """Scarcity of a piece not yet seen for sale, halved every 90 days: what could be resold."""
    return _bought() * scarcity() * (1 - seen()) * _decay(FAST_DAYS)


def active() -> pl.Expr:
    """3 for any event, halved every 360 days; as a rate, how long ago the usual event was."""
    return 3 * _decay(SLOW_DAYS)


def lately() -> pl.Expr:
    """1 for a purchase, halved every 90 days; as a rate, the share of late ones."""
    return _bought() * _decay(FAST_DAYS)


def purchase_price() -> pl.Expr:
    """Half the log price of a purchase; as a rate, the usual size of a basket."""
    return _bought() * log_price() / 2


def returned() -> pl.Expr:
    """4 for what was brought back; as a rate, the share of it."""
    return 4 * _if(pl.col("returned"))


def discount() -> pl.Expr:
    """4 times the discount share of a purchase, between 0 and 4."""
    listed = pl.col("list_price").clip(lower_bound=0.01)
    return 4 * _bought() * (1 - pl.col("price") / listed).clip(0, 1)


def resold() -> pl.Expr:
    """4 for a piece confirmed resold on the day it was bought, 2 at the least, however late."""
    return 2 * _if(pl.col("confirmed")) * (1 + 0.5 ** (pl.col("held_days") / QUICK_DAYS))


def suspected() -> pl.Expr:
    """4 for a piece that was seen for sale and is not confirmed resold."""
    return 4 * _if(pl.col("suspected") & ~pl.col("confirmed"))


def waiting() -> pl.Expr:
    """4 for an interest, halved every 90 days, whatever came of it."""
    interested = (pl.col("kind") == Kind.INTEREST.value) & ~pl.col("bought")
    return 4 * _if(interested) * _decay(FAST_DAYS)


POINT_FEATURES = (recent_purchase, recent_spend, recent_scarce)
RATE_FEATURES = (
    active, lately, purchase_price, returned, discount, resold, suspected, waiting,
)  # fmt: skip
POINT_BOUNDS = np.array([0.125, 0.6, 1.0])
RATE_BOUNDS = np.array([3.0, 1.0, 1.0, 4.0, 4.0, 4.0, 4.0, 4.0])
POINTS, RATES = len(POINT_FEATURES), len(RATE_FEATURES)
FEATURE_NAMES = (
    "intercept",
    *(f"points: {feature.__name__}" for feature in POINT_FEATURES),
    *(f"rate: {feature.__name__}" for feature in RATE_FEATURES),
    "log events",
)
POINT_COLUMNS, RATE_COLUMNS = slice(1, 1 + POINTS), slice(1 + POINTS, 1 + POINTS + RATES)
"""Where a vector has its point features, and its rate features."""
DIMENSION = len(FEATURE_NAMES)
"""d, the length of a vector."""


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

    def each(self) -> CustomerSums:
        """Every event by itself, a row an event."""
        return CustomerSums(self.points, self.rates, np.ones(len(self.keys)))

    def total(self) -> CustomerSums:
        """All events together, one row."""
        points, rates = self.points.sum(axis=0)[None, :], self.rates.sum(axis=0)[None, :]
        return CustomerSums(points, rates, np.array([float(len(self.keys))]))


def pieces(snapshot: Snapshot) -> pl.DataFrame:
    """Puts the rows of each event together: what they say as of the cut-off.

    Args:
        snapshot: One outlet's, or several outlets', as of a cut-off.

    Returns:
        One row an event, in order of customer, date, outlet, kind and key: customer, outlet, kind
        (of its first row), key (serial or basket), date (of the purchase, else of the first row),
        age (days before the cut-off), price and list_price (of purchases), tier; bought, returned,
        serviced, declined, suspected and confirmed (bool); held_days (from purchase to
        first sighting, 0 without one). Of a piece bought twice by one customer the first purchase
        counts.
    """
    kind, date = pl.col("kind"), pl.col("date")
    bought, seen_ = kind == Kind.PURCHASE.value, kind.is_in(list(SIGHTINGS))
    stands = seen_ & (date > pl.coalesce("dismissed", pl.date(1, 1, 1)))
    answers = kind.is_in([Kind.ACCEPTED.value, Kind.DECLINED.value])
    family = pl.when(answers).then(pl.lit(Kind.INTEREST.value)).otherwise(kind.cast(pl.String))
    no_serial = pl.col("serial").is_null()
    paid = bought & (no_serial | (date == pl.col("bought_on")))
    event = ["customer", "outlet", "key", "family"]
    # Filters within groups are slow: what they need is put into columns before.
    return (
        snapshot.history.with_columns(
            key=pl.coalesce("serial", "basket"),
            family=pl.when(no_serial).then(family).otherwise(pl.lit("piece")),
        )
        .sort("date", "kind", "price", maintain_order=True)
        .with_columns(
            bought_on=pl.when(bought).then(date).min().over(event),
            dismissed=pl.when(kind == Kind.DISMISSED.value).then(date).max().over(event),
        )
        .with_columns(
            pl.when(paid).then(pl.col("price", "list_price")).otherwise(0.0),
            seen_on=pl.when(stands).then(date),
        )
        .group_by(event)
        .agg(
            kind.first(),
            pl.coalesce(pl.col("bought_on").first(), date.min()).alias("date"),
            pl.col("price", "list_price").sum(),
            pl.col("tier").max(),
            bought=bought.any(),
            returned=(kind == Kind.RETURN.value).any(),
            serviced=(kind == Kind.SERVICE.value).any(),
            declined=(kind == Kind.DECLINED.value).any(),
            suspected=(stands & (kind == Kind.SUSPECTED.value)).any(),
            confirmed=(stands & (kind == Kind.CONFIRMED.value)).any(),
            seen_on=pl.col("seen_on").min(),
        )
        .with_columns(
            held_days=(pl.col("seen_on") - date).dt.total_days().fill_null(0).clip(0),
            age=(pl.lit(snapshot.cut_off.date) - date).dt.total_days(),
        )
        .sort("customer", "date", "outlet", "kind", "key", "family")
        .drop("family", "seen_on")
    )


def event_features(snapshot: Snapshot) -> EventFeatures:
    """Computes phi for every event at or before the cut-off.

    Args:
        snapshot: One outlet's, or several outlets', as of a cut-off.

    Returns:
        One row an event, in the order of `pieces`.
    """
    events = pieces(snapshot)
    return EventFeatures(
        events.select("customer", "outlet"),
        _evaluate(events, [feature() for feature in POINT_FEATURES]),
        _evaluate(events, [feature() for feature in RATE_FEATURES]),
    )


@dataclass(frozen=True, slots=True, repr=False)
class CustomerSums:
    """What an outlet's events add up to, a row a customer.

    Attributes:
        points: float64[n, p], sums of the point features.
        rates: float64[n, r], sums of the rate features.
        counts: float64[n], numbers of events.
    """

    points: Matrix
    rates: Matrix
    counts: Vector

    @classmethod
    def of(cls, events: EventFeatures, customers: pl.Series) -> Self:
        """Adds events up.

        Args:
            events: From `event_features`; events of other customers are left aside.
            customers: String[n], no duplicates; one without events has zeros.
        """
        return cls.at(events, positions(events.keys["customer"], customers), len(customers))

    @classmethod
    def at(cls, events: EventFeatures, places: npt.NDArray[np.int64], rows: int) -> Self:
        """Adds events up at given rows.

        Args:
            events: From `event_features`.
            places: int64[events], the row of each event; below 0 where it has none.
            rows: How many rows there are.
        """
        known = places >= 0
        index = places[known]

        def total(values: Matrix) -> Matrix:
            columns = [np.bincount(index, column[known], rows) for column in values.T]
            return np.stack(columns, axis=1)

        counts = np.bincount(index, minlength=rows).astype(np.float64)
        return cls(total(events.points), total(events.rates), counts)

    def __len__(self) -> int:
        return len(self.counts)

    def where(self, chosen: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Self:
        """Some of the rows."""
        return type(self)(self.points[chosen], self.rates[chosen], self.counts[chosen])

    def vectors(self, usual: Vector) -> Matrix:
        """The customers' vectors at this outlet, float64[n, DIMENSION].

        A customer without events has [1, 0, ..., 0].

        Args:
            usual: float64[r], rates of the usual event.
        """
        beyond = self.rates - self.counts[:, None] * usual
        ones = np.ones((len(self), 1))
        counted = count_feature(self.counts)[:, None]
        return np.hstack([ones, self.points, RATE_SCALE * beyond, counted])


def count_feature(counts: Vector) -> Vector:
    """What a number of events at one outlet says: .8 log(1 + n / 2), float64[n]."""
    return np.asarray(COUNT_SCALE * np.log1p(counts / USUAL_COUNT))


def positions(keys: pl.Series, among: pl.Series) -> npt.NDArray[np.int64]:
    """Where each key stands in `among`; -1 where it does not. int64[len(keys)]."""
    places = among.alias("key").to_frame().with_row_index("position")
    joined = keys.alias("key").to_frame().join(places, on="key", how="left", maintain_order="left")
    return joined["position"].cast(pl.Int64).fill_null(-1).to_numpy()


def _evaluate(events: pl.DataFrame, features: list[pl.Expr]) -> Matrix:
    named = [feature.alias(str(index)) for index, feature in enumerate(features)]
    return events.select(named).to_numpy().astype(np.float64)
