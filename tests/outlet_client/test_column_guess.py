"""What an outlet's columns and codes mean, guessed from headings and cells as tills write them."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlet_client.setup.code_guess import codes_of, region_of, statuses_of
from outlet_client.setup.column_matching import fit, lookalikes
from outlet_client.setup.column_names import kind_of, likeness
from outlet_client.setup.currency_guess import guess_currency
from outlet_client.setup.section_guess import describe_ledger
from outlet_client.setup.settings_sections import Line, Section

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


# --- what tills really write ----------------------------------------------------------------------


def section(text: str) -> Section:
    """A ledger's section, guessed from CSV text whose cells are all text."""
    return describe_ledger(pl.read_csv(text.encode(), infer_schema=False))


def mapping(found: Section) -> dict[str, str]:
    """The columns that were found."""
    return {line.key: str(line.value) for line in found.columns if not line.todo}


def lines(some: list[Line]) -> dict[str, object]:
    """The lines of a part of a section."""
    return {line.key: line.value for line in some}


@pytest.mark.parametrize(
    ("header", "canonical", "own"),
    [
        ("Customer ID,Date,Amount,Qty Sold,Returned Qty", "returned_quantity", "Returned Qty"),
        ("Customer ID,Date,Amount,Qty Sold,Returned Qty", "quantity", "Qty Sold"),
        ("Kundennr,Datum,Betrag,Menge,Retourmenge", "returned_quantity", "Retourmenge"),
        ("Kundennr,Datum,Einzelpreis,Anzahl,x", "unit_price", "Einzelpreis"),
        ("Customer ID,Date,Unit Price,Qty,x", "unit_price", "Unit Price"),
    ],
)
def test_quantities_are_no_flags_and_prices_of_one_no_amounts(
    header: str, canonical: str, own: str
) -> None:
    rows = "".join(f"C{at},2026-01-{at + 10},{at}.50,1,{at % 2}\n" for at in range(9))
    found = mapping(section(f"{header}\n{rows}"))
    assert found[canonical] == own
    assert "is_return" not in found
    assert len({"price", "unit_price"} & set(found)) == 1


def test_what_only_an_orders_first_row_says_is_filled_down_and_no_rows_amount() -> None:
    found = section(
        "Order No,Customer No,Date,Total,Article,Amount,Tel\n"
        "1,C1,2026-01-05,300.00,R1,200.00,+41446681801\n,,,,R2,100.00,\n"
        "2,C2,2026-01-06,70.00,R3,70.00,+41446681802\n,,,,R4,7.00,\n"
    )
    assert mapping(found)["price"] == "Amount"
    assert lines(found.fill_down) == {"key": "Order No", "columns": ("Customer No", "Date", "Tel")}


def test_blank_rows_and_totals_say_nothing_of_how_an_orders_rows_lie() -> None:
    found = section(
        "Order No,Date,Customer No,Article,Amount,Tel\n"
        "1,2026-01-05,C1,R1,200.00,+41446681801\n1,2026-01-05,,R2,100.00,\n,,,,,\n"
        "2,2026-01-06,C2,R3,70.00,+41446681802\n2,2026-01-06,,R4,7.00,\nTotal:,,,,377.00,\n"
        ",,Grand total,,377.00,\n"
    )
    assert lines(found.fill_down) == {"key": "Order No", "columns": ("Customer No", "Tel")}


def test_an_orders_total_beside_nearly_every_row_is_no_rows_amount() -> None:
    rows = "".join(f"{at},C{at},2026-01-{at},{at}0.00,R1,{at}0.00\n" for at in range(10, 25))
    text = "Order No,Customer No,Date,Total,Article,Amount\n9,C9,2026-01-05,30.00,R1,20.00\n"
    found = section(f"{text.replace('Amount', 'Value')}9,,,,R2,10.00\n{rows}")
    assert mapping(found)["price"] == "Value"


def test_an_orders_total_in_each_of_its_rows_is_no_rows_amount() -> None:
    found = section(
        "Order No,Customer No,Date,Total,Article,Item price,Qty\n"
        "1,C1,2026-01-05,300.00,R1,200.00,1\n1,C1,2026-01-05,300.00,R2,100.00,1\n"
        "2,C2,2026-01-06,77.00,R3,70.00,1\n2,C2,2026-01-06,77.00,R4,7.00,1\n"
    )
    assert mapping(found)["unit_price"] == "Item price"
    assert found.fill_down == []


