"""`init`: from an outlet's data to settings that read it, without a word about a customer."""

from __future__ import annotations

import re
import stat
import tomllib
from typing import TYPE_CHECKING

import polars as pl
import pytest
import sqlalchemy as sa
import typer
from hypothesis import assume, given
from hypothesis import strategies as st
from typer.testing import CliRunner

from features.ledger import judge
from outlet_client.commands.init import init
from outlet_client.settings import OutletFile
from outlet_client.sources.table_reader import format_of, read_all
from tests.messy import Sale, german_csv, sales
from tests.postgres import PASSWORD, postgres

if TYPE_CHECKING:
    from pathlib import Path

APP = typer.Typer()
APP.command()(init)
SALES = sales()
LEDGER = ("customer_id", "purchased_at", "price", "kind", "is_return", "list_price", "basket_id")


def run(*arguments: str, home: Path, typed: str = "") -> str:
    """What `init` prints; it must not fail."""
    words = [*arguments, "--home", str(home)]
    result = CliRunner().invoke(APP, words, input=typed, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def refused(*arguments: str, home: Path) -> str:
    """Why `init` refuses."""
    result = CliRunner().invoke(APP, [*arguments, "--home", str(home)], catch_exceptions=False)
    assert result.exit_code != 0
    return result.output


def events_of(home: Path) -> pl.DataFrame:
    """The ledger as the settings in a folder read it; no row may be bad."""
    source = OutletFile.read(home / "escapement.toml").ledger
    judged = judge(read_all(source, (*LEDGER, "reference")), source.name, format_of(source))
    assert judged.bad.is_empty(), judged.bad
    return judged.events


def agrees(events: pl.DataFrame, rows: list[Sale]) -> None:
    """Whether events are the rows that were written."""
    assert events["date"].to_list() == [sale.day for sale in rows]
    assert events["price"].to_list() == pytest.approx([abs(sale.price) for sale in rows])
    assert events["list_price"].to_list() == pytest.approx([sale.list_price for sale in rows])
    expected = ["return" if sale.back else "purchase" for sale in rows]
    assert events["kind"].cast(pl.String).to_list() == expected
    assert events["reference"].to_list() == [sale.reference for sale in rows]


def private(text: str, rows: list[Sale]) -> None:
    """Whether a text is without any customer's data."""
    for sale in rows:
        assert not [
            cell
            for cell in (sale.phone, sale.email, sale.name, f"K{sale.customer:04}")
            if cell in text
        ]


# --- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8", "utf-8-sig"])
def test_a_german_csv_is_read_without_a_hand_on_the_settings(tmp_path: Path, encoding: str) -> None:
    german_csv(tmp_path / "verkauf.csv", SALES, encoding)
    said = run(str(tmp_path / "verkauf.csv"), home=tmp_path)
    assert "TODO" not in said
    agrees(events_of(tmp_path), SALES)
    text = (tmp_path / "escapement.toml").read_text()
    assert 'source = "verkauf.csv"' in text
    assert OutletFile.read(tmp_path / "escapement.toml").region == "CH"
    private(said + text, SALES)


def test_settings_are_for_their_own_user_only(tmp_path: Path) -> None:
    german_csv(tmp_path / "verkauf.csv", SALES)
    run(str(tmp_path / "verkauf.csv"), home=tmp_path / "new")
    mode = (tmp_path / "new" / "escapement.toml").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


def test_a_file_elsewhere_is_named_in_full(tmp_path: Path) -> None:
    german_csv(tmp_path / "verkauf.csv", SALES)
    run(str(tmp_path / "verkauf.csv"), home=tmp_path / "new")
    assert str(tmp_path / "verkauf.csv") in (tmp_path / "new" / "escapement.toml").read_text()
    agrees(events_of(tmp_path / "new"), SALES)


def test_a_pattern_of_files_is_one_ledger(tmp_path: Path) -> None:
    for month, part in (("01", SALES[:200]), ("02", SALES[200:])):
        german_csv(tmp_path / f"verkauf-{month}.csv", part)
    run(str(tmp_path / "verkauf-*.csv"), home=tmp_path)
    agrees(events_of(tmp_path), SALES)


ENGLISH = {"customer": "Customer No", "day": "Sale date", "price": "Net amount", "back": "Returned"}
FRENCH = {"customer": "N° client", "day": "Date d'achat", "price": "Prix net", "back": "Retour"}
ITALIAN = {"customer": "Cod. cliente", "day": "Data vendita", "price": "Importo", "back": "Reso"}


@pytest.mark.parametrize(
    ("names", "form", "decimal", "delimiter", "truths"),
    [
        (ENGLISH, "%m/%d/%Y", ".", ",", ("true", "false")),
        (ENGLISH, "%Y-%m-%dT%H:%M:%S", ".", "\t", ("Y", "N")),
        (FRENCH, "%d/%m/%Y", ",", ";", ("oui", "non")),
        (ITALIAN, "%d-%m-%y", ",", "|", ("SI", "NO")),
    ],
)
def test_other_languages_and_forms_are_read_too(
    tmp_path: Path,
    names: dict[str, str],
    form: str,
    decimal: str,
    delimiter: str,
    truths: tuple[str, str],
) -> None:
    rows = [
        (
            f"K{sale.customer}",
            sale.day.strftime(form),
            f"{sale.price:.2f}".replace(".", decimal),
            truths[not sale.back],
            sale.phone,
        )
        for sale in SALES
    ]
    header = [*names.values(), "Tel."]
    text = "\n".join(delimiter.join(row) for row in [header, *rows])
    (tmp_path / "l.txt").write_text(text)
    run(str(tmp_path / "l.txt"), home=tmp_path)
    events = events_of(tmp_path)
    assert events["date"].to_list() == [sale.day for sale in SALES]
    assert events["price"].to_list() == pytest.approx([abs(sale.price) for sale in SALES])
    assert (events["kind"] == "return").to_list() == [sale.back for sale in SALES]


def test_parquet_needs_no_forms(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "customer_id": [sale.customer for sale in SALES],
            "purchased_at": [sale.day for sale in SALES],
            "price": [sale.price for sale in SALES],
            "is_return": [sale.back for sale in SALES],
            "email": [sale.email for sale in SALES],
        },
        schema_overrides={"customer_id": pl.Int32},
    )
    frame.write_parquet(tmp_path / "l.parquet")
    run(str(tmp_path / "l.parquet"), home=tmp_path)
    text = (tmp_path / "escapement.toml").read_text()
    assert "dates" not in text
    assert "decimal" not in text
    assert (events_of(tmp_path)["kind"] == "return").to_list() == [sale.back for sale in SALES]


