"""Checkpoints of a night's releases.

A night's model is a pure function of its releases, in order. So a release is the checkpoint: a
night that was killed runs again from its first step and finds every finished release here.

States of a release, each step durable before the next:

    planned    the office's signed plan            -> summed
    summed     masked sum, envelopes, HQ's noise   -> released (by the office's answer)
    released   the values; masked sum and noise are deleted

HQ's noise is stored before the office is asked, so that asking twice cannot give two noisy values
of one sum.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import sqlalchemy as sa

from privacy.fixed_point import Integers, Residues, ring_type
from privacy.plans import ReleasePlan, Signed
from privacy.two_key_sum import CARRY_DAYS, Aggregate, Carried, Envelope
from privacy.units import Purpose
from server.hq.errors import NightTwice
from server.hq.store_tables import (
    KEPT_ANSWERS,
    NIGHTS,
    OUTDATED_ANSWERS,
    POINTS_SETS,
    RELEASES,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from privacy.clipping import Rows
    from privacy.two_key_sum import MaskedShare


_DAY_SECONDS = 24 * 3600


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A release as HQ knows it; see the module's table of states."""

    signed: Signed
    aggregate: Aggregate | None
    noise: Integers | None
    outlets: tuple[str, ...]
    values: Rows | None


class ReleaseStore:
    """Nights, their releases, and the masked points that can be carried."""

    def __init__(self, engine: sa.Engine) -> None:
        """Reads and writes one database."""
        self._engine = engine
        with engine.begin() as connection:
            _forget_outdated(connection)

    def checkpoint(self, release: str) -> Checkpoint | None:
        """What is known of a release; None if it was never planned."""
        with self._engine.connect() as connection:
            query = sa.select(RELEASES).where(RELEASES.c.release == release)
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        signed = Signed(row.payload, row.signature)
        plan = ReleasePlan.decode(row.payload)
        outlets = tuple(json.loads(row.outlets)) if row.outlets else ()
        if row.value is not None:
            return Checkpoint(signed, None, None, outlets, np.frombuffer(row.value, dtype="<f8"))
        if row.masked_sum is None:
            return Checkpoint(signed, None, None, outlets, None)
        answered = json.loads(row.envelopes)
        envelopes = tuple(_envelope(raw) for raw in answered["fresh"])
        carried = tuple(Carried(_envelope(raw), plan_) for raw, plan_ in answered["carried"])
        masked = np.frombuffer(row.masked_sum, dtype=ring_type(plan.ring_bits))
        noise = np.frombuffer(row.noise, dtype="<i8")
        aggregate = Aggregate(plan, envelopes, masked, carried)
        return Checkpoint(signed, aggregate, noise, outlets, None)

    def add_plan(self, release: str, night: str, signed: Signed) -> None:
        """Stores the office's signed plan."""
        with self._engine.begin() as connection:
            connection.execute(
                RELEASES.insert().values(
                    release=release, night=night, payload=signed.payload, signature=signed.signature
                )
            )

    def add_sum(self, release: str, aggregate: Aggregate, noise: Integers) -> None:
        """Stores the masked sum and HQ's noise, before the office is asked.

        Raises:
            NightTwice: If a sum is stored already: another process runs this night.
        """
        with self._engine.begin() as connection:
            mine = (RELEASES.c.release == release) & RELEASES.c.noise.is_(None)
            unsummed = mine & RELEASES.c.value.is_(None)
            values = {**_summed(aggregate), "noise": noise.astype("<i8").tobytes()}
            if connection.execute(RELEASES.update().where(unsummed).values(**values)).rowcount != 1:
                raise NightTwice(release)

    def replace_sum(self, release: str, aggregate: Aggregate) -> None:
        """Replaces a masked sum that the office refused, uncharged; HQ's noise stays."""
        self._update(release, **_summed(aggregate))

    def add_values(self, release: str, values: Rows) -> None:
        """Stores the released values and deletes what they were made of."""
        self._update(
            release,
            value=values.astype("<f8").tobytes(),
            envelopes=None,
            masked_sum=None,
            noise=None,
        )

    def night(self, name: str) -> tuple[Signed, list[str]] | None:
        """The plan of a night that began before, and what it skipped; None where it begins now."""
        query = sa.select(NIGHTS).where(NIGHTS.c.night == name)
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        return Signed(row.payload, row.signature), json.loads(row.skipped)

    def directory_of(self, night: str) -> str:
        """The digest of the directory that a night was planned with; "" where it was not."""
        query = sa.select(NIGHTS.c.directory).where(NIGHTS.c.night == night)
        with self._engine.connect() as connection:
            return connection.scalar(query) or ""

    def add_night(self, name: str, signed: Signed, directory: str, skipped: list[str]) -> None:
        """Stores a night's signed plan: what a resumed night does is what it began with."""
        with self._engine.begin() as connection:
            connection.execute(
                NIGHTS.insert().values(
                    night=name,
                    payload=signed.payload,
                    signature=signed.signature,
                    directory=directory,
                    skipped=json.dumps(skipped),
                )
            )

    def keep_points(
        self, plan: ReleasePlan, plan_digest: str, shares: Iterable[MaskedShare], at: float
    ) -> None:
        """Keeps masked points; once released, they can be carried for an outlet that is absent.

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
                        as_of=plan.as_of,
                        envelope=json.dumps(_as_json(share.envelope)),
                        vector=share.vector.tobytes(),
                    )
                )

    def unfinished_points(self, night: str) -> list[str]:
        """Points releases of other nights that were summed and have no value."""
        mine = (RELEASES.c.night != night) & RELEASES.c.masked_sum.is_not(None)
        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(RELEASES.c.release, RELEASES.c.payload).where(mine))
            return [
                row.release
                for row in rows
                if ReleasePlan.decode(row.payload).purpose is Purpose.POINTS
            ]

    def points_set(self, scorecard: str) -> frozenset[str]:
        """Who was in a scorecard's latest points release; nobody before the first."""
        query = sa.select(POINTS_SETS.c.outlets).where(POINTS_SETS.c.scorecard == scorecard)
        with self._engine.connect() as connection:
            found = connection.scalar(query)
        return frozenset(json.loads(found)) if found else frozenset()

    def points_released(self, plan_digest: str, outlets: Iterable[str]) -> None:
        """Lets a release's points take the place of their outlets' earlier ones."""
        mine = KEPT_ANSWERS.c.plan == plan_digest
        with self._engine.begin() as connection:
            scorecard = connection.scalar(sa.select(KEPT_ANSWERS.c.scorecard).where(mine))
            if scorecard is not None:
                of_card = POINTS_SETS.c.scorecard == scorecard
                connection.execute(POINTS_SETS.delete().where(of_card))
                connection.execute(
                    POINTS_SETS.insert().values(
                        scorecard=scorecard, outlets=json.dumps(sorted(outlets))
                    )
                )
            fresh = sa.select(KEPT_ANSWERS.c.outlet).where(mine)
            older = KEPT_ANSWERS.c.outlet.in_(fresh) & ~mine
            connection.execute(KEPT_ANSWERS.delete().where(older))
            connection.execute(KEPT_ANSWERS.update().where(mine).values(released=True))

    def points_of(
        self, plan: ReleasePlan, absent: Iterable[str], at: float
    ) -> list[tuple[Carried, Residues]]:
        """The last masked points of outlets for a plan's scorecard, where there are any.

        Args:
            plan: What they are to be carried in.
            absent: Whose.
            at: Now, in Unix seconds. What is older than `CARRY_DAYS`, or as of a day that is
                farther away, is not carried: the office would refuse it.
        """
        young = KEPT_ANSWERS.c.answered_at >= at - CARRY_DAYS * _DAY_SECONDS
        as_of, days = dt.date.fromisoformat(plan.as_of), dt.timedelta(CARRY_DAYS)
        near = KEPT_ANSWERS.c.as_of.between(str(as_of - days), str(as_of + days))
        released = (KEPT_ANSWERS.c.scorecard == plan.scorecard) & KEPT_ANSWERS.c.released
        mine = released & young & near & KEPT_ANSWERS.c.outlet.in_(list(absent))
        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(KEPT_ANSWERS).where(mine)).all()
        kind = ring_type(plan.ring_bits)
        return [
            (
                Carried(_envelope(json.loads(row.envelope)), row.plan),
                np.frombuffer(row.vector, kind),
            )
            for row in rows
        ]

    def _update(self, release: str, **values: object) -> None:
        with self._engine.begin() as connection:
            connection.execute(
                RELEASES.update().where(RELEASES.c.release == release).values(**values)
            )


def _forget_outdated(connection: sa.Connection) -> None:
    """Forgets what release 0.1 kept of answers; sums that it left unfinished are asked for anew."""
    if sa.inspect(connection).has_table(OUTDATED_ANSWERS):
        sa.Table(OUTDATED_ANSWERS, sa.MetaData()).drop(connection)
        unfinished = {"envelopes": None, "masked_sum": None, "noise": None}
        connection.execute(RELEASES.update().values(**unfinished))


def _summed(aggregate: Aggregate) -> dict[str, object]:
    """The columns of a masked sum."""
    answered = {
        "fresh": [_as_json(envelope) for envelope in aggregate.envelopes],
        "carried": [[_as_json(last.envelope), last.plan_digest] for last in aggregate.carried],
    }
    return {
        "envelopes": json.dumps(answered),
        "masked_sum": aggregate.masked_sum.tobytes(),
        "outlets": json.dumps(aggregate.outlets),
    }


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
