"""Runs the outlet's night: ledger, people, answers, book, log, report, retention.

Invariant: each step may be killed anywhere and done again: what it leaves is one transaction, or
stored before it is sent. One night runs at a time in a folder.

What is durable after each step, and what it needs, stands in ARCHITECTURE.md, "A night". A step
that fails stops those that need it, and no other: withdrawals leave, the book comes and what is too
old goes, whatever became of the rest. The first error decides how the night ended. Its mail comes
after that, and decides nothing.
"""

from __future__ import annotations

import datetime as dt
import logging
import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError

from features.protocol import app_digest
from outlet_client.database import check_databases, database_error_text
from outlet_client.errors import OWN_ERRORS, Unforeseen
from outlet_client.folder_locks import in_use
from outlet_client.logs import NightProgress
from outlet_client.night.flower_node import client_app, join_night
from outlet_client.night.night_journal import (
    error_text,
    mark_start_failure,
    open_journal,
    seconds_text,
)
from outlet_client.night.night_log import ROW_COUNTS, NightStep, one_night_at_a_time
from outlet_client.night.night_mail import NightSummary, mail_night
from outlet_client.night.night_steps import Nightly
from outlet_client.night.step_failures import StepFailure
from outlet_client.people.people_store import People
from outlet_client.services import services_of
from privacy.identity import PartyKind
from privacy.keyring import Keyring

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from outlet_client.contribution.contributions import Outlet
    from outlet_client.night.night_journal import NightJournal

__all__ = ["Nightly", "nightly"]

_LOG = logging.getLogger(__name__)


def nightly(home: Path, shown: NightProgress | None = None) -> int | None:
    """Runs tonight's night, or what a kill left of it.

    Returns:
        How many questions were answered; None where a night runs here already.

    Raises:
        FolderInUse: If an upgrade runs.
        OutletError: If the night cannot be joined, or ends badly; or what made this outlet refuse
            its first question, once the night is over.
        PrivacyError: If a key or card is missing.
        FeatureError: If the ledger or the client book cannot be read, once the night is over.
    """
    with in_use(home), one_night_at_a_time(home) as free:
        if not free:
            _LOG.info("a night is running here already; nothing to do")
            return None
        with mark_start_failure(home):
            ring = Keyring(home, PartyKind.OUTLET)
            ring.finish_where_over(dt.datetime.now(dt.UTC))
            check_databases(home)  # without corrections or withdrawals it would tell too much
            people, services = People.open(home, ring.identity()), services_of(ring)
            night = Nightly(home, people, services, [], shown=shown or NightProgress())
        with closing(night):
            return _run(night)


def _run(night: Nightly) -> int:
    settings = night.settings
    longest = dt.timedelta(hours=settings.night_hours, minutes=settings.join_minutes)
    with open_journal(night.home, longest) as account:
        if account.night.starts > 1:
            last = account.night.step or "none yet"
            _LOG.warning("the night was killed, its last step was %s; it goes on", last)
        for step, work in _STEPS.items():
            with _going_on(night, step):
                night.shown.begin(step)
                account.step(step)
                work(night, account)
        with _going_on(night, NightStep.RETENTION):
            account.end(night.refusals[0] if night.refusals else None)
        began = account.night.started
        mail_night(night.home, NightSummary(began, tuple(night.failures), night.intake))
        if night.refusals:
            raise night.refusals[0]
        _LOG.info("night complete, %d questions answered", account.night.answered or 0)
        return account.night.answered or 0


@contextmanager
def _going_on(night: Nightly, step: NightStep) -> Iterator[None]:
    """Keeps what a step raised for the end; its text is not logged unless it is ours."""
    earlier = len(night.refusals)
    try:
        yield
    except Exception as error:  # noqa: BLE001  (whatever it is, the other steps go on)
        night.refusals.append(_of_ours(error, step))
        night.shown.failed()
    night.failures += [StepFailure.of(step, one) for one in night.refusals[earlier:]]


def _of_ours(error: Exception, step: NightStep) -> Exception:
    """What ended a step, if its text may be written: our own, a file's, SQLite's; else its type."""
    if isinstance(error, DBAPIError) and isinstance(error.orig, sqlite3.Error):
        ours: Exception = OSError(database_error_text(error))
    elif isinstance(error, (*OWN_ERRORS, OSError)):
        ours = error
    else:
        ours = Unforeseen(f"step {step}", error)
    _LOG.error("%s", error_text(ours), exc_info=error if isinstance(ours, Unforeseen) else None)
    return ours


def _ledger(night: Nightly, account: NightJournal) -> None:
    try:
        night.take_in()
    finally:
        if night.intake is not None:
            account.note(**{name: getattr(night.intake, name) for name in ROW_COUNTS})


def _people(night: Nightly, account: NightJournal) -> None:
    night.introduce()
    if night.introduced is not None:
        account.note_sent(night.introduced)


def _answers(night: Nightly, account: NightJournal) -> None:
    """Joins and answers until goodnight; where HQ said it before a kill, only gets ready."""
    if night.read is None or night.book is None:
        _LOG.error("no answers tonight, for lack of a ledger or a client book")
        return
    if account.night.answered is not None:
        if account.night.tonight is not None:
            night.prepare(account.night.tonight)
        return

    def prepare(tonight: Mapping[str, str]) -> Outlet:
        made = night.prepare(tonight)
        account.note(tonight=dict(tonight))
        return made

    ring, refusals = Keyring(night.home, PartyKind.OUTLET), list[Exception]()
    identity = ring.identity()
    _LOG.info("waiting for HQ's night, at most %g minutes", night.settings.join_minutes)
    try:
        answered = join_night(
            client_app(identity.card.name, prepare, refusals),
            identity,
            ring.peer(PartyKind.HQ),
            app_digest(),
            window=60 * night.settings.join_minutes,
            night=3600 * night.settings.night_hours,
        )
        account.note(answered=answered)
    finally:
        what = "a question could not be answered"
        night.refusals += [
            error if isinstance(error, OWN_ERRORS) else Unforeseen(what, error)
            for error in refusals
        ]


def _book(night: Nightly, account: NightJournal) -> None:
    account.note_health(book_as_of=night.fetch_book())


def _log(night: Nightly, account: NightJournal) -> None:
    try:
        night.countersign()
    finally:
        if night.log is not None:
            signed, findings = seconds_text(night.log.at), len(night.log.findings)
            account.note_health(log_countersigned=signed, log_findings=findings)


_STEPS: dict[NightStep, Callable[[Nightly, NightJournal], None]] = {
    NightStep.LEDGER: _ledger,
    NightStep.PEOPLE: _people,
    NightStep.ANSWERS: _answers,
    NightStep.BOOK: _book,
    NightStep.LOG: _log,
    NightStep.REPORT: lambda night, account: night.report(*account.unreported()),
    NightStep.RETENTION: lambda night, _: night.retain(),
}
