"""A simulated watch market: who buys, waits, keeps and resells, and what outlets get to see of it.

Nothing here is fitted to anybody's data. **Collectors** buy for years at several outlets, wait for
scarce references, have their pieces serviced and now and then trade one away late. **Gift buyers**
come in December for open pieces and bring more of them back. **One-watch customers** seldom return.
**VIPs** spend most, are offered scarce pieces soon, and sometimes trade up. **Flippers** spread
over outlets, build a profile with open pieces, often discounted, want what is worth more than its
price, decline other offers, and resell most of it within months; some of them keep much
(`market_people.py` has the traits behind this, which overlap, and `market_behaviour.py` what
they lead to).

Open pieces are bought from the shelf, limited ones mostly so; what is by allocation only is sold
through offers: interest, wait, offer, answer. A resale reaches the outlet that sold the piece weeks
later, or never, and not every sighting is true.

The numbers were chosen by us, until outcomes were as common, and as hard to foresee, as we wanted:
how well a scorecard does here, and what other outlets' rows add, is built in and no evidence about
a real market.

`references.csv` is the project's own table: retail prices in pounds with tax, and premiums
(median asking price on the secondary market / retail) as compiled in May 2022. Asking prices are
not sale prices. The tiers are ours: by allocation from a premium of 1.15, limited from 1.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from features.ledger import Kind
from sandbox.market_behaviour import Behaviour
from sandbox.market_people import COUNTRIES, drawn_people

FIRST_DAY = dt.date(2022, 1, 1)
DAYS = 1461
"""Four years, one of them a leap year."""

REFERENCES = Path(__file__).with_name("references.csv")

MISSED = 0.27
"""Share of resales that no outlet ever hears of."""

SUSPECTED_FIRST, CONFIRMED_LATER = 0.88, 0.75
FALSE, FALSE_CONFIRMED = 0.006, 0.08
"""Share of kept pieces that are taken for another, and of those the share that is confirmed."""

BEFORE_SALE, NEVER_SOLD = 0.002, 0.002
"""Sightings with a wrong serial, a piece sold: of one not sold yet, and of one nobody sold."""

_ORDER = (Kind.INTEREST, Kind.DECLINED, Kind.ACCEPTED, Kind.PURCHASE, Kind.RETURN, Kind.SERVICE)
"""Of rows on one day."""


@dataclass(frozen=True, slots=True, repr=False)
class Market:
    """Four years of a market: what outlets know, and the truth to judge against.

    Attributes:
        ledger: Every row of every outlet, by day: customer_id, outlet_id, purchased_at, kind (all
            but the sightings), price (negative for a return; what is asked, for an interest and its
            answers; the fee of a service), list_price, basket_id, serial (null for interests and
            answers) and reference.
        references: reference, collection, tier, list_price in pounds, premium.
        sightings: outlet_id (who sold the piece and holds the sighting), serial, seen_at, status.
        outlets: outlet_id, country, size (relative).
        people: Truth: customer_id, persona, flips (resells for profit), main (the main outlet), and
            the traits of `market_people.py`.
        resales: Truth: serial, customer_id, resold_at; every real one, seen or not.
    """

    ledger: pl.DataFrame
    references: pl.DataFrame
    sightings: pl.DataFrame
    outlets: pl.DataFrame
    people: pl.DataFrame
    resales: pl.DataFrame


def read_references() -> pl.DataFrame:
    """The references of the market: reference, collection, tier, list_price, premium."""
    types = {"list_price": pl.Float64, "premium": pl.Float64}
    read = pl.read_csv(REFERENCES, schema_overrides=types)
    return read.select("reference", "collection", "tier", "list_price", "premium")


def simulated_market(
    random: np.random.Generator, *, outlets: int = 5, customers: int = 9000
) -> Market:
    """Draws four years of a market.

    Args:
        random: The only source of chance; the same state gives the same market.
        outlets: How many outlets, named `O1` and so on.
        customers: How many people; a few leave no row.
    """
    references = read_references()
    places = pl.DataFrame(
        {
            "outlet_id": [f"O{index + 1}" for index in range(outlets)],
            "country": [COUNTRIES[index % len(COUNTRIES)] for index in range(outlets)],
            "size": np.round(random.lognormal(0, 0.5, outlets), 2),
            "supply": random.lognormal(0, 0.4, outlets),
        }
    )
    people = drawn_people(random, customers, places["size"].to_numpy(), DAYS)
    draw = Behaviour(random, people, places, references, DAYS)
    shelf = draw.from_the_shelf()
    waitlist = draw.waitlist(shelf)
    pieces = draw.pieces(shelf, waitlist)
    ledger = _ledger(pieces, waitlist, draw.services(pieces), references)
    keys = pl.Series("customer_id", [f"C{index:06d}" for index in range(customers)])
    resold = pieces.filter(pl.col("resold") < DAYS).sort("resold", "serial")
    return Market(
        ledger=ledger,
        references=references,
        sightings=_sightings(random, pieces),
        outlets=places.drop("supply"),
        people=people.insert_column(0, keys).with_columns(
            main=pl.format("O{}", pl.col("main") + 1)
        ),
        resales=resold.select("serial", _customer(), _date("resold").alias("resold_at")),
    )


def _date(day: str) -> pl.Expr:
    return pl.lit(FIRST_DAY) + pl.duration(days=pl.col(day).cast(pl.Int64))


def _customer() -> pl.Expr:
    return pl.format("C{}", pl.col("who").cast(pl.String).str.zfill(6)).alias("customer_id")


def _outlet() -> pl.Expr:
    return pl.format("O{}", pl.col("place") + 1).alias("outlet_id")


def _ledger(
    pieces: pl.DataFrame, waitlist: pl.DataFrame, services: pl.DataFrame, references: pl.DataFrame
) -> pl.DataFrame:
    """Everything that outlets write down, as one ledger by day."""
    listed = references.select(pl.int_range(pl.len()).alias("item"), "reference", "list_price")
    basket = pl.coalesce("entry", pl.int_range(pl.len()) + len(waitlist))
    bought = pieces.with_columns(basket=basket)
    asked = waitlist.with_columns(basket=pl.col("entry"), serial=pl.lit(None, pl.String))
    visited = services.with_columns(basket=pl.int_range(pl.len()) + len(waitlist) + len(pieces))
    rows = [
        _rows(asked, Kind.INTEREST),
        _rows(bought, Kind.PURCHASE),
        _rows(bought.with_columns(paid=-pl.col("paid")), Kind.RETURN, day="back"),
        _rows(visited, Kind.SERVICE),
    ]
    for number in (1, 2):
        accepted = pl.col(f"accepted{number}")
        for kind, said in ((Kind.ACCEPTED, accepted), (Kind.DECLINED, ~accepted)):
            rows.append(_rows(asked.filter(said), kind, f"offered{number}", f"item{number}"))
    order = {kind.value: place for place, kind in enumerate(_ORDER)}
    return (
        pl.concat(rows)
        .filter(pl.col("day") < DAYS)
        .join(listed, on="item", how="left", maintain_order="left")
        .sort("day", pl.col("kind").replace_strict(order), "basket")
        .select(
            _customer(),
            _outlet(),
            _date("day").alias("purchased_at"),
            "kind",
            pl.coalesce("paid", "list_price").alias("price"),
            pl.when(pl.col("kind") == Kind.SERVICE.value)
            .then("paid")
            .otherwise("list_price")
            .alias("list_price"),
            pl.format("B{}", pl.col("basket").cast(pl.String).str.zfill(7)).alias("basket_id"),
            "serial",
            "reference",
        )
    )


def _rows(table: pl.DataFrame, kind: Kind, day: str = "day", item: str = "item") -> pl.DataFrame:
    """One kind of row; what has no price of its own gets the list price later."""
    paid = pl.col("paid") if "paid" in table.columns else pl.lit(None, pl.Float64)
    return table.select(
        "who",
        "place",
        "serial",
        pl.col("basket").cast(pl.Int64),
        pl.col(day).cast(pl.Int64).alias("day"),
        pl.col(item).cast(pl.Int64).alias("item"),
        paid.alias("paid"),
        pl.lit(kind.value).alias("kind"),
    )


def _sightings(random: np.random.Generator, pieces: pl.DataFrame) -> pl.DataFrame:
    """What outlets hear of pieces, true or not."""
    real = pieces.filter(pl.col("resold") < DAYS)
    heard = real.filter(_some(random, 1 - MISSED, real)).select("place", "serial", day="resold")
    true = _delayed(random, heard, 21)
    kept = pieces.filter(pl.col("resold") == DAYS, pl.col("back") == DAYS)
    taken = kept.filter(_some(random, FALSE, kept)).select("place", "serial", "day")
    mistaken = taken.with_columns(
        day=pl.col("day") + pl.Series(random.integers(5, 700, len(taken)))
    )
    once = pieces.filter(pl.col("serial").is_unique(), pl.col("day") > 1)
    early = once.filter(_some(random, BEFORE_SALE, once)).select("place", "serial", "day")
    before = early.with_columns(
        day=(pl.col("day") * pl.Series(random.uniform(0.1, 1, len(early)))).floor().cast(pl.Int64)
    )
    strange = pieces.filter(_some(random, NEVER_SOLD, pieces)).select("place", "serial", "day")
    typed = strange.with_columns(serial=pl.col("serial").str.reverse())
    unknown = typed.filter(~pl.col("serial").is_in(pieces["serial"].implode()))
    rows = [
        *_statuses(random, true, 1 - SUSPECTED_FIRST, CONFIRMED_LATER),
        *_statuses(random, mistaken, 0, FALSE_CONFIRMED),
        *_statuses(random, pl.concat([before, unknown]), 0, 0),
    ]
    return (
        pl.concat(rows)
        .filter(pl.col("day") < DAYS)
        .sort("day", "place", "serial")
        .select(_outlet(), "serial", _date("day").alias("seen_at"), "status")
    )


def _some(random: np.random.Generator, share: float, table: pl.DataFrame) -> pl.Series:
    return pl.Series(random.random(len(table)) < share)


def _delayed(random: np.random.Generator, table: pl.DataFrame, median: float) -> pl.DataFrame:
    """The same some days later, at least one."""
    delay = 1 + random.lognormal(np.log(median), 0.8, len(table)).astype(int)
    return table.with_columns(day=pl.col("day") + pl.Series(delay))


def _statuses(
    random: np.random.Generator, seen: pl.DataFrame, at_once: float, later: float
) -> list[pl.DataFrame]:
    """Rows of sightings: some confirmed at once, the others suspected, of which some later."""
    sure = _some(random, at_once, seen)
    suspected = seen.filter(~sure)
    confirmed = _delayed(random, suspected.filter(_some(random, later, suspected)), 14)
    return [
        suspected.with_columns(status=pl.lit(Kind.SUSPECTED.value)),
        pl.concat([seen.filter(sure), confirmed]).with_columns(status=pl.lit(Kind.CONFIRMED.value)),
    ]
