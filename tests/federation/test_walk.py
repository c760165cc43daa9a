"""An outlet of messy files and one of a database, by the commands of docs/outlet.md."""

from __future__ import annotations

import json
import tomllib
from typing import TYPE_CHECKING

import polars as pl
import pytest
import sqlalchemy as sa

from outlet_client.database import create_databases
from sandbox.enrolment import address_of
from tests.federation.nights import assert_sums_of_one_process, night
from tests.postgres import postgres

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.federation.forked import Forked

pytestmark = pytest.mark.federation

OWN_WORDS = {"purchase": "VK", "return": "RT"}


def amount(value: float) -> str:
    """With a decimal comma and points between thousands, to the last cent."""
    assert value == round(value, 2)
    return f"{value:,.2f}".translate(str.maketrans(",.", ".,"))


def rows_of(home: Path) -> pl.DataFrame:
    """An outlet's ledger with its customers' e-mail addresses."""
    clients = pl.read_csv(home / "clients.csv", infer_schema=False)
    ledger = pl.read_parquet(home / "ledger.parquet")
    return ledger.join(clients.drop("phone"), on="customer_id", how="left", maintain_order="left")


def write_messy(home: Path) -> int:
    """The ledger as a German till exports it; two rows more cannot be read."""
    rows = rows_of(home)
    own = rows.select(
        Kundennr="customer_id",
        Datum=pl.col("purchased_at").dt.strftime("%d.%m.%Y"),
        Verkäufer=pl.lit("Zoë Müller"),
        Betrag=pl.col("price").map_elements(amount, pl.String),
        Listenpreis=pl.col("list_price").map_elements(amount, pl.String),
        Art=pl.col("kind").cast(pl.String).replace(OWN_WORDS),
        Beleg="basket_id",
        Seriennummer="serial",
        Referenz="reference",
        **{"E-Mail": pl.col("email")},
    )
    bad = own.head(2).with_columns(Datum=pl.lit("31.02.2025"))
    text = pl.concat([own, bad]).write_csv(separator=";", line_terminator="\r\n")
    (home / "verkauf.csv").write_bytes(text.encode("latin-1"))
    return len(own)


def fill(url: str, home: Path) -> int:
    """The ledger as two tables of a till's database."""
    rows = rows_of(home)
    sales = (
        rows.drop("email").with_row_index("line_id").with_columns(pl.col("kind").cast(pl.String))
    )
    engine = sa.create_engine(url)
    columns = (
        "line_id bigint primary key, kind text, price numeric(12,2), list_price numeric(12,2), "
        "serial text, reference text, customer_id text, outlet_id text, purchased_at date, "
        "basket_id text, updated_at timestamptz default now()"
    )
    with engine.begin() as connection:
        connection.execute(sa.text(f"create table sales ({columns})"))
        connection.execute(
            sa.text("create table clients (customer_id text, phone text, email text)")
        )
        names = ", ".join(f":{name}" for name in sales.columns)
        into = f"insert into sales ({', '.join(sales.columns)}) values ({names})"  # noqa: S608  (a test's own columns)
        connection.execute(sa.text(into), sales.to_dicts())
        book = rows.select("customer_id", "email").unique().to_dicts()
        connection.execute(sa.text("insert into clients values (:customer_id, '', :email)"), book)
    engine.dispose()
    return len(sales)


def write_consents(home: Path) -> Path:
    """As a spreadsheet saves them."""
    clients = pl.read_csv(home / "clients.csv", infer_schema=False)
    table = clients.select(
        "phone", "email", notice=pl.lit("Einwilligung für Kunden"),
        recorded_at=pl.lit("2026-01-05"), recorded_by=pl.lit("Zoë"),
    )  # fmt: skip
    file = home / "consents.csv"
    file.write_bytes(table.write_csv(separator=";").encode("cp1252"))
    return file


def complete(home: Path, before: str) -> None:
    """Adds to what `init` wrote the settings that the sandbox gave this outlet."""
    made = (home / "escapement.toml").read_text()
    kept = [
        f"{name} = {json.dumps(value)}"
        for name, value in tomllib.loads(before).items()
        if name not in ("ledger", "clients", "floors", "region")
    ]
    floors = before[before.index("[floors]") :]
    tables = made[: made.index("[floors]")]
    (home / "escapement.toml").write_text("\n".join([*kept, tables, floors]))


def test_a_messy_file_and_a_database_release_what_the_canonical_ledgers_do(
    enrol: Callable[..., Forked],
) -> None:
    network = enrol(epsilon=None)
    homes = {name: network.outlet(name) for name in ("O1", "O2")}
    before = {name: (home / "escapement.toml").read_text() for name, home in homes.items()}
    with postgres() as url:
        rows = {"O1": write_messy(homes["O1"]), "O2": fill(url, homes["O2"])}
        tables = ["--table", "sales", "--clients", "clients"]
        what = {"O1": [str(homes["O1"] / "verkauf.csv")], "O2": [url, *tables]}
        for name, home in homes.items():
            (home / "outlet.db").unlink()  # its consents come from a file
            create_databases(home)
            done = network.at_outlet(name, "init", *what[name], "--region", "SG", "--force")
            assert done.code == 0, done.words
            assert "a-password" not in (home / "escapement.toml").read_text()
            complete(home, before[name])
            done = network.at_outlet(name, "check")
            assert done.code == 0, done.words
            assert f"{rows[name]:,} used" in done.words
            done = network.at_outlet(name, "consent", "import", str(write_consents(home)))
            assert done.code == 0, done.words
        report = night(network)
        assert report.ended == "complete"
        assert report.cohort == ("O1", "O2", "O3")
        assert report.book is not None
        for name, home in homes.items():
            health = json.loads((home / "health.json").read_text())
            assert (health["status"], health["rows"]) == ("ok", rows[name] + 2 * (name == "O1"))
            assert health["quarantined"] == 2 * (name == "O1")
            assert (home / "report.html").exists()
            known = rows_of(home).filter(kind="purchase")["customer_id"].mode()[0]
            said = network.look_up(name, address_of(known))
            assert said["status"] == "known"
        network.stop()
    for name, home in homes.items():
        (home / "escapement.toml").write_text(before[name])
    assert_sums_of_one_process(network, [step.release for step in report.steps])
