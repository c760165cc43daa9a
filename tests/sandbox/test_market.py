"""The simulated market: what its tables hold, and that they leave the truth out."""

from __future__ import annotations

import datetime as dt
from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from features.ledger import SIGHTINGS, Kind, Tier, canonical_events
from sandbox.market import DAYS, FIRST_DAY, Market, read_references, simulated_market
from sandbox.market_people import PERSONAS
from sandbox.market_plots import plot_marginals

if TYPE_CHECKING:
    from pathlib import Path

LAST_DAY = FIRST_DAY + dt.timedelta(days=DAYS - 1)
CUT_OFF = LAST_DAY - dt.timedelta(days=180)


@cache
def market() -> Market:
    return simulated_market(np.random.default_rng(1), outlets=8, customers=9000)


def rows(kind: Kind) -> pl.DataFrame:
    return market().ledger.filter(pl.col("kind") == kind.value)


def sightings_with_buyers() -> pl.DataFrame:
    """Every sighting with who bought the piece last at that outlet by then; null for nobody."""
    sold = rows(Kind.PURCHASE).sort("purchased_at").with_columns(bought=pl.col("purchased_at"))
    return market().sightings.join_asof(
        sold.select("outlet_id", "serial", "customer_id", "purchased_at", "bought"),
        left_on="seen_at",
        right_on="purchased_at",
        by=["outlet_id", "serial"],
        check_sortedness=False,
    )


def test_the_same_seed_gives_the_same_market_and_another_seed_another() -> None:
    one, same, other = (
        simulated_market(np.random.default_rng(seed), outlets=4, customers=300)
        for seed in (5, 5, 6)
    )
    for field in fields(Market):
        assert getattr(one, field.name).equals(getattr(same, field.name))
    assert not one.ledger.equals(other.ledger)


def test_tables_have_the_columns_that_outlets_read() -> None:
    found = market()
    assert found.ledger.schema == {
        "customer_id": pl.String, "outlet_id": pl.String, "purchased_at": pl.Date,
        "kind": pl.String, "price": pl.Float64, "list_price": pl.Float64,
        "basket_id": pl.String, "serial": pl.String, "reference": pl.String,
    }  # fmt: skip
    assert found.sightings.schema == {
        "outlet_id": pl.String, "serial": pl.String, "seen_at": pl.Date, "status": pl.String
    }  # fmt: skip
    assert found.references.columns == ["reference", "collection", "tier", "list_price", "premium"]
    assert found.outlets.columns == ["outlet_id", "country", "size"]
    assert found.resales.columns == ["serial", "customer_id", "resold_at"]
    assert found.people.columns[:3] == ["customer_id", "persona", "flips"]
    assert set(found.people["persona"]) == set(PERSONAS)
    assert found.people["customer_id"].n_unique() == 9000


def test_the_ledger_becomes_events_without_a_complaint() -> None:
    found = market()
    pairs = found.references.select("reference", "tier").iter_rows()
    tiers = {reference: Tier(tier) for reference, tier in pairs}
    events = canonical_events(found.ledger, "simulated", tiers)
    assert len(events) == len(found.ledger)
    for days in (found.ledger["purchased_at"], found.sightings["seen_at"]):
        assert days.is_between(FIRST_DAY, LAST_DAY).all()


def test_the_ledger_holds_nothing_of_the_truth() -> None:
    found = market()
    truth = set(found.people.columns) - {"customer_id"}
    assert not truth & (set(found.ledger.columns) | set(found.sightings.columns))
    assert set(found.ledger["kind"]) == {kind.value for kind in Kind if kind not in SIGHTINGS}


def test_every_reference_is_in_the_tier_that_its_premium_says() -> None:
    references = read_references()
    assert references["reference"].is_unique().all()
    assert set(references["tier"]) == {tier.value for tier in Tier}
    said = (
        pl.when(pl.col("premium") >= 1.15).then(pl.lit(Tier.ALLOCATION.value))
        .when(pl.col("premium") >= 1).then(pl.lit(Tier.LIMITED.value))
        .otherwise(pl.lit(Tier.OPEN.value))
    )  # fmt: skip
    assert references.select((said == pl.col("tier")).all()).item()


def test_a_reference_by_allocation_is_sold_after_an_interest_and_an_accepted_offer_only() -> None:
    tiers = market().references.select("reference", "tier")
    scarce = rows(Kind.PURCHASE).join(tiers, on="reference").filter(
        pl.col("tier") == Tier.ALLOCATION.value
    )  # fmt: skip
    keys = ["customer_id", "outlet_id", "basket_id"]
    asked = rows(Kind.INTEREST).select(*keys, asked="purchased_at")
    taken = rows(Kind.ACCEPTED).select(*keys, "reference", taken="purchased_at")
    chain = scarce.join(asked, on=keys).join(taken, on=[*keys, "reference"])
    assert len(chain) == len(scarce) > 100
    assert chain.select((pl.col("asked") < pl.col("taken")).all()).item()
    assert chain.select((pl.col("taken") <= pl.col("purchased_at")).all()).item()
    assert (scarce["price"] == scarce["list_price"]).all()


