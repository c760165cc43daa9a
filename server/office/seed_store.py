"""Kept seeds: each outlet's last seed for bands, with which it counts while it is absent.

Invariant: a seed is of use for `CARRY_DAYS` after its outlet answered, and deleted then: who steals
it together with what HQ keeps reads that answer. So each is stored wrapped, under a key of its own
that is overwritten with it (`vault`). And it is of use to seals of the same scorecard, modulus and
number of scores only, while its outlet has the key with which it answered. Of which day it is
decides nothing: days are within a week of when they are signed, and HQ would choose by them whom it
has to carry.

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
from server.office.tables import KEPT_SEEDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from privacy.envelopes import VerifyKey
    from privacy.seal_plans import SealPlan
    from privacy.two_key_sum import Carried, Envelope
    from server.holder.vault import KeyFile

_CARRY_SECONDS = CARRY_DAYS * 24 * 3600


@dataclass(frozen=True, slots=True)
class SeedStore:
    """The kept seeds within one transaction of the office's store.

    Attributes:
        connection: To the store.
        keys: What seeds are wrapped under.
        dead: Gets the wrapped seeds that are deleted, whose keys go once the transaction has ended.
    """

    connection: sa.Connection
    keys: KeyFile
    dead: list[bytes]

    def usable(
        self, plan: SealPlan, outlets: Mapping[str, VerifyKey], at: int
    ) -> dict[str, dt.datetime]:
        """The outlets that a seal for bands can carry, and when each answered.

        Args:
            plan: The seal.
            outlets: The office's list, with their keys.
            at: Unix seconds.
        """
        rows = self.connection.execute(sa.select(KEPT_SEEDS).where(_usable(plan, at)))
        return {
            row.outlet: dt.datetime.fromtimestamp(row.answered_at, dt.UTC)
            for row in rows
            if row.outlet in outlets and outlets[row.outlet].raw == row.verify_key
        }

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
        if row is None:
            return None
        seed = Seed.of(self.keys.opened(row.seed, f"seed {row.outlet}"))
        return KeptSeed(seed, row.dimension)

    def keep(
        self,
        plan: SealPlan,
        plan_digest: str,
        seeds: Mapping[Envelope, Seed],
        outlets: Mapping[str, VerifyKey],
        at: int,
    ) -> None:
        """Remembers the seeds of those who answered for bands, instead of earlier ones."""
        secrets = [(bytes(seed), f"seed {of.outlet}") for of, seed in seeds.items()]
        for envelope, wrapped in zip(seeds, self.keys.all_wrapped(secrets), strict=True):
            self._delete(KEPT_SEEDS.c.outlet == envelope.outlet)
            self.connection.execute(
                KEPT_SEEDS.insert().values(
                    outlet=envelope.outlet,
                    plan=plan_digest,
                    commitment=envelope.commitment,
                    scorecard=plan.scorecard,
                    scores=plan.scores,
                    modulus=score_modulus(plan.slots),
                    dimension=plan.dimension,
                    verify_key=outlets[envelope.outlet].raw,
                    answered_at=at,
                    seed=wrapped,
                )
            )

    def delete_all(self) -> None:
        """Deletes every seed: nobody is carried then."""
        self._delete(sa.true())

    def delete(self, wrapped: bytes) -> None:
        """Deletes one seed, as it is stored."""
        self._delete(KEPT_SEEDS.c.seed == wrapped)

    def wrapped(self) -> list[bytes]:
        """Every seed as it is stored."""
        return list(self.connection.scalars(sa.select(KEPT_SEEDS.c.seed)))

    def delete_old(self, at: int) -> None:
        """Deletes the seeds that are too old to be carried."""
        self._delete(KEPT_SEEDS.c.answered_at < at - _CARRY_SECONDS)

    def _delete(self, wanted: sa.ColumnElement[bool]) -> None:
        found = list(self.connection.scalars(sa.select(KEPT_SEEDS.c.seed).where(wanted)))
        if found:
            self.dead.extend(found)
            self.connection.execute(KEPT_SEEDS.delete().where(wanted))


def _usable(plan: SealPlan, at: int) -> sa.ColumnElement[bool]:
    """Of which rows a seal can make use: of its own terms, and young enough."""
    return (
        (KEPT_SEEDS.c.scorecard == plan.scorecard)
        & (KEPT_SEEDS.c.scores == plan.scores)
        & (KEPT_SEEDS.c.modulus == score_modulus(plan.slots))
        & (KEPT_SEEDS.c.dimension <= plan.dimension)
        & (KEPT_SEEDS.c.answered_at >= at - _CARRY_SECONDS)
    )
