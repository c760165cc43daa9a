"""The page of entries of the client book that may be one person, and a person's decision.

Invariant: customers are named by the outlet's own ids and by the names of its own client book,
never by a phone or an e-mail; a decision is in the log, with who made it.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from outlet_client.desk.messages import message_of_error
from outlet_client.desk.site import number_of, redirect_to, render
from outlet_client.errors import OWN_ERRORS, NotConfigured
from outlet_client.people.client_book import refresh_clients
from outlet_client.people.client_names import names_of
from outlet_client.people.duplicates import pairs
from outlet_client.rights.duplicate_decisions import ONE_PERSON, SHARE, TWO_PEOPLE, decide_pair

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.responses import Response

    from outlet_client.desk.site import Site, Visit
    from outlet_client.people.record_linkage import Pair

_A_PAGE = 20


def show(site: Site, visit: Visit, status: HTTPStatus = HTTPStatus.OK, error: str = "") -> Response:
    """The pairs that wait for a person, and a form for any two customers."""
    found: list[Pair] = []
    missing = ""
    try:
        refresh_clients(site.access.settings, site.access.people, by_day=True)
        found = pairs(site.access.people)
    except OWN_ERRORS as cause:
        missing = message_of_error(cause)
    page = min(number_of(visit.query.get("page", "")) or 1, max(1, -(-len(found) // _A_PAGE)))
    some = found[(page - 1) * _A_PAGE : page * _A_PAGE]
    return render(
        "duplicates.html", site, visit, status, pairs=some, total=len(found), share=SHARE,
        page=page, pages=max(1, -(-len(found) // _A_PAGE)), names=_names(site, some), error=error,
        missing=missing, typed={name: visit.typed(name) for name in ("one", "other", "decision")},
    )  # fmt: skip


def decide(site: Site, visit: Visit) -> Response:
    """Keeps whether two customers are one person."""
    decision = visit.typed("decision")
    if decision not in ("same", "different"):
        return show(site, visit, HTTPStatus.BAD_REQUEST, "Choose: one person, or two.")
    pair, same = (visit.typed("one"), visit.typed("other")), decision == "same"
    try:
        access = site.access
        refresh_clients(access.settings, access.people, by_day=True)
        decide_pair(access.home, access.people, pair, same=same, by=visit.name, at=visit.at)
    except OWN_ERRORS as error:
        return show(site, visit, HTTPStatus.CONFLICT, message_of_error(error))
    said = f"Kept: {ONE_PERSON if same else TWO_PEOPLE}"
    return redirect_to("/duplicates", f"{said} Your name stands beside it.")


def _names(site: Site, some: Sequence[Pair]) -> dict[str, str]:
    """The names of the customers of some pairs; none where the client book has none."""
    try:
        return names_of(site.access.settings, {one for p in some for one in (p.one, p.other)})
    except NotConfigured:
        return {}
