"""Stores of earlier releases are upgraded and used; what is no store of ours is refused."""

from __future__ import annotations

import datetime as dt
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from typer.testing import CliRunner

from privacy.identity import PartyKind
from privacy.keyring import Keyring
from server.holder.database import (
    BOOKKEEPING,
    STORE,
    VERSION,
    StoreSchema,
    closing_engine,
    create_store,
    create_stores,
    open_store,
    reading,
)
from server.holder.errors import StoreMissing, StoreOutdated, StoreRefused
from server.holder.locks import SERVE_LOCK, locked
from server.holder.meter import Meter
from server.holder.migrating import run_scripts
from server.holder.vault import KeyFile
from server.hq import main as hq_main
from server.hq.errors import RegistryOutdated
from server.hq.registry import Registry
from server.hq.store import HqStore
from server.hq.tables import HQ, HQ_METER
from server.hq.tables import STORES as HQ_STORES
from server.office import main as office_main
from server.office.ledger_store import OfficeStore
from server.office.notary import Notary
from server.office.publications import Publications
from server.office.relay import Relay
from server.office.settings import OfficeSettings
from server.office.tables import OFFICE, OFFICE_METER, RELAY
from server.office.tables import STORES as OFFICE_STORES
from tests.builders import Bench
from tests.server.conftest import PostgresServer, postgres_server

if TYPE_CHECKING:
    from click.testing import Result

DUMPS = Path(__file__).parent
OFFICE_FILES = {
    "0.1": ("office", "meter", "relay", "notary"),
    "0.2": ("office", "meter", "relay", "notary", "publications"),
}
_ = postgres_server


def loaded(release: str, role: str, folder: Path) -> None:
    """Puts a release's dumps of a role's stores into a folder."""
    for dump in sorted((DUMPS / release).glob(f"{role}-*.sql")):
        with closing(sqlite3.connect(folder / f"{dump.stem.partition('-')[2]}.db")) as store:
            store.executescript(dump.read_text())


def ring_in(folder: Path, kind: PartyKind) -> Keyring:
    ring = Keyring(folder, kind)
    ring.create("hq" if kind is PartyKind.HQ else "dpo", "h:1", dt.datetime.now(dt.UTC), "h:2")
    return ring


def run(app: object, folder: Path, *words: str) -> Result:
    return CliRunner().invoke(app, [*words, "--home", str(folder)])  # type: ignore[arg-type]


def rows(place: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(place)) as store:
        return store.execute(query).fetchall()


# --- the office ----------------------------------------------------------------------------------


@pytest.mark.parametrize("release", ["0.1", "0.2"])
def test_an_offices_folder_of_an_earlier_release_is_upgraded_and_used(
    tmp_path: Path, release: str
) -> None:
    home = tmp_path / "office"
    ring = ring_in(home, PartyKind.OFFICE)
    loaded(release, "office", home)
    (home / "office.toml").write_text("[promise]\nminimum_outlets = 3\nevent_noise = 0.3 # gone\n")
    entries = rows(home / "office.db", "SELECT * FROM ledger ORDER BY sequence")
    heads = rows(home / "notary.db", "SELECT * FROM last_statements ORDER BY outlet")
    given = rows(home / "meter.db", "SELECT * FROM evaluations ORDER BY day, outlet")
    assert len(entries) > 10
    assert len(heads) == 3
    refused = run(office_main.app, home, "ledger", "show")
    assert refused.exit_code != 0

    said = run(office_main.app, home, "upgrade")
    assert said.exit_code == 0, said.output
    for word in (
        f"before-{OFFICE.revision}",
        "took out promise.event_noise",
        "office.db: from revision none",
    ):
        assert word in said.output
    assert rows(home / "office.db", "SELECT * FROM ledger ORDER BY sequence") == entries
    assert rows(home / "office.db", "SELECT * FROM last_statements ORDER BY outlet") == heads
    assert rows(home / "meter.db", "SELECT * FROM evaluations ORDER BY day, outlet") == given
    assert not list(home.glob("notary.db*")) + list(home.glob("publications.db*"))
    assert rows(
        home / f"before-{OFFICE.revision}" / "office.db", "SELECT count(*) FROM ledger"
    ) == [(len(entries),)]
    assert (home / f"before-{OFFICE.revision}" / "office.toml").read_text().count(
        "event_noise"
    ) == 1
    assert (home / "office.toml").read_text() == "[promise]\nminimum_outlets = 3\n"

    refuses_changes(open_store(OFFICE.url(home), OFFICE))
    bench = Bench(url=OFFICE.url(home))  # verifies the whole ledger
    ledger = bench.store.ledger()
    assert ledger.length == len(entries)
    signed = bench.office.sign_release(bench.draft(bench.night("next")))
    envelopes = [bench.share(signed, name).envelope for name in "abc"]
    bench.office.unlock(signed.digest, envelopes)
    bench.office.close_night("next")
    assert bench.store.ledger().length == len(entries) + 3
    signing = ring.identity().signing
    with closing(Notary(OFFICE.url(home), signing)) as notary:
        assert len(notary.last()) == 3
    with closing(Publications(OFFICE.url(home), signing, 0)) as publications:
        slots = publications.last_directory().slots
        assert (slots > 0) == (release == "0.2")
    with closing(Meter(OFFICE_METER.url(home), OFFICE_METER)) as meter:
        assert meter.alerts(0) == []
    relay = Relay(RELAY.url(home), 1, 2, 0, lambda: 0.0, lambda: 0)
    assert relay.open_batch("a").batch >= 1
    relay.close()

    before = {file: file.read_bytes() for file in home.iterdir() if file.is_file()}
    again = run(office_main.app, home, "upgrade")
    assert "of this release already" in again.output
    assert {file: file.read_bytes() for file in home.iterdir() if file.is_file()} == before