def test_rows_that_add_up_their_orders_others_are_ignored() -> None:
    found = section(
        "Receipt,Customer No,Date,Type,Amount,Article\n"
        "1,C1,2026-01-05,Sale,300.00,\n1,C1,2026-01-05,Sale Line,200.00,R1\n"
        "1,C1,2026-01-05,Sale Line,100.00,R2\n1,C1,2026-01-05,Payment,300.00,\n"
        "2,C1,2026-01-06,Sale,70.00,\n2,C1,2026-01-06,Sale Line,70.00,R1\n"
    )
    assert lines(found.codes) == {"purchase": ("Sale Line",), "ignore": ("Payment", "Sale")}
    alone = section(
        "Receipt,Customer No,Date,Type,Amount\n1,C1,2026-01-05,Sale,300.00\n"
        "2,C1,2026-01-05,Refund,200.00\n3,C1,2026-01-06,Sale,70.00\n"
    )
    assert lines(alone.codes) == {"purchase": ("Sale",), "return": ("Refund",)}


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("Deposit", "ignore"),
        ("Gift Card", "ignore"),
        ("Shipping", "ignore"),
        ("Void", "ignore"),
        ("Anzahlung", "ignore"),
        ("Gutschein", "ignore"),
        ("Versandkosten", "ignore"),
        ("Gutschrift", "return"),
        ("Payment Refund", "return"),
        ("Sales return", "return"),
        ("Item", "purchase"),
        ("Shipping/Sale", None),
    ],
)
def test_codes_of_no_events_are_known_by_the_word(code: str, kind: str | None) -> None:
    assert kind_of(code) == kind


def test_a_payment_is_a_sale_where_nothing_else_is_one() -> None:
    assert codes_of(pl.Series(["Payment", "Refund"])).known["purchase"] == ("Payment",)
    assert codes_of(pl.Series(["Payment", "Sale"])).known["ignore"] == ("Payment",)


def test_statuses_are_known_by_the_whole_word() -> None:
    found = statuses_of(pl.Series(["Paid", "Not paid", "Storniert", "Refunded", "Teilerstattet"]))
    assert found.known == {
        "counts": ("Paid", "Teilerstattet"), "void": ("Storniert",), "returned": ("Refunded",)
    }  # fmt: skip
    assert found.unknown == {"Not paid": 1}
    assert statuses_of(pl.Series(["complete", "closed"])).unknown == {"closed": 1}
    assert statuses_of(pl.Series(["CLOSED"])).known == {"counts": ("CLOSED",)}


def test_keys_that_stand_for_nobody_and_currencies_are_written_down() -> None:
    found = section(
        "Customer No,Date,Amount,Currency\nC1,2026-01-05,5.00,SGD\nWALK-IN,2026-01-06,6.00,SGD\n"
        "Laufkunde,2026-01-07,7.00,JPY\n"
    )
    assert lines(found.form)["walk_ins"] == ("Laufkunde", "WALK-IN")
    rows = pl.DataFrame({"Currency": ["SGD", "SGD", "JPY"]})
    guess_currency(found, rows, None)
    assert lines(found.form)["currency"] == "SGD"
    assert "JPY (1)" in found.doubts[-1]


@pytest.mark.parametrize(
    ("sign", "region", "code", "sure"),
    [
        ("$", "SG", "SGD", True),
        ("$", None, "USD", False),
        ("S$", None, "SGD", True),
        ("CHF", "DE", "CHF", True),
        ("Fr.", None, "CHF", True),
    ],
)
def test_the_currency_is_told_by_signs_and_the_country(
    sign: str, region: str | None, code: str, *, sure: bool
) -> None:
    cells = [f"{sign} {at},000.50" for at in range(1, 5)]
    found = Section("ledger", columns=[Line("price", "Amount", "")])
    guess_currency(found, pl.DataFrame({"Amount": cells}), region)
    assert lines(found.form) == {"currency": code}
    assert (found.doubts == []) is sure


@pytest.mark.parametrize(("price_of", "canonical"), [(1, "unit_price"), (0, "price")])
def test_whether_a_price_is_of_one_piece_is_told_by_rows_of_several(
    price_of: int, canonical: str
) -> None:
    rows = "".join(
        f"C{at},2026-01-{at + 10},R{at % 2},{at % 3 + 1},"
        f"{(1 if price_of else at % 3 + 1) * 50}.50\n"
        for at in range(12)
    )
    found = section(f"Customer No,Date,Article,Qty,Price\n{rows}")
    assert mapping(found)[canonical] == "Price"
    assert not [doubt for doubt in found.doubts if doubt.startswith("price")]


@pytest.mark.parametrize(
    ("header", "amounts", "canonical", "is_sure"),
    [
        ("Qty,Price", ("1,50.50", "3,70.25"), "price", False),
        ("Qty,Line Total", ("1,50.50", "3,70.25"), "price", True),
        ("Qty,Price,Row", ("1,50.50,50.50", "3,20.25,60.75"), "unit_price", True),
        ("Qty,Price,Of One", ("1,50.50,50.50", "3,60.75,20.25"), "price", True),
        ("Qty,Price,Row", ("1,$50.50,$50.50", "3,$20.25,$60.75"), "unit_price", True),
    ],
)
def test_a_price_of_one_piece_is_told_by_columns_and_headings_or_left_unsure(
    header: str, amounts: tuple[str, ...], canonical: str, *, is_sure: bool
) -> None:
    rows = "".join(f"C{at},2026-01-1{at},R{at},{one}\n" for at, one in enumerate(amounts))
    found = section(f"Customer No,Date,Article,{header}\n{rows}")
    assert mapping(found)[canonical] == header.split(",")[1]
    assert not {"price", "unit_price"} - {canonical} & set(mapping(found))
    assert (not [doubt for doubt in found.doubts if doubt.startswith("price")]) is is_sure


