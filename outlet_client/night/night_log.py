"""What this outlet's nights did: one row a night, and one night at a time.

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
import json
import os
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Self

import sqlalchemy as sa

from outlet_client.database import engine_of, make_tables, reader_of
from outlet_client.errors import NotConfigured
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
    sa.Column("started", sa.Text, nullable=False),
    sa.Column("starts", sa.Integer, nullable=False),
    sa.Column("step", sa.Text),
    sa.Column("tonight", sa.Text),
    sa.Column("answered", sa.Integer),
    sa.Column("asked", sa.Integer, nullable=False),
    sa.Column("evaluated", sa.Integer, nullable=False),
    sa.Column("messages", sa.Integer, nullable=False),
    sa.Column("registered", sa.Integer, nullable=False),
    sa.Column("withdrawn", sa.Integer, nullable=False),
    sa.Column("rows", sa.Integer),
    sa.Column("quarantined", sa.Integer),
    sa.Column("ended", sa.Text),
    sa.Column("outcome", sa.Text),
    sa.Column("error", sa.Text),
)


class Step(StrEnum):
    """A night's steps, in order."""

    LEDGER = "ledger"
    PEOPLE = "people"
    ANSWERS = "answers"
    BOOK = "book"
    LOG = "log"
    REPORT = "report"
    RETENTION = "retention"


class Outcome(StrEnum):
    """How a night ended."""

    COMPLETE = "complete"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class Night:
    """One night's row.

    Attributes:
        number: Counts this outlet's nights, from 1.
        started: When it was first started, UTC.
        starts: How often it was started; more than once where it was killed.
        step: The last that began; None before the first.
        tonight: What roll call said, once the outlet was ready for it.
        answered: How many questions were answered before goodnight; None until then.
        asked: Evaluations that were asked of each holder, over all starts.
        evaluated: New tokens, likewise.
        messages: Sealed messages that the relay took, likewise.
        registered: Registrations among them, likewise.
        withdrawn: Withdrawals among them, likewise.
        rows: Of the ledger.
        quarantined: Those of them that could not be used.
        ended: When; None while it runs, or after a kill.
        outcome: None likewise.
        error: The type of the first error; None where there was none.
    """

    number: int
    started: dt.datetime
    starts: int = 1
    step: Step | None = None
    tonight: Mapping[str, str] | None = None
    answered: int | None = None
    asked: int = 0
    evaluated: int = 0
    messages: int = 0
    registered: int = 0
    withdrawn: int = 0
    rows: int | None = None
    quarantined: int | None = None
    ended: dt.datetime | None = None
    outcome: Outcome | None = None
    error: str | None = None

    @property
    def sent(self) -> Introduced:
        """What was done for the people, over all starts; who waits is not in a row."""
        counts = {name: getattr(self, name) for name in COUNTS}
        return Introduced(**counts, waiting=0, quota=None)

    def with_sent(self, more: Introduced) -> Night:
        """The night with what another start did for the people."""
        return replace(self, **{name: getattr(self, name) + getattr(more, name) for name in COUNTS})


class NightLog:
    """The nights behind one SQLAlchemy URL."""

    def __init__(self, url: str) -> None:
        """Opens the log, making its table where it is missing."""
        self._engine = engine_of(url)
        self._reader = self._engine if url == "sqlite://" else reader_of(url)
        make_tables(self._engine, _METADATA)

    @classmethod
    def open(cls, home: Path) -> Self:
        """Opens the log in an outlet's folder."""
        return cls(f"sqlite:///{home / 'outlet.db'}")

    def close(self) -> None:
        """Closes all connections."""
        self._engine.dispose()
        self._reader.dispose()

    def begin(self, at: dt.datetime, longest: dt.timedelta) -> Night:
        """Begins a night, or goes on with one that was killed; see the module's table.

        Args:
            at: Now.
            longest: What a night that was started longer ago cannot be any more: HQ's.
        """
        with self._engine.begin() as connection:
            last = _last(connection, 1)
            if last and last[0].ended is None:
                if dt.timedelta(0) <= at - last[0].started <= longest:
                    night = replace(last[0], starts=last[0].starts + 1)
                    _update(connection, night)
                    return night
                _update(connection, replace(last[0], ended=at, outcome=Outcome.INTERRUPTED))
            night = Night(last[0].number + 1 if last else 1, at)
            connection.execute(_NIGHTS.insert().values(_cells(night)))
            return night

    def write(self, night: Night) -> None:
        """Replaces a night's row."""
        with self._engine.begin() as connection:
            _update(connection, night)

    def last(self, most: int) -> list[Night]:
        """The last nights, the newest first; a night that writes is not waited for."""
        with self._reader.connect() as connection:
            return _last(connection, most)

    def unreported(self, number: int) -> list[Night]:
        """The nights right before one that were broken off before their report, the newest first.

        What they sent is in no report yet.
        """
        query = sa.select(_NIGHTS).where(_NIGHTS.c.number < number)
        with self._reader.connect() as connection:
            rows = connection.execute(query.order_by(_NIGHTS.c.number.desc())).mappings()
            nights = takewhile(lambda one: one.outcome is Outcome.INTERRUPTED, map(_night, rows))
            return [night for night in nights if night.step is not Step.RETENTION]

    def purge(self, before: dt.datetime) -> int:
        """Removes the rows of nights that ended earlier, and says how many."""
        with self._engine.begin() as connection:
            old = _NIGHTS.delete().where(_NIGHTS.c.ended < _text(before))
            return connection.execute(old).rowcount


@contextmanager
def alone(home: Path) -> Iterator[bool]:
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


def _last(connection: sa.Connection, most: int) -> list[Night]:
    query = sa.select(_NIGHTS).order_by(_NIGHTS.c.number.desc()).limit(most)
    return [_night(row) for row in connection.execute(query).mappings()]


def _update(connection: sa.Connection, night: Night) -> None:
    update = _NIGHTS.update().where(_NIGHTS.c.number == night.number)
    connection.execute(update.values(_cells(night)))


def _night(row: Mapping[Any, Any]) -> Night:
    cells = dict(row)
    cells["started"] = dt.datetime.fromisoformat(row["started"])
    for name, read in (
        ("step", Step),
        ("tonight", json.loads),
        ("ended", dt.datetime.fromisoformat),
        ("outcome", Outcome),
    ):
        cells[name] = None if row[name] is None else read(row[name])
    return Night(**cells)


def _cells(night: Night) -> dict[str, Any]:
    tonight = None if night.tonight is None else json.dumps(dict(night.tonight))
    ended = None if night.ended is None else _text(night.ended)
    return {
        **asdict(night),
        "started": _text(night.started),
        "tonight": tonight,
        "ended": ended,
    }


def _text(at: dt.datetime) -> str:
    """Moments as text that sorts like them."""
    return at.astimezone(dt.UTC).isoformat(timespec="microseconds")
