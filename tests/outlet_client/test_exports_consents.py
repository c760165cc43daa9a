"""Exports of consents are recorded as their README says, or refused with what to do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.exports.till import Till

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def registered(tmp_path: Path) -> Till:
    """An outlet with keys, in Singapore."""
    return Till(tmp_path, "small_blank.csv", "--region", "SG").with_keys()


def test_all_bad_consents_are_listed_at_once(registered: Till) -> None:
    for options in (("--check",), ()):
        code, said = registered.consents("small_cons_many.csv", *options)
        assert code != 0
        for line in (3, 4, 5):
            assert re.search(rf"line {line}\b", said)
        assert not re.search(r"line 2\b", said)
        assert "8123" not in said
    assert registered.consented().is_empty()  # all or nothing


def test_consents_under_own_headings_are_mapped_and_days_are_not_guessed(registered: Till) -> None:
    code, said = registered.consents("small_c1.csv", "--check")
    assert code != 0
    assert "Date" in said  # their heading, not ours
    assert re.search(r"day.*month|month.*day|ambiguous", said, re.IGNORECASE)
    assert "missing" not in said


def test_blank_rows_of_consents_are_left_out(registered: Till) -> None:
    code, said = registered.consents("small_c7.csv", "--check")
    assert code == 0, said
    assert registered.consented().is_empty()  # a check records nothing
    code, said = registered.consents("small_c7.csv")
    assert (code, "1 recorded" in said) == (0, True), said


def test_a_day_without_dashes_is_that_day_or_refused(registered: Till) -> None:
    code, said = registered.consents("small_c9.csv")
    assert code == 0 or re.search(r"line 2\b", said)
    days = {str(day)[:10] for day in registered.consented()["recorded_at"]}
    assert days <= {"2026-02-03"}


def test_a_serial_day_of_a_consent_is_refused(registered: Till) -> None:
    code, said = registered.consents("small_c10.csv")
    assert code != 0
    assert re.search(r"line 2\b.*recorded_at", said)
    assert registered.consented().is_empty()


def test_a_workbook_of_something_else_is_no_consents(registered: Till) -> None:
    code, said = registered.consents("consents.xlsx", "--check")
    assert code != 0
    assert "notice" in said
    assert "not readable" not in said
    assert registered.consented().is_empty()


@pytest.mark.parametrize("options", [("--check",), ()])
def test_consents_of_a_workbook_are_recorded(tmp_path: Path, options: tuple[str, ...]) -> None:
    till = Till(tmp_path, "small_blank.csv", "--region", "SG").with_keys()
    code, said = till.consents("consents_book.xlsx", *options)
    assert code == 0, said
    recorded = till.consented()
    assert len(recorded) == (0 if options else 3)
    if not options:
        assert sorted(str(day)[:10] for day in recorded["recorded_at"]) == [
            "2026-02-03",
            "2026-02-04",
            "2026-02-28",
        ]
        assert sorted(recorded["notice"]) == ["2026-01", "2026-01", "2026-02"]
