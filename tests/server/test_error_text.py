"""Every error of a database or of the system says its own cause, and no cell of data."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path  # noqa: TC003  (pytest reads annotations)
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from privacy.errors import InvalidParameter
from server.holder.error_text import error_text
from tests.postgres import DATABASE, PASSWORD, postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CELL = "+41791234567"
ROW = f"INSERT INTO people VALUES ('{CELL}')"  # noqa: S608  (constant)
TABLE = "CREATE TABLE people (phone TEXT PRIMARY KEY)"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    file = tmp_path / "a.db"
    run(url_of(file), TABLE, ROW)
    return file


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres() as url:
        run(url, TABLE, ROW)
        yield url


def url_of(file: Path) -> str:
    return f"sqlite:///{file}"


def run(url: str, *statements: str) -> None:
    engine = sa.create_engine(url)
    try:
        with engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)
    finally:
        engine.dispose()


def text_of(call: Callable[[], object]) -> str:
    with pytest.raises(SQLAlchemyError) as caught:
        call()
    text = error_text(caught.value)
    assert text.startswith("database: ")
    assert CELL not in text
    assert PASSWORD not in text
    return text


def test_a_full_disk_is_said_to_be_full(place: Path) -> None:
    grow = "INSERT INTO people SELECT hex(randomblob(500)) FROM pragma_function_list LIMIT 100"
    text = text_of(lambda: run(url_of(place), "PRAGMA max_page_count = 3", grow))
    assert text == ("database: the disk is full; make room, then run it again (SQLITE_FULL)")


def test_a_file_that_may_only_be_read_is_said_to_be_read_only(place: Path) -> None:
    url = f"sqlite:///file:{place}?mode=ro&uri=true"
    assert "is read-only; make it writable for this user" in text_of(
        lambda: run(url, "DELETE FROM people")
    )


def test_a_locked_database_is_no_full_disk(place: Path) -> None:
    writer = sqlite3.connect(place)
    writer.execute("BEGIN IMMEDIATE")
    wait = sa.create_engine(url_of(place), connect_args={"timeout": 0.05})
    text = text_of(lambda: wait.connect().exec_driver_sql(ROW))
    assert "another program is writing to it" in text
    writer.close()


def test_a_damaged_file_and_one_that_is_no_database_are_said_to_be(place: Path) -> None:
    place.write_bytes(place.read_bytes()[:200] + b"\xff" * 8000)
    assert "restore the last backup" in text_of(lambda: run(url_of(place), "SELECT * FROM people"))
    place.write_text("hello " * 1000)
    assert "is no database" in text_of(lambda: run(url_of(place), "SELECT * FROM people"))


@pytest.mark.parametrize("statement", ["SELECT asked FROM people", "SELECT 1 FROM nights"])
def test_a_missing_column_or_table_asks_for_upgrade(
    place: Path, server: str, statement: str
) -> None:
    for url in (url_of(place), server):
        assert "run this program's `upgrade`" in text_of(lambda: run(url, statement))  # noqa: B023  (called at once)
    assert "no such" in text_of(lambda: run(url_of(place), statement))


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    text = text_of(lambda: run(url_of(tmp_path / "no" / "a.db"), "SELECT 1"))
    assert "cannot be opened; is its folder there, and this user's, and the disk not" in text


def test_a_row_that_is_refused_names_its_table_and_no_cell(place: Path, server: str) -> None:
    assert text_of(lambda: run(url_of(place), ROW)).endswith(
        "UNIQUE constraint failed: people.phone"
    )
    assert text_of(lambda: run(server, ROW)) == (
        "database: UniqueViolation of people, people_pkey (SQLSTATE 23505)"
    )


def test_what_a_server_says_of_a_value_is_not_said_on(server: str) -> None:
    text = text_of(lambda: run(server, f"SELECT CAST('x {CELL}' AS integer)"))
    assert text == "database: InvalidTextRepresentation (SQLSTATE 22P02)"


def test_a_server_that_is_not_there_or_refuses_says_so(server: str) -> None:
    assert "no connection; is its server up" in text_of(
        lambda: run("postgresql+psycopg://a:b@127.0.0.1:1/c", "SELECT 1")
    )
    wrong = server.replace(f"/{DATABASE}?", "/missing?")
    assert "no connection" in text_of(lambda: run(wrong, "SELECT 1"))
    read_only = ("SET TRANSACTION READ ONLY", "DELETE FROM people")
    assert "is read-only" in text_of(lambda: run(server, *read_only))


def test_a_users_right_that_is_missing_is_said(server: str) -> None:
    denied = ("CREATE ROLE guest", "SET ROLE guest", "SELECT * FROM people")
    assert "this user may not do that" in text_of(lambda: run(server, *denied))


def test_a_triggers_own_text_is_said(server: str) -> None:
    raising = "DO $$ BEGIN RAISE EXCEPTION 'the ledger is append-only'; END $$"
    assert text_of(lambda: run(server, raising)) == "database: the ledger is append-only"


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "a: the disk is full; make room, then run it again"),
        (errno.EROFS, "a: the disk is read-only"),
        (errno.EACCES, "a: no permission; is it this user's?"),
        (errno.EMFILE, "a: too many open files; raise the limit (LimitNOFILE in a systemd unit)"),
        (errno.ENOENT, "a: it is not there"),
        (errno.EADDRINUSE, "a: Address already in use"),
    ],
)
def test_the_systems_errors_say_their_cause_by_number(number: int, said: str) -> None:
    cause = OSError(number, "Address already in use", "a")
    assert error_text(cause) == said
    assert error_text(OSError(number, "Address already in use")) == said.removeprefix("a: ")


def test_our_own_errors_say_their_text_and_others_their_type_only() -> None:
    assert error_text(InvalidParameter("count: got 3, expected 4")) == "count: got 3, expected 4"
    assert error_text(OSError("cannot listen on a:1")) == "cannot listen on a:1"
    assert error_text(KeyError(CELL)) == "KeyError"
    assert error_text(SQLAlchemyError(CELL)) == "database: SQLAlchemyError"
