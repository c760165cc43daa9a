"""The mail that says how a night went.

Invariant: it tells a mailbox's reader no more than this outlet's name, days, kinds of errors,
counts of ledger rows and log findings, how many things wait for a decision, and where the report
is. Nothing of a customer, no count of people, and no error's text is in it. Whatever becomes of it,
the night is what it was.
"""

from __future__ import annotations

import datetime as dt
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from outlet_client.errors import OWN_ERRORS
from outlet_client.night.health_file import read_health, write_health
from outlet_client.night.step_failures import advice, words
from outlet_client.report.mail_delivery import PATIENCE, compose_mail, deliver
from outlet_client.report.night_facts import LATEST
from outlet_client.report.night_figures import figures_before
from outlet_client.settings import MailSettings
from privacy.errors import PrivacyError
from privacy.identity import PartyKind
from privacy.keyring import Keyring

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from outlet_client.ledger.intake import Intake
    from outlet_client.night.health_file import Health
    from outlet_client.night.step_failures import StepFailure
    from outlet_client.report.night_figures import Figures

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
    """A mail's subject and text, in the report's order: decide, broke, changed, the rest."""
    day, found = f"night of {night.began.date()}", _figures(home, night)
    ended = f"failed: {words(night.failures[0].kind)}" if night.failures else "complete"
    since = "" if found is None or found.since is None else f" since {found.since}"
    changed = _rows(night.intake) if found is None else found.changed
    lines = [f"{outlet}: {day} {ended}", "", _to_decide(found), ""]
    lines += _part("What broke", _broke(night, found)) + _part(f"What changed{since}", changed)
    if night.intake is not None:
        apart = f"{night.intake.ignored:,} no events, {night.intake.walk_ins:,} of walk-ins"
        lines.append(f"Rows that do not count: {apart}")
    if health is not None:
        book, signed = health.book_as_of, (health.log_countersigned or "never")[:10]
        if book is None or not any(book in one for one in changed):
            lines.append(f"Band book: {'none yet' if book is None else f'as of {book}'}")
        lines.append(f"Log: last countersigned {signed}, findings: {health.log_findings}")
    lines.append(f"Report, on the outlet's machine: {home.resolve() / LATEST}")
    lines.append("How the outlet stands: `escapement-outlet status`")
    return f"Escapement {outlet}: {day} {ended}", "\n".join(lines) + "\n"


def _figures(home: Path, night: NightSummary) -> Figures | None:
    """What this night's report left for its mail; None where it wrote none."""
    found = figures_before(home, dt.date.max)
    if found is None or dt.datetime.fromisoformat(found[1].at) < night.began:
        return None
    return found[1]


def _to_decide(found: Figures | None) -> str:
    if found is None:
        return "To decide: no report was written that could say"
    some = f"{found.to_decide} {'thing' if found.to_decide == 1 else 'things'}, see the report"
    return f"To decide: {some if found.to_decide else 'nothing'}"


def _broke(night: NightSummary, found: Figures | None) -> list[str]:
    said = []
    for one in dict.fromkeys(night.failures):
        what = f"{one.step or 'no night began'}: {words(one.kind)}"
        said.append(f"{what}; {advice(one.kind)}.")
    if found is None:
        return said + ([] if night.intake is not None else ["The ledger was not read."])
    return [*said, *found.broke]


def _part(heading: str, said: Sequence[str]) -> list[str]:
    if not said:
        return [f"{heading}: nothing", ""]
    return [f"{heading}:", *(f"- {one}" for one in said), ""]


def _rows(intake: Intake | None) -> list[str]:
    if intake is None:
        return []
    return [f"{intake.used:,} ledger rows in use, {intake.quarantined:,} in quarantine."]
