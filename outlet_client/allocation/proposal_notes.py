"""The sentences shown beside a proposal: what to say to customers, ties, policy and book."""

from __future__ import annotations

from typing import TYPE_CHECKING

from features.allocation import Decision
from outlet_client.allocation.ranking import TieBreak
from outlet_client.bands.lookup import WHOSE_BAND

if TYPE_CHECKING:
    from collections.abc import Iterator

    from outlet_client.allocation.proposal_store import Proposal


def passed_over_text(ranks: tuple[int, ...]) -> str:
    """Says in words which ranks a decision passes over."""
    who, s = ("1 customer waits", "") if len(ranks) == 1 else (f"{len(ranks)} customers wait", "s")
    listed = ", ".join(map(str, ranks))
    return f"{who} for a manager's look (rank{s} {listed}): this passes them over."


def notes(proposal: Proposal) -> Iterator[str]:
    """The sentences beside a proposal, one by one."""
    terms = proposal.terms
    said: dict[str, list[str]] = {}
    for rank, line in enumerate(proposal.lines, 1):
        said.setdefault(line.say, []).append(str(rank))
    for sentence, ranks in said.items():
        yield f"To say to {', '.join(ranks)}: “{sentence}”"
    for line in proposal.lines:
        if line.candidate.also:
            yield (
                f"{line.candidate.customer} is one person with {', '.join(line.candidate.also)} in "
                "the client book, and counts once, since the earliest interest."
            )
    left = terms.pieces - sum(line.proposed for line in proposal.lines)
    if left:
        yield (
            f"Pieces that are proposed to nobody: {left}. Where it says '{Decision.MANAGER}', a "
            "manager gives one by `allocation change`, with a reason."
        )
    origin = "drawn for this proposal" if terms.drawn else "given by whoever asked, not drawn"
    equals = (
        "by lottery" if terms.ties is TieBreak.LOTTERY else "by waiting time, by lot within a day"
    )
    yield f"Equals {equals}; seed {terms.seed}, {origin}."
    book = f"version {proposal.book_version}, as of {proposal.book_as_of}"
    yield (
        f"Policy {proposal.policy_source}, SHA-256 {proposal.policy_digest[:16]}; band book "
        f"{'none' if proposal.book_version is None else book}."
    )
    yield WHOSE_BAND
