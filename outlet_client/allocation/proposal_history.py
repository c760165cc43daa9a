"""What earlier proposals mean for a new one: who got a piece, who is proposed one, who lost.

Invariant: a lottery counts as lost only once a person decided, by a seed that was drawn and not
given, for whom the policy would have offered a piece; so nobody's odds rise by proposals alone.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import sqlalchemy as sa

from features.allocation import Decision
from outlet_client.allocation.lottery import TieBreak
from outlet_client.allocation.proposal_tables import DECISIONS, LINES, PROPOSALS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from outlet_client.allocation.ranking import Candidate

_LOTTERIES = [one.value for one in TieBreak if one.is_lottery]


@dataclass(frozen=True, slots=True)
class ProposalHistory:
    """What is known of earlier proposals when one is made.

    Attributes:
        reference: Of the new proposal.
        person_of: The person behind a customer's id; the ids of one person have one.
        wins: When somebody was given a piece, by which proposal, and of which reference; by person,
            as all here.
        pending: Of which reference a piece is proposed to somebody, and in which proposal, that
            nobody decided yet.
        lost: When somebody lost a fair lottery of this reference, and by which proposal.
    """

    reference: str
    person_of: Callable[[str], str]
    wins: dict[str, list[tuple[str, int, str]]] = field(default_factory=dict)
    pending: dict[str, tuple[str, int]] = field(default_factory=dict)
    lost: dict[str, list[tuple[str, int]]] = field(default_factory=dict)

    def losses(self, one: Candidate) -> int:
        """How many fair lotteries somebody lost since they last got a piece."""
        person = self.person_of(one.customer)
        last = max((win[:2] for win in self.wins.get(person, ())), default=("", 0))
        return sum(loss > last for loss in self.lost.get(person, ()))

    def rests(self, one: Candidate, days: int, at: dt.datetime) -> str:
        """Why somebody is proposed no piece for now; "" where they may be."""
        person = self.person_of(one.customer)
        for won, _, reference in sorted(self.wins.get(person, ()), reverse=True):
            day = won[:10]
            if reference == self.reference and one.since.isoformat() <= day:
                return f"was given this piece on {day}, and the wish is not closed"
            if at - dt.datetime.fromisoformat(won) < dt.timedelta(days=days):
                return f"was given a piece of {reference} on {day}"
        if person in self.pending:
            reference, number = self.pending[person]
            return f"is proposed a piece of {reference} in proposal {number}"
        return ""


def read_history(
    connection: sa.Connection,
    reference: str,
    person_of: Callable[[str], str],
    at: dt.datetime,
    days: int,
) -> ProposalHistory:
    """Reads what earlier proposals mean for one of a reference.

    Args:
        connection: Of the store of proposals.
        reference: Of the new proposal.
        person_of: The person behind a customer's id.
        at: When it is made.
        days: For how long a piece that was given, or is proposed, counts for other references.
    """
    made = ProposalHistory(reference, person_of)
    wins: dict[str, list[tuple[str, int, str]]] = defaultdict(list)
    query = sa.select(PROPOSALS.c.id, PROPOSALS.c.reference, DECISIONS.c.at, DECISIONS.c.given)
    for row in connection.execute(query.join(DECISIONS, DECISIONS.c.proposal == PROPOSALS.c.id)):
        for customer in row.given:
            wins[person_of(customer)].append((row.at, row.id, row.reference))
    made.wins.update(wins)
    for customer, what in _pending(connection, reference, at - dt.timedelta(days=days)):
        made.pending[person_of(customer)] = what
    for loss, customer in _lost(connection, reference):
        made.lost.setdefault(person_of(customer), []).append(loss)
    return made


def _pending(
    connection: sa.Connection, reference: str, since: dt.datetime
) -> Iterator[tuple[str, tuple[str, int]]]:
    """To whom a piece of another reference is proposed, by its newest proposal, if undecided."""
    newest = (
        sa.select(sa.func.max(PROPOSALS.c.id).label("id"))
        .where(PROPOSALS.c.reference != reference, PROPOSALS.c.made_at >= since.isoformat())
        .group_by(PROPOSALS.c.reference)
        .subquery()
    )
    query = (
        sa.select(LINES.c.customer, PROPOSALS.c.reference, PROPOSALS.c.id)
        .join(PROPOSALS, PROPOSALS.c.id == LINES.c.proposal)
        .join(newest, newest.c.id == PROPOSALS.c.id)
        .where(LINES.c.proposed)
        .where(~sa.exists().where(DECISIONS.c.proposal == PROPOSALS.c.id))
    )
    for row in connection.execute(query):
        yield row.customer, (row.reference, row.id)


def _lost(connection: sa.Connection, reference: str) -> Iterator[tuple[tuple[str, int], str]]:
    """When, and by which proposal, which customers lost a fair lottery of a reference."""
    lotteries = (
        sa.select(PROPOSALS.c.id, DECISIONS.c.at, DECISIONS.c.given)
        .join(DECISIONS, DECISIONS.c.proposal == PROPOSALS.c.id)
        .where(PROPOSALS.c.reference == reference, PROPOSALS.c.drawn)
        .where(PROPOSALS.c.ties.in_(_LOTTERIES))
    )
    for number, at, given_then in connection.execute(lotteries).all():
        given = set(given_then)
        entries = sa.select(LINES.c.customer).where(
            LINES.c.proposal == number,
            LINES.c.decision == Decision.OFFER.value,
            LINES.c.rests == "",
        )
        for customer in connection.scalars(entries):
            if customer not in given:
                yield (at, number), customer
