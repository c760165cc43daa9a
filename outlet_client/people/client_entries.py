"""The client book's entries as keyed hashes: phones and e-mails themselves are not stored.

Invariant: an entry holds the outlet's own customer id and HMACs under the outlet's secret; no phone
and no e-mail is stored. Groups and withdrawals are up to date when the transaction ends.

An entry that was changed, or is gone from the client book, stays as a *former* one as long as there
was a consent or a withdrawal under one of its keys: a withdrawal must reach that too.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import polars as pl
import sqlalchemy as sa

from features.ledger import text_of
from outlet_client.people.identifiers import reading_rules, typed_keys
from outlet_client.people.tables import (
    CLIENTS,
    CURRENT,
    ENTRIES,
    LEDGER,
    METADATA,
    frame_of,
    mark_old,
    mark_read,
)
from outlet_client.people.withdrawals import regroup

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

COLUMNS = ("customer_id", "phone", "email")

_NAME_CHARACTERS = 32
_FEW = 5_000
"""Rows that are looked for one by one; of more, all that are stored are read."""


def note_entries(
    connection: sa.Connection, frame: pl.DataFrame, key_of: Callable[[str], str], region: str | None
) -> int:
    """Adds the client entries of some rows of the ledger; returns how many are new.

    Raises:
        LedgerError: If a column is neither text nor whole numbers.
        NotConfigured: If the region is unknown.
    """
    METADATA.create_all(connection)
    rows = with_keys(frame, "the ledger", key_of, region)
    leave_clients(connection)
    new = _keep(connection, LEDGER, rows, key_of, region)
    regroup(connection)
    return new


def forget_ledger(connection: sa.Connection) -> None:
    """Makes the ledger's entries former ones, for who reads the ledger anew and calls `note`."""
    METADATA.create_all(connection)
    _make_former(connection, LEDGER)


def leave_clients(connection: sa.Connection) -> None:
    """Makes the ledger the client book again, should it have been another: what was noted of it."""
    if _make_former(connection, CLIENTS):
        mark_read(connection, "")  # should it come back, it is read again
        ours = sa.update(ENTRIES).where(ENTRIES.c.origin == LEDGER)
        connection.execute(ours.values(former=False))


def replace_clients(
    connection: sa.Connection, rows: pl.DataFrame, key_of: Callable[[str], str], region: str | None
) -> int:
    """Makes these rows the whole client book; returns how many entries are new."""
    _make_former(connection, LEDGER)
    query = sa.select(ENTRIES.c.typed).where(ENTRIES.c.origin == CLIENTS, CURRENT)
    before = set(connection.scalars(query))
    gone = before.difference(rows["typed"])
    _mark(connection, CLIENTS, gone, former=True)
    unseen = rows.filter(~pl.col("typed").is_in(list(before)))
    new = _keep(connection, CLIENTS, unseen, key_of, region)
    regroup(connection)
    return new


def with_keys(
    table: pl.DataFrame, source: str, key_of: Callable[[str], str], region: str | None
) -> pl.DataFrame:
    """The rows of a client book as text, each once, with what they are stored under.

    Returns:
        customer_id, phone, email and typed, all String; those without a customer are dropped.

    Raises:
        LedgerError: If a column is neither text nor whole numbers.
    """
    rows = table.select(
        text_of(table[name], source).alias(name)
        if name in table.columns
        else pl.lit(None, pl.String).alias(name)
        for name in COLUMNS
    )
    rows = rows.filter(pl.col("customer_id").is_not_null()).unique(maintain_order=True)
    rules = reading_rules(region)
    names = [
        key_of(f"entry:{rules}:{len(who)}:{who}{len(phone or '')}:{phone or ''}{email or ''}")
        for who, phone, email in rows.iter_rows()
    ]
    short = [name[:_NAME_CHARACTERS] for name in names]
    return rows.with_columns(typed=pl.Series(short, dtype=pl.String))


def _keep(
    connection: sa.Connection,
    origin: str,
    rows: pl.DataFrame,
    key_of: Callable[[str], str],
    region: str | None,
) -> int:
    """Stores the entries that are not there, and brings former ones back."""
    query = sa.select(ENTRIES.c.typed).where(ENTRIES.c.origin == origin)
    if len(rows) <= _FEW:
        query = query.where(ENTRIES.c.typed.in_(rows["typed"].to_list()))
    sleeping = frame_of(connection, query.where(ENTRIES.c.former))
    awake = rows.join(sleeping, on="typed", how="semi")["typed"].to_list()
    _mark(connection, origin, awake, former=False)
    unseen = rows.join(frame_of(connection, query), on="typed", how="anti", maintain_order="left")
    phone_key = cache(lambda typed: next(iter(typed_keys(typed, None, key_of, region)), None))
    email_key = cache(lambda typed: next(iter(typed_keys(None, typed, key_of, region)), None))
    new = [
        {
            "typed": typed, "origin": origin, "customer": customer, "former": False,
            "phone": phone_key(phone), "email": email_key(email),
        }
        for customer, phone, email, typed in unseen.iter_rows()
    ]  # fmt: skip
    if new:
        connection.execute(ENTRIES.insert(), new)
        mark_old(connection)
    return len(new)


def _mark(connection: sa.Connection, origin: str, names: Collection[str], *, former: bool) -> None:
    update = sa.update(ENTRIES).where(
        ENTRIES.c.origin == origin, ENTRIES.c.typed == sa.bindparam("b_typed")
    )
    if names:
        connection.execute(update.values(former=former), [{"b_typed": name} for name in names])
        mark_old(connection)


def _make_former(connection: sa.Connection, origin: str) -> bool:
    ours = (ENTRIES.c.origin == origin, CURRENT)
    changed = connection.execute(sa.update(ENTRIES).where(*ours).values(former=True))
    if changed.rowcount:
        mark_old(connection)
    return bool(changed.rowcount)
