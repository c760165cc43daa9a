"""The privacy officer's page of a customer's events, to correct or strike one.

Invariant: who is meant is what was typed, sent again with each form; that the events were shown is
in the log before they are, and what is corrected is logged and answers the request it was for.
"""

from __future__ import annotations

import datetime as dt
from http import HTTPStatus
from typing import TYPE_CHECKING

from features.ledger import LEDGER_KINDS
from outlet_client.bands.lookup_quota import left_today
from outlet_client.desk.asked_customer import OF, asked_customer
from outlet_client.desk.messages import message_of_error
from outlet_client.desk.site import render
from outlet_client.errors import OWN_ERRORS
from outlet_client.ledger.corrections import CorrectionRefused, event_ids, standing
from outlet_client.log_tables.rights_store import rights_of
from outlet_client.records.access_log import LogAct, note_lookups, recent_entries
from outlet_client.records.actor import Actor, LookupPurpose
from outlet_client.rights.correction_making import make_correction, open_corrections
from outlet_client.rights.dossier import corrected_events
from outlet_client.rights.find_person import find_person
from outlet_client.rights.ledger_view import read_ledger_view

if TYPE_CHECKING:
    from typing import Any

    import polars as pl
    import sqlalchemy as sa
    from starlette.responses import Response

    from outlet_client.desk.site import PageResponse, Site, Visit
    from outlet_client.rights.find_person import FoundPerson

EVENTS = "events, to be corrected"
"""What the log says was shown."""

NONE = "-"
"""Typed where a serial or a reference is to be none."""

_CELLS = ("date", "kind", "price", "reference", "serial")


def show_again(site: Site, visit: Visit) -> Response:
    """The same with what was typed, where the form came too late; else asks whose it is."""
    if not any(visit.typed(name) for name in ("phone", "email", OF)):
        return _page(site, visit, None, None)
    try:
        return show_events(site, visit)
    except OWN_ERRORS as error:
        words = message_of_error(error)
        return _page(site, visit, None, None, HTTPStatus.CONFLICT, error=words)


def show_events(site: Site, visit: Visit) -> PageResponse:
    """The events of a customer, of which one can be corrected.

    Raises:
        NoIdentifier: If neither phone nor e-mail is usable.
        LedgerError: If a file cannot be read.
        LookupQuotaReached: If the officer has shown as many customers today as one person may.
    """
    who, rows = _found(site, visit)
    with site.rights.transaction() as connection:
        _note_shown(connection, site, visit, who)
    return _page(site, visit, who, rows)


def correct(site: Site, visit: Visit) -> PageResponse:
    """Corrects or strikes one event, and shows them all again."""
    try:
        who, rows = _found(site, visit)
        with site.rights.transaction() as connection:
            if not _were_shown(connection, visit, who):  # whoever wrote the form saw no page
                _note_shown(connection, site, visit, who)
    except OWN_ERRORS as error:
        words = message_of_error(error)
        return _page(site, visit, None, None, HTTPStatus.CONFLICT, error=words)
    try:
        event = visit.typed("event")
        values = _before(site, who, rows, event) if _is_back(visit) else _values(visit)
        made = make_correction(
            site.access, who, rows, event, values, visit.name, visit.at, visit.number("request")
        )
    except OWN_ERRORS as error:
        at, words = _flaw(message_of_error(error))
        return _page(site, visit, who, rows, HTTPStatus.CONFLICT, error=words, at=at)
    return _page(site, visit, who, rows, made=made, event=event)


def _note_shown(connection: sa.Connection, site: Site, visit: Visit, who: FoundPerson) -> None:
    """Notes that somebody is shown a customer's events, where they have a look-up left."""
    asked = Actor.of(visit.name, LookupPurpose.CUSTOMER)
    left_today(connection, visit.name, visit.at, site.access.settings.desk.lookups_a_day, 1)
    note_lookups(connection, visit.at, asked, [(who.key, EVENTS)])


def _were_shown(connection: sa.Connection, visit: Visit, who: FoundPerson) -> bool:
    """Whether the log has it already, of this person and since the day before."""
    since = visit.at - dt.timedelta(days=1)
    shown = recent_entries(connection, since, by=visit.name, act=LogAct.LOOK_UP, key=who.key)
    return any(one.outcome == EVENTS for one in shown)


def _found(site: Site, visit: Visit) -> tuple[FoundPerson, pl.DataFrame]:
    """Who is meant, and their rows of the ledger before corrections."""
    access, asked = site.access, asked_customer(site, visit)
    taken = read_ledger_view(access, visit.at)
    who = find_person(access.people, access.settings, asked.phone, asked.email, asked.key)
    return who, taken.rows_of(who.customers)


def _values(visit: Visit) -> dict[str, str] | None:
    """The cells that are to be other than they are; None where the event is to be struck."""
    if visit.typed("do") == "strike":
        return None
    typed = {name: text for name in _CELLS if (text := visit.typed(name))}
    if not typed:
        raise CorrectionRefused("Fill in what is to be other than it is, or strike the event.")
    return {name: "" if text == NONE else text for name, text in typed.items()}


def _is_back(visit: Visit) -> bool:
    return visit.typed("do") == "back"


def _before(site: Site, who: FoundPerson, rows: pl.DataFrame, event: str) -> dict[str, str]:
    """What the till's ledger has in the cells of an event that were corrected."""
    with rights_of(site.access.home) as connection:
        corrected = {one.event: one for one in standing(connection, who.customers)}
    one, ids = corrected.get(event), event_ids(rows)
    if one is None or event not in ids or not (one.struck or one.changes):
        raise CorrectionRefused("This event stands as the till has it: nothing was taken back.")
    row = rows.row(ids.index(event), named=True)
    names = tuple(one.changes) or ("date",)
    return {name: "" if row[name] is None else str(row[name]) for name in names}


def _flaw(words: str) -> tuple[str, str]:
    """The field that an error begins with the name of, and the rest; "" where it is of none."""
    name, _, rest = words.partition(": ")
    return (name, rest[:1].upper() + rest[1:]) if rest and name in _CELLS else ("", words)


def _page(
    site: Site,
    visit: Visit,
    who: FoundPerson | None,
    rows: pl.DataFrame | None,
    status: HTTPStatus = HTTPStatus.OK,
    **values: Any,
) -> PageResponse:
    told: dict[str, Any] = {
        "error": "", "at": "", "made": None, "event": visit.typed("event"), **values
    }  # fmt: skip
    events: list[dict[str, Any]] = []
    waiting: list[int] = []
    if who is not None and rows is not None:
        waiting = open_corrections(site.access, who)
        with rights_of(site.access.home) as connection:
            corrections = standing(connection, who.customers)
        events = corrected_events(rows, corrections)[::-1]
    names = ("phone", "email", OF, *(() if told["made"] else ("request", *_CELLS)))
    typed = {name: visit.typed(name) for name in names}
    return render(
        "corrections.html", site, visit, status, who=who, events=events, requests=waiting,
        back=_is_back(visit),
        kinds=list(LEDGER_KINDS), dash=NONE, typed=typed, **told,
    )  # fmt: skip
