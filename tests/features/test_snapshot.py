"""A day is a date, and an outcome sees the days after the cut-off up to its horizon's end."""

from __future__ import annotations

import datetime as dt

import pytest

from features.errors import FeatureError
from features.snapshot import CutOff, Snapshot
from tests.features.ledgers import events_of, row

CUT = CutOff.parse("2026-01-31")


@pytest.mark.parametrize("text", ["", "2026-02-30", "31.01.2026", "2026-13-01", "today"])
def test_what_is_no_date_is_no_cut_off(text: str) -> None:
    with pytest.raises(FeatureError, match=f"got '{text}', expected a date as YYYY-MM-DD"):
        CutOff.parse(text)
    assert str(CUT) == "2026-01-31"


@pytest.mark.parametrize("days", [0, 1, 10])
def test_history_ends_with_the_cut_off_and_the_future_with_the_horizon(days: int) -> None:
    """Both days are in, and a horizon may end on the very cut-off: then there is no future."""
    away = [-1, 0, 1, 2, 10, 11]
    drawn = [row("anna", CUT.date + dt.timedelta(days=day)) for day in away]
    taken = Snapshot.take(events_of(drawn), CUT, CUT.date + dt.timedelta(days=days))

    def days_of(column: list[dt.date]) -> list[int]:
        return [(one - CUT.date).days for one in column]

    assert days_of(taken.history["date"].to_list()) == [-1, 0]
    assert days_of(taken.future["date"].to_list()) == [day for day in away if 0 < day <= days]
    assert taken.left_out == 4
    with pytest.raises(FeatureError, match="before the cut-off"):
        Snapshot.take(events_of(drawn), CUT, CUT.date - dt.timedelta(days=1))
