"""Cells as outlets write them: read one way only, or bad with a reason that does not hold them."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.cell_parsing import amounts, days, days_of, keys, optional_keys, text_of, truths
from features.errors import LedgerError


def text(*cells: str | None) -> pl.Series:
    return pl.Series("cell", cells, pl.String)


# --- amounts --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "decimal", "expected"),
    [
        ("12.5", ".", 12.5), (" 7 ", ".", 7.0), ("-5", ".", -5.0), ("+5.00", ".", 5.0),
        ("1e3", ".", 1000.0), (".5", ".", 0.5),
        ("1,234", ".", 1234.0), ("1,234,567.89", ".", 1234567.89), ("12,345", ".", 12345.0),
        ("1 234.5", ".", 1234.5), ("1'234.50", ".", 1234.5), ("1\u2019234", ".", 1234.0),
        ("1\u00a0234.5", ".", 1234.5), ("1\u202f234", ".", 1234.0),
        ("12,50", ",", 12.5), ("1.234,50", ",", 1234.5), ("1.234", ",", 1234.0),
        ("1 234,50", ",", 1234.5), ("1'234'567,5", ",", 1234567.5), ("12,345", ",", 12.345),
        ("5,00-", ",", -5.0), ("5-", ".", -5.0), ("\u22125,00", ",", -5.0),
        ("-1.234,50", ",", -1234.5), ("1.234,50-", ",", -1234.5),
    ],
)  # fmt: skip
def test_an_amount_is_read_as_its_decimal_sign_says(
    cell: str, decimal: str, expected: float
) -> None:
    found = amounts(text(cell), "s", decimal)
    assert found.values.to_list() == [expected]
    assert found.bad().is_empty()


@pytest.mark.parametrize(
    ("cell", "decimal"),
    [
        ("12,50", "."), ("1,2345", "."), ("0,125", "."), ("1234,567", "."), ("1.234,50", "."),
        ("1,23,456", "."), ("1 234,567", "."), ("1 2345", "."), ("12.50", ","), ("1,234.50", ","),
        ("0.125", ","), ("1.234.56", ","), ("1,5,0", ","), ("--5", "."), ("-5-", "."), ("5--", "."),
        ("(5)", "."), ("$5", "."), ("5 EUR", "."), ("5 €", "."), ("5%", "."), ("1_000", "."),
        ("0x10", "."), ("٣", "."), ("five", "."), ("-", "."), (",", ","), (".", "."),
    ],
)  # fmt: skip
def test_what_could_be_another_amount_is_bad_and_not_quoted(cell: str, decimal: str) -> None:
    (reason,) = amounts(text(cell), "s", decimal).bad()["reason"]
    assert reason == f"not readable; expected an amount such as 1234{decimal}50"


@given(st.integers(-(10**11), 10**11), st.sampled_from([("", "."), (",", "."), (".", ",")]))
def test_an_amount_that_was_written_is_read_again(cents: int, marks: tuple[str, str]) -> None:
    group, decimal = marks
    whole, rest = divmod(abs(cents), 100)
    digits = f"{whole:,}".replace(",", group)
    cell = f"{'-' if cents < 0 else ''}{digits}{decimal}{rest:02}"
    assert amounts(text(cell), "s", decimal).values.to_list() == [float(Decimal(cents) / 100)]


def test_amounts_of_other_types_are_numbers() -> None:
    for kind in (pl.Int16, pl.UInt64, pl.Float32, pl.Decimal(9, 2)):
        assert amounts(pl.Series("p", [3, None]).cast(kind), "s").values.to_list() == [3.0, None]
    assert amounts(text("3").cast(pl.Categorical), "s").values.to_list() == [3.0]
    assert amounts(pl.Series("p", [None]), "s").bad().rows() == [(0, "empty; expected a value")]
    with pytest.raises(LedgerError, match="column p: got type Boolean, expected Float64"):
        amounts(pl.Series("p", [True]), "s")


def test_an_amount_that_no_watch_costs_is_bad() -> None:
    cells = text("1000000000", "1000000001", "inf", "NaN", "1e300")
    assert amounts(cells, "s").bad()["at"].to_list() == [1, 2, 3, 4]


# --- days -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "dates", "expected"),
    [
        ("2026-12-31", "%Y-%m-%d", (2026, 12, 31)),
        (" 2026-12-31 ", "%Y-%m-%d", (2026, 12, 31)),
        ("31.12.2026", "%d.%m.%Y", (2026, 12, 31)),
        ("1.2.2026", "%d.%m.%Y", (2026, 2, 1)),
        ("31.12.26", "%d.%m.%y", (2026, 12, 31)),
        ("12/31/2026 11:10 PM", "%m/%d/%Y %I:%M %p", (2026, 12, 31)),
        ("31.12.2026 23:10", "%d.%m.%Y %H:%M", (2026, 12, 31)),
        ("2026-12-31T23:10:00Z", "%Y-%m-%dT%H:%M:%S%z", (2026, 12, 31)),
        ("2026-12-31T23:10:00+0800", "%Y-%m-%dT%H:%M:%S%z", (2026, 12, 31)),
        ("2026-12-31 23:10:00.123456", "%Y-%m-%d %H:%M:%S.%f", (2026, 12, 31)),
        ("2026-12-31 23:10:00", "%Y-%m-%d %H:%M:%S.%f", (2026, 12, 31)),
        ("31 Dec 2026", "%d %b %Y", (2026, 12, 31)),
        ("20261231", "%Y%m%d", (2026, 12, 31)),
    ],
)
def test_a_day_counts_as_it_is_written(
    cell: str, dates: str, expected: tuple[int, int, int]
) -> None:
    assert days(text(cell), "s", dates).values.to_list() == [dt.date(*expected)]


@pytest.mark.parametrize(
    ("cell", "dates", "reason"),
    [
        ("31.12.2026", "%Y-%m-%d", "not readable; expected a date in the calendar, as YYYY-MM-DD"),
        ("29.02.2023", "%d.%m.%Y", "not readable; expected a date in the calendar, as %d.%m.%Y"),
        ("31.12.2026 23:10", "%d.%m.%Y", "not readable"),
        ("31.12.2026", "%d.%m.%Y %H:%M", "not readable"),
        ("01.02.26", "%d.%m.%Y", "before 1900 or after 2199"),
        ("-026-01-01", "%Y-%m-%d", "before 1900 or after 2199"),
        ("1899-12-31", "%Y-%m-%d", "before 1900 or after 2199"),
        ("2200-01-01", "%Y-%m-%d", "before 1900 or after 2199"),
        ("  ", "%Y-%m-%d", "empty; expected a value"),
        (None, "%Y-%m-%d", "empty; expected a value"),
    ],
)
def test_a_day_that_is_none_is_bad(cell: str | None, dates: str, reason: str) -> None:
    found = days(text(cell), "s", dates)
    assert found.values.to_list() == [None] == days_of(text(cell), "s", dates).to_list()
    assert found.bad()["reason"][0].startswith(reason)


@pytest.mark.parametrize(
    "dates", ["", "%", "%d.%m", "%Y", "%Q", "%d.%m.%Y%", "%d.%m.%Y %S", "%d.%m.%Y %f", "%s", "dmy"]
)
def test_a_way_to_write_days_that_is_none_is_an_error(dates: str) -> None:
    with pytest.raises(LedgerError, match=r"column cell: dates = .* is no way to write a day"):
        days(text("31.12.2026"), "s", dates)


def test_a_whole_number_is_a_day_only_where_days_are_written_without_marks() -> None:
    numbers = pl.Series("d", [20261231])
    assert days(numbers, "s", "%Y%m%d").values.to_list() == [dt.date(2026, 12, 31)]
    with pytest.raises(LedgerError, match="got type Int64, expected Date"):
        days(numbers, "s")


# --- keys and truths ------------------------------------------------------------------------------


def test_keys_are_text_without_blanks_around_and_numbers_are_whole() -> None:
    assert text_of(text(" a ", "", "  ", None), "s").to_list() == ["a", None, None, None]
    for kind in (pl.Int64, pl.Float64, pl.Decimal(18, 0)):
        assert text_of(pl.Series("k", [123, None]).cast(kind), "s").to_list() == ["123", None]
    numbers = pl.Series("k", [1.5, float("nan"), 1e300, None, 2.0])
    assert optional_keys(numbers, "s").bad()["at"].to_list() == [0, 1, 2]
    assert keys(numbers, "s").bad().rows() == [
        *((at, "not a whole number; expected a key") for at in range(3)),
        (3, "empty; expected a value"),
    ]
    with pytest.raises(LedgerError, match="got type Boolean, expected text or whole numbers"):
        keys(pl.Series("k", [True]), "s")


def test_truths_are_words_digits_or_truths() -> None:
    cells = text("true", "T", "1", " Yes", "false", "f", "0", "NO", "maybe", "", None, "2")
    found = truths(cells, "s")
    assert found.values.to_list() == [True] * 4 + [False] * 4 + [None] * 4
    assert found.bad()["reason"].to_list() == [
        "not readable; expected true or false",
        "empty; expected a value",
        "empty; expected a value",
        "not readable; expected true or false",
    ]
    assert truths(pl.Series("t", [1, 0, 2]), "s").values.to_list() == [True, False, None]
    assert "maybe" not in repr(found)
