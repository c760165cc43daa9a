"""Migrations of an outlet's databases, by Alembic's scripts inside the package.

Invariant: a file goes from one revision to the next whole or not at all. The log and its anchor are
never altered by copying a table (Alembic's batch mode), and rows keep their order.

Only `upgrade` imports this: opening a database needs no Alembic.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import sqlalchemy as sa
from alembic import command, context
from alembic.config import Config

from outlet_client.database import STORE, engine_of, is_outdated

if TYPE_CHECKING:
    from pathlib import Path

MIGRATIONS = "outlet_client:migrations"


def upgrade_database(database: Path) -> bool:
    """Brings a file to this release's tables, in one transaction; tells whether it had to be.

    Raises:
        StoreRefused: If it is of a later release, or none of ours.
    """
    if not is_outdated(database):
        return False
    engine = engine_of(f"sqlite:///{database}")
    try:
        with engine.begin() as connection:
            run_scripts(connection, database.stem)
    finally:
        engine.dispose()
    return True


def run_scripts(connection: sa.Connection, role: str, revision: str = "head") -> None:
    """Runs the scripts on a file, by its name without its ending, up to a revision."""
    config = Config()
    config.set_main_option("script_location", MIGRATIONS)
    config.attributes["connection"], config.attributes["role"] = connection, role
    for noisy in ("alembic.runtime.migration", "alembic.ddl.impl"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    command.upgrade(config, revision)


def run_environment() -> None:
    """What `migrations/env.py` does: runs the scripts on the file that was given."""
    context.configure(connection=context.config.attributes["connection"])
    context.run_migrations()


def adopt(connection: sa.Connection, role: str, tables: sa.MetaData) -> None:
    """Makes a file that has no revision one of the first: what the script 0001 does.

    Tables, columns and indexes that it lacks are added; what is there stays.

    Args:
        connection: To the file, which may be empty.
        role: Its name without its ending.
        tables: Those of the first revision.
    """
    there = sa.inspect(connection)
    names = set(there.get_table_names())
    STORE.create(connection, checkfirst=True)
    connection.execute(STORE.insert().values(role=role))
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