@pytest.mark.parametrize(
    ("gross", "net"),
    [
        ("Total incl. GST", "Total excl. GST"),
        ("Total inc tax", "Total ex tax"),
        ("Prix TTC", "Prix HT"),
        ("Preis brutto", "Preis netto"),
        ("Gross Amount", "Net Amount"),
        ("Betrag mit MwSt", "Betrag ohne MwSt"),
        ("Total", "Total excl. VAT"),
    ],
)
def test_of_an_amount_with_tax_and_one_without_the_net_one_is_taken(gross: str, net: str) -> None:
    rows = "C1,2026-01-05,109.00,100.00\nC2,2026-01-06,54.50,50.00\n"
    assert mapping(section(f"Customer No,Date,{gross},{net}\n{rows}"))["price"] == net
    swapped = "C1,2026-01-05,100.00,109.00\nC2,2026-01-06,50.00,54.50\n"
    assert mapping(section(f"Customer No,Date,{net},{gross}\n{swapped}"))["price"] == net


def test_a_column_that_is_never_less_is_no_net_amount() -> None:
    for one, other in (("100.00", "50.00"), ("120.00", "45.00")):
        rows = f"C1,2026-01-05,100.00,{one}\nC2,2026-01-06,50.00,{other}\n"
        found = mapping(section(f"Customer No,Date,Total,Total excl. Vat\n{rows}"))
        assert found["price"] == "Total"


@pytest.mark.parametrize(
    ("heading", "canonical"),
    [
        ("Store Phone", "phone"), ("Filiale Telefon", "phone"), ("Our Email", "email"),
        ("Staff Email", "email"), ("Client Advisor", "customer_id"), ("Served by", "customer_id"),
        ("Kundenberater", "customer_id"), ("Account Manager", "customer_id"),
    ],
)  # fmt: skip
def test_what_is_the_shops_or_its_staffs_is_no_customers(heading: str, canonical: str) -> None:
    cells = {"phone": "+4144668180{}", "email": "a{}@example.com", "customer_id": "A{}"}
    rows = [cells[canonical].format(at) for at in range(9)]
    assert canonical not in fit(pl.DataFrame({heading: rows}), (canonical,))


def test_numbers_of_rows_and_receipts_are_no_serials_and_references() -> None:
    rows = "".join(f"{at},INV-{at},C{at % 3},2026-01-1{at},R{at % 2},5.50\n" for at in range(1, 9))
    found = mapping(section(f"Serial No,Reference,Customer No,Date,Item,Amount\n{rows}"))
    assert "serial" not in found
    assert found["reference"] == "Item"
    own = rows.replace("INV-", "R-").replace(",R0,", ",,").replace(",R1,", ",,")
    found = mapping(section(f"Serial No,Reference,Customer No,Date,Note,Amount\n{own}"))
    assert found["reference"] == "Reference"  # no other column is one


def test_an_amount_that_is_left_after_fees_is_not_what_was_paid() -> None:
    found = section(
        "Customer No,Date,Gross,Fee,Net\nC1,2026-01-05,100.00,-3.00,97.00\n"
        "C2,2026-01-06,50.00,-1.50,48.50\n"
    )
    assert mapping(found)["price"] == "Gross"


def test_what_looked_like_a_missing_column_is_said_with_the_reason() -> None:
    sample = pl.DataFrame({"Date": ["soon", "late"], "Wann": ["2026-01-05", "2026-01-06"]})
    assert lookalikes(sample, "purchased_at") == [
        "`Date` sounds like it, but its cells are days in no form that this program knows"
    ]
    (said,) = lookalikes(sample.select("Wann"), "purchased_at")
    assert said == "`Wann` has cells that look like it, under a name that says something else"
    assert lookalikes(sample, "purchased_at", {"Date": "kind"}) == [
        "`Date` sounds like it, but is taken for kind"
    ]


def test_of_two_headings_of_one_name_the_fuller_is_taken_and_said() -> None:
    sample = pl.DataFrame({"Phone#1": ["+41446681801", None], "Phone#2": ["+41446681801"] * 2})
    guess = fit(sample, ("phone",))["phone"]
    assert (guess.value, guess.sure) == ("Phone#2", False)
    assert "the heading stands 2 times (Phone#1 is column 1, Phone#2 is column 2)" in guess.why
