"""Outcomes: what is learnt, as one outlet's own ledger shows it.

Every outcome is judged in (cut-off, horizon end] against a **public** threshold, never against a
quantile of the population, which would be a statistic that left through no door.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import polars as pl

from features.errors import FeatureError
from features.ledger import Kind

if TYPE_CHECKING:
    from features.events import Vector
    from features.snapshot import Snapshot


class Outcome(StrEnum):
    """What a scorecard predicts."""

    LOYAL = "y_loyal"
    """Came back: bought often enough, or spent enough, and nothing they bought was ever seen, and
    confirmed, resold."""

    FLIPPED = "y_flipped"
    """A piece bought at or before the cut-off was confirmed resold."""

    LAPSED = "y_lapsed"
    """Did not come back: no purchase."""

    @classmethod
    def named(cls, target: str) -> Outcome:
        """Finds an outcome by name.

        Raises:
            FeatureError: If no outlet can judge it from its own ledger.
        """
        for outcome in cls:
            if outcome.value == target:
                return outcome
        known = ", ".join(outcome.value for outcome in cls)
        raise FeatureError(
            f"outcome: got '{target}', an outlet's own ledger shows {known}; "
            "train on given outcomes instead"
        )


_PIECE = ["customer", "outlet", "serial"]


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Public constants against which outcomes are judged.

    Attributes:
        loyal_baskets: So many baskets within the horizon make a customer loyal,
        loyal_spend: or so much spent in them, in major currency units.
    """

    loyal_baskets: int = 2
    loyal_spend: float = 300.0


def observe(
    outcome: Outcome, snapshot: Snapshot, customers: pl.Series, thresholds: Thresholds
) -> Vector:
    """Judges customers by what came after the cut-off in this ledger.

    Args:
        outcome: What is judged.
        snapshot: One outlet's, with its future.
        customers: String[n], no duplicates.
        thresholds: The public constants.

    Returns:
        float64[n] of 0 and 1, in the order of `customers`.
    """
    purchases = snapshot.future.filter(pl.col("kind") == Kind.PURCHASE.value)
    came = purchases.group_by("customer").agg(
        pl.col("basket").n_unique().alias("baskets"), pl.col("price").sum().alias("spend")
    )
    owned = snapshot.history.filter(pl.col("kind") == Kind.PURCHASE.value)
    whole = pl.concat([snapshot.history, snapshot.future])
    gone = whole.filter(pl.col("kind") == Kind.DISMISSED.value)
    before = _confirmed(snapshot.history, gone)
    after = _confirmed(snapshot.future, gone)
    flipped = after.join(owned, on=_PIECE, how="semi").join(before, on=_PIECE, how="anti")
    resellers = pl.concat([before, after])["customer"]
    frame = customers.alias("customer").to_frame()
    judged = frame.join(came, on="customer", how="left", maintain_order="left").fill_null(0)
    often = pl.col("baskets") >= thresholds.loyal_baskets
    came_back = often | (pl.col("spend") >= thresholds.loyal_spend)
    came_true = {
        Outcome.LAPSED: pl.col("baskets") == 0,
        Outcome.LOYAL: came_back & ~pl.col("customer").is_in(resellers.implode()),
        Outcome.FLIPPED: pl.col("customer").is_in(flipped["customer"].implode()),
    }
    return judged.select(came_true[outcome].cast(pl.Float64)).to_series().to_numpy()


def _confirmed(events: pl.DataFrame, dismissed: pl.DataFrame) -> pl.DataFrame:
    """The pieces that were confirmed resold, and not dismissed since."""
    until = dismissed.group_by(_PIECE).agg(pl.col("date").max().alias("until"))
    found = events.filter(pl.col("kind") == Kind.CONFIRMED.value).join(until, on=_PIECE, how="left")
    return found.filter(pl.col("until").is_null() | (pl.col("date") > pl.col("until"))).select(
        _PIECE
    )
