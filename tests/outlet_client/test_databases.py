"""Tables of real databases: rows come streamed and typed, and no error holds a cell."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
import sqlalchemy as sa

from features.errors import LedgerError
from features.ledger import judge
from outlet_client.sources.databases import series_of
from outlet_client.sources.source import Source
from outlet_client.sources.table_reader import (
    header_of,
    primary_key_of,
    read_all,
    read_database,
    tables_of,
)
from tests.postgres import PASSWORD, postgres

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMES = ("customer_id", "purchased_at", "price", "is_return", "serial", "line_id")
COLUMNS = {"customer_id": "Kunde", "purchased_at": "Zeit", "price": "Betrag", "line_id": "Zeile"}
AT_NIGHT = dt.datetime(2026, 1, 1, 20, tzinfo=dt.UTC)
"""In Singapore it is the second already."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres() as url:
        engine = sa.create_engine(url, poolclass=sa.NullPool)
        with engine.begin() as connection:
            fill(connection, "timestamptz", "numeric(12,2)", "boolean")
            connection.execute(sa.text("CREATE SCHEMA shop"))
            connection.execute(sa.text('CREATE TABLE shop.sales AS SELECT * FROM "Verkäufe"'))
            connection.execute(sa.text('CREATE VIEW latest AS SELECT * FROM "Verkäufe"'))
        yield url


@pytest.fixture
def lite(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'pos.db'}"
    with sa.create_engine(url, poolclass=sa.NullPool).begin() as connection:
        fill(connection, "TEXT", "NUMERIC", "INTEGER")
        connection.execute(sa.text('CREATE VIEW latest AS SELECT * FROM "Verkäufe"'))
    return url


def fill(connection: sa.Connection, moment: str, amount: str, truth: str) -> None:
    """A table as a point-of-sale system may have it."""
    connection.execute(
        sa.text(
            'CREATE TABLE "Verkäufe" ("Zeile" integer, "Kunde" varchar(20), '
            f'"Zeit" {moment}, "Betrag" {amount}, is_return {truth}, serial varchar(20), '
            '"100% Name" varchar(20))'
        )
    )
    insert = sa.text('INSERT INTO "Verkäufe" VALUES (:line, :who, :at, :price, :back, :serial, :n)')
    at: Any = AT_NIGHT if moment == "timestamptz" else "2026-01-02"
    flags: list[Any] = [False, True] if truth == "boolean" else [0, 1]
    rows = [
        {"line": 1, "who": "Zoë 王", "price": 1234.5, "back": flags[0], "serial": None},
        {"line": 2, "who": "ben", "price": -3, "back": flags[1], "serial": "s:1"},
        {"line": 3, "who": "ann", "price": None, "back": flags[0], "serial": "s2"},
    ]
    connection.execute(insert, [{**row, "at": at, "n": "x"} for row in rows])


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    name = "lite" if request.param == "sqlite" else "server"
    return str(request.getfixturevalue(name))


def source_of(url: str, **settings: Any) -> Source:
    return Source(source=url, **({"table": "Verkäufe", "columns": COLUMNS} | settings))


# --- what is read ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"table": "latest"},
        {"table": None, "query": 'SELECT * FROM "Verkäufe" ORDER BY "Zeile";'},
        {"table": None,
         "query": """SELECT * FROM "Verkäufe" WHERE "Kunde" NOT LIKE ':x%' AND '1:y' <> 'a'"""},
    ],
)  # fmt: skip
def test_a_table_a_view_and_a_query_become_events(url: str, asked: dict[str, Any]) -> None:
    source = source_of(url, **asked)
    (batch,) = read_database(source, NAMES)
    assert batch.malformed.is_empty()
    judged = judge(batch.rows, source.name)
    assert judged.bad.rows() == [(3, "price", "empty; expected a value")]
    day = dt.date(2026, 1, 2)
    assert judged.events.select("customer", "date", "kind", "price", "serial", "line").rows() == [
        ("Zoë 王", day, "purchase", 1234.5, None, "1"),
        ("ben", day, "return", 3.0, "s:1", "2"),
    ]


