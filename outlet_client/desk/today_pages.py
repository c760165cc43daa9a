"""The page of what waits for whoever is signed in, each line with a link to where it is done.

Invariant: it shows a role nothing that the pages behind its links would not show it, changes
nothing, and names no customer.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, TypeAlias

from outlet_client.allocation.open_proposals import open_proposals_in
from outlet_client.desk.messages import message_of_error
from outlet_client.desk.page_roles import (
    MAY_ALLOCATE,
    MAY_DECIDE_DISPUTES,
    MAY_DECIDE_SIGHTINGS,
    MAY_READ_LOG,
)
from outlet_client.desk.site import render
from outlet_client.desk.waiting_work import FLAGS, PROPOSALS, REQUESTS, SIGHTINGS, flags_to_review
from outlet_client.errors import OWN_ERRORS
from outlet_client.night.outlet_standing import NoticeTopic, notices, standing
from outlet_client.records.customer_requests import open_requests
from outlet_client.report.night_facts import LATEST
from outlet_client.rights.rights_text import REQUEST_KINDS
from outlet_client.sightings.sighting_history import open_sightings
from outlet_client.sightings.sighting_search import anchor
from outlet_client.staff.accounts import Role

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable

    from starlette.responses import Response

    from outlet_client.desk.site import Site, Visit
    from outlet_client.night.outlet_standing import Notice
    from outlet_client.sightings.sighting_history import SightingHistory

_MOST = 8
"""Lines of a section; how many more there are is said below them."""

_SOON_DAYS = 7
"""A request that is due within so many days is marked."""

ALONE = "Confirmed by who reported it, and by nobody else"
NOTICES = "Notices"
"""The names of two sections; neither is counted beside a page's name: neither has to be done."""

_HOUSE = {NoticeTopic.NIGHT, NoticeTopic.KEYS, NoticeTopic.BOOK, NoticeTopic.PEOPLE}
_NOTICES = {
    Role.MANAGER: _HOUSE | {NoticeTopic.MAIL, NoticeTopic.LEDGER, NoticeTopic.DUPLICATES},
    Role.PRIVACY: _HOUSE | {NoticeTopic.LOG, NoticeTopic.DIRECTORY, NoticeTopic.DUPLICATES},
}
"""The notices of each role; requests are listed one by one."""

_REPORT = "/report"
_WHERE = {
    NoticeTopic.NIGHT: _REPORT,
    NoticeTopic.BOOK: _REPORT,
    NoticeTopic.LEDGER: _REPORT,
    NoticeTopic.LOG: "/log/verify",
    NoticeTopic.DUPLICATES: "/duplicates",
}


@dataclass(frozen=True, slots=True)
class TodayLine:
    """One thing that waits.

    Attributes:
        words: What it is.
        link: Where it is done; "" where that is on no page that this person may see.
        clock: By when, or since when, in words.
        urgent: Whether it is late, or nearly.
    """

    words: str
    link: str
    clock: str = ""
    urgent: bool = False


@dataclass(frozen=True, slots=True)
class TodaySection:
    """What waits of one kind.

    Attributes:
        link: The page where all of it is.
        number: How many there are; more than lines where there are many.
        missing: Why it cannot be said what waits; "" where it can.
    """

    name: str
    link: str
    lines: tuple[TodayLine, ...] = ()
    number: int = 0
    missing: str = ""


_Lines: TypeAlias = "Callable[[Site, Visit], list[TodayLine]]"
_Seen: TypeAlias = "Callable[[], SightingHistory]"


def show(site: Site, visit: Visit) -> Response:
    """What waits for whoever is signed in."""
    assert visit.account is not None  # noqa: S101  (a role comes with one)
    role = visit.account.role
    seen = cache(lambda: open_sightings(site.access, visit.at))  # costly, and two sections' own
    kinds: tuple[tuple[str, str, frozenset[Role], _Lines], ...] = (
        ("Customers' requests", REQUESTS, MAY_DECIDE_DISPUTES, _requests),
        ("Proposals to decide", PROPOSALS, MAY_ALLOCATE, _proposals),
        (
            "Sightings to confirm or dismiss",
            SIGHTINGS,
            MAY_DECIDE_SIGHTINGS,
            partial(_sightings, seen),
        ),
        (ALONE, "", MAY_DECIDE_SIGHTINGS, partial(_confirmed_alone, seen)),
        ("Unusual use to look at", FLAGS, MAY_READ_LOG, _flags),
        (NOTICES, "", frozenset(_NOTICES), _notices),
    )
    sections = [
        _section(site, visit, name, path, lines)
        for name, path, roles, lines in kinds
        if role in roles
    ]
    return render(
        "today.html", site, visit, sections=[one for one in sections if one.name != NOTICES],
        notices=[one for one in sections if one.name == NOTICES and one.number],
        date=_day(visit),
    )  # fmt: skip


