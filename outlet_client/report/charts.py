"""The report's charts, as SVG that takes the page's own text colour.

Drawn by hand: loading matplotlib takes as long as all other work of the report, and its pictures
know neither a dark page nor a narrow one. Colours are Okabe and Ito's, which colour-blind people
tell apart; shapes and words say the same once more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from outlet_client.report.data_quality import Month
    from outlet_client.report.ranking_comparison import Compared, Interval

NETWORK, OWN = "#0072b2", "#d55e00"
PLAIN = "#7b8794"
WIDTH = 440
_EDGE = 12
_DECEMBER = 12
_NARROWEST = 5
_ROOM_FOR_A_YEAR = 30
_DIGIT = 7.1
"""How wide a digit of size 11 may be."""


@dataclass(slots=True)
class _Canvas:
    """A picture of WIDTH units across, as parts of SVG."""

    height: float
    parts: list[str] = field(default_factory=list)

    def text(self, x: float, y: float, words: str, anchor: str = "start", size: int = 13) -> None:
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
            f'fill="currentColor">{escape(words)}</text>'
        )

    def line(self, start: tuple[float, float], end: tuple[float, float], style: str) -> None:
        (x1, y1), (x2, y2) = start, end
        self.parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" {style}/>'
        )

    def box(self, x: float, y: float, width: float, height: float, style: str) -> None:
        self.parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" {style}/>'
        )

    def svg(self, title: str) -> str:
        return (
            f'<svg viewBox="0 0 {WIDTH} {self.height:.0f}" role="img" '
            f'xmlns="http://www.w3.org/2000/svg"><title>{escape(title)}</title>'
            f"{''.join(self.parts)}</svg>"
        )


_AXIS = 'stroke="currentColor" stroke-opacity="0.55"'
_GRID = 'stroke="currentColor" stroke-opacity="0.18"'
_DASHED = 'stroke="currentColor" stroke-opacity="0.8" stroke-dasharray="4 3"'


@dataclass(frozen=True, slots=True)
class _Scale:
    """Where values stand across the picture."""

    low: float
    high: float
    left: float = _EDGE
    right: float = WIDTH - _EDGE

    def at(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self.left + (self.right - self.left) * min(max(share, 0.0), 1.0)


def plot_ranking(found: Compared) -> str:
    """Draws how many of 100 pairs each of the two ranked right, with intervals."""
    rows = (
        ("The network's scorecard", found.network, NETWORK),
        ("Your own model", found.own, OWN),
    )
    lowest = min(100 * interval.low for _, interval, _ in rows)
    scale = _Scale(min(40.0, 10 * math.floor(lowest / 10)), 100.0)
    canvas = _Canvas(150)
    _axis(canvas, scale, 104, 10, ((29, 52), (75, 104)))
    canvas.text(scale.at(50), 134, "tossing a coin", "middle", 11)
    canvas.text(WIDTH - _EDGE, 134, "pairs ranked right, of 100", "end", 11)
    for place, (name, interval, colour) in enumerate(rows):
        top = 8 + 46 * place
        canvas.text(_EDGE, top + 14, f"{name}: {spoken(interval)}")
        canvas.line((scale.at(50), top + 21), (scale.at(50), top + 44), _DASHED)
        _whiskers(canvas, scale, interval, top + 32, colour, round_=place == 0)
    said = "; ".join(f"{name} {spoken(interval)} of 100" for name, interval, _ in rows)
    return canvas.svg(f"Pairs ranked right: {said}")


def plot_difference(found: Compared) -> str:
    """Draws the network's lead over the outlet's own model, in pairs of 100."""
    ends = [abs(100 * value) for value in found.difference]
    reach = next((step for step in (_NARROWEST, 10, 20, 50) if max(ends) <= step), 100)
    scale = _Scale(-reach, reach)
    canvas = _Canvas(118)
    _axis(canvas, scale, 72, reach / 5 if reach == _NARROWEST else reach / 2, ((22, 72),))
    canvas.text(_EDGE, 108, "\N{LEFTWARDS ARROW} your own model ranks better", size=11)
    canvas.text(WIDTH - _EDGE, 108, "the network ranks better \N{RIGHTWARDS ARROW}", "end", size=11)
    canvas.line((scale.at(0), 22), (scale.at(0), 72), _DASHED)
    canvas.text(_EDGE, 14, f"Difference: {spoken(found.difference, signed=True)} pairs of 100")
    _whiskers(canvas, scale, found.difference, 48, "currentColor", round_=True)
    return canvas.svg(f"Difference in pairs of 100: {spoken(found.difference, signed=True)}")


def plot_months(months: Sequence[Month], at: dt.date) -> str:
    """Draws how many rows of each month are used; the month that is not over is paler.

    Args:
        months: From the first to the last, at least one.
        at: Today.
    """
    floor, top = 156, 26
    highest = max(month.rows for month in months)
    step = _round_step(highest / 2)
    ceiling = step * max(math.ceil(highest / step), 1)
    left = max(46.0, 10 + _DIGIT * len(f"{ceiling:,}"))
    wide = (WIDTH - _EDGE - left) / max(len(months), 12)
    canvas = _Canvas(190)
    canvas.text(2, 11, "rows used, by month", size=11)
    for value in range(0, ceiling + 1, step):
        height = floor - (floor - top) * value / ceiling
        canvas.line((left, height), (WIDTH - _EDGE, height), _GRID if value else _AXIS)
        canvas.text(left - 6, height + 4, f"{value:,}", "end", 11)
    for place, month in enumerate(months):
        x = left + wide * place
        height = (floor - top) * month.rows / ceiling
        if not month.rows:
            canvas.box(x, top, wide, floor - top, f'fill="{OWN}" fill-opacity="0.45"')
        running = (month.first.year, month.first.month) == (at.year, at.month)
        style = f'fill="{NETWORK}" fill-opacity="{0.4 if running else 1}"'
        canvas.box(x + 0.1 * wide, floor - height, 0.8 * wide, height, style)
    _years(canvas, months, left, wide, floor)
    return canvas.svg(f"Rows used, by month: {len(months)} months, at most {highest:,} in one")


def _years(
    canvas: _Canvas, months: Sequence[Month], left: float, wide: float, floor: float
) -> None:
    """Names the years under their months; a year of less than three months has no room."""
    for year in sorted({month.first.year for month in months}):
        places = [place for place, month in enumerate(months) if month.first.year == year]
        begin, end = left + wide * places[0], left + wide * (places[-1] + 1)
        if months[places[-1]].first.month == _DECEMBER and places[-1] + 1 < len(months):
            canvas.line((end, floor), (end, floor + 8), _AXIS)
        if end - begin >= _ROOM_FOR_A_YEAR:
            canvas.text((begin + end) / 2, floor + 18, str(year), "middle", 11)


def spoken(interval: Interval, *, signed: bool = False) -> str:
    """An interval of shares in words, of 100: `78.1 (74.0 to 82.2)`."""
    value, low, high = (100 * part for part in interval)
    if signed:
        return f"{_signed(value)} ({_signed(low)} to {_signed(high)})"
    return f"{value:.1f} ({low:.1f} to {high:.1f})"


def _signed(value: float) -> str:
    shown = f"{value:+.1f}".replace("-", "\N{MINUS SIGN}")
    return "0.0" if shown[1:] == "0.0" else shown


def _axis(
    canvas: _Canvas,
    scale: _Scale,
    height: float,
    step: float,
    bands: Sequence[tuple[float, float]],
) -> None:
    """A line with numbers below it, and grid lines from top to bottom of each band above it."""
    canvas.line((scale.left, height), (scale.right, height), _AXIS)
    for number in range(math.floor((scale.high - scale.low) / step + 0.5) + 1):
        value = scale.low + step * number
        x = scale.at(value)
        for top, bottom in bands:
            canvas.line((x, top), (x, bottom), _GRID)
        signed = "+" if scale.low < 0 and value else ""
        shown = f"{value:{signed}.0f}".replace("-", "\N{MINUS SIGN}")
        anchor = {scale.left: "start", scale.right: "end"}.get(x, "middle")
        canvas.text(x, height + 15, shown, anchor, 11)


def _whiskers(
    canvas: _Canvas, scale: _Scale, interval: Interval, y: float, colour: str, *, round_: bool
) -> None:
    """A point on its interval, both in colour; a disc or a square."""
    value, low, high = (scale.at(100 * part) for part in interval)
    stroke = f'stroke="{colour}" stroke-width="3" stroke-linecap="round"'
    canvas.line((low, y), (high, y), stroke)
    for end in (low, high):
        canvas.line((end, y - 5), (end, y + 5), stroke)
    corner = f'rx="{6 if round_ else 0}"'
    canvas.box(value - 6, y - 6, 12, 12, f'fill="{colour}" {corner}')


def _round_step(about: float) -> int:
    """1, 2 or 5 times a power of ten, at least as large as asked for."""
    power = 10 ** math.floor(math.log10(max(about, 1)))
    return int(next(power * lead for lead in (1, 2, 5, 10) if power * lead >= max(about, 1)))
