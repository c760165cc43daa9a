"""Plots of a scorecard, made of what its private counts say; a score table has no way in here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from features.accuracy import reliability
from features.bands import BandPolicy, scheme_of
from features.calibration import FINE_BINS, FINE_CENTRES, FINE_EDGES, Calibration, Counts, Group

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from privacy.two_key_sum import CustomerRelease
    from server.hq.banding import Judgement

SDS = 2.0
"""Error bars and noise bands reach so many standard deviations of the noise to either side."""

_COLORS = {Group.EVERYBODY: "#444444", Group.NEWCOMERS: "#c1121f", Group.REGULARS: "#1b4965"}
_MARKERS = {Group.EVERYBODY: "s", Group.NEWCOMERS: "^", Group.REGULARS: "o"}
_WITHOUT, _HAVING = 0, 1


def plot_scorecard(
    outcome: str, night: str, release: CustomerRelease, judged: Judgement, path: Path
) -> None:
    """Writes one scorecard's score distribution and reliability as a PNG.

    Args:
        outcome: What it predicts.
        night: The night that counted.
        release: Its calibration counts; a score table is none.
        judged: What they said.
        path: The file to write.
    """
    from matplotlib.figure import Figure

    scheme = scheme_of(outcome, BandPolicy())
    groups = {group: Counts.of(release.values, release.noise_sd, group) for group in Group}
    figure = Figure(figsize=(13, 6), layout="constrained")
    grid = figure.add_gridspec(2, 2, width_ratios=(1.25, 1))
    upper = figure.add_subplot(grid[0, 0])
    lower = figure.add_subplot(grid[1, 0], sharex=upper)
    for axes, row in ((upper, _HAVING), (lower, _WITHOUT)):
        _distribution(axes, groups, row)
        _cuts(axes, judged.cuts, scheme.bands[1:] if axes is upper else ())
    upper.set_ylabel(f"customers with\n{outcome}, a bin")
    upper.tick_params(labelbottom=False)
    lower.set_ylabel("customers without,\na bin")
    lower.set_xlabel("standard score, by fine bin")
    lower.legend(frameon=False, fontsize=9, loc="upper right")
    _reliability(figure.add_subplot(grid[:, 1]), groups, judged.cuts, scheme.bands[1:])
    figure.suptitle(
        f"{scheme.name}: {groups[Group.EVERYBODY].customers:,.0f} customers of "
        f"{len(release.outlets)} outlets, counted in {night}, with noise of sd "
        f"{release.noise_sd:.3g} in each cell",
        x=0.01, ha="left", fontsize=12,
    )  # fmt: skip
    figure.savefig(path, dpi=120)


def _distribution(axes: Axes, groups: dict[Group, Counts], row: int) -> None:
    """Counts of one outcome a fine bin; every bin is drawn equally wide, so noise is too."""
    edges = np.arange(FINE_BINS + 1) - 0.5
    noise = SDS * groups[Group.NEWCOMERS].noise_sd
    if noise > 0:
        axes.axhspan(-noise, noise, color="#dddddd", zorder=0, label="within the noise (2 sd)")
    for group in (Group.REGULARS, Group.NEWCOMERS):
        values = groups[group].outcomes[row]
        axes.stairs(values, edges, fill=True, alpha=0.25, color=_COLORS[group])
        axes.stairs(values, edges, color=_COLORS[group], linewidth=1.4, label=group.value)
    axes.axhline(0, color="#888888", linewidth=0.6)
    places = np.arange(0, FINE_BINS - 1, 3)
    axes.set_xticks(places + 0.5, [f"{FINE_EDGES[place]:.0f}" for place in places])
    axes.set_xlim(edges[0], edges[-1])
    axes.spines[["top", "right"]].set_visible(False)


def _cuts(axes: Axes, cuts: Sequence[float], bands: Sequence[str]) -> None:
    """Lines where bands begin, and the bands' names between them; none of a band nobody reaches."""
    ends = np.interp([-np.inf, *cuts, np.inf], FINE_CENTRES, np.arange(FINE_BINS))
    for cut, place in zip(cuts, ends[1:-1], strict=True):
        if np.isfinite(cut):
            axes.axvline(place, color="black", linestyle="--", linewidth=1)
    for band, left, right in zip(bands, ends[:-1], ends[1:], strict=False):
        if right > left:
            axes.text(
                (left + right) / 2, 1.02, band, transform=axes.get_xaxis_transform(), ha="center"
            )
    if bands and cuts[-1] == np.inf:
        axes.text(
            0.99, 0.95, f"nobody reaches {bands[-1]}", transform=axes.transAxes, ha="right",
            va="top",
        )  # fmt: skip


def _reliability(
    axes: Axes, groups: dict[Group, Counts], cuts: Sequence[float], bands: Sequence[str]
) -> None:
    """Promised against observed shares: of bands by group, and of the finest pools of everybody."""
    everybody = groups[Group.EVERYBODY]
    calibration = Calibration.of(everybody)
    highest = [0.05]
    pools = [
        (row.predicted, row.observed, row.noise_sd)
        for row in reliability(calibration, everybody.pool_edges(), everybody)
        if row.predicted is not None and row.observed is not None and row.noise_sd is not None
    ]
    for predicted, observed, noise in pools:
        highest += [predicted, observed + SDS * noise]
    if pools:
        promised, seen, noises = np.array(pools).T
        axes.errorbar(
            promised, seen, SDS * noises, fmt=".", color="#aaaaaa", zorder=1,
            label="everybody, finest pools",
        )  # fmt: skip
    for group, counts in groups.items():
        label = f"{group}, bands"
        for row in reliability(calibration, cuts, counts):
            if row.predicted is None or row.observed is None or row.noise_sd is None:
                continue
            place = row.predicted
            axes.errorbar(
                [place], [row.observed], [SDS * row.noise_sd], fmt=_MARKERS[group], capsize=3,
                color=_COLORS[group], label=label, zorder=2,
            )  # fmt: skip
            label = ""
            highest += [place, row.observed + SDS * row.noise_sd]
            if group is Group.EVERYBODY:
                axes.annotate(
                    bands[row.band - 1], (place, row.observed), (8, -12), fontsize=10,
                    textcoords="offset points",
                )  # fmt: skip
    most = min(1.0, 1.08 * max(highest))
    axes.plot([0, most], [0, most], color="#888888", linewidth=0.8, linestyle=":")
    axes.set_xlim(0, most)
    axes.set_ylim(0, most)
    axes.set_xlabel("calibrated probability, judged on the counts that it was made of")
    axes.set_ylabel("share in which it came true (bars: 2 sd of the noise)")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=9, loc="upper left")
    else:
        axes.text(0.5, 0.5, "noise covers the counts", transform=axes.transAxes, ha="center")
    axes.spines[["top", "right"]].set_visible(False)
