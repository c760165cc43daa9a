"""The letter to a customer who got no piece: what was decided, why, and how to dispute it.

Invariant: a letter says what this outlet knows of its customer and decided, and of the network only
what holds for everybody; it names no other customer, no rank, no other outlet and nothing that a
manager typed. Who made it, of whom and about which decision is stored before it is shown.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from features.allocation import Decision
from outlet_client.allocation.allocation_decisions import shown
from outlet_client.allocation.disputed_lines import UNDER_REVIEW
from outlet_client.allocation.interest_rows import with_wishers
from outlet_client.allocation.lottery import AllocationRefused, TieBreak
from outlet_client.bands.band_labels import LABELS, MEANING
from outlet_client.bands.lookup import MANY_OUTLETS
from outlet_client.contribution.scorecard_store import ScorecardMissing
from outlet_client.page_templates import page_templates
from outlet_client.people.client_book import client_book
from outlet_client.reasons import ExplainedScores, explain_key
from outlet_client.records.access_log import LogAct, record_act_in
from outlet_client.rights.general_kinds import kinds_in_general

if TYPE_CHECKING:
    from outlet_client.allocation.proposal_store import Proposal
    from outlet_client.allocation.ranking import ProposalLine
    from outlet_client.customer_access import CustomerAccess
    from outlet_client.records.actor import Actor

_MOST_EVENTS = 3
"""Of a score; the rest is in the customer's record."""

_ENDED = "Your consent ended since, so no band of you is named here."
_ENDED_REASON = "It was decided before your consent ended; what followed from a band is not named."
_OTHERWISE = (
    "Our rules proposed a piece for you. {by} decided otherwise, for a reason that is kept beside "
    "the decision: you may ask for it."
)
_NOT_YET = (
    "Our rules do not offer a piece as scarce as this one yet, with the band that stood for you."
)
_MANY = (
    "You are known at so many outlets that no band can be made of it, so that a person looks. It "
    "says nothing against you."
)
_TIES = {
    TieBreak.WAITING: "who has waited longest comes first",
    TieBreak.LOTTERY: "a lottery decides, with equal odds",
    TieBreak.RISING: "a lottery decides, with better odds for who lost fair ones before",
}


@dataclass(frozen=True, slots=True, repr=False)
class BandThen:
    """A band that stood for the customer when it was decided.

    Attributes:
        label: The score's name, as the outlet has it.
        meaning: What the score is a guess of.
        band: Its name.
        against: The customer's own events at this outlet that speak against them most; None where
            no scorecard came yet, so that nobody here can tell.
    """

    label: str
    meaning: str
    band: str
    against: tuple[str, ...] | None


@dataclass(frozen=True, slots=True, repr=False)
class AdverseLetter:
    """A letter about one decision to one customer.

    Attributes:
        day: Of the letter.
        customer: The outlet's own id.
        reference: What was asked for.
        pieces: How many there were.
        decided_by: A person.
        decided_on: When, ISO 8601, UTC.
        reasons: The main ones, in sentences.
        bands: Those that stood for the customer; none where none may be named.
        no_band: Why; "" where there are.
        as_of: The day that the band book's data ended with, ISO 8601; "" without one.
        kinds: Of events that bands are made of, in general.
        contact: Whom to ask, as the outlet has it; "" where it says nothing.
        request_days: Within how many a request is answered.
        answer_by: The day by which one that is handed in today is.
    """

    outlet: str
    day: dt.date
    number: int
    customer: str
    reference: str
    pieces: int
    since: dt.date
    decided_by: str
    decided_on: str
    reasons: tuple[str, ...]
    bands: tuple[BandThen, ...]
    no_band: str
    as_of: str
    kinds: tuple[str, ...]
    contact: str
    request_days: int
    answer_by: dt.date

    @property
    def is_by_the_book(self) -> bool:
        """Whether it tells what a band book said, and is shown no more once that is taken back."""
        return bool(self.bands) or self.no_band == _MANY


def adverse_letter(
    access: CustomerAccess, number: int, customer: str, asked: Actor, at: dt.datetime
) -> AdverseLetter:
    """Writes the letter about an allocation to a customer who got no piece, and logs it.

    Raises:
        AllocationRefused: If there is no such allocation or customer in it, it is not decided, or
            the customer was given a piece.
        LedgerError: If a file cannot be read.
    """
    [proposal] = shown(access, number)
    line = _line(proposal, customer)
    key, stands = _standing(access, line.candidate.customer)
    record_act_in(
        access.home, at, LogAct.LETTER, asked.by, purpose=asked.purpose, key=key,
        about=f"allocation {number}", outcome="made",
    )  # fmt: skip
    ended = not stands and line.candidate.no_band in ("", MANY_OUTLETS)
    no_band = _ENDED if ended else _no_band(line)
    day = at.astimezone().date()
    decided, settings = proposal.decided, access.settings
    assert decided is not None  # noqa: S101  (`_line` has looked)
    return AdverseLetter(
        outlet=access.outlet,
        day=day,
        number=number,
        customer=line.candidate.customer,
        reference=proposal.terms.reference,
        pieces=proposal.terms.pieces,
        since=line.candidate.since,
        decided_by=decided.by,
        decided_on=decided.at,
        reasons=(_ENDED_REASON,) if ended else _reasons(proposal, line),
        bands=() if no_band else _bands(access, line, key),
        no_band=no_band,
        as_of=proposal.book_as_of,
        kinds=kinds_in_general(access.home),
        contact=settings.contact,
        request_days=settings.request_days,
        answer_by=day + dt.timedelta(days=settings.request_days),
    )


