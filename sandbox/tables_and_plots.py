"""What a person sees of a night and of a replay: tables and plots."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from features.points import base_points
from privacy.purposes import Purpose
from sandbox.review_verdicts import FLIPPED, REVIEW

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sandbox.one_night import Lookup
    from sandbox.replay import ReplayReport, Spread
    from sandbox.review_verdicts import ClearSumVerdicts, Verdict
    from server.hq.report import ReleaseReport

NAMES = {
    "network": "network, at the main outlet",
    "own_view": "  own view there: same scorecard, its events alone",
    "network_other": "network, at another outlet that has met them",
    "own_view_other": "  own view there",
    "bands_known": "bands of who has one, as staff read them",
    "home_known": "  own view at home, cut at the same shares",
    "shared_model_home_events": "same scorecard, home outlet's events alone",
    "local_model": "local models, home outlet's own data",
    "spend_rank": "rank by past spend, all outlets",
    "pooled_linked": "all records pooled, no privacy",
}


def auc_table(auc: Mapping[str, Mapping[str, Spread]]) -> Table:
    """The figures of a replay or a night, one row a contender, one column a target."""
    title = "AUC on customers who were in no training sum"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    table.add_column("score")
    for target in auc:
        table.add_column(target, justify="right")
    for name, label in NAMES.items():
        cells = [figures.get(name) for figures in auc.values()]
        table.add_row(label, *(_figure(cell) for cell in cells))
    return table


def _figure(spread: Spread | None) -> str:
    if spread is None:
        return "-"
    return f"{spread.mean:.3f}" + (f" sd {spread.sd:.3f}" if spread.sd else "")


def steps_table(steps: Sequence[ReleaseReport], remaining: float) -> Table:
    """A night's releases, one row for those in a row for one purpose; seals have no loss.

    Args:
        steps: The night's.
        remaining: The year's rho for a customer before the night, for the last column.
    """
    table = Table(title="Releases of the night", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("releases", no_wrap=True)
    for column in ("outlets", "absent", "clipped", "signal to noise", "rho", "left this year"):
        table.add_column(column, justify="right", no_wrap=True)
    for purpose, group in groupby(steps, key=lambda step: step.purpose):
        alike = list(group)
        rho = sum(0.0 if step.rho is None else float(step.rho) for step in alike)
        remaining -= rho
        clipped = [step.clipped for step in alike if step.clipped is not None]
        signal = [step.signal_to_noise for step in alike if step.signal_to_noise is not None]
        table.add_row(
            f"{len(alike)} {purpose.value}",
            str(min(step.outlets for step in alike)),
            str(sum(sum(step.failures.values()) for step in alike)),
            f"{max(0.0, sum(clipped) / len(clipped)):.0%}" if clipped else "",
            f"{sum(signal) / len(signal):.1f}" if signal else "",
            _loss(purpose, rho, private=all(step.rho is not None for step in alike)),
            f"{remaining:.5f}",
        )
    return table


def _loss(purpose: Purpose, rho: float, *, private: bool) -> str:
    if purpose is Purpose.POINTS:
        return "sealed"
    return f"{rho:.5f}" if private else "no noise"


def lookups_table(lookups: Sequence[Lookup]) -> Table:
    """What staff were told, one row a look-up."""
    title = "What staff were told, of a piece by allocation only"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    table.add_column("at", no_wrap=True)
    table.add_column("customer", no_wrap=True)
    table.add_column("eligibility", no_wrap=True)
    table.add_column("flipper risk", no_wrap=True)
    table.add_column("the policy")
    said: dict[str, str] = {}
    for found in lookups:
        decision, _, sentence = found.allows.partition(": ")
        said[decision] = sentence
        bands = (found.eligibility or found.status, found.flipper_risk)
        table.add_row(found.outlet, found.case, *bands, decision)
    table.caption = "\n".join(f"To say, {one}: {sentence}" for one, sentence in said.items())
    table.caption_justify = "left"
    return table


def review_table(verdicts: Mapping[str, Verdict]) -> Table:
    """How right the band `review` is by the market's truth, one row a group."""
    title = "The band 'review' against the market's truth: who resells for profit"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    table.add_column("customers")
    for column in ("all", "flippers", "in review", "precision", "recall", "wrongly in review"):
        table.add_column(column, justify="right")
    for group, found in verdicts.items():
        shares = (found.precision, found.recall, found.falsely_accused)
        table.add_row(
            group,
            *(f"{count:,}" for count in (found.customers, found.flippers, found.review)),
            *("-" if share is None else f"{share:.1%}" for share in shares),
        )
    return table


