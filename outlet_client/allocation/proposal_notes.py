"""The sentences shown beside a proposal: what to say to customers, ties, policy and book."""

from __future__ import annotations

from typing import TYPE_CHECKING

from features.allocation import Decision
from outlet_client.allocation.lottery import TieBreak
from outlet_client.bands.lookup import WHOSE_BAND

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from outlet_client.allocation.proposal_store import Proposal


_ROW = 3
"""So many ranks one after another are said as one."""

_EQUALS = {
    TieBreak.WAITING: "by waiting time, by lot within a day",
    TieBreak.LOTTERY: "by lottery",
    TieBreak.RISING: "by lottery, with a ticket more for each fair one that was lost",
}


def ranks_text(ranks: Iterable[int]) -> str:
    """Ranks in words, rows of them as one: 1 to 3, 7."""
    rows: list[list[int]] = []
    for rank in sorted(ranks):
        if rows and rank == rows[-1][-1] + 1:
            rows[-1].append(rank)
        else:
            rows.append([rank])
    parts = []
    for row in rows:
        parts += [str(rank) for rank in row] if len(row) < _ROW else [f"{row[0]} to {row[-1]}"]
    return ", ".join(parts)


def passed_over_text(ranks: tuple[int, ...]) -> str:
    """Says in words which ranks a decision passes over."""
    who, s = ("1 customer waits", "") if len(ranks) == 1 else (f"{len(ranks)} customers wait", "s")
    return f"{who} for a manager's look (rank{s} {ranks_text(ranks)}): this passes them over."


def notes(proposal: Proposal) -> Iterator[str]:
    """The sentences beside a proposal, one by one."""
    terms = proposal.terms
    said: dict[str, list[int]] = {}
    for rank, line in enumerate(proposal.lines, 1):
        said.setdefault(proposal.say(line), []).append(rank)
    for sentence, ranks in said.items():
        yield f"To say to {ranks_text(ranks)}: “{sentence}”"
    for line in proposal.lines:
        if line.candidate.also:
            yield (
                f"{line.candidate.customer} is one person with {', '.join(line.candidate.also)} in "
                "the client book, and counts once, since the earliest interest."
            )
    if proposal.left_over and proposal.decided is None:
        yield (
            f"Pieces that are proposed to nobody: {proposal.left_over}. Where it says "
            f"'{Decision.MANAGER}', a manager gives one by `allocation change`, with a reason."
        )
    elif proposal.left_over:
        yield f"Pieces that were given to nobody: {proposal.left_over}."
    origin = "drawn for this proposal" if terms.drawn else "given by whoever asked, not drawn"
    yield f"Equals {_EQUALS[terms.ties]}; seed {terms.seed}, {origin}."
    book = f"version {proposal.book_version}, as of {proposal.book_as_of}"
    yield (
        f"Policy {proposal.policy_source}, SHA-256 {proposal.policy_digest[:16]}; band book "
        f"{'none' if proposal.book_version is None else book}."
    )
    yield WHOSE_BAND
