"""The log of nights: one row a night, and a lock that lets one night run at a time.

Invariant: what a row says happened has happened. A step is named before it begins, and what came of
it is written after its own transaction; so a kill leaves a row that says less than was done, never
more, and every step may be done again.

A row that has not ended was killed. What the next start makes of it:

| killed | the next start |
|---|---|
| before HQ said goodnight | begins the same night anew: every step again |
| after HQ said goodnight | ends that night: every step again but the answers |
| so long ago that HQ's night is over | ends the row as interrupted, and begins a night of its own |

A number stands for one night, however often it was started.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import os
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Self

import sqlalchemy as sa

from outlet_client.database import Store
from outlet_client.errors import NotConfigured
from outlet_client.moments import MomentText
from outlet_client.people.registration import COUNTS, Introduced

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

LOCK_FILE = "nightly.lock"
KEEP_DAYS = 400
"""Rows of nights that began earlier are purged."""

_METADATA = sa.MetaData()
_NIGHTS = sa.Table(
    "nights",
    _METADATA,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("started", MomentText, nullable=False),
    sa.Column("starts", sa.Integer, nullable=False),
    sa.Column("step", sa.Text),
    sa.Column("tonight", sa.JSON(none_as_null=True)),
    sa.Column("answered", sa.Integer),
    sa.Column("asked", sa.Integer, nullable=False),
    sa.Column("evaluated", sa.Integer, nullable=False),
    sa.Column("messages", sa.Integer, nullable=False),
    sa.Column("registered", sa.Integer, nullable=False),
    sa.Column("withdrawn", sa.Integer, nullable=False),
    sa.Column("rows", sa.Integer),
    sa.Column("quarantined", sa.Integer),
    sa.Column("ignored", sa.Integer),
    sa.Column("walk_ins", sa.Integer),
    sa.Column("ended", MomentText),
    sa.Column("outcome", sa.Text),
    sa.Column("error", sa.Text),
)


ROW_COUNTS = ("rows", "quarantined", "ignored", "walk_ins")
"""What a night says of the ledger's rows, each a count of `Intake`."""


class NightStep(StrEnum):
    """A night's steps, in order."""

    LEDGER = "ledger"
    PEOPLE = "people"
    ANSWERS = "answers"
    BOOK = "book"
    LOG = "log"
    REPORT = "report"
    RETENTION = "retention"


class NightOutcome(StrEnum):
    """How a night ended."""

    COMPLETE = "complete"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class NightRow:
    """One night's row.

    Attributes:
        starts: How often it was started; more than once where it was killed.
        tonight: What roll call said, once the outlet was ready for it.
        answered: How many questions were answered before goodnight; None until then.
        asked: Evaluations that were asked of each holder, over all starts.
        messages: Sealed messages that the relay took, likewise.
        ended: When; None while it runs, or after a kill.
    """

    number: int
    started: dt.datetime
    starts: int = 1
    step: NightStep | None = None
    tonight: Mapping[str, str] | None = None
    answered: int | None = None
    asked: int = 0
    evaluated: int = 0
    messages: int = 0
    registered: int = 0
    withdrawn: int = 0
    rows: int | None = None
    quarantined: int | None = None
    ignored: int | None = None
    walk_ins: int | None = None
    ended: dt.datetime | None = None
    outcome: NightOutcome | None = None
    error: str | None = None

    @property
    def sent(self) -> Introduced:
        """What was done for the people, over all starts; who waits is not in a row."""
        counts = {name: getattr(self, name) for name in COUNTS}
        return Introduced(**counts, waiting=0, quota=None)

    def with_sent(self, more: Introduced) -> NightRow:
        """The night with what another start did for the people."""
        return replace(self, **{name: getattr(self, name) + getattr(more, name) for name in COUNTS})


class NightLog(Store):
    """The nights behind one SQLAlchemy URL."""

    @classmethod
    def open(cls, home: Path) -> Self:
        """Opens the log in an outlet's folder."""
        return cls(f"sqlite:///{home / 'outlet.db'}", _METADATA)

    def begin(self, at: dt.datetime, longest: dt.timedelta) -> NightRow:
        """Begins a night, or goes on with one that was killed; see the module's table.

        Args:
            at: Now.
            longest: What a night that was started longer ago cannot be any more: HQ's.
        """
        with self.transaction() as connection:
            last = _last(connection, 1)
            if last and last[0].ended is None:
                if dt.timedelta(0) <= at - last[0].started <= longest:
                    night = replace(last[0], starts=last[0].starts + 1)
                    _update(connection, night)
                    return night
                _update(connection, replace(last[0], ended=at, outcome=NightOutcome.INTERRUPTED))
            night = NightRow(last[0].number + 1 if last else 1, at)
            connection.execute(_NIGHTS.insert().values(asdict(night)))
            return night

    def write(self, night: NightRow) -> None:
        """Replaces a night's row."""
        with self.transaction() as connection:
            _update(connection, night)

    def last(self, most: int) -> list[NightRow]:
        """The last nights, the newest first; a night that writes is not waited for."""
        with self.reading() as connection:
            return _last(connection, most)

    def unreported(self, number: int) -> list[NightRow]:
        """The nights right before one that were broken off before their report, the newest first.

        What they sent is in no report yet.
        """
        query = sa.select(_NIGHTS).where(_NIGHTS.c.number < number)
        with self.reading() as connection:
            rows = connection.execute(query.order_by(_NIGHTS.c.number.desc())).mappings()
            nights = takewhile(
                lambda one: one.outcome is NightOutcome.INTERRUPTED, map(_night, rows)
            )
            return [night for night in nights if night.step is not NightStep.RETENTION]

    def purge(self, before: dt.datetime) -> int:
        """Removes the rows of nights that ended earlier, and says how many."""
        with self.transaction() as connection:
            old = _NIGHTS.delete().where(_NIGHTS.c.ended < before)
            return connection.execute(old).rowcount


@contextmanager
def one_night_at_a_time(home: Path) -> Iterator[bool]:
    """Takes the outlet's folder for one night; whatever ends the process gives it back.

    Yields:
        Whether it was free.

    Raises:
        NotConfigured: If there is no such folder.
    """
    try:
        lock = os.open(home / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except (FileNotFoundError, NotADirectoryError) as error:
        reason = "no such file or folder; `escapement-outlet enrol` makes one"
        raise NotConfigured(f"{home}: {reason}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(lock)


def _last(connection: sa.Connection, most: int) -> list[NightRow]:
    query = sa.select(_NIGHTS).order_by(_NIGHTS.c.number.desc()).limit(most)
    return [_night(row) for row in connection.execute(query).mappings()]


def _update(connection: sa.Connection, night: NightRow) -> None:
    update = _NIGHTS.update().where(_NIGHTS.c.number == night.number)
    connection.execute(update.values(asdict(night)))


def _night(row: Mapping[Any, Any]) -> NightRow:
    step, outcome = row["step"], row["outcome"]
    return NightRow(
        **{
            **row,
            "step": step and NightStep(step),
            "outcome": outcome and NightOutcome(outcome),
        }
    )
