"""Cases: every purchase a customer of its own, as its buyer stood on the day before.

A ledger whose labels are about purchases ("was this piece resold within a week?") asks: what did
the network know of the buyer the evening before? A case has the buyer's rows up to that day, moved
in time so that the day before falls on `CASE_DAY`, for all cases alike. So everything else,
features, points and training, sees customers with one cut-off. A row after the day before is in no
case.

All cases of a buyer are one person: what they add to a sum that trains is clipped as one.
"""

from __future__ import annotations

import datetime as dt

import polars as pl

from features.errors import LedgerError
from features.ledger import KINDS, Kind, canonical_events
from features.sightings import attach
from features.snapshot import CutOff

CASE_DAY = CutOff(dt.date(2000, 1, 1))
"""The day before, of every case."""

MOST_CASES = 20
"""Of one buyer: the latest."""


def cases(
    raw: pl.DataFrame, source: str, labels: pl.DataFrame, labels_source: str, target: str
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Makes cases of a ledger of resales.

    Args:
        raw: The ledger.
        source: Its name, for errors.
        labels: basket_id, fold, `target`, and resold_after_days: empty where it never was. A
            purchase without an outcome, too late to tell, is no case.
        labels_source: Their name.
        target: The outcome's column.

    Returns:
        The canonical event table of all cases; and customer_id (the case), fold, owner, home (of
        its owner) and the outcome.

    Raises:
        LedgerError: At the first thing that is wrong with one of them.
    """
    for name in ("basket_id", "resold_after_days", "fold", target):
        if name not in labels.columns:
            raise LedgerError(
                labels_source, None, name, f"missing; got {', '.join(labels.columns)}"
            )
    labelled = _labelled(labels, labels_source, target)
    piece = pl.col("basket_id").cast(pl.String)
    bought = canonical_events(raw.with_columns(serial=piece), source)
    if bought["basket"].n_unique() != len(bought):
        raise LedgerError(source, None, "basket_id", "expected each once: a purchase is a case")
    events = _with_resales(bought, labelled)
    scored = (
        bought.join(labelled, on="basket", how="inner")
        .sort("date", "basket")
        .group_by("customer", maintain_order=True)
        .tail(MOST_CASES)
    )
    first = bought.sort("date", "outlet").group_by("customer").agg(pl.col("outlet").first())
    homes = first.rename({"outlet": "home"})  # a person has one, whatever the case
    judged = scored.join(homes, on="customer").select(
        "fold", target, "home", customer_id="basket", owner="customer"
    )
    who = scored.select("customer", case="basket", day_before=pl.col("date").dt.offset_by("-1d"))
    moved = who.join(events, on="customer").filter(pl.col("date") <= pl.col("day_before"))
    case_day = pl.lit(CASE_DAY.date)
    return (
        moved.with_columns(
            customer=pl.col("case"), date=case_day - (pl.col("day_before") - pl.col("date"))
        ).select(events.columns),
        judged,
    )


def _labelled(labels: pl.DataFrame, source: str, target: str) -> pl.DataFrame:
    """Purchases that have an outcome: basket, fold, resold_after_days and the outcome."""
    numbers = ("fold", "resold_after_days", target)
    read = labels.select(
        pl.col("basket_id").cast(pl.String).alias("basket"),
        *(pl.col(name).cast(pl.Float64, strict=False) for name in numbers),
    )
    blank = labels.select(pl.col(numbers).cast(pl.String).fill_null("").str.strip_chars() == "")
    for name in numbers:
        wrong = ~blank[name] & ~read[name].is_finite().fill_null(value=False)
        if name == "fold":
            wrong = wrong | blank[name]
        if name == target:
            wrong = wrong | (~blank[name] & ~read[name].is_in([0.0, 1.0]))
        if wrong.any():
            row = int(wrong.arg_true()[0]) + 1
            raise LedgerError(source, row, name, "expected a number, 0 or 1 for an outcome")
    if read["basket"].n_unique() != len(read):
        raise LedgerError(source, None, "basket_id", "expected each purchase once")
    whole = pl.col("resold_after_days").ceil()  # never a day early
    return read.filter(pl.col(target).is_not_null()).with_columns(
        pl.col("fold").cast(pl.Int64), whole.cast(pl.Int64)
    )


def _with_resales(bought: pl.DataFrame, labelled: pl.DataFrame) -> pl.DataFrame:
    """Every resale is a confirmed sighting on its day."""
    resold = bought.join(labelled, on="basket", how="inner").filter(
        pl.col("resold_after_days").is_not_null()
    )
    sightings = resold.select(
        "serial",
        (pl.col("date") + pl.duration(days=pl.col("resold_after_days"))).alias("date"),
        pl.lit(Kind.CONFIRMED.value).cast(KINDS).alias("kind"),
    )
    return attach(bought, sightings).events
