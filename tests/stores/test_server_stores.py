"""Stores on PostgreSQL by the command line: moved there, and upgraded there. A real server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from privacy.identity import PartyKind
from server.holder.database import (
    VERSION,
    StoreSchema,
    closing_engine,
    create_stores,
    open_store,
    reading,
)
from server.holder.migrating import run_scripts
from server.hq import main as hq_main
from server.hq.tables import HQ
from server.office import main as office_main
from server.office.tables import OFFICE
from server.office.tables import STORES as OFFICE_STORES
from tests.postgres import PASSWORD
from tests.server.conftest import PostgresServer, postgres_server
from tests.stores.test_upgrades import loaded, refuses_changes, ring_in, run

if TYPE_CHECKING:
    from pathlib import Path

_ = postgres_server
SERVED = {
    "hq": (HQ, hq_main.app, PartyKind.HQ),
    "office": (OFFICE, office_main.app, PartyKind.OFFICE),
}


def table_rows(url: str, schema: StoreSchema) -> dict[str, list[tuple[object, ...]]]:
    """All rows, whatever the engine."""
    with closing_engine(url, schema) as engine, reading(engine) as connection:
        return {
            table.name: [
                tuple(row)
                for row in connection.execute(sa.select(table).order_by(*table.primary_key.columns))
            ]
            for table in schema.tables.sorted_tables
        }


@pytest.mark.parametrize("role", SERVED)
def test_a_store_of_the_release_before_moves_to_a_server_with_all_its_rows(
    tmp_path: Path, postgres_server: PostgresServer, role: str
) -> None:
    """In the steps that a person takes: upgraded as a file, then named as a database."""
    schema, app, kind = SERVED[role]
    home, url = tmp_path / role, postgres_server.url_of(postgres_server.made())
    ring_in(home, kind)
    loaded("0.2", role, home)
    assert run(app, home, "upgrade").exit_code == 0
    before = table_rows(schema.url(home), schema)
    assert sum(map(len, before.values())) > 20
    (home / f"{role}.toml").write_text(f'database = "{url}"\n')

    said = run(app, home, "upgrade")
    assert said.exit_code == 0, said.output
    assert "moved to" in said.output
    assert PASSWORD not in said.output
    assert not (home / schema.file).exists()
    assert table_rows(url, schema) == before
    assert "of this release already" in run(app, home, "upgrade").output
    if schema is OFFICE:
        refuses_changes(open_store(url, OFFICE))


@pytest.mark.parametrize("role", SERVED)
def test_a_store_of_the_release_before_moves_in_the_same_step_as_it_is_upgraded(
    tmp_path: Path, postgres_server: PostgresServer, role: str
) -> None:
    schema, app, kind = SERVED[role]
    home, url = tmp_path / role, postgres_server.url_of(postgres_server.made())
    ring_in(home, kind)
    loaded("0.2", role, home)
    (home / f"{role}.toml").write_text(f'database = "{url}"\n')
    said = run(app, home, "upgrade")
    assert said.exit_code == 0, said.output
    assert not (home / schema.file).exists()
    assert (home / f"before-{schema.revision}" / schema.file).exists()
    found = table_rows(url, schema)
    assert len(found["ledger" if schema is OFFICE else "slot_keys"]) > 10
    open_store(url, schema).dispose()


@pytest.mark.parametrize("role", SERVED)
def test_a_store_of_the_first_revision_is_upgraded_on_the_server(
    tmp_path: Path, postgres_server: PostgresServer, role: str
) -> None:
    schema, app, kind = SERVED[role]
    home, url = tmp_path / role, postgres_server.url_of(postgres_server.made())
    ring_in(home, kind)
    if schema is OFFICE:
        create_stores(home, OFFICE_STORES[1:])
    with closing_engine(url, schema) as engine, engine.begin() as connection:
        run_scripts(connection, schema, "0001")
        if schema is OFFICE:
            row = {"sequence": 0, "at": 1, "act": "a", "night": "n", "release": "", "rho": "0"}
            table = OFFICE.tables.tables["ledger"]
            made = table.insert().values(**row, noiseless=False, previous="", digest="d")
            connection.execute(made)
    (home / f"{role}.toml").write_text(f'database = "{url}"\n')
    said = run(app, home, "upgrade")
    assert said.exit_code == 0, said.output
    assert PASSWORD not in said.output
    assert (home / f"before-{schema.revision}" / schema.file).exists()
    with closing_engine(url, schema) as engine, reading(engine) as connection:
        assert connection.scalar(sa.select(VERSION.c.version_num)) == schema.revision
    store = open_store(url, schema)
    if schema is OFFICE:
        assert len(table_rows(url, OFFICE)["ledger"]) == 1
        refuses_changes(store)
    store.dispose()
