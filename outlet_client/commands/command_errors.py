"""What the commands of `escapement-outlet` share: options, output, and how they end.

Invariant: an error of our own ends a program with one line and a documented exit code; any other
error is a defect, and is shown as one.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from sqlalchemy.exc import SQLAlchemyError

from features.errors import FeatureError
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
from outlet_client.services import Services
from privacy.errors import PrivacyError
from privacy.identity import Kind
from privacy.keyring import KeyringError

if TYPE_CHECKING:
    from collections.abc import Callable

    from privacy.keyring import Keyring

Home = Annotated[Path, typer.Option(help="Folder of keys, settings and state.")]
HERE = Path()

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

OUT = Console()
ERR = Console(stderr=True)


def services_of(ring: Keyring, timeout: float = 30.0) -> Services:
    """Connects to HQ's and the office's services as the outlet whose keyring this is.

    Args:
        ring: The outlet's.
        timeout: In seconds, of each call.
    """
    hq, office = ring.peer(Kind.HQ), ring.peer(Kind.OFFICE)
    return Services.connect(ring.identity(), hq, office, timeout)


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
