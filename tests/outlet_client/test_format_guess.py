"""How files are encoded and laid out, how amounts and days are written, guessed with reasons."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from features.cell_parsing import days_of
from features.day_parsing import written_day
from outlet_client.setup.format_guess import (
    begins_with_data,
    dates_of,
    decimal_of,
    delimiter_of,
    encoding_of,
    layout_of,
    sides_of,
    undecided_of,
)

TODAY = dt.date(2026, 11, 30)
GERMAN = "Kundennummer;Käufer;Größe\r\nK1;Jürgen Groß;groß\r\n"
FRENCH = "n° client;prénom;été\r\nC1;Hélène;à côté\r\n"

# --- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [GERMAN, FRENCH])
@pytest.mark.parametrize(
    ("encoding", "guessed"),
    [
        ("utf-8", "utf-8-sig"),
        ("utf-8-sig", "utf-8-sig"),
        ("latin-1", "cp1252"),
        ("cp1252", "cp1252"),
        ("utf-16", "utf-16"),
        ("utf-16-le", "utf-16-le"),
        ("utf-16-be", "utf-16-be"),
    ],
)
def test_a_text_is_read_as_it_was_written(text: str, encoding: str, guessed: str) -> None:
    data = text.encode(encoding)
    guess = encoding_of([data])
    assert guess.value == guessed
    assert data.decode(guess.value) == text


def test_the_first_letter_beyond_ascii_may_come_in_the_last_chunk() -> None:
    assert encoding_of([b"a;b\r\n"] * 1000 + ["Käufer".encode("latin-1")]).value == "cp1252"


@given(st.integers(1, 20))
def test_where_a_chunk_ends_within_a_letter_does_not_matter(at: int) -> None:
    data = GERMAN.encode()
    assert encoding_of([data[:at], data[at:]]).value == "utf-8-sig"


@pytest.mark.parametrize(
    ("data", "guessed"),
    [
        (b"\xf7\xf7", "cp1252"),
        (GERMAN.encode("cp850"), "latin-1"),
        ("5 €".encode("cp1252"), "cp1252"),
    ],
)
def test_bytes_that_are_mostly_no_letters_are_no_sure_guess(data: bytes, guessed: str) -> None:
    guess = encoding_of([data])
    assert guess.value == guessed
    assert not guess.sure


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_what_gives_every_row_as_many_cells(delimiter: str) -> None:
    lines = [delimiter.join(row) + "\r\n" for row in (["a", "b", "c"], ["1", '"x,y;z|\t"', "2"])]
    guess = delimiter_of(lines)
    assert guess is not None
    assert guess.value == delimiter


def test_decimal_commas_do_not_make_a_comma_the_delimiter() -> None:
    guess = delimiter_of(["day;price\n", "1;2,50\n", "2;3,50\n", "3;1,25\n"])
    assert guess is not None
    assert guess.value == ";"


@pytest.mark.parametrize("lines", [[], ["one\n", "column\n"], ["\n", "\n"]])
def test_one_column_has_no_delimiter(lines: list[str]) -> None:
    assert delimiter_of(lines) is None


@pytest.mark.parametrize(
    ("header", "is_data"),
    [
        (["Kunde", "Datum", "Betrag 2"], False),
        (["customer_id", "2024", "x"], False),
        (["K1", "31.12.2026", "x"], True),
        (["K1", "5,00"], True),
        (["K1", "anna@example.com"], True),
        (["K1", "+65 8123 4567"], True),
    ],
)
def test_a_first_line_of_data_is_no_header(header: list[str], *, is_data: bool) -> None:
    assert begins_with_data(header) is is_data


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("客户编号,日期,金额,类型\nC1,2024年1月3日,13500,销售,王小明", "gb18030"),
        ("客戶編號,日期,金額,類型\nC1,2024,13500,銷售\nC2,退貨,陳大文", "big5"),
        ("顧客番号,日付,金額,種類\nC1,2024,13500,売上\nC2,返品,たなか", "cp932"),
        ("\u041a\u043e\u0434;\u0427\u0438\u0441\u043b\u043e;\u0418\u0442\u043e\u0433", "cp1251"),
        ("รหัสลูกค้า,วันที่,จำนวนเงิน\nC1,03/01/2567,ขาย", "cp874"),
        ("a,é\nb,c", "utf-32"),
    ],
)
def test_letters_of_other_scripts_tell_their_encoding(text: str, encoding: str) -> None:
    data = text.encode(encoding)
    guess = encoding_of([data[:50], data[50:]])
    assert (guess.value, guess.sure) == (encoding, True)
    assert data.decode(guess.value) == text


ROWS = "C1;2024-01-03;1.200,00\nC2;2024-01-04;5,00\n"
HEADER = "Kunde;Datum;Betrag\n"


@pytest.mark.parametrize(
    ("text", "skip_rows"),
    [
        (HEADER + ROWS, 0),
        ("\n\n" + HEADER + ROWS, 0),
        (";;\n" + HEADER + ROWS, 0),
        ("Tagesbericht\nFiliale: Nord\n\n" + HEADER + ROWS, 3),
        ('"Bericht\nMai";;\n' + HEADER + ROWS, 2),
        ("Kasse;3;x\nvon;2024-01-01;bis 2024-01-31\n" + HEADER.replace("\n", ";Art\n") + ROWS, 2),
        ('"EXTF";700;20240105101500000;"Buchungsstapel"\n' + HEADER + ROWS, 1),
        (HEADER + "Text;TT.MM.JJJJ;EUR\n" + ROWS, 0),
        (HEADER + ROWS + "C3;k.A.;x\n" + ROWS, 0),
        (HEADER + "C1;Anna;x\nC2;Ben;y\n", 0),
        (HEADER + "C1;3. Januar 2024;x\n", 0),
        (ROWS, 0),
        ("sep=;\n" + HEADER + ROWS, 0),
        ("sep=;\nBericht\n" + HEADER + ROWS, 2),
    ],
)
def test_the_header_is_the_fullest_line_above_the_rows(text: str, skip_rows: int) -> None:
    layout = layout_of(text)
    assert layout is not None
    assert (layout.delimiter.value, layout.skip_rows) == (";", skip_rows)


@pytest.mark.parametrize(
    ("heading", "is_data"),
    [
        ("Tax 19.00%", False), ("MwSt 7.00", False), ("2024", False), ("Q1 2024", False),
        ("Total (2024)", False), ("Dec 2024", False), ("Item 2", False), ("", False),
        ("$1,200.00", True), ("SGD 1,200.00", True), ("(5.00)", True), ("5,00 DR", True),
        ("3. Januar 2024", True), ("Jan 3, 2024", True), ("31DEC24", True), ("45294", True),
        ("2024年1月3日", True), ("令和6年1月5日", True), ("Mittwoch, 3. Januar 2024", True),
    ],
)  # fmt: skip
def test_a_heading_with_digits_is_no_row(heading: str, *, is_data: bool) -> None:
    assert begins_with_data(["Kunde", heading]) is is_data


# --- amounts --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "decimal", "sure"),
    [
        (["12,50", "0,00"], ",", True),
        (["12.50"], ".", True),
        (["1.234,50"], ",", True),
        (["1,234.50"], ".", True),
        (["1'234.50"], ".", True),
        (["1 234,5"], ",", True),
        (["17.700000000000003"], ".", True),
        (["0.125"], ".", True),
        (["1234.500"], ".", True),
        (["-5,00", "5,00-"], ",", True),
        (["12.500", "9.800"], ",", False),
        (["12,500", "9,800"], ".", False),
        (["1.234.500"], ",", False),
        (["12.500", "9.800,50"], ",", True),
        (["12,50"] * 20 + ["3.75"], ",", True),
        (["12,50", "3.75"], None, False),
    ],
)
def test_the_decimal_sign_is_what_stands_before_cents(
    cells: list[str], decimal: str | None, *, sure: bool
) -> None:
    guess = decimal_of([pl.Series(cells)])
    assert guess is not None
    assert guess.sure is sure
    assert decimal is None or guess.value == decimal


def test_whole_numbers_say_nothing_of_the_decimal_sign() -> None:
    assert decimal_of([pl.Series(["5", "1200", None])]) is None


@pytest.mark.parametrize(
    ("cells", "decimal", "sure"),
    [
        (["SGD 1,200.00", "-$5.00"], ".", True),
        (["(1.200,50) €"], ",", True),
        (["1'200.-"], ".", True),
        (["1.200,-"], ",", True),
        (["12,34,567"], ".", True),
        (["12,34,567.00 Dr"], ".", True),
        (["CHF 12.500"], ",", False),
    ],
)
def test_what_stands_beside_an_amount_does_not_hide_its_decimal_sign(
    cells: list[str], decimal: str, *, sure: bool
) -> None:
    guess = decimal_of([pl.Series(cells)])
    assert guess is not None
    assert (guess.value, guess.sure) == (decimal, sure)


@pytest.mark.parametrize(
    ("cells", "counts"),
    [
        (["1.234", "12.500", "950"], (2, 0)), (["1,234", "12.50"], (1, 1)),
        (["1,234.00", "1.234.567", "0.125"], (0, 3)), (["5", None], (0, 0)),
    ],
)  # fmt: skip
def test_amounts_that_do_not_tell_the_decimal_sign_are_counted(
    cells: list[str | None], counts: tuple[int, int]
) -> None:
    assert undecided_of([pl.Series(cells, dtype=pl.String)]) == counts


@pytest.mark.parametrize(
    ("cells", "returned", "side", "sure"),
    [
        (["5 DR", "6 DR", "7 CR"], None, "debit", True),
        (["5 CR", "6 Cr.", "7 DR"], None, "credit", True),
        (["5 DR", "6 CR"], None, "debit", False),
        (["5 DR", "6 CR", "7 CR"], [False, True, True], "debit", True),
        (["5 DR", "6 DR"], [False, True], "debit", False),
    ],
)
def test_the_side_of_sales_is_that_of_most_rows_that_are_no_returns(
    cells: list[str], returned: list[bool] | None, side: str, *, sure: bool
) -> None:
    guess = sides_of([pl.Series(cells)], None if returned is None else pl.Series(returned))
    assert guess is not None
    assert (guess.value, guess.sure) == (side, sure)
    assert sides_of([pl.Series(["5", "6-"])]) is None


# --- days -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "form"),
    [
        (["2026-12-31"], "%Y-%m-%d"),
        (["31.12.2026", "1.2.2026"], "%d.%m.%Y"),
        (["31.12.26", "1.2.99"], "%d.%m.%y"),
        (["31/12/2026"], "%d/%m/%Y"),
        (["12/31/2026"], "%m/%d/%Y"),
        (["31-12-2026"], "%d-%m-%Y"),
        (["20261231"], "%Y%m%d"),
        (["2026/12/31"], "%Y/%m/%d"),
        (["31-DEC-26"], "%d-%b-%y"),
        (["31 December 2026"], "%d %B %Y"),
        (["Dec 31, 2026"], "%b %d, %Y"),
        (["31.12.2026 23:10"], "%d.%m.%Y %H:%M"),
        (["31.12.2026, 23:10:59"], "%d.%m.%Y, %H:%M:%S"),
        (["12/31/2026 3:04 PM"], "%m/%d/%Y %I:%M %p"),
        (["2026-12-31T23:10:59Z"], "%Y-%m-%dT%H:%M:%SZ"),
        (["2026-12-31 23:10:59.123+01:00"], "%Y-%m-%d %H:%M:%S%.f%z"),
        (["2026-12-31 23:10:59 UTC"], "%Y-%m-%d %H:%M:%S UTC"),
        (["31.12.2026"] * 9 + ["k.A.", "", None], "%d.%m.%Y"),
    ],
)
def test_dates_are_read_as_they_were_written(cells: list[str | None], form: str) -> None:
    guess = dates_of(pl.Series(cells))
    assert guess is not None
    assert (guess.value, guess.sure) == (form, True)


@pytest.mark.parametrize(
    ("cells", "form"),
    [
        (["03/04/2026", "04/04/2026", "05/04/2026"], "%d/%m/%Y"),
        (["04/03/2026", "04/04/2026", "04/05/2026"], "%m/%d/%Y"),
    ],
)
def test_where_day_and_month_look_alike_rows_next_to_each_other_are_near(
    cells: list[str], form: str
) -> None:
    guess = dates_of(pl.Series(cells))
    assert guess is not None
    assert (guess.value, guess.sure) == (form, False)


@pytest.mark.parametrize(
    "cells",
    [["Anna", "Ben"], ["+6591234567"], ["91234567"], ["7", "8"], ["12.50", "13.50"], [None], []],
)
def test_what_is_no_date_is_not_guessed_to_be_one(cells: list[str | None]) -> None:
    assert dates_of(pl.Series(cells, dtype=pl.String)) is None


@pytest.mark.parametrize(
    ("cells", "form", "sure"),
    [
        (["3. Januar 2024", "4. März 2024"], "%d. %B %Y", True),
        (["3 janv. 2024"], "%d %b %Y", True),
        (["Mittwoch, 3. Januar 2024"], "%A, %d. %B %Y", True),
        (["2024年1月3日", "2024年11月25日"], "%Y年%m月%d日", True),
        (["令和6年1月5日"], "japanese", True),
        (["13/01/2567"], "buddhist %d/%m/%Y", True),
        (["13/01/67", "25/12/66"], "buddhist %d/%m/%y", True),
        (["13.01.2567 10:30"], "buddhist %d.%m.%Y %H:%M", True),
        (["45294", "45298.5"], "excel", True),
        (["43832", "43833"], "excel", False),
        (["1704240000", "1704585600"], "epoch", True),
        (["1704240000000"], "epoch-ms", True),
        (["1704211200", "1711900800"], "epoch +08:00", True),
        (["1704150000", "1719871200"], "epoch +02:00", True),
        (["1704171600", "1719892800"], "epoch -04:00", True),
        (["1704275734", "1704297634"], "epoch", True),
        (["1704239734", "1704297634"], "epoch", False),
        (["13/01/2024"] * 9 + ["01/13/2024"], "%d/%m/%Y", False),
        (["13/01/2024"] * 9 + ["01/12/2024"], "%d/%m/%Y", True),
    ],
)
def test_days_of_any_form_are_recognised_or_doubted(
    cells: list[str], form: str, *, sure: bool
) -> None:
    guess = dates_of(pl.Series(cells), TODAY)
    assert guess is not None
    assert (guess.value, guess.sure) == (form, sure)


def test_days_in_both_orders_are_counted() -> None:
    cells = pl.Series(["13/01/2024"] * 4 + ["14/01/2024"] * 2 + ["01/13/2024"] * 3 + ["01/02/2024"])
    guess = dates_of(cells, TODAY)
    assert guess is not None
    assert guess.value == "%d/%m/%Y"
    assert (
        "6 are dates with this order only, 3 with day and month exchanged only, 1 with both"
    ) in guess.why


@pytest.mark.parametrize(
    "cells",
    [
        ["13500", "14200"], ["1712345678", "8112345678", "6512345678"], ["C1001", "C1002"],
        ["126610LN", "5711/1A"], ["12.50", "13.50"], ["2024", "2025"], ["1 of 2", "2 of 2"],
    ],
)  # fmt: skip
def test_numbers_that_are_no_days_of_these_years_are_none(cells: list[str]) -> None:
    assert dates_of(pl.Series(cells), TODAY) is None


FORMS = (
    "%Y-%m-%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y%m%d", "%d%m%Y", "%d.%m.%y", "%y-%m-%d",
    "%d %b %Y", "%B %d, %Y", "%d. %B %Y", "%d-%b-%y", "%Y年%m月%d日", "%d.%m.%Y %H:%M", "excel",
    "%m/%d/%Y %I:%M %p", "%Y-%m-%dT%H:%M:%S", "epoch", "epoch-ms", "buddhist %d/%m/%Y",
    "buddhist %Y-%m-%d", "buddhist %d.%m.%y", "japanese",
)  # fmt: skip


@settings(max_examples=25)
@given(
    st.lists(st.dates(dt.date(2015, 1, 1), TODAY), min_size=1, max_size=12),
    st.times(),
    st.sampled_from(FORMS),
)
@example([dt.date(2024, 3, 4)], dt.time(1), "%d/%m/%Y")
@example([dt.date(2016, 3, 4), dt.date(2017, 3, 4)], dt.time(0), "excel")
def test_a_guess_reads_the_days_that_were_written_or_is_not_sure(
    days: list[dt.date], time: dt.time, form: str
) -> None:
    cells = pl.Series([written_day(dt.datetime.combine(day, time), form) for day in days])
    guess = dates_of(cells, TODAY)
    assert guess is not None
    assert not guess.sure or days_of(cells, "", guess.value).to_list() == days
