"""`escapement-outlet status`: how this outlet stands, for a person, and what to do next.

Invariant: numbers and days only; nothing is changed, nobody is reached, and a night that runs is
not waited for.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict
from typing import TYPE_CHECKING

from outlet_client.commands.command_errors import failing
from outlet_client.commands.options import HERE, Home, Json
from outlet_client.commands.output import say, say_json
from outlet_client.night.outlet_standing import next_steps, standing
from outlet_client.night.step_failures import words
from outlet_client.settings import OutletFile

if TYPE_CHECKING:
    from outlet_client.night.night_log import NightRow
    from outlet_client.night.outlet_standing import Standing

_NONE_YET = "none yet; everybody who is listed reads as a newcomer until the network's first"


def status(home: Home = HERE, as_json: Json = False) -> None:
    """Says how this outlet stands: nights, book, ledger, people, requests, and what to do next."""
    with failing():
        at = dt.datetime.now(dt.UTC)
        settings = OutletFile.read(home / "escapement.toml")
        found = standing(home, settings, at)
        todo = next_steps(found, at)
        if as_json:
            say_json({**asdict(found), "next": todo})
            return
        for line in [*_lines(found), "Next:", *(f"  {step}" for step in todo)]:
            say(line)


def _lines(found: Standing) -> list[str]:
    lines = [f"Outlet {found.outlet}", "Nights:"]
    lines += [f"  {_night_line(night)}" for night in found.nights] or ["  none yet"]
    if found.book_as_of is None:
        lines.append(f"Band book: {'none that can be used' if found.book_problem else _NONE_YET}")
    else:
        age = f"{_count(found.book_days, 'day')} ago" if found.book_days else "today"
        lines.append(f"Band book: as of {found.book_as_of}, made {age}")
    if found.rows is not None:
        walk_ins, ignored = found.walk_ins or 0, found.ignored or 0
        apart = f", {walk_ins:,} of walk-ins and {ignored:,} no events"
        lines.append(
            f"Ledger: {_count(found.rows, 'row')}, {found.quarantined or 0:,} in quarantine"
            f"{apart if walk_ins or ignored else ''}"
        )
    lines.append("People:")
    lines += [f"  {count:>8,} {state}" for state, count in found.people.items()]
    if found.in_no_directory:
        lines.append(
            f"  {found.in_no_directory:>8,} of them handed in and in no directory: sent again; HQ "
            "takes no consent that is older than a withdrawal elsewhere"
        )
    lines += ["Waiting:", *(f"  {one}" for one in found.outlook)] if found.outlook else []
    lines.append(f"Requests: {found.requests:,} open, {found.overdue:,} overdue")
    signed = found.log_countersigned
    when = f"countersigned {signed[:16].replace('T', ' ')} UTC" if signed else "never countersigned"
    lines.append(f"Log: {when}, {_count(found.log_findings, 'finding')}")
    lines.append(f"Client book: {_count(found.ambiguous, 'pair')} for a person to decide")
    return lines


def _night_line(night: NightRow) -> str:
    began = f"{night.number}, {night.started:%Y-%m-%d %H:%M} UTC: "
    if night.outcome is None:
        place = "before its first step" if night.step is None else f"at step {night.step}"
        return began + f"running or killed {place}; the next start goes on with it"
    said = f"{night.outcome}"
    if night.error is not None:
        said += f" ({words(night.error)})"
    answered = _count(night.answered or 0, "question")
    return began + f"{said}, {answered} answered"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
