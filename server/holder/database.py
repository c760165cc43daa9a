"""Stores of a holder: SQLite files, or one PostgreSQL database a role, under one law.

Invariant: opening a store makes nothing and changes nothing. What is opened is this role's, of this
very revision of its tables, and of this network; all else is refused with the command to run. Each
`begin()` is one transaction, serialised among all processes and durable when it ends: SQLite's
write lock, or an advisory lock of the role's own number on PostgreSQL, is taken when it begins.
Whoever only reads within `reading` waits for no writer, and sees what was last committed.

On SQLite deleted bytes are overwritten. PostgreSQL does not do that: a value that was deleted is
still in its write-ahead log. So what must die is in no store, but wrapped under a key in a file of
the folder (`vault`).
"""

from __future__ import annotations

from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import StaticPool

from server.holder.errors import StoreMissing, StoreOutdated, StoreRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

MEMORY = "sqlite://"
"""The URL of a store in memory, which makes its own tables: for tests."""

PRAGMAS = (
    "journal_mode=DELETE",
    "synchronous=FULL",
    "secure_delete=ON",
    "foreign_keys=ON",
    "cache_spill=OFF",  # a large transaction would shut readers out before it ends
)
WAIT_SECONDS = 30
_POSTGRES = "postgresql+psycopg"

_BOOKKEEPING = sa.MetaData()
STORE = sa.Table(
    "store",
    _BOOKKEEPING,
    sa.Column("role", sa.Text, primary_key=True),
    sa.Column("network", sa.LargeBinary),
)
"""One row: whose store it is, and the network's token key, once known."""

