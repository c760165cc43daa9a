"""`escapement-outlet status`: how this outlet stands, for a person, and what to do next.

Invariant: numbers and days only; nothing is changed, nobody is reached, and a night that runs is
not waited for.
"""

from __future__ import annotations

import datetime as dt
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from outlet_client.bands.book_store import read_book, why_stale
from outlet_client.commands.command_errors import failing
from outlet_client.commands.options import HERE, Home, Json
from outlet_client.commands.output import say, say_json
from outlet_client.errors import BookMissing
from outlet_client.night.health_file import Condition, read_health
from outlet_client.night.night_log import NightLog, NightOutcome, NightRow
from outlet_client.people.duplicates import pairs
from outlet_client.people.people_store import People, State
from outlet_client.records.customer_requests import open_requests, overdue_requests
from outlet_client.settings import OutletFile
from privacy.errors import PrivacyError
from privacy.identity import PartyKind
from privacy.key_health import key_warnings
from privacy.keyring import Keyring

if TYPE_CHECKING:
    from pathlib import Path

NIGHTS = 5
"""How many of the last nights are shown."""

LATE = dt.timedelta(hours=36)
"""A night longer ago than this is missed."""

UNSIGNED_DAYS = 3
"""A log that was not countersigned for longer calls for somebody."""

_NONE_YET = "none yet; everybody who is listed reads as a newcomer until the network's first"

_AFTER = {
    "HqUnreachable": "if the next fails too, `escapement-outlet doctor` says what is off",
    "ServiceUnreachable": "if the next fails too, `escapement-outlet doctor` says what is off",
    "NotOnTheList": "send HQ this outlet's public.json, and compare fingerprints",
    "ClockOff": "set this machine's time, best by NTP",
    "LedgerError": "mend it; `escapement-outlet check` reads everything and says what is wrong",
    "TooManyBad": "mend them; `escapement-outlet check` lists them",
    "LogContradicted": "until then the log is not countersigned",
    "NotConfigured": "mend escapement.toml; `escapement-outlet check` tries it",
}
"""What to do after a night that failed, by the error's type."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How an outlet stands.

    Attributes:
        begun: Whether the last start got as far as being one of these nights.
        book_days: How many days ago HQ made it.
        book_problem: Why the book that is here is not shown; "" where it is, or none came yet.
        log_findings: How much the last night found wrong with the log.
        in_no_directory: How many registrations were handed in and are in none.
        lost: How many people a directory takes away, who wait for a person.
        again: How many registrations HQ says once more that it lost, who wait for a person.
        warnings: What is to be done about keys and cards; see `key_health`.
    """

    outlet: str
    nights: tuple[NightRow, ...]
    error: str | None
    begun: bool
    book_as_of: str | None
    book_days: int | None
    book_problem: str
    people: dict[State, int]
    rows: int | None
    quarantined: int | None
    requests: int
    overdue: int
    log_countersigned: str | None
    log_findings: int
    ambiguous: int
    in_no_directory: int
    lost: int
    again: int = 0
    warnings: tuple[str, ...] = ()


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


def standing(home: Path, settings: OutletFile, at: dt.datetime) -> Standing:
    """Reads how an outlet stands.

    Raises:
        PrivacyError: If a key or card is missing.
    """
    ring, health = Keyring(home, PartyKind.OUTLET), read_health(home)
    identity = ring.identity()
    as_of, days, problem = _book(home, ring, settings, at)
    with closing(People.open(home, identity)) as people, closing(NightLog.open(home)) as log:
        losses, again = people.held_losses(), people.held_resync()
        return Standing(
            outlet=identity.card.name,
            nights=tuple(log.last(NIGHTS)),
            error=None if health is None else health.error,
            begun=health is None or health.status is not Condition.FAILED or bool(health.night),
            book_as_of=as_of,
            book_days=days,
            book_problem=problem,
            people=people.counts(),
            rows=None if health is None else health.rows,
            quarantined=None if health is None else health.quarantined,
            requests=len(open_requests(home)),
            overdue=overdue_requests(home, at),
            log_countersigned=None if health is None else health.log_countersigned,
            log_findings=0 if health is None else health.log_findings,
            ambiguous=len(pairs(people)),
            in_no_directory=people.in_no_directory(),
            lost=0 if losses is None else losses.lost,
            again=0 if again is None else again.people,
            warnings=tuple(key_warnings(ring, at)),
        )


