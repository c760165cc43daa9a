"""The mail that says how a night went.

Invariant: it tells a mailbox's reader no more than this outlet's name, days, kinds of errors,
counts of ledger rows and log findings, and where the report is. Nothing of a customer, no count
of people, and no error's text is in it. Whatever becomes of it, the night is what it was.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from outlet_client.errors import OWN_ERRORS
from outlet_client.night.health_file import read_health, write_health
from outlet_client.night.step_failures import advice
from outlet_client.report.mail_delivery import PATIENCE, compose_mail, deliver
from outlet_client.report.night_facts import LATEST
from outlet_client.settings import MailSettings
from privacy.errors import PrivacyError
from privacy.identity import PartyKind
from privacy.keyring import Keyring

if TYPE_CHECKING:
    import datetime as dt
    from pathlib import Path

    from outlet_client.ledger.intake import Intake
    from outlet_client.night.health_file import Health
    from outlet_client.night.step_failures import StepFailure

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NightSummary:
    """How a night went.

    Attributes:
        began: When, UTC.
        failures: In the order in which they came up.
        intake: What became of the ledger's rows; None where it was not read.
    """

    began: dt.datetime
    failures: tuple[StepFailure, ...]
    intake: Intake | None


def mail_night(home: Path, night: NightSummary, patience: float = PATIENCE) -> None:
    """Mails how a night went, where the settings ask for it; raises nothing.

    Why it was not sent goes into log and health file.
    """
    said: str | None = None
    try:
        _try_to_mail(home, night, patience)
    except Exception as error:  # noqa: BLE001  (a night is what it was without its mail)
        said = str(error) if isinstance(error, OWN_ERRORS) else type(error).__name__
        _LOG.error("the night was not mailed: %s", said)
    try:
        health = read_health(home)
        if health is not None and health.mail_error != said:
            write_health(home, replace(health, mail_error=said))
    except OSError as error:
        _LOG.error("the health file was not written: %s", type(error).__name__)


def _try_to_mail(home: Path, night: NightSummary, patience: float) -> None:
    settings = MailSettings.read(home / "escapement.toml")
    if settings is None or (settings.only_on_failure and not night.failures):
        return
    subject, text = night_text(home, outlet_name(home), night, read_health(home))
    deliver(settings, compose_mail(settings, subject, text), patience)
    _LOG.info("the night was mailed")


def mail_test(home: Path, settings: MailSettings) -> None:
    """Sends a mail that says nothing but that it came.

    Raises:
        MailFailed: If it was not taken for everybody.
    """
    when = "failed" if settings.only_on_failure else "ended"
    text = f"A test of [mail] in escapement.toml: a mail comes after each night that {when}.\n"
    deliver(settings, compose_mail(settings, f"Escapement {outlet_name(home)}: test", text))


def outlet_name(home: Path) -> str:
    """The outlet's name; its folder's where there are no keys to say it."""
    try:
        return Keyring(home, PartyKind.OUTLET).identity().card.name
    except (PrivacyError, OSError):
        return home.resolve().name


def night_text(
    home: Path, outlet: str, night: NightSummary, health: Health | None
) -> tuple[str, str]:
    """A mail's subject and text."""
    day = f"night of {night.began.date()}"
    ended = f"ended with {night.failures[0].kind}" if night.failures else "complete"
    lines = [f"{outlet}: {day} {ended}.", ""]
    lines += [f"Failed: {one.step or 'no night began'}: {one.kind}" for one in night.failures]
    lines.append(_rows(night.intake))
    if health is not None:
        book, signed = health.book_as_of, (health.log_countersigned or "never")[:10]
        lines.append(f"Band book: {'none yet' if book is None else f'as of {book}'}")
        lines.append(f"Log: last countersigned {signed}, findings: {health.log_findings}")
    lines += [f"Next: {one}" for one in _next(night)]
    lines.append(f"Report, on the outlet's machine: {home.resolve() / LATEST}")
    return f"Escapement {outlet}: {day} {ended}", "\n".join(lines) + "\n"


def _rows(intake: Intake | None) -> str:
    if intake is None:
        return "Ledger: not read"
    return (
        f"Ledger: {intake.used:,} rows used, {intake.ignored:,} no events, {intake.walk_ins:,} of "
        f"walk-ins, {intake.quarantined:,} in quarantine"
    )


def _next(night: NightSummary) -> list[str]:
    steps = list(dict.fromkeys(advice(one.kind) for one in night.failures))
    if night.intake is not None and night.intake.quarantined:
        steps.append("quarantine.csv says which rows are in quarantine and why")
    return [*steps, "`escapement-outlet status` says how the outlet stands"]
