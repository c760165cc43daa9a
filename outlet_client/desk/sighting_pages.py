"""The pages of resale sightings: reporting one, and a manager's decision about it.

Invariant: only pieces that this outlet sold are here, under its own ids of customers; whose they
are is shown to managers only, and they alone say that one was resold.
"""

from __future__ import annotations

import datetime as dt
from http import HTTPStatus
from typing import TYPE_CHECKING

from outlet_client.desk.messages import message_of_error
from outlet_client.desk.page_roles import MAY_DECIDE_SIGHTINGS
from outlet_client.desk.site import redirect_to, render
from outlet_client.errors import OWN_ERRORS
from outlet_client.sightings.sighting_decisions import confirm, dismiss, report
from outlet_client.sightings.sighting_history import SightingHistory, open_sightings

if TYPE_CHECKING:
    from starlette.responses import Response

    from outlet_client.desk.site import Site, Visit


def show(site: Site, visit: Visit, status: HTTPStatus = HTTPStatus.OK, error: str = "") -> Response:
    """What was seen, the open ones first, and a form to report another."""
    seen, missing = SightingHistory(), ""
    try:
        if visit.account is not None and visit.account.role in MAY_DECIDE_SIGHTINGS:
            seen = open_sightings(site.access, visit.at)
    except OWN_ERRORS as cause:
        missing = message_of_error(cause)
    return render(
        "sightings.html", site, visit, status, seen=seen, missing=missing, error=error,
        typed=visit.form, today=visit.at.astimezone().date().isoformat(),
    )  # fmt: skip


def tell(site: Site, visit: Visit) -> Response:
    """Takes down that somebody saw a piece for sale."""
    day = _day(visit)
    if day is None:
        return show(site, visit, HTTPStatus.BAD_REQUEST, "Say on which day the piece was seen.")
    try:
        report(site.access, visit.typed("serial"), day, visit.typed("where"), visit.name, visit.at)
    except OWN_ERRORS as error:
        return show(site, visit, HTTPStatus.CONFLICT, message_of_error(error))
    return redirect_to("/sightings", "Reported. It counts as suspected until a manager decides.")


def decide(site: Site, visit: Visit) -> Response:
    """Confirms a sighting, or dismisses all of its piece."""
    serial, reason, day = visit.typed("serial"), visit.typed("reason"), _day(visit)
    decision = visit.typed("decision")
    if decision not in ("confirm", "dismiss"):
        return show(site, visit, HTTPStatus.BAD_REQUEST, "Choose: confirm or dismiss.")
    try:
        if decision == "confirm":
            confirm(site.access, serial, visit.name, reason, visit.at, day)
        else:
            dismiss(site.access, serial, visit.name, reason, visit.at)
    except OWN_ERRORS as error:
        return show(site, visit, HTTPStatus.CONFLICT, message_of_error(error))
    what = "Confirmed" if decision == "confirm" else "Dismissed"
    return redirect_to("/sightings", f"{what}. Your name and the reason are kept beside it.")


def _day(visit: Visit) -> dt.date | None:
    try:
        return dt.date.fromisoformat(visit.typed("seen"))
    except ValueError:
        return None
