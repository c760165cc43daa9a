"""A year of nights keeps the disks of HQ and of the privacy office flat."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  (pytest reads annotations)

import pytest

from benchmarks.year import weeks

EARLY, LATE = 10, 30


@pytest.mark.slow
def test_twenty_weeks_more_leave_both_disks_as_large_as_they_were(tmp_path: Path) -> None:
    """With two trainings between: what stays of these is what an audit reads."""
    found = {week.number: week for week in weeks(tmp_path, LATE, customers=60, slots=30_000)}
    assert {week.night for week in found.values()} == {"complete"}
    assert sum(week.steps > 1 for week in found.values()) == 3  # a training a quarter
    early, late = found[EARLY], found[LATE]
    assert late.hq / early.hq < 1.02
    assert late.office / early.office < 1.03
    # The ledger keeps all; the first training has a release more, of the starting scorecards.
    assert late.entries - early.entries == 2 * (early.entries - 1)
