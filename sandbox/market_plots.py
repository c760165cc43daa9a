"""Pictures of a simulated market: what its people do, and what outlets get to see of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from features.ledger import Kind, Tier
from sandbox.market_people import PERSONAS

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from sandbox.market import Market

INK, PALE, ACCENT = "#1b4965", "#9db4c0", "#b5651d"
MONTH = 365.25 / 12  # in days
DECEMBER = 12
SEVERAL = 2


def plot_marginals(market: Market, path: Path) -> None:
    """Draws six small pictures of a market.

    Args:
        market: From `simulated_market`.
        path: A PNG file.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.15, h_pad=0.15)
    figure, axes = plt.subplots(2, 3, figsize=(14, 8), layout=layout)
    pictures = (_rows, _months, _prices, _resales, _delays, _outlets)
    for axis, picture in zip(axes.flat, pictures, strict=True):
        picture(axis, market)
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=9)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _title(axis: Axes, title: str, along: str = "", up: str = "") -> None:
    axis.set_title(title, loc="left", fontsize=11)
    axis.set_xlabel(along, fontsize=9)
    axis.set_ylabel(up, fontsize=9)


def _purchases(market: Market) -> pl.DataFrame:
    bought = market.ledger.filter(pl.col("kind") == Kind.PURCHASE.value)
    return bought.join(market.references.select("reference", "tier"), on="reference")


def _boxes(axis: Axes, values: list[np.ndarray], names: list[str]) -> None:
    """One lying box a group: quartiles, and whiskers that hold 90 %."""
    axis.boxplot(
        values,
        orientation="horizontal",
        tick_labels=names,
        whis=(5, 95),
        showfliers=False,
        widths=0.55,
        patch_artist=True,
        boxprops={"facecolor": PALE, "edgecolor": INK},
        medianprops={"color": ACCENT, "linewidth": 2},
        whiskerprops={"color": INK},
        capprops={"color": INK},
    )
    axis.invert_yaxis()


def _rows(axis: Axes, market: Market) -> None:
    counts = market.ledger.group_by("customer_id").len().join(market.people, on="customer_id")
    values = [counts.filter(pl.col("persona") == name)["len"].to_numpy() for name in PERSONAS]
    _boxes(axis, values, list(PERSONAS))
    _title(axis, "Ledger rows a customer", "rows in four years (median, quartiles, 90 % whiskers)")


def _months(axis: Axes, market: Market) -> None:
    month = pl.col("purchased_at").dt.truncate("1mo")
    counts = _purchases(market).group_by(month).len().sort("purchased_at")
    days, sold = counts["purchased_at"].to_list(), counts["len"].to_numpy()
    december = [day.month == DECEMBER for day in days]
    axis.bar(days, sold, width=24, color=np.where(december, ACCENT, PALE))
    axis.set_xticks([day for day in days if day.month == 1])
    axis.set_xticklabels([str(day.year) for day in days if day.month == 1])
    _title(axis, "Purchases a month (December in brown)", "", "purchases")


def _prices(axis: Axes, market: Market) -> None:
    bought = _purchases(market)
    edges = np.geomspace(2_000, 64_000, 16).tolist()
    for tier, color in zip(Tier, (PALE, ACCENT, INK), strict=True):
        prices = bought.filter(pl.col("tier") == tier.value)["price"].to_numpy()
        name = f"{tier.value} ({len(prices) / len(bought):.0%} of purchases)"
        axis.hist(prices, edges, weights=np.full(len(prices), 100 / max(len(prices), 1)),
                  histtype="step", linewidth=2, color=color, label=name)  # fmt: skip
    axis.set_xscale("log")
    axis.set_xticks([2_000, 5_000, 10_000, 20_000, 50_000], ["2k", "5k", "10k", "20k", "50k"])
    axis.minorticks_off()
    axis.set_ylim(top=1.45 * axis.get_ylim()[1])
    axis.legend(frameon=False, fontsize=9, loc="upper right")
    _title(axis, "Price paid, by tier", "pounds", "% of the tier's purchases")


def _resales(axis: Axes, market: Market) -> None:
    last_bought = _purchases(market).unique(["serial", "customer_id"], keep="last")
    sold = (
        market.resales.join(last_bought, on=["serial", "customer_id"])
        .with_columns(months=(pl.col("resold_at") - pl.col("purchased_at")).dt.total_days() / MONTH)
        .join(market.people, on="customer_id")
    )
    groups = [sold.filter(pl.col("persona") == name)["months"].to_numpy() for name in PERSONAS]
    names = [f"{name}\n({len(group):,})" for name, group in zip(PERSONAS, groups, strict=True)]
    _boxes(axis, groups, names)
    _title(axis, "From purchase to resale (number of resales)", "months")


def _delays(axis: Axes, market: Market) -> None:
    """Days from a real resale to its first sighting; what is never seen is beside."""
    first = market.sightings.sort("seen_at").unique("serial", keep="first")
    joined = market.resales.join(first, on="serial", how="left")
    days = (joined["seen_at"] - joined["resold_at"]).dt.total_days()
    seen = days.filter(days >= 0).to_numpy()
    total = len(joined)
    edges = np.arange(0, 99, 7)
    parts, _ = np.histogram(seen, edges)
    axis.bar(edges[:-1] + 3.5, 100 * parts / total, width=6, color=PALE, edgecolor=INK)
    late = 100 * (seen >= edges[-1]).sum() / total
    never = 100 * (total - len(seen)) / total
    axis.bar([107, 125], [late, never], width=11, color=[PALE, ACCENT], edgecolor=INK)
    axis.annotate(f"{never:.0f} %", (125, never), ha="center", va="bottom", fontsize=9)
    axis.set_xticks([0, 28, 56, 84, 107, 125], ["0", "28", "56", "84", "later", "not\nseen"])
    median = f"seen after {np.median(seen):.0f} days (median)"
    _title(axis, f"Resales: {median}", "days from resale to its first sighting", "% of resales")


def _outlets(axis: Axes, market: Market) -> None:
    counts = _purchases(market).group_by("customer_id").agg(
        pl.len().alias("pieces"), pl.col("outlet_id").n_unique().alias("outlets")
    )  # fmt: skip
    several = counts.filter(pl.col("pieces") >= SEVERAL).join(market.people, on="customer_id")
    names, left = [*PERSONAS], np.zeros(len(PERSONAS))
    shades = ("#dfe7eb", PALE, "#4f7d97", INK)
    labels = ("1", "2", "3", "4 or more")
    for number, (shade, label) in enumerate(zip(shades, labels, strict=True), start=1):
        at = pl.col("outlets").clip(upper_bound=4) == number
        found = [several.filter(pl.col("persona") == name) for name in names]
        width = np.array([100 * len(one.filter(at)) / max(len(one), 1) for one in found])
        axis.barh(names, width, left=left, color=shade, label=label, height=0.6)
        left = left + width
    axis.invert_yaxis()
    axis.set_xlim(0, 100)
    axis.legend(
        frameon=False, fontsize=9, ncols=4, loc="lower center", bbox_to_anchor=(0.5, -0.32),
        title="outlets", title_fontsize=9,
    )  # fmt: skip
    _title(axis, "Outlets bought at, by customers of several pieces", "% of these customers")
