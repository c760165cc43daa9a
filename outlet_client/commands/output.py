"""How the lines, JSON and files of commands come out."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from privacy.keyring import write_private

if TYPE_CHECKING:
    from pathlib import Path

OUT = Console()
ERR = Console(stderr=True)


def say(text: str) -> None:
    """Prints a line as it is, markup and all."""
    OUT.print(escape(text), highlight=False, soft_wrap=True)


def say_json(data: Any) -> None:
    """Prints data as JSON, for programs; days and moments as ISO 8601."""
    written = json.dumps(data, indent=2, default=_iso_text, ensure_ascii=False)
    OUT.file.write(f"{written}\n")  # colours for thousands of lines take half a minute


def _iso_text(day: dt.date) -> str:
    return day.isoformat(timespec="seconds") if isinstance(day, dt.datetime) else day.isoformat()


def hand_over(file: Path, data: bytes) -> None:
    """Writes a file for a customer, readable by its owner only.

    Raises:
        OSError: If it cannot be written; it names the file that was asked for.
    """
    try:
        write_private(file, data)
    except OSError as error:
        raise OSError(f"{file}: cannot be written: {error.strerror}") from error
