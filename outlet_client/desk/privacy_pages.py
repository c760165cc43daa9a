"""The privacy officer's pages: access log, unusual use, customers' requests, consents.

Invariant: what was typed of a customer is in the answer to that very form and nowhere else; lists
name customers by the outlet's own ids, the log by a mark that only this outlet can make.
"""

from __future__ import annotations

import datetime as dt
import json
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.responses import HTMLResponse, Response

from outlet_client.desk.correction_pages import show_events
from outlet_client.desk.lookup_usage import WATCHED, to_review
from outlet_client.desk.messages import REQUEST_KINDS, message_of_error
from outlet_client.desk.site import OWN_STYLE, message_page, number_of, redirect_to, render
from outlet_client.desk.waiting_work import FLAGS
from outlet_client.errors import OWN_ERRORS, OutletError
from outlet_client.records import customer_requests
from outlet_client.records.access_log import LogAct, recent_entries, record_act
from outlet_client.records.actor import Actor, LookupPurpose, checked_sentence
from outlet_client.records.customer_requests import NewRequest, RequestKind
from outlet_client.records.log_audit import CANNOT_TELL, audit_log
from outlet_client.rights import rights_text
from outlet_client.rights.dossier import Form, dossier
from outlet_client.rights.dossier_formats import dossier_page
from outlet_client.rights.request_handling import end_consent, settle_request, take_down_request
from privacy.identity import PartyKind
from privacy.keyring import Keyring

if TYPE_CHECKING:
    from outlet_client.desk.lookup_usage import Flag
    from outlet_client.desk.site import Site, Visit
    from outlet_client.records.access_log import LogEntry
    from outlet_client.rights.dossier import Dossier

_A_PAGE = 100
_YEAR = dt.timedelta(days=365)
_MARK = 8


def show_log(site: Site, visit: Visit) -> Response:
    """What is unusual, and the log, the newest first."""
    act = next((one for one in LogAct if one.value == visit.query.get("act")), None)
    by = visit.query.get("by") or None
    mark = site.waiting.mark(FLAGS, visit.at)
    with site.rights.transaction() as connection:
        found = recent_entries(
            connection,
            visit.at - _YEAR,
            by=by,
            act=act,
            limit=_A_PAGE,
            before_number=number_of(visit.query.get("before", "")),
        )
        watched = recent_entries(connection, visit.at - WATCHED)
    flags = _flags(site, watched)
    site.waiting.note(FLAGS, visit.at, mark, len(flags))
    return render(
        "log.html", site, visit, entries=found, mark=_MARK, acts=list(LogAct), act=act,
        by=by or "", staff=sorted({one.by for one in watched}), flags=flags,
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


def _flags(site: Site, watched: tuple[LogEntry, ...]) -> list[Flag]:
    return to_review(watched, site.access.settings.desk)


def show_customer(
    site: Site, visit: Visit, status: HTTPStatus = HTTPStatus.OK, error: str = ""
) -> Response:
    """Asks whose record it is."""
    typed = {name: visit.typed(name) for name in ("phone", "email", "about", "kind")}
    return render(
        "customer.html", site, visit, status, typed=typed, error=error,
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
        return show_customer(site, visit, HTTPStatus.CONFLICT, message_of_error(error))


def _shown(site: Site, visit: Visit) -> Response:
    made = dossier_page(_held(site, visit, Form.PAGE), site.access.settings)
    return HTMLResponse(made, headers={"Content-Security-Policy": OWN_STYLE})


def _export(site: Site, visit: Visit) -> Response:
    made = json.dumps(_held(site, visit, Form.FILE).as_dict(), indent=2, ensure_ascii=False)
    named = {"Content-Disposition": 'attachment; filename="customer-record.json"'}
    return Response(f"{made}\n", media_type="application/json", headers=named)


def _held(site: Site, visit: Visit, form: Form) -> Dossier:
    asked = Actor.of(visit.name, LookupPurpose.CUSTOMER)
    return dossier(site.access, *_typed(visit), asked, visit.at, form)


def _withdraw(site: Site, visit: Visit) -> Response:
    if visit.typed("sure") != "yes":
        error = "Tick that the customer withdraws; this cannot be undone without a new consent."
        return show_customer(site, visit, HTTPStatus.BAD_REQUEST, error)
    access = site.access
    found = end_consent(
        access.home, access.people, access.settings, _typed(visit), _taking(site, visit)
    )
    return message_page(
        site, visit, HTTPStatus.OK, "Withdrawal", rights_text.withdrawn(found), back="/customer"
    )


def _receive(site: Site, visit: Visit) -> Response:
    kind = next((one for one in RequestKind if one.value == visit.typed("kind")), None)
    if kind is None:
        error = "Choose what the customer asks for."
        return show_customer(site, visit, HTTPStatus.BAD_REQUEST, error)
    access, taking = site.access, _taking(site, visit)
    take_down_request(access.home, access.people, access.settings, kind, _typed(visit), taking)
    return redirect_to("/requests", f"Taken down: the customer wishes to {REQUEST_KINDS[kind]}.")


def _typed(visit: Visit) -> tuple[str | None, str | None]:
    return visit.typed("phone") or None, visit.typed("email") or None


def _taking(site: Site, visit: Visit) -> NewRequest:
    day = today = visit.at.astimezone().date()
    if received := visit.typed("received"):
        try:
            day = dt.date.fromisoformat(received)
        except ValueError as error:
            raise customer_requests.RequestRefused("received: expected a date") from error
    if day > today:
        raise customer_requests.RequestRefused("received: in the future; expected today or earlier")
    about = visit.typed("about")
    said = checked_sentence(about, "what they say", "sentences") if about else ""
    return NewRequest(day, site.access.settings.request_days, visit.name, said, visit.at)


def show_requests(
    site: Site, visit: Visit, status: HTTPStatus = HTTPStatus.OK, error: str = ""
) -> Response:
    """What customers asked for, the open ones first, with the day by which each is due."""
    today = visit.at.astimezone().date()
    with site.rights.transaction() as connection:
        found = customer_requests.requests(connection)
    listed = [
        {
            **one.as_dict(today),
            "kind": REQUEST_KINDS[one.kind],
            "customers": site.access.people.customers_of(one.key),
            "open": one.answered is None,
        }
        for one in sorted(found, key=lambda one: (one.answered is not None, one.due))
    ]
    return render(
        "requests.html", site, visit, status, requests=listed, error=error, typed=visit.form
    )  # fmt: skip


def answer(site: Site, visit: Visit) -> Response:
    """Answers a request, with a sentence that the customer reads."""
    number = visit.numbers["number"]
    access = site.access
    try:
        settle_request(
            access.home, access.people, number, visit.name, visit.form.get("note", ""), visit.at
        )
    except OutletError as error:
        return show_requests(site, visit, HTTPStatus.CONFLICT, message_of_error(error))
    return redirect_to("/requests", f"Request {number} is answered.")


def show_consents(site: Site, visit: Visit) -> Response:
    """How many consents there are to each notice, standing and ended."""
    notices = site.access.people.consent_counts()
    return render("consents.html", site, visit, notices=notices, notice=site.notice)
