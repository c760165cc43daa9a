"""The counts that a report leaves for the next one, which says what changed, and for the mail.

Invariant: counts, days and words of our own. No error's text, nothing of a customer.

reports/<date>.json    of the latest report of each day
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from privacy.keyring import write_private

if TYPE_CHECKING:
    import datetime as dt
    from pathlib import Path

FOLDER = "reports"
"""The reports of the last days and their figures, in the outlet's folder."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What is counted of one night; None where the night did not get as far.

    Attributes:
        at: When the report was written, ISO 8601, UTC.
        since: The day of the report that changes are counted from; None for the first.
        used: Rows of the ledger that count.
        quarantined: Rows in quarantine.
        consenting: People with a standing consent.
        listed: Those of them who are in the network's directory.
        book_as_of: The last day in the data of the band book, ISO 8601.
        verdicts: Of each outcome, how the two rankings compared.
        to_decide: How many things wait for somebody's decision.
        broke: Of what broke, the lines that a mail may have.
        changed: Of what changed, the lines that a mail may have.
    """

    at: str
    since: str | None = None
    used: int | None = None
    quarantined: int | None = None
    consenting: int = 0
    listed: int = 0
    book_as_of: str | None = None
    verdicts: dict[str, str] = field(default_factory=dict)
    to_decide: int = 0
    broke: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()


_FORM = TypeAdapter(Figures)


def write_figures(home: Path, day: dt.date, figures: Figures) -> None:
    """Keeps a day's figures; those of an earlier report of that day go."""
    text = json.dumps(asdict(figures), indent=2, ensure_ascii=False)
    write_private(home / FOLDER / f"{day}.json", f"{text}\n".encode())


def read_figures(home: Path, day: dt.date) -> Figures | None:
    """A day's figures; None where there are none, or none of ours."""
    return _read(home / FOLDER / f"{day}.json")


def figures_before(home: Path, day: dt.date) -> tuple[str, Figures] | None:
    """The last figures of an earlier day, with that day; None where there are none."""
    files = sorted((home / FOLDER).glob("????-??-??.json"), reverse=True)
    found = ((file.stem, _read(file)) for file in files if file.stem < day.isoformat())
    return next(((name, one) for name, one in found if one is not None), None)


def _read(file: Path) -> Figures | None:
    try:
        return _FORM.validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return None
