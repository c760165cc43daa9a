"""Counts of evaluations, per day (UTC) and outlet, and alerts: what quotas stand on.

Invariant: an evaluation is counted, durably, before it is given. No point is ever stored.
"""

from __future__ import annotations

import datetime as dt
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from privacy.quotas import Quota, QuotaReached
from server.holder.database import StoreSchema, copy_store, open_store, reading

if TYPE_CHECKING:
    from collections.abc import Mapping

_LOG = logging.getLogger(__name__)

DAYS_KEPT = 30
_METADATA = sa.MetaData()
_EVALUATIONS = sa.Table(
    "evaluations",
    _METADATA,
    sa.Column("day", sa.Text, primary_key=True),
    sa.Column("outlet", sa.Text, primary_key=True),
    sa.Column("given", sa.BigInteger, nullable=False),
)
_ALERTS = sa.Table(
    "alerts",
    _METADATA,
    sa.Column("day", sa.Text, primary_key=True),
    sa.Column("who", sa.Text, primary_key=True),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("quota", sa.BigInteger, nullable=False),
)

FILE = "meter.db"
"""A file of its own, always: whoever asks for evaluations must not wait for a batch of
registrations, a transaction of minutes when a large network begins."""


def meter_schema(role: str, revision: str, program: str, migrations: str) -> StoreSchema:
    """The store of a holder's counts."""
    return StoreSchema(role, _METADATA, revision, program, migrations, 0, FILE)


IN_MEMORY = meter_schema("meter", "", "", "")


@dataclass(frozen=True, slots=True)
class Alert:
    """Somebody reached a quota; recorded once a day.

    Attributes:
        at: Unix seconds.
        who: An outlet's id, or "network".
        quota: Evaluations a day.
    """

    at: int
    who: str
    quota: int


class Meter:
    """Durable counts behind one SQLAlchemy URL."""

    def __init__(self, url: str, schema: StoreSchema = IN_MEMORY) -> None:
        """Opens the counts.

        Args:
            url: Such as `sqlite:///meter.db`; `sqlite://` for memory.
            schema: Of the holder's meter, where it is a file.

        Raises:
            StoreRefused: If there are none, or they are another holder's or release's.
        """
        self._engine, self._schema = open_store(url, schema), schema

    def take(self, outlet: str, asked: int, quota: Quota, at: float) -> None:
        """Counts evaluations that are about to be given; all of them or none.

        Args:
            outlet: Who asks.
            asked: For how many, at least 1.
            quota: How many a day allows.
            at: Unix seconds.

        Raises:
            ValueError: If `asked` is less than 1.
            QuotaReached: If the quota does not hold them; an alert is recorded then.
        """
        if asked < 1:
            raise ValueError(f"evaluations: got {asked}, expected at least 1")
        with self._engine.begin() as connection:
            reached = self._counted(connection, outlet, asked, quota, at)
        if reached is not None:
            raise reached

    def given(self, at: float) -> Mapping[str, int]:
        """Evaluations given on the day of `at`, by outlet."""
        query = sa.select(_EVALUATIONS.c.outlet, _EVALUATIONS.c.given)
        with reading(self._engine) as connection:
            rows = connection.execute(query.where(_EVALUATIONS.c.day == _day(at)))
            return {row.outlet: row.given for row in rows}

    def alerts(self, at: float) -> list[Alert]:
        """Alerts of the `DAYS_KEPT` days before `at`, the first one first."""
        query = sa.select(_ALERTS).where(_ALERTS.c.day >= _first_day(at))
        with reading(self._engine) as connection:
            rows = connection.execute(query.order_by(_ALERTS.c.at, _ALERTS.c.who))
            return [Alert(row.at, row.who, row.quota) for row in rows]

    def copy(self, url: str) -> None:
        """Copies the counts into a new file, for a backup."""
        copy_store(self._engine, url, self._schema)

    def close(self) -> None:
        """Closes all connections."""
        self._engine.dispose()

    def _counted(
        self, connection: sa.Connection, outlet: str, asked: int, quota: Quota, at: float
    ) -> QuotaReached | None:
        """Counts within a transaction; records an alert instead where a quota is reached."""
        for table in (_EVALUATIONS, _ALERTS):
            connection.execute(table.delete().where(table.c.day < _first_day(at)))
        today = _EVALUATIONS.c.day == _day(at)
        own = today & (_EVALUATIONS.c.outlet == outlet)
        had = connection.scalar(sa.select(_EVALUATIONS.c.given).where(own))
        everybody = connection.scalar(sa.select(sa.func.sum(_EVALUATIONS.c.given)).where(today))
        try:
            quota.check(outlet, asked, had or 0, everybody or 0)
        except QuotaReached as reached:
            _alert(connection, reached, at)
            return reached
        if had is None:
            row = {"day": _day(at), "outlet": outlet, "given": asked}
            connection.execute(_EVALUATIONS.insert().values(**row))
        else:
            connection.execute(_EVALUATIONS.update().where(own).values(given=had + asked))
        return None


def _alert(connection: sa.Connection, reached: QuotaReached, at: float) -> None:
    """Records and says that a quota was reached, once a day and who."""
    same = (_ALERTS.c.day == _day(at)) & (_ALERTS.c.who == reached.who)
    if connection.scalar(sa.select(_ALERTS.c.at).where(same)) is not None:
        return
    row = {"day": _day(at), "who": reached.who, "at": int(at), "quota": reached.quota}
    connection.execute(_ALERTS.insert().values(**row))
    _LOG.warning("alert: %s reached its quota of %d evaluations a day", reached.who, reached.quota)


def _day(at: float) -> str:
    return dt.datetime.fromtimestamp(at, dt.UTC).date().isoformat()


def _first_day(at: float) -> str:
    return _day(at - DAYS_KEPT * 86400)
