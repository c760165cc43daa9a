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
    """Came back often enough, or spent enough: one of the public thresholds is reached."""

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
    seen = purchases.group_by("customer").agg(
        pl.col("basket").n_unique().alias("baskets"), pl.col("price").sum().alias("spend")
    )
    frame = customers.alias("customer").to_frame()
    judged = frame.join(seen, on="customer", how="left", maintain_order="left").fill_null(0)
    often = pl.col("baskets") >= thresholds.loyal_baskets
    came_true = {
        Outcome.LAPSED: pl.col("baskets") == 0,
        Outcome.LOYAL: often | (pl.col("spend") >= thresholds.loyal_spend),
    }
    return judged.select(came_true[outcome].cast(pl.Float64)).to_series().to_numpy()
