"""The client book: the phones and e-mails of the outlet's customers, and who is whom.

Invariant: phones and e-mails are in memory only, and only of the keys that were asked for; what is
kept is `client_entries`. A customer has one key, one that nobody else shares against the rules.
"""

from __future__ import annotations

import json
import logging
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import polars as pl
import sqlalchemy as sa

from features.errors import LedgerError
from features.ledger import text_of
from outlet_client.errors import NotConfigured
from outlet_client.people.client_entries import (
    COLUMNS,
    leave_clients,
    replace_clients,
    with_keys,
)
from outlet_client.people.identifiers import identifiers, reading_rules
from outlet_client.people.person_states import State
from outlet_client.people.tables import (
    CONTESTED,
    CURRENT,
    ENTRIES,
    KEYS,
    PAIRS,
    PEOPLE,
    PERSONS,
    frame_of,
    grouped,
    in_batches,
    mark_read,
    read_before,
)
from outlet_client.people.withdrawals import regroup
from outlet_client.sources.customer_keys import PREFIX, SECRET_FILE, fingerprint, spared_of
from outlet_client.sources.table_reader import files_of, read_database, read_file

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Sequence

    from outlet_client.people.people_store import People
    from outlet_client.settings import OutletFile
    from outlet_client.sources.row_batches import Batch
    from outlet_client.sources.source import Source

_LOG = logging.getLogger(__name__)

_NO_ROWS = pl.DataFrame(schema=dict.fromkeys([*COLUMNS, "typed"], pl.String))
_RANKS = {state.value: 1 if state.stands else 2 for state in State} | {State.LISTED.value: 0}


@dataclass(frozen=True, slots=True, eq=False)
class ClientBook:
    """Who the outlet's customers are to `People`.

    Attributes:
        customers: customer and key, both String; one row a customer. Customers who are one person
            share a key: the first of theirs that is listed, else that stands, else the first.
        left_out: Customers without a usable phone or e-mail that is theirs.
        ambiguous: Pairs of customers that wait for a person to decide.
    """

    customers: pl.DataFrame = field(repr=False)
    left_out: int
    ambiguous: int


def client_book(settings: OutletFile, people: People, *, by_day: bool = False) -> ClientBook:
    """Reads what is new in the client book, and who is who in it.

    Without `clients` in the settings the book is what was noted of the ledger. By day a client
    database that was read before is not asked again.

    Raises:
        LedgerError: If it cannot be read, or a column is missing.
        NotConfigured: If the region is unknown.
    """
    refresh_clients(settings, people, by_day=by_day)
    with people.transaction() as connection:
        if settings.clients is None:
            leave_clients(connection)
        regroup(connection)
        found = _book(connection)
    if settings.clients is None and not len(found.customers) and not found.left_out:
        reason = "missing, and email too; add one of them, or a client book as [clients]"
        raise LedgerError(settings.ledger.name, None, "phone", reason)
    return found


def refresh_clients(settings: OutletFile, people: People, *, by_day: bool = False) -> int:
    """Reads the client book where it has changed; returns how many entries are new.

    Raises:
        LedgerError: If it cannot be read, or a column is missing.
        NotConfigured: If the region is unknown.
    """
    source = settings.clients
    if source is None:
        return 0
    nobody = nobodys_keys(settings)
    stamp = _stamp(source, settings.region, nobody)
    with people.reading() as connection:
        if read_before(connection) == stamp and (by_day or not source.is_database):
            return 0
    found, malformed = [], []
    for batch in _batches(source):
        entries = _entries(batch, source, nobody)
        found.append(with_keys(entries, source.name, people.local_key, settings.region))
        malformed.append(batch.malformed)
    _tell_malformed(malformed, source)
    rows = pl.concat(found).unique("typed", maintain_order=True) if found else _NO_ROWS
    _refuse_without_secret(source, rows)
    with people.transaction() as connection:
        new = replace_clients(connection, rows, people.local_key, settings.region)
        mark_read(connection, stamp)
    return new


def update_people(settings: OutletFile, people: People) -> None:
    """Reads what is new in the client book, by day, and who is who in it; as `client_book`.

    Raises:
        LedgerError: If it cannot be read, or a column is missing.
        NotConfigured: If the region is unknown.
    """
    refresh_clients(settings, people, by_day=True)
    with people.reading() as connection:
        if grouped(connection):
            return
    with people.transaction() as connection:
        regroup(connection)


def identifiers_of(settings: OutletFile, people: People, keys: Collection[str]) -> dict[str, str]:
    """What some keys were made of, found in the client book or the ledger.

    Nothing is read where there are no keys.

    Returns:
        Such as "tel:+6581234567" by key, for those that a current entry has.

    Raises:
        LedgerError: If the client book cannot be read.
    """
    wanted = _holding(people, keys)
    missing, found = set(keys), dict[str, str]()
    source = settings.clients or settings.ledger
    if wanted.is_empty():
        return found
    with closing(_batches(source, last_first=True)) as batches:
        for batch in batches:
            rows = _entries(batch, source, nobodys_keys(settings))
            customers = text_of(rows["customer_id"], source.name)
            rows = rows.filter(customers.is_in(wanted["customer"].implode()))
            rows = with_keys(rows, source.name, people.local_key, settings.region)
            for _, phone, email, _ in rows.join(wanted, on="typed", how="semi").iter_rows():
                for one in identifiers(phone, email, settings.region):
                    if (key := people.local_key(one)) in missing:
                        missing.discard(key)
                        found[key] = one
            if not missing:
                break
    return found