_LAST = "WHERE sequence = (SELECT max(sequence) FROM ledger)"


def refuses_changes(engine: sa.Engine) -> None:
    """Tries to change a ledger in each way."""
    copied = "SELECT sequence + 5, at, act, night, release, purpose, rho, noiseless, previous"
    for statement in (
        "UPDATE ledger SET rho = '0/1'",
        "DELETE FROM ledger",
        f"INSERT INTO ledger {copied}, digest || 'x' FROM ledger {_LAST}",
    ):
        with pytest.raises(sa.exc.DatabaseError, match="append-only"), engine.begin() as writer:
            writer.exec_driver_sql(statement)
    engine.dispose()


def test_an_upgrade_that_was_killed_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "office"
    ring_in(home, PartyKind.OFFICE)
    loaded("0.2", "office", home)
    entries = rows(home / "office.db", "SELECT * FROM ledger ORDER BY sequence")
    heads = rows(home / "notary.db", "SELECT * FROM last_statements ORDER BY outlet")

    def die(*_given: object, **_named: object) -> None:
        raise KeyboardInterrupt

    for where in (
        "server.holder.upgrading._copy", "server.holder.upgrading.upgrade_tables",
        "server.office.upgrade.copy_rows",
        "server.holder.migrating._check_role", "pathlib.Path.unlink",
    ):  # fmt: skip
        with monkeypatch.context() as patched:
            patched.setattr(where, die)
            killed = run(office_main.app, home, "upgrade")
            assert killed.exit_code != 0, where
    said = run(office_main.app, home, "upgrade")
    assert said.exit_code == 0, said.output
    assert rows(home / "office.db", "SELECT * FROM ledger ORDER BY sequence") == entries
    assert rows(home / "office.db", "SELECT * FROM last_statements ORDER BY outlet") == heads
    assert not list(home.glob("notary.db*"))


def test_nothing_is_upgraded_while_a_release_is_open_or_the_office_serves(tmp_path: Path) -> None:
    home = tmp_path / "office"
    ring_in(home, PartyKind.OFFICE)
    loaded("0.2", "office", home)
    far = 2**40
    with closing(sqlite3.connect(home / "office.db")) as store:
        last = "(SELECT max(number) FROM releases WHERE purpose <> 'points')"
        store.execute(f"UPDATE releases SET key = x'01', expires = {far} WHERE number = {last}")  # noqa: S608  (numbers)
        store.commit()
    before = {file: file.read_bytes() for file in home.glob("*.db")}
    said = run(office_main.app, home, "upgrade")
    assert said.exit_code == 1
    assert "is open, expected none" in said.output.replace("\n", " ")
    with locked(home / SERVE_LOCK) as held:
        assert held
        said = run(office_main.app, home, "upgrade")
    assert (said.exit_code, "stop it" in said.output.replace("\n", " ")) == (1, True)
    assert {file: file.read_bytes() for file in home.glob("*.db")} == before


def test_a_retired_setting_that_only_a_person_can_take_out_is_named(tmp_path: Path) -> None:
    home = tmp_path / "office"
    ring_in(home, PartyKind.OFFICE)
    create_stores(home, OFFICE_STORES)
    text = "promise = { minimum_outlets = 4, event_noise = 0.3 }\n"
    (home / "office.toml").write_text(text)
    said = run(office_main.app, home, "upgrade")
    assert said.exit_code == 2
    assert "`promise.event_noise`" in said.output.replace("\n", " ")
    assert (home / "office.toml").read_text() == text


# --- HQ ------------------------------------------------------------------------------------------


