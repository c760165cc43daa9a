"""`escapement-outlet status`: how this outlet stands, for a person, and what to do next.

Invariant: numbers and days only; nothing is changed, nobody is reached, and a night that runs is
not waited for.
"""

from __future__ import annotations

import datetime as dt
from contextlib import closing
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from outlet_client.bands.book_store import read_book, why_stale
from outlet_client.commands.command_errors import failing
from outlet_client.commands.options import HERE, Home, Json
from outlet_client.commands.output import say, say_json
from outlet_client.errors import BookMissing
from outlet_client.night.health_file import Condition, read_health
from outlet_client.night.night_log import NightLog, NightOutcome, NightRow
from outlet_client.night.outlook import outlook
from outlet_client.night.step_failures import advice
from outlet_client.people.duplicates import pairs
from outlet_client.people.people_store import People, State
from outlet_client.people.waiting_people import WaitingPeople, waiting_people
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
        ignored: Rows of the ledger that are no events.
        walk_ins: Rows of it that are nobody's.
        waiting: Who waits for what, to have bands.
        outlook: The same with days, a sentence each.
        warnings: What is to be done about keys and cards; see `key_health`.
        mail_error: Why the last night's mail was not sent; None where it was, or none was to be.
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
    ignored: int | None = None
    walk_ins: int | None = None
    waiting: WaitingPeople = field(default_factory=WaitingPeople)
    outlook: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    mail_error: str | None = None


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
        waiting = waiting_people(people)
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
            ignored=None if health is None else health.ignored,
            walk_ins=None if health is None else health.walk_ins,
            waiting=waiting,
            outlook=tuple(outlook(waiting, settings.evaluations_a_night, as_of, at)),
            warnings=tuple(key_warnings(ring, at)),
            mail_error=None if health is None else health.mail_error,
        )


def next_steps(found: Standing, at: dt.datetime) -> list[str]:
    """What somebody should do, the most urgent first; one line where there is nothing."""
    steps = [*_of_nights(found, at), *found.warnings, *_of_log(found, at), *_of_directory(found)]
    if found.mail_error is not None:
        steps.append(
            f"the last night was not mailed: {found.mail_error}; `escapement-outlet mail test` "
            "tries it"
        )
    if found.overdue:
        steps.append(
            f"{found.overdue} of your customers' requests are overdue: `escapement-outlet "
            "customer requests` lists them"
        )
    if found.book_problem:
        steps.append(f"no bands are shown: {found.book_problem}")
    if found.quarantined:
        steps.append(
            f"{found.quarantined} rows of the ledger are in quarantine: quarantine.csv says which "
            "and why"
        )
    steps += _of_people(found)
    if not steps and found.waiting.coming:
        return [f"nothing: {found.waiting.coming:,} people wait for nights to come, see Waiting"]
    return steps or ["nothing"]


def _of_directory(found: Standing) -> list[str]:
    steps = []
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
    return steps


def _of_people(found: Standing) -> list[str]:
    steps = []
    if not any(found.people.values()):
        steps.append("nobody has consented yet: `escapement-outlet consent import FILE`")
    if found.ambiguous:
        steps.append(
            f"{found.ambiguous} pairs of customers may be one person each: `escapement-outlet "
            "duplicates` lists them"
        )
    if found.waiting.book:
        steps.append(
            f"{found.waiting.book} people consented who are in no row of the client book: see "
            "Waiting"
        )
    return steps


def _of_nights(found: Standing, at: dt.datetime) -> list[str]:
    last = found.nights[0] if found.nights else None
    if not found.begun:
        return [f"no night could begin: {found.error}"]
    if last is None:
        return ["no night yet: `escapement-outlet nightly`, best from a timer (deploy/systemd)"]
    if last.outcome is NightOutcome.FAILED:
        return [f"the last night failed: {found.error}; {advice(last.error or '')}"]
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
        said += f" ({night.error})"
    answered = _count(night.answered or 0, "question")
    return began + f"{said}, {answered} answered"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
