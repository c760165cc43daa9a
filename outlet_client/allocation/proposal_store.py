"""The store of proposals and of decisions about them, in the outlet's own database.

Invariant: rows are only added. A proposal is stored whole before anybody sees it, with all that its
order follows from; a decision is one more row beside it, and there is at most one.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from features.allocation import Decision, Ruling
from features.ledger import Tier
from outlet_client.allocation.ranking import (
    AllocationRefused,
    Candidate,
    ProposalLine,
    Terms,
    TieBreak,
)
from outlet_client.database import Store

if TYPE_CHECKING:
    from pathlib import Path

_METADATA = sa.MetaData()
_POLICIES = sa.Table(
    "allocation_policies",
    _METADATA,
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
)
_PROPOSALS = sa.Table(
    "allocation_proposals",
    _METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("made_at", sa.Text, nullable=False),
    sa.Column("policy", sa.Text, nullable=False),
    sa.Column("reference", sa.Text, nullable=False),
    sa.Column("tier", sa.Text, nullable=False),
    sa.Column("pieces", sa.Integer, nullable=False),
    sa.Column("ties", sa.Text, nullable=False),
    sa.Column("seed", sa.Text, nullable=False),
    sa.Column("drawn", sa.Boolean, nullable=False),
    sa.Column("book_version", sa.BigInteger),
    sa.Column("book_as_of", sa.Text, nullable=False),
    sqlite_autoincrement=True,  # an id is never used twice
)
_LINES = sa.Table(
    "allocation_lines",
    _METADATA,
    sa.Column("proposal", sa.Integer, primary_key=True),
    sa.Column("rank", sa.Integer, primary_key=True),
    sa.Column("customer", sa.Text, nullable=False),
    sa.Column("also", sa.JSON, nullable=False),
    sa.Column("since", sa.Date, nullable=False),
    sa.Column("eligibility", sa.Text, nullable=False),
    sa.Column("flipper_risk", sa.Text, nullable=False),
    sa.Column("no_band", sa.Text, nullable=False),
    sa.Column("decision", sa.Text, nullable=False),
    sa.Column("say", sa.Text, nullable=False),
    sa.Column("rule", sa.Integer, nullable=False),
    sa.Column("proposed", sa.Boolean, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
)
_DECISIONS = sa.Table(
    "allocation_decisions",
    _METADATA,
    sa.Column("proposal", sa.Integer, primary_key=True),  # decided once
    sa.Column("at", sa.Text, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("given", sa.JSON, nullable=False),
    sa.Column("passed_over", sa.JSON, nullable=False),
)


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
    def policy_digest(self) -> str:
        """SHA-256 of the rules, as hex."""
        return hashlib.sha256(self.policy_text.encode()).hexdigest()

    @property
    def given(self) -> tuple[str, ...]:
        """Who gets the pieces by the decision; by the proposal where there is none yet."""
        if self.decided is not None:
            return self.decided.given
        return tuple(line.candidate.customer for line in self.lines if line.proposed)


class AllocationStore(Store):
    """Proposals and decisions behind one SQLAlchemy URL."""

    @classmethod
    def open(cls, home: Path) -> AllocationStore:
        """Opens the store in an outlet's folder."""
        return cls(f"sqlite:///{home / 'outlet.db'}", _METADATA)

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
            connection.execute(_POLICIES.insert().prefix_with("OR IGNORE"), policy)
            number = connection.execute(_PROPOSALS.insert().returning(_PROPOSALS.c.id), row)
            made = int(number.scalar_one())
            lines = [_row(made, rank, line) for rank, line in enumerate(proposal.lines, 1)]
            connection.execute(_LINES.insert(), lines)
        return made

    def numbers(self, reference: str | None = None) -> list[int]:
        """The numbers of all proposals, or of those of one reference, the oldest first."""
        query = sa.select(_PROPOSALS.c.id).order_by(_PROPOSALS.c.id)
        if reference is not None:
            query = query.where(_PROPOSALS.c.reference == reference)
        with self.reading() as connection:
            return list(connection.scalars(query))

    def read(self, number: int) -> Proposal:
        """One proposal, with what was decided about it.

        Raises:
            AllocationRefused: If there is none of this number.
        """
        proposals = sa.select(_PROPOSALS, _POLICIES.c.source, _POLICIES.c.text).join(
            _POLICIES, _POLICIES.c.digest == _PROPOSALS.c.policy
        )
        lines = sa.select(_LINES).where(_LINES.c.proposal == number).order_by(_LINES.c.rank)
        decisions = sa.select(_DECISIONS).where(_DECISIONS.c.proposal == number)
        with self.reading() as connection:
            row = connection.execute(proposals.where(_PROPOSALS.c.id == number)).one_or_none()
            if row is None:
                raise AllocationRefused(
                    f"allocation {number}: there is none of this number; "
                    "`escapement-outlet allocation show` lists them"
                )
            decided = connection.execute(decisions).one_or_none()
            found = tuple(_line(one) for one in connection.execute(lines))
        return Proposal(
            row.made_at,
            Terms(
                row.reference, Tier(row.tier), row.pieces, TieBreak(row.ties), row.seed, row.drawn
            ),
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
                connection.execute(_DECISIONS.insert(), {"proposal": number, **asdict(decided)})
        except sa.exc.IntegrityError as error:
            raise _decided_before(number) from error


def _decided_before(number: int) -> AllocationRefused:
    return AllocationRefused(
        f"allocation {number}: decided already, and a decision stays; see "
        f"`escapement-outlet allocation show {number}`, or propose anew"
    )


def _row(proposal: int, rank: int, line: ProposalLine) -> dict[str, object]:
    told = {"proposed": line.proposed, "why": line.why}
    ruling = asdict(line.ruling)
    return {"proposal": proposal, "rank": rank, **asdict(line.candidate), **ruling, **told}


def _line(row: sa.Row[Any]) -> ProposalLine:
    one = Candidate(
        row.customer, row.since, row.eligibility, row.flipper_risk, row.no_band, tuple(row.also)
    )
    return ProposalLine(
        one, Ruling(Decision(row.decision), row.say, row.rule), row.proposed, row.why
    )


def _decided(row: sa.Row[Any]) -> Decided:
    return Decided(row.at, row.by, row.reason, tuple(row.given), tuple(row.passed_over))
