"""The privacy officer's pages of customers' rights: records, requests, answers, withdrawals.

Invariant: what was typed of a customer is in the answer to that very form and nowhere else; lists
name customers by the outlet's own ids. What was typed for one request is shown with no other.
"""

from __future__ import annotations

import datetime as dt
import json
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from outlet_client.desk.asked_customer import asked_customer
from outlet_client.desk.correction_pages import show_events
from outlet_client.desk.kept_answers import may_still_be_shown
from outlet_client.desk.messages import message_of_error
from outlet_client.desk.site import OWN_STYLE, PageResponse, message_page, redirect_to, render
from outlet_client.desk.way_back import with_way_back
from outlet_client.errors import OWN_ERRORS, NoIdentifier, OutletError
from outlet_client.people.client_book import refresh_clients
from outlet_client.records import customer_requests
from outlet_client.records.access_log import recent_entries
from outlet_client.records.actor import (
    MOST_WORDS,
    Actor,
    LookupPurpose,
    NotAsked,
    checked_sentence,
)
from outlet_client.records.customer_requests import NewRequest, RequestKind, RequestRefused
from outlet_client.rights import rights_text
from outlet_client.rights.dossier import Form, dossier
from outlet_client.rights.dossier_formats import dossier_page
from outlet_client.rights.find_person import find_person
from outlet_client.rights.request_handling import end_consent, settle_request, take_down_request
from outlet_client.rights.rights_text import REQUEST_KINDS

if TYPE_CHECKING:
    from outlet_client.desk.site import Site, Visit
    from outlet_client.records.customer_requests import Request
    from outlet_client.rights.dossier import Dossier

_DAY = dt.timedelta(days=1)
_EMPTY = "Write a sentence: the customer reads it."
_NOBODY = "Nobody in the client book has this phone or e-mail to themselves."
_PARTS = ("held", "take", "end")
"""The forms of the page of a customer's rights; what was typed into one is shown there again."""


_ASKS = {
    "phone": _PARTS, "kind": ("take",), "about": ("take",), "received": ("take",), "sure": ("end",)
}  # fmt: skip
"""Which form has which field."""


class _Received(RequestRefused):
    """The day on which a request was received cannot be."""


def show_customer(
    site: Site, visit: Visit, status: HTTPStatus = HTTPStatus.OK, error: str = "", at: str = ""
) -> Response:
    """Asks whose record it is; `at` is the field that an error is about."""
    names = ("phone", "email", "about", "kind", "received", "sure")
    part = visit.typed("part")
    return render(
        "customer.html", site, visit, status, error=error, most=MOST_WORDS,
        at=f"{at}-{part}" if part in _ASKS.get(at, ()) else "",
        typed={one: {name: visit.typed(name) if one == part else "" for name in names}
               for one in _PARTS},
        kinds=[(one.value, word) for one, word in REQUEST_KINDS.items()],
        today=visit.at.astimezone().date().isoformat(),
    )  # fmt: skip


def on_customer(site: Site, visit: Visit) -> Response:
    """Shows, hands over or corrects what is held, ends a consent, or takes a request down."""
    doing = {
        "show": _shown,
        "export": _export,
        "correct": show_events,
        "withdraw": _withdraw,
    }
    do = doing.get(visit.typed("do"), _receive)
    try:
        return do(site, visit)
    except OWN_ERRORS as error:
        at = ""
        if isinstance(error, NoIdentifier):
            at = "phone"
        elif isinstance(error, _Received):
            at = "received"
        elif isinstance(error, NotAsked):
            at = "about"
        return show_customer(site, visit, HTTPStatus.CONFLICT, message_of_error(error), at)


def _shown(site: Site, visit: Visit) -> Response:
    held, asked = _held(site, visit, Form.PAGE), asked_customer(site, visit)
    who = find_person(site.access.people, site.access.settings, asked.phone, asked.email, asked.key)
    with site.rights.transaction() as connection:
        [entry] = recent_entries(connection, visit.at - _DAY, key=who.key, limit=1)
    made = PageResponse(
        with_way_back(
            dossier_page(held, site.access.settings),
            {
                "/customer": "A customer's rights",
                "/requests": "Requests",
                f"/log?of={entry.number}#entries": "This customer in the log",
            },
        ),
        headers={"Content-Security-Policy": OWN_STYLE},
    )
    if held.band["bands"]:
        made.still = partial(
            may_still_be_shown, site, asked.phone or "", asked.email or "", visit.at, asked.key
        )
    return made


def _export(site: Site, visit: Visit) -> Response:
    made = json.dumps(_held(site, visit, Form.FILE).as_dict(), indent=2, ensure_ascii=False)
    named = {"Content-Disposition": 'attachment; filename="customer-record.json"'}
    return Response(f"{made}\n", media_type="application/json", headers=named)


def _held(site: Site, visit: Visit, form: Form) -> Dossier:
    asked = asked_customer(site, visit)
    by = Actor.of(visit.name, LookupPurpose.CUSTOMER)
    return dossier(site.access, asked.phone, asked.email, by, visit.at, form, asked.key)