def _batches(source: Source, *, last_first: bool = False) -> Generator[Batch]:
    """A client book's rows, or a ledger's, which grows in its last files."""
    if source.is_database:
        yield from read_database(source, COLUMNS)
        return
    paths = files_of(source)
    for path in reversed(paths) if last_first else paths:
        yield from read_file(source, path, COLUMNS)


def _tell_malformed(batches: Sequence[pl.DataFrame], source: Source) -> None:
    """Logs how many records of the book are no rows; those of a ledger are in quarantine."""
    malformed = pl.concat(batches) if batches else pl.DataFrame()
    if not malformed.is_empty():
        row, _, reason = malformed.row(0)
        _LOG.warning(
            "%s: left out of the client book, since they are no rows: %d; the first is row %d: %s",
            source.name, malformed["row"].n_unique(), row, reason,
        )  # fmt: skip


def nobodys_keys(settings: OutletFile) -> frozenset[str]:
    """What stands for nobody where a customer's key does, casefolded.

    A client book may hold it too, with the till's own phone: to link somebody by that would make
    one person of all who bought without a name.
    """
    return spared_of(settings.ledger) | (spared_of(settings.clients) if settings.clients else set())


def _refuse_without_secret(source: Source, rows: pl.DataFrame) -> None:
    """Stores no key that was hashed with a secret which nobody will have tomorrow.

    Raises:
        NotConfigured: If there is such a key.
    """
    if _secret_there(source) or source.folder is None:
        return
    if rows["customer_id"].str.starts_with(PREFIX).any():
        raise NotConfigured(
            f"{SECRET_FILE}: not there, while customers' keys are mailboxes; bring it back from a "
            "backup of the outlet's folder, or, in a new one, run `escapement-outlet nightly`"
        )


def _secret_there(source: Source) -> bool:
    return source.folder is not None and (source.folder / SECRET_FILE).exists()


def _entries(batch: Batch, source: Source, nobody: Collection[str]) -> pl.DataFrame:
    """The columns of a batch's rows that a client book has, of customers who are somebody."""
    got = [name for name in COLUMNS if name in batch.rows.columns]
    if "customer_id" not in got:
        raise LedgerError(source.name, None, "customer_id", "missing; map it or add it")
    if len(got) == 1:
        reason = "missing, and email too; map one of them, or set [clients] to a client book"
        raise LedgerError(source.name, None, "phone", reason)
    rows = batch.rows.select(got)
    if not nobody:
        return rows
    customers = text_of(rows["customer_id"], source.name).str.to_lowercase()
    return rows.filter(~customers.is_in(list(nobody)).fill_null(value=False))


def _stamp(source: Source, region: str | None, nobody: Collection[str]) -> str:
    """What changes whenever a client book is to be read again, but for a database's rows."""
    files = []
    if not source.is_database:
        stats = [(path, path.stat()) for path in files_of(source)]
        files = [[str(path), stat.st_size, stat.st_mtime_ns] for path, stat in stats]
    secret = fingerprint(source.folder) if source.folder and _secret_there(source) else ""
    rules = [reading_rules(region), sorted(nobody), secret]
    return json.dumps([source.model_dump(mode="json"), rules, files])


def _holding(people: People, keys: Collection[str]) -> pl.DataFrame:
    """Customer and typed of the entries that have one of some keys."""
    with people.reading() as connection:
        rows = {
            tuple(row)
            for column in KEYS
            for some in in_batches(keys)
            for row in connection.execute(
                sa.select(ENTRIES.c.customer, ENTRIES.c.typed).where(CURRENT, column.in_(some))
            )
        }
    return pl.DataFrame(
        list(rows), schema={"customer": pl.String, "typed": pl.String}, orient="row"
    )


def _book(connection: sa.Connection) -> ClientBook:
    entries = frame_of(
        connection,
        sa.select(ENTRIES.c.customer, *KEYS).where(CURRENT).order_by(ENTRIES.c.number),
    )
    persons = frame_of(connection, sa.select(PERSONS.c.customer, PERSONS.c.person))
    states = frame_of(connection, sa.select(PEOPLE.c.key, PEOPLE.c.state))
    nobodys = frame_of(connection, sa.select(CONTESTED.c.key))
    customers = (
        entries.select("customer")
        .unique(maintain_order=True)
        .join(persons, on="customer", how="left", maintain_order="left")
        .with_columns(pl.coalesce("person", "customer").alias("person"))
    )
    entries = entries.join(customers, on="customer", how="left", maintain_order="left")
    held = pl.concat(
        entries.select("person", key=name, order=pl.lit(order))
        for order, name in enumerate(("phone", "email"))
    )
    best = (
        held.filter(pl.col("key").is_not_null())
        .join(nobodys, on="key", how="anti", maintain_order="left")
        .join(states, on="key", how="left", maintain_order="left")
        .with_columns(pl.col("state").replace_strict(_RANKS, default=2, return_dtype=pl.Int8))
        .sort("state", "order", maintain_order=True)
        .unique("person", keep="first", maintain_order=True)
    )
    known = customers.join(best, on="person", how="inner", maintain_order="left")
    pairs = connection.scalar(sa.select(sa.func.count()).select_from(PAIRS)) or 0
    return ClientBook(known.select("customer", "key"), len(customers) - len(known), pairs)
