"""The report's charts and the figures on them."""

from __future__ import annotations

import datetime as dt
import re
from typing import NamedTuple
from xml.etree import ElementTree as ET

import pytest

from outlet_client.report import charts, report_text
from outlet_client.report.data_quality import Month, quality
from outlet_client.report.ranking_comparison import (
    Compared,
    Interval,
)
from outlet_client.report.report_page import render
from tests.outlet_client.reported_outlet import (
    LOYAL,
    Outlet,
    outlet,
    text_of,
)

__all__ = ["outlet"]


# --- charts -------------------------------------------------------------------------------------


class Box(NamedTuple):
    """Where a shape of a chart stands."""

    left: float
    right: float
    top: float
    bottom: float


def shapes(chart: str, *styles: str) -> list[Box]:
    """The shapes whose style has these words, in order."""
    root, found = ET.fromstring(chart), []  # noqa: S314  (our own)
    for part in root.iter("{http://www.w3.org/2000/svg}path"):
        if "d" in part.attrib and all(one in part.get("style", "") for one in styles):
            numbers = [float(one) for one in re.findall(r"-?[\d.]+", part.attrib["d"])]
            x, y = numbers[::2], numbers[1::2]
            found.append(Box(min(x), max(x), min(y), max(y)))
    return found


def test_a_whisker_reaches_as_far_as_its_interval_says() -> None:
    found = Compared(
        LOYAL, 100, 30, Interval(0.8, 0.7, 0.9), Interval(0.6, 0.55, 0.65), Interval(0.2, 0.1, 0.3)
    )
    drawn = charts.plot_ranking(found)
    network, own = (
        shapes(drawn, f"stroke: {colour}", "stroke-width: 3")[0]
        for colour in (charts.NETWORK, charts.OWN)
    )
    assert network.right - network.left == pytest.approx(2 * (own.right - own.left), abs=0.3)
    middle = (network.left + network.right) / 2 - (own.left + own.right) / 2
    assert middle == pytest.approx(network.right - network.left, abs=0.3)
    [whisker] = shapes(charts.plot_difference(found), "stroke-width: 3")
    [even] = shapes(charts.plot_difference(found), "stroke-dasharray")
    assert whisker.left > even.right  # right of no difference: the network's side


@pytest.mark.parametrize("rows", [3, 4_321, 99_999, 1_000_000, 123_456_789])
def test_no_number_beside_the_months_begins_outside_the_picture(rows: int) -> None:
    drawn = charts.plot_months([Month(dt.date(2026, 1, 1), rows)], dt.date(2026, 4, 20))
    texts = ET.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")  # noqa: S314  (our own)
    ends = [
        (float(one.attrib["x"]), one.text or "") for one in texts if "end" in one.attrib["style"]
    ]
    assert len(ends) >= 2
    wide = {",": 3.6}  # a digit of this size is 7 wide at most
    assert all(x - sum(wide.get(one, 7) for one in words) >= 0 for x, words in ends)


def test_only_a_month_that_is_not_over_is_said_to_be_paler(outlet: Outlet) -> None:
    running = quality(outlet.facts()).months[-1].first
    last = dt.datetime.combine(running, dt.time(2), dt.UTC)
    assert "The paler column" in text_of(render(outlet.facts(at=last + dt.timedelta(days=27))))
    assert "paler" not in text_of(render(outlet.facts(at=last + dt.timedelta(days=32))))


def test_columns_are_as_high_as_their_months_and_silent_months_are_shaded() -> None:
    rows = [10, 40, 0, 20]
    months = [Month(dt.date(2026, 1 + place, 1), count) for place, count in enumerate(rows)]
    drawn = charts.plot_months(months, dt.date(2026, 4, 20))
    columns = shapes(drawn, f"fill: {charts.NETWORK}")
    heights = [one.bottom - one.top for one in columns]
    assert [round(height / heights[0], 1) for height in heights] == [1.0, 4.0, 0.0, 2.0]
    [paler] = shapes(drawn, f"fill: {charts.NETWORK}", "opacity: 0.4")
    assert paler.left == pytest.approx(columns[-1].left, abs=0.1)
    [silent] = shapes(drawn, f"fill: {charts.OWN}")
    assert silent.left == pytest.approx(columns[2].left, abs=0.1)


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 bytes"), (999, "999 bytes"), (16_384, "16.4 kB"), (5e6, "5.0 MB")]
)
def test_sizes_are_for_people(count: int, said: str) -> None:
    assert report_text.size(int(count)) == said
