"""How an outlet's text is written, and what its columns and codes mean, guessed from samples."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlet_client.setup.column_matching import codes_of, fit, region_of
from outlet_client.setup.column_names import kind_of, likeness
from outlet_client.setup.format_guess import (
    begins_with_data,
    dates_of,
    decimal_of,
    delimiter_of,
    encoding_of,
)

GERMAN = "Kundennummer;Käufer;Größe\r\nK1;Jürgen Groß;groß\r\n"
FRENCH = "n° client;prénom;été\r\nC1;Hélène;à côté\r\n"

# --- encoding -------------------------------------------------------------------------------------


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


# --- delimiter ------------------------------------------------------------------------------------


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


# --- dates ----------------------------------------------------------------------------------------


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


# --- names and codes ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("canonical", "names"),
    {
        "customer_id": ["CUST_ID", "Kunden-Nr.", "KdNr", "N° client", "codice cliente", "clientId"],
        "purchased_at": ["saleDate", "Kaufdatum", "T_DATUM", "Date d'achat", "Data vendita"],
        "price": ["Net amount", "VK-Preis", "Betrag (netto)", "Prix de vente", "importo"],
        "list_price": ["RRP", "Listenpreis", "UVP", "prix catalogue", "Prezzo di listino"],
        "basket_id": ["ReceiptNo", "Bon-Nr", "Rechnungsnummer", "N° ticket", "Numero scontrino"],
        "kind": ["TransactionType", "Vorgangsart", "Type d'opération", "Causale"],
        "serial": ["Serial No.", "Gehäusenummer", "Numéro de série", "Matricola"],
        "reference": ["SKU", "Artikel-Nr.", "Référence", "Codice articolo"],
        "phone": ["Mobile", "Tel. privat", "Natel", "Téléphone", "Cellulare"],
        "email": ["E-Mail", "Mail address", "Courriel", "Indirizzo e-mail"],
    }.items(),
)
def test_columns_are_known_by_their_names_in_four_languages(
    canonical: str, names: list[str]
) -> None:
    assert [name for name in names if likeness(name, canonical) == 0] == []


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("Geburtsdatum", "purchased_at"),
        ("geburts_datum", "purchased_at"),
        ("date_of_birth", "purchased_at"),
        ("delivery_date", "purchased_at"),
        ("Kundenname", "customer_id"),
        ("customer_name", "customer_id"),
        ("PaymentType", "kind"),
        ("Zahlungsart", "kind"),
        ("price_category", "price"),
        ("cost_price", "price"),
        ("LineNo", "line_id"),
        ("Phone type", "phone"),
    ],
)
def test_names_that_only_sound_alike_are_not_taken(name: str, canonical: str) -> None:
    assert likeness(name, canonical) == 0


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("VK", "purchase"),
        ("Verkauf bar", "purchase"),
        ("SALE", "purchase"),
        ("vente", "purchase"),
        ("RT", "return"),
        ("Rückgabe", "return"),
        ("Gutschrift", "return"),
        ("Nota di credito", "return"),
        ("Reparatur", "service"),
        ("Warteliste", "interest"),
        ("ZZ", None),
        ("Verkauf/Retoure", None),
    ],
)
def test_codes_are_known_by_the_word_and_two_words_are_none(code: str, kind: str | None) -> None:
    assert kind_of(code) == kind


def test_codes_that_nothing_speaks_for_stay_unknown() -> None:
    codes = codes_of(pl.Series(["A", "B", "VK", "VK"]))
    assert codes.unknown == {"A": 1, "B": 1}
    assert codes.told == 0.5


def test_yes_and_no_to_is_it_a_return() -> None:
    codes = codes_of(pl.Series(["J", "N", "n"]), truths=True)
    assert codes.known == {"return": ("J",), "purchase": ("N", "n")}


# --- columns by their cells -----------------------------------------------------------------------

SALES = pl.DataFrame(
    {
        "KdNr": ["1001", "1002", "1003"],
        "Datum": ["01.02.2026", "02.02.2026", "03.02.2026"],
        "Geburtstag": ["01.02.1980", "02.02.1970", "03.02.1990"],
        "Art": ["Uhr", "Band", "Uhr"],
        "Preis": ["5,00", "7,00", "9,00"],
        "Preisgruppe": ["A", "B", "A"],
        "x": ["+41 44 668 18 00", "+41 44 668 18 01", "044 668 18 02"],
        "y": ["a@example.com", "b@example.com", "c@example.com"],
    }
)


def test_names_and_cells_together_find_the_columns() -> None:
    wanted = ("customer_id", "purchased_at", "price", "phone", "email", "serial")
    assert {name: guess.value for name, guess in fit(SALES, wanted).items()} == {
        "customer_id": "KdNr",
        "purchased_at": "Datum",
        "price": "Preis",
        "phone": "x",
        "email": "y",
    }


def test_a_name_whose_cells_say_otherwise_is_not_taken() -> None:
    wrong = pl.DataFrame(
        {"Datum": ["Anna", "Ben"], "Preis": ["teuer", "billig"], "Email": ["1", "2"]}
    )
    assert fit(wrong, ("purchased_at", "price", "email")) == {}


def test_a_count_of_the_rows_is_no_line_id() -> None:
    rows = pl.DataFrame({"id": ["1", "2", "3"], "row_id": ["k7", "k9", "k1"]})
    assert fit(rows, ("line_id",))["line_id"].value == "row_id"
    assert fit(rows.select("id"), ("line_id",)) == {}
    repeated = pl.DataFrame({"line_id": ["k7", "k7", "k1"]})
    assert fit(repeated, ("line_id",)) == {}


@pytest.mark.parametrize(
    ("phones", "region"),
    [
        (["+65 8123 4567"] * 2 + ["8123 4567"], "SG"),
        (["0041 44 668 18 00", "+41446681801", "044 668 18 02"], "CH"),
        (["+1 825 555 0101"], "US"),
        (["8123 4567"], None),
        (["+65 8123 4567", "+41446681801"], None),
        ([None], None),
    ],
)
def test_the_region_is_told_by_phones_with_a_country(
    phones: list[str | None], region: str | None
) -> None:
    guess = region_of(pl.Series(phones, dtype=pl.String))
    assert (None if guess is None else guess.value) == region


CELLS = st.one_of(
    st.none(), st.text(max_size=12), st.sampled_from(["5,00", "31.12.2026", "a@b.ch"])
)


@given(st.dictionaries(st.text(max_size=12), st.lists(CELLS, min_size=3, max_size=3), max_size=5))
def test_no_table_of_text_is_too_odd_to_be_looked_at(columns: dict[str, list[str | None]]) -> None:
    sample = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))
    found = fit(
        sample, ("customer_id", "purchased_at", "price", "kind", "line_id", "phone", "email")
    )
    assert {guess.value for guess in found.values()} <= set(columns)
    assert len({guess.value for guess in found.values()}) == len(found)