def test_a_piece_comes_back_within_a_fortnight_and_some_are_sold_again_to_somebody_else() -> None:
    back = rows(Kind.RETURN)
    bought = rows(Kind.PURCHASE)
    keys = ["serial", "customer_id", "outlet_id", "basket_id"]
    both = back.join(bought.select(*keys, bought="purchased_at"), on=keys)
    days = (both["purchased_at"] - both["bought"]).dt.total_days()
    assert len(both) == len(back)
    assert days.is_between(1, 14).all()
    assert 0.02 < len(back) / len(bought) < 0.05
    again = bought.filter(~pl.col("serial").is_unique())
    owners = again.group_by("serial").agg(pl.col("customer_id").n_unique(), n=pl.len())
    assert len(owners) > 20
    assert (owners["customer_id"] == 2).all()
    assert owners["serial"].is_in(back["serial"].implode()).all()


def test_a_resale_is_of_a_piece_that_its_owner_bought_and_never_brought_back() -> None:
    resales = market().resales
    bought = rows(Kind.PURCHASE).select("serial", "customer_id", "purchased_at")
    both = resales.join(bought, on=["serial", "customer_id"])
    assert len(both) == len(resales)
    assert both.select((pl.col("resold_at") > pl.col("purchased_at")).all()).item()
    assert resales.join(rows(Kind.RETURN), on=["serial", "customer_id"], how="semi").is_empty()
    served = rows(Kind.SERVICE).join(resales, on=["serial", "customer_id"])
    assert served.select((pl.col("purchased_at") < pl.col("resold_at")).all()).item()


def test_some_resales_are_never_seen_and_what_is_seen_comes_later() -> None:
    found = market()
    first = found.sightings.group_by("serial").agg(pl.col("seen_at").max())
    both = found.resales.filter(pl.col("resold_at") <= CUT_OFF).join(first, on="serial", how="left")
    unseen = both["seen_at"].is_null().mean()
    assert isinstance(unseen, float)
    assert 0.2 < unseen < 0.35


def test_false_sightings_exist_and_few_of_them_are_confirmed() -> None:
    found = market()
    seen = sightings_with_buyers()
    confirmed = seen.filter(pl.col("status") == Kind.CONFIRMED.value)
    real = confirmed.join(found.resales, on=["serial", "customer_id"])
    assert real.select((pl.col("bought") < pl.col("resold_at")).all()).item()
    assert real.select((pl.col("resold_at") <= pl.col("seen_at")).all()).item()
    mistaken = 1 - len(real) / len(confirmed)
    assert 0 < mistaken < 0.05
    suspected = seen.filter(
        pl.col("status") == Kind.SUSPECTED.value, pl.col("bought").is_not_null()
    )
    wrong = suspected.join(found.resales, on=["serial", "customer_id"], how="anti")
    assert 0.03 < len(wrong) / len(suspected) < 0.25


def test_some_sightings_are_of_a_serial_that_nobody_sold_or_not_yet() -> None:
    seen = sightings_with_buyers().filter(pl.col("bought").is_null())
    sold = seen["serial"].is_in(rows(Kind.PURCHASE)["serial"].implode())
    assert sold.any()
    assert not sold.all()
    assert (seen["status"] == Kind.SUSPECTED.value).all()


@pytest.fixture(scope="module")
def outcomes() -> pl.DataFrame:
    """By customer with history: whether they came back, and were seen to resell."""
    confirmed = sightings_with_buyers().filter(pl.col("status") == Kind.CONFIRMED.value)
    flipped = confirmed.filter(pl.col("bought") <= CUT_OFF, pl.col("seen_at") > CUT_OFF)
    back = rows(Kind.PURCHASE).filter(pl.col("purchased_at") > CUT_OFF)
    people = (
        market().ledger.filter(pl.col("purchased_at") <= CUT_OFF).select("customer_id").unique()
    )
    whose = pl.col("customer_id")
    return people.with_columns(
        loyal=whose.is_in(back["customer_id"].unique().implode())
        & ~whose.is_in(confirmed["customer_id"].drop_nulls().unique().implode()),
        flipped=whose.is_in(flipped["customer_id"].unique().implode()),
    )


def test_outcomes_are_as_common_as_a_network_meets_them(outcomes: pl.DataFrame) -> None:
    loyal, flipped = outcomes.select(pl.col("loyal", "flipped").mean()).row(0)
    assert 0.12 < loyal < 0.3
    assert 0.02 < flipped < 0.06
    assert 3 < len(market().ledger) / 9000 < 6.5


def test_no_persona_is_given_away_by_its_resales(outcomes: pl.DataFrame) -> None:
    by_persona = outcomes.join(market().people, on="customer_id").group_by("persona")
    flipped = dict(by_persona.agg(pl.col("flipped").sum()).iter_rows())
    assert all(count > 0 for count in flipped.values())
    assert flipped["flipper"] < 0.7 * sum(flipped.values())


def test_customers_buy_at_several_outlets() -> None:
    bought = rows(Kind.PURCHASE).group_by("customer_id").agg(
        pl.len(), pl.col("outlet_id").n_unique()
    )  # fmt: skip
    several = bought.filter(pl.col("len") >= 2)
    assert (several["outlet_id"] >= 2).sum() / len(several) > 0.25


def test_the_picture_is_a_png_also_of_a_small_market(tmp_path: Path) -> None:
    path = tmp_path / "market.png"
    plot_marginals(simulated_market(np.random.default_rng(2), outlets=3, customers=100), path)
    assert path.read_bytes().startswith(b"\x89PNG")
