"""The privacy officer's pages: the log and what is unusual in it, customers' rights, consents.

Invariant: what was typed of a customer is in the answer to that very form and nowhere else; lists
name customers by the outlet's own ids, the log by a mark that only this outlet can make.
"""

from __future__ import annotations

import datetime as dt
import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import polars as pl
from starlette.responses import HTMLResponse, Response

from features.errors import FeatureError
from outlet_client.desk.lookup_usage import unusual
from outlet_client.desk.messages import said
from outlet_client.desk.site import OWN_STYLE, message, number_of, render, see
from outlet_client.errors import OutletError
from outlet_client.records import customer_requests
from outlet_client.records.access_log import Act, recent, record
from outlet_client.records.actor import Asked, Purpose, words_of
from outlet_client.records.customer_requests import RequestKind, Taking
from outlet_client.records.log_audit import CANNOT_TELL, audit
from outlet_client.rights import rights_text
from outlet_client.rights.dossier import Form, dossier
from outlet_client.rights.dossier_page import page
from outlet_client.rights.request_handling import end_consent, settle, take_down
from privacy.errors import PrivacyError
from privacy.identity import Kind
from privacy.keyring import Keyring

if TYPE_CHECKING:
    from outlet_client.desk.lookup_usage import Flag
    from outlet_client.desk.site import Site, Visit
    from outlet_client.records.access_log import Entry
    from outlet_client.rights.dossier import Dossier

_A_PAGE = 100
_WATCHED = dt.timedelta(days=30)
_YEAR = dt.timedelta(days=365)
_ALL = 1_000_000
_MARK = 8

_KINDS = {
    RequestKind.ACCESS: "see what is held",
    RequestKind.EXPORT: "have it as a file",
    RequestKind.CORRECTION: "have something corrected",
    RequestKind.WITHDRAWAL: "withdraw",
    RequestKind.DISPUTE: "dispute the band",
}


# --- the log --------------------------------------------------------------------------------------


def show_log(site: Site, visit: Visit) -> Response:
    """What is unusual, and the log, the newest first."""
    act = next((one for one in Act if one.value == visit.query.get("act")), None)
    by = visit.query.get("by") or None
    with site.rights.transaction() as connection:
        found = recent(
            connection,
            visit.at - _YEAR,
            by=by,
            act=act,
            limit=_A_PAGE,
            before_number=number_of(visit.query.get("before", "")),
        )
        watched = recent(connection, visit.at - _WATCHED, limit=_ALL)
    return render(
        "log.html", site, visit, entries=[_entry(one) for one in found], acts=list(Act), act=act,
        by=by or "", staff=sorted({one.by for one in watched}), flags=_flags(site, watched),
        more=found[-1].number if len(found) == _A_PAGE else None, days=_WATCHED.days,
    )  # fmt: skip


def review(site: Site, visit: Visit) -> Response:
    """Keeps that the privacy officer looked at a flag, and what they made of it."""
    with site.rights.transaction() as connection:
        watched = recent(connection, visit.at - _WATCHED, limit=_ALL)
        for flag in _flags(site, watched):
            if flag.name == visit.typed("flag"):
                outcome = "followed up" if visit.typed("outcome") == "follow" else "in order"
                about = flag.name
                record(connection, visit.at, Act.REVIEW, visit.name, about=about, outcome=outcome)
    return see("/log")


def verify(site: Site, visit: Visit) -> Response:
    """Computes the log's chain anew, and holds it against what the privacy office signed."""
    ring = Keyring(site.home, Kind.OUTLET)
    office = ring.peer(Kind.OFFICE).verify_key
    found = audit(site.home, office, ring.identity().card.name, visit.at)
    return render("verify.html", site, visit, found=found, cannot=CANNOT_TELL)


def _flags(site: Site, watched: tuple[Entry, ...]) -> list[Flag]:
    """What is unusual and nobody has looked at."""
    seen = {one.about for one in watched if one.act is Act.REVIEW}
    flags = unusual(watched, site.desk.settings.desk)
    return [one for one in flags if one.name not in seen]


def _entry(one: Entry) -> dict[str, object]:
    return {
        "number": one.number,
        "at": one.at.isoformat(),
        "act": one.act.value,
        "by": one.by,
        "purpose": "" if one.purpose is None else one.purpose.value,
        "about": one.about,
        "mark": one.key[:_MARK],
        "outcome": one.outcome,
    }


# --- one customer ---------------------------------------------------------------------------------


def show_customer(site: Site, visit: Visit) -> Response:
    """Asks whose record it is."""
    return _customer(site, visit, HTTPStatus.OK, "")


def on_customer(site: Site, visit: Visit) -> Response:
    """Shows or hands over what is held, ends a consent, or takes a request down."""
    doing = {"show": _shown, "export": _export, "withdraw": _withdraw}
    do = doing.get(visit.typed("do"), _receive)
    try:
        return do(site, visit)
    except (OutletError, PrivacyError, FeatureError) as error:
        return _customer(site, visit, HTTPStatus.CONFLICT, said(error))


