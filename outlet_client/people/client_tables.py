"""The tables of the client book's entries, in `outlet.db`, and whether their groups are up to date.

Invariant: no column holds a phone or an e-mail. Whoever changes entries or decisions calls
`mark_old` in the same transaction; while the groups are old, nobody has an alias.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import sqlalchemy as sa

from outlet_client.people.tables import DECISIONS, STATE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

LEDGER, CLIENTS = "ledger", "clients"
"""Where an entry is from."""

_A_QUERY = 10_000

_GROUPED, _SOURCE = "grouped", "source"


def grouped(connection: sa.Connection) -> bool:
    """Whether the groups are those of the entries and decisions of now."""
    return _get(connection, _GROUPED) != "no"


def mark_old(connection: sa.Connection) -> None:
    """Notes that entries or decisions changed."""
    _set(connection, _GROUPED, "no")


def mark_grouped(connection: sa.Connection) -> None:
    """Notes that the groups are up to date."""
    _set(connection, _GROUPED, "yes")


def read_before(connection: sa.Connection) -> str | None:
    """What `mark_read` noted last."""
    return _get(connection, _SOURCE)


def mark_read(connection: sa.Connection, stamp: str) -> None:
    """Notes which version of the client book was read."""
    _set(connection, _SOURCE, stamp)


def in_parts(values: Collection[str]) -> Iterator[list[str]]:
    """Parts that fit into one query."""
    ordered = list(values)
    return (ordered[start : start + _A_QUERY] for start in range(0, len(ordered), _A_QUERY))


def table_of(connection: sa.Connection, query: sa.Select[Any]) -> pl.DataFrame:
    """A query's rows, every column as text; for a whole client book."""
    # SQLAlchemy's own rows would take most of the time.
    rows = connection.execute(query).cursor.fetchall()
    names = query.selected_columns.keys()
    return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")


def decisions(connection: sa.Connection) -> dict[tuple[str, str], bool]:
    """Whether a person decided that two customers are one; of several decisions the last."""
    rows = connection.execute(sa.select(DECISIONS).order_by(DECISIONS.c.number))
    return {(row.one, row.other): row.same for row in rows}


def _get(connection: sa.Connection, name: str) -> str | None:
    return connection.scalar(sa.select(STATE.c.value).where(STATE.c.name == name))


def _set(connection: sa.Connection, name: str, value: str) -> None:
    connection.execute(STATE.insert().prefix_with("OR REPLACE").values(name=name, value=value))
