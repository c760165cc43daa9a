"""Kept seeds: each outlet's last points seed, with which it counts while it is absent.

Invariant: a seed is of use for `CARRY_DAYS` after its outlet answered, and deleted then: who steals
it together with what HQ keeps reads that answer. And it is of use for days as near to the one that
it was answered for. HQ can tell by how much an outlet's points changed between the two, by carrying
it in one release and not in the next; from the cut-off until today that would be half a year.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from privacy.masks import Seed
from privacy.two_key_sum import CARRY_DAYS, KeptSeed
from server.office.store_tables import KEPT_SEEDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from privacy.plans import ReleasePlan
    from privacy.two_key_sum import Carried, Envelope

_CARRY_SECONDS = CARRY_DAYS * 24 * 3600


@dataclass(frozen=True, slots=True)
class SeedStore:
    """The kept seeds within one transaction of the office's store."""

    connection: sa.Connection

    def find(self, plan: ReleasePlan, carried: Carried, at: int) -> KeptSeed | None:
        """The seed behind an outlet's last points answer, if this is that answer and near enough.

        It is of use to plans of the same ring, scale, norm and bound only: in another ring its mask
        would be another one and show the outlet's vector, under another norm its price.

        Args:
            plan: The release that carries it.
            carried: The answer, and which plan it was given to.
            at: Unix seconds.
        """
        as_of, near = dt.date.fromisoformat(plan.as_of), dt.timedelta(CARRY_DAYS)
        query = sa.select(KEPT_SEEDS).where(
            (KEPT_SEEDS.c.outlet == carried.envelope.outlet)
            & (KEPT_SEEDS.c.scorecard == plan.scorecard)
            & (KEPT_SEEDS.c.plan == carried.plan_digest)
            & (KEPT_SEEDS.c.commitment == carried.envelope.commitment)
            & (KEPT_SEEDS.c.ring_bits == plan.ring_bits)
            & (KEPT_SEEDS.c.scale == plan.scale)
            & (KEPT_SEEDS.c.norm == plan.norm)
            & (KEPT_SEEDS.c.outlet_bound == plan.outlet_bound)
            & KEPT_SEEDS.c.as_of.between(str(as_of - near), str(as_of + near))
            & (KEPT_SEEDS.c.answered_at >= at - _CARRY_SECONDS)
        )
        row = self.connection.execute(query).one_or_none()
        return None if row is None else KeptSeed(Seed.of(row.seed), row.dimension)

    def keep(
        self, plan: ReleasePlan, plan_digest: str, seeds: Mapping[Envelope, Seed], at: int
    ) -> None:
        """Remembers the seeds of those who answered a points release, instead of earlier ones."""
        for envelope, seed in seeds.items():
            self.connection.execute(
                KEPT_SEEDS.delete().where(KEPT_SEEDS.c.outlet == envelope.outlet)
            )
            self.connection.execute(
                KEPT_SEEDS.insert().values(
                    outlet=envelope.outlet,
                    scorecard=plan.scorecard,
                    plan=plan_digest,
                    commitment=envelope.commitment,
                    dimension=plan.dimension,
                    ring_bits=plan.ring_bits,
                    scale=plan.scale,
                    norm=plan.norm,
                    outlet_bound=plan.outlet_bound,
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
