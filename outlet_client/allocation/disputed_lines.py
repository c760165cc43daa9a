"""Proposals in which a customer disputes their data: the bands of that customer are hidden.

Invariant: from a dispute until a named person decides it, no band of its customer is shown of a
proposal, and no piece is given by one that was made with the band.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import sqlalchemy as sa

from features.bands import NEW
from outlet_client.allocation.lottery import AllocationRefused
from outlet_client.allocation.wish_store import wish_rows
from outlet_client.bands.lookup import MANY_OUTLETS, Status
from outlet_client.log_tables.rights_store import rights_if_any
from outlet_client.people.linked_keys import contested
from outlet_client.people.tables import ENTRIES, KEYS, rows_of
from outlet_client.records.customer_requests import disputed

if TYPE_CHECKING:
    from outlet_client.allocation.proposal_store import Proposal
    from outlet_client.allocation.ranking import ProposalLine
    from outlet_client.customer_access import CustomerAccess
    from outlet_client.people.people_store import People

UNDER_REVIEW = Status.UNDER_REVIEW.value

_HIDDEN = "Under review since it was proposed."


def without_bands(line: ProposalLine) -> ProposalLine:
    """The line without its bands and their wording; the line itself where it has none."""
    if not _banded(line):
        return line
    one = replace(line.candidate, eligibility=NEW, flipper_risk=NEW, no_band=UNDER_REVIEW)
    return replace(line, candidate=one, ruling=replace(line.ruling, rule=0), why=_HIDDEN)


def hide_disputed_bands(access: CustomerAccess, proposals: list[Proposal]) -> list[Proposal]:
    """The proposals, without the bands of customers who dispute their data."""
    found = disputed_customers(access, proposals)
    return [
        replace(
            one,
            lines=tuple(
                without_bands(line) if line.candidate.customer in found else line
                for line in one.lines
            ),
        )
        for one in proposals
    ]


def refuse_disputed(access: CustomerAccess, proposal: Proposal) -> None:
    """Lets nobody decide by a band that is under review.

    A line that was decided as without a band may stand: nothing of it follows from what is
    disputed.

    Raises:
        AllocationRefused: If there is such a line; it names the customer and the next step.
    """
    for customer, number in disputed_customers(access, [proposal]).items():
        raise AllocationRefused(
            f"allocation {proposal.id}: customer {customer} is under review; decide that with "
            f"`escapement-outlet customer decide {number}` first, or propose anew with "
            "`escapement-outlet allocate`, which reads no band of theirs"
        )


def disputed_customers(access: CustomerAccess, proposals: list[Proposal]) -> dict[str, int]:
    """The customers on these lines who dispute their data, each with the number of the dispute."""
    with rights_if_any(access.home) as connection:
        disputes = {} if connection is None else disputed(connection)
    if not disputes:
        return {}
    told = {one.name: one.key for one in wish_rows(access.home) if one.key}
    keys = access.people.linked_closely(disputes)
    near = _holders(access.people, keys) | {name for name, key in told.items() if key in keys}
    lines = (line for one in proposals for line in one.lines if _banded(line))
    found = {}
    for line in dict.fromkeys(lines):
        one = line.candidate
        if near.isdisjoint((one.customer, *one.also)):
            continue
        names = (one.customer, *one.also)
        reached = _reached(access.people, names).union(
            *(access.people.reached(told[name]) for name in names if name in told)
        )
        if numbers := [disputes[key] for key in disputes.keys() & reached]:
            found[one.customer] = min(numbers)
    return found


def _banded(line: ProposalLine) -> bool:
    """Whether the line follows from the book: from a band, or from what stands in its place."""
    return line.candidate.no_band in ("", MANY_OUTLETS)


def _holders(people: People, keys: frozenset[str]) -> set[str]:
    """All customers who have one of some keys, or had."""
    with people.reading() as connection:
        return {
            customer
            for column in KEYS
            for _, customer in rows_of(connection, keys, column, ENTRIES.c.customer)
        }


def _reached(people: People, customers: tuple[str, ...]) -> set[str]:
    """All keys under which a dispute hides these customers' band, as a look-up has it."""
    query = sa.select(ENTRIES.c.former, *KEYS).where(ENTRIES.c.customer.in_(customers))
    with people.reading() as connection:
        rows = connection.execute(query).all()
        current = [row for row in rows if not row.former] or rows
        keys = {key for _, *some in current for key in some if key is not None}
        own = keys - contested(connection, keys) or keys  # what others share may be theirs alone
    return {one for key in own for one in people.reached(key)}