def test_without_a_column_of_kinds_amounts_below_zero_are_returns(tmp_path: Path) -> None:
    text = "client_id,date,price,mail\n" + "".join(
        f"{sale.customer},{sale.day},{sale.price},{sale.email}\n" for sale in SALES
    )
    (tmp_path / "l.csv").write_text(text)
    assert "TODO" not in run(str(tmp_path / "l.csv"), "--region", "sg", home=tmp_path)
    assert (events_of(tmp_path)["kind"] == "return").to_list() == [sale.back for sale in SALES]


def test_a_client_book_is_joined_by_the_customers_it_holds(tmp_path: Path) -> None:
    ledger = "Kunde;Datum;Betrag\n" + "".join(
        f"{sale.customer};{sale.day:%d.%m.%Y};5,00\n" for sale in SALES
    )
    clients = "Nr;AdrNr;Vorname;Mobil\n" + "".join(
        f"{sale.customer + 5000};{sale.customer};Anna;{sale.phone}\n" for sale in SALES[:80]
    )
    (tmp_path / "l.csv").write_text(ledger)
    (tmp_path / "k.csv").write_text(clients)
    said = run(str(tmp_path / "l.csv"), "--clients", str(tmp_path / "k.csv"), home=tmp_path)
    found = OutletFile.read(tmp_path / "escapement.toml").clients
    assert found is not None
    assert found.columns == {"customer_id": "AdrNr", "phone": "Mobil"}
    private(said, SALES)


