"""Options that several commands have."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated

import typer

from outlet_client.records.actor import LookupPurpose, NotAsked

Home = Annotated[Path, typer.Option(help="Folder of keys, settings and state.")]
HERE = Path()
Phone = Annotated[str | None, typer.Option(help="As typed.")]
Email = Annotated[str | None, typer.Option(help="As typed; the phone goes first.")]
Purpose = Annotated[
    LookupPurpose, typer.Option(help="Why you look; kept, and shown to the customer.")
]
By = Annotated[
    str | None, typer.Option(help="Who does this; the operating system's user by default.")
]
Decider = Annotated[str, typer.Option("--by", help="Who decides: a person's name.")]
Dates = Annotated[
    str | None, typer.Option(help="Form of the days, as '%d/%m/%Y' or excel; else ISO 8601.")
]
Sheet = Annotated[str | None, typer.Option(help="Of a workbook; else that of most rows.")]
Json = Annotated[bool, typer.Option("--json", help="For programs.")]


def typed_day(text: str | None, option: str) -> dt.date | None:
    """A day that was typed as an option's value; None without one.

    Raises:
        NotAsked: If it is none.
    """
    try:
        return None if text is None else dt.date.fromisoformat(text.strip())
    except ValueError as error:
        raise NotAsked(f"{option}: expected a date as YYYY-MM-DD") from error
