"""Moving an outlet's people from a network in which HQ held tokens into one in which nobody does.

Invariant: consents, withdrawals, client entries and decisions stay as they are. Whoever has a
standing consent is known and waits for a token of the new key; nobody else comes back. Tokens and
registrations of the old network go, overwritten in the file.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from outlet_client.database import engine_of
from outlet_client.people.person_states import State
from outlet_client.people.tables import (
    CONSENTS,
    FOLLOWED,
    FOLLOWED_FROM,
    METADATA,
    PEOPLE,
    SUBMISSIONS,
)

if TYPE_CHECKING:
    from pathlib import Path

_OLD = "people_of_the_old_network"


class Moved(NamedTuple):
    """What was moved.

    Attributes:
        waiting: People with a standing consent, who wait for a token.
        ended: People without one.
    """

    waiting: int
    ended: int


def is_of_old_network(database: Path) -> bool:
    """Whether an `outlet.db` holds people of a network in which HQ held tokens."""
    engine = engine_of(f"sqlite:///{database}")
    try:
        with engine.begin() as connection:
            return "fingerprint" in _columns(connection, PEOPLE.name)
    finally:
        engine.dispose()


def move_people(database: Path) -> Moved:
    """Moves the people in an `outlet.db` of the old network, in one transaction."""
    engine = engine_of(f"sqlite:///{database}")
    try:
        with engine.begin() as connection:
            _rename_answers(connection)
            return _move(connection)
    finally:
        engine.dispose()


def overwrite_deleted(database: Path) -> None:
    """Overwrites what was deleted from an `outlet.db`, such as tokens; once more does no harm."""
    with closing(sqlite3.connect(database)) as file:
        file.execute("PRAGMA secure_delete = ON")
        file.execute("VACUUM")


def _move(connection: sa.Connection) -> Moved:
    for index in PEOPLE.indexes:
        connection.exec_driver_sql(f"DROP INDEX IF EXISTS {index.name}")
    connection.exec_driver_sql(f"ALTER TABLE {PEOPLE.name} RENAME TO {_OLD}")
    for table in (SUBMISSIONS, FOLLOWED, FOLLOWED_FROM):  # batches of the old network
        table.drop(connection, checkfirst=True)
    METADATA.create_all(connection)
    old = sa.table(_OLD, sa.column("key"), sa.column("state"))
    standing = sa.select(CONSENTS.c.key).where(CONSENTS.c.withdrawn_at.is_(None))
    buried = old.c.state == State.BURIED.value
    state = sa.case(
        (old.c.key.in_(standing), State.KNOWN.value),
        (buried, State.BURIED.value),
        else_=State.WITHDRAWN.value,
    )
    everybody = sa.select(old.c.key, state).order_by(sa.text("rowid"))
    connection.execute(PEOPLE.insert().from_select(["key", "state"], everybody))
    connection.exec_driver_sql(f"DROP TABLE {_OLD}")
    known = sa.func.count().filter(PEOPLE.c.state == State.KNOWN.value)
    waiting, whole = connection.execute(sa.select(known, sa.func.count())).one()
    return Moved(waiting, whole - waiting)


def _rename_answers(connection: sa.Connection) -> None:
    """Answers of the old network count towards the outlet's own year; no plan asks for them."""
    if "vector_digest" not in _columns(connection, "answers"):
        return
    for change in ("RENAME COLUMN vector_digest TO commitment", "ADD COLUMN salt BLOB DEFAULT x''"):
        connection.exec_driver_sql(f"ALTER TABLE answers {change}")


def _columns(connection: sa.Connection, table: str) -> set[str]:
    rows = connection.exec_driver_sql(f"PRAGMA table_info({table})")
    return {row[1] for row in rows}
