"""Consents: their history in the outlet's store, and as files, in and out.

Invariant: the history is only added to, but for the moment at which a consent ended; and a consent
that is not younger than a withdrawal never undoes it. A phone or e-mail is read from a file, turned
into a key and forgotten.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl
import sqlalchemy as sa

from outlet_client.moments import text_of_moment
from outlet_client.people.tables import CONSENTS

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator, Mapping, Sequence


_KEYS_A_QUERY = 500


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