@pytest.mark.parametrize(
    ("headings", "found"),
    [
        (("Nachname", "Vorname", "Firma"), {"name": "Nachname", "given_name": "Vorname"}),
        (("Customer Name", "Street Name", "Company Name"), {"name": "Customer Name"}),
        (("Cognome", "Nome", "Client Advisor"), {"name": "Cognome", "given_name": "Nome"}),
        (("Company Name", "Product Name", "Advisor Name"), {}),
    ],
)
def test_the_column_of_customers_names_is_proposed_and_no_name_is_printed(
    tmp_path: Path, headings: tuple[str, ...], found: dict[str, str]
) -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"
    names = [f"Zyx{letters[at % 26]}{letters[at // 26]}" for at in range(80)]
    clients = f"customer_id,phone,{','.join(headings)}\n" + "".join(
        f"{sale.customer},{sale.phone},{name},{name},{name}\n"
        for sale, name in zip(SALES, names, strict=False)
    )
    ledger = "customer_id,date,price\n" + "".join(
        f"{sale.customer},{sale.day},5.00\n" for sale in SALES
    )
    (tmp_path / "l.csv").write_text(ledger)
    (tmp_path / "k.csv").write_text(clients)
    said = run(str(tmp_path / "l.csv"), "--clients", str(tmp_path / "k.csv"), home=tmp_path)
    written = (tmp_path / "escapement.toml").read_text()
    book = OutletFile.read(tmp_path / "escapement.toml").clients
    assert book is not None
    columns = {name: own for name, own in book.columns.items() if "name" in name}
    assert columns == found
    assert "Zyx" not in said + written


def test_the_first_rows_are_shown_as_understood_and_nobody_is(tmp_path: Path) -> None:
    german_csv(tmp_path / "verkauf.csv", SALES)
    said = run(str(tmp_path / "verkauf.csv"), home=tmp_path)
    assert "Some rows as they are understood" in said
    assert f"{SALES[0].day}  purchase" in said
    private(said, SALES)
    assert (tmp_path / "customer-keys.secret").exists()


def test_doubts_are_said_before_check_is_run(tmp_path: Path) -> None:
    rows = "".join(f"C{at},2026-01-{at + 10},{1350000 + at},sale,\n" for at in range(9))
    (tmp_path / "l.csv").write_text(f"customer,date,price,type,phone\n{rows}")
    said = run(str(tmp_path / "l.csv"), home=tmp_path)
    assert "doubt cents: [ledger]" in said
    assert "after the TODOs and the doubts" in said


def test_what_could_not_be_guessed_is_commented_out_with_a_todo(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("a,b,Preis\nx1,2026-01-05,5.00\nx2,2026-01-06,6.00\n")
    said = run(str(tmp_path / "l.csv"), home=tmp_path)
    text = (tmp_path / "escapement.toml").read_text()
    for name in ("customer_id", "purchased_at"):
        assert f"# TODO: {name} = " in text
        assert f"TODO ledger.columns.{name}: " in said
    assert 'price = "Preis"' in text
    assert "nobody can be recognised" in said


def test_codes_that_sound_like_no_kind_are_left_for_a_person(tmp_path: Path) -> None:
    text = "Kunde;Datum;Preis;Vorgangsart;Tel\n" + "".join(
        f"{sale.customer};{sale.day};{sale.price};{'Q7' if sale.back else 'VK'};{sale.phone}\n"
        for sale in SALES
    )
    (tmp_path / "l.csv").write_text(text)
    said = run(str(tmp_path / "l.csv"), home=tmp_path)
    assert "what are these codes of Vorgangsart, 20 rows of the sample?" in said
    assert '["Q7"]' in (tmp_path / "escapement.toml").read_text()


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("l.csv", b"", "no rows"),
        ("l.csv", b"just one column\n1\n", "no rows of two cells"),
        ("l.csv", b"customer,price\n", "no rows"),
        ("l.csv", b"K1;31.12.2026;5,00\nK2;31.12.2026;6,00\n", "first line is a row"),
        ("l.csv", b"PK\x03\x04 and so on", "Excel"),
        ("l.csv.gz", b"no gzip at all", "not readable"),
        ("l.parquet", b"no parquet at all", "not readable"),
    ],
)
def test_a_file_that_is_no_ledger_is_refused_with_the_reason(
    tmp_path: Path, name: str, content: bytes, why: str
) -> None:
    (tmp_path / name).write_bytes(content)
    said = " ".join(refused(str(tmp_path / name), home=tmp_path).split())
    assert why in said
    assert "31.12" not in said
    assert not (tmp_path / "escapement.toml").exists()


