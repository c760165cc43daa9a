"""What the page of a draw shows: who was in it, with how many tickets, and everybody's odds.

Invariant: everything here follows from what the proposal stores, so that anybody can check it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from features.allocation import Decision
from outlet_client.allocation.lottery import odds

if TYPE_CHECKING:
    from outlet_client.allocation.proposal_store import Proposal
    from outlet_client.allocation.ranking import ProposalLine

A_PAGE = 100
_LOT_DIGITS = 16


@dataclass(frozen=True, slots=True)
class DrawEntry:
    """One customer in a draw.

    Attributes:
        chance: Of getting a piece, before the draw.
        lot: The first hex digits of their smallest ticket.
        drawn: Whether it was a piece.
    """

    rank: int
    customer: str
    tickets: int
    chance: float
    lot: str
    drawn: bool


@dataclass(frozen=True, slots=True)
class DrawView:
    """One page of a draw.

    Attributes:
        entries: On this page.
        count: How many there are.
        tickets: How many tickets there are.
    """

    entries: tuple[DrawEntry, ...]
    count: int
    tickets: int
    page: int
    pages: int


def draw_view(proposal: Proposal, page: int) -> DrawView:
    """The entries of a lottery in their order, those with equal standing among themselves."""
    terms, made = proposal.terms, list[DrawEntry]()
    left = terms.pieces
    offers = [
        (rank, line)
        for rank, line in enumerate(proposal.lines, 1)
        if line.ruling.decision is Decision.OFFER and not line.candidate.rests
    ]
    for _, equals in groupby(offers, key=lambda pair: _standing(pair[1])):
        group = list(equals)
        tickets = [terms.tickets(line.candidate.losses) for _, line in group]
        chances = odds(tickets, left)
        for (rank, line), own in zip(group, tickets, strict=True):
            lot = terms.lot(line.candidate.customer, own).hex()[:_LOT_DIGITS]
            made.append(
                DrawEntry(rank, line.candidate.customer, own, chances[own], lot, line.proposed)
            )
        left = max(0, left - len(group))
    pages = max(1, -(-len(made) // A_PAGE))
    page = min(max(1, page), pages)
    shown = tuple(made[(page - 1) * A_PAGE : page * A_PAGE])
    return DrawView(shown, len(made), sum(one.tickets for one in made), page, pages)


def _standing(line: ProposalLine) -> str:
    """Equals have one standing; new and building are alike."""
    band = line.candidate.eligibility
    return "building" if band == "new" else band
