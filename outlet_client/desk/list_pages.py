"""The page of lists that somebody may take away as CSV files.

Invariant: a list is made for who may see its page, and that they took it is in the log before they
have it.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.responses import Response

from outlet_client.allocation.reference_names import offered_references
from outlet_client.desk.csv_lists import log_file, requests_file, sightings_file, waitlist_file
from outlet_client.desk.messages import FORBIDDEN, message_of_error
from outlet_client.desk.page_roles import (
    MAY_ALLOCATE,
    MAY_DECIDE_DISPUTES,
    MAY_DECIDE_SIGHTINGS,
    MAY_READ_LOG,
)
from outlet_client.desk.site import message_page, render
from outlet_client.errors import OWN_ERRORS
from outlet_client.records.access_log import LogAct

if TYPE_CHECKING:
    from collections.abc import Mapping

    from outlet_client.desk.site import Site, Visit
    from outlet_client.staff.accounts import Role

DAYS = (7, 30, 90, 365)
"""Of the log that can be chosen."""

WHO_TAKES: Mapping[str, frozenset[Role]] = {
    "waitlist": MAY_ALLOCATE,
    "sightings": MAY_DECIDE_SIGHTINGS,
    "requests": MAY_DECIDE_DISPUTES,
    "log": MAY_READ_LOG,
}
"""Who may take which list: who may see its page."""


def show(site: Site, visit: Visit, status: HTTPStatus = HTTPStatus.OK, error: str = "") -> Response:
    """The lists of somebody's role."""
    return render(
        "lists.html", site, visit, status, lists=_may(visit), days=DAYS, error=error,
        offered=offered_references(site.access.settings),
        typed={name: visit.typed(name) for name in ("reference", "days", "do")},
    )  # fmt: skip


def export(site: Site, visit: Visit) -> Response:
    """Hands a list over as a file, and logs who took it."""
    name = visit.typed("do")
    if name not in _may(visit):
        return message_page(site, visit, HTTPStatus.FORBIDDEN, *FORBIDDEN, back="/lists")
    try:
        made, about = _made(site, visit, name), f"list: {name}"
        site.log(visit.at, LogAct.EXPORT, visit.name, about=about, outcome="file")
    except OWN_ERRORS as error:
        return show(site, visit, HTTPStatus.CONFLICT, message_of_error(error))
    day = visit.at.astimezone().date().isoformat()
    named = {"Content-Disposition": f'attachment; filename="{name}-{day}.csv"'}
    return Response(made, media_type="text/csv; charset=utf-8", headers=named)


def _may(visit: Visit) -> tuple[str, ...]:
    role = None if visit.account is None else visit.account.role
    return tuple(name for name, roles in WHO_TAKES.items() if role in roles)


def _made(site: Site, visit: Visit, name: str) -> bytes:
    if name == "waitlist":
        return waitlist_file(site, visit.typed("reference"), visit.at)
    if name == "sightings":
        return sightings_file(site, visit.at)
    if name == "requests":
        return requests_file(site, visit.at)
    days = visit.number("days")
    return log_file(site, visit.at, days if days in DAYS else min(DAYS))
