"""The page of a letter to a customer who got no piece, to print and hand over.

Invariant: a letter that is kept for Back or a reload is shown no more once its customer withdrew or
disputes the band, nor where the program was stopped since.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from outlet_client.allocation.allocation_decisions import shown
from outlet_client.desk.allocation_pages import show_one
from outlet_client.desk.messages import message_of_error
from outlet_client.desk.site import OWN_STYLE, PageResponse, redirect_to
from outlet_client.desk.way_back import with_way_back
from outlet_client.errors import OWN_ERRORS
from outlet_client.records.actor import Actor, LookupPurpose
from outlet_client.rights.adverse_letter import adverse_letter, letter_page, may_name_bands

if TYPE_CHECKING:
    from starlette.responses import Response

    from outlet_client.desk.site import Site, Visit

_NO_LINE = "Choose the customer whom the letter is for."


def show(_site: Site, visit: Visit) -> Response:
    """The proposal, where a letter is not, or no longer, there."""
    return redirect_to(f"/allocations/{visit.numbers['number']}")


def make(site: Site, visit: Visit) -> Response:
    """Makes the letter to the customer of one line; that is logged."""
    number, rank = visit.numbers["number"], visit.number("rank")
    access = site.access
    asked = Actor.of(visit.name, LookupPurpose.CUSTOMER)
    try:
        [proposal] = shown(access, number)
        if not rank or rank > len(proposal.lines):
            return show_one(site, visit, HTTPStatus.BAD_REQUEST, _NO_LINE)
        customer = proposal.lines[rank - 1].candidate.customer
        letter = adverse_letter(access, number, customer, asked, visit.at)
    except OWN_ERRORS as error:
        return show_one(site, visit, HTTPStatus.CONFLICT, message_of_error(error))
    page = with_way_back(
        letter_page(letter),
        {f"/allocations/{number}": f"Back to allocation {number}"},
        "Print it with the browser (Ctrl+P); this line is not printed.",
    )
    made = PageResponse(page, headers={"Content-Security-Policy": OWN_STYLE})
    if letter.is_by_the_book:
        made.still = lambda: may_name_bands(access, number, customer)
    return made
