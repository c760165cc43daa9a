"""The store of the answers that this outlet gave, so that a plan is answered once.

Invariant: a plan is answered once. An answer is stored before it is sent, and a retry sends the
same bytes; so no two answers to one plan can be compared. Of the seals of bins the last plan that
was answered is kept in its answer's transaction, to hold the fine book against.
"""

from __future__ import annotations

from contextlib import contextmanager
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import sqlalchemy as sa

from outlet_client.database import Store
from outlet_client.errors import QuestionRefused
from privacy.budget import YEAR_SECONDS, LedgerPosition
from privacy.fixed_point import ring_type
from privacy.loss import Rho
from privacy.plans import ReleasePlan
from privacy.purposes import Purpose
from privacy.two_key_sum import Envelope, MaskedShare

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from privacy.plans import NightPlan
    from privacy.seal_plans import SealPlan

_METADATA = sa.MetaData()
_ANSWERS = sa.Table(
    "answers",
    _METADATA,
    sa.Column("release", sa.Text, primary_key=True),
    sa.Column("plan", sa.Text, nullable=False),
    sa.Column("purpose", sa.Text, nullable=False),
    sa.Column("rho", sa.Text, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("outlet", sa.Text, nullable=False),
    sa.Column("ring_bits", sa.Integer, nullable=False),
    sa.Column("vector", sa.LargeBinary, nullable=False),
    sa.Column("salt", sa.LargeBinary, nullable=False),
    sa.Column("sealed_seed", sa.LargeBinary, nullable=False),
    sa.Column("commitment", sa.Text, nullable=False),
    sa.Column("signature", sa.LargeBinary, nullable=False),
)
_HEADS = sa.Table(
    "ledger_heads",
    _METADATA,
    sa.Column("length", sa.BigInteger, primary_key=True),
    sa.Column("head", sa.Text, nullable=False),
)
_FINE_PLAN = sa.Table(
    "fine_plan",
    _METADATA,
    # One row: the plan of the last seal of bins that was answered, as the office signed it.
    sa.Column("payload", sa.LargeBinary, nullable=False),
)
_LATEST_DAYS = sa.Table(
    "latest_days",
    _METADATA,
    # Of what: "bands" or "cut-off"; and the last day that was answered.
    sa.Column("what", sa.Text, primary_key=True),
    sa.Column("day", sa.Text, nullable=False),
)


class AnswerStore:
    """Answers and ledger heads behind one SQLAlchemy URL."""

    def __init__(self, url: str) -> None:
        """Opens the store, making its tables where they are missing."""
        self._store = Store(url, _METADATA)

    @contextmanager
    def transaction(self) -> Iterator[Answers]:
        """One answer at a time, over threads and processes; an exception undoes all of it."""
        with self._store.transaction() as connection:
            yield Answers(connection)

    def close(self) -> None:
        """Closes all connections."""
        self._store.close()


class Answers:
    """What can be read and written within one transaction."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    @property
    def connection(self) -> sa.Connection:
        """For what is kept beside an answer, in its own transaction."""
        return self._connection

    def answer(self, plan: ReleasePlan | SealPlan, plan_digest: str) -> MaskedShare | None:
        """The stored answer to a plan, or None.

        Raises:
            QuestionRefused: If another plan of this name was answered.
        """
        query = sa.select(_ANSWERS).where(_ANSWERS.c.release == plan.release)
        row = self._connection.execute(query).one_or_none()
        if row is None:
            return None
        if row.plan != plan_digest:
            raise QuestionRefused(f"release {plan.release}: another plan of this name was answered")
        vector = np.frombuffer(row.vector, dtype=ring_type(row.ring_bits))
        envelope = Envelope(row.outlet, row.sealed_seed, row.commitment, row.signature)
        return MaskedShare(vector, row.salt, envelope)

    def add(
        self, plan: ReleasePlan | SealPlan, plan_digest: str, share: MaskedShare, at: int
    ) -> None:
        """Stores an answer; it may be sent once the transaction has ended."""
        cost = plan.rho() if isinstance(plan, ReleasePlan) else None  # what is sealed costs nothing
        self._connection.execute(
            _ANSWERS.insert().values(
                release=plan.release,
                plan=plan_digest,
                purpose=plan.purpose.value,
                rho=(cost or Rho(0)).encode(),
                at=at,
                outlet=share.envelope.outlet,
                ring_bits=plan.ring_bits,
                vector=share.vector.tobytes(),
                salt=share.salt,
                sealed_seed=share.envelope.sealed_seed,
                commitment=share.envelope.commitment,
                signature=share.envelope.signature,
            )
        )

    def keep_fine_plan(self, payload: bytes) -> None:
        """Replaces the kept plan of a seal of bins by one that the office signed."""
        self._connection.execute(_FINE_PLAN.delete())
        self._connection.execute(_FINE_PLAN.insert().values(payload=payload))

    def fine_plan(self) -> bytes | None:
        """The plan of the last seal of bins that was answered; None before the first."""
        return self._connection.scalar(sa.select(_FINE_PLAN.c.payload))

    def spent(self, at: int) -> Rho:
        """What the customer sums answered in the 365 days before `at` cost one customer.

        Where a clock went back, the last answer's moment counts instead of `at`. Points that
        release 0.1 answered had noise for events, and count for nothing.
        """
        latest = self._connection.scalar(sa.select(sa.func.max(_ANSWERS.c.at))) or at
        recent = sa.select(_ANSWERS.c.rho).where(
            _ANSWERS.c.at > max(at, latest) - YEAR_SECONDS,
            _ANSWERS.c.purpose != Purpose.POINTS.value,
        )
        return Rho.total(map(Fraction, self._connection.scalars(recent)))

    def ledger_positions(self) -> list[LedgerPosition]:
        """How far the office's ledger was in the nights that were answered, ascending."""
        query = sa.select(_HEADS.c.length, _HEADS.c.head).order_by(_HEADS.c.length)
        return [LedgerPosition(*row) for row in self._connection.execute(query)]

    def follow(self, night: NightPlan, gone: Sequence[LedgerPosition] = ()) -> None:
        """Remembers the ledger head that a night plan names.

        Args:
            night: The plan.
            gone: What `ledger_history.check_goes_on` found of the heads that were seen and are in
                it no more; they are forgotten.

        Raises:
            QuestionRefused: If the ledger went back, or has another entry where one was seen.
        """
        lost = _HEADS.c.length.in_([position.length for position in gone])
        self._connection.execute(_HEADS.delete().where(lost))
        query = sa.select(_HEADS).order_by(_HEADS.c.length.desc()).limit(1)
        last = self._connection.execute(query).one_or_none()
        if last is not None and (
            night.ledger_length < last.length
            or (night.ledger_length == last.length and night.ledger_head != last.head)
        ):
            raise QuestionRefused(
                f"night {night.night}: the office's ledger went back from {last.length} "
                f"to {night.ledger_length} entries; ask the privacy office why"
            )
        if last is None or night.ledger_length > last.length:
            self._connection.execute(
                _HEADS.insert().values(length=night.ledger_length, head=night.ledger_head)
            )

    def follow_day(self, what: str, day: str) -> None:
        """Remembers the last day of what was answered.

        Args:
            what: "bands" or "cut-off".
            day: ISO 8601 date.

        Raises:
            QuestionRefused: If it is before one that was answered.
        """
        mine = _LATEST_DAYS.c.what == what
        last = self._connection.scalar(sa.select(_LATEST_DAYS.c.day).where(mine))
        if last is not None and day < last:
            raise QuestionRefused(f"{what}: got {day}, {last} was answered before; days only go on")
        self._connection.execute(_LATEST_DAYS.delete().where(mine))
        self._connection.execute(_LATEST_DAYS.insert().values(what=what, day=day))
