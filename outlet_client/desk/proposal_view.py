"""What the page of a proposal shows of its lines: pieces first, near misses, the rest by pages.

Invariant: whatever is filtered or on another page, the lines that are ticked are on the page, so
that nobody decides about a line that they do not see.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from features.allocation import (
    ELIGIBILITY,
    FLIPPER_RISK,
    AllocationPolicy,
    Decision,
    PolicyRefused,
)
from features.ledger import Tier
from outlet_client.desk.messages import MEANS
from outlet_client.desk.site import number_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from outlet_client.allocation.proposal_store import Proposal
    from outlet_client.allocation.ranking import ProposalLine

A_PAGE = 50
NEAR = 5
"""Near misses of each kind: offers without a piece, and those whom a manager is to look at."""

_ALL = "all"
KINDS = {
    _ALL: "everybody",
    Decision.OFFER.value: "offers without a piece",
    Decision.MANAGER.value: "manager decides",
    Decision.NOT_YET.value: "not yet",
    "rests": "just given or proposed a piece",
}


@dataclass(frozen=True, slots=True)
class RankedLine:
    """One line with its rank, counted from 1.

    Attributes:
        given: Whether they get a piece, by the decision or else by the proposal.
        say: What may be read aloud to them.
    """

    rank: int
    line: ProposalLine
    given: bool
    say: str


@dataclass(frozen=True, slots=True)
class ProposalView:
    """The lines of a proposal as one page shows them.

    Attributes:
        first: Those who get a piece.
        near: Those who nearly did.
        rest: One page of all others, as filtered.
        elsewhere: Lines that are ticked and on another page.
        found: How many there are of `rest` on all pages.
        above: How many of `first` and `near` are among what was asked for.
        page: Which page, counted from 1.
        pages: How many there are.
        kind: Which of `KINDS` are shown.
        find: Part of a customer's id.
    """

    first: tuple[RankedLine, ...]
    near: tuple[RankedLine, ...]
    rest: tuple[RankedLine, ...]
    elsewhere: tuple[RankedLine, ...]
    found: int
    above: int
    page: int
    pages: int
    kind: str
    find: str
    kinds: Mapping[str, str] = field(default_factory=lambda: KINDS)


def proposal_view(
    proposal: Proposal, asked: Mapping[str, str], ticked: frozenset[int]
) -> ProposalView:
    """Chooses the lines of one page.

    Args:
        proposal: With all its lines.
        asked: Fields `page`, `kind` and `find`, as somebody typed them.
        ticked: Ranks.
    """
    given = set(proposal.given)
    lines = [
        RankedLine(rank, line, line.candidate.customer in given, "")
        for rank, line in enumerate(proposal.lines, 1)
    ]
    first = [one for one in lines if one.given]
    others = [one for one in lines if not one.given]
    near = [
        one
        for kind in (Decision.OFFER, Decision.MANAGER)
        for one in [other for other in others if _is(other, kind.value)][:NEAR]
    ]
    apart = {one.rank for one in near}
    kind, find = asked.get("kind", _ALL).strip(), asked.get("find", "").strip()
    kind = kind if kind in KINDS else _ALL
    rest = [one for one in others if one.rank not in apart and _is(one, kind) and _has(one, find)]
    pages = max(1, -(-len(rest) // A_PAGE))
    page = min(max(1, number_of(asked.get("page", "").strip()) or 1), pages)
    shown = rest[(page - 1) * A_PAGE : page * A_PAGE]
    seen = {one.rank for one in (*first, *near, *shown)}
    elsewhere = [lines[rank - 1] for rank in sorted(ticked - seen) if 0 < rank <= len(lines)]
    return ProposalView(
        _said(proposal, first),
        _said(proposal, near),
        _said(proposal, shown),
        _said(proposal, elsewhere),
        len(rest),
        sum(_is(one, kind) and _has(one, find) for one in (*first, *near)),
        page,
        pages,
        kind,
        find,
    )


def rules_in_words(proposal: Proposal, labels: Mapping[str, str]) -> tuple[str, ...]:
    """The rules of a proposal's policy, in order; none where they can no longer be read.

    Args:
        proposal: With the policy as it was then.
        labels: The names of both scores.
    """
    try:
        policy = AllocationPolicy.parse(proposal.policy_text, proposal.policy_source)
    except PolicyRefused:  # a law is newer than these rules
        return ()
    said = []
    for rule in policy.rules:
        about = []
        if len(rule.tier) < len(Tier):
            about.append(f"in tier {' or '.join(rule.tier)}")
        for score, bands, known in (
            ("eligibility", rule.eligibility, ELIGIBILITY),
            ("flipper_risk", rule.flipper_risk, FLIPPER_RISK),
        ):
            if len(bands) < len(known):
                words = " or ".join(MEANS[score, band] for band in bands)
                about.append(f"{labels[score].lower()} {words}")
        said.append(f"{', '.join(about) or 'everything else'}: {rule.decision}")
    return tuple(said)


def _said(proposal: Proposal, some: list[RankedLine]) -> tuple[RankedLine, ...]:
    return tuple(RankedLine(one.rank, one.line, one.given, proposal.say(one.line)) for one in some)


def _is(one: RankedLine, kind: str) -> bool:
    rests = bool(one.line.candidate.rests)
    if kind == "rests":
        return rests
    return kind == _ALL or (one.line.ruling.decision.value == kind and not rests)


def _has(one: RankedLine, find: str) -> bool:
    """Whether a customer's id has some text in it, whatever the case."""
    names = (one.line.candidate.customer, *one.line.candidate.also)
    return not find or any(find.casefold() in name.casefold() for name in names)
