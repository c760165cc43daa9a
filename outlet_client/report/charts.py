"""The report's charts, as SVG that takes the page's own text colour.

Colours are Okabe and Ito's, which colour-blind people tell apart; shapes and words say the same
once more.
"""

from __future__ import annotations

import datetime as dt
import io
import re
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.axes import Axes

    from outlet_client.report.data_quality import Month
    from outlet_client.report.ranking_comparison import Compared, Interval

NETWORK, OWN = "#0072b2", "#d55e00"
PLAIN = "#7b8794"
_WIDTH = 440
_INK = "#0a0b0c"
"""Becomes the page's text colour: a page may be dark."""

_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "escapement",
    "font.size": 11,
    "grid.alpha": 0.18,
    "axes.axisbelow": True,
    "date.converter": "concise",
    **{f"axes.spines.{side}": side == "bottom" for side in ("left", "right", "top", "bottom")},
    **dict.fromkeys(
        ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), _INK
    ),
    "grid.color": _INK,
}


def plot_ranking(found: Compared) -> str:
    """Draws how many of 100 pairs each of the two ranked right, with intervals."""
    rows = (
        ("The network's scorecard", found.network, NETWORK, "o"),
        ("Your own model", found.own, OWN, "s"),
    )

    def paint(axes: Axes) -> None:
        for place, (name, interval, colour, marker) in enumerate(rows):
            _whiskers(axes, interval, -place, 50, colour, marker)
            _say(axes, f"{name}: {interval_text(interval)}", 0.35 - place)
        lowest = min(100 * interval.low for _, interval, _, _ in rows)
        axes.set(xlim=(min(40.0, lowest // 10 * 10), 100), ylim=(-1.4, 0.8), yticks=[])
        axes.set_xlabel("pairs ranked right, of 100; 50 is tossing a coin")

    said = "; ".join(f"{name} {interval_text(interval)} of 100" for name, interval, _, _ in rows)
    return _svg(f"Pairs ranked right: {said}", 150, paint)


def plot_difference(found: Compared) -> str:
    """Draws the network's lead over the outlet's own model, in pairs of 100."""
    said = interval_text(found.difference, signed=True)

    def paint(axes: Axes) -> None:
        _whiskers(axes, found.difference, 0, 0, _INK, "o")
        _say(axes, f"Difference: {said} pairs of 100", 0.4)
        ends = [abs(100 * value) for value in found.difference]
        reach = next((step for step in (5, 10, 20, 50) if max(ends) <= step), 100)
        axes.set(xlim=(-reach, reach), ylim=(-0.5, 0.9), yticks=[])
        axes.set_xlabel("\N{LEFTWARDS ARROW} your own model ranks better", loc="left")
        better = "the network ranks better \N{RIGHTWARDS ARROW}"
        axes.annotate(
            better, (1, 0), (0, -21), "axes fraction", "offset points", ha="right", va="top"
        )

    return _svg(f"Difference in pairs of 100: {said}", 118, paint)


def plot_months(months: Sequence[Month], at: dt.date) -> str:
    """Draws how many rows of each month are used; the month that is not over is paler."""
    from matplotlib.ticker import MaxNLocator

    first, last = months[0].first, months[-1].first
    ends = max(last + dt.timedelta(days=31), first + dt.timedelta(days=366))
    days = np.array([month.first for month in months], dtype="datetime64[D]")
    rows = np.array([month.rows for month in months])
    paler = [
        0.4 if (one.first.year, one.first.month) == (at.year, at.month) else 1.0 for one in months
    ]
    top = 1.05 * rows.max()

    def paint(axes: Axes) -> None:
        axes.bar(days, rows, 25, align="edge", color=[(NETWORK, alpha) for alpha in paler])
        silent = days[rows == 0]
        axes.bar(silent, np.full(len(silent), top), 31, align="edge", color=OWN, alpha=0.45)
        axes.set(ylim=(0, top), xlim=(first, ends))
        axes.set_title("rows used, by month", loc="left", fontsize=11)
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.yaxis.set_major_formatter("{x:,.0f}")
        axes.tick_params("y", length=0)
        axes.grid(axis="y")

    title = f"Rows used, by month: {len(months)} months, at most {rows.max():,} in one"
    return _svg(title, 190, paint)


def interval_text(interval: Interval, *, signed: bool = False) -> str:
    """An interval of shares in words, of 100: `78.1 (74.0 to 82.2)`."""
    value, low, high = (100 * part for part in interval)
    if signed:
        return f"{_signed(value)} ({_signed(low)} to {_signed(high)})"
    return f"{value:.1f} ({low:.1f} to {high:.1f})"


def _signed(value: float) -> str:
    shown = f"{value:+.1f}".replace("-", "\N{MINUS SIGN}")
    return "0.0" if shown[1:] == "0.0" else shown


def _whiskers(
    axes: Axes, interval: Interval, y: float, even: float, colour: str, marker: str
) -> None:
    """A point on its interval, both in colour, and a dashed line where nothing is better."""
    axes.vlines(even, y - 0.3, y + 0.25, color=_INK, linestyle="--", linewidth=1)
    value, low, high = (100 * part for part in interval)
    ends = [[value - low], [high - value]]
    axes.errorbar(value, y, xerr=ends, color=colour, fmt=marker, markersize=11, lw=3, capsize=5)


def _say(axes: Axes, words: str, y: float) -> None:
    axes.text(0, y, words, transform=axes.get_yaxis_transform(), fontsize=13)


def _svg(title: str, height: float, paint: Callable[[Axes], None]) -> str:
    """A picture with a title for screen readers, to stand within a page."""
    # Loaded here: every command would pay for it otherwise.
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    file = io.StringIO()
    with rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH / 72, height / 72), layout="constrained")
        paint(figure.add_subplot())
        figure.savefig(file, format="svg", transparent=True, metadata={"Title": title})
    made = re.sub(r"^.*?(?=<svg)|<metadata>.*?</metadata>", "", file.getvalue(), flags=re.DOTALL)
    made = re.sub(r' id="[a-z0-9.]+_\d+"', "", made)  # other pictures of the page have the same
    return made.replace(_INK, "currentColor").replace("<svg", '<svg role="img"', 1)
