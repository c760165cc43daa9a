"""Options that several commands have, and how their lines and files come out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from privacy.keyring import write_private

Home = Annotated[Path, typer.Option(help="Folder of keys, settings and state.")]
HERE = Path()
Phone = Annotated[str | None, typer.Option(help="As typed.")]
Email = Annotated[
    str | None, typer.Option(help="As typed; used where nobody is known by the phone.")
]
By = Annotated[
    str | None, typer.Option(help="Who does this; the operating system's user by default.")
]
Json = Annotated[bool, typer.Option("--json", help="For programs.")]

OUT = Console()
ERR = Console(stderr=True)


def say(text: str) -> None:
    """Prints a line as it is, markup and all."""
    OUT.print(escape(text), highlight=False, soft_wrap=True)


def hand_over(file: Path, data: bytes) -> None:
    """Writes a file for a customer, readable by its owner only.

    Raises:
        OSError: If it cannot be written; it names the file that was asked for.
    """
    try:
        write_private(file, data)
    except OSError as error:
        raise OSError(f"{file}: cannot be written: {error.strerror}") from error
