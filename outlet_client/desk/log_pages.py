"""The privacy officer's pages of the log: unusual use, who did what about whom, whether it stands.

Invariant: the log names a customer by a mark that only this outlet can make; an address names one
by the number of an entry about them.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from outlet_client.desk.csv_lists import MARK
from outlet_client.desk.lookup_usage import WATCHED, to_review
from outlet_client.desk.site import number_of, redirect_to, render
from outlet_client.desk.waiting_work import FLAGS
from outlet_client.records.access_log import LogAct, recent_entries, record_act
from outlet_client.records.actor import LookupPurpose
from outlet_client.records.log_audit import CANNOT_TELL, audit_log
from privacy.identity import PartyKind
from privacy.keyring import Keyring

if TYPE_CHECKING:
    from collections.abc import Sequence

    import sqlalchemy as sa
    from starlette.responses import Response

    from outlet_client.desk.lookup_usage import Flag
    from outlet_client.desk.site import Site, Visit
    from outlet_client.records.access_log import LogEntry

_A_PAGE = 100
_YEAR = dt.timedelta(days=365)
_DAY = dt.timedelta(days=1)
_PURPOSES = {LookupPurpose.CUSTOMER.value: "the customer's own request"}
"""Where the log's own word says too little."""


def show_log(site: Site, visit: Visit) -> Response:
    """What is unusual, and the log, the newest first, by person, act, day or customer."""
    act = next((one for one in LogAct if one.value == visit.query.get("act")), None)
    by = visit.query.get("by") or None
    day = _day(visit.query.get("day", ""))
    mark = site.waiting.mark(FLAGS, visit.at)
    with site.rights.reading() as connection:
        of = _entry(connection, visit)
        found = recent_entries(
            connection,
            visit.at - _YEAR if day is None else _midnight(day),
            until=None if day is None else _midnight(day + _DAY),
            by=by,
            act=act,
            key=of.key if of else None,
            limit=_A_PAGE,
            before_number=number_of(visit.query.get("before", "")),
        )
        watched = recent_entries(connection, visit.at - WATCHED)
    flags = _flags(site, watched)
    site.waiting.note(FLAGS, visit.at, mark, len(flags))
    return render(
        "log.html", site, visit, entries=found, mark=MARK, acts=list(LogAct), act=act,
        by=by or "", staff=sorted({one.by for one in watched} | ({by} if by else set())),
        day=day, of=of, flags=flags, purposes=_PURPOSES, first=(visit.at - _YEAR).date(),
        today=visit.at.astimezone().date(),
        more=found[-1].number if len(found) == _A_PAGE else None, days=WATCHED.days,
    )  # fmt: skip


def review(site: Site, visit: Visit) -> Response:
    """Keeps that the privacy officer looked at a flag, and what they made of it."""
    with site.rights.transaction() as connection:
        watched = recent_entries(connection, visit.at - WATCHED)
        for flag in _flags(site, watched):
            if flag.name == visit.typed("flag"):
                outcome = "followed up" if visit.typed("outcome") == "follow" else "in order"
                about = flag.name
                record_act(
                    connection, visit.at, LogAct.REVIEW, visit.name, about=about, outcome=outcome
                )
                said = f"Kept: {flag.by}, {flag.day}, {flag.why.value}: {outcome}."
                return redirect_to("/log", said)
    return redirect_to("/log", "Nothing was kept: there is no such flag, or no more.")


def verify(site: Site, visit: Visit) -> Response:
    """Computes the log's chain anew, and holds it against what the privacy office signed."""
    ring = Keyring(site.home, PartyKind.OUTLET)
    office = ring.peer(PartyKind.OFFICE).verify_key
    found = audit_log(site.home, office, ring.identity().card.name, visit.at)
    return render("verify.html", site, visit, found=found, cannot=CANNOT_TELL)


def _flags(site: Site, watched: Sequence[LogEntry]) -> list[Flag]:
    return to_review(watched, site.access.settings.desk)


def _entry(connection: sa.Connection, visit: Visit) -> LogEntry | None:
    """The entry that an address names, where it is about a customer."""
    number = number_of(visit.query.get("of", ""))
    if number is None:
        return None
    found = recent_entries(connection, visit.at - _YEAR, limit=1, before_number=number + 1)
    return next((one for one in found if one.number == number and one.key), None)


def _day(text: str) -> dt.date | None:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        return None


def _midnight(day: dt.date) -> dt.datetime:
    """Where a day begins by this machine's own clock."""
    return dt.datetime.combine(day, dt.time()).astimezone()
