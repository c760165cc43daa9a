"""Proposing an allocation and deciding about it, for the commands and the staff's pages.

Invariant: a proposal is stored before anybody sees it, and each look-up for it is in the log. A
decision has a person's name, is in the log before it takes effect, and is not made by a band that
is under review.
"""

from __future__ import annotations

import secrets
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from features.allocation import AllocationPolicy
from outlet_client.allocation.disputed_lines import hide_disputed_bands, refuse_disputed
from outlet_client.allocation.interest_rows import with_wishers
from outlet_client.allocation.lottery import SEED_BYTES, AllocationRefused, Terms
from outlet_client.allocation.proposal_history import read_history
from outlet_client.allocation.proposal_store import AllocationStore, Decided, Proposal
from outlet_client.allocation.ranking import (
    differences,
    passed_over,
    rank_candidates,
    read_policy,
    recipients_after_change,
)
from outlet_client.allocation.reference_names import named_reference
from outlet_client.allocation.waitlist import allocatable as allocatable_of
from outlet_client.allocation.waitlist import look_up_bands, open_interests
from outlet_client.errors import OWN_ERRORS
from outlet_client.people.client_book import client_book
from outlet_client.records.access_log import LogAct, record_act_in
from outlet_client.records.actor import checked_name, checked_sentence

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterator, Sequence

    from outlet_client.allocation.lottery import TieBreak
    from outlet_client.allocation.proposal_store import ProposalHeader
    from outlet_client.allocation.waitlist import Allocatable, CandidateBands
    from outlet_client.customer_access import CustomerAccess
    from outlet_client.records.actor import Actor


@dataclass(frozen=True, slots=True)
class Proposed:
    """What came of asking for a proposal.

    Attributes:
        proposal: As it is stored.
        no_book: Why there is no band book that may be shown, or that none came yet; "" where there
            is.
        earlier: The numbers of the proposals that were made for the reference before.
    """

    proposal: Proposal
    no_book: str
    earlier: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ProposedTogether:
    """What came of asking for several proposals.

    Attributes:
        failed: Why the next was not made; None where all were.
    """

    proposed: tuple[Proposed, ...]
    failed: Exception | None = None


def allocatable(access: CustomerAccess, at: dt.datetime) -> tuple[Allocatable, ...]:
    """The references that can be allocated, with tier and how many open interests are listed.

    Raises:
        NotConfigured: If the outlet has no references.
        LedgerError: If they or the interests cannot be read.
    """
    return allocatable_of(access.home, access.settings, at, access.people)


def propose(
    access: CustomerAccess,
    reference: str,
    pieces: int,
    ties: TieBreak,
    seed: str | None,
    asked: Actor,
    at: dt.datetime,
) -> Proposed:
    """Proposes who of those on the waitlist may be offered the pieces of a reference.

    A seed draws an earlier lottery again. Each customer who has a key is a look-up of whoever asks.

    Raises:
        AllocationRefused: If the reference is in no tier or nobody waits for it, or pieces or seed
            are none.
        NotConfigured: If the outlet has no references, or its policy is missing.
        PolicyRefused: If the policy cannot be read or breaks a law.
        LedgerError: If a table cannot be read.
        BookRefused: If the band book is damaged or forged.
    """
    policy = read_policy(access.settings.policy)
    reference, tier = named_reference(access.settings, reference)
    used = secrets.token_hex(SEED_BYTES) if seed is None else seed.strip().lower()
    terms = Terms(reference, tier, pieces, ties, used, drawn=seed is None)
    found, person_of = _banded(access, reference, asked, at)
    with closing(AllocationStore.open(access.home)) as store:
        earlier = tuple(store.numbers(reference))
        with store.reading() as connection:
            before = read_history(connection, reference, person_of, at, policy.rest_days)
        candidates = [
            replace(one, losses=before.losses(one), rests=before.rests(one, policy.rest_days, at))
            for one in found.candidates
        ]
        made = Proposal(
            _moment(at),
            terms,
            policy.source,
            policy.text,
            found.version,
            found.as_of,
            rank_candidates(candidates, policy, terms),
        )
        return Proposed(replace(made, id=store.add(made)), found.no_book, earlier)


def propose_several(
    access: CustomerAccess,
    wishes: Sequence[tuple[str, int]],
    ties: TieBreak,
    asked: Actor,
    at: dt.datetime,
) -> ProposedTogether:
    """Makes a proposal for each of some references, one after another, with drawn seeds.

    Whoever is proposed a piece of one is proposed none of the next. What would make the first
    impossible makes none; where a later one fails, those before stand.

    Args:
        access: The open stores.
        wishes: References with how many pieces there are.
        ties: What decides between equals.
        asked: Who asks.
        at: When.

    Raises:
        AllocationRefused: If a reference is named twice; else as `propose` for the first.
    """
    names = [named_reference(access.settings, reference)[0] for reference, _ in wishes]
    if len(set(names)) < len(names):
        raise AllocationRefused("reference: got one twice; name it once, with all its pieces")
    made: list[Proposed] = []
    for reference, (_, pieces) in zip(names, wishes, strict=True):
        try:
            made.append(propose(access, reference, pieces, ties, None, asked, at))
        except OWN_ERRORS as error:
            if not made:
                raise
            return ProposedTogether(tuple(made), error)
    return ProposedTogether(tuple(made))


def headers(access: CustomerAccess, reference: str | None = None) -> list[ProposalHeader]:
    """All proposals without their lines, or those of one reference; the newest first."""
    with closing(AllocationStore.open(access.home)) as store:
        return store.headers(reference)


