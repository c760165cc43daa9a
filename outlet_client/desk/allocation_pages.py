"""The pages of allocations: proposals, their draws, and a manager's decision about each.

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
    headers,
    passed_over_by,
    propose_several,
    shown,
)
from outlet_client.allocation.disputed_lines import UNDER_REVIEW
from outlet_client.allocation.lottery import AllocationRefused, TieBreak
from outlet_client.allocation.proposal_notes import passed_over_text
from outlet_client.bands.band_labels import LABELS
from outlet_client.bands.lookup import WHOSE_BAND
from outlet_client.desk.draw_view import draw_view
from outlet_client.desk.kept_pages import TypedForm
from outlet_client.desk.messages import MEANS, message_of_error
from outlet_client.desk.proposal_view import proposal_view, rules_in_words
from outlet_client.desk.site import message_page, number_of, redirect_to, render
from outlet_client.errors import OWN_ERRORS, OutletError
from outlet_client.records.actor import Actor, LookupPurpose

if TYPE_CHECKING:
    from starlette.responses import Response

    from outlet_client.allocation.proposal_store import Proposal
    from outlet_client.desk.site import PageResponse, Site, Visit

_MOST_LISTED = 50
_ROWS = 6
"""References that can be allocated in one go."""

TIES = {
    TieBreak.WAITING: "First come: who waits longest",
    TieBreak.LOTTERY: "A lottery, equal odds; anybody can draw it again",
    TieBreak.RISING: "A lottery, better odds for who lost fair ones before",
}


def show_all(
    site: Site, visit: Visit, status: HTTPStatus = HTTPStatus.OK, error: str = ""
) -> Response:
    """The references that can be allocated, and the proposals so far."""
    try:
        references = [one for one in allocatable(site.access, visit.at) if one.waiting]
        missing = ""
    except OWN_ERRORS as cause:
        references, missing = [], message_of_error(cause)
    proposals = headers(site.access)
    return render(
        "allocations.html", site, visit, status, references=references, missing=missing,
        proposals=proposals[:_MOST_LISTED], more=len(proposals) - _MOST_LISTED, error=error,
        rows=_rows(visit), most=_ROWS, ties=TIES, tie=_tie(visit),
    )  # fmt: skip


def ask(site: Site, visit: Visit) -> Response:
    """Makes a proposal for each reference that was named."""
    asked = Actor.of(visit.name, LookupPurpose.ALLOCATION)
    wishes: list[tuple[str, int]] = []
    for reference, typed in _rows(visit):
        if not reference:
            continue
        pieces = number_of(typed)
        if pieces is None:
            words = f"Say how many pieces there are of {reference}."
            return show_all(site, visit, HTTPStatus.BAD_REQUEST, words)
        wishes.append((reference, pieces))
    if not wishes:
        return show_all(
            site, visit, HTTPStatus.BAD_REQUEST, "Choose a reference, and how many pieces."
        )
    try:
        made = propose_several(site.access, wishes, _tie(visit), asked, visit.at)
    except OWN_ERRORS as error:
        return show_all(site, visit, HTTPStatus.CONFLICT, message_of_error(error))
    proposals = [one.proposal for one in made.proposed]
    names = ", ".join(
        f"{one.terms.pieces} of {one.terms.reference} (proposal {one.id})" for one in proposals
    )
    said = f"Proposed: {names}. Nothing is decided yet."
    if made.failed is not None:
        said = f"{said} The next one was not made: {message_of_error(made.failed)}"
    return redirect_to(f"/allocations/{proposals[0].id}", said)


def show_one(
    site: Site,
    visit: Visit,
    status: HTTPStatus = HTTPStatus.OK,
    error: str = "",
    *,
    at: str = "",
    passes: str = "",
) -> PageResponse:
    """One proposal, with what was decided or what can be."""
    number = visit.numbers["number"]
    [proposal] = shown(site.access, number)
    give, less = (_ticked(visit, name) for name in ("give", "less"))
    asked = visit.form or visit.query
    earlier = [one for one in headers(site.access, proposal.terms.reference) if one.id != number]
    return render(
        "allocation.html", site, visit, status, proposal=proposal, means=MEANS,
        under_review=UNDER_REVIEW, whose=WHOSE_BAND, error=error, at=at, passes=passes, give=give,
        less=less, reason=visit.typed("reason"), ties=TIES, earlier=earlier[:_MOST_LISTED],
        view=proposal_view(proposal, asked, frozenset(give | less)),
        rules=rules_in_words(proposal, LABELS[site.access.settings.desk.labels]),
    )  # fmt: skip


def look_on(site: Site, visit: Visit) -> Response:
    """Another page of a proposal, or filtered, with what is ticked and typed so far."""
    number = visit.numbers["number"]
    kept = ("give", "less", "reason", "kind", "find", "page")
    fields = {name: text for name in kept if (text := visit.form.get(name))}
    if visit.typed("filter"):
        fields.pop("page", None)
    assert visit.session is not None  # noqa: S101  (a role comes with one)
    return redirect_to(visit.session.pages.keep(TypedForm(f"/allocations/{number}", fields, "")))


def show_draw(site: Site, visit: Visit) -> Response:
    """The entries of a proposal's lottery: tickets, odds, lots."""
    number = visit.numbers["number"]
    [proposal] = shown(site.access, number)
    if not proposal.terms.ties.is_lottery:
        line = f"Proposal {number} is by waiting time; a lot was drawn within one day only."
        back = f"/allocations/{number}"
        return message_page(site, visit, HTTPStatus.OK, "No lottery", line, back=back)
    page = number_of(visit.query.get("page", "")) or 1
    return render("draw.html", site, visit, proposal=proposal, view=draw_view(proposal, page))


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
            return show_one(site, visit, HTTPStatus.BAD_REQUEST, words, at="reason")
        passed = passed_over_by(site.access, number, give, less)
        if passed and visit.typed("seen") != passed_over_text(passed):
            asked = show_one(site, visit, passes=passed_over_text(passed))
            asked.acted = False
            return asked
        if changes:
            change(site.access, number, visit.name, reason, give, less, visit.at)
        else:
            accept(site.access, number, visit.name, visit.at)
    except OutletError as error:
        return show_one(site, visit, HTTPStatus.CONFLICT, message_of_error(error))
    decided = "decided otherwise than proposed" if changes else "accepted as proposed"
    said = f"Proposal {number} is {decided}."
    return redirect_to(f"/allocations/{number}", f"{said} What to say to each stands beside them.")


def _rows(visit: Visit) -> list[tuple[str, str]]:
    """References with pieces as typed; the form has several of both, a line each."""
    references, pieces = (
        [one.strip() for one in visit.form.get(name, "").split("\n")]
        for name in ("reference", "pieces")
    )
    pieces += [""] * len(references)
    return list(zip(references, pieces, strict=False))[:_ROWS]


def _tie(visit: Visit) -> TieBreak:
    typed = visit.typed("ties")
    return next((one for one in TieBreak if one.value == typed), TieBreak.WAITING)


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
