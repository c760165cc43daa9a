"""What one night says of itself while it runs: its row, the health file, its place in the log.

Invariant: the row is written first. A monitor that reads the health file never learns of a step
that the row does not name.
"""

from __future__ import annotations

import datetime as dt
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import SQLAlchemyError

from features.errors import FeatureError
from outlet_client.database import said_of
from outlet_client.errors import OutletError
from outlet_client.logs import place
from outlet_client.night.health_file import Condition, Health, read_health, write_health
from outlet_client.night.night_log import Night, NightLog, Outcome, Step
from privacy.errors import PrivacyError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from outlet_client.people.registration import Introduced
    from outlet_client.records.countersigning import LogStanding

OWN_ERRORS = (OutletError, PrivacyError, FeatureError)
"""Whose text holds no customer's data."""


class Account:
    """One night's account.

    Attributes:
        night: Its row as it stands.
    """

    def __init__(self, home: Path, log: NightLog, night: Night, health: Health) -> None:
        """Takes a night that began; see `account_of`."""
        self.night = night
        self._home, self._log, self._health = home, log, health
        place(night.number, None)

    def step(self, step: Step) -> None:
        """A step begins."""
        self.note(step=step)
        place(self.night.number, step)
        self._write()

    def note(self, **changes: Any) -> None:
        """Changes the row."""
        self.night = replace(self.night, **changes)
        self._log.write(self.night)

    def note_sent(self, more: Introduced) -> None:
        """Adds what this start did for the people."""
        self.night = self.night.with_sent(more)
        self._log.write(self.night)

    def unreported(self) -> tuple[dt.datetime, Introduced]:
        """Since when what left is in no report yet, and what was done for the people since.

        Nights right before this one that were broken off had no report.
        """
        nights = [self.night, *self._log.unreported(self.night.number)]
        total = self.night
        for night in nights[1:]:
            total = total.with_sent(night.sent)
        return min(night.started for night in nights), total.sent

    def book(self, as_of: str | None) -> None:
        """Which band book is stored now."""
        self._health = replace(self._health, book_as_of=as_of)

    def log(self, found: LogStanding) -> None:
        """How the log stands."""
        at = _text(found.at)
        self._health = replace(self._health, log_countersigned=at, log_findings=len(found.findings))

    def end(self, error: BaseException | None) -> None:
        """The night has ended, with the first error where there was one."""
        outcome = Outcome.COMPLETE if error is None else Outcome.FAILED
        kind = None if error is None else type(error).__name__
        self.note(ended=_now(), outcome=outcome, error=kind)
        self._write(error)

    def _write(self, error: BaseException | None = None) -> None:
        night, ended = self.night, _text(self.night.ended)
        running = Condition.RUNNING if ended is None else Condition.OK
        complete = ended if night.outcome is Outcome.COMPLETE else self._health.last_complete
        self._health = replace(
            self._health,
            status=running if error is None else Condition.FAILED,
            night=night.number,
            step=night.step,
            started=_text(night.started),
            ended=ended,
            last_complete=complete,
            error=None if error is None else said(error),
            rows=night.rows if night.rows is not None else self._health.rows,
            quarantined=self._health.quarantined if night.rows is None else night.quarantined,
        )
        write_health(self._home, self._health)


@contextmanager
def account_of(home: Path, longest: dt.timedelta) -> Iterator[Account]:
    """Begins a night or goes on with one that was killed; see `NightLog.begin`."""
    with beginning(home):
        log = NightLog.open(home)
    with closing(log):
        with beginning(home):
            night = log.begin(_now(), longest)
        yield Account(home, log, night, read_health(home) or Health(Condition.RUNNING))


@contextmanager
def beginning(home: Path) -> Iterator[None]:
    """Tells the health file of what stops a night before it has a row."""
    try:
        yield
    except Exception as error:
        could_not_begin(home, error)
        raise


def could_not_begin(home: Path, error: BaseException) -> None:
    """Tells the health file that no night could begin."""
    before = read_health(home) or Health(Condition.FAILED)
    at = _text(_now())
    write_health(
        home,
        replace(
            before, status=Condition.FAILED, night=None, step=None,
            started=at, ended=at, error=said(error),
        ),
    )  # fmt: skip


def said(error: BaseException) -> str:
    """What may be written of an error: our own text, the system's about a file; else the type."""
    if isinstance(error, SQLAlchemyError):
        return said_of(error)
    return str(error) if isinstance(error, (*OWN_ERRORS, OSError)) else type(error).__name__


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _text(at: dt.datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="seconds")
