"""The tables about people in `outlet.db`, and the queries that several modules ask of them.

Invariant: no column holds a phone or an e-mail, and no token but encrypted. Whoever changes entries
or decisions calls `mark_old` in the same transaction; while the groups are old, nobody has an
alias.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from outlet_client.database import driver_rows

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

LEDGER, CLIENTS = "ledger", "clients"
"""Where an entry is from."""

_A_QUERY = 10_000

_GROUPED, _SOURCE = "grouped", "source"

METADATA = sa.MetaData()
"""Of the tables about people in `outlet.db`."""

CONSENTS = sa.Table(
    "consents",
    METADATA,
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("notice", sa.Text, nullable=False),
    sa.Column("recorded_at", sa.Text, nullable=False),
    sa.Column("recorded_by", sa.Text, nullable=False),
    # When it ended: withdrawn here, or seen to be withdrawn elsewhere.
    sa.Column("withdrawn_at", sa.Text),
    sa.PrimaryKeyConstraint("key", "recorded_at", "notice"),
)
WITHDRAWALS = sa.Table(
    "withdrawals",
    METADATA,
    # Also of keys without a consent: one that is older must not be recorded later.
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("at", sa.Text, nullable=False),
)
TYPED_TOGETHER = sa.Table(
    "consent_keys",
    METADATA,
    # A phone and an e-mail of one consent: to withdraw by either is to withdraw it.
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("also", sa.Text, primary_key=True, index=True),
)
PEOPLE = sa.Table(
    "people",
    METADATA,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("state", sa.Text, nullable=False, index=True),
    # Encrypted; see `token_box`.
    sa.Column("token", sa.LargeBinary),
    # Public half of the slot key that is made of it.
    sa.Column("slot_key", sa.LargeBinary),
    sa.Column("secret", sa.LargeBinary),
    sa.Column("batch", sa.BigInteger),
    sa.Column("withdrawal_batch", sa.BigInteger),
    sa.Column("slot", sa.BigInteger),
    # What was sent in vain: the registration, or since a withdrawal that withdrawal.
    sa.Column("tries", sa.Integer, nullable=False, default=0, server_default="0"),
    # The last batch followed at the moment of the consent, or withdrawn.
    sa.Column("since", sa.BigInteger, nullable=False, default=0, server_default="0"),
    # The first batch that a registration which was sent in vain may be in again.
    sa.Column("not_before", sa.BigInteger, nullable=False, default=0, server_default="0"),
    # Of somebody listed whose registration HQ lost: the first batch that it may be in again.
    sa.Column("again", sa.BigInteger),
)
SUBMISSIONS = sa.Table(
    "submissions",
    METADATA,
    sa.Column("batch", sa.BigInteger, primary_key=True),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.Column("delivered", sa.Boolean, nullable=False),
    # Of the relay's store that it was made for; empty where that is not known.
    sa.Column("epoch", sa.LargeBinary, nullable=False, default=b"", server_default=sa.text("x''")),
)
RESYNCS = sa.Table(
    "registration_resyncs",
    METADATA,
    # Losses of registrations that the privacy office told of, and what was done of each.
    sa.Column("statement", sa.Text, primary_key=True),
    sa.Column("after", sa.BigInteger, nullable=False),
    sa.Column("upto", sa.BigInteger, nullable=False),
    sa.Column("heard", sa.Text, nullable=False),
    # How many registrations are handed in again; none while it waits for a person.
    sa.Column("people", sa.BigInteger),
    # Who let it happen, where it was a person.
    sa.Column("by", sa.Text),
)
FOLLOWED = sa.Table(
    "followed",
    METADATA,
    # Of the last directory that was followed: its batch, and the office's number for it.
    sa.Column("batch", sa.BigInteger, nullable=False),
    sa.Column("number", sa.BigInteger, nullable=False, default=0, server_default="0"),
)
FOLLOWED_FROM = sa.Table(
    "followed_from",
    METADATA,
    # From when on a batch was the last that was followed: how new a consent of some moment is.
    sa.Column("at", sa.Text, primary_key=True),
    sa.Column("batch", sa.BigInteger, nullable=False),
)
LOSSES = sa.Table(
    "directory_losses",
    METADATA,
    # How many listed people directories took away, by day.
    sa.Column("day", sa.Text, primary_key=True),
    sa.Column("lost", sa.Integer, nullable=False),
)
HELD = sa.Table(
    "held_losses",
    METADATA,
    # What waits for a person to decide: how many a directory takes away, and since when.
    sa.Column("since", sa.Text, nullable=False),
    sa.Column("lost", sa.Integer, nullable=False),
)
ASKED = sa.Table("days_asked", METADATA, sa.Column("day", sa.Text, primary_key=True))
ENTRIES = sa.Table(
    "client_entries",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    # An HMAC of the row as it was typed, so that a row is normalised once.
    sa.Column("typed", sa.Text, nullable=False),
    sa.Column("origin", sa.Text, nullable=False),
    sa.Column("customer", sa.Text, nullable=False),
    sa.Column("phone", sa.Text),
    sa.Column("email", sa.Text),
    # Changed since, or gone: kept for withdrawals only.
    sa.Column("former", sa.Boolean, nullable=False),
    sa.UniqueConstraint("origin", "typed"),
    sa.Index("client_entries_customer", "customer"),
    sa.Index("client_entries_phone", "phone", "customer"),
    sa.Index("client_entries_email", "email", "customer"),
)
PERSONS = sa.Table(
    "client_persons",
    METADATA,
    # Only who is joined to somebody; everybody else is a person of their own.
    sa.Column("customer", sa.Text, primary_key=True),
    sa.Column("person", sa.Text, nullable=False, index=True),
)
CONTESTED = sa.Table("client_contested", METADATA, sa.Column("key", sa.Text, primary_key=True))
PAIRS = sa.Table(
    "client_pairs",
    METADATA,
    sa.Column("one", sa.Text, primary_key=True),
    sa.Column("other", sa.Text, primary_key=True),
    sa.Column("shared", sa.Text, nullable=False),
)
DECISIONS = sa.Table(
    "client_decisions",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("one", sa.Text, nullable=False),
    sa.Column("other", sa.Text, nullable=False),
    sa.Column("same", sa.Boolean, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("at", sa.Text, nullable=False),
)
STATE = sa.Table(
    "client_state",
    METADATA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

CURRENT: sa.ColumnElement[bool] = ~ENTRIES.c.former
KEYS = (ENTRIES.c.phone, ENTRIES.c.email)


def grouped(connection: sa.Connection) -> bool:
    """Whether the groups are up to date with entries and decisions."""
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


def in_batches(values: Collection[str]) -> Iterator[list[str]]:
    """The values in batches that fit into one query."""
    ordered = list(values)
    return (ordered[start : start + _A_QUERY] for start in range(0, len(ordered), _A_QUERY))


def frame_of(connection: sa.Connection, query: sa.Select[Any]) -> pl.DataFrame:
    """A query's rows as a table, every column as text; for a whole client book."""
    # SQLAlchemy's own rows would take most of the time.
    rows = connection.execute(query).cursor.fetchall()
    names = query.selected_columns.keys()
    return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")