def test_columns_and_tables_are_named_as_the_database_has_them(url: str) -> None:
    expected = ["Zeile", "Kunde", "Zeit", "Betrag", "is_return", "serial", "100% Name"]
    assert header_of(source_of(url)) == expected
    asked = source_of(url, table=None, query='SELECT "100% Name", serial FROM "Verkäufe"')
    assert header_of(asked) == ["100% Name", "serial"]
    assert tables_of(source_of(url)) == ["Verkäufe", "latest"]
    odd = source_of(url, columns={"customer_id": "100% Name"})
    assert read_all(odd, ["customer_id"])["customer_id"].to_list() == ["x"] * 3


def test_a_table_may_be_in_a_schema(server: str) -> None:
    found = read_all(source_of(server, table="shop.sales"), NAMES)
    assert sorted(found["line_id"]) == [1, 2, 3]
    assert found["file"].unique().to_list() == ["shop.sales"]


def test_postgres_rows_have_native_types(server: str) -> None:
    (batch,) = read_database(source_of(server), NAMES)
    assert dict(batch.rows.schema) == {
        "row": pl.Int64,
        "customer_id": pl.String,
        "purchased_at": pl.Datetime("us"),
        "price": pl.Float64,
        "is_return": pl.Boolean,
        "serial": pl.String,
        "line_id": pl.Int64,
    }
    assert set(batch.rows["purchased_at"]) == {dt.datetime(2026, 1, 2, 4)}  # noqa: DTZ001  (the day on its own clock)


def test_rows_are_streamed_in_batches_by_the_server(server: str) -> None:
    """One batch is taken of more rows than fit the time and memory to hold them all."""
    query = "SELECT 'c' || generate_series(1, 2000000000) AS customer_id"
    batches = read_database(source_of(server, table=None, query=query, columns={}), NAMES)
    first, second = next(batches), next(batches)
    assert first.rows["row"].to_list()[-1] == len(first.rows) == 50_000
    assert second.rows["row"][0] == 50_001
    assert second.rows["customer_id"][0] == "c50001"
    batches.close()  # a generator, which the type does not say


def test_reading_changes_nothing_and_a_writing_query_is_refused(server: str) -> None:
    query = 'WITH gone AS (DELETE FROM "Verkäufe" RETURNING *) SELECT * FROM gone'
    with pytest.raises(LedgerError, match="query: not readable"):
        read_all(source_of(server, table=None, query=query), NAMES)
    assert len(read_all(source_of(server), NAMES)) == 3


def test_a_table_without_rows_has_its_columns(url: str) -> None:
    asked = 'SELECT * FROM "Verkäufe" WHERE 1 = 0'
    found = read_all(source_of(url, table=None, query=asked), NAMES)
    assert found.is_empty()
    assert set(found.columns) == {"row", *NAMES, "file"}


@pytest.mark.parametrize("query", [None, 'SELECT * FROM "Verkäufe"'])
def test_rows_come_in_the_order_in_which_they_were_changed(url: str, query: str | None) -> None:
    asked = {"query": query, "table": None} if query else {}
    source = source_of(url, columns={"customer_id": "Kunde"}, changed="Betrag", **asked)
    (batch,) = read_database(source, ["customer_id"])
    assert batch.rows["customer_id"].to_list() == ["ann", "ben", "Zoë 王"]