def _section(site: Site, visit: Visit, name: str, path: str, lines: _Lines) -> TodaySection:
    mark = site.waiting.mark(path, visit.at) if path else None
    try:
        found = lines(site, visit)
    except OWN_ERRORS as error:
        return TodaySection(name, path, missing=message_of_error(error))
    if path:
        site.waiting.note(path, visit.at, mark, len(found))
    return TodaySection(name, path, tuple(found[:_MOST] if path else found), len(found))


def _requests(site: Site, visit: Visit) -> list[TodayLine]:
    """The open ones, the overdue ones first, with the days that are left."""
    today = _day(visit)
    found = sorted(open_requests(site.home), key=lambda one: (one.due, one.number))
    return [
        TodayLine(
            f"Request {one.number}: {REQUEST_KINDS[one.kind]}",
            f"{REQUESTS}#q{one.number}",
            _days_left(one.due, today),
            (one.due - today).days <= _SOON_DAYS,
        )
        for one in found
    ]


def _days_left(due: dt.date, today: dt.date) -> str:
    days = (due - today).days
    if days < 0:
        return f"overdue by {_days(-days)}, since {due}"
    return f"due today, {due}" if days == 0 else f"{_days(days)} left, until {due}"


def _sightings(seen: _Seen, _site: Site, _visit: Visit) -> list[TodayLine]:
    found = []
    for one in seen().open:
        reporters = [noted.by for noted in one.said if noted.seen == one.seen and not noted.decides]
        whence = f"reported by {reporters[-1]}" if reporters else "by our own table"
        piece = f"{one.serial}, {one.reference}" if one.reference else one.serial
        words = f"{piece}: seen {_days(one.days)} after its sale, {whence}"
        found.append(TodayLine(words, f"{SIGHTINGS}#{anchor(one)}", f"seen {one.seen}"))
    return found


def _confirmed_alone(seen: _Seen, _site: Site, visit: Visit) -> list[TodayLine]:
    """What one manager reported and confirmed, for another one; whoever did is not asked again."""
    return [
        TodayLine(
            f"{one.serial}{f', {one.reference}' if one.reference else ''}: look, and confirm it "
            "too or dismiss it",
            f"{SIGHTINGS}#{anchor(one)}",
            f"seen {one.seen}",
        )
        for one in seen().sightings
        if one.alone and not one.reported_by(visit.name)
    ]


def _proposals(site: Site, visit: Visit) -> list[TodayLine]:
    found = []
    for one in open_proposals_in(site.home):
        pieces = f"{one.pieces} piece{'' if one.pieces == 1 else 's'}"
        days = (visit.at - one.made).days
        clock = f"waits {_days(days)}" if days > 0 else "made today"
        words = f"Proposal {one.number}: {pieces} of {one.reference}"
        found.append(TodayLine(words, f"{PROPOSALS}/{one.number}", clock))
    return found


def _flags(site: Site, visit: Visit) -> list[TodayLine]:
    return [
        TodayLine(f"{one.by}: {one.why.value} ({one.count})", f"{FLAGS}#unusual", str(one.day))
        for one in flags_to_review(site.access, site.rights, visit.at)
    ]


def _notices(site: Site, visit: Visit) -> list[TodayLine]:
    """What is amiss with nights, book, keys and ledger, as far as it is this role's."""
    assert visit.account is not None  # noqa: S101  (likewise)
    role = visit.account.role
    may = {page.path for page in site.pages if role in page.roles}
    has_report = (site.home / LATEST).exists()
    found = notices(standing(site.home, site.access.settings, visit.at), visit.at)
    lines = []
    for one in found:
        if one.topic in _NOTICES[role]:
            place = _WHERE.get(one.topic, "")
            urgent = one.topic in (NoticeTopic.NIGHT, NoticeTopic.BOOK, NoticeTopic.LOG)
            link = place if place in may and (place != _REPORT or has_report) else ""
            lines.append(TodayLine(_at_desk(site, one), link, urgent=urgent))
    return lines


def _at_desk(site: Site, one: Notice) -> str:
    """A notice as a sentence, without the place of this outlet's folder."""
    text = (one.at_desk or one.text).replace(f"{site.home}/", "")
    return f"{text[:1].upper()}{text[1:]}."


def _day(visit: Visit) -> dt.date:
    return visit.at.astimezone().date()


def _days(number: int) -> str:
    return f"{number} day{'' if number == 1 else 's'}"
