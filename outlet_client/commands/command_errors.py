"""How a command ends: one line and a documented exit code for each of our own errors.

Invariant: an error of our own ends a program with one line and a documented exit code; any other
error is a defect, and is shown as one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer
from rich.markup import escape
from sqlalchemy.exc import SQLAlchemyError

from features.errors import FeatureError
from outlet_client.commands.options import ERR
from outlet_client.database import said_of
from outlet_client.errors import (
    ClockOff,
    HqUnreachable,
    NotConfigured,
    NotOnTheList,
    OutletError,
    QuotaSpent,
    ServiceUnreachable,
)
from outlet_client.ledger.event_reader import TooManyBad
from outlet_client.records.log_audit import LogContradicted
from privacy.errors import PrivacyError
from privacy.keyring import KeyringError

if TYPE_CHECKING:
    from collections.abc import Callable

EXIT_CODES: dict[type[Exception], int] = {
    HqUnreachable: 3,
    NotOnTheList: 4,
    ClockOff: 5,
    NotConfigured: 6,
    KeyringError: 6,
    ServiceUnreachable: 3,
    QuotaSpent: 7,
    TooManyBad: 8,
    LogContradicted: 9,
}
"""The one table from an error's type to an exit code; any other of our own is 1."""


class failing:  # noqa: N801  (used as a word in a with statement)
    """Ends the program with one line and a documented code for an error of our own."""

    def __init__(self, say: Callable[[str], None] | None = None) -> None:
        """Takes who says the line; by default it is printed in red."""
        self._say = say or _print_error

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, SQLAlchemyError):
            error = OSError(said_of(error))
        if isinstance(error, OSError) and error.filename:
            error = OSError(f"{error.filename}: {error.strerror}")
        if isinstance(error, OutletError | PrivacyError | FeatureError | OSError):
            self._say(str(error))
            raise typer.Exit(EXIT_CODES.get(type(error), 1)) from error


def _print_error(text: str) -> None:
    said = escape(text)  # "[0, 1]" or "[[rule]]" in a message is no markup
    ERR.print(f"[bold red]error:[/] {said}", highlight=False, soft_wrap=True)
