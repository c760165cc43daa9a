"""How an outlet stands, and what somebody should do about it: for `status` and the desk.

Invariant: numbers and days only; nothing is changed, nobody is reached, and a night that runs is
not waited for.
"""

from __future__ import annotations

import datetime as dt
from contextlib import closing
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from outlet_client.bands.book_store import read_book, why_stale
from outlet_client.errors import BookMissing
from outlet_client.night.health_file import Condition, read_health
from outlet_client.night.night_log import NightLog, NightOutcome, NightRow
from outlet_client.night.outlook import outlook
from outlet_client.night.step_failures import advice, words
from outlet_client.people.duplicates import pairs
from outlet_client.people.people_store import People, State
from outlet_client.people.waiting_people import WaitingPeople, waiting_people
from outlet_client.records.customer_requests import open_requests, overdue_requests
from privacy.errors import PrivacyError
from privacy.identity import PartyKind
from privacy.key_health import key_warnings
from privacy.keyring import Keyring

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from outlet_client.settings import OutletFile

NIGHTS = 5
"""How many of the last nights are shown."""

LATE = dt.timedelta(hours=36)
"""A night longer ago than this is missed."""

UNSIGNED_DAYS = 3
"""A log that was not countersigned for longer calls for somebody."""


class NoticeTopic(StrEnum):
    """What a notice is about."""

    NIGHT = "night"
    KEYS = "keys"
    LOG = "log"
    DIRECTORY = "directory"
    MAIL = "mail"
    REQUESTS = "requests"
    BOOK = "book"
    LEDGER = "ledger"
    PEOPLE = "people"
    DUPLICATES = "duplicates"


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that waits for somebody, or is amiss.

    Attributes:
        text: What, and what to do next.
        at_desk: The same without an error's own text, which may name files; "" where the text
            has none.
    """

    topic: NoticeTopic
    text: str
    at_desk: str = ""


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
    steps = [one.text for one in notices(found, at)]
    if not steps and found.waiting.coming:
        return [f"nothing: {found.waiting.coming:,} people wait for nights to come, see Waiting"]
    return steps or ["nothing"]


def notices(found: Standing, at: dt.datetime) -> list[Notice]:
    """What is amiss or waits for somebody, the most urgent first."""
    return [
        *_of_nights(found, at),
        *(Notice(NoticeTopic.KEYS, one) for one in found.warnings),
        *_of_log(found, at),
        *_of_directory(found),
        *_of_the_day(found),
        *_of_people(found),
    ]


def _of_nights(found: Standing, at: dt.datetime) -> Iterator[Notice]:
    last = found.nights[0] if found.nights else None
    topic = NoticeTopic.NIGHT
    if not found.begun:
        text = f"no night could begin: {found.error}"
        yield Notice(topic, text, "no night could begin; `escapement-outlet status` says why")
    elif last is None:
        yield Notice(
            topic,
            "no night yet: `escapement-outlet nightly`, best from a timer (deploy/systemd)",
            "no night yet: tell whoever runs this program",
        )
    elif last.outcome is NightOutcome.FAILED:
        why, what = words(last.error or ""), advice(last.error or "")
        where = "" if last.step is None else f" at its step '{last.step}'"
        yield Notice(
            topic,
            f"the last night failed: {found.error}; {what}",
            f"the last night failed{where}: {why}; {what}",
        )
    elif at - (last.ended or last.started) > LATE:
        days = (at - (last.ended or last.started)).days
        yield Notice(
            topic, f"no night since {days} days: is the timer on, and this machine by night?"
        )


def _of_log(found: Standing, at: dt.datetime) -> Iterator[Notice]:
    topic = NoticeTopic.LOG
    if found.log_findings:
        findings = f"{found.log_findings:,} finding{'' if found.log_findings == 1 else 's'}"
        yield Notice(
            topic,
            f"{findings} about the log: `escapement-outlet log verify` says what is wrong; tell "
            "the privacy office",
        )
    signed = found.log_countersigned
    days = None if signed is None else (at - dt.datetime.fromisoformat(signed)).days
    if days is not None and days > UNSIGNED_DAYS:
        yield Notice(
            topic, f"the log was not countersigned for {days} days: ask the privacy office why"
        )
    elif days is None and found.nights and found.nights[0].outcome is NightOutcome.COMPLETE:
        yield Notice(topic, "the log was never countersigned: ask the privacy office why")


def _of_directory(found: Standing) -> Iterator[Notice]:
    if found.lost:
        yield Notice(
            NoticeTopic.DIRECTORY,
            f"the directory takes {found.lost} of your people away: `escapement-outlet directory "
            "show`; ask the privacy office why",
        )
    if found.again:
        yield Notice(
            NoticeTopic.DIRECTORY,
            f"HQ says once more that it lost {found.again} of your registrations: ask the privacy "
            "office why; then `escapement-outlet directory resync`",
        )


def _of_the_day(found: Standing) -> Iterator[Notice]:
    """Of what is done by day: mail, requests, the book, bad rows."""
    if found.mail_error is not None:
        tries = "`escapement-outlet mail test` tries it"
        yield Notice(
            NoticeTopic.MAIL,
            f"the last night was not mailed: {found.mail_error}; {tries}",
            f"the last night was not mailed; {tries}",
        )
    if found.overdue:
        yield Notice(
            NoticeTopic.REQUESTS,
            f"{found.overdue} of your customers' requests are overdue: `escapement-outlet "
            "customer requests` lists them",
        )
    if found.book_problem:
        yield Notice(NoticeTopic.BOOK, f"no bands are shown: {found.book_problem}")
    if found.quarantined:
        yield Notice(
            NoticeTopic.LEDGER,
            f"{found.quarantined} rows of the ledger are in quarantine: quarantine.csv says which "
            "and why",
            f"{found.quarantined} rows of the ledger are in quarantine and count for nothing: tell "
            "whoever runs this program",
        )


def _of_people(found: Standing) -> Iterator[Notice]:
    topic = NoticeTopic.PEOPLE
    if not any(found.people.values()):
        yield Notice(
            topic,
            "nobody has consented yet: `escapement-outlet consent import FILE`",
            "nobody has consented yet: a look-up records who agrees",
        )
    if found.ambiguous:
        one = found.ambiguous == 1
        pairs_of = f"{found.ambiguous:,} pair{'' if one else 's'} of customers may be one person"
        said = pairs_of if one else f"{pairs_of} each"
        yield Notice(
            NoticeTopic.DUPLICATES,
            f"{said}: `escapement-outlet duplicates` lists them",
            f"{said}: decide whether they are",
        )
    if found.waiting.book:
        yield Notice(
            topic,
            f"{found.waiting.book} people consented under a phone or e-mail that no row had when "
            "the client book was last read: see Waiting",
            f"{found.waiting.book} people consented under a phone or e-mail that no row had when "
            "the client book was last read; `escapement-outlet status` says more",
        )


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
