"""Ledgers and sightings of all kinds, drawn and by hand, for the tests of `features`."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from features.events import POINT_BOUNDS, RATE_BOUNDS, CustomerSums, EventFeatures, event_features
from features.ledger import KINDS, SIGHTINGS, Kind, Tier, canonical_events
from features.sightings import attach, canonical_sightings, laid_over
from features.snapshot import CutOff, Snapshot

if TYPE_CHECKING:
    from collections.abc import Sequence

Row = tuple[Any, ...]

CUT = CutOff(dt.date(2026, 1, 31))
START, END = dt.date(2025, 1, 1), dt.date(2026, 3, 31)
PEOPLE = pl.Series(["anna", "ben", "cleo"])
OUTLETS = ("o1", "o2", "o3")
USUAL = np.linspace(0.1, 0.4, len(RATE_BOUNDS)) * RATE_BOUNDS
"""The rates of some usual event."""

TIERS = {"open-1": Tier.OPEN, "limited-1": Tier.LIMITED, "scarce-1": Tier.ALLOCATION}
LEDGER_KINDS = [kind.value for kind in Kind if kind not in SIGHTINGS]

COLUMNS = (
    "customer_id", "outlet_id", "purchased_at", "kind", "price", "list_price", "basket_id",
    "serial", "reference",
)  # fmt: skip
SIGHTING_SCHEMA = {"serial": pl.String, "seen_at": pl.String, "status": pl.String}

_serials = ["s1", "s2", "s3", "s4"]

rows = st.lists(
    st.tuples(
        st.sampled_from(PEOPLE.to_list()),
        st.sampled_from(OUTLETS),
        st.dates(START, END),
        st.sampled_from(LEDGER_KINDS),
        st.floats(-1e6, 1e6),
        st.floats(0, 1e6),
        st.sampled_from(["b1", "b2", "b3"]),
        st.sampled_from([None, *_serials]),
        st.sampled_from([None, *TIERS]),
    ),
    min_size=1,
    max_size=25,
)
"""Rows of a ledger of three outlets: serials and baskets meet, also against all sense."""

sightings = st.lists(
    st.tuples(
        st.sampled_from([*_serials, "never-sold"]),
        st.dates(START, END),
        st.sampled_from([kind.value for kind in SIGHTINGS]),
    ),
    max_size=12,
)


decisions = st.lists(
    st.tuples(
        st.sampled_from(_serials),
        st.dates(START, END),
        st.sampled_from([Kind.CONFIRMED.value, Kind.DISMISSED.value]),
        st.integers(0, 200),
    ).map(lambda one: (*one[:3], one[1] - dt.timedelta(days=one[3]))),
    max_size=6,
)
"""What people decided, in order: serial, day, kind, and the day of the sighting that it is of."""


def ledger_of(drawn: Sequence[Row]) -> pl.DataFrame:
    """Canonical events of rows, without sightings."""
    frame = pl.DataFrame(list(drawn), schema=COLUMNS, orient="row", infer_schema_length=None)
    text = frame.with_columns(pl.col("serial", "reference").cast(pl.String))
    return canonical_events(text, "drawn", TIERS)


def sightings_of(seen: Sequence[Row]) -> pl.DataFrame:
    """Canonical sightings of (serial, day, status)."""
    table = pl.DataFrame(
        [(serial, str(day), status) for serial, day, status in seen],
        schema=SIGHTING_SCHEMA,
        orient="row",
    )
    return canonical_sightings(table, "seen.csv")


def decided_over(seen: Sequence[Row], decided: Sequence[Row]) -> pl.DataFrame:
    """Canonical sightings, with what people decided laid over them."""
    schema: dict[str, Any] = {
        "serial": pl.String, "date": pl.Date, "kind": KINDS, "seen": pl.Date
    }  # fmt: skip
    table = pl.DataFrame(list(decided), schema=schema, orient="row")
    return laid_over(sightings_of(seen), table)


def events_of(
    drawn: Sequence[Row], seen: Sequence[Row] = (), decided: Sequence[Row] = ()
) -> pl.DataFrame:
    """Canonical events of rows, each outlet's with the sightings of what it sold."""
    known = decided_over(seen, decided)
    outlets = ledger_of(drawn).partition_by("outlet", maintain_order=True)
    return pl.concat([attach(own, known).events for own in outlets])


def snapshot_of(events: pl.DataFrame) -> Snapshot:
    return Snapshot.take(events, CUT, END)


def sums_of(events: pl.DataFrame) -> CustomerSums:
    """What the events of each of PEOPLE add up to, as of CUT."""
    return CustomerSums.of(event_features(snapshot_of(events)), PEOPLE)


def features_of(events: pl.DataFrame, usual: np.ndarray = USUAL) -> np.ndarray:
    """The vectors of PEOPLE."""
    return sums_of(events).vectors(usual)


@st.composite
def any_events(draw: st.DrawFn, most: int = 30) -> EventFeatures:
    """Any events that the catalogue allows, of a few people at a few outlets."""
    number = draw(st.integers(1, most))
    who = draw(st.lists(st.sampled_from(PEOPLE.to_list()), min_size=number, max_size=number))
    where = draw(st.lists(st.sampled_from(OUTLETS), min_size=number, max_size=number))
    unit = st.floats(0, 1)
    return EventFeatures(
        pl.DataFrame({"customer": who, "outlet": where}),
        draw(hnp.arrays(np.float64, (number, len(POINT_BOUNDS)), elements=unit)) * POINT_BOUNDS,
        draw(hnp.arrays(np.float64, (number, len(RATE_BOUNDS)), elements=unit)) * RATE_BOUNDS,
    )


def sample(number: int = 40, seed: int = 7) -> EventFeatures:
    """Events of one customer at one outlet, anywhere within the catalogue's bounds."""
    random = np.random.default_rng(seed)
    return EventFeatures(
        pl.DataFrame({"customer": ["anna"] * number, "outlet": ["o1"] * number}),
        random.random((number, len(POINT_BOUNDS))) * POINT_BOUNDS,
        random.random((number, len(RATE_BOUNDS))) * RATE_BOUNDS,
    )


def some(events: EventFeatures, chosen: np.ndarray) -> EventFeatures:
    """Some of the events, by bool or place, in that order."""
    places = np.flatnonzero(chosen) if chosen.dtype == bool else chosen
    return EventFeatures(events.keys[places], events.points[places], events.rates[places])


def at_outlet(events: EventFeatures, outlet: str) -> EventFeatures:
    """The events that one outlet has."""
    return some(events, (events.keys["outlet"] == outlet).to_numpy())


def row(customer: str, day: dt.date, kind: str = "purchase", **cells: Any) -> Row:
    """One row by hand, at outlet o1, for a price of 100 and of no serial where not told."""
    given = {
        "customer_id": customer, "outlet_id": "o1", "purchased_at": day, "kind": kind,
        "price": 100.0, "list_price": cells.get("price", 100.0), "basket_id": f"{kind} {day}",
        "serial": None, "reference": None, **cells,
    }  # fmt: skip
    return tuple(given[name] for name in COLUMNS)
