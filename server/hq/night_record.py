"""The record of a night in HQ's folder: who was there, what was released, what was skipped."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rich.console import Console

    from server.hq.report import NightReport


def record(home: Path, report: NightReport, expected: set[str]) -> None:
    """Writes the night's record, for `status` and for people.

    Args:
        home: HQ's folder.
        report: What the night came to.
        expected: The outlets on HQ's list.
    """
    folder = home / "nights"
    folder.mkdir(exist_ok=True)
    body = {**report.as_json(), "missing": sorted(expected - set(report.cohort))}
    (folder / f"{report.night}.json").write_text(json.dumps(body, indent=2) + "\n")


def last_night(home: Path) -> Mapping[str, Any] | None:
    """The record of the last night; None before the first."""
    nights = sorted((home / "nights").glob("*.json"), key=lambda file: file.stat().st_mtime)
    found: Mapping[str, Any] | None = json.loads(nights[-1].read_text()) if nights else None
    return found


def show_night(out: Console, night: Mapping[str, Any]) -> None:
    """Prints a record for people."""
    out.print(f"Night {night['night']}: {night['ended']}", highlight=False)
    out.print(f"There: {', '.join(night['cohort']) or 'nobody'}", highlight=False)
    out.print(f"Missing: {', '.join(night['missing']) or 'nobody'}", highlight=False)
    table = Table("release", "outlets", "failures", "seconds")
    for step in night["steps"]:
        failures = ", ".join(f"{why}: {count}" for why, count in step["failures"].items())
        table.add_row(
            step["release"].rpartition("/")[2],
            str(step["outlets"]),
            failures,
            f"{step['seconds']:.2f}",
        )
    out.print(table)
    for skipped in night["skipped"]:
        out.print(f"Skipped: {skipped}", highlight=False)
