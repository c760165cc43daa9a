"""Migrations of a holder's stores, by Alembic's scripts inside the packages.

Invariant: a store goes from one revision to the next whole or not at all. Ledger and relay are
never altered by copying a table (Alembic's batch mode): that would lose triggers, and `WITHOUT
ROWID`.

Only `upgrade` imports this: opening a store needs no Alembic.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import sqlalchemy as sa
from alembic import command, context
from alembic.config import Config

from server.holder.database import BOOKKEEPING, STORE, VERSION, place_of
from server.holder.errors import StoreRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from server.holder.database import StoreSchema


def upgrade_tables(
    engine: sa.Engine,
    schema: StoreSchema,
    say: Callable[[str], None],
    then: Callable[[sa.Connection, str], None] = lambda _connection, _before: None,
) -> bool:
    """Brings a store to this release's tables, in one transaction.

    Args:
        engine: Of the store.
        schema: What it shall hold.
        say: Is told what is done.
        then: Does what no script can, within the transaction; given the revision before.

    Returns:
        Whether anything had to be done.

    Raises:
        StoreRefused: If it is another role's, or of a later release.
    """
    with engine.begin() as connection:
        before = revision_of(connection, schema, place_of(engine))
        if before == schema.revision:
            return False
        say(f"{place_of(engine)}: from revision {before or 'none'} to {schema.revision}")
        run_scripts(connection, schema)
        then(connection, before)
        _check_role(connection, schema, place_of(engine))
    return True


def revision_of(connection: sa.Connection, schema: StoreSchema, place: str) -> str:
    """The revision of a store's tables; "" of one from before stores had any.

    Raises:
        StoreRefused: If it is another role's, or of a later release.
    """
    there = set(sa.inspect(connection).get_table_names())
    if not there >= BOOKKEEPING:
        if not there & set(schema.tables.tables):
            raise StoreRefused(
                f"{place}: got a database without a table of ours, expected the store of "
                f"{schema.role}; name the right one"
            )
        return ""
    _check_role(connection, schema, place)
    found = connection.scalar(sa.select(VERSION.c.version_num)) or ""
    if found > schema.revision:
        raise StoreRefused(
            f"{place}: got revision {found} of the tables, expected at most {schema.revision}; "
            "install the release that made it"
        )
    return found


def run_scripts(connection: sa.Connection, schema: StoreSchema, target: str = "head") -> None:
    """Runs a role's scripts on one of its stores, up to a revision."""
    config = Config()
    config.set_main_option("script_location", schema.migrations)
    config.attributes["connection"], config.attributes["schema"] = connection, schema
    for noisy in ("alembic.runtime.migration", "alembic.ddl.impl"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    command.upgrade(config, target)


def run_environment() -> None:
    """What each role's `migrations/env.py` does: runs its scripts on the store that was given."""
    attributes = context.config.attributes
    connection, schema = attributes["connection"], attributes["schema"]
    context.configure(connection=connection, target_metadata=schema.tables)
    context.run_migrations()


def adopt(connection: sa.Connection, schema: StoreSchema, tables: sa.MetaData) -> None:
    """Makes a database that has no revision one of the first: what a script 0001 does.

    Tables, columns and indexes that it lacks are added; what is there stays.

    Args:
        connection: To the database, which may be empty.
        schema: Whose it becomes.
        tables: Those of the first revision.
    """
    there = sa.inspect(connection)
    names = set(there.get_table_names())
    STORE.create(connection, checkfirst=True)
    connection.execute(STORE.insert().values(role=schema.role))
    for table in tables.sorted_tables:
        if table.name not in names:
            table.create(connection)
            continue
        known = {column["name"] for column in there.get_columns(table.name)}
        for column in table.columns:
            if column.name not in known:
                ddl = sa.schema.CreateColumn(column).compile(dialect=connection.dialect)
                connection.exec_driver_sql(f'ALTER TABLE "{table.name}" ADD COLUMN {ddl}')
        for index in table.indexes:
            index.create(connection, checkfirst=True)


def rebuilt(connection: sa.Connection, table: sa.Table, columns: Mapping[str, str]) -> None:
    """Makes a table anew from the rows of the one of its name; for tables without triggers only.

    Args:
        connection: To the database.
        table: As it shall be.
        columns: By column, from which one of an old row it is.
    """
    connection.exec_driver_sql(f'ALTER TABLE "{table.name}" RENAME TO old_rows')
    table.create(connection)
    old: list[sa.ColumnElement[object]] = [sa.column(name) for name in columns.values()]
    query = sa.select(*old).select_from(sa.table("old_rows"))
    connection.execute(table.insert().from_select(list(columns), query))
    connection.exec_driver_sql("DROP TABLE old_rows")


def _check_role(connection: sa.Connection, schema: StoreSchema, place: str) -> None:
    role = connection.scalar(sa.select(STORE.c.role))
    if role != schema.role:
        raise StoreRefused(
            f"{place}: got the store of {role or 'nobody'}, expected that of {schema.role}; "
            "correct --home or `database`"
        )
