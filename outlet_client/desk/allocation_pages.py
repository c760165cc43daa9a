"""The pages of allocations: proposals, and a manager's decision about each.

Invariant: customers are named by the outlet's own ids; a piece goes to nobody without a manager who
saw, before deciding, whom the decision passes over.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from outlet_client.allocation.allocation_decisions import (
    accept,
    allocatable,
    change,
    passed_over_by,
    propose,
    shown,
)
from outlet_client.allocation.disputed_lines import UNDER_REVIEW
from outlet_client.allocation.proposal_notes import passed_over_text
from outlet_client.allocation.ranking import AllocationRefused, TieBreak
from outlet_client.bands.lookup import WHOSE_BAND
from outlet_client.desk.messages import MEANS, message_of_error
from outlet_client.desk.site import number_of, redirect_to, render
from outlet_client.errors import OWN_ERRORS, OutletError
from outlet_client.records.actor import Actor, LookupPurpose

if TYPE_CHECKING:
    from starlette.responses import Response

    from outlet_client.allocation.proposal_store import Proposal
    from outlet_client.desk.site import Site, Visit

_MOST_LISTED = 50


def show_all(
    site: Site, visit: Visit, status: HTTPStatus = HTTPStatus.OK, error: str = ""
) -> Response:
    """The references that can be allocated, and the proposals so far."""
    try:
        references = [one for one in allocatable(site.access, visit.at) if one.waiting]
        missing = ""
    except OWN_ERRORS as cause:
        references, missing = [], message_of_error(cause)
    proposals = shown(site.access)[: -_MOST_LISTED - 1 : -1]
    return render(
        "allocations.html", site, visit, status, references=references, missing=missing,
        proposals=proposals, error=error, typed=visit.form,
    )  # fmt: skip


def ask(site: Site, visit: Visit) -> Response:
    """Makes a proposal."""
    asked = Actor.of(visit.name, LookupPurpose.ALLOCATION)
    pieces = visit.number("pieces")
    if pieces is None:
        return show_all(site, visit, HTTPStatus.BAD_REQUEST, "Say how many pieces there are.")
    ties = TieBreak.LOTTERY if visit.typed("ties") == TieBreak.LOTTERY.value else TieBreak.WAITING
    try:
        made = propose(site.access, visit.typed("reference"), pieces, ties, None, asked, visit.at)
    except OWN_ERRORS as error:
        return show_all(site, visit, HTTPStatus.CONFLICT, message_of_error(error))
    return redirect_to(f"/allocations/{made.proposal.id}")


def show_one(
    site: Site,
    visit: Visit,
    status: HTTPStatus = HTTPStatus.OK,
    error: str = "",
    *,
    passes: str = "",
) -> Response:
    """One proposal, with what was decided or what can be."""
    [proposal] = shown(site.access, visit.numbers["number"])
    return render(
        "allocation.html", site, visit, status, proposal=proposal, means=MEANS,
        under_review=UNDER_REVIEW, whose=WHOSE_BAND, error=error, passes=passes,
        give=_ticked(visit, "give"), less=_ticked(visit, "less"), reason=visit.typed("reason"),
    )  # fmt: skip


def decide(site: Site, visit: Visit) -> Response:
    """Accepts or changes a proposal, once the manager has seen whom that passes over."""
    number = visit.numbers["number"]
    reason = visit.typed("reason")
    try:
        [proposal] = shown(site.access, number)
        give, less = (_customers(proposal, visit, name) for name in ("give", "less"))
        changes = bool(give or less)
        if changes and not reason:
            words = "Say why you decide otherwise than proposed; the reason is kept beside it."
            return show_one(site, visit, HTTPStatus.BAD_REQUEST, words)
        passed = passed_over_by(site.access, number, give, less)
        if passed and visit.typed("seen") != passed_over_text(passed):
            return show_one(site, visit, passes=passed_over_text(passed))
        if changes:
            change(site.access, number, visit.name, reason, give, less, visit.at)
        else:
            accept(site.access, number, visit.name, visit.at)
    except OutletError as error:
        return show_one(site, visit, HTTPStatus.CONFLICT, message_of_error(error))
    return redirect_to(f"/allocations/{number}")


def _customers(proposal: Proposal, visit: Visit, name: str) -> list[str]:
    """The customers of the lines that were ticked.

    Raises:
        AllocationRefused: If there is no such line.
    """
    ranks = {rank: line.candidate.customer for rank, line in enumerate(proposal.lines, 1)}
    ticked = _ticked(visit, name)
    if not ticked <= ranks.keys():
        raise AllocationRefused(f"{name}: a tick stands for no line here; reload the page")
    return [ranks[rank] for rank in sorted(ticked)]


def _ticked(visit: Visit, name: str) -> set[int]:
    """Ranks, 0 for what is none; a customer's id could hold anything, the end of a line too."""
    return {number_of(one.strip()) or 0 for one in visit.form.get(name, "").split("\n") if one}
