"""Plots of a scorecard, made of what its private counts say."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from features.bands import BandPolicy, scheme_of
from features.calibration import (
    CALIBRATION_BINS,
    CALIBRATION_EDGES,
    CALIBRATION_ENDS,
    CALIBRATION_MIDDLES,
    Calibration,
    compressed,
)
from features.scorecard import POINTS_PER_LOGIT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from features.calibration import Counts
    from features.events import Vector
    from privacy.two_key_sum import CustomerRelease
    from server.hq.banding import Judgement

SDS = 2.0
"""Error bars and noise bands reach so many standard deviations of the noise to either side."""

LEAST_SIGNAL = 5.0
"""A bin's share is shown when its customers are so many standard deviations of their noise."""

_WITHOUT, _HAVING, _CURVE = "#1b4965", "#c1121f", "#444444"


def plot_scorecard(
    outcome: str, night: str, release: CustomerRelease, judged: Judgement, path: Path
) -> None:
    """Writes one scorecard's calibration as a PNG: the curve and what it was fitted to.

    Args:
        outcome: What it predicts.
        night: The night that counted.
        release: Its calibration counts.
        judged: What they said.
        path: The file to write.
    """
    from matplotlib.figure import Figure

    scheme, counts = scheme_of(outcome, BandPolicy()), judged.counts(release)
    figure = Figure(figsize=(11, 8), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(1.5, 1))
    cuts = compressed(np.array(judged.scores), counts.centre)
    _curve(upper, counts, cuts)
    _distribution(lower, counts)
    ends = float(CALIBRATION_ENDS[0]), float(CALIBRATION_ENDS[-1])
    for axes in (upper, lower):
        for cut in cuts[(cuts > ends[0]) & (cuts < ends[1])]:
            axes.axvline(cut, color="black", linestyle="--", linewidth=1)
        axes.spines[["top", "right"]].set_visible(False)
    _names(upper, scheme.bands[1:], np.clip([ends[0], *cuts, ends[1]], *ends))
    points = counts.centre + POINTS_PER_LOGIT * np.sinh(CALIBRATION_EDGES)
    lower.set_xticks(CALIBRATION_EDGES, [f"{edge:.0f}" for edge in points])
    lower.set_xlim(ends)
    lower.set_xlabel(
        f"score in points, at the edges of the bins (middle {counts.centre:.0f}; the scale is "
        "logarithmic far from it)"
    )
    figure.suptitle(
        f"{scheme.name}: {counts.customers:,.0f} customers of {len(release.outlets)} outlets, "
        f"counted in {night}, noise of sd {release.noise_sd:.3g} in each cell",
        x=0.01, ha="left", fontsize=12,
    )  # fmt: skip
    figure.savefig(path, dpi=120)


def _curve(axes: Axes, counts: Counts, cuts: Vector) -> None:
    """The fitted probability against each bin's observed share, and what it is at the cuts."""
    calibration = Calibration.of(counts)
    c = np.linspace(CALIBRATION_ENDS[0], CALIBRATION_ENDS[-1], 400)
    scores = counts.centre + POINTS_PER_LOGIT * np.sinh(c)
    curve = calibration.probability(scores)
    axes.plot(c, curve, color=_CURVE, label="fitted curve of three numbers")
    plain = Calibration(counts.centre, 0.0, 1.0, 0.0).probability(scores)
    axes.plot(c, plain, color=_CURVE, linewidth=1, linestyle=":", label="as it was trained")
    shown, shares, noises = _shares(counts)
    if shown.any():
        axes.errorbar(
            CALIBRATION_MIDDLES[shown], shares, SDS * noises, fmt="o", capsize=4, color=_HAVING,
            label="share in which it came true, by bin (bars: 2 sd of the noise)",
        )  # fmt: skip
    for cut in cuts[(cuts > c[0]) & (cuts < c[-1])]:
        axes.annotate(
            f"{np.interp(cut, c, curve):.2f}", (cut, np.interp(cut, c, curve)), (5, -14),
            textcoords="offset points", fontsize=10,
        )  # fmt: skip
    # A bin of few customers has a bar as high as the plot: it is cut off, and shrinks nothing.
    most = max(0.05, float(curve[-1]), *(shares + np.minimum(SDS * noises, shares)), *plain[-1:])
    axes.set_ylim(0, min(1.02, 1.15 * most))
    axes.set_ylabel("probability")
    axes.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(0, 0.97))
    if not shown.any():
        axes.text(0.5, 0.5, "noise covers the counts", transform=axes.transAxes, ha="center")


def _shares(counts: Counts) -> tuple[Vector, Vector, Vector]:
    """Which bins noise does not cover, bool[bins]; their shares, and the noise in those."""
    without, having = counts.outcomes
    customers = without + having
    shown = customers > LEAST_SIGNAL * np.sqrt(2) * counts.noise_sd
    shown &= customers >= 1
    totals = customers[shown]
    shares = np.clip(having[shown] / totals, 0.0, 1.0)
    return shown, shares, counts.noise_sd * np.hypot(shares, 1 - shares) / totals


def _distribution(axes: Axes, counts: Counts) -> None:
    """Customers with and without the outcome in each bin, on a scale that is straight up to 10."""
    axes.set_yscale("symlog", linthresh=10)
    noise = SDS * counts.noise_sd
    if noise > 0:
        axes.axhspan(-noise, noise, color="#dddddd", zorder=0, label="within the noise (2 sd)")
    labels = ("without the outcome", "with it")
    for values, color, label in zip(counts.outcomes, (_WITHOUT, _HAVING), labels, strict=True):
        axes.stairs(values, CALIBRATION_ENDS, fill=True, alpha=0.2, color=color)
        axes.stairs(values, CALIBRATION_ENDS, color=color, linewidth=1.4, label=label)
    axes.axhline(0, color="#888888", linewidth=0.6)
    axes.set_ylabel(f"customers in each\nof {CALIBRATION_BINS} bins")
    axes.legend(frameon=False, fontsize=9, loc="lower left", bbox_to_anchor=(0, 0.98), ncols=3)


def _names(axes: Axes, bands: Sequence[str], ends: Vector) -> None:
    """The bands' names above the parts of the scale that they cover."""
    for band, (left, right) in zip(bands, pairwise(ends.tolist()), strict=True):
        if right > left:
            axes.text(
                (left + right) / 2, 1.02, band, transform=axes.get_xaxis_transform(), ha="center"
            )
        else:
            axes.text(
                0.99, 0.9, f"nobody counted reaches {band}", transform=axes.transAxes, ha="right"
            )