def shown(access: CustomerAccess, number: int | None = None) -> list[Proposal]:
    """Proposals as they may be shown now: without the bands of customers who dispute theirs.

    Without a number all, the oldest first.

    Raises:
        AllocationRefused: If there is none of this number.
    """
    with closing(AllocationStore.open(access.home)) as store:
        numbers = store.numbers() if number is None else [number]
        return hide_disputed_bands(access, [store.read(one) for one in numbers])


def passed_over_by(
    access: CustomerAccess, number: int, give: Sequence[str] = (), instead_of: Sequence[str] = ()
) -> tuple[int, ...]:
    """The ranks that a decision would pass over: whoever decides is to be told before they do.

    What `change` takes as `give` and `instead_of`; with neither, the proposal would be accepted.

    Raises:
        AllocationRefused: If it cannot be decided so.
    """
    with closing(AllocationStore.open(access.home)) as store:
        proposal = _undecided(access, store, number)
    return passed_over(proposal.lines, _final(proposal, give, instead_of))


def accept(access: CustomerAccess, number: int, by: str, at: dt.datetime) -> Proposal:
    """Decides that the pieces go to those to whom they were proposed.

    Raises:
        NotAsked: If the name is none.
        AllocationRefused: If there is none of this number, somebody decided before, or a band is
            under review.
    """
    who = checked_name(by)
    with closing(AllocationStore.open(access.home)) as store:
        proposal = _undecided(access, store, number)
        with _logged(access, at, LogAct.DECISION, who, number, "accepted"):
            return _decide(store, proposal, (at, who, ""), proposal.given)


def change(
    access: CustomerAccess,
    number: int,
    by: str,
    reason: str,
    give: Sequence[str],
    instead_of: Sequence[str],
    at: dt.datetime,
) -> Proposal:
    """Decides otherwise than proposed, with a reason. The proposal stays as it was.

    Those of `give` get a piece that was not proposed to them, those of `instead_of` do without one
    that was. The reason is kept beside the decision.

    Raises:
        NotAsked: If the name is none, or there is no reason.
        AllocationRefused: As `accept`; or if a customer has no such line, or the pieces are too
            few.
    """
    who, why = checked_name(by), checked_sentence(reason, "reason", "a sentence")
    with closing(AllocationStore.open(access.home)) as store:
        proposal = _undecided(access, store, number)
        final = _final(proposal, give, instead_of)
        if set(final) == set(proposal.given):
            raise AllocationRefused(
                f"allocation {number}: got no change; say who is given a piece, and instead of "
                "whom, or accept the proposal as it stands"
            )
        more, less = (len(set(one)) for one in (give, instead_of))
        outcome = f"changed: {more} given, {less} instead"
        with _logged(access, at, LogAct.OVERRIDE, who, number, outcome):
            return _decide(store, proposal, (at, who, why), final)


def rerun(access: CustomerAccess, number: int) -> int:
    """Computes a proposal's order again from what is stored; returns its number of lines.

    Raises:
        AllocationRefused: If there is none of this number, or the order is another.
    """
    with closing(AllocationStore.open(access.home)) as store:
        stored = store.read(number)
    policy = AllocationPolicy.parse(stored.policy_text, stored.policy_source)
    again = rank_candidates((line.candidate for line in stored.lines), policy, stored.terms)
    if ranks := differences(stored.lines, again):
        raise AllocationRefused(
            f"allocation {number}: got another order from rank {ranks[0]} on, expected the "
            "stored one; it was altered, or made by another version of this program: keep "
            "the folder as it is and tell who looks after it"
        )
    return len(again)


def _banded(
    access: CustomerAccess, reference: str, asked: Actor, at: dt.datetime
) -> tuple[CandidateBands, Callable[[str], str]]:
    """Those who wait with their bands, and the person behind any customer's id."""
    interests = open_interests(access.home, access.settings, reference, at, access.people)
    book = client_book(access.settings, access.people, by_day=True)
    book = with_wishers(book, access.home, access.people)
    persons = dict(book.customers.iter_rows())
    found = look_up_bands(interests, book, access.look_up, access.home, asked)
    return found, lambda customer: persons.get(customer, f"customer {customer}")


def _undecided(access: CustomerAccess, store: AllocationStore, number: int) -> Proposal:
    proposal = store.undecided(number)
    refuse_disputed(access, proposal)
    return proposal


def _final(proposal: Proposal, give: Sequence[str], instead_of: Sequence[str]) -> tuple[str, ...]:
    return recipients_after_change(proposal.lines, proposal.terms.pieces, give, instead_of)


def _decide(
    store: AllocationStore,
    proposal: Proposal,
    said: tuple[dt.datetime, str, str],
    final: tuple[str, ...],
) -> Proposal:
    """Stores who gets the pieces, and whom that passes over: said are moment, name and reason."""
    at, by, reason = said
    passed = passed_over(proposal.lines, final)
    store.decide(proposal.id, Decided(_moment(at), by, reason, final, passed))
    return store.read(proposal.id)


@contextmanager
def _logged(
    access: CustomerAccess, at: dt.datetime, act: LogAct, by: str, number: int, outcome: str
) -> Iterator[None]:
    """Has a decision in the log before it is stored, and also that somebody else's came first."""
    record_act_in(access.home, at, act, by, about=_about(number), outcome=outcome)
    try:
        yield
    except AllocationRefused:
        said = f"{outcome}: refused, decided before"
        record_act_in(access.home, at, act, by, about=_about(number), outcome=said)
        raise


def _about(number: int) -> str:
    return f"allocation {number}"


def _moment(at: dt.datetime) -> str:
    return at.isoformat(timespec="seconds")