@pytest.mark.parametrize("name", ["none.csv", ".", "none-*.csv"])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    assert "error" in refused(str(tmp_path / name), home=tmp_path)


def test_the_settings_are_valid_also_without_comment_signs(tmp_path: Path) -> None:
    german_csv(tmp_path / "verkauf.csv", SALES)
    run(str(tmp_path / "verkauf.csv"), home=tmp_path)
    text = (tmp_path / "escapement.toml").read_text()
    whole = re.sub(r"^# (?=\w+ =|\[)", "", text, flags=re.MULTILINE)
    assert set(tomllib.loads(whole)) >= {"references", "sightings", "interests", "policy", "floors"}
    (tmp_path / "escapement.toml").write_text(whole)
    defaults, found = OutletFile(ledger="l.csv"), OutletFile.read(tmp_path / "escapement.toml")
    for name in ("most_quarantined", "keep_days", "evaluations_a_night", "book_days", "floors"):
        assert getattr(found, name) == getattr(defaults, name)


# --- settings that are there ----------------------------------------------------------------------


def test_settings_that_somebody_made_are_kept_unless_forced(tmp_path: Path) -> None:
    german_csv(tmp_path / "verkauf.csv", SALES)
    mine = 'ledger = "verkauf.csv"\nregion = "CH"\n'
    (tmp_path / "escapement.toml").write_text(mine)
    assert "--force" in refused(str(tmp_path / "verkauf.csv"), home=tmp_path)
    assert (tmp_path / "escapement.toml").read_text() == mine
    run(str(tmp_path / "verkauf.csv"), "--force", home=tmp_path)
    assert (tmp_path / "escapement.toml.old").read_text() == mine
    agrees(events_of(tmp_path), SALES)


@given(
    st.lists(
        st.text(min_size=1, max_size=9).filter(str.strip), min_size=2, max_size=6, unique=True
    ),
    st.lists(st.lists(st.text(max_size=9), min_size=6, max_size=6), min_size=1, max_size=4),
)
def test_whatever_columns_are_called_the_settings_can_be_read(
    tmp_path_factory: pytest.TempPathFactory, header: list[str], rows: list[list[str]]
) -> None:
    assume(any(cell.strip() for row in rows for cell in row[: len(header)]))
    home = tmp_path_factory.mktemp("odd")
    cells = [pl.Series(name, [row[at] for row in rows]) for at, name in enumerate(header)]
    pl.DataFrame(cells).write_parquet(home / "l.parquet")
    run(str(home / "l.parquet"), home=home)
    assert OutletFile.read(home / "escapement.toml").ledger.name == "l.parquet"


@given(st.binary(max_size=200))
def test_no_bytes_make_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    home = tmp_path_factory.mktemp("bytes")
    (home / "l.csv").write_bytes(content)
    arguments = [str(home / "l.csv"), "--home", str(home)]
    result = CliRunner().invoke(APP, arguments, catch_exceptions=False)
    assert (result.exit_code == 0) == (home / "escapement.toml").exists()


# --- databases ------------------------------------------------------------------------------------

TABLES = """
create table mitarbeiter (id integer primary key, name text, telefon text);
create table kunden (id integer primary key, nachname text, geburtsdatum text, mobil text,
    mail text);
create table belege (beleg_id integer primary key, kunden_id integer references kunden(id),
    verkauft_am text, artikelnr text, netto text, uvp text, art text, geaendert_am text);
create table belege_leer (kunden_id integer, verkauft_am text, netto text);
"""


TYPES = """
alter table belege alter netto type numeric using replace(netto, ',', '.')::numeric;
alter table belege alter uvp type numeric using replace(uvp, ',', '.')::numeric;
alter table belege alter verkauft_am type date using to_date(verkauft_am, 'DD.MM.YYYY');
alter table belege alter geaendert_am type timestamptz using geaendert_am::timestamptz;
"""