def test_hqs_folder_of_the_release_before_is_upgraded_and_used(tmp_path: Path) -> None:
    home = tmp_path / "hq"
    ring_in(home, PartyKind.HQ)
    loaded("0.2", "hq", home)
    slots = rows(home / "hq.db", "SELECT slot, key, home_tag FROM slot_keys ORDER BY slot")
    hash_keys = rows(home / "hq.db", "SELECT hash_key FROM burial_key ORDER BY rowid")
    (network,) = rows(home / "hq.db", "SELECT network FROM registry")[0]
    (book,) = rows(home / "hq.db", "SELECT encoded FROM books")[0]
    assert len(slots) > 50
    with pytest.raises(StoreOutdated, match="escapement-hq upgrade"):
        Registry(HQ.url(home))
    said = run(hq_main.app, home, "upgrade")
    assert said.exit_code == 0, said.output
    with closing(Registry(HQ.url(home))) as registry, closing(HqStore.of(home, "")) as store:
        assert registry.directory().slots == len(slots)
        assert registry.latest_book() == book
        assert registry.network() == network
        assert len(store.models(("y_loyal", "y_flipped"))) == 2
        assert store.standing_seal() is not None
    assert rows(home / "hq.db", "SELECT hash_key FROM burial_key ORDER BY number") == hash_keys
    assert rows(home / "hq.db", "SELECT role, network FROM store") == [("hq", network)]
    for name in ("registrations", "burials"):
        with pytest.raises(sqlite3.OperationalError, match="rowid"):
            rows(home / "hq.db", f"SELECT rowid FROM {name}")  # noqa: S608  (a constant)
    with pytest.raises(StoreRefused, match=r"got the store of network .*, expected 0101"):
        open_store(HQ.url(home), HQ, b"\1" * 32)


def test_no_registry_of_release_0_1_is_carried_over(tmp_path: Path) -> None:
    home = tmp_path / "hq"
    ring_in(home, PartyKind.HQ)
    loaded("0.1", "hq", home)
    said = run(hq_main.app, home, "upgrade")
    assert said.exit_code == 2
    assert "escapement-hq tokens renew" in said.output.replace("\n", " ")
    with pytest.raises(RegistryOutdated):
        HqStore.of(home, "")
    assert run(hq_main.app, home, "tokens", "renew", "--yes").exit_code == 0
    said = run(hq_main.app, home, "upgrade")  # its meter is of 0.1 still
    assert said.exit_code == 0, said.output
    HqStore.of(home, "").close()
    Meter(HQ_METER.url(home), HQ_METER).close()


# --- what is refused -----------------------------------------------------------------------------


def test_opening_makes_nothing_and_says_what_to_do(tmp_path: Path) -> None:
    place = tmp_path / "office.db"
    url = f"sqlite:///{place}"
    for schema, command in ((OFFICE, "escapement-office init"), (HQ, "escapement-hq init")):
        with pytest.raises(StoreMissing, match=f"{place}: no store there.*`{command}`"):
            open_store(url, schema)
    assert not place.exists()
    place.touch()
    with pytest.raises(StoreMissing):
        open_store(url, OFFICE)
    place.write_text("this is no database, it is a text of more than a hundred bytes" * 20)
    with pytest.raises(StoreRefused, match=f"{place}: file is not a database, expected"):
        open_store(url, OFFICE)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'a.db'}"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.url_of(server.made())


def test_another_roles_a_later_and_an_unknown_store_are_refused(empty: str) -> None:
    with pytest.raises(StoreMissing):
        open_store(empty, OFFICE)
    create_store(empty, HQ, b"n" * 32)
    open_store(empty, HQ, b"n" * 32).dispose()
    open_store(empty, HQ).dispose()
    with pytest.raises(StoreRefused, match="got the store of hq, expected that of office"):
        open_store(empty, OFFICE)
    with pytest.raises(StoreRefused, match=r"got the store of network 6e6e.*expected 7878"):
        open_store(empty, HQ, b"x" * 32)
    with pytest.raises(StoreRefused, match="a database with tables"):
        create_store(empty, HQ)
    with closing_engine(empty, HQ) as engine, engine.begin() as connection:
        connection.execute(VERSION.update().values(version_num="0999"))
    with pytest.raises(StoreRefused, match=r"revision 0999 .* a later release made it"):
        open_store(empty, HQ)
    with closing_engine(empty, HQ) as engine, engine.begin() as connection:
        connection.execute(VERSION.update().values(version_num="0000"))
    with pytest.raises(StoreOutdated, match="Run `escapement-hq upgrade`"):
        open_store(empty, HQ)
    with closing_engine(empty, HQ) as engine, engine.begin() as connection:
        HQ.tables.drop_all(connection)
        connection.exec_driver_sql("DROP TABLE store")
    with pytest.raises(StoreRefused, match="none of ours"):
        open_store(empty, HQ)