def next_steps(found: Standing, at: dt.datetime) -> list[str]:
    """What somebody should do, the most urgent first; one line where there is nothing."""
    steps = [*_of_nights(found, at), *found.warnings]
    steps += _of_log(found, at)
    if found.lost:
        steps.append(
            f"the directory takes {found.lost} of your people away: `escapement-outlet directory "
            "show`; ask the privacy office why"
        )
    if found.again:
        steps.append(
            f"HQ says once more that it lost {found.again} of your registrations: ask the privacy "
            "office why; then `escapement-outlet directory resync`"
        )
    if found.overdue:
        steps.append(
            f"{found.overdue} of your customers' requests are overdue: `escapement-outlet "
            "customer requests` lists them"
        )
    if not any(found.people.values()):
        steps.append("nobody has consented yet: `escapement-outlet consent import FILE`")
    if found.book_problem:
        steps.append(f"no bands are shown: {found.book_problem}")
    if found.quarantined:
        steps.append(
            f"{found.quarantined} rows of the ledger are in quarantine: quarantine.csv says which "
            "and why"
        )
    if found.ambiguous:
        steps.append(
            f"{found.ambiguous} pairs of customers may be one person each: `escapement-outlet "
            "duplicates` lists them"
        )
    return steps or ["nothing"]


def _of_nights(found: Standing, at: dt.datetime) -> list[str]:
    last = found.nights[0] if found.nights else None
    if not found.begun:
        return [f"no night could begin: {found.error}"]
    if last is None:
        return ["no night yet: `escapement-outlet nightly`, best from a timer (deploy/systemd)"]
    if last.outcome is NightOutcome.FAILED:
        after = _AFTER.get(last.error or "", "the log of that night says more")
        return [f"the last night failed: {found.error}; {after}"]
    if at - (last.ended or last.started) > LATE:
        days = (at - (last.ended or last.started)).days
        return [f"no night since {days} days: is the timer on, and this machine by night?"]
    return []


def _of_log(found: Standing, at: dt.datetime) -> list[str]:
    steps = []
    if found.log_findings:
        steps.append(
            f"{_count(found.log_findings, 'finding')} about the log: `escapement-outlet log "
            "verify` says what is wrong; tell the privacy office"
        )
    signed = found.log_countersigned
    days = None if signed is None else (at - dt.datetime.fromisoformat(signed)).days
    if days is not None and days > UNSIGNED_DAYS:
        steps.append(f"the log was not countersigned for {days} days: ask the privacy office why")
    elif days is None and found.nights and found.nights[0].outcome is NightOutcome.COMPLETE:
        steps.append("the log was never countersigned: ask the privacy office why")
    return steps


def _book(
    home: Path, ring: Keyring, settings: OutletFile, at: dt.datetime
) -> tuple[str | None, int | None, str]:
    """The book's last day, the days since HQ made it, and why it is not shown."""
    try:
        book = read_book(home, ring.publishers())
    except (BookMissing, PrivacyError) as error:
        return None, None, str(error)
    if book is None:
        return None, None, ""
    made = dt.datetime.fromtimestamp(book.made_at, dt.UTC)
    return book.as_of, (at - made).days, why_stale(book, at, settings)


def _lines(found: Standing) -> list[str]:
    lines = [f"Outlet {found.outlet}", "Nights:"]
    lines += [f"  {_night_line(night)}" for night in found.nights] or ["  none yet"]
    if found.book_as_of is None:
        lines.append(f"Band book: {'none that can be used' if found.book_problem else _NONE_YET}")
    else:
        age = f"{_count(found.book_days, 'day')} ago" if found.book_days else "today"
        lines.append(f"Band book: as of {found.book_as_of}, made {age}")
    if found.rows is not None:
        lines.append(
            f"Ledger: {_count(found.rows, 'row')}, {found.quarantined or 0:,} in quarantine"
        )
    lines.append("People:")
    lines += [f"  {count:>8,} {state}" for state, count in found.people.items()]
    if found.in_no_directory:
        lines.append(
            f"  {found.in_no_directory:>8,} of them handed in and in no directory: sent again; HQ "
            "takes no consent that is older than a withdrawal elsewhere"
        )
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
        said += f" ({night.error})"
    answered = _count(night.answered or 0, "question")
    return began + f"{said}, {answered} answered"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
