"""The history of consents in the outlet's store.

Invariant: the history is only added to, but for the moment at which a consent ended; and a consent
that is not younger than a withdrawal never undoes it. A phone or e-mail is read from a file, turned
into a key and forgotten.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

import polars as pl
import sqlalchemy as sa

from outlet_client.moments import text_of_moment
from outlet_client.people.tables import CONSENTS, rows_of

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping, Sequence


class Consent(NamedTuple):
    """One consent as it was recorded.

    Attributes:
        at: When, with a time zone.
        also: Keys of what else was typed, such as an e-mail beside the phone.
    """

    key: str
    notice: str
    at: dt.datetime
    by: str
    also: tuple[str, ...] = ()


class Recorded(StrEnum):
    """The outcome of recording a consent."""

    NEW = "recorded"
    ALREADY = "recorded already"
    TOO_OLD = "older than a withdrawal"


def add_consents(
    connection: sa.Connection, consents: Sequence[Consent], withdrawn: Mapping[str, str]
) -> list[Recorded]:
    """Adds consents to the history; returns what became of each, in order."""
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


def consent_history(connection: sa.Connection) -> pl.DataFrame:
    """All consents: key, notice, recorded_at, recorded_by, withdrawn_at; all String."""
    query = sa.select(CONSENTS).order_by(CONSENTS.c.recorded_at, CONSENTS.c.key)
    rows = [tuple(row) for row in connection.execute(query)]
    return pl.DataFrame(rows, schema=dict.fromkeys(CONSENTS.c.keys(), pl.String), orient="row")
