"""Ranking of candidates for an allocation, and who is proposed the pieces.

Invariant: the order follows from what a proposal holds (bands, waiting times, policy, seed) and
from nothing else, so that anybody can compute it again; a piece is only proposed to who may be
offered one, and nobody is refused because this outlet has no band of them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from features.allocation import ELIGIBILITY, ORDER, REVIEW, AllocationPolicy, Decision
from features.bands import NEW
from outlet_client.allocation.lottery import AllocationRefused
from outlet_client.bands.lookup import MANY_OUTLETS
from outlet_client.errors import NotConfigured

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Sequence

    from features.allocation import Ruling
    from outlet_client.allocation.lottery import Terms

NO_PIECE_LEFT = (
    "There are fewer pieces than wishes this time; your name stays on our list, and we will tell "
    "you when there is news."
)
"""What staff say to who may be offered a piece when there is none left."""

DEFAULT_POLICY = Path(__file__).with_name("default_policy.toml")


@dataclass(frozen=True, slots=True)
class Candidate:
    """One person with an open interest.

    Attributes:
        customer: The outlet's own id; of several, the one with the earliest interest.
        since: The day of the earliest interest.
        eligibility: A band; "new" where this outlet has none.
        flipper_risk: Likewise.
        no_band: Why this outlet has none; "" where it has.
        also: Further ids of the same person.
        losses: How many lotteries of this reference they lost since they last got a piece.
        rests: Why they are proposed no piece for now, such as one that they were just given; ""
            where they may be.
    """

    customer: str
    since: dt.date
    eligibility: str = NEW
    flipper_risk: str = NEW
    no_band: str = ""
    also: tuple[str, ...] = ()
    losses: int = 0
    rests: str = ""

    @property
    def decided_as(self) -> tuple[str, str]:
        """The bands that a policy is asked about: a person looks as at "review" at many outlets."""
        return self.eligibility, REVIEW if self.no_band == MANY_OUTLETS else self.flipper_risk


@dataclass(frozen=True, slots=True)
class ProposalLine:
    """One line of a proposal; its place in the list is the rank."""

    candidate: Candidate
    ruling: Ruling
    proposed: bool
    why: str

    @property
    def say(self) -> str:
        """A sentence that may be read aloud to the customer: the policy's, while pieces last."""
        waits = self.ruling.decision is Decision.OFFER and not self.proposed
        return NO_PIECE_LEFT if waits else self.ruling.say


def read_policy(path: Path | None) -> AllocationPolicy:
    """Reads an outlet's policy, or the one that comes with the program.

    Raises:
        NotConfigured: If there is no such file.
        PolicyRefused: If it cannot be read, leaves a cell open, or breaks a law.
    """
    place = path or DEFAULT_POLICY
    try:
        text = place.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise NotConfigured(
            f"policy: {place} cannot be read as text; correct `policy` in escapement.toml, or "
            "remove it to use the policy that comes with the program"
        ) from error
    return AllocationPolicy.parse(text, place.name)


def rank_candidates(
    candidates: Iterable[Candidate], policy: AllocationPolicy, terms: Terms
) -> tuple[ProposalLine, ...]:
    """Orders candidates, and proposes the pieces to the first who may be offered one.

    The order is: the policy's decision; who was just given a piece last; the band of eligibility,
    "new" and "building" alike; then `terms.ties`.
    """

    @cache  # of ten thousand candidates there are few bands
    def ruling_of(eligibility: str, flipper_risk: str) -> Ruling:
        return policy.decide(eligibility, flipper_risk, terms.tier)

    ruled = [(one, ruling_of(*one.decided_as)) for one in candidates]
    ruled.sort(key=lambda pair: (*_group(*pair), *_tie(pair[0], terms)))
    lines: list[ProposalLine] = []
    left = terms.pieces
    for _, equals in groupby(ruled, key=lambda pair: _group(*pair)):
        group = list(equals)
        days = Counter(one.since for one, _ in group)
        for place, (one, ruling) in enumerate(group, 1):
            offered = ruling.decision is Decision.OFFER and not one.rests
            proposed = offered and left > 0
            left -= proposed
            why = _why(place, group, terms, same_day=days[one.since] > 1)
            if offered > proposed:
                why += "; no piece is left"
            lines.append(ProposalLine(one, ruling, proposed, f"{why}."))
    return tuple(lines)


