"""What a person sees of a night and of a replay: tables and plots."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table

from privacy.units import Purpose, Unit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sandbox.one_night import Lookup
    from sandbox.replay import ReplayReport, Spread
    from server.hq.report import Step

NAMES = {
    "network": "network: summed over all outlets",
    "shared_model_home_events": "same scorecard, home outlet's events alone",
    "local_model": "local models, home outlet's own data",
    "spend_rank": "rank by past spend, all outlets",
    "pooled_linked": "all records pooled, no privacy",
}


def auc_table(auc: Mapping[str, Spread]) -> Table:
    """The figures of a replay, one row a contender."""
    title = "AUC on customers who were in no training sum"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    table.add_column("score")
    table.add_column("AUC", justify="right")
    spread = any(figure.sd > 0 for figure in auc.values())
    if spread:
        table.add_column("sd", justify="right")
    for name, label in NAMES.items():
        figure = auc[name]
        table.add_row(label, f"{figure.mean:.4f}", *([f"{figure.sd:.4f}"] if spread else []))
    return table


def steps_table(steps: Sequence[Step], remaining: float) -> Table:
    """A night's releases, one row each.

    Args:
        steps: The night's.
        remaining: The year's rho for a customer before the night, for the last column.
    """
    table = Table(title="Releases of the night", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("release", no_wrap=True)
    for column in ("outlets", "absent", "clipped*", "signal\nto noise", "rho", "left\nthis year"):
        table.add_column(column, justify="right", no_wrap=True)
    shares: list[float] = []
    rounds = 0
    for step in steps:
        rho = 0.0 if step.rho is None else float(step.rho)
        of_event = step.purpose.unit is Unit.EVENT
        remaining -= 0.0 if of_event else rho
        name = step.purpose.value
        if step.purpose is Purpose.TRAINING:
            rounds += 1
            name = f"round {rounds}"
        if step.clipped is not None:
            shares.append(step.clipped)
        table.add_row(
            name,
            str(step.outlets),
            str(sum(step.failures.values())),
            "" if step.clipped is None else f"{max(0.0, sum(shares) / len(shares)):.0%}",
            "" if step.signal_to_noise is None else f"{step.signal_to_noise:.2f}",
            "no noise" if step.rho is None else f"{rho:.5f}",
            "an event's" if of_event else f"{remaining:.5f}",
        )
    table.caption = "* mean of the rounds so far, from noisy releases"
    return table


def lookups_table(lookups: Sequence[Lookup]) -> Table:
    """What staff were told, one row a look-up."""
    table = Table(title="What staff were told", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("at", no_wrap=True)
    table.add_column("customer", max_width=30)
    table.add_column("eligibility: what it allows", max_width=42)
    for found in lookups:
        said = found.status
        if "eligibility" in found.bands:
            said = f"{found.bands['eligibility']}: {found.allows['eligibility']}"
        table.add_row(found.outlet, found.case, said)
    return table


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
