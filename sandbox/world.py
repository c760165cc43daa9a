"""World: a ledger and its labels, as the outlets of a network hold them at a cut-off.

Only the sandbox sees them together: networks are made of a world, and their scores judged by it.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from features.errors import LedgerError
from features.events import CustomerSums, EventFeatures, Vector, event_features
from features.ledger import Tier, canonical_events
from features.outcomes import Outcome, Thresholds, observe
from features.sightings import attach, canonical_sightings
from features.snapshot import CutOff, Snapshot
from outlet_client.contribution.contributions import HomeCustomers
from sandbox.canonical_files import read_table
from sandbox.linkage import LinkageQuality, client_books, link, typed_books
from sandbox.market import DAYS, FIRST_DAY
from sandbox.network import Member, home_key
from sandbox.purchase_cases import CASE_DAY, cases

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sandbox.market import Market

HORIZON_DAYS, FOLDS = 180, 5
"""Of a simulated market."""

_NO_OUTCOMES = ("customer_id", "fold", "owner", "home")


class TrainOn(StrEnum):
    """Where a training's outcomes come from."""

    GIVEN = "given"
    """The labels file's column."""

    HOME = "home"
    """What the home outlet's own ledger shows, against the public thresholds."""


@dataclass(frozen=True, slots=True)
class World:
    """A ledger and its labels, as outlets hold them at a cut-off.

    Attributes:
        snapshot: All outlets' events; only baselines and the sandbox itself see them together.
        customers: String[n], who is labelled and known at the cut-off, in order.
        given: By outcome, float64[n] to be judged against.
        fold: int64[n], the cross-validation fold.
        owners: String[n], the person whose row it is: as a rule the customer.
        homes: String[n], the outlet of the first event; ties by outlet id.
        outlets: Each outlet's own snapshot.
        events: Each outlet's own event features.
    """

    snapshot: Snapshot
    customers: pl.Series
    given: Mapping[str, Vector]
    fold: npt.NDArray[np.int64]
    owners: pl.Series
    homes: pl.Series
    outlets: Mapping[str, Snapshot]
    events: Mapping[str, EventFeatures]

    @classmethod
    def load(
        cls,
        ledger: Path,
        labels: Path,
        cut_off: CutOff,
        target: str,
        *,
        registrations: Path | None = None,
        region: str = "US",
        per_purchase: bool = False,
    ) -> tuple[World, LinkageQuality]:
        """Reads and validates the files, and links customers over outlets by token.

        Args:
            ledger: All outlets' events.
            labels: Outcomes and folds.
            cut_off: The last day that a feature may see.
            target: The labels' column.
            registrations: Client books as typed; where None, phone and email are the ledger's.
            region: For phones without a country.
            per_purchase: Whether labels are of purchases, and a purchase is scored by its buyer as
                of the day before; see `sandbox.purchase_cases`.

        Raises:
            LedgerError: At the first thing that is wrong with one of them.
        """
        raw = read_table(ledger)
        if per_purchase:
            events, judged = cases(raw, ledger.name, read_table(labels), labels.name, target)
            entries = raw.select("outlet_id", "customer_id").n_unique()
            return cls.of(events, judged, CASE_DAY, CASE_DAY.date), LinkageQuality.certain(entries)
        events = canonical_events(raw, ledger.name)
        judged = _read_labels(labels, cut_off, target)
        horizon_end = dt.date.fromisoformat(judged["horizon_end"][0])
        judged = judged.drop("horizon_end")
        books = client_books(raw) if registrations is None else typed_books(registrations)
        tokens, quality = link(books, region)
        return cls.of(*_by_token(events, judged, tokens), cut_off, horizon_end), quality

    @classmethod
    def of(
        cls, events: pl.DataFrame, judged: pl.DataFrame, cut_off: CutOff, horizon_end: dt.date
    ) -> World:
        """Splits events by outlet.

        Args:
            events: All outlets'.
            judged: customer_id, fold and a column an outcome; owner and home where they are not the
                customer and the outlet of the first event.
            cut_off: The last day that a feature may see.
            horizon_end: The last day that an outcome may see.
        """
        snapshot = Snapshot.take(events, cut_off, horizon_end)
        first = (
            snapshot.history.sort("date", "outlet")
            .group_by("customer")
            .agg(pl.col("outlet").first().alias("home"))
        )
        known = judged.sort("customer_id")
        if "home" not in known.columns:
            known = known.join(
                first, left_on="customer_id", right_on="customer", maintain_order="left"
            )
        owners = known["owner" if "owner" in known.columns else "customer_id"]
        outcomes = [name for name in known.columns if name not in _NO_OUTCOMES]
        outlets = {
            str(name): Snapshot.take(rows, cut_off, horizon_end)
            for (name,), rows in sorted(events.partition_by("outlet", as_dict=True).items())
        }
        outlets = {name: own for name, own in outlets.items() if not own.history.is_empty()}
        return cls(
            snapshot,
            known["customer_id"],
            {name: known[name].to_numpy().astype(np.float64) for name in outcomes},
            known["fold"].to_numpy().astype(np.int64),
            owners,
            known["home"],
            outlets,
            {name: event_features(own) for name, own in outlets.items()},
        )

    @classmethod
    def of_market(cls, market: Market, random: np.random.Generator) -> World:
        """A simulated market, with what all its outlets together see as given outcomes.

        Args:
            market: From `simulated_market`.
            random: Draws the folds.
        """
        events = market_events(market)
        last = FIRST_DAY + dt.timedelta(days=DAYS - 1)
        cut_off = CutOff(last - dt.timedelta(days=HORIZON_DAYS))
        snapshot = Snapshot.take(events, cut_off, last)
        people = snapshot.history["customer"].unique().sort()
        seen = {
            outcome.value: observe(outcome, snapshot, people, Thresholds())
            for outcome in (Outcome.LOYAL, Outcome.FLIPPED)
        }
        folds = random.integers(0, FOLDS, len(people))
        judged = pl.DataFrame({"customer_id": people, "fold": folds, **seen})
        return cls.of(events, judged, cut_off, last)

    def outcomes(self, train_on: TrainOn, target: str) -> Vector:
        """The outcomes that training sees, float64[n]."""
        if train_on is TrainOn.GIVEN:
            return self.given[target]
        y = np.zeros(len(self.customers))
        for name, own in self.outlets.items():
            here = self.at_home(name)
            y[here] = observe(Outcome.named(target), own, self.customers.filter(here), Thresholds())
        return y

    def at_home(self, outlet: str) -> npt.NDArray[np.bool_]:
        """Whose home an outlet is, bool[n]."""
        return (self.homes == outlet).to_numpy()

    def sums(self) -> dict[str, CustomerSums]:
        """What each outlet's events give every customer; n rows an outlet."""
        return {
            name: CustomerSums.of(events, self.customers) for name, events in self.events.items()
        }

    def members(
        self, outcomes: Mapping[str, Vector], training: npt.NDArray[np.bool_]
    ) -> dict[str, Member]:
        """The outlets, each with its own home customers among `training`.

        Args:
            outcomes: By name, float64[n] as training sees them.
            training: bool[n].
        """
        members = {}
        owners = self.owners.rank("dense").to_numpy().astype(np.int64)
        for name, events in self.events.items():
            mine = self.at_home(name) & training
            slots = np.flatnonzero(mine)
            home = HomeCustomers.of(
                events,
                self.customers.filter(mine),
                {outcome: y[mine] for outcome, y in outcomes.items()},
                slots,
                [home_key(customer) for customer in self.customers.filter(mine)],
                owners[mine],
            )
            members[name] = Member(str(self.snapshot.cut_off), events, home)
        return members


