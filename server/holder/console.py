"""What a holder's command prints, and how it ends: one line instead of a traceback."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from sqlalchemy.exc import SQLAlchemyError

from features.errors import FeatureError
from privacy.errors import PrivacyError
from server.holder.error_text import error_text
from server.holder.errors import HolderError, HolderNotConfigured

if TYPE_CHECKING:
    from collections.abc import Iterator

Home = Annotated[Path, typer.Option(help="Folder of keys, settings and state.")]
Fingerprint = Annotated[
    str | None, typer.Option(help="What the owner read to you; asked for when not given.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print it as JSON.")]

MOST_CHARACTERS = 500
"""Of a name or a reason."""

OUT = Console()
_ERR = Console(stderr=True)
OURS = (PrivacyError, HolderError, FeatureError, OSError)
"""Errors whose message says enough, and holds nothing that a log may not."""


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Ends the program with one line where one of our own errors says enough.

    The exit code is 2 where settings are wrong, as of wrong options, and 1 otherwise.
    """
    try:
        yield
    except (*OURS, SQLAlchemyError) as error:
        said = f"[bold red]error:[/] {escape(error_text(error))}"
        _ERR.print(said, highlight=False, soft_wrap=True)  # paths and commands stay whole
        raise typer.Exit(2 if isinstance(error, HolderNotConfigured) else 1) from error


def checked_words(option: str, text: str) -> str:
    """A name or reason as it is kept beside what somebody does.

    Raises:
        HolderNotConfigured: If it is empty or longer than MOST_CHARACTERS.
    """
    found = " ".join(text.split())
    if not 0 < len(found) <= MOST_CHARACTERS or not found.isprintable():
        raise HolderNotConfigured(
            f"{option}: got {len(found)} characters, expected 1 to {MOST_CHARACTERS} that print; "
            "it is kept beside what is done"
        )
    return found


def say(text: str) -> None:
    """Prints a line as it is, however narrow the terminal."""
    OUT.print(text, highlight=False, markup=False, soft_wrap=True)


def print_json(body: object) -> None:
    """Prints what a program reads, as JSON."""
    sys.stdout.write(json.dumps(body, indent=2) + "\n")