def test_one_writes_at_a_time_and_who_reads_waits_for_nobody(empty: str) -> None:
    create_store(empty, HQ)
    one, two = open_store(empty, HQ), open_store(empty, HQ)
    began = threading.Event()

    def write() -> None:
        with two.begin() as other:
            began.set()
            assert other.scalar(sa.select(HQ.tables.tables["registry"].c.last_batch)) == 7

    with ThreadPoolExecutor(1) as beside:
        with one.begin() as writer:
            writer.execute(HQ.tables.tables["registry"].update().values(last_batch=7))
            done = beside.submit(write)
            assert not began.wait(0.3)
            with reading(two) as reader:
                assert reader.scalar(sa.select(HQ.tables.tables["registry"].c.last_batch)) == 0
        done.result(timeout=20)
    one.dispose()
    two.dispose()


def test_no_error_shows_a_password() -> None:
    for url in (
        "postgresql+psycopg://hq:s3cret@127.0.0.1:1/hq", "mysql://hq:s3cret@h/hq", "hq:s3cret@h",
        "postgresql://hq:s3cret@h:port/hq",
    ):  # fmt: skip
        with pytest.raises(StoreRefused) as refused:
            open_store(url, HQ)
        assert "s3cret" not in str(refused.value)
        assert refused.value.__cause__ is None or "s3cret" not in str(refused.value.__cause__)


# --- the tables ----------------------------------------------------------------------------------

SCHEMAS = {schema.role: schema for schema in (*HQ_STORES, *OFFICE_STORES)}


@pytest.mark.parametrize("role", SCHEMAS)
def test_the_scripts_make_the_tables_that_the_program_has(empty: str, role: str) -> None:
    schema = SCHEMAS[role]
    if "sqlite" not in empty and schema not in (HQ, OFFICE):
        pytest.skip("a file always")
    with closing_engine(empty, schema) as engine:
        with engine.begin() as connection:
            run_scripts(connection, schema)
        with engine.connect() as connection:
            context = MigrationContext.configure(
                connection, opts={"include_name": _ours, "compare_type": True}
            )
            assert compare_metadata(context, schema.tables) == []
            assert connection.scalar(sa.select(STORE.c.role)) == schema.role
        if schema is OFFICE:
            with engine.begin() as connection:
                row = {"sequence": 0, "at": 1, "act": "a", "night": "n", "release": "", "rho": "0"}
                table = OFFICE.tables.tables["ledger"]
                connection.execute(
                    table.insert().values(**row, noiseless=False, previous="", digest="d")
                )
            refuses_changes(engine)
    open_store(empty, schema).dispose()


def _ours(name: str | None, kind: str, _parents: object) -> bool:
    return kind != "table" or name not in BOOKKEEPING


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=list(SCHEMAS))
def test_the_revision_is_the_head_of_the_scripts(schema: StoreSchema) -> None:
    package, _, folder = schema.migrations.partition(":")
    scripts = ScriptDirectory(str(DUMPS.parents[1] / package.replace(".", "/") / folder))
    assert scripts.get_heads() == [schema.revision]


# --- PostgreSQL ----------------------------------------------------------------------------------


def test_a_role_that_may_not_alter_the_ledger_can_still_run_the_office(
    postgres_server: PostgresServer,
) -> None:
    text = (DUMPS.parents[1] / "docs/privacy-officer.md").read_text()
    script = text.partition("```sql\n")[2].partition("```")[0]
    assert "escapement_office" in script
    name = postgres_server.made(OFFICE)
    owner = sa.create_engine(postgres_server.url_of(name), isolation_level="AUTOCOMMIT")
    with owner.connect() as connection:
        for statement in script.replace("'a password'", "'p'").split(";\n"):
            if statement.strip():
                connection.exec_driver_sql(statement)
    owner.dispose()
    url = sa.make_url(postgres_server.url_of(name)).set(username="escapement_office", password="p")  # noqa: S106  (of a server that the test starts)
    program = url.render_as_string(hide_password=False)
    store = OfficeStore(program, OfficeSettings().policy(), KeyFile())
    bench = Bench()
    bench.store = store
    bench.office = replace(bench.office, store=store)
    signed = bench.office.sign_release(bench.draft(bench.night()))
    bench.office.unlock(signed.digest, [bench.share(signed, one).envelope for one in "abc"])
    assert store.ledger().length >= 2
    engine = sa.create_engine(program)
    for statement in (
        "ALTER TABLE ledger DISABLE TRIGGER ALL", "DROP TRIGGER ledger_no_update ON ledger",
        "UPDATE ledger SET rho = '0/1'", "DELETE FROM ledger", "TRUNCATE ledger",
        "DROP TABLE ledger", "SET session_replication_role = replica",
        "UPDATE store SET role = 'hq'", "DELETE FROM alembic_version",
    ):  # fmt: skip
        with pytest.raises(sa.exc.DatabaseError), engine.begin() as connection:
            connection.exec_driver_sql(statement)
    engine.dispose()
    store.close()
    postgres_server.drop(name)
