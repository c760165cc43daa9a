"""How a command ends: one line and a documented exit code for each of our own errors.

Invariant: an error of our own ends a program with one line and a documented exit code; any other
error is a defect, and is shown as one.
"""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer
from rich.markup import escape
from sqlalchemy.exc import SQLAlchemyError

from outlet_client.commands.output import ERR
from outlet_client.database import database_error_text
from outlet_client.errors import (
    OWN_ERRORS,
    CardsApart,
    ClockOff,
    HqUnreachable,
    NotConfigured,
    NotOnTheList,
    QuotaSpent,
    ServiceBusy,
    ServiceUnreachable,
)
from outlet_client.ledger.event_reader import TooManyBad
from outlet_client.records.log_audit import LogContradicted
from outlet_client.report.mail_delivery import MailFailed
from privacy.identity import CardRefused, CertificateEnded
from privacy.keyring import KeyringError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EXIT_CODES: dict[type[Exception], int] = {
    HqUnreachable: 3,
    NotOnTheList: 4,
    ClockOff: 5,
    NotConfigured: 6,
    KeyringError: 6,
    CardRefused: 6,
    CertificateEnded: 6,
    ServiceUnreachable: 3,
    ServiceBusy: 3,
    CardsApart: 6,
    QuotaSpent: 7,
    TooManyBad: 8,
    LogContradicted: 9,
    MailFailed: 11,
}
"""The one table from an error's type to an exit code; any other of our own is 1."""

_FULL = "the disk is full; make room, then run it again"
_FEW_FILES = "too many open files; raise the limit (LimitNOFILE in a systemd unit)"
_CAUSES: dict[int, str] = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL.replace("disk", "disk quota"),
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "no permission; is it this user's?",
    errno.EPERM: "no permission; is it this user's?",
    errno.EMFILE: _FEW_FILES,
    errno.ENFILE: _FEW_FILES,
}


def system_error_text(error: OSError) -> str:
    """What the system refused and why, by its number; errors of our own have none."""
    if error.errno is None:
        return str(error)
    said = _CAUSES.get(error.errno) or error.strerror or str(error)
    return f"{error.filename}: {said}" if error.filename else said


@contextmanager
def failing(say: Callable[[str], None] | None = None) -> Iterator[None]:
    """Ends the program with one line and a documented code for an error of our own.

    Args:
        say: Says the line; by default it is printed in red.
    """
    try:
        yield
    except (*OWN_ERRORS, OSError, SQLAlchemyError) as error:
        text = str(error)
        if isinstance(error, SQLAlchemyError):
            text = database_error_text(error)
        elif isinstance(error, OSError):
            text = system_error_text(error)
        (say or _print_error)(text)
        raise typer.Exit(EXIT_CODES.get(type(error), 1)) from error


def _print_error(text: str) -> None:
    said = escape(text)  # "[0, 1]" or "[[rule]]" in a message is no markup
    ERR.print(f"[bold red]error:[/] {said}", highlight=False, soft_wrap=True)