VERSION = sa.Table(
    "alembic_version",
    _BOOKKEEPING,
    sa.Column("version_num", sa.String(32), nullable=False),
    sa.PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
"""One row: the revision of the tables, as Alembic keeps it."""

BOOKKEEPING = frozenset(_BOOKKEEPING.tables)


def _nothing(_connection: sa.Connection) -> None:
    """Begins with empty tables."""


@dataclass(frozen=True, slots=True)
class StoreSchema:
    """What a store holds.

    Attributes:
        role: Whose it is, as its row says.
        tables: All of it.
        revision: Of the tables; the head of `migrations`.
        program: The command line that makes and upgrades it.
        migrations: Alembic's `script_location`.
        lock: The number of the role's advisory lock on PostgreSQL.
        begin: Makes what an empty store begins with, and what no table says, such as triggers.
        file: Its name in the role's folder, where it is SQLite.
    """

    role: str
    tables: sa.MetaData = field(repr=False)
    revision: str
    program: str
    migrations: str
    lock: int
    file: str
    begin: Callable[[sa.Connection], None] = field(default=_nothing, repr=False)

    def url(self, folder: Path, database: str = "") -> str:
        """The store's URL: of the settings, or of its file in a folder."""
        return database or f"sqlite:///{folder / self.file}"


def open_store(url: str, schema: StoreSchema, network: bytes | None = None) -> sa.Engine:
    """Opens a store that was made before; one in memory is made.

    Args:
        url: Such as `sqlite:///hq.db`, `postgresql+psycopg://...`, or `sqlite://` for memory.
        schema: What must be there.
        network: The network's token key, where the caller knows it.

    Raises:
        StoreMissing: If there is no store.
        StoreOutdated: If it is of an earlier release.
        StoreRefused: If it is of a later one, of another role or network, or none of ours.
    """
    engine = engine_of(url, schema)
    try:
        if url == MEMORY:
            with engine.begin() as connection:
                make_tables(connection, schema, network)
        else:
            check_store(engine, schema, network)
    except BaseException:
        engine.dispose()
        raise
    return engine


def create_store(url: str, schema: StoreSchema, network: bytes | None = None) -> None:
    """Makes a store where there is none.

    Args:
        url: Of a SQLite file that is not there yet, or of a PostgreSQL database without tables.
        schema: What it shall hold.
        network: The network's token key, where it is known.

    Raises:
        StoreRefused: If there is something already.
    """
    with closing_engine(url, schema) as engine:
        _touch(engine)
        with engine.begin() as connection:
            make_tables(connection, schema, network)


def is_missing(url: str, schema: StoreSchema) -> bool:
    """Whether there is no store.

    Raises:
        StoreRefused: If there is one that this role cannot use, but of an earlier release.
    """
    try:
        open_store(url, schema).dispose()
    except StoreMissing:
        return True
    except StoreOutdated:
        return False
    return False


def create_stores(folder: Path, stores: Iterable[StoreSchema]) -> None:
    """Makes a role's stores as files of a new folder."""
    for schema in stores:
        create_store(schema.url(folder), schema)


def make_tables(
    connection: sa.Connection, schema: StoreSchema, network: bytes | None = None
) -> None:
    """Makes a store's tables in an empty database, within a transaction.

    Raises:
        StoreRefused: If the database has tables.
    """
    if found := sa.inspect(connection).get_table_names():
        raise StoreRefused(
            f"{place_of(connection.engine)}: got a database with tables "
            f"({', '.join(sorted(found)[:3])}), expected an empty one to make the store of "
            f"{schema.role} in"
        )
    schema.tables.create_all(connection)
    _BOOKKEEPING.create_all(connection)
    connection.execute(STORE.insert().values(role=schema.role, network=network))
    connection.execute(VERSION.insert().values(version_num=schema.revision))
    schema.begin(connection)


def check_store(engine: sa.Engine, schema: StoreSchema, network: bytes | None = None) -> None:
    """Refuses what is not this role's store, as it is now and of this network; see `open_store`."""
    place = place_of(engine)
    with _reachable(engine, schema), reading(engine) as connection:
        names = frozenset(sa.inspect(connection).get_table_names())
        if not names:
            raise _missing(place, schema)
        if not names >= BOOKKEEPING:
            if not names & set(schema.tables.tables):
                raise StoreRefused(
                    f"{place}: got a database that is none of ours ({', '.join(sorted(names)[:3])})"
                    f", expected the store of {schema.role}; name the right one"
                )
            raise StoreOutdated(place, "none", schema.revision, schema.program)
        row = connection.execute(sa.select(STORE)).one_or_none()
        revision = connection.scalar(sa.select(VERSION.c.version_num)) or ""
    if row is None or row.role != schema.role:
        whose = "nobody" if row is None else row.role
        raise StoreRefused(
            f"{place}: got the store of {whose}, expected that of {schema.role}; each has a "
            "database of its own: correct --home or `database`"
        )
    if network and row.network and bytes(row.network) != network:
        raise StoreRefused(
            f"{place}: got the store of network {bytes(row.network).hex()[:16]}, expected "
            f"{network.hex()[:16]}, that of this folder's cards; bring back the folder and the "
            "store of one network"
        )
    if revision > schema.revision:
        raise StoreRefused(
            f"{place}: got revision {revision} of the tables, expected {schema.revision}: a later "
            f"release made it. Install that release, or bring back the copy that `{schema.program} "
            "upgrade` made before it"
        )
    if revision != schema.revision:
        raise StoreOutdated(place, revision, schema.revision, schema.program)


def keep_network(connection: sa.Connection, network: bytes | None) -> None:
    """Notes whose token key a store goes on with; None when another is begun."""
    connection.execute(STORE.update().values(network=network))


@contextmanager
def reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Reads what was committed last, as of one moment; waits for no writer.

    Not even for one of the same thread, whose transaction it may stand within.
    """
    options: dict[str, object] = {"reads": True}
    if engine.dialect.name == "postgresql":
        options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    with engine.connect() as connection:
        yield connection.execution_options(**options)


def engine_of(url: str, schema: StoreSchema) -> sa.Engine:
    """An engine of a store's dialect; nothing is looked at yet.

    Raises:
        StoreRefused: If it is no URL of SQLite or PostgreSQL.
    """
    kind = url.partition("://")[0] if "://" in url else "no URL"
    expected = f"expected `sqlite:///...` or `{_POSTGRES}://...`"
    try:
        parsed = sa.make_url(url)
    except (ArgumentError, ValueError) as error:  # its message may show a password
        raise StoreRefused(f"database: got {kind} that cannot be read, {expected}") from error
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed)
    if parsed.get_backend_name() == "postgresql":
        return _postgres(parsed.set(drivername=_POSTGRES), schema.lock)
    raise StoreRefused(f"database: got {kind}, {expected}")


@contextmanager
def closing_engine(url: str, schema: StoreSchema) -> Iterator[sa.Engine]:
    """An engine, closed at the end."""
    engine = engine_of(url, schema)
    try:
        yield engine
    finally:
        engine.dispose()


def place_of(engine: sa.Engine) -> str:
    """What an error says of where a store is: the file, or the URL without its password."""
    return shown(engine.url.render_as_string(hide_password=False))


def shown(url: str) -> str:
    """A store's URL as it may be printed: a file's name, or the URL without its password."""
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "sqlite" and parsed.database:
        return parsed.database
    return parsed.render_as_string(hide_password=True)


def file_of(engine: sa.Engine) -> Path | None:
    """A SQLite store's file; None of PostgreSQL, and of a store in memory."""
    name = engine.url.database
    return Path(name) if engine.dialect.name == "sqlite" and name else None


def copy_store(
    source: sa.Engine, url: str, schema: StoreSchema, leave: Collection[str] = ()
) -> None:
    """Copies a store row by row into an empty database of whichever dialect, whole or not at all.

    Args:
        source: The store.
        url: Where to.
        schema: What it holds.
        leave: Tables whose rows are left out.

    Raises:
        StoreRefused: If there is something already.
    """
    with closing_engine(url, schema) as target:
        _touch(target)
        with reading(source) as old, target.begin() as new:
            make_tables(new, schema, old.scalar(sa.select(STORE.c.network)))
            copy_rows(old, new, schema, leave)


def _touch(engine: sa.Engine) -> None:
    """Lets a SQLite file be its owner's only."""
    file = file_of(engine)
    if file is not None:
        file.touch(mode=0o600)


def copy_rows(
    old: sa.Connection, new: sa.Connection, schema: StoreSchema, leave: Collection[str]
) -> None:
    """Copies the rows of a store's tables in place of those that are there."""
    for table in schema.tables.sorted_tables:
        if table.name in leave:
            continue
        if new.scalar(sa.select(sa.func.count()).select_from(table)):
            new.execute(table.delete())
        rows = old.execute(sa.select(table).order_by(*table.primary_key.columns))
        for some in rows.mappings().partitions(_ROWS):
            new.execute(table.insert(), [dict(row) for row in some])
        if new.dialect.name == "postgresql":
            _continue_numbers(new, table)


_ROWS = 1_000


def _continue_numbers(connection: sa.Connection, table: sa.Table) -> None:
    """Lets a table's own numbers go on after those that were copied."""
    column = table.autoincrement_column
    if column is None:
        return
    last = sa.select(sa.func.coalesce(sa.func.max(column), 0) + 1).scalar_subquery()
    sequence = sa.func.pg_get_serial_sequence(table.name, column.name)
    connection.execute(sa.select(sa.func.setval(sequence, last, False)))  # noqa: FBT003  (SQL's)


def _missing(place: str, schema: StoreSchema) -> StoreMissing:
    return StoreMissing(
        f"{place}: no store there, expected that of {schema.role}; bring the whole folder back "
        "from a backup, never a database alone, or name the right place. "
        f"`{schema.program} init` makes one with new keys; where it is lost for good, "
        f"`{schema.program} new-store` makes an empty one"
    )


@contextmanager
def _reachable(engine: sa.Engine, schema: StoreSchema) -> Iterator[None]:
    """Refuses a file that is not there, or is no database, and a server that gives no answer."""
    file, place = file_of(engine), place_of(engine)
    if file is not None and (not file.exists() or not file.stat().st_size):
        raise _missing(place, schema)
    try:
        yield
    except sa.exc.OperationalError as error:
        if file is not None:
            raise
        said = str(error.orig).strip().partition("\n")[0]
        raise StoreRefused(f"{place}: no answer ({said}); is the server there?") from error
    except sa.exc.DatabaseError as error:
        if file is None:
            raise
        raise StoreRefused(
            f"{place}: {error.orig}, expected the store of {schema.role}; bring it back from a "
            "backup"
        ) from error


def _sqlite(url: sa.URL) -> sa.Engine:
    in_memory = not url.database
    engine = sa.create_engine(
        url,
        poolclass=StaticPool if in_memory else None,
        connect_args={"check_same_thread": False} if in_memory else {"timeout": WAIT_SECONDS},
        hide_parameters=True,
    )
    sa.event.listen(engine, "connect", _durable)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _begin_sqlite(connection: sa.Connection) -> None:
    reads = connection.get_execution_options().get("reads")
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _durable(connection: object, _record: object) -> None:
    connection.isolation_level = None  # type: ignore[attr-defined]  # transactions begun by us
    for pragma in PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")  # type: ignore[attr-defined]  # the driver's


def _postgres(url: sa.URL, lock: int) -> sa.Engine:
    engine = sa.create_engine(
        url,
        isolation_level="READ COMMITTED",  # each statement after the lock sees who had it before
        pool_pre_ping=True,
        connect_args={"connect_timeout": 10},
        hide_parameters=True,
    )

    def begin(connection: sa.Connection) -> None:
        if not connection.get_execution_options().get("reads"):
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({lock})")

    sa.event.listen(engine, "connect", _durable_session)
    sa.event.listen(engine, "begin", begin)
    return engine


def _durable_session(connection: object, _record: object) -> None:
    """Has a session wait for its turn as long as on SQLite, and lose nothing that it committed."""
    with closing(connection.cursor()) as cursor:  # type: ignore[attr-defined]  # the driver's
        cursor.execute(f"SET lock_timeout = '{WAIT_SECONDS}s'")
        cursor.execute("SET client_min_messages = warning")
        cursor.execute(
            "SELECT set_config('synchronous_commit', 'on', false) "
            "WHERE current_setting('synchronous_commit') = 'off'"
        )
    connection.commit()  # type: ignore[attr-defined]  # the driver's