def plot_flipper_scores(judged: ClearSumVerdicts, path: Path) -> None:
    """Draws the flipper-risk score of those who resell for profit and of the others.

    Args:
        judged: The clear sum and the market's truth.
        path: A PNG file.
    """
    from matplotlib.figure import Figure

    scores, flips = judged.clear.scores[FLIPPED], judged.flips
    base = base_points(judged.clear.cards[FLIPPED])
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.4, 1))
    low, high = np.quantile(scores, [0.0005, 0.9995])
    edges = np.linspace(low, high, 50)
    groups = (("do not", ~flips, "#8a8a8a"), ("resell for profit", flips, "#c1121f"))
    for label, chosen, color in groups:
        shares = np.histogram(scores[chosen], edges)[0] / max(int(chosen.sum()), 1)
        left.stairs(shares, edges, fill=True, alpha=0.3, color=color)
        left.stairs(shares, edges, color=color, label=f"{label} ({int(chosen.sum()):,})")
    for (name, side), cut in zip(
        (("elevated ", "right"), (f" {REVIEW}", "left")), judged.cuts, strict=True
    ):
        at = base + cut
        left.axvline(at, color="#222222", linewidth=1)
        left.annotate(name, (at, 1), xycoords=("data", "axes fraction"), va="top", ha=side)
    left.set_xlabel("flipper-risk score in points, as of the cut-off")
    left.set_ylabel("share of the group, a bin")
    left.legend(frameon=False, loc="upper right", bbox_to_anchor=(1, 0.95))
    order = np.argsort(-scores)
    found = np.cumsum(flips[order])
    top = np.arange(1, len(order) + 1)
    right.plot(top / len(order), found / max(int(flips.sum()), 1), color="#1b4965")
    right.plot([0, 1], [0, 1], color="#8a8a8a", linestyle=":")
    right.set_xlabel("share of customers, highest scores first")
    right.set_ylabel("share of those who resell for profit")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle("Flipper risk against the market's truth", x=0.01, ha="left")
    figure.savefig(path, dpi=120)


def plot_auc_by_epsilon(reports: Sequence[ReplayReport], path: Path) -> None:
    """Draws the network's AUC against epsilon, with what it is held against as lines.

    Args:
        reports: One per epsilon, the one without noise last.
        path: A PNG file.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7.5, 4.5), layout="constrained")
    places = range(len(reports))
    axes.errorbar(
        places,
        [report.auc["network"].mean for report in reports],
        [report.auc["network"].sd for report in reports],
        marker="o",
        capsize=3,
        color="#1b4965",
        label=NAMES["network"],
    )
    styles = {
        "pooled_linked": ("#444444", "--"),
        "spend_rank": ("#b5651d", ":"),
        "local_model": ("#8a8a8a", "-."),
    }
    for name, (color, style) in styles.items():
        axes.axhline(reports[-1].auc[name].mean, color=color, linestyle=style, label=NAMES[name])
    axes.set_xticks(
        list(places),
        ["no noise" if report.epsilon is None else f"{report.epsilon:g}" for report in reports],
    )
    axes.set_xlabel(f"epsilon of one training, at delta {reports[-1].delta:g}")
    axes.set_ylabel("AUC (mean and sd over folds and repeats)")
    axes.set_title(f"{reports[-1].target}, cut-off {reports[-1].cutoff}", loc="left")
    axes.legend(frameon=False, fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
    plt.close(figure)