def _shown(site: Site, visit: Visit) -> Response:
    made = page(_held(site, visit, Form.PAGE), site.desk.settings.request_days)
    return HTMLResponse(made, headers={"Content-Security-Policy": OWN_STYLE})


def _export(site: Site, visit: Visit) -> Response:
    made = json.dumps(_held(site, visit, Form.FILE).as_dict(), indent=2, ensure_ascii=False)
    named = {"Content-Disposition": 'attachment; filename="customer-record.json"'}
    return Response(f"{made}\n", media_type="application/json", headers=named)


def _held(site: Site, visit: Visit, form: Form) -> Dossier:
    asked = Asked.of(visit.name, Purpose.CUSTOMER)
    return dossier(site.desk, *_typed(visit), asked, visit.at, form)


def _withdraw(site: Site, visit: Visit) -> Response:
    if visit.typed("sure") != "yes":
        error = "Tick that the customer withdraws; this cannot be undone without a new consent."
        return _customer(site, visit, HTTPStatus.BAD_REQUEST, error)
    desk = site.desk
    found = end_consent(desk.home, desk.people, desk.settings, _typed(visit), _taking(site, visit))
    return message(
        site, visit, HTTPStatus.OK, "Withdrawal", rights_text.withdrawn(found), back="/customer"
    )


def _receive(site: Site, visit: Visit) -> Response:
    kind = next((one for one in RequestKind if one.value == visit.typed("kind")), None)
    if kind is None:
        error = "Choose what the customer asks for."
        return _customer(site, visit, HTTPStatus.BAD_REQUEST, error)
    desk, taking = site.desk, _taking(site, visit)
    take_down(desk.home, desk.people, desk.settings, kind, _typed(visit), taking)
    return see("/requests")


def _customer(site: Site, visit: Visit, status: HTTPStatus, error: str) -> Response:
    typed = {name: visit.typed(name) for name in ("phone", "email", "about", "kind")}
    return render(
        "customer.html", site, visit, status, typed=typed, error=error,
        kinds=[(one.value, word) for one, word in _KINDS.items()],
        today=visit.at.astimezone().date().isoformat(),
    )  # fmt: skip


def _typed(visit: Visit) -> tuple[str | None, str | None]:
    return visit.typed("phone") or None, visit.typed("email") or None


def _taking(site: Site, visit: Visit) -> Taking:
    day = today = visit.at.astimezone().date()
    if received := visit.typed("received"):
        try:
            day = dt.date.fromisoformat(received)
        except ValueError as error:
            raise customer_requests.RequestRefused("received: expected a date") from error
    if day > today:
        raise customer_requests.RequestRefused("received: in the future; expected today or earlier")
    about = visit.typed("about")
    said = words_of(about, "what they say", "sentences") if about else ""
    return Taking(day, site.desk.settings.request_days, visit.name, said, visit.at)


# --- requests and consents ------------------------------------------------------------------------


def show_requests(site: Site, visit: Visit) -> Response:
    """What customers asked for, the open ones first, with the day by which each is due."""
    return _requests(site, visit, HTTPStatus.OK, "")


def answer(site: Site, visit: Visit) -> Response:
    """Answers a request, with a sentence that the customer reads."""
    number = visit.numbers["number"]
    desk = site.desk
    try:
        settle(desk.home, desk.people, number, visit.name, visit.form.get("note", ""), visit.at)
    except OutletError as error:
        return _requests(site, visit, HTTPStatus.CONFLICT, said(error))
    return see("/requests")


def show_consents(site: Site, visit: Visit) -> Response:
    """How many consents there are to each notice, standing and ended."""
    ended = pl.col("withdrawn_at").is_not_null()
    counts = site.desk.people.consents().group_by("notice").agg(all=pl.len(), ended=ended.sum())
    notices = [
        {"notice": notice, "standing": everything - over, "ended": over}
        for notice, everything, over in counts.sort("notice").iter_rows()
    ]
    return render("consents.html", site, visit, notices=notices, notice=site.notice)


def _requests(site: Site, visit: Visit, status: HTTPStatus, error: str) -> Response:
    today = visit.at.astimezone().date()
    with site.rights.transaction() as connection:
        found = customer_requests.requests(connection)
    listed: list[dict[str, Any]] = [
        {
            "number": one.number,
            "kind": _KINDS[one.kind],
            "customers": site.desk.people.customers_of(one.key),
            "received": one.received.isoformat(),
            "due": one.due.isoformat(),
            "overdue": one.overdue(today),
            "open": one.answered is None,
            "standing": one.standing(today),
            "taken_by": one.taken_by,
            "about": one.about,
            "answer": one.answer,
        }
        for one in found
    ]
    listed.sort(key=lambda one: (not one["open"], one["due"]))
    return render("requests.html", site, visit, status, requests=listed, error=error)
