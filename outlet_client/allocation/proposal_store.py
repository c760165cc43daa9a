"""The store of proposals and of decisions about them, in the outlet's own database.

Invariant: rows are only added. A proposal is stored whole before anybody sees it, with all that its
order follows from; a decision is one more row beside it, and there is at most one.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from features.allocation import AllocationPolicy, Decision, PolicyRefused, Ruling
from features.ledger import Tier
from outlet_client.allocation.lottery import AllocationRefused, Terms, TieBreak
from outlet_client.allocation.proposal_tables import (
    DECISIONS,
    LINES,
    METADATA,
    POLICIES,
    PROPOSALS,
)
from outlet_client.allocation.ranking import NO_PIECE_LEFT, Candidate, ProposalLine
from outlet_client.database import Store, driver_many

if TYPE_CHECKING:
    from pathlib import Path

OFFERED = "We would be glad to offer you this piece. When would you like to come and see it?"
"""What staff say to whom a piece was given in a tier in which the policy itself offers none."""


@dataclass(frozen=True, slots=True)
class Decided:
    """What a person decided about a proposal.

    Attributes:
        at: When, ISO 8601, UTC.
        by: Who.
        reason: Why it was changed; "" where it was accepted as it stood.
        given: Who gets the pieces, by customer id.
        passed_over: The ranks that a manager was to look at and that get no piece, as whoever
            decided was told before.
    """

    at: str
    by: str
    reason: str
    given: tuple[str, ...]
    passed_over: tuple[int, ...]

    @property
    def words(self) -> str:
        """What was decided, in words."""
        what = "changed" if self.reason else "accepted"
        return f"{what} by {self.by} at {self.at[:16].replace('T', ' ')} UTC"


@lru_cache
def _offer_sentence(policy_text: str, source: str, tier: Tier) -> str:
    try:
        policy = AllocationPolicy.parse(policy_text, source)
    except PolicyRefused:  # a law is newer than these rules
        return OFFERED
    return policy.offer_sentence(tier) or OFFERED


@dataclass(frozen=True, slots=True)
class Proposal:
    """One proposal with all that its order follows from.

    Attributes:
        policy_text: The rules as they were then, TOML.
        book_version: Of the band book; None where there was none.
        book_as_of: The day that its data ends with, ISO 8601; "" likewise.
        id: Its number; 0 before it is stored.
        decided: What became of it; None until somebody decided.
    """

    made_at: str
    terms: Terms
    policy_source: str
    policy_text: str = field(repr=False)
    book_version: int | None
    book_as_of: str
    lines: tuple[ProposalLine, ...]
    id: int = 0
    decided: Decided | None = None

    @property
    def left_over(self) -> int:
        """How many pieces go to nobody, by the decision or the proposal."""
        return self.terms.pieces - len(self.given)

    def say(self, line: ProposalLine) -> str:
        """What may be read aloud to the customer of a line, as it was decided.

        Whoever was given a piece hears of an offer, whatever the policy said; who might have got
        one hears that there were too few, and nothing of a look that a manager had.
        """
        if self.decided is None:
            return line.say
        if line.candidate.customer in self.decided.given:
            return _offer_sentence(self.policy_text, self.policy_source, self.terms.tier)
        return line.ruling.say if line.ruling.decision is Decision.NOT_YET else NO_PIECE_LEFT

    @property
    def policy_digest(self) -> str:
        """SHA-256 of the rules, as hex."""
        return hashlib.sha256(self.policy_text.encode()).hexdigest()

    @property
    def given(self) -> tuple[str, ...]:
        """Who gets the pieces by the decision; by the proposal where there is none yet."""
        if self.decided is not None:
            return self.decided.given
        return tuple(line.candidate.customer for line in self.lines if line.proposed)


@dataclass(frozen=True, slots=True)
class ProposalHeader:
    """A proposal without its lines.

    Attributes:
        waiting: How many lines it has.
    """

    id: int
    made_at: str
    terms: Terms
    waiting: int
    decided: Decided | None


class AllocationStore(Store):
    """Proposals and decisions behind one SQLAlchemy URL."""

    @classmethod
    def open(cls, home: Path) -> AllocationStore:
        """Opens the store in an outlet's folder."""
        return cls(f"sqlite:///{home / 'outlet.db'}", METADATA)

    def add(self, proposal: Proposal) -> int:
        """Stores a proposal, whole or not at all; returns its number."""
        terms, digest = proposal.terms, proposal.policy_digest
        policy = {"digest": digest, "source": proposal.policy_source, "text": proposal.policy_text}
        row = {
            "made_at": proposal.made_at,
            "policy": digest,
            **asdict(terms),
            "book_version": proposal.book_version,
            "book_as_of": proposal.book_as_of,
        }
        with self.transaction() as connection:
            connection.execute(POLICIES.insert().prefix_with("OR IGNORE"), policy)
            number = connection.execute(PROPOSALS.insert().returning(PROPOSALS.c.id), row)
            made = int(number.scalar_one())
            lines = [_row(made, rank, line) for rank, line in enumerate(proposal.lines, 1)]
            driver_many(connection, _INSERT_LINE, lines)
        return made

    def headers(self, reference: str | None = None) -> list[ProposalHeader]:
        """All proposals without their lines, or those of one reference; the newest first."""
        counted = sa.select(sa.func.count()).where(LINES.c.proposal == PROPOSALS.c.id)
        query = sa.select(PROPOSALS, counted.scalar_subquery().label("waiting"))
        if reference is not None:
            query = query.where(PROPOSALS.c.reference == reference)
        with self.reading() as connection:
            decided = {
                row.proposal: _decided(row) for row in connection.execute(sa.select(DECISIONS))
            }
            rows = connection.execute(query.order_by(PROPOSALS.c.id.desc())).all()
        return [
            ProposalHeader(row.id, row.made_at, _terms(row), row.waiting, decided.get(row.id))
            for row in rows
        ]

    def numbers(self, reference: str | None = None) -> list[int]:
        """The numbers of all proposals, or of those of one reference, the oldest first."""
        query = sa.select(PROPOSALS.c.id).order_by(PROPOSALS.c.id)
        if reference is not None:
            query = query.where(PROPOSALS.c.reference == reference)
        with self.reading() as connection:
            return list(connection.scalars(query))

    def read(self, number: int) -> Proposal:
        """One proposal, with what was decided about it.

        Raises:
            AllocationRefused: If there is none of this number.
        """
        proposals = sa.select(PROPOSALS, POLICIES.c.source, POLICIES.c.text).join(
            POLICIES, POLICIES.c.digest == PROPOSALS.c.policy
        )
        lines = sa.select(LINES).where(LINES.c.proposal == number).order_by(LINES.c.rank)
        decisions = sa.select(DECISIONS).where(DECISIONS.c.proposal == number)
        with self.reading() as connection:
            row = connection.execute(proposals.where(PROPOSALS.c.id == number)).one_or_none()
            if row is None:
                raise AllocationRefused(
                    f"allocation {number}: there is none of this number; "
                    "`escapement-outlet allocation show` lists them"
                )
            decided = connection.execute(decisions).one_or_none()
            found = tuple(_line(one) for one in connection.execute(lines))
        return Proposal(
            row.made_at,
            _terms(row),
            row.source,
            row.text,
            row.book_version,
            row.book_as_of,
            found,
            number,
            None if decided is None else _decided(decided),
        )

    def undecided(self, number: int) -> Proposal:
        """A proposal that nobody has decided about yet.

        Raises:
            AllocationRefused: If there is none of this number, or somebody decided before.
        """
        found = self.read(number)
        if found.decided is not None:
            raise _decided_before(number)
        return found

    def decide(self, number: int, decided: Decided) -> None:
        """Adds what a person decided about a proposal.

        Raises:
            AllocationRefused: If somebody decided before; that stays.
        """
        try:
            with self.transaction() as connection:
                connection.execute(DECISIONS.insert(), {"proposal": number, **asdict(decided)})
        except sa.exc.IntegrityError as error:
            raise _decided_before(number) from error


