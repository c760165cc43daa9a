"""Kept seeds: each outlet's last seed for bands, with which it counts while it is absent.

Invariant: a seed is of use for `CARRY_DAYS` after its outlet answered, and deleted then: who steals
it together with what HQ keeps reads that answer. And it is of use to seals of the same scorecard,
modulus and number of scores only, for days as near to the one that it was answered for.

Its vector's slots are the first ones of any later seal's, since a seal is of the directory that
was countersigned last, and those of one network only grow: slot by slot the same key, or blank
(`publications`). A new network begins other slots, and deletes every seed (`renewal`); a backup
has none, so that no restored office carries what it answered under a directory that HQ alone knows.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from privacy.masks import Seed
from privacy.seal_plans import score_modulus
from privacy.two_key_sum import CARRY_DAYS, KeptSeed
from server.office.store_tables import KEPT_SEEDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from privacy.seal_plans import SealPlan
    from privacy.two_key_sum import Carried, Envelope

_CARRY_SECONDS = CARRY_DAYS * 24 * 3600


@dataclass(frozen=True, slots=True)
class SeedStore:
    """The kept seeds within one transaction of the office's store."""

    connection: sa.Connection

    def usable(self, plan: SealPlan, at: int) -> frozenset[str]:
        """The outlets that a seal for bands can carry.

        Args:
            plan: The seal.
            at: Unix seconds.
        """
        query = sa.select(KEPT_SEEDS.c.outlet).where(_usable(plan, at))
        return frozenset(self.connection.scalars(query))

    def find(self, plan: SealPlan, carried: Carried, at: int) -> KeptSeed | None:
        """The seed behind an outlet's last answer, if this is that answer and usable.

        Args:
            plan: The seal that carries it.
            carried: The answer, and which plan it was given to.
            at: Unix seconds.
        """
        query = sa.select(KEPT_SEEDS).where(
            _usable(plan, at)
            & (KEPT_SEEDS.c.outlet == carried.envelope.outlet)
            & (KEPT_SEEDS.c.plan == carried.plan_digest)
            & (KEPT_SEEDS.c.commitment == carried.envelope.commitment)
        )
        row = self.connection.execute(query).one_or_none()
        return None if row is None else KeptSeed(Seed.of(row.seed), row.dimension)

    def keep(
        self, plan: SealPlan, plan_digest: str, seeds: Mapping[Envelope, Seed], at: int
    ) -> None:
        """Remembers the seeds of those who answered for bands, instead of earlier ones."""
        for envelope, seed in seeds.items():
            self.connection.execute(
                KEPT_SEEDS.delete().where(KEPT_SEEDS.c.outlet == envelope.outlet)
            )
            self.connection.execute(
                KEPT_SEEDS.insert().values(
                    outlet=envelope.outlet,
                    plan=plan_digest,
                    commitment=envelope.commitment,
                    scorecard=plan.scorecard,
                    scores=plan.scores,
                    modulus=score_modulus(plan.slots),
                    dimension=plan.dimension,
                    as_of=plan.as_of,
                    answered_at=at,
                    seed=bytes(seed),
                )
            )

    def delete_all(self) -> None:
        """Deletes every seed: nobody is carried then."""
        self.connection.execute(KEPT_SEEDS.delete())

    def delete_old(self, at: int) -> None:
        """Deletes the seeds that are too old to be carried."""
        too_old = KEPT_SEEDS.c.answered_at < at - _CARRY_SECONDS
        self.connection.execute(KEPT_SEEDS.delete().where(too_old))


def _usable(plan: SealPlan, at: int) -> sa.ColumnElement[bool]:
    """Of which rows a seal can make use: of its own terms, and near enough."""
    as_of, near = dt.date.fromisoformat(plan.as_of), dt.timedelta(CARRY_DAYS)
    return (
        (KEPT_SEEDS.c.scorecard == plan.scorecard)
        & (KEPT_SEEDS.c.scores == plan.scores)
        & (KEPT_SEEDS.c.modulus == score_modulus(plan.slots))
        & (KEPT_SEEDS.c.dimension <= plan.dimension)
        & KEPT_SEEDS.c.as_of.between(str(as_of - near), str(as_of + near))
        & (KEPT_SEEDS.c.answered_at >= at - _CARRY_SECONDS)
    )