def test_a_tables_primary_key_is_told_and_a_views_or_a_querys_is_none(url: str) -> None:
    with sa.create_engine(url, poolclass=sa.NullPool).begin() as connection:
        connection.execute(sa.text("DROP TABLE IF EXISTS keyed"))
        connection.execute(sa.text("CREATE TABLE keyed (a integer, b integer PRIMARY KEY)"))
    assert primary_key_of(source_of(url, table="keyed")) == "b"
    assert primary_key_of(source_of(url)) is None
    assert primary_key_of(source_of(url, table="latest")) is None
    assert primary_key_of(source_of(url, table=None, query="SELECT * FROM keyed")) is None
    with sa.create_engine(url, poolclass=sa.NullPool).begin() as connection:
        connection.execute(sa.text("DROP TABLE keyed"))


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"table": "sales"}, "sales: no such table; got Verkäufe, latest"),
        ({"table": None}, "query: a database needs `table` or `query`"),
        (
            {"columns": {"price": "Preis"}},
            "Verkäufe, column Preis: missing; got the columns Zeil",
        ),
        ({"changed": "wann"}, "Verkäufe, column wann: missing; got the columns Zeile, "),
        ({"table": None, "query": "SELECT * FROM nowhere"}, "query: not readable: "),
        ({"table": None, "query": "SELEKT 1"}, "query: not readable"),
        ({"table": None, "query": ""}, "query: not readable"),
    ],
)
def test_what_is_not_there_is_named(url: str, settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(LedgerError, match=re.escape(reason)) as caught:
        list(read_database(source_of(url, **settings), NAMES))
    assert PASSWORD not in str(caught.value)


def test_an_error_of_the_server_quotes_no_cell(server: str) -> None:
    query = 'SELECT CAST("Kunde" AS integer) AS customer_id FROM "Verkäufe"'
    with pytest.raises(LedgerError, match=r"^query: not readable: DataError$"):
        list(read_database(source_of(server, table=None, query=query, columns={}), NAMES))


def test_text_of_sqlite_that_is_no_utf_8_quotes_no_cell(lite: str) -> None:
    with sa.create_engine(lite).begin() as connection:
        connection.execute(
            sa.text('UPDATE "Verkäufe" SET "Kunde" = CAST(x\'4dfc6c6c6572\' AS TEXT)')
        )
    with pytest.raises(LedgerError) as caught:
        list(read_database(source_of(lite), NAMES))
    assert str(caught.value) == "Verkäufe: not readable: OperationalError"


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("oracel://pos@host/db", "no driver for this URL"),
        ("mysql+pymysql://pos@host/db", "no driver for this URL"),
        ("sqlite:////nowhere/pos.db", "/nowhere/pos.db: no such file"),
        ("postgresql://pos:secret@/pos?host=/nowhere", "no connection"),
        ("postgresql://pos:secret@localhost:notaport/pos", "no connection"),
        ("://", "no connection"),
    ],
)
def test_a_database_that_is_not_there_is_named_without_a_password(wrong: str, reason: str) -> None:
    source = source_of(wrong)
    for ask in (tables_of, header_of, lambda one: list(read_database(one, NAMES))):
        with pytest.raises(LedgerError, match=re.escape(reason)) as caught:
            ask(source)
        assert "secret" not in str(caught.value)


def test_no_empty_database_is_left_where_there_was_none(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="no such file"):
        header_of(source_of(f"sqlite:///{tmp_path / 'new.db'}"))
    assert not list(tmp_path.iterdir())


def test_the_password_comes_from_its_file(server: str, tmp_path: Path) -> None:
    bare = server.replace(f":{PASSWORD}", "")
    (tmp_path / "right").write_text(PASSWORD + "\n")
    (tmp_path / "wrong").write_text("guess")
    assert len(read_all(source_of(bare, password_file=tmp_path / "right"), NAMES)) == 3
    with pytest.raises(LedgerError, match=r"no connection: .*password authentication failed"):
        read_all(source_of(bare, password_file=tmp_path / "wrong"), NAMES)
    with pytest.raises(LedgerError, match="none: No such file"):
        read_all(source_of(bare, password_file=tmp_path / "none"), NAMES)


# --- what drivers give ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([None, None], pl.Null, [None, None]),
        ([1, None], pl.Int64, [1, None]),
        ([1, 2.5], pl.Float64, [1.0, 2.5]),
        ([True, None], pl.Boolean, [True, None]),
        ([2**63, 1], pl.String, [str(2**63), "1"]),
        ([1, "a"], pl.String, ["1", "a"]),
        ([b"a\xff", None], pl.String, ["a\ufffd", None]),
        ([dt.date(2026, 1, 2)], pl.Date, [dt.date(2026, 1, 2)]),
    ],
)
def test_a_column_has_one_type_or_is_text(
    values: list[object], kind: pl.DataType, expected: list[object]
) -> None:
    found = series_of("c", values)
    assert found.dtype == kind
    assert found.to_list() == expected


def test_decimals_are_whole_numbers_where_all_are() -> None:
    assert series_of("c", [Decimal("12"), None]).to_list() == [12, None]
    assert series_of("c", [Decimal("12.00"), Decimal("1.5")]).to_list() == [12.0, 1.5]
    assert series_of("c", [Decimal("NaN")]).is_nan().all()
    assert series_of("c", [Decimal("Infinity")]).is_infinite().all()