def may_name_bands(access: CustomerAccess, number: int, customer: str) -> bool:
    """Whether a letter by the book may still be shown: no withdrawal since, and no dispute."""
    [proposal] = shown(access, number)
    line = _line(proposal, customer)
    by_the_book = line.candidate.no_band in ("", MANY_OUTLETS)
    return by_the_book and _standing(access, line.candidate.customer)[1]


def letter_page(letter: AdverseLetter) -> str:
    """Writes a letter as one HTML file that loads nothing and runs nothing, to print."""
    return _TEMPLATES.get_template("letter.html").render(letter=letter)


def _line(proposal: Proposal, customer: str) -> ProposalLine:
    """The line of a customer who got no piece.

    Raises:
        AllocationRefused: If there is none.
    """
    number = proposal.id
    if proposal.decided is None:
        raise AllocationRefused(
            f"allocation {number}: not decided yet, so there is nothing to write; "
            f"`escapement-outlet allocation accept {number}` or `change {number}` decides it"
        )
    for line in proposal.lines:
        if customer in (line.candidate.customer, *line.candidate.also):
            if line.candidate.customer in proposal.decided.given:
                raise AllocationRefused(
                    f"allocation {number}: customer {customer} was given a piece; expected one who "
                    "was not"
                )
            return line
    raise AllocationRefused(
        f"allocation {number}: customer {customer} is not in it; `escapement-outlet allocation "
        f"show {number}` lists who is"
    )


def _standing(access: CustomerAccess, customer: str) -> tuple[str, bool]:
    """A customer's key, "" where nobody knows one, and whether their consent stands."""
    book = client_book(access.settings, access.people, by_day=True)
    known = with_wishers(book, access.home, access.people).customers
    key = dict(known.iter_rows()).get(customer, "")
    person = access.people.person(key) if key else None
    return key, person is not None and person.state.stands


def _reasons(proposal: Proposal, line: ProposalLine) -> tuple[str, ...]:
    """Why the customer of a line got no piece."""
    assert proposal.decided is not None  # noqa: S101  (likewise)
    by, decision = proposal.decided.by, line.ruling.decision
    if line.candidate.no_band == UNDER_REVIEW:
        return ("It was decided before you disputed your band, or without it.",)
    if line.proposed:
        return (_OTHERWISE.format(by=by),)
    if line.candidate.rests:
        return ("You had just been given or proposed a piece, so that others came first.",)
    if decision is Decision.NOT_YET:
        return (_NOT_YET,)
    few = "There were fewer pieces than people who could be offered one."
    if decision is Decision.MANAGER:
        looked = f"Our rules ask that a person looks before you are offered a piece; {by} decided."
        return (looked, few)
    return (few, f"Between people who are otherwise equal, {_TIES[proposal.terms.ties]}.")


def _no_band(line: ProposalLine) -> str:
    why = line.candidate.no_band
    if not why:
        return ""
    if why == MANY_OUTLETS:
        return _MANY
    if why == UNDER_REVIEW:
        return "You dispute your band, so it is not named here until a person has decided."
    return (
        f"No band of you was used ({why}): you were decided about as somebody without a history, "
        "and that by itself is never a reason to refuse."
    )


def _bands(access: CustomerAccess, line: ProposalLine, key: str) -> tuple[BandThen, ...]:
    labels, one = LABELS[access.settings.desk.labels], line.candidate
    against = _against(access, key)
    return tuple(
        BandThen(labels[score], MEANING[score], band, against.get(score))
        for score, band in zip(labels, (one.eligibility, one.flipper_risk), strict=True)
    )


def _against(access: CustomerAccess, key: str) -> dict[str, tuple[str, ...]]:
    """The customer's own events here that speak against them most, by score."""
    try:
        found = explain_key(access.home, access.settings, access.people, key)
    except ScorecardMissing:
        return {}
    if not isinstance(found, ExplainedScores):
        return {}
    eligibility, risk = MEANING
    sign = {eligibility: -1, risk: 1}
    return {
        score: tuple(
            event.text for event in reasons.events if sign.get(score, 0) * event.points > 0
        )[:_MOST_EVENTS]
        for score, reasons in found.scores.items()
    }


_TEMPLATES = page_templates(Path(__file__).with_name("templates"))
