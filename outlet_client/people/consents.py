"""Consents: their history in the outlet's store, and as files, in and out.

Invariant: the history is only added to, but for the moment at which a consent ended; and a consent
that is not younger than a withdrawal never undoes it. A phone or e-mail is read from a file, turned
into a key and forgotten.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl
import sqlalchemy as sa

from outlet_client.errors import ConsentRefused
from outlet_client.people.identifiers import identifiers
from outlet_client.setup.sampling import look_at_files
from outlet_client.sources.table_reader import read_all
from privacy.keyring import write_private

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from outlet_client.people.people_store import People

COLUMNS = ("phone", "email", "notice", "recorded_at", "recorded_by")
"""Who, which text they agreed to, when (ISO 8601, UTC where it does not say), recorded by whom."""

_CLOCK_SKEW = dt.timedelta(minutes=5)
_KEYS_A_QUERY = 500

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


class Consent(NamedTuple):
    """One consent as it was recorded.

    Attributes:
        key: Whose, by `People.local_key`.
        notice: Which text the person agreed to, such as "2026-03".
        at: When, with a time zone.
        by: Who recorded it.
        also: Keys of what else was typed, such as an e-mail beside the phone.
    """

    key: str
    notice: str
    at: dt.datetime
    by: str
    also: tuple[str, ...] = ()


class Recorded(StrEnum):
    """What became of a consent."""

    NEW = "recorded"
    ALREADY = "recorded already"
    TOO_OLD = "older than a withdrawal"


def record(
    connection: sa.Connection, consents: Sequence[Consent], withdrawn: Mapping[str, str]
) -> list[Recorded]:
    """Adds consents to the history.

    Args:
        connection: To the outlet's own database.
        consents: What is to be added, each under the key that it is to count for.
        withdrawn: The last withdrawal that holds for a key, where there is one.

    Returns:
        What became of each, in order.
    """
    keys = list(dict.fromkeys(key for one in consents for key in (one.key, *one.also)))
    columns = (CONSENTS.c.recorded_at, CONSENTS.c.notice, CONSENTS.c.withdrawn_at)
    known: set[tuple[str, str, str]] = set()
    ended = dict(withdrawn)
    for key, at, notice, over in rows_of(connection, keys, CONSENTS.c.key, *columns):
        known.add((key, at, notice))
        ended[key] = max(ended.get(key, ""), over or "")
    outcomes, new = [], []
    for key, notice, moment, by, also in consents:
        at = text_of_moment(moment)
        if any((one, at, notice) in known for one in (key, *also)):
            outcomes.append(Recorded.ALREADY)
        elif at <= max(ended.get(one, "") for one in (key, *also)):
            outcomes.append(Recorded.TOO_OLD)
        else:
            outcomes.append(Recorded.NEW)
            known.add((key, at, notice))
            new.append({"key": key, "notice": notice, "recorded_at": at, "recorded_by": by})
    if new:
        connection.execute(CONSENTS.insert(), new)
    return outcomes


def end(connection: sa.Connection, keys: Sequence[str], at: dt.datetime) -> None:
    """Ends the standing consents of some people."""
    update = (
        sa.update(CONSENTS)
        .where(CONSENTS.c.key == sa.bindparam("b_key"), CONSENTS.c.withdrawn_at.is_(None))
        .values(withdrawn_at=text_of_moment(at))
    )
    if keys:
        connection.execute(update, [{"b_key": key} for key in keys])


def history(connection: sa.Connection) -> pl.DataFrame:
    """All consents: key, notice, recorded_at, recorded_by, withdrawn_at; all String."""
    query = sa.select(CONSENTS).order_by(CONSENTS.c.recorded_at, CONSENTS.c.key)
    rows = [tuple(row) for row in connection.execute(query)]
    return pl.DataFrame(rows, schema=dict.fromkeys(CONSENTS.c.keys(), pl.String), orient="row")


def rows_of(
    connection: sa.Connection, keys: Sequence[str], key: sa.Column[str], *columns: sa.Column[str]
) -> Iterator[tuple[Any, ...]]:
    """The key and other columns of some people's rows."""
    for start in range(0, len(keys), _KEYS_A_QUERY):
        some = keys[start : start + _KEYS_A_QUERY]
        query = sa.select(key, *columns).where(key.in_(some))
        yield from (tuple(row) for row in connection.execute(query))


def import_consents(
    file: Path, people: People, region: str, at: dt.datetime
) -> dict[Recorded, int]:
    """Records the consents of a file, all or none; importing it again changes nothing.

    Args:
        file: CSV or Parquet with COLUMNS.
        people: Where they are recorded.
        region: The outlet's region for phones without a country.
        at: Now; a consent from the future is refused.

    Returns:
        How many were recorded, were there already, or are older than a withdrawal.

    Raises:
        LedgerError: If there is no such file, or it is not CSV or Parquet.
        ConsentRefused: At the first thing that is wrong, naming file, row and column.
    """
    table = read_all(look_at_files(str(file)).source, COLUMNS)
    for name in COLUMNS:
        if name not in table.columns:
            raise ConsentRefused(file.name, None, name, "missing")
    rows = table.select(pl.col(name).cast(pl.String).fill_null("") for name in COLUMNS)
    consents = []
    for number, row in enumerate(rows.iter_rows(named=True), 1):
        keys = [people.local_key(one) for one in identifiers(row["phone"], row["email"], region)]
        if not keys:
            reason = "neither it nor the e-mail is usable; expected a whole number or one address"
            raise ConsentRefused(file.name, number, "phone", reason)
        for name in ("notice", "recorded_by"):
            if not row[name].strip():
                raise ConsentRefused(file.name, number, name, "empty; expected a value")
        moment = _moment(file.name, number, row["recorded_at"], at)
        key, *also = keys
        consents.append(Consent(key, row["notice"], moment, row["recorded_by"], tuple(also)))
    counts = Counter(people.record_consents(consents))
    return {outcome: counts[outcome] for outcome in Recorded}


def export_consents(file: Path, people: People, identifiers: Mapping[str, str]) -> tuple[int, int]:
    """Writes the standing consents as a file that `import_consents` reads, for its owner only.

    Args:
        file: Where to.
        people: Whose.
        identifiers: Identifiers of the client book's customers by key; the store has none.

    Returns:
        How many were written, and how many were left out because nobody in the client book has
        their key.
    """
    standing = people.consents().filter(pl.col("withdrawn_at").is_null())
    known = standing.filter(pl.col("key").is_in(list(identifiers)))
    tagged = [identifiers[key].partition(":") for key in known["key"]]
    table = known.with_columns(
        pl.Series("phone", [one if tag == "tel" else "" for tag, _, one in tagged], pl.String),
        pl.Series("email", [one if tag == "mailto" else "" for tag, _, one in tagged], pl.String),
    )
    write_private(file, table.select(COLUMNS).write_csv().encode())
    return len(known), len(standing) - len(known)


def _moment(source: str, row: int, text: str, now: dt.datetime) -> dt.datetime:
    try:
        moment = dt.datetime.fromisoformat(text.strip())
    except ValueError:
        reason = "not a moment, expected ISO 8601 such as 2026-03-01T10:30:00+08:00"
        raise ConsentRefused(source, row, "recorded_at", reason) from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    if moment > now + _CLOCK_SKEW:
        raise ConsentRefused(source, row, "recorded_at", "in the future")
    return moment


def text_of_moment(at: dt.datetime) -> str:
    """Moments as text that sorts like them."""
    return at.astimezone(dt.UTC).isoformat(timespec="microseconds")
