"""The health file: what a monitor reads of this outlet's nights.

Invariant: the file is whole at any moment, and holds nothing of a customer: numbers, days, and the
text of errors of our own, or about a file; of others their type only.

A killed night leaves "running": a monitor also looks at how old `last_complete` is.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from privacy.keyring import write_private

if TYPE_CHECKING:
    from pathlib import Path

HEALTH_FILE = "health.json"


class Condition(StrEnum):
    """How this outlet's nights are."""

    OK = "ok"
    RUNNING = "running"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Health:
    """What `health.json` says; moments are ISO 8601, UTC.

    What each field says stands in deploy/README.md.
    """

    status: Condition
    night: int | None = None
    step: str | None = None
    started: str | None = None
    ended: str | None = None
    last_complete: str | None = None
    error: str | None = None
    rows: int | None = None
    quarantined: int | None = None
    ignored: int | None = None
    walk_ins: int | None = None
    book_as_of: str | None = None
    log_countersigned: str | None = None
    log_findings: int = 0
    mail_error: str | None = None


def write_health(home: Path, health: Health) -> None:
    """Replaces the health file."""
    text = json.dumps(asdict(health), indent=2, ensure_ascii=False)
    write_private(home / HEALTH_FILE, f"{text}\n".encode())


def read_health(home: Path) -> Health | None:
    """The health file; None where there is none, or none of ours."""
    try:
        found = json.loads((home / HEALTH_FILE).read_text(encoding="utf-8"))
        return Health(**{**found, "status": Condition(found["status"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None
