"""The access log: who looked up, decided or changed what about whom, when and why.

Invariant: an entry names a customer by a key that only this outlet can make; it is stored before
anybody reads the answer, and it stays for a year. Entries are numbered without a gap and chained by
their hashes (`hash_chain.py`), in transactions of which one runs at a time, over threads and
processes.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from outlet_client.database import driver_many, driver_rows
from outlet_client.errors import OutletError
from outlet_client.log_tables.hash_chain import Link, next_link
from outlet_client.log_tables.rights_store import ANCHOR, LOG, rights_if_any, rights_of
from outlet_client.moments import text_of_moment
from outlet_client.records.actor import LookupPurpose, folded_name
from outlet_client.records.signed_heads import age_of_statements, purge_heads, read_heads

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Any

    from outlet_client.records.actor import Actor

KEEP_DAYS = 365
"""How long an entry stays."""

PROPOSAL = "a proposal"
"""What look-ups are about that were made for all who wait for a reference."""

_LAST = "SELECT number, hash FROM log ORDER BY number DESC LIMIT 1"
_ANCHOR = "SELECT number, hash FROM log_anchor"
_NAMES = (
    'WITH RECURSIVE names(name) AS (SELECT min("by") FROM log UNION ALL SELECT (SELECT min("by") '
    'FROM log WHERE "by" > name) FROM names WHERE name IS NOT NULL) '
    "SELECT name FROM names WHERE name IS NOT NULL"
)
"""Whoever did something in the year, one step of the index each, and not one an entry."""

_ONE_BY_ONE = "SELECT count(*) FROM log WHERE \"by\" = ? AND act = ? AND about = '' AND at >= ?"
_INSERT = str(LOG.insert().compile(dialect=sqlite.dialect()))


class LogBroken(OutletError):
    """The log does not say where it begins, or has an entry that this program never wrote."""


class LogAct(StrEnum):
    """The kinds of acts in the log."""

    LOOK_UP = "look-up"
    CONSENT = "consent"
    WITHDRAWAL = "withdrawal"
    DECISION = "decision"
    """An allocation was accepted as it was proposed."""
    OVERRIDE = "override"
    """An allocation was accepted otherwise than it was proposed."""
    SIGHTING = "sighting"
    """A sighting was reported, confirmed or dismissed."""
    SEARCH = "search"
    """Customers of the client book were searched for by name."""
    DUPLICATE = "duplicate"
    """Two entries of the client book were said to be one person, or two."""
    EXPORT = "export"
    LETTER = "letter"
    """A letter was made that tells a customer why they got no piece."""
    REQUEST = "request"
    """A customer's request was taken down or answered."""
    CORRECTION = "correction"
    WISH = "wish"
    """A wish was added to the waitlist, closed or erased."""
    SIGN_IN = "sign-in"
    LOCK_OUT = "lock-out"
    STAFF = "staff"
    """An account was made, changed or taken away."""
    UNDERTAKING = "undertaking"
    NEW_STORE = "new store"
    """A database that was lost was begun anew."""
    REVIEW = "review"
    """The privacy officer looked at a flag."""


_SHOWN = (LogAct.LOOK_UP.value, LogAct.EXPORT.value, LogAct.LETTER.value)
"""The acts with which somebody saw what is held of a customer."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One entry of the log.

    Attributes:
        purpose: Why; None where none was to be said.
        key: Of whom, by `People.local_key`; "" where it was nobody.
        about: What it was about, such as "allocation 3"; "" where the act says it all.
        outcome: What came of it: of a look-up a `lookup.Status`, what else was shown, or the type
            of the error that there was instead of an answer.
    """

    number: int
    at: dt.datetime
    act: LogAct
    by: str
    purpose: LookupPurpose | None
    key: str = field(repr=False)
    about: str
    outcome: str


def note_lookups(
    connection: sa.Connection,
    at: dt.datetime,
    asked: Actor,
    outcomes: Sequence[tuple[str, str]],
    about: str = "",
) -> None:
    """Adds look-ups to the log.

    The connection's transaction ends before anybody reads the answers. Each outcome has its key;
    `about` says what several were made for, such as `PROPOSAL`.
    """
    by, why = asked.by, asked.purpose
    _add(
        connection,
        [_cells(at, LogAct.LOOK_UP, by, why, key, about, said) for key, said in outcomes],
    )


def note_lookup_in(home: Path, at: dt.datetime, asked: Actor, key: str, outcome: str) -> None:
    """Adds one look-up to the log of an outlet's folder; it is durable when this returns."""
    with rights_of(home) as connection:
        note_lookups(connection, at, asked, [(key, outcome)])


def record_act(
    connection: sa.Connection,
    at: dt.datetime,
    act: LogAct,
    by: str,
    *,
    purpose: LookupPurpose | None = None,
    key: str = "",
    about: str = "",
    outcome: str = "",
) -> None:
    """Adds one act to the log.

    The entry is durable when the connection's transaction ends. `about` is a short text of ours,
    such as "allocation 3", and nothing that somebody typed.
    """
    _add(connection, [_cells(at, act, by, purpose, key, about, outcome)])


def record_act_in(
    home: Path,
    at: dt.datetime,
    act: LogAct,
    by: str,
    *,
    purpose: LookupPurpose | None = None,
    key: str = "",
    about: str = "",
    outcome: str = "",
) -> None:
    """Adds one act to the log of an outlet's folder; it is durable when this returns."""
    with rights_of(home) as connection:
        record_act(connection, at, act, by, purpose=purpose, key=key, about=about, outcome=outcome)


