"""The page of the waitlist: who waits for which reference, and wishes that are closed.

Invariant: customers are named by the outlet's own ids; a wish is closed by a manager with a reason
beside it, and no entry of the outlet's own list is changed from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from outlet_client.allocation.waiting_lists import waiting_lists
from outlet_client.allocation.wish_store import wishes_in
from outlet_client.allocation.wish_taking import USUAL_REASONS, end_wish
from outlet_client.desk.kept_pages import TypedForm
from outlet_client.desk.messages import message_of_error
from outlet_client.desk.site import number_of, redirect_to, render
from outlet_client.errors import OWN_ERRORS

if TYPE_CHECKING:
    from starlette.responses import Response

    from outlet_client.allocation.waiting_lists import WaitingEntry, WaitingList
    from outlet_client.allocation.wish_store import Wish
    from outlet_client.desk.site import Site, Visit

A_PAGE = 50
_MOST_CLOSED = 20


@dataclass(frozen=True, slots=True)
class WaitlistView:
    """One page of one reference's list.

    Attributes:
        lists: Of all references that somebody waits for.
        chosen: The one that is shown; None where nobody waits, or none was chosen of several.
        entries: On this page.
        first: The place of the first of them, from 1.
        pages: How many pages there are.
        closed: The reference's wishes that were closed last, the newest first.
    """

    lists: tuple[WaitingList, ...]
    chosen: WaitingList | None
    entries: tuple[WaitingEntry, ...]
    first: int
    page: int
    pages: int
    closed: tuple[Wish, ...]


def show(site: Site, visit: Visit, status: HTTPStatus = HTTPStatus.OK, error: str = "") -> Response:
    """Who waits for which reference, and of one everybody."""
    view, missing = None, ""
    try:
        view = _view(site, visit)
    except OWN_ERRORS as cause:
        missing = message_of_error(cause)
    interests = site.access.settings.interests
    return render(
        "waitlist.html", site, visit, status, view=view, missing=missing, error=error,
        typed=visit.form, reasons=USUAL_REASONS,
        own_list="the ledger" if interests is None else interests.name,
    )  # fmt: skip


def close(site: Site, visit: Visit) -> Response:
    """Closes a wish, with a reason."""
    try:
        done = end_wish(
            site.home, visit.numbers["number"], visit.name, visit.typed("reason"), visit.at
        )
    except OWN_ERRORS as error:
        return show(site, visit, HTTPStatus.CONFLICT, message_of_error(error))
    assert visit.session is not None  # noqa: S101  (a role comes with one)
    note = f"Wish {done.number} is closed. The reason is kept beside it; the customer may read it."
    kept = TypedForm("/waitlist", {"reference": done.reference}, note)
    return redirect_to(visit.session.pages.keep(kept))


def _view(site: Site, visit: Visit) -> WaitlistView:
    lists = waiting_lists(site.access, visit.at)
    wanted = visit.typed("reference") or visit.query.get("reference", "")
    if not wanted and len(lists) == 1:
        wanted = lists[0].reference
    chosen = next((one for one in lists if one.reference == wanted), None)
    if wanted and chosen is None:
        [chosen] = waiting_lists(site.access, visit.at, wanted)
    entries = () if chosen is None else chosen.entries
    pages = max(1, -(-len(entries) // A_PAGE))
    page = min(max(1, number_of(visit.query.get("page", "")) or 1), pages)
    closed = [
        one
        for one in wishes_in(site.home)
        if one.closed is not None and chosen is not None and one.reference == chosen.reference
    ]
    closed.sort(key=lambda one: str(one.closed), reverse=True)
    first = (page - 1) * A_PAGE
    return WaitlistView(
        lists, chosen, entries[first : first + A_PAGE], first + 1, page, pages,
        tuple(closed[:_MOST_CLOSED]),
    )  # fmt: skip