def decisions(connection: sa.Connection) -> dict[tuple[str, str], bool]:
    """Whether a person decided that two customers are one; of several decisions the last."""
    rows = connection.execute(sa.select(DECISIONS).order_by(DECISIONS.c.number))
    return {(row.one, row.other): row.same for row in rows}


def _get(connection: sa.Connection, name: str) -> str | None:
    return next(
        (value for _, value in rows_of(connection, [name], STATE.c.name, STATE.c.value)), None
    )


def _set(connection: sa.Connection, name: str, value: str) -> None:
    connection.execute(STATE.insert().prefix_with("OR REPLACE").values(name=name, value=value))


def rows_of(
    connection: sa.Connection,
    values: Collection[str],
    by: sa.Column[str],
    *columns: sa.Column[Any],
    which: sa.ColumnElement[bool] | None = None,
) -> Iterator[tuple[Any, ...]]:
    """The rows where a column has one of some values: that column, and others.

    They are as the driver has them: no column of a type that SQLAlchemy makes something else of.
    """
    text = _text_of(by, columns, which)
    for some in in_batches(values):
        query = text.format(", ".join("?" * len(some)))
        yield from driver_rows(connection, query, some)


@cache
def _text_of(
    by: sa.Column[str], columns: tuple[sa.Column[Any], ...], which: sa.ColumnElement[bool] | None
) -> str:
    """The text of the query of `rows_of`, with braces for the values."""
    query = sa.select(by, *columns).where(by.in_([sa.literal_column("{}")]))
    if which is not None:
        query = query.where(which)
    return str(query.compile(dialect=sqlite.dialect()))
