"""What a command says of an error of the system or a database: its cause, and what to do."""

from __future__ import annotations

import errno
import os
import sqlite3

import pytest
import sqlalchemy as sa
import typer
from sqlalchemy.exc import OperationalError

from outlet_client.commands.command_errors import failing
from outlet_client.database import database_error_text


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "the disk is full; make room, then run it again"),
        (errno.EDQUOT, "the disk quota is full; make room, then run it again"),
        (errno.EROFS, "the disk is read-only"),
        (errno.EACCES, "no permission; is it this user's?"),
        (errno.EMFILE, "too many open files; raise the limit (LimitNOFILE in a systemd unit)"),
        (errno.ENOTDIR, "Not a directory"),
    ],
)
def test_an_error_of_the_system_says_its_cause_and_its_file(number: int, said: str) -> None:
    for file, expected in (("outlet.db", f"outlet.db: {said}"), (None, said)):
        texts: list[str] = []
        with pytest.raises(typer.Exit) as caught, failing(texts.append):
            raise OSError(number, os.strerror(number), file)
        assert (texts, caught.value.exit_code) == ([expected], 1)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (sqlite3.SQLITE_FULL, "the disk is full; make room"),
        (sqlite3.SQLITE_READONLY | 1 << 8, "is read-only; make it writable"),
        (sqlite3.SQLITE_BUSY, "a night or another command is writing"),
        (sqlite3.SQLITE_CORRUPT, "it is damaged; restore the last backup"),
        (sqlite3.SQLITE_NOTADB, "is no database, or is damaged"),
        (sqlite3.SQLITE_CANTOPEN, "cannot be opened; is its folder there"),
        (sqlite3.SQLITE_IOERR, "the disk failed"),
    ],
)
def test_a_databases_error_says_its_cause_by_its_code(code: int, said: str) -> None:
    cause = sqlite3.OperationalError("something")
    cause.sqlite_errorcode, cause.sqlite_errorname = code, "SQLITE_X"
    text = database_error_text(OperationalError("SELECT ?", ("+41791234567",), cause))
    assert said in text
    assert "791234567" not in text
    assert ("disk is full" in text) == (code == sqlite3.SQLITE_FULL)


@pytest.mark.parametrize("statement", ["SELECT asked FROM nights", "SELECT 1 FROM people"])
def test_a_missing_column_or_table_asks_for_upgrade(statement: str) -> None:
    engine = sa.create_engine("sqlite://")
    with engine.connect() as connection:
        connection.exec_driver_sql("CREATE TABLE nights (number)")
        with pytest.raises(OperationalError) as caught:
            connection.exec_driver_sql(statement)
    text = database_error_text(caught.value)
    assert text.startswith("database: no such ")
    assert "run `escapement-outlet upgrade`" in text


def test_an_error_without_a_number_says_its_own_text() -> None:
    texts: list[str] = []
    with pytest.raises(typer.Exit), failing(texts.append):
        raise OSError("ledger.new: not written")
    assert texts == ["ledger.new: not written"]
