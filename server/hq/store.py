"""HQ's store: checkpoints of a night's releases.

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

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from privacy.fixed_point import Integers, ring_type
from privacy.plans import ReleasePlan, Signed
from privacy.two_key_sum import Aggregate, Envelope
from server.hq.errors import NightTwice

if TYPE_CHECKING:
    from privacy.clipping import Rows

_METADATA = sa.MetaData()
_RELEASES = sa.Table(
    "releases",
    _METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("release", sa.Text, nullable=False, unique=True),
    sa.Column("night", sa.Text, nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("signature", sa.LargeBinary, nullable=False),
    sa.Column("envelopes", sa.Text),
    sa.Column("masked_sum", sa.LargeBinary),
    sa.Column("noise", sa.LargeBinary),
    sa.Column("outlets", sa.Text),
    sa.Column("value", sa.LargeBinary),
)
_SCORECARDS = sa.Table(
    "scorecards",
    _METADATA,
    sa.Column("night", sa.Text, primary_key=True),
    sa.Column("outcome", sa.Text, primary_key=True),
    sa.Column("payload", sa.LargeBinary, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A release as HQ knows it; see the module's table of states."""

    signed: Signed
    aggregate: Aggregate | None
    noise: Integers | None
    outlets: tuple[str, ...]
    values: Rows | None


class HqStore:
    """HQ's state behind one SQLAlchemy URL."""

    def __init__(self, url: str) -> None:
        """Opens the store, making its tables where they are missing."""
        in_memory = url == "sqlite://"
        self._engine = sa.create_engine(
            url,
            poolclass=StaticPool if in_memory else None,
            connect_args={"check_same_thread": False} if in_memory else {"timeout": 30},
        )
        _METADATA.create_all(self._engine)

    def checkpoint(self, release: str) -> Checkpoint | None:
        """What is known of a release; None if it was never planned."""
        with self._engine.connect() as connection:
            query = sa.select(_RELEASES).where(_RELEASES.c.release == release)
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
        envelopes = tuple(
            Envelope(
                raw["outlet"],
                bytes.fromhex(raw["sealed_seed"]),
                raw["vector_digest"],
                bytes.fromhex(raw["signature"]),
            )
            for raw in json.loads(row.envelopes)
        )
        masked = np.frombuffer(row.masked_sum, dtype=ring_type(plan.ring_bits))
        noise = np.frombuffer(row.noise, dtype="<i8")
        return Checkpoint(signed, Aggregate(plan, envelopes, masked), noise, outlets, None)

    def add_plan(self, release: str, night: str, signed: Signed) -> None:
        """Stores the office's signed plan."""
        with self._engine.begin() as connection:
            connection.execute(
                _RELEASES.insert().values(
                    release=release, night=night, payload=signed.payload, signature=signed.signature
                )
            )

    def add_sum(self, release: str, aggregate: Aggregate, noise: Integers) -> None:
        """Stores the masked sum and HQ's noise, before the office is asked.

        Raises:
            NightTwice: If a sum is stored already: another process runs this night.
        """
        with self._engine.begin() as connection:
            mine = (_RELEASES.c.release == release) & _RELEASES.c.noise.is_(None)
            unsummed = mine & _RELEASES.c.value.is_(None)
            values = {**_summed(aggregate), "noise": noise.astype("<i8").tobytes()}
            if (
                connection.execute(_RELEASES.update().where(unsummed).values(**values)).rowcount
                != 1
            ):
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

    def save_scorecard(self, night: str, outcome: str, payload: bytes) -> None:
        """Stores the scorecard after a step; the last one of a night stands."""
        with self._engine.begin() as connection:
            mine = (_SCORECARDS.c.night == night) & (_SCORECARDS.c.outcome == outcome)
            connection.execute(_SCORECARDS.delete().where(mine))
            connection.execute(
                _SCORECARDS.insert().values(night=night, outcome=outcome, payload=payload)
            )

    def scorecard(self, night: str, outcome: str) -> bytes | None:
        """The scorecard after a night's last step so far."""
        mine = (_SCORECARDS.c.night == night) & (_SCORECARDS.c.outcome == outcome)
        with self._engine.connect() as connection:
            return connection.scalar(sa.select(_SCORECARDS.c.payload).where(mine))

    def close(self) -> None:
        """Closes all connections."""
        self._engine.dispose()

    def _update(self, release: str, **values: object) -> None:
        with self._engine.begin() as connection:
            connection.execute(
                _RELEASES.update().where(_RELEASES.c.release == release).values(**values)
            )


def _summed(aggregate: Aggregate) -> dict[str, object]:
    """The columns of a masked sum."""
    envelopes = [
        {
            **asdict(envelope),
            "sealed_seed": envelope.sealed_seed.hex(),
            "signature": envelope.signature.hex(),
        }
        for envelope in aggregate.envelopes
    ]
    return {
        "envelopes": json.dumps(envelopes),
        "masked_sum": aggregate.masked_sum.tobytes(),
        "outlets": json.dumps(aggregate.outlets),
    }