def entries(
    connection: sa.Connection, keys: Sequence[str], since: dt.datetime
) -> tuple[LogEntry, ...]:
    """Who saw what is held of one person since a moment: look-ups and exports, the oldest first."""
    query = (
        sa.select(LOG)
        .where(LOG.c.key.in_(keys), LOG.c.act.in_(_SHOWN), LOG.c.at >= text_of_moment(since))
        .order_by(LOG.c.number)
    )
    return tuple(map(_entry, connection.execute(query)))


def recent_entries(
    connection: sa.Connection,
    since: dt.datetime,
    *,
    until: dt.datetime | None = None,
    by: str | None = None,
    act: LogAct | None = None,
    key: str | None = None,
    limit: int | None = None,
    before_number: int | None = None,
) -> tuple[LogEntry, ...]:
    """The entries since a moment and before another, the newest first; without a limit all of them.

    The next page has the numbers below `before_number`.
    """
    query = sa.select(LOG).where(LOG.c.at >= text_of_moment(since))
    for column, wanted in ((LOG.c.by, by), (LOG.c.act, act), (LOG.c.key, key)):
        if wanted is not None:
            query = query.where(column == str(wanted))
    if until is not None:
        query = query.where(LOG.c.at < text_of_moment(until))
    if before_number is not None:
        query = query.where(LOG.c.number < before_number)
    rows = connection.execute(query.order_by(LOG.c.number.desc()).limit(limit))
    return tuple(map(_entry, rows))


def withdrawals_in(home: Path) -> dict[str, dt.datetime]:
    """The last withdrawal of each key that the log of an outlet's folder names."""
    query = (
        sa.select(LOG.c.key, LOG.c.at)
        .where(LOG.c.act == LogAct.WITHDRAWAL.value, LOG.c.key != "")
        .order_by(LOG.c.number)
    )
    with rights_of(home) as connection:
        return {key: dt.datetime.fromisoformat(at) for key, at in connection.execute(query)}


def counts_of_day(
    connection: sa.Connection, by: str, day_start: dt.datetime, act: LogAct = LogAct.LOOK_UP
) -> int:
    """How many customers somebody looked up since a moment, one by one; names as they compare.

    With another act, how often they did that.
    """
    who = folded_name(by)
    names = [name for [name] in driver_rows(connection, _NAMES) if folded_name(name) == who]
    since = text_of_moment(day_start)
    made = (driver_rows(connection, _ONE_BY_ONE, (name, act.value, since)) for name in names)
    return sum(count for [[count]] in made)


def purge_log(home: Path, before: dt.datetime) -> int:
    """Deletes the entries older than a moment, from the log's beginning on; returns how many.

    An entry is older if it says so and all before it are; or if the privacy office countersigned it
    before that moment, whatever this machine's clock was then. None goes that was added after a
    statement that is younger.
    """
    with rights_if_any(home) as connection:
        if connection is None:
            return 0
        surely, at_most = age_of_statements(read_heads(connection), before)
        young = sa.select(LOG.c.number).where(LOG.c.at >= text_of_moment(before))
        first = connection.scalar(young.order_by(LOG.c.number).limit(1))
        through = max(surely, log_head(connection).number if first is None else first - 1)
        if at_most is not None:
            through = min(through, at_most)
        purge_heads(connection, before)
        goes = LOG.c.number <= through
        last = sa.select(LOG.c.number, LOG.c.hash).where(goes).order_by(LOG.c.number.desc())
        link = connection.execute(last.limit(1)).first()
        if link is None:
            return 0
        connection.execute(sa.update(ANCHOR).values(number=link.number, hash=link.hash))
        return connection.execute(sa.delete(LOG).where(goes)).rowcount


def log_head(connection: sa.Connection) -> Link:
    """The hash chain's end: the last entry's link, or the anchor's where there is no entry.

    Raises:
        LogBroken: If there is neither.
    """
    rows = driver_rows(connection, _LAST) or driver_rows(connection, _ANCHOR)
    if not rows:
        raise LogBroken(
            "log: neither an entry nor where it begins, expected at least the latter; somebody "
            "emptied it: keep a copy of rights.db, tell the privacy office, and bring rights.db "
            "back from a backup"
        )
    return Link(*rows[0])


def _add(connection: sa.Connection, added: Sequence[tuple[str, ...]]) -> None:
    if not added:
        return
    last, rows = log_head(connection), []
    for cells in added:
        last = next_link(last, cells)
        rows.append((last.number, *cells, last.hash))
    driver_many(connection, _INSERT, rows)


def _cells(
    at: dt.datetime,
    act: LogAct,
    by: str,
    purpose: LookupPurpose | None,
    key: str,
    about: str,
    outcome: str,
) -> tuple[str, ...]:
    """What is hashed, in the table's order."""
    why = "" if purpose is None else purpose.value
    return (text_of_moment(at), act.value, by, why, key, about, outcome)


def _entry(row: sa.Row[Any]) -> LogEntry:
    try:
        at, act = dt.datetime.fromisoformat(row.at), LogAct(row.act)
        purpose = LookupPurpose(row.purpose) if row.purpose else None
    except (TypeError, ValueError) as error:
        raise LogBroken(
            f"log: entry {row.number} is none of this program's; `escapement-outlet log verify` "
            "says what was changed"
        ) from error
    return LogEntry(row.number, at, act, row.by, purpose, row.key, row.about, row.outcome)
