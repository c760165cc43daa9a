"""Tonight's data: features and outcomes of the days that HQ's roll call names.

Invariant: events count under their customer's slot, of customers with a standing consent and a slot
in tonight's directory, and of nobody else.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from features.errors import LedgerError
from features.events import event_features
from features.outcomes import Outcome, Thresholds, observe
from features.snapshot import CutOff, Snapshot
from outlet_client.contribution.contributions import HomeCustomers, SlotSums

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Self

    import numpy.typing as npt

    from features.events import EventFeatures, Vector
    from outlet_client.people.people_store import HomeKey
    from outlet_client.settings import OutletFile


@dataclass(frozen=True, slots=True)
class RollCall:
    """HQ's roll call: the days and outcomes that it may ask for tonight.

    Attributes:
        cut_off: The last day in the features that train.
        as_of: The last day in what bands are sealed of.
        outcomes: What is learned.
    """

    cut_off: CutOff
    as_of: CutOff
    outcomes: tuple[str, ...]

    @classmethod
    def of(cls, tonight: Mapping[str, str]) -> Self:
        """Reads `cut_off`, `as_of` and `outcomes`.

        Raises:
            FeatureError: If a day is none.
        """
        days = CutOff.parse(tonight["cut_off"]), CutOff.parse(tonight["as_of"])
        return cls(*days, tuple(tonight["outcomes"].split(",")))


def prepare_outlet(
    asked: RollCall,
    settings: OutletFile,
    events: pl.DataFrame,
    listed: pl.DataFrame,
    keys: Mapping[int, HomeKey],
) -> tuple[HomeCustomers, dict[str, SlotSums]]:
    """Computes the features of each day in the roll call, once each.

    Args:
        asked: Tonight's.
        settings: For the horizon, and given outcomes.
        events: The canonical event table.
        listed: Customers with a standing consent and a slot: customer, slot, home and key.
        keys: What reads the fine book, by home slot. Who withdrew while the ledger was read has
            none any more, and no row.

    Returns:
        The customers whose home is here, and what the events up to each day add up to.

    Raises:
        FeatureError: If no outlet can judge an outcome.
    """
    own = _by_slot(events, listed)
    horizon_end = asked.cut_off.date + dt.timedelta(days=settings.horizon_days)
    snapshot = Snapshot.take(own, asked.cut_off, horizon_end)
    homes = listed.filter("home")["slot"].to_numpy()
    features = event_features(snapshot)
    views = {str(asked.cut_off): _sums(features, homes)}
    if asked.as_of != asked.cut_off:
        today = event_features(Snapshot.take(own, asked.as_of, asked.as_of.date))
        views[str(asked.as_of)] = _sums(today, homes)
    at_home = listed.filter(pl.col("home") & pl.col("slot").is_in(list(keys)))
    slots, y = _judged(asked.outcomes, settings.outcomes, snapshot, at_home)
    places = slots.to_numpy()
    home = HomeCustomers.of(
        features,
        slots.cast(pl.String),
        y,
        places,
        [keys[slot] for slot in places.tolist()],
    )
    return home, views


def _judged(
    outcomes: tuple[str, ...], given: Path | None, snapshot: Snapshot, at_home: pl.DataFrame
) -> tuple[pl.Series, dict[str, Vector]]:
    """The slots of home customers, each once and in order, and their outcomes."""
    if given is not None:
        found = _given(given, outcomes, at_home).sort("slot")
        return found["slot"], {outcome: found[outcome].to_numpy() for outcome in outcomes}
    slots = at_home["slot"].unique().sort()
    customers = slots.cast(pl.String)
    return slots, {
        outcome: observe(Outcome.named(outcome), snapshot, customers, Thresholds())
        for outcome in outcomes
    }


def _by_slot(events: pl.DataFrame, listed: pl.DataFrame) -> pl.DataFrame:
    """Events of listed customers only, under their slot: one person is one customer from here."""
    slots = listed.select("customer", pl.col("slot").cast(pl.String))
    joined = events.join(slots, on="customer", how="inner", maintain_order="left")
    return joined.with_columns(customer=pl.col("slot")).drop("slot")


def _sums(features: EventFeatures, homes: npt.NDArray[np.int64]) -> SlotSums:
    places = features.keys["customer"].cast(pl.Int64).to_numpy().astype(np.int64)
    return SlotSums.of(features, places, homes)


def _given(path: Path, outcomes: tuple[str, ...], at_home: pl.DataFrame) -> pl.DataFrame:
    """Outcomes that the sandbox hands over, one row a slot; who is in no row trains nothing."""
    table = pl.read_csv(path, infer_schema=False)
    for name in ("customer_id", *outcomes):
        if name not in table.columns:
            raise LedgerError(path.name, None, name, "missing")
    given = table.select(
        pl.col("customer_id").cast(pl.String).alias("customer"),
        *(pl.col(name).cast(pl.Float64) for name in outcomes),
    )
    joined = at_home.select("customer", "slot").join(
        given, on="customer", how="inner", maintain_order="left"
    )
    return joined.unique("slot", keep="first", maintain_order=True).drop("customer")
