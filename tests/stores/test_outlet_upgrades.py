"""Outlets' databases of earlier releases are upgraded and used; what is none of ours is refused."""

from __future__ import annotations

import datetime as dt
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from typer.testing import CliRunner

from outlet_client.allocation import proposal_tables
from outlet_client.allocation.wish_store import NewWish, add_wishes, wishes_in
from outlet_client.contribution import answer_store, scorecard_store
from outlet_client.contribution.scorecard_store import read_scorecards
from outlet_client.database import BOOKKEEPING, REVISION, Store, engine_of
from outlet_client.errors import StoreOutdated, StoreRefused
from outlet_client.log_tables import rights_store
from outlet_client.main import app
from outlet_client.migrating import run_scripts, upgrade_database
from outlet_client.night import night_log
from outlet_client.night.night_log import NightLog
from outlet_client.people import tables
from outlet_client.people.people_store import People
from outlet_client.records.access_log import LogAct, record_act_in
from outlet_client.records.log_audit import audit_log
from outlet_client.sources.customer_keys import stored_key
from outlet_client.staff import staff_store
from outlet_client.staff.staff_store import StaffStore
from privacy.envelopes import SigningKey
from privacy.identity import PartyKind
from privacy.keyring import Keyring

if TYPE_CHECKING:
    from click.testing import Result

