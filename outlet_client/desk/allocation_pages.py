"""Allocation pages: proposals, and what a manager decides about them.

Invariant: customers are named by the outlet's own ids; a piece goes to nobody without a manager who
saw, before deciding, whom the decision passes over.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from features.errors import FeatureError
from outlet_client.allocation.allocation_decisions import (
    accept,
    allocatable,
    change,
    passed_over_by,
    propose,
    shown,
)
from outlet_client.allocation.disputed_lines import UNDER_REVIEW
from outlet_client.allocation.proposal_notes import passing
from outlet_client.allocation.ranking import AllocationRefused, Ties
from outlet_client.bands.lookup import WHOSE_BAND
from outlet_client.desk.messages import MEANS, said
from outlet_client.desk.site import number_of, render, see
from outlet_client.errors import OutletError
from outlet_client.records.actor import Asked, Purpose
from privacy.errors import PrivacyError

if TYPE_CHECKING:
    from starlette.responses import Response

    from outlet_client.allocation.proposal_store import Proposal
    from outlet_client.desk.site import Site, Visit

_MOST_LISTED = 50


def show_all(site: Site, visit: Visit) -> Response:
    """The references that can be allocated, and the proposals so far."""
    return _all(site, visit, HTTPStatus.OK, "")


def ask(site: Site, visit: Visit) -> Response:
    """Makes a proposal."""
    asked = Asked.of(visit.name, Purpose.ALLOCATION)
    pieces = visit.number("pieces")
    if pieces is None:
        return _all(site, visit, HTTPStatus.BAD_REQUEST, "Say how many pieces there are.")
    ties = Ties.LOTTERY if visit.typed("ties") == Ties.LOTTERY.value else Ties.WAITING
    try:
        made = propose(site.desk, visit.typed("reference"), pieces, ties, None, asked, visit.at)
    except (OutletError, PrivacyError, FeatureError) as error:
        return _all(site, visit, HTTPStatus.CONFLICT, said(error))
    return see(f"/allocations/{made.proposal.id}")


def show_one(site: Site, visit: Visit) -> Response:
    """One proposal, with what was decided or what can be."""
    return _one(site, visit, HTTPStatus.OK, "")


def decide(site: Site, visit: Visit) -> Response:
    """Accepts or changes a proposal, once the manager has seen whom that passes over."""
    number = visit.numbers["number"]
    reason = visit.typed("reason")
    try:
        [proposal] = shown(site.desk, number)
        give, less = (_customers(proposal, visit, name) for name in ("give", "less"))
        changes = bool(give or less)
        if changes and not reason:
            words = "Say why you decide otherwise than proposed; the reason is kept beside it."
            return _one(site, visit, HTTPStatus.BAD_REQUEST, words)
        passed = passed_over_by(site.desk, number, give, less)
        if passed and visit.typed("seen") != passing(passed):
            return _one(site, visit, HTTPStatus.OK, "", passes=passing(passed))
        if changes:
            change(site.desk, number, visit.name, reason, give, less, visit.at)
        else:
            accept(site.desk, number, visit.name, visit.at)
    except OutletError as error:
        return _one(site, visit, HTTPStatus.CONFLICT, said(error))
    return see(f"/allocations/{number}")


def _all(site: Site, visit: Visit, status: HTTPStatus, error: str) -> Response:
    try:
        references = [one for one in allocatable(site.desk, visit.at) if one.waiting]
        missing = ""
    except (OutletError, FeatureError) as cause:
        references, missing = [], said(cause)
    proposals = shown(site.desk)[: -_MOST_LISTED - 1 : -1]
    return render(
        "allocations.html", site, visit, status, references=references, missing=missing,
        proposals=proposals, error=error, typed=visit.form,
    )  # fmt: skip


def _one(site: Site, visit: Visit, status: HTTPStatus, error: str, *, passes: str = "") -> Response:
    [proposal] = shown(site.desk, visit.numbers["number"])
    return render(
        "allocation.html", site, visit, status, proposal=proposal, lines=_lines(proposal),
        whose=WHOSE_BAND, error=error, passes=passes,
        give=_ticked(visit, "give"), less=_ticked(visit, "less"), reason=visit.typed("reason"),
    )  # fmt: skip


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


def _lines(proposal: Proposal) -> list[dict[str, object]]:
    """What the table shows of each line."""
    given = set() if proposal.decided is None else set(proposal.decided.given)
    found = []
    for rank, line in enumerate(proposal.lines, 1):
        one = line.candidate
        bands = [] if one.no_band else [
            ("eligibility", one.eligibility, MEANS["eligibility", one.eligibility]),
            ("flipper_risk", one.flipper_risk, MEANS["flipper_risk", one.flipper_risk]),
        ]  # fmt: skip
        found.append(
            {
                "rank": rank,
                "customer": one.customer,
                "also": one.also,
                "since": one.since.isoformat(),
                "bands": bands,
                "no_band": one.no_band,
                "decision": UNDER_REVIEW if not line.ruling.rule else line.ruling.decision.value,
                "why": line.why,
                "say": line.say,
                "proposed": line.proposed,
                "given": one.customer in given,
            }
        )
    return found
