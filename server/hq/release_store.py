"""Checkpoints of a night's customer sums; those of seals are in `seal_store`.

A night's model is a pure function of its releases, in order. So a release is the checkpoint: a
night that was killed runs again from its first step and finds every finished release here.

States of a release, each step durable before the next:

    planned    the office's signed plan            -> summed
    summed     masked sum, envelopes, HQ's noise   -> released (by the office's answer)
    released   the values; masked sum and noise are deleted

Whatever a night leaves in another state is blanked once its plan has ended, and `KEPT_DAYS` later
all of the night is forgotten but what calibrations and evaluations counted.

HQ's noise is stored before the office is asked, so that asking twice cannot give two noisy values
of one sum.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import sqlalchemy as sa

from privacy.plans import NightPlan, ReleasePlan, Signed
from privacy.purposes import Purpose
from privacy.two_key_sum import CustomerRelease
from server.hq.errors import NightTwice
from server.hq.kept_answers import read_sum, summed
from server.hq.tables import NIGHTS, RELEASES

if TYPE_CHECKING:
    from privacy.clipping import Rows
    from privacy.fixed_point import Integers
    from privacy.two_key_sum import Aggregate

KEPT_DAYS = 31
"""For so long after its end a night's plans and sums stay, for whoever asks what it did."""

KEPT_PURPOSES = frozenset({Purpose.CALIBRATION, Purpose.EVALUATION})
"""What an audit reads: how right bands and scorecards were. Never forgotten."""

_DAY_SECONDS = 24 * 3600
_CLOCKS_SECONDS = 3600
"""A plan ends by the office's clock; HQ's may be ahead of it."""


class NightsLeft(NamedTuple):
    """Nights by how long ago they ended.

    Attributes:
        open: Those that may still be taken up.
        kept: These, and those of which something is kept.
    """

    open: frozenset[str]
    kept: frozenset[str]


class BegunTraining(NamedTuple):
    """A night that began a training.

    Attributes:
        night: Its name.
        expires: Until when it could be taken up, in Unix seconds.
    """

    night: str
    expires: int


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A release as HQ knows it; see the module's table of states."""

    signed: Signed
    aggregate: Aggregate | None
    noise: Integers | None
    outlets: tuple[str, ...]
    values: Rows | None


class ReleaseStore:
    """Nights, and their customer sums."""

    def __init__(self, engine: sa.Engine) -> None:
        """Reads and writes one database."""
        self._engine = engine

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
        noise = None if row.noise is None else np.frombuffer(row.noise, dtype="<i8")
        return Checkpoint(signed, read_sum(plan, row), noise, outlets, None)

    def customer_release(self, release: str) -> CustomerRelease | None:
        """A release that came to its end; None where it did not, or is forgotten."""
        known = self.checkpoint(release)
        if known is None or known.values is None:
            return None
        plan = ReleasePlan.decode(known.signed.payload)
        return CustomerRelease(plan, known.outlets, known.values)

    def released(self, night: str, purpose: Purpose, scorecard: str) -> CustomerRelease | None:
        """A night's release for a purpose, taken at some scorecards; None where there is none.

        Args:
            night: Its name.
            purpose: What it was for.
            scorecard: The digest of the scorecards.
        """
        done = (RELEASES.c.night == night) & RELEASES.c.value.is_not(None)
        query = sa.select(RELEASES.c.release, RELEASES.c.payload).where(done)
        with self._engine.connect() as connection:
            rows = connection.execute(query).all()
        for row in rows:
            plan = ReleasePlan.decode(row.payload)
            if (plan.purpose, plan.scorecard) == (purpose, scorecard):
                return self.customer_release(row.release)
        return None

    def last_training(self) -> BegunTraining | None:
        """The last night that planned a training and released a sum of it; None where none did."""
        done = sa.select(RELEASES.c.night).where(RELEASES.c.value.is_not(None))
        query = sa.select(NIGHTS.c.payload).where(NIGHTS.c.night.in_(done))
        with self._engine.connect() as connection:
            plans = [NightPlan.decode(payload) for payload in connection.scalars(query)]
        trained = [
            BegunTraining(plan.night, plan.expires)
            for plan in plans
            if any(line.purpose is Purpose.TRAINING for line in plan.releases)
        ]
        return max(trained, key=lambda one: one.expires, default=None)

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
            values = {**summed(aggregate), "noise": noise.astype("<i8").tobytes()}
            if connection.execute(RELEASES.update().where(unsummed).values(**values)).rowcount != 1:
                raise NightTwice(release)

    def replace_sum(self, release: str, aggregate: Aggregate) -> None:
        """Replaces a masked sum that the office refused, uncharged; HQ's noise stays."""
        self._update(release, **summed(aggregate))

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

    def forget_nights(self, at: float) -> NightsLeft:
        """Blanks sums that nobody can open any more, and forgets nights of long ago.

        Args:
            at: Now, in Unix seconds.
        """
        with self._engine.begin() as connection:
            left = _nights_left(connection, at - _CLOCKS_SECONDS)
            sums = dict.fromkeys(["envelopes", "masked_sum", "noise"])
            unfinished = RELEASES.c.noise.is_not(None) & RELEASES.c.night.not_in(left.open)
            connection.execute(RELEASES.update().where(unfinished).values(**sums))
            connection.execute(NIGHTS.delete().where(NIGHTS.c.night.not_in(left.kept)))
            old = sa.select(RELEASES.c.number, RELEASES.c.payload)
            found = connection.execute(old.where(RELEASES.c.night.not_in(left.kept)))
            gone = [
                row.number
                for row in found
                if ReleasePlan.decode(row.payload).purpose not in KEPT_PURPOSES
            ]
            connection.execute(RELEASES.delete().where(RELEASES.c.number.in_(gone)))
        return left

    def _update(self, release: str, **values: object) -> None:
        with self._engine.begin() as connection:
            connection.execute(
                RELEASES.update().where(RELEASES.c.release == release).values(**values)
            )


def _nights_left(connection: sa.Connection, at: float) -> NightsLeft:
    rows = connection.execute(sa.select(NIGHTS.c.night, NIGHTS.c.payload)).all()
    ends = {row.night: NightPlan.decode(row.payload).expires for row in rows}
    return NightsLeft(
        frozenset(night for night, end in ends.items() if end > at),
        frozenset(night for night, end in ends.items() if end + KEPT_DAYS * _DAY_SECONDS > at),
    )
