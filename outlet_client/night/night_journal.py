"""Records a night as it runs: its row in the night log, the health file, the log position.

Invariant: the row is written first. A monitor that reads the health file never learns of a step
that the row does not name.
"""

from __future__ import annotations

from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import SQLAlchemyError

from outlet_client.database import database_error_text
from outlet_client.errors import OWN_ERRORS
from outlet_client.logs import set_log_position
from outlet_client.moments import now
from outlet_client.night.health_file import Condition, Health, read_health, write_health
from outlet_client.night.night_log import (
    ROW_COUNTS,
    NightLog,
    NightOutcome,
    NightRow,
    NightStep,
)
from outlet_client.night.night_mail import NightSummary, mail_night
from outlet_client.night.step_failures import StepFailure

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator
    from pathlib import Path

    from outlet_client.people.registration import Introduced


class NightJournal:
    """The records of one night, kept up to date while it runs."""

    def __init__(self, home: Path, log: NightLog, night: NightRow, health: Health) -> None:
        """Takes a night that began; see `open_journal`."""
        self.night = night
        self._home, self._log, self._health = home, log, health
        set_log_position(night.number, None)

    def step(self, step: NightStep) -> None:
        """A step begins."""
        self.note(step=step)
        set_log_position(self.night.number, step)
        self._write()

    def note(self, **changes: Any) -> None:
        """Changes cells of the row."""
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

    def note_health(self, **changes: Any) -> None:
        """Changes fields of the health file, which is written with the next step."""
        self._health = replace(self._health, **changes)

    def end(self, error: BaseException | None) -> None:
        """The night has ended, with the first error where there was one."""
        outcome = NightOutcome.COMPLETE if error is None else NightOutcome.FAILED
        kind = None if error is None else type(error).__name__
        self.note(ended=now(), outcome=outcome, error=kind)
        self._write(error)

    def _counts(self) -> dict[str, Any]:
        """What became of the ledger's rows; what the last night says until this one has read it."""
        told = self._health if self.night.rows is None else self.night
        return {name: getattr(told, name) for name in ROW_COUNTS}

    def _write(self, error: BaseException | None = None) -> None:
        night, ended = self.night, seconds_text(self.night.ended)
        running = Condition.RUNNING if ended is None else Condition.OK
        complete = ended if night.outcome is NightOutcome.COMPLETE else self._health.last_complete
        self._health = replace(
            self._health,
            status=running if error is None else Condition.FAILED,
            night=night.number,
            step=night.step,
            started=seconds_text(night.started),
            ended=ended,
            last_complete=complete,
            error=None if error is None else error_text(error),
            **self._counts(),
        )
        write_health(self._home, self._health)


@contextmanager
def open_journal(home: Path, longest: dt.timedelta) -> Iterator[NightJournal]:
    """Begins a night's records, or goes on with those of a killed one; see `NightLog.begin`."""
    with mark_start_failure(home):
        log = NightLog.open(home)
    with closing(log):
        with mark_start_failure(home):
            night = log.begin(now(), longest)
        yield NightJournal(home, log, night, read_health(home) or Health(Condition.RUNNING))


@contextmanager
def mark_start_failure(home: Path) -> Iterator[None]:
    """Writes into the health file, and mails, what stopped a night before it had a row."""
    try:
        yield
    except Exception as error:
        mark_not_begun(home, error)
        failure = StepFailure.of(None, error)
        mail_night(home, NightSummary(now(), (failure,), None))
        raise


def mark_not_begun(home: Path, error: BaseException) -> None:
    """Writes into the health file that no night could begin."""
    before = read_health(home) or Health(Condition.FAILED)
    at = seconds_text(now())
    write_health(
        home,
        replace(
            before, status=Condition.FAILED, night=None, step=None,
            started=at, ended=at, error=error_text(error),
        ),
    )  # fmt: skip


def error_text(error: BaseException) -> str:
    """The text of an error that may be written: our own, a file's, else only its type."""
    if isinstance(error, SQLAlchemyError):
        return database_error_text(error)
    return str(error) if isinstance(error, (*OWN_ERRORS, OSError)) else type(error).__name__


def seconds_text(at: dt.datetime | None) -> str | None:
    """A moment as the health file has it."""
    return None if at is None else at.isoformat(timespec="seconds")
