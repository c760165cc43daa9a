"""What a network's scorecard is held against."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from features.events import pieces
from features.ledger import Kind, Tier

if TYPE_CHECKING:
    from features.events import Matrix, Vector
    from features.snapshot import Snapshot

_WINDOWS_DAYS = (30, 60, 90, 180, 10_000)


def auc(y: Vector, score: Vector) -> float | None:
    """Area under the ROC curve, ties counted half; None without both outcomes."""
    positive = int(y.sum())
    negative = len(y) - positive
    if positive == 0 or negative == 0:
        return None
    ranks = pl.Series(score).rank().to_numpy()
    above = ranks[y > 0].sum() - positive * (positive + 1) / 2
    return float(above / (positive * negative))


def past_spend(snapshot: Snapshot, customers: pl.Series) -> Vector:
    """Net spend up to the cut-off over all outlets, float64[n]."""
    sign = pl.when(pl.col("kind") == Kind.RETURN.value).then(-1.0).otherwise(1.0)
    spend = snapshot.history.group_by("customer").agg((pl.col("price") * sign).sum().alias("spend"))
    return _aligned(spend, customers)[:, 0]


def linked_features(snapshot: Snapshot, customers: pl.Series) -> Matrix:
    """What an analyst would compute from everybody's pooled records, float64[n, 34].

    Recency, tenure, frequency and spend in windows of 30, 60, 90, 180 and all days, and basket,
    return, discount and outlet figures, most of them on a log scale; and of pieces: tiers, how many
    were seen for sale and how soon, interests and answers to offers, services. The latter are
    zeros in a ledger that has none.
    """
    history = snapshot.history.with_columns(
        age=(pl.lit(snapshot.cut_off.date) - pl.col("date")).dt.total_days(),
        bought=pl.col("kind") == Kind.PURCHASE.value,
    )
    spend = pl.when(pl.col("bought")).then(pl.col("price")).otherwise(0.0)
    columns: list[pl.Expr] = []
    for days in _WINDOWS_DAYS:
        within = pl.col("bought") & (pl.col("age") <= days)
        columns += [
            pl.col("basket")
            .filter(within)
            .n_unique()
            .cast(pl.Float64)
            .log1p()
            .alias(f"baskets{days}"),
            spend.filter(within).sum().log1p().alias(f"spend{days}"),
            pl.col("basket").filter(within).len().cast(pl.Float64).log1p().alias(f"lines{days}"),
        ]
    baskets = pl.col("basket").n_unique().cast(pl.Float64)
    columns += [
        pl.col("age").min().cast(pl.Float64).log1p().alias("recency"),
        pl.col("age").max().cast(pl.Float64).log1p().alias("tenure"),
        pl.col("age").mean().log1p().alias("mean_age"),
        (pl.col("age").max() / 365.0).alias("tenure_years"),
        (spend.sum() / baskets).log1p().alias("basket_size"),
        spend.max().log1p().alias("dearest"),
        (~pl.col("bought")).sum().cast(pl.Float64).log1p().alias("returns"),
        (1 - spend.sum() / pl.col("list_price").sum().clip(0.01)).clip(-1, 1).alias("discount"),
        pl.col("outlet").n_unique().cast(pl.Float64).alias("outlets"),
    ]
    rows = _aligned(history.group_by("customer").agg(columns), customers)
    return np.hstack([rows, _aligned(_of_pieces(snapshot), customers)])


def _of_pieces(snapshot: Snapshot) -> pl.DataFrame:
    """Ten figures a customer that only pieces and waitlists have."""
    bought, seen = pl.col("bought"), pl.col("confirmed") | pl.col("suspected")
    scarce = pl.col("tier") == Tier.ALLOCATION.value
    late = pl.col("age") <= _WINDOWS_DAYS[3]
    everything = bought.sum().clip(1)
    return (
        pieces(snapshot)
        .group_by("customer")
        .agg(
            (bought & scarce).sum().log1p().alias("allocation"),
            (bought & scarce & late & ~seen).sum().log1p().alias("allocation_late"),
            (bought & (pl.col("tier") == Tier.LIMITED.value)).sum().log1p().alias("limited"),
            pl.col("confirmed").sum().log1p().alias("confirmed"),
            pl.col("suspected").sum().log1p().alias("suspected"),
            (seen.sum() / everything).alias("share_seen"),
            (0.5 ** (pl.col("held_days") / 60)).filter(seen).sum().log1p().alias("soon"),
            (pl.col("kind") == Kind.INTEREST.value).sum().log1p().alias("interests"),
            pl.col("declined").sum().log1p().alias("declined"),
            pl.col("serviced").sum().log1p().alias("serviced"),
        )
    )


def fit_and_score_linked(x: Matrix, y: Vector, among: Matrix) -> Vector:
    """Logistic regression on pooled records, no privacy; float64[m] of probabilities."""
    # Loaded here: it takes a second, in which a night has begun already.
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000, C=0.1))
    return np.asarray(model.fit(x, y).predict_proba(among)[:, 1])


def _aligned(values: pl.DataFrame, customers: pl.Series) -> Matrix:
    """Rows in the order of `customers`; zeros for who is not there."""
    frame = customers.alias("customer").to_frame()
    joined = frame.join(values, on="customer", how="left", maintain_order="left")
    return joined.drop("customer").fill_null(0.0).fill_nan(0.0).to_numpy().astype(np.float64)
