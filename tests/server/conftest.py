"""Server tests on either engine: `both_engines` has a test run on SQLite and on PostgreSQL.

On PostgreSQL each store that a test opens, in memory or in a file, is a database of its own on one
real server, copied from a template that has the tables.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from server.holder import database
from server.holder.database import MEMORY, create_store
from server.hq.tables import BURIAL_KEY, HQ
from server.office.tables import OFFICE, PUBLISHED_STATE
from tests.postgres import postgres

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server.holder.database import StoreSchema

SQLITE, POSTGRES = "sqlite", "postgresql"
_ROLES = (HQ.role, OFFICE.role)


@dataclass
class PostgresServer:
    """A server, and a template database for each role.

    Attributes:
        url: Of its first database.
        numbers: Of databases.
    """

    url: str
    numbers: Iterator[int] = field(default_factory=count)

    def __post_init__(self) -> None:
        self._admin = sa.create_engine(self.url, isolation_level="AUTOCOMMIT")
        for schema in (HQ, OFFICE):
            self._run(f"CREATE DATABASE template_{schema.role}")
            create_store(self.url_of(f"template_{schema.role}"), schema)

    def url_of(self, name: str) -> str:
        """The URL of a database."""
        return sa.make_url(self.url).set(database=name).render_as_string(hide_password=False)

    def made(self, schema: StoreSchema | None = None) -> str:
        """A new database: with a role's tables, or empty."""
        name = f"store_{next(self.numbers)}"
        template = "template0" if schema is None else f"template_{schema.role}"
        self._run(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def drop(self, name: str) -> None:
        """Drops a database."""
        self._run(f"DROP DATABASE {name} WITH (FORCE)")

    def checkpoint(self) -> None:
        """Writes all pages to their files."""
        self._run("CHECKPOINT")

    def close(self) -> None:
        """Closes the connection."""
        self._admin.dispose()

    def _run(self, statement: str) -> None:
        with self._admin.connect() as connection:
            connection.exec_driver_sql(statement)


@dataclass
class PostgresStores:
    """The databases of one test, by the SQLite URLs that it opens."""

    server: PostgresServer
    names: dict[str, str] = field(default_factory=dict)
    engines: list[sa.Engine] = field(default_factory=list)

    def engine_of(self, url: str, schema: StoreSchema) -> sa.Engine:
        """What `database.engine_of` gives, on the server."""
        if schema.role not in _ROLES or not url.startswith("sqlite"):
            return _engine_of(url, schema)
        if url == MEMORY:
            name = self.server.made(schema)
            self.names[name] = name
        else:
            name = self.names.setdefault(url, "") or self.server.made()
            self.names[url] = name
        engine = _engine_of(self.server.url_of(name), schema)
        self.engines.append(engine)
        return engine

    def close(self) -> None:
        """Drops all of them."""
        for engine in self.engines:
            engine.dispose()
        for name in self.names.values():
            self.server.drop(name)


_engine_of = database.engine_of
_make_tables = database.make_tables


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One server for all tests of a worker."""
    with postgres() as url:
        server = PostgresServer(url)
        yield server
        server.close()


@pytest.fixture(params=[SQLITE, POSTGRES])
def both_engines(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Has HQ's and the office's stores be on one engine, then on the other; says on which."""
    if request.param == SQLITE:
        yield SQLITE
        return
    if request.node.get_closest_marker("sqlite_only"):
        pytest.skip("of SQLite only")
    stores = PostgresStores(request.getfixturevalue("postgres_server"))

    def make_tables(connection: sa.Connection, schema: StoreSchema, network: bytes | None) -> None:
        if not sa.inspect(connection).has_table(database.STORE.name):
            _make_tables(connection, schema, network)
            return
        fresh = secrets.token_bytes(32)  # a template's own is everybody's
        table = BURIAL_KEY if schema.role == HQ.role else PUBLISHED_STATE
        connection.execute(table.update().values(hash_key=fresh))

    monkeypatch.setattr(database, "engine_of", stores.engine_of)
    monkeypatch.setattr(database, "make_tables", make_tables)
    yield POSTGRES
    stores.close()