def _decided_before(number: int) -> AllocationRefused:
    return AllocationRefused(
        f"allocation {number}: decided already, and a decision stays; see "
        f"`escapement-outlet allocation show {number}`, or propose anew"
    )


_INSERT_LINE = str(LINES.insert().compile(dialect=sqlite.dialect()))


def _row(proposal: int, rank: int, line: ProposalLine) -> tuple[object, ...]:
    """The cells of a line, in the table's order."""
    one, ruling = line.candidate, line.ruling
    return (
        proposal, rank, one.customer, json.dumps(one.also), one.since.isoformat(),
        one.eligibility, one.flipper_risk, one.no_band, ruling.decision.value, ruling.say,
        ruling.rule, line.proposed, line.why, one.losses, one.rests,
    )  # fmt: skip


def _terms(row: sa.Row[Any]) -> Terms:
    return Terms(row.reference, Tier(row.tier), row.pieces, TieBreak(row.ties), row.seed, row.drawn)


def _line(row: sa.Row[Any]) -> ProposalLine:
    one = Candidate(
        row.customer, row.since, row.eligibility, row.flipper_risk, row.no_band, tuple(row.also),
        row.losses, row.rests,
    )  # fmt: skip
    return ProposalLine(
        one, Ruling(Decision(row.decision), row.say, row.rule), row.proposed, row.why
    )


def _decided(row: sa.Row[Any]) -> Decided:
    return Decided(row.at, row.by, row.reason, tuple(row.given), tuple(row.passed_over))
