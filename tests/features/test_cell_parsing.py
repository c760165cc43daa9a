"""Cells as outlets write them: read one way only, or bad with a reason that does not hold them."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import TYPE_CHECKING

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from features.cell_parsing import (
    amounts,
    days,
    days_of,
    keys,
    optional_keys,
    text_of,
    truths,
    without_fraction,
)
from features.day_names import _MONTHS
from features.day_parsing import written_day
from features.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Callable


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
        ("12,34,567.00", ".", 1234567.0), ("1,23,456", ".", 123456.0),
        ("(1,205.00)", ".", -1205.0), ("- 5", ".", -5.0), ("( 5 )", ".", -5.0),
        ("1'200.-", ".", 1200.0), ("1'200.--", ".", 1200.0), ("1.200,\u2013", ",", 1200.0),
        ("-1.200,-", ",", -1200.0), ("1\u2009234.5", ".", 1234.5),
        ("1350000", "cents", 13500.0), ("-5", "cents", -0.05), ("1,350,000", "cents", 13500.0),
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
        ("1,2,345", "."), ("12,345,67", "."), ("1 234,567", "."), ("1 2345", "."), ("12.50", ","),
        ("1,234.50", ","), ("12,34,567", ","), ("0.125", ","), ("1.234.56", ","), ("1,5,0", ","),
        ("--5", "."), ("-5-", "."), ("5--", "."), ("-(5)", "."), ("(5)-", "."), ("(5", "."),
        ("5)", "."), (")5(", "."), ("((5))", "."), ("+(5)", "."), ("5+", "."), ("$.50", "."),
        ("5 pcs", "."), ("5%", "."), ("1_000", "."), ("0x10", "."), ("٣", "."), ("$٣", "."),
        ("five", "."), ("-", "."), (",", ","), (".", "."), ("1.35E+06", "."), ("1,35E+06", ","),
        ("1.200,-", "."), ("5 6", "."), ("5 EUR USD", "."), ("$5 €", "."), ("EUR.5", "."),
        ("12\u00a034", "."), ("-5 DR", "."), ("(5) CR", "."), ("5 DR CR", "."), ("'5", "."),
    ],
)  # fmt: skip
def test_what_could_be_another_amount_is_bad_and_not_quoted(cell: str, decimal: str) -> None:
    (reason,) = amounts(text(cell), "s", decimal, currency="SGD", sales_side="debit").bad()[
        "reason"
    ]
    assert reason == f"not readable; expected an amount such as 1234{decimal}50"


@pytest.mark.parametrize("cell", ["13500.00", "1,5", "1e3", "5 ct", "1.350.000"])
def test_what_is_no_whole_number_of_cents_is_bad(cell: str) -> None:
    (reason,) = amounts(text(cell), "s", "cents").bad()["reason"]
    assert reason == "not readable; expected an amount such as 123450, in cents"
    numbers = amounts(pl.Series("p", [1350000.0, 0.5]), "s", "cents")
    assert numbers.values.to_list() == [13500.0, None]


def in_lakhs(digits: str) -> str:
    head, last = digits[:-3], digits[-3:]
    pairs = [head[max(end - 2, 0) : end] for end in range(len(head), 0, -2)][::-1]
    return ",".join([*pairs, last])


GROUPINGS: dict[str, tuple[str, Callable[[str], str]]] = {
    "none": (".", str),
    "none,": (",", str),
    "comma": (".", lambda digits: f"{int(digits):,}"),
    "point": (",", lambda digits: f"{int(digits):,}".replace(",", ".")),
    "blank": (",", lambda digits: f"{int(digits):,}".replace(",", "\u202f")),
    "swiss": (".", lambda digits: f"{int(digits):,}".replace(",", "'")),
    "lakhs": (".", in_lakhs),
}
MINUSES = ("-{}", "{}-", "({})", "\u2212{}")
MARKS = ("{}", "SGD {}", "{} SGD", "S${}", "${}", "{} $", "$ {} SGD")


@settings(max_examples=25)
@given(
    st.integers(-(10**11) + 1, 10**11 - 1),
    st.sampled_from(sorted(GROUPINGS)),
    st.sampled_from(MINUSES),
    st.sampled_from(MARKS),
    st.sampled_from(["mark outside", "mark inside"]),
)
@example(-1234, "point", "{}-", "{} SGD", "mark outside")
def test_an_amount_that_was_written_is_read_again_or_with_the_other_sign_is_bad(
    cents: int, grouping: str, minus: str, mark: str, order: str
) -> None:
    decimal, grouped = GROUPINGS[grouping]
    whole, rest = divmod(abs(cents), 100)
    digits = f"{grouped(str(whole))}{decimal}{rest:02}"
    signed = (minus if cents < 0 else "{}", mark)
    inner, outer = signed if order == "mark outside" else signed[::-1]
    cell = outer.format(inner.format(digits))
    other = "," if decimal == "." else "."
    expected = float(Decimal(cents) / 100)
    found = amounts(text(cell), "s", decimal, currency="SGD")
    assert found.values.to_list() == [expected]
    assert found.currency.to_list() == [None if mark == "{}" else "SGD"]
    assert amounts(text(cell), "s", other, currency="SGD").values.to_list() == [None]
    assert amounts(text(cell), "s", "cents", currency="SGD").values.to_list() == [None]


def test_where_one_sign_stands_before_three_digits_the_setting_decides() -> None:
    """No cell can tell; `init` and `check` say that none of a table does."""
    cells = text("1.234", "1,234")
    assert amounts(cells, "s", ".").values.to_list() == [1.234, 1234.0]
    assert amounts(cells, "s", ",").values.to_list() == [1234.0, 1.234]


# --- currencies, debit and credit -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "own", "others", "expected"),
    [
        ("SGD 1,200.00", "SGD", (), "SGD"), ("sgd 5", "SGD", (), "SGD"), ("$5", "SGD", (), "SGD"),
        ("S$5", "SGD", ("USD",), "SGD"), ("US$5", "SGD", ("USD",), "USD"),
        ("$5", "EUR", ("USD", "GBP"), "USD"), ("¥5", "SGD", ("JPY",), "JPY"),
        ("USD $5", "SGD", ("USD",), "USD"), ("$5 USD", "SGD", ("USD",), "USD"),
        ("Fr. 5", "CHF", (), "CHF"), ("5 kr", "EUR", ("SEK",), "SEK"), ("HK$5", "HKD", (), "HKD"),
        ("5 €", "EUR", (), "EUR"), ("Rs.500", "INR", (), "INR"), ("5", "SGD", ("USD",), None),
    ],
)  # fmt: skip
def test_a_currency_is_told_by_its_code_or_a_sign_that_is_one_of_the_outlets_only(
    cell: str, own: str, others: tuple[str, ...], expected: str | None
) -> None:
    found = amounts(text(cell), "s", currency=own, others=others)
    assert found.bad().is_empty()
    assert found.currency.to_list() == [expected]


@pytest.mark.parametrize(
    ("cell", "own", "others", "reason"),
    [
        ("SGD 5", None, (), "set `currency`"), ("$5", None, (), "set `currency`"),
        ("EUR 5", "SGD", ("USD",), "set `rates`"), ("US$5", "SGD", (), "set `rates`"),
        ("$5", "EUR", ("USD", "SGD"), "one of several"), ("¥5", "EUR", ("JPY", "CNY"), "several"),
        ("5 kr", "EUR", ("SEK", "NOK"), "one of several"),
    ],
)  # fmt: skip
def test_a_currency_that_is_not_known_or_could_be_two_is_bad(
    cell: str, own: str | None, others: tuple[str, ...], reason: str
) -> None:
    found = amounts(text(cell), "s", currency=own, others=others)
    assert reason in found.bad()["reason"][0]
    assert found.values.to_list() == [None]


def test_the_currency_of_a_row_decides_what_a_sign_is_and_must_not_speak_against_it() -> None:
    said = text("SGD", "JPY", None, "EUR", "USD", "x", " ", "USD", "us$")
    cells = text("5", "5", "5", "5", "$5", "5", "5", "€5", "5")
    found = amounts(cells, "s", currency="SGD", others=("USD", "JPY"), said=said)
    assert found.currency.to_list() == ["SGD", "JPY", None, None, "USD", None, None, None, "USD"]
    assert found.bad().rows() == [
        (3, "in another currency, or one of several; set `rates`"),
        (5, "in no known currency; expected ISO 4217, such as EUR"),
        (7, "in another currency than the row says"),
    ]
    numbers = pl.Series("p", [1.0, 2.0])
    native = amounts(numbers, "s", currency="SGD", others=("JPY",), said=text("SGD", "JPY"))
    assert native.currency.to_list() == ["SGD", "JPY"]
    assert amounts(text(), "s", currency="SGD", said=text()).values.is_empty()


@pytest.mark.parametrize(
    ("debit", "credit"), [("1,200.00 DR", "5 CR"), ("1200Dr.", "5Cr."), ("1200 S", "5 H")]
)
def test_debit_and_credit_are_told_apart_by_the_side_of_sales_and_bad_without_it(
    debit: str, credit: str
) -> None:
    cells = text(debit, credit)
    assert amounts(cells, "s", sales_side="debit").values.to_list() == [1200.0, -5.0]
    assert amounts(cells, "s", sales_side="credit").values.to_list() == [-1200.0, 5.0]
    reason = "a debit or credit; set `sales_side`, on which sales stand"
    assert amounts(cells, "s").bad().rows() == [(0, reason), (1, reason)]


def test_an_amount_that_lost_digits_is_bad_beside_others_that_did_not() -> None:
    found = amounts(text("1.35E+06", "5", "7.50"), "s")
    assert found.values.to_list() == [None, 5.0, 7.5]
    assert [place for place, _ in found.bad().rows()] == [0]


def test_amounts_of_other_types_are_numbers() -> None:
    for kind in (pl.Int16, pl.UInt64, pl.Float32, pl.Decimal(9, 2)):
        assert amounts(pl.Series("p", [3, None]).cast(kind), "s").values.to_list() == [3.0, None]
    assert amounts(text("3").cast(pl.Categorical), "s").values.to_list() == [3.0]
    assert amounts(pl.Series("p", [None]), "s").bad().rows() == [(0, "empty; expected a value")]
    with pytest.raises(LedgerError, match="column p: got type Boolean, expected Float64"):
        amounts(pl.Series("p", [True]), "s")


def test_an_amount_that_no_watch_costs_is_bad() -> None:
    cells = text("1000000000", "1000000001", "inf", "NaN", "1e300", "1,000,000,001.00")
    assert amounts(cells, "s").bad()["at"].to_list() == [1, 2, 3, 4, 5]


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
        ("3. Januar 2024", "%d. %B %Y", (2024, 1, 3)), ("3. Mär. 24", "%d. %b %y", (2024, 3, 3)),
        ("3 FÉVRIER 2024", "%d %B %Y", (2024, 2, 3)), ("1er août 2024", "%d %B %Y", (2024, 8, 1)),
        ("3 janv. 2024", "%d %b %Y", (2024, 1, 3)), ("3 gen 2024", "%d %b %Y", (2024, 1, 3)),
        ("3-1月-2024", "%d-%b-%Y", (2024, 1, 3)), ("2024年11月3日", "%Y年%B%d日", (2024, 11, 3)),
        ("2024年十一月3日", "%Y年%B%d日", (2024, 11, 3)), ("3Jan2024", "%d%b%Y", (2024, 1, 3)),
        ("2024年1月3日", "%Y年%m月%d日", (2024, 1, 3)),
        ("Mittwoch, 3. Januar 2024", "%A, %d. %B %Y", (2024, 1, 3)),
        ("mer. 3 janv. 2024", "%a %d %b %Y", (2024, 1, 3)),
        ("2024/1/3 下午 3:05", "%Y/%m/%d %p %I:%M", (2024, 1, 3)),
        ("45294", "excel", (2024, 1, 3)), ("45294.99", "excel", (2024, 1, 3)),
        ("45294,5", "excel", (2024, 1, 3)), ("43832", "excel-1904", (2024, 1, 3)),
        ("1704240000", "epoch", (2024, 1, 3)), ("1704239999.9", "epoch", (2024, 1, 2)),
        ("1704211200", "epoch +08:00", (2024, 1, 3)), ("1704254400", "epoch -0500", (2024, 1, 2)),
        ("1704240000000", "epoch-ms", (2024, 1, 3)),
        ("3/1/2567", "buddhist %d/%m/%Y", (2024, 1, 3)),
        ("03/01/67", "buddhist %d/%m/%y", (2024, 1, 3)),
        ("29/02/2567", "buddhist %d/%m/%Y", (2024, 2, 29)),
        ("25670103", "buddhist %Y%m%d", (2024, 1, 3)),
        ("10:30 03.01.2567", "buddhist %H:%M %d.%m.%Y", (2024, 1, 3)),
        ("令和6年1月5日", "japanese", (2024, 1, 5)), ("R6.1.5", "japanese", (2024, 1, 5)),
        ("\uff32\uff10\uff16/01/05 10:30", "japanese", (2024, 1, 5)),
        ("令和元年5月1日", "japanese", (2019, 5, 1)),
        ("㍻31年4月30日(火)", "japanese", (2019, 4, 30)), ("S64-1-7", "japanese", (1989, 1, 7)),
    ],
)  # fmt: skip
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
        ("13/31/2026", "%m/%d/%Y", "not readable"), ("31/13/2026", "%d/%m/%Y", "not readable"),
        ("03/01/2567", "%d/%m/%Y", "before 1900 or after 2199"),
        ("03/01/2024", "buddhist %d/%m/%Y", "before 1900 or after 2199"),
        ("29/02/2566", "buddhist %d/%m/%Y", "not readable"),
        ("03/01/2567 10:30", "buddhist %d/%m/%Y", "not readable"),
        ("03 01 2024", "%d %b %Y", "not readable"), ("3 Brumaire 2024", "%d %B %Y", "not readable"),
        ("Donnerstag, 3. Januar 2024", "%A, %d. %B %Y", "not readable"),
        ("30124", "%d%m%y", "not readable"), ("2024113", "%Y%m%d", "not readable"),
        ("2567113", "buddhist %Y%m%d", "not readable"), ("٣/01/2024", "%d/%m/%Y", "not readable"),
        *((cell, "excel", "not readable") for cell in (
            "45,294", "2024", "030124", "310124", "20240103", "1704240000", "-45294", "4.5E+04",
            "2024-01-03", "٤٥٢٩٤",
        )),
        *((cell, "epoch", "not readable") for cell in (
            "45294", "20240103", "1704240000000", "1.70424E+09", "-1704240000", "0301241030",
        )),
        *((cell, "epoch-ms", "not readable") for cell in (
            "1704240000", "202401031011", "20240103101112", "310120241011",
        )),
        *((cell, "japanese", "not readable") for cell in (
            "平成31年5月1日", "S64.1.8", "2024-01-05", "R6.2.30", "令和0年1月1日", "6.1.5",
            "R٦.1.5",
        )),
    ],
)  # fmt: skip
def test_a_day_that_is_none_is_bad(cell: str | None, dates: str, reason: str) -> None:
    found = days(text(cell), "s", dates)
    assert found.values.to_list() == [None] == days_of(text(cell), "s", dates).to_list()
    assert found.bad()["reason"][0].startswith(reason)


@pytest.mark.parametrize(
    "dates",
    [
        "", "%", "%d.%m", "%Y", "%Q", "%d.%m.%Y%", "%d.%m.%Y %S", "%d.%m.%Y %f", "%s", "dmy",
        "Excel", "epoch+8", "epoch 08:00", "buddhist", "buddhist %d.%m", "buddhist %F",
        "japanese %d",
    ],
)  # fmt: skip
def test_a_way_to_write_days_that_is_none_is_an_error(dates: str) -> None:
    with pytest.raises(LedgerError, match=r"column cell: dates = .* is no way to write a day"):
        days(text("31.12.2026"), "s", dates)


def test_a_whole_number_is_a_day_only_where_days_are_written_without_marks() -> None:
    numbers = pl.Series("d", [20261231])
    for kind in (pl.Int64, pl.Float64, pl.Decimal(12, 1)):
        read = days(numbers.cast(kind), "s", "%Y%m%d").values
        assert read.to_list() == [dt.date(2026, 12, 31)]
    lost = pl.Series("d", [3012024, 13012024])  # a number has no zero in front
    assert days(lost, "s", "%d%m%Y").values.dt.day().to_list() == [3, 13]
    serials = pl.Series("d", [45294.75, 1.0, None, 1704240000.0])
    assert days(serials, "s", "excel").values.to_list() == [dt.date(2024, 1, 3), *[None] * 3]
    assert days(serials, "s", "epoch").values.to_list() == [*[None] * 3, dt.date(2024, 1, 3)]
    with pytest.raises(LedgerError, match="got type Int64, expected Date"):
        days(numbers, "s")


FORMS = (
    "%Y-%m-%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y%m%d", "%d%m%Y", "%d%m%y", "%d.%m.%y",
    "%d %b %Y", "%B %d, %Y", "%d. %B %Y", "%Y年%m月%d日", "%d.%m.%Y %H:%M", "excel", "epoch",
    "epoch-ms", "buddhist %d/%m/%Y", "buddhist %Y-%m-%d", "buddhist %d.%m.%y", "japanese",
)  # fmt: skip
ALIKE = ({"%d/%m/%Y", "%m/%d/%Y"}, {"%d.%m.%y", "buddhist %d.%m.%y"})
"""Which of two orders, or eras of two digits, is meant, no cell can tell: `check` doubts them."""

DAYS = st.dates(dt.date(1990, 1, 1), dt.date(2049, 12, 31))


@settings(max_examples=25)
@given(DAYS, st.times(), st.sampled_from(FORMS))
@example(dt.date(2024, 2, 29), dt.time(23, 59), "buddhist %d/%m/%Y")
@example(dt.date(2010, 1, 10), dt.time(0, 0), "%d%m%y")
@example(dt.date(2024, 5, 1), dt.time(0, 0), "japanese")
def test_a_day_that_was_written_is_read_again_and_in_another_form_never_as_another_day(
    day: dt.date, time: dt.time, form: str
) -> None:
    cell = text(written_day(dt.datetime.combine(day, time), form))
    assert days(cell, "s", form).values.to_list() == [day]
    for other in FORMS:
        if other != form and {form, other} not in ALIKE:
            assert days(cell, "s", other).values.to_list()[0] in (None, day), other


@settings(max_examples=25)
@given(DAYS, st.times(), st.sampled_from(["epoch +08:00", "epoch -05:30", "epoch-ms -03:00"]))
def test_a_moment_of_another_clock_that_was_written_is_of_the_same_day(
    day: dt.date, time: dt.time, form: str
) -> None:
    cell = text(written_day(dt.datetime.combine(day, time), form))
    assert days(cell, "s", form).values.to_list() == [day]


NAMES = [names.split() for names in _MONTHS]


@pytest.mark.parametrize("month", range(1, 13))
def test_every_name_of_a_month_is_that_month(month: int) -> None:
    names = [name.title() for name in NAMES[month - 1]]
    dotted = [name for name in names if not name.endswith("月")]
    cells = text(*(f"3 {name} 2024" for name in names), *(f"3 {name}. 2024" for name in dotted))
    assert set(days(cells, "s", "%d %b %Y").values) == {dt.date(2024, month, 3)}


# --- keys and truths ------------------------------------------------------------------------------


def test_keys_are_text_without_blanks_around_and_numbers_are_whole() -> None:
    assert text_of(text(" a ", "", "  ", None), "s").to_list() == ["a", None, None, None]
    floats = text("81234567.0", "007.0", "1.10", "210.30.0", "-5.0", "5.00", "x.0", "A1.0")
    expected = ["81234567", "007", "1.10", "210.30.0", "-5.0", "5.00", "x.0", "A1.0"]
    assert text_of(floats, "s").to_list() == expected
    assert [without_fraction(cell or "") for cell in floats] == expected
    cut = text("6.58123E+09", "6,58E+09", "1E5", "+6581234567", "E+5")
    assert text_of(cut, "s").to_list() == [None, None, "1E5", "+6581234567", "E+5"]
    assert [reason[:22] for reason in optional_keys(cut, "s").bad()["reason"]] == [
        "in scientific notation"
    ] * 2
    for kind in (pl.Int64, pl.Float64, pl.Decimal(18, 0)):
        assert text_of(pl.Series("k", [123, None]).cast(kind), "s").to_list() == ["123", None]
    numbers = pl.Series("k", [1.5, float("nan"), 1e300, None, 2.0])
    assert optional_keys(numbers, "s").bad()["at"].to_list() == [0, 1, 2]
    assert keys(numbers, "s").bad().rows() == [
        *((at, "not a whole number, or digits of it are lost; expected a key") for at in range(3)),
        (3, "empty; expected a value"),
    ]
    short = pl.Series("k", [2.0**24, 6581234567.0], dtype=pl.Float32)  # which is 6581234688
    assert text_of(short, "s").to_list() == ["16777216", None]
    with pytest.raises(LedgerError, match="got type Boolean, expected text or whole numbers"):
        keys(pl.Series("k", [True]), "s")


@pytest.mark.parametrize("year", [1969, 2070])
def test_a_year_that_two_digits_cannot_say_is_written_as_no_day_of_that_form(year: int) -> None:
    cell = written_day(dt.datetime(year, 3, 2), "%d.%m.%y")  # noqa: DTZ001  (a cell's own clock)
    assert cell == f"{year}-03-02"
    assert days(text(cell), "s", "%d.%m.%y").values.to_list() == [None]


def test_a_column_of_fractions_holds_no_truths() -> None:
    with pytest.raises(LedgerError, match="column p: got type Float64, expected Boolean"):
        truths(pl.Series("p", [1.0, 0.0]), "s")


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