def filled(engine: sa.Engine) -> None:
    """The sales in two tables, customers in the one and rows in the other."""
    with engine.begin() as connection:
        for statement in filter(str.strip, TABLES.split(";")):
            connection.execute(sa.text(statement))
        connection.execute(
            sa.text("insert into kunden values (:n, :who, '1980-01-02', :phone, :mail)"),
            [
                {"n": sale.customer, "who": sale.name, "phone": sale.phone, "mail": sale.email}
                for sale in {sale.customer: sale for sale in SALES}.values()
            ],
        )
        connection.execute(
            sa.text("insert into belege values (:i, :n, :day, :ref, :p, :l, :k, '2026-06-01')"),
            [
                {
                    "i": sale.number, "n": sale.customer, "day": f"{sale.day:%d.%m.%Y}",
                    "ref": sale.reference, "p": f"{sale.price:.2f}".replace(".", ","),
                    "l": f"{sale.list_price:.2f}".replace(".", ","),
                    "k": "RT" if sale.back else "VK",
                }
                for sale in SALES
            ],
        )  # fmt: skip


def test_sqlite_gives_ledger_and_client_book(tmp_path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path}/kasse.db")
    filled(engine)
    engine.dispose()
    url = f"sqlite:///{tmp_path}/kasse.db"
    said = run(url, "--table", "belege", "--clients", "kunden", home=tmp_path)
    found = OutletFile.read(tmp_path / "escapement.toml")
    assert (found.ledger.table, found.ledger.columns["line_id"]) == ("belege", "beleg_id")
    assert found.clients is not None
    assert (found.clients.table, found.clients.columns["customer_id"]) == ("kunden", "id")
    assert 'source = "sqlite:///kasse.db"' in (tmp_path / "escapement.toml").read_text()
    agrees(events_of(tmp_path), SALES)
    private(said + (tmp_path / "escapement.toml").read_text(), SALES)


def test_postgresql_gives_ledger_and_client_book_and_keeps_the_password_apart(
    tmp_path: Path,
) -> None:
    with postgres() as url:
        engine = sa.create_engine(url)
        filled(engine)
        with engine.begin() as connection:
            for statement in filter(str.strip, TYPES.split(";")):
                connection.execute(sa.text(statement))
        engine.dispose()
        tables = ("--table", "belege", "--clients", "kunden")
        said = run(url, *tables, home=tmp_path)
        found = OutletFile.read(tmp_path / "escapement.toml")
        agrees(events_of(tmp_path).sort("row"), SALES)
        bare, typed = url.replace(f":{PASSWORD}@", "@"), f"{PASSWORD}\n"
        asked = run(bare, *tables, "--ask-password", "--force", home=tmp_path, typed=typed)
        wrong = refused(url.replace(PASSWORD, "not-the-word"), *tables, "--force", home=tmp_path)
    assert found.clients is not None
    assert found.clients.columns["customer_id"] == "id"
    text = (tmp_path / "escapement.toml").read_text()
    assert PASSWORD not in text + said + asked
    assert "shell's history" in said
    assert "shell's history" not in asked
    assert "not-the-word" not in wrong
    kept = tmp_path / "ledger.password"
    assert kept.read_text().strip() == PASSWORD
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    private(said + text, SALES)


def test_a_database_of_which_no_table_is_named_lists_its_tables(tmp_path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path}/x.db")
    with engine.begin() as connection:
        connection.execute(sa.text("create table staff (name text)"))
    engine.dispose()
    said = refused(f"sqlite:///{tmp_path}/x.db", home=tmp_path)
    assert "staff" in said
    assert "--table" in said


@pytest.mark.parametrize(
    "url", ["nonsense://x", "postgresql://", "mysql+nodriver://x/y", "http://[bad", "sqlite://"]
)
def test_an_address_that_is_none_is_refused(tmp_path: Path, url: str) -> None:
    assert "error" in refused(url, home=tmp_path)
    assert not (tmp_path / "escapement.toml").exists()


def test_a_password_behind_the_question_mark_is_not_written_down(tmp_path: Path) -> None:
    said = refused("postgresql://u@h/d?password=secret-word", home=tmp_path)
    assert "secret-word" not in said