def differences(before: Sequence[ProposalLine], after: Sequence[ProposalLine]) -> list[int]:
    """The ranks, counted from 1, at which two orders of the same candidates differ."""
    pairs = zip(map(_essence, before), map(_essence, after), strict=True)
    return [rank for rank, (old, new) in enumerate(pairs, 1) if old != new]


def recipients_after_change(
    lines: Sequence[ProposalLine], pieces: int, give: Iterable[str], instead_of: Iterable[str]
) -> tuple[str, ...]:
    """Who gets the pieces once a manager changed a proposal, by customer id.

    Those of `give` get a piece that was not proposed to them, those of `instead_of` do without one
    that was.

    Raises:
        AllocationRefused: If one of them is not such a customer, or there are not enough pieces.
    """
    proposed = [line.candidate.customer for line in lines if line.proposed]
    others = {line.candidate.customer for line in lines} - set(proposed)
    more, less = list(dict.fromkeys(give)), set(instead_of)
    if not set(more) <= others:
        raise AllocationRefused(
            "give: got a customer who has no line in this proposal, or gets a piece already; "
            "expected another id of its lines"
        )
    if not less <= set(proposed):
        raise AllocationRefused(
            "instead of: got a customer to whom no piece was proposed; expected one of those"
        )
    final = (*(one for one in proposed if one not in less), *more)
    if len(final) > pieces:
        raise AllocationRefused(
            f"give: that makes {len(final)} customers, and there are {pieces} pieces; say instead "
            "of whom"
        )
    return final


def passed_over(lines: Sequence[ProposalLine], final: Iterable[str]) -> tuple[int, ...]:
    """The ranks, counted from 1, that a manager was to look at and that get no piece."""
    getting = set(final)
    return tuple(
        rank
        for rank, line in enumerate(lines, 1)
        if line.ruling.decision is Decision.MANAGER and line.candidate.customer not in getting
    )


def _standing(eligibility: str) -> int:
    """Which come first: priority, then eligible, then building and new alike."""
    return -max(ELIGIBILITY.index(eligibility), 1)


def _group(one: Candidate, ruling: Ruling) -> tuple[int, bool, int]:
    return ORDER.index(ruling.decision), bool(one.rests), _standing(one.eligibility)


def _tie(one: Candidate, terms: Terms) -> tuple[str, bytes]:
    waited = "" if terms.ties.is_lottery else one.since.isoformat()
    return waited, terms.lot(one.customer, terms.tickets(one.losses))


def _why(
    place: int, group: Sequence[tuple[Candidate, Ruling]], terms: Terms, *, same_day: bool
) -> str:
    one, ruling = group[place - 1]
    rank = -_standing(one.eligibility)
    name = ELIGIBILITY[rank] if rank > 1 else f"{ELIGIBILITY[1]} or {NEW}"
    alike = f"'{ruling.decision}' and eligibility {name}"
    if one.rests:
        return f"By rule {ruling.rule} {alike}; {one.rests}, so not proposed now"
    if len(group) == 1:
        return f"By rule {ruling.rule}; the only one with {alike}"
    why = f"By rule {ruling.rule}; number {place} of {len(group)} with {alike}, "
    if terms.ties.is_lottery:
        tickets = terms.tickets(one.losses)
        return f"{why}by lot{f', with {tickets} tickets' if tickets > 1 else ''}"
    return f"{why}by waiting time{', and by lot within the day' if same_day else ''}"


def _essence(line: ProposalLine) -> tuple[Candidate, Ruling, bool]:
    return line.candidate, line.ruling, line.proposed