def market_events(market: Market) -> pl.DataFrame:
    """All outlets' canonical events, each sighting at the outlet that holds it."""
    tiers = {name: Tier(tier) for name, tier in market.references["reference", "tier"].iter_rows()}
    events = canonical_events(market.ledger, "market", tiers)
    seen = market.sightings.partition_by("outlet_id", as_dict=True)
    none = market.sightings.clear()
    return pl.concat(
        attach(own, canonical_sightings(seen.get(name, none), "market")).events
        for name, own in events.partition_by("outlet", as_dict=True).items()
    )


def _by_token(
    events: pl.DataFrame, judged: pl.DataFrame, tokens: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Events and labels under tokens instead of the ledger's ids.

    A customer is judged under the token that their first outlet knows, as staff there would look
    them up. Where two customers share a token, the first by id is judged.
    """
    known = events.with_columns(pl.col("outlet", "customer").cast(pl.String)).join(
        tokens, on=["outlet", "customer"], how="inner", maintain_order="left"
    )
    first = known.sort("date", "outlet").group_by("customer").agg(pl.col("token").first())
    labels = (
        judged.join(first, left_on="customer_id", right_on="customer")
        .sort("customer_id")
        .unique("token", keep="first", maintain_order=True)
        .with_columns(customer_id=pl.col("token"))
        .drop("token")
    )
    return known.with_columns(customer=pl.col("token")).drop("token"), labels


def _read_labels(path: Path, cut_off: CutOff, target: str) -> pl.DataFrame:
    """Labels at a cut-off: customer_id, y, fold, horizon_end, each customer once."""
    table = read_table(path)
    for name in ("customer_id", "cutoff", "horizon_end", "fold", target):
        if name not in table.columns:
            raise LedgerError(path.name, None, name, f"missing; got {', '.join(table.columns)}")
    here = table.filter(pl.col("cutoff").cast(pl.String) == str(cut_off))
    if here.is_empty():
        offered = ", ".join(sorted(table["cutoff"].cast(pl.String).unique().to_list()))
        raise LedgerError(path.name, None, "cutoff", f"none is {cut_off}; the file has {offered}")
    judged = here.select(
        pl.col("customer_id").cast(pl.String),
        pl.col("horizon_end").cast(pl.String),
        pl.col(target).cast(pl.Float64, strict=False),
        pl.col("fold").cast(pl.Int64, strict=False),
    )
    if judged[target].is_in([0.0, 1.0]).not_().any() or judged[target].null_count():
        raise LedgerError(path.name, None, target, "expected 0 or 1 in every row of the cut-off")
    if judged["customer_id"].n_unique() != len(judged) or judged["fold"].null_count():
        raise LedgerError(
            path.name, None, "customer_id", "expected each customer once, with a fold"
        )
    return judged
