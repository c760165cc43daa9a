"""Kept answers: what each outlet last gave to a seal for bands, so that it counts while absent.

Invariant: an answer can be carried once the office took the set that it was in, and then it is its
outlet's only one, as it is at the office. What is older than `CARRY_DAYS`, and what is of no use
any more, is deleted: whoever steals it together with the office's seeds reads it.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
import sqlalchemy as sa

from privacy.fixed_point import Residues, ring_type
from privacy.seal_plans import score_modulus
from privacy.two_key_sum import CARRY_DAYS, Aggregate, Carried, Envelope
from server.hq.tables import KEPT_ANSWERS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from privacy.plans import ReleasePlan
    from privacy.seal_plans import SealPlan
    from privacy.two_key_sum import MaskedShare

_DAY_SECONDS = 24 * 3600


class KeptAnswers:
    """Outlets' answers to seals, in one database with the seals."""

    def __init__(self, engine: sa.Engine) -> None:
        """Reads and writes one database."""
        self._engine = engine

    def add_answers(
        self, plan: SealPlan, plan_digest: str, shares: Iterable[MaskedShare], at: float
    ) -> None:
        """Keeps the answers to a plan, in place of those that were kept of it before.

        Args:
            plan: What they answer.
            plan_digest: The digest of its signed bytes.
            shares: One an outlet.
            at: When they were given, in Unix seconds.
        """
        with self._engine.begin() as connection:
            connection.execute(KEPT_ANSWERS.delete().where(KEPT_ANSWERS.c.plan == plan_digest))
            for share in shares:
                connection.execute(
                    KEPT_ANSWERS.insert().values(
                        outlet=share.envelope.outlet,
                        plan=plan_digest,
                        scorecard=plan.scorecard,
                        released=False,
                        answered_at=int(at),
                        envelope=json.dumps(_as_json(share.envelope)),
                        vector=share.vector.tobytes(),
                    )
                )

    def answers_to(self, plan: SealPlan, plan_digest: str) -> list[tuple[Envelope, Residues]]:
        """The answers to a plan that were kept."""
        mine = KEPT_ANSWERS.c.plan == plan_digest
        return [(envelope, vector) for envelope, _, vector in self._read(mine, plan)]

    def carryable(self, scorecard: str | None = None) -> set[str]:
        """The outlets of which there is an answer that the office took.

        Args:
            scorecard: The digest of the scorecards that it has to be under; any where None.
        """
        query = sa.select(KEPT_ANSWERS.c.outlet).where(KEPT_ANSWERS.c.released)
        if scorecard is not None:
            query = query.where(KEPT_ANSWERS.c.scorecard == scorecard)
        with self._engine.connect() as connection:
            return set(connection.scalars(query))

    def last_answers(
        self, plan: SealPlan, absent: Iterable[str], at: float
    ) -> list[tuple[Carried, Residues]]:
        """The last answers of outlets that can be carried in a plan.

        Args:
            plan: Of the same scorecard and modulus.
            absent: Whose.
            at: Now, in Unix seconds.
        """
        young = KEPT_ANSWERS.c.answered_at >= at - CARRY_DAYS * _DAY_SECONDS
        released = (KEPT_ANSWERS.c.scorecard == plan.scorecard) & KEPT_ANSWERS.c.released
        mine = released & young & KEPT_ANSWERS.c.outlet.in_(list(absent))
        return [
            (Carried(envelope, answered), vector)
            for envelope, answered, vector in self._read(mine, plan)
            if score_modulus(len(vector) // plan.width) == score_modulus(plan.slots)
        ]

    def forget_old_answers(self, at: float) -> None:
        """Deletes what is too old to be carried."""
        too_old = KEPT_ANSWERS.c.answered_at < at - CARRY_DAYS * _DAY_SECONDS
        with self._engine.begin() as connection:
            connection.execute(KEPT_ANSWERS.delete().where(too_old))

    def _read(
        self, wanted: sa.ColumnElement[bool], plan: SealPlan
    ) -> list[tuple[Envelope, str, Residues]]:
        """Envelopes, plans and vectors, in order of their outlets."""
        query = sa.select(KEPT_ANSWERS).where(wanted).order_by(KEPT_ANSWERS.c.outlet)
        with self._engine.connect() as connection:
            rows = connection.execute(query).all()
        kind = ring_type(plan.ring_bits)
        return [
            (_envelope(json.loads(row.envelope)), row.plan, np.frombuffer(row.vector, kind))
            for row in rows
        ]


def let_carry(connection: sa.Connection, plan_digest: str, outlets: Iterable[str], at: int) -> None:
    """Lets answers to a plan be carried, in place of their outlets' earlier ones.

    Args:
        connection: In the transaction that notes that the office took the set.
        plan_digest: Which plan.
        outlets: Who was fresh in the set; the plan's other answers are forgotten.
        at: Unix seconds, from which on their age counts.
    """
    mine, fresh = KEPT_ANSWERS.c.plan == plan_digest, KEPT_ANSWERS.c.outlet.in_(list(outlets))
    connection.execute(KEPT_ANSWERS.delete().where((mine & ~fresh) | (fresh & ~mine)))
    connection.execute(KEPT_ANSWERS.update().where(mine).values(released=True, answered_at=at))


def forget_answers(connection: sa.Connection, plan_digest: str) -> None:
    """Forgets answers to a plan that can not be carried, as if they had not been given."""
    mine = (KEPT_ANSWERS.c.plan == plan_digest) & ~KEPT_ANSWERS.c.released
    connection.execute(KEPT_ANSWERS.delete().where(mine))


def summed(aggregate: Aggregate) -> dict[str, object]:
    """The columns of a masked sum, in whichever table."""
    answered = {
        "fresh": [_as_json(envelope) for envelope in aggregate.envelopes],
        "carried": [[_as_json(last.envelope), last.plan_digest] for last in aggregate.carried],
    }
    return {
        "envelopes": json.dumps(answered),
        "masked_sum": aggregate.masked_sum.tobytes(),
        "outlets": json.dumps(aggregate.outlets),
    }


def read_sum(plan: ReleasePlan | SealPlan, row: sa.Row[tuple[object, ...]]) -> Aggregate | None:
    """The masked sum in the columns that `summed` made; None where there is none."""
    if row.masked_sum is None:
        return None
    answered = json.loads(row.envelopes)
    envelopes = tuple(_envelope(raw) for raw in answered["fresh"])
    carried = tuple(Carried(_envelope(raw), digest) for raw, digest in answered["carried"])
    masked = np.frombuffer(row.masked_sum, dtype=ring_type(plan.ring_bits))
    return Aggregate(plan, envelopes, masked, carried)


def _as_json(envelope: Envelope) -> dict[str, str]:
    return {
        **asdict(envelope),
        "sealed_seed": envelope.sealed_seed.hex(),
        "signature": envelope.signature.hex(),
    }


def _envelope(raw: dict[str, str]) -> Envelope:
    return Envelope(
        raw["outlet"],
        bytes.fromhex(raw["sealed_seed"]),
        raw["commitment"],
        bytes.fromhex(raw["signature"]),
    )