def _withdraw(site: Site, visit: Visit) -> Response:
    if visit.typed("sure") != "yes":
        error = "Tick that the customer withdraws; this cannot be undone without a new consent."
        return show_customer(site, visit, HTTPStatus.BAD_REQUEST, error, "sure")
    access, asked = site.access, asked_customer(site, visit)
    people, settings = access.people, access.settings
    typed = asked.phone, asked.email
    found = end_consent(access.home, people, settings, typed, _taking(site, visit), key=asked.key)
    who = find_person(people, settings, *typed, asked.key)
    _refresh(site)
    customers = people.customers_of(who.key)
    named = f"Customer {', '.join(customers)}." if customers else _NOBODY
    return message_page(
        site, visit, HTTPStatus.OK, "Withdrawal", named, rights_text.withdrawn(found),
        back="/requests" if asked.key else "/customer",
    )  # fmt: skip


def _refresh(site: Site) -> None:
    """Reads what is new in the client book; where that fails, what is known is named."""
    with suppress(*OWN_ERRORS):
        refresh_clients(site.access.settings, site.access.people, by_day=True)


def _receive(site: Site, visit: Visit) -> Response:
    kind = next((one for one in RequestKind if one.value == visit.typed("kind")), None)
    if kind is None:
        error = "Choose what the customer asks for."
        return show_customer(site, visit, HTTPStatus.BAD_REQUEST, error, "kind")
    access, taking, asked = site.access, _taking(site, visit), asked_customer(site, visit)
    _refresh(site)
    made, _ = take_down_request(
        access.home, access.people, access.settings, kind, (asked.phone, asked.email), taking
    )
    return redirect_to(
        "/requests",
        f"Request {made.number} is taken down: the customer wishes to {REQUEST_KINDS[kind]}. "
        f"Answer it by {made.due}.",
    )


def _taking(site: Site, visit: Visit) -> NewRequest:
    day = today = visit.at.astimezone().date()
    if received := visit.typed("received"):
        try:
            day = dt.date.fromisoformat(received)
        except ValueError as error:
            raise _Received(
                "The day on which it was received: expected a date, such as 2026-11-30."
            ) from error
    if day > today:
        raise _Received(
            "The day on which it was received is in the future; expected today or earlier."
        )
    about = visit.typed("about")
    said = checked_sentence(about, "what they say", "sentences") if about else ""
    return NewRequest(day, site.access.settings.request_days, visit.name, said, visit.at)


def _said(error: NotAsked) -> str:
    """What is wrong with a sentence, without the name that the field has elsewhere."""
    name, _, rest = str(error).partition(": ")
    return f"{rest[:1].upper()}{rest[1:]}." if rest else name


def show_requests(
    site: Site, visit: Visit, status: HTTPStatus = HTTPStatus.OK, error: str = ""
) -> Response:
    """What customers asked for, the open ones first, with the day by which each is due."""
    today = visit.at.astimezone().date()
    _refresh(site)
    with site.rights.transaction() as connection:
        found = customer_requests.requests(connection)
    listed = [
        _listed(site, one, today)
        for one in sorted(found, key=lambda one: (one.answered is not None, *_order(one)))
    ]
    number = visit.typed("number")
    return render(
        "requests.html", site, visit, status, requests=listed, error=error, at=f"note-{number}",
        most=MOST_WORDS,
        typed_for=number, note=visit.form.get("note", ""), kinds=RequestKind,
    )  # fmt: skip


def _order(one: Request) -> tuple[int, int]:
    """The open ones by when they are due, the answered ones with the newest first."""
    if one.answered is None:
        return one.due.toordinal(), one.number
    return -round(one.answered.timestamp()), -one.number


def _listed(site: Site, one: Request, today: dt.date) -> dict[str, Any]:
    return {
        **one.as_dict(today),
        "asks": one.kind,
        "kind": REQUEST_KINDS[one.kind],
        "customers": site.access.people.customers_of(one.key),
        "open": one.answered is None,
        "left": (one.due - today).days,
    }


def answer(site: Site, visit: Visit) -> Response:
    """Answers a request, with a sentence that the customer reads."""
    number = visit.numbers["number"]
    access = site.access
    try:
        found, hidden = settle_request(
            access.home, access.people, number, visit.name, visit.form.get("note", ""), visit.at
        )
    except NotAsked as error:
        blank = not visit.typed("note")
        return show_requests(site, visit, HTTPStatus.CONFLICT, _EMPTY if blank else _said(error))
    except OutletError as error:
        return show_requests(site, visit, HTTPStatus.CONFLICT, message_of_error(error))
    then = ""
    if found.kind is RequestKind.DISPUTE:
        then = (
            " Another dispute of this customer keeps the band hidden."
            if hidden
            else " The band is shown again."
        )
    return redirect_to("/requests", f"Request {number} is answered.{then}")
