"""Sightings: pieces of this outlet that were seen for sale, and what a manager makes of that.

Invariant: only pieces that this outlet sold are here, under its own ids of customers; whose they
are is shown to managers only, and they alone say that one was resold.
"""

from __future__ import annotations

import datetime as dt
from http import HTTPStatus
from typing import TYPE_CHECKING

from features.errors import FeatureError
from outlet_client.desk.messages import said
from outlet_client.desk.site import MANAGERS, render, see
from outlet_client.errors import OutletError
from outlet_client.sightings.sighting_decisions import confirm, dismiss, report
from outlet_client.sightings.sighting_history import Seen, open_sightings

if TYPE_CHECKING:
    from starlette.responses import Response

    from outlet_client.desk.site import Site, Visit


def show(site: Site, visit: Visit) -> Response:
    """What was seen, the open ones first, and a form to report another."""
    return _page(site, visit, HTTPStatus.OK, "")


def tell(site: Site, visit: Visit) -> Response:
    """Takes down that somebody saw a piece for sale."""
    day = _day(visit)
    if day is None:
        return _page(site, visit, HTTPStatus.BAD_REQUEST, "Say on which day the piece was seen.")
    try:
        report(site.desk, visit.typed("serial"), day, visit.typed("where"), visit.name, visit.at)
    except (OutletError, FeatureError) as error:
        return _page(site, visit, HTTPStatus.CONFLICT, said(error))
    return see("/sightings")


def decide(site: Site, visit: Visit) -> Response:
    """Confirms a sighting, or dismisses all of its piece."""
    serial, reason, day = visit.typed("serial"), visit.typed("reason"), _day(visit)
    decision = visit.typed("decision")
    if decision not in ("confirm", "dismiss"):
        return _page(site, visit, HTTPStatus.BAD_REQUEST, "Choose: confirm or dismiss.")
    try:
        if decision == "confirm":
            confirm(site.desk, serial, visit.name, reason, visit.at, day)
        else:
            dismiss(site.desk, serial, visit.name, reason, visit.at)
    except (OutletError, FeatureError) as error:
        return _page(site, visit, HTTPStatus.CONFLICT, said(error))
    return see("/sightings")


def _day(visit: Visit) -> dt.date | None:
    try:
        return dt.date.fromisoformat(visit.typed("seen"))
    except ValueError:
        return None


def _page(site: Site, visit: Visit, status: HTTPStatus, error: str) -> Response:
    seen, missing = Seen(), ""
    try:
        if visit.account is not None and visit.account.role in MANAGERS:
            seen = open_sightings(site.desk, visit.at)
    except (OutletError, FeatureError) as cause:
        missing = said(cause)
    return render(
        "sightings.html", site, visit, status, seen=seen, missing=missing, error=error,
        typed=visit.form, today=visit.at.astimezone().date().isoformat(),
    )  # fmt: skip
