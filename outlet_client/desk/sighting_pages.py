"""The pages of resale sightings: reporting one, and a manager's decision about it.

Invariant: only pieces that this outlet sold are here, under its own ids of customers; whose they
are is shown to managers only, and they alone say that one was resold. What is searched for stands
in no address.
"""

from __future__ import annotations

import datetime as dt
from http import HTTPStatus
from typing import TYPE_CHECKING

from outlet_client.desk.kept_pages import TypedForm
from outlet_client.desk.messages import message_of_error
from outlet_client.desk.page_roles import MAY_DECIDE_SIGHTINGS
from outlet_client.desk.site import redirect_to, render
from outlet_client.desk.waiting_work import SIGHTINGS
from outlet_client.errors import OWN_ERRORS
from outlet_client.sightings.sighting_decisions import confirm, dismiss, report
from outlet_client.sightings.sighting_history import SightingHistory, open_sightings
from outlet_client.sightings.sighting_search import (
    SightingGroup,
    SightingQuery,
    SightingState,
    anchor,
    sighting_page,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.responses import Response

    from outlet_client.desk.site import Site, Visit

_LIST = ("find", "state", "group", "page")
"""The fields that say which sightings are shown."""


def show(site: Site, visit: Visit, status: HTTPStatus = HTTPStatus.OK, error: str = "") -> Response:
    """What was seen, the open ones first, and a form to report another."""
    seen, missing = SightingHistory(), ""
    if visit.account is not None and visit.account.role in MAY_DECIDE_SIGHTINGS:
        mark = site.waiting.mark(SIGHTINGS, visit.at)
        try:
            seen = open_sightings(site.access, visit.at)
        except OWN_ERRORS as cause:
            missing = message_of_error(cause)
        site.waiting.note(SIGHTINGS, visit.at, mark, None if missing else len(seen.open))
    asked = _query(visit)
    decides = asked.first is not None
    return render(
        "sightings.html", site, visit, status, seen=seen, missing=missing, error=error,
        typed={} if decides else visit.form, deciding=visit.form if decides else {}, asked=asked,
        view=sighting_page(seen.sightings, asked), anchor=anchor, states=list(SightingState),
        groups=list(SightingGroup), today=visit.at.astimezone().date().isoformat(),
        kept=_list_fields(visit),
    )  # fmt: skip


def look_on(_site: Site, visit: Visit) -> Response:
    """Shows other sightings: searched for, put together otherwise, another page."""
    fields = _list_fields(visit)
    if visit.typed("filter"):
        fields.pop("page", None)
    return redirect_to(_kept(visit, fields))


def tell(site: Site, visit: Visit) -> Response:
    """Takes down that somebody saw a piece for sale."""
    day = _day(visit)
    if day is None:
        return show(site, visit, HTTPStatus.BAD_REQUEST, "Say on which day the piece was seen.")
    try:
        report(site.access, visit.typed("serial"), day, visit.typed("where"), visit.name, visit.at)
    except OWN_ERRORS as error:
        return show(site, visit, HTTPStatus.CONFLICT, message_of_error(error))
    said = f"Reported: a piece of ours was seen for sale on {day}. It counts as suspected until a "
    return redirect_to(SIGHTINGS, f"{said}manager decides.")


def decide(site: Site, visit: Visit) -> Response:
    """Confirms a sighting, or dismisses all of its piece."""
    serial, reason, day = visit.typed("serial"), visit.typed("reason"), _day(visit)
    decision = visit.typed("decision")
    if decision not in ("confirm", "dismiss"):
        return show(site, visit, HTTPStatus.BAD_REQUEST, "Choose: confirm or dismiss.")
    try:
        if decision == "confirm":
            made = confirm(site.access, serial, visit.name, reason, visit.at, day)
            said = f"Confirmed: the piece that was seen on {made.seen} was resold."
        else:
            dismiss(site.access, serial, visit.name, reason, visit.at)
            said = "Dismissed: whatever was seen of the piece so far, it was not resold."
    except OWN_ERRORS as error:
        return show(site, visit, HTTPStatus.CONFLICT, message_of_error(error))
    fields = _list_fields(visit)
    place = _kept(visit, fields) if fields else SIGHTINGS
    return redirect_to(place, f"{said} Your name and the reason are kept beside it.")


def _kept(visit: Visit, fields: Mapping[str, str]) -> str:
    """The address of the list as it is asked for, which names nothing of it."""
    assert visit.session is not None  # noqa: S101  (a role comes with one)
    return visit.session.pages.keep(TypedForm(SIGHTINGS, fields, ""))


def _list_fields(visit: Visit) -> dict[str, str]:
    return {name: text for name in _LIST if (text := visit.typed(name))}


def _query(visit: Visit) -> SightingQuery:
    """Which sightings are asked for; what was typed about one of them brings it to the top."""
    states = {one.value: one for one in SightingState}
    groups = {one.value: one for one in SightingGroup}
    serial, day = visit.typed("serial"), _day(visit)
    typed = "reason" in visit.form and bool(serial) and day is not None
    return SightingQuery(
        visit.typed("find"),
        states.get(visit.typed("state")),
        groups.get(visit.typed("group"), SightingGroup.STATE),
        visit.number("page") or 1,
        (serial, day) if typed and day is not None else None,
    )


def _day(visit: Visit) -> dt.date | None:
    try:
        return dt.date.fromisoformat(visit.typed("seen"))
    except ValueError:
        return None