DUMPS = Path(__file__).parent / "0.2"
FILES = ("outlet", "rights", "staff")
OF_OUTLET = (
    answer_store._METADATA, scorecard_store._METADATA, night_log._METADATA,
    proposal_tables.METADATA, tables.METADATA,
)  # fmt: skip
METADATA = {
    "outlet": OF_OUTLET,
    "rights": (rights_store._METADATA,),
    "staff": (staff_store._METADATA,),
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder as the release before left it."""
    Keyring(tmp_path, PartyKind.OUTLET).create("O1", "", dt.datetime.now(dt.UTC))
    for name in FILES:
        with closing(sqlite3.connect(tmp_path / f"{name}.db")) as store:
            store.executescript((DUMPS / f"o1-{name}.sql").read_text())
    return tmp_path


def run(home: Path, *words: str) -> Result:
    return CliRunner().invoke(app, [*words, "--home", str(home)])


def rows(place: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(place)) as store:
        return store.execute(query).fetchall()


def test_an_outlets_folder_of_the_release_before_is_upgraded_and_used(home: Path) -> None:
    log = rows(home / "rights.db", "SELECT * FROM log ORDER BY number")
    people = rows(home / "outlet.db", "SELECT key, state, slot FROM people ORDER BY rowid")
    consents = rows(home / "outlet.db", "SELECT * FROM consents ORDER BY rowid")
    accounts = rows(home / "staff.db", "SELECT * FROM staff")
    assert min(len(log), len(people), len(consents), len(accounts)) > 1
    for opened in (
        lambda: People.open(home, Keyring(home, PartyKind.OUTLET).identity()),
        lambda: StaffStore(home),
        lambda: NightLog.open(home),
    ):
        with pytest.raises(StoreOutdated, match="Run `escapement-outlet upgrade`"):
            opened()
    said = run(home, "upgrade")
    assert said.exit_code == 0, said.output
    assert (home / f"before-{REVISION}.tar.gz").exists()
    after = rows(home / "rights.db", "SELECT * FROM log ORDER BY number")
    assert (after[:-1], after[-1][2]) == (log, "export")
    query = "SELECT key, state, slot FROM people ORDER BY rowid"
    assert rows(home / "outlet.db", query) == people
    assert rows(home / "outlet.db", "SELECT * FROM consents ORDER BY rowid") == consents
    assert rows(home / "staff.db", "SELECT * FROM staff") == accounts

    now = dt.datetime.now(dt.UTC)
    with closing(People.open(home, Keyring(home, PartyKind.OUTLET).identity())) as store:
        assert sum(store.counts().values()) == len(people)
        store.record_consent(store.local_key("mailto:new@x.example"), "n", "mei", now)
    record_act_in(home, now, LogAct.EXPORT, "mei", about="x")
    found = audit_log(home, SigningKey.generate().public, "O1", now)
    assert not [one.text for one in found.findings if "chain" in one.text]
    assert read_scorecards(home).cards
    with closing(StaffStore(home)) as staff, staff.reading() as connection:
        assert len(connection.execute(sa.select(staff_store.STAFF)).all()) == len(accounts)
    before = {file: file.read_bytes() for file in home.iterdir() if file.is_file()}
    assert "of this release already" in run(home, "upgrade").output
    assert {file: file.read_bytes() for file in home.iterdir() if file.is_file()} == before


def test_a_file_of_the_second_revision_gets_wishes_and_keeps_what_it_has(home: Path) -> None:
    place = home / "rights.db"
    engine = engine_of(f"sqlite:///{place}")
    with engine.begin() as connection:
        run_scripts(connection, "rights", "0002")
    engine.dispose()
    with pytest.raises(StoreOutdated, match="got revision 0002 of the tables"):
        wishes_in(home)
    log = rows(place, "SELECT * FROM log ORDER BY number")
    assert upgrade_database(place)
    assert wishes_in(home) == []
    with rights_store.rights_of(home) as connection:
        now = dt.datetime.now(dt.UTC)
        assert add_wishes(connection, [NewWish("R1", now.date(), key="k")], "mei", now) == [1]
    assert rows(place, "SELECT * FROM log ORDER BY number")[:-1] == log
    assert [(one.number, one.reference) for one in wishes_in(home)] == [(1, "R1")]
    found = audit_log(home, SigningKey.generate().public, "O1", now)
    assert not [one.text for one in found.findings if "chain" in one.text]


def test_a_later_another_and_an_unknown_file_are_refused(home: Path) -> None:
    assert run(home, "upgrade").exit_code == 0
    shutil.copy(home / "outlet.db", home / "whole.db")
    shutil.copy(home / "staff.db", home / "outlet.db")
    with pytest.raises(StoreRefused, match=r"outlet\.db: got the tables of staff\.db"):
        NightLog.open(home)
    assert "got the tables of staff.db" in " ".join(run(home, "upgrade").output.split())
    shutil.copy(home / "whole.db", home / "outlet.db")
    with closing(sqlite3.connect(home / "outlet.db")) as store:
        store.execute("UPDATE alembic_version SET version_num = '0999'")
        store.commit()
    for opened in (lambda: NightLog.open(home), lambda: run_upgrade(home)):
        with pytest.raises(StoreRefused, match=r"revision 0999 .* a later release made it"):
            opened()


def run_upgrade(home: Path) -> None:
    said = run(home, "upgrade")
    raise StoreRefused(" ".join(said.output.split()))


@pytest.mark.parametrize("role", FILES)
def test_the_scripts_make_the_tables_that_the_programs_have(tmp_path: Path, role: str) -> None:
    engine = engine_of(f"sqlite:///{tmp_path / role}.db")
    with engine.begin() as connection:
        run_scripts(connection, role)
    whole = sa.MetaData()
    for metadata in METADATA[role]:
        for table in metadata.sorted_tables:
            table.to_metadata(whole)
    with engine.connect() as connection:
        ours = {"include_name": lambda name, kind, _: kind != "table" or name not in MARKS}
        context = MigrationContext.configure(connection, opts={**ours, "compare_type": False})
        assert compare_metadata(context, whole) == []
        keys = {
            name: sa.inspect(connection).get_pk_constraint(name)["constrained_columns"]
            for name in whole.tables
        }
    assert keys == {
        name: [column.name for column in table.primary_key.columns]
        for name, table in whole.tables.items()
    }
    engine.dispose()
    for metadata in METADATA[role]:
        Store(f"sqlite:///{tmp_path / role}.db", metadata).close()


MARKS = frozenset(BOOKKEEPING.tables)


def test_the_revision_is_the_head_of_the_scripts() -> None:
    assert ScriptDirectory(
        str(Path(__file__).parents[2] / "outlet_client/migrations")
    ).get_heads() == [REVISION]


def test_mailboxes_that_are_keys_of_customers_are_hashed_by_an_upgrade(home: Path) -> None:
    mailboxes = ("Anna.Meier@mail.example", "ben@mail.example")
    with closing(sqlite3.connect(home / "outlet.db")) as store:
        for number, mailbox in enumerate(mailboxes):
            store.execute(
                "INSERT INTO client_entries (typed, origin, customer, phone, former) "
                "VALUES (?, 'ledger', ?, 'k', 0)",
                (f"t{number}", mailbox),
            )
        store.execute("INSERT INTO client_persons VALUES (?, ?)", mailboxes)
        store.execute("INSERT INTO client_pairs VALUES (?, ?, 'phone')", mailboxes)
        decision = (
            "INSERT INTO client_decisions (one, other, same, by, at) VALUES (?, ?, 1, 'm', '')"
        )
        store.execute(decision, mailboxes)
        store.execute(
            "UPDATE allocation_lines SET customer = ?, also = ?", (mailboxes[0], '["b@x"]')
        )
        store.commit()
    with closing(sqlite3.connect(home / "rights.db")) as store:
        store.execute(
            "INSERT INTO corrections (event, customer, dated, changes, struck, alike, at, by) "
            "VALUES ('e', ?, '2026-01-01', '{}', 0, 0, '', 'm')",
            mailboxes[:1],
        )
        store.commit()
    assert run(home, "upgrade").exit_code == 0
    anna, ben = (stored_key(home, mailbox) for mailbox in mailboxes)
    query = "SELECT customer FROM client_entries WHERE phone = 'k' ORDER BY number"
    assert rows(home / "outlet.db", query) == [(anna,), (ben,)]
    assert rows(home / "outlet.db", "SELECT one, other FROM client_decisions") == [(anna, ben)]
    assert rows(home / "rights.db", "SELECT customer FROM corrections")[-1] == (anna,)
    for name in ("outlet.db", "rights.db"):
        data = b"".join(file.read_bytes() for file in home.glob(f"{name}*"))
        assert b"mail.example" not in data
        assert b"b@x" not in data
    with closing(People.open(home, Keyring(home, PartyKind.OUTLET).identity())) as people:
        people.record_consent("k", "n", "mei", dt.datetime.now(dt.UTC))
        assert set(people.customers_of("k")) == {anna, ben}
