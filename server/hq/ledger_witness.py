"""HQ's copy of the office's ledger: what a lost one is brought back from.

Invariant: every entry goes on from the one before; and a ledger of the office's that does not go on
from the copy is refused until it does, whatever night it is.

HQ sees nothing new in it: what was reserved and charged is of its own nights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import sqlalchemy as sa

from privacy.budget import LedgerBroken, LedgerEntry, LedgerForked, LedgerPosition
from privacy.ledger_copies import LedgerCopy, went_back
from privacy.plans import Signed
from server.hq.tables import LEDGER_COPY, LEDGER_PROOF

if TYPE_CHECKING:
    from collections.abc import Sequence

    from privacy.plans import NightPlan

HOLDER = "HQ"


class LedgerWitness(Protocol):
    """Where HQ's copy is kept."""

    def ledger_position(self) -> LedgerPosition:
        """How far the copy is."""

    def keep_entries(self, entries: Sequence[LedgerEntry]) -> None:
        """Adds entries that go on from it."""

    def keep_proof(self, signed: Signed) -> None:
        """Keeps the last night plan that the office signed, which names a position."""

    def has_position(self, position: LedgerPosition) -> bool:
        """Whether the ledger was there, by the copy."""


class LedgerCopies:
    """The copy behind HQ's database."""

    _engine: sa.Engine

    def ledger_position(self) -> LedgerPosition:
        """How far the copy is."""
        query = sa.select(LEDGER_COPY.c.sequence, LEDGER_COPY.c.digest)
        with self._engine.begin() as connection:
            last = query.order_by(LEDGER_COPY.c.sequence.desc()).limit(1)
            row = connection.execute(last).one_or_none()
        return LedgerPosition() if row is None else LedgerPosition(row.sequence + 1, row.digest)

    def has_position(self, position: LedgerPosition) -> bool:
        """Whether the ledger was there, by the copy."""
        mine = LEDGER_COPY.c.sequence == position.length - 1
        with self._engine.begin() as connection:
            found = connection.scalar(sa.select(LEDGER_COPY.c.digest).where(mine))
        return position == LedgerPosition() or found == position.head

    def keep_entries(self, entries: Sequence[LedgerEntry]) -> None:
        """Adds entries that go on from it; what another process added meanwhile is left."""
        with self._engine.begin() as connection:
            known = connection.scalar(sa.select(sa.func.count()).select_from(LEDGER_COPY)) or 0
            rows = [
                {"sequence": one.sequence, "digest": one.digest, "entry": one.encode()}
                for one in entries
                if one.sequence >= known
            ]
            if rows:
                connection.execute(LEDGER_COPY.insert(), rows)

    def keep_proof(self, signed: Signed) -> None:
        """Keeps the last night plan that the office signed, which names a position."""
        with self._engine.begin() as connection:
            connection.execute(LEDGER_PROOF.delete())
            row = {"payload": signed.payload, "signature": signed.signature}
            connection.execute(LEDGER_PROOF.insert().values(**row))

    def ledger_copy(self) -> LedgerCopy:
        """All of it, as the office takes it back."""
        query = sa.select(LEDGER_COPY.c.entry).order_by(LEDGER_COPY.c.sequence)
        with self._engine.begin() as connection:
            entries = tuple(map(LedgerEntry.decode, connection.scalars(query)))
            proof = connection.execute(sa.select(LEDGER_PROOF)).one_or_none()
        plan = None if proof is None else Signed(proof.payload, proof.signature)
        return LedgerCopy(HOLDER, entries, (), plan)

    def forget_ledger(self) -> None:
        """Empties the copy: HQ begins another, with whatever ledger the office has then."""
        with self._engine.begin() as connection:
            connection.execute(LEDGER_COPY.delete())
            connection.execute(LEDGER_PROOF.delete())


def check_goes_on(known: LedgerPosition, entries: Sequence[LedgerEntry]) -> list[LedgerEntry]:
    """The entries after those of the copy, if the ledger goes on from it.

    Args:
        known: How far the copy is.
        entries: The ledger's from the copy's last one on.

    Raises:
        LedgerForked: If it does not.
    """
    later = list(entries)
    last = later.pop(0) if known.length and later else None
    found = LedgerPosition() if last is None else LedgerPosition(last.sequence + 1, last.digest)
    if found != known:
        raise LedgerForked(went_back(known))
    try:
        known.followed_by(later)
    except LedgerBroken as error:
        raise LedgerForked(went_back(known)) from error
    return later


def check_planned(plan: NightPlan, witness: LedgerWitness) -> None:
    """Refuses a night plan that names another ledger than the copy.

    Raises:
        LedgerForked: If so.
    """
    if not witness.has_position(LedgerPosition(plan.ledger_length, plan.ledger_head)):
        raise LedgerForked(
            f"night {plan.night}: its plan names another ledger than the privacy office shows HQ; "
            "ask the office why"
        )
