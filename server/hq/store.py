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
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from privacy.fixed_point import Integers, Residues, ring_type
from privacy.plans import ReleasePlan, Signed
from privacy.two_key_sum import Aggregate, Carried, Envelope
from privacy.units import Purpose
from server.hq.errors import NightTwice

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy.typing as npt

    from privacy.clipping import Rows
    from privacy.two_key_sum import MaskedShare

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
_POINTS_ANSWERS = sa.Table(
    "points_answers",
    _METADATA,
    sa.Column("outlet", sa.Text, primary_key=True),
    sa.Column("plan", sa.Text, primary_key=True),
    sa.Column("scorecard", sa.Text, nullable=False),
    sa.Column("released", sa.Boolean, nullable=False),
    sa.Column("envelope", sa.Text, nullable=False),
    sa.Column("vector", sa.LargeBinary, nullable=False),
)
"""Each outlet's last masked points: with them, an absent outlet counts with its last answer."""

_NIGHTS = sa.Table(
    "nights",
    _METADATA,
    sa.Column("night", sa.Text, primary_key=True),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("signature", sa.LargeBinary, nullable=False),
    sa.Column("directory", sa.Text, nullable=False),
    sa.Column("skipped", sa.Text, nullable=False),
)
_POINTS_SETS = sa.Table(
    "points_sets",
    _METADATA,
    sa.Column("scorecard", sa.Text, primary_key=True),
    sa.Column("outlets", sa.Text, nullable=False),
)
"""Who was in a scorecard's latest points release."""

_ESTIMATES = sa.Table(
    "estimates",
    _METADATA,
    sa.Column("night", sa.Text, primary_key=True),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("width", sa.Integer, nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
)
"""What is known of every slot from score tables so far, as of a night; as sensitive as they are."""

_FINE_BOOKS = sa.Table(
    "fine_books",
    _METADATA,
    sa.Column("night", sa.Text, primary_key=True),
    sa.Column("payload", sa.LargeBinary, nullable=False),
)
"""A night's fine book, masked; thrown away when the next one is made."""

_MODELS = sa.Table(
    "models",
    _METADATA,
    sa.Column("outcome", sa.Text, primary_key=True),
    sa.Column("night", sa.Text, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("scorecard", sa.LargeBinary, nullable=False),
    sa.Column("second", sa.LargeBinary, nullable=False),
    sa.Column("cuts", sa.Text),
    sa.Column("bands", sa.LargeBinary),
    sa.Column("banded_as_of", sa.Text, nullable=False),
    sa.Column("banded_by", sa.Text, nullable=False),
)
"""What stands: the scorecard, its cuts once they are calibrated, each slot's latest band."""

_CALIBRATIONS = sa.Table(
    "calibrations",
    _METADATA,
    sa.Column("night", sa.Text, primary_key=True),
    sa.Column("outcome", sa.Text, primary_key=True),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("release", sa.Text, nullable=False),
    sa.Column("judgement", sa.Text, nullable=False),
)
"""What each night's calibration counts said; the counts themselves are among the releases."""

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


@dataclass(frozen=True, slots=True)
class Model:
    """What stands for an outcome.

    Attributes:
        outcome: What its scorecard predicts.
        night: The night that trained it.
        at: When, in Unix seconds.
        scorecard: Encoded.
        second: float64[d, d], the noisy second moments of an average customer.
        cuts: Scores at which bands begin, in points of the estimates (`Banding.translated`); None
            until calibrated.
        bands: int8[slots], the band of each slot in the latest book; None before the first.
        banded_as_of: The day that those bands are made from, ISO 8601; "" before the first.
        banded_by: The points release that they are made of; "" before the first.
    """

    outcome: str
    night: str
    at: int
    scorecard: bytes
    second: npt.NDArray[np.float64]
    cuts: tuple[float, ...] | None
    bands: npt.NDArray[np.int8] | None
    banded_as_of: str = ""
    banded_by: str = ""


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What a night's calibration of one outcome came to.

    Attributes:
        outcome: Which.
        night: The night's name.
        at: When, in Unix seconds.
        release: The counts' release, with a checkpoint of its own.
        judgement: A `Judgement`, as JSON.
    """

    outcome: str
    night: str
    at: int
    release: str
    judgement: Mapping[str, Any]


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

    def night(self, name: str) -> tuple[Signed, list[str]] | None:
        """The plan of a night that began before, and what it skipped; None where it begins now."""
        query = sa.select(_NIGHTS).where(_NIGHTS.c.night == name)
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        return Signed(row.payload, row.signature), json.loads(row.skipped)

    def directory_of(self, night: str) -> str:
        """The digest of the directory that a night was planned with; "" where it was not."""
        query = sa.select(_NIGHTS.c.directory).where(_NIGHTS.c.night == night)
        with self._engine.connect() as connection:
            return connection.scalar(query) or ""

    def add_night(self, name: str, signed: Signed, directory: str, skipped: list[str]) -> None:
        """Stores a night's signed plan: what a resumed night does is what it began with."""
        with self._engine.begin() as connection:
            connection.execute(
                _NIGHTS.insert().values(
                    night=name,
                    payload=signed.payload,
                    signature=signed.signature,
                    directory=directory,
                    skipped=json.dumps(skipped),
                )
            )

    def keep_points(
        self, plan: ReleasePlan, plan_digest: str, shares: Iterable[MaskedShare]
    ) -> None:
        """Keeps masked points; once released, they can be carried for an outlet that is absent."""
        with self._engine.begin() as connection:
            connection.execute(
                _POINTS_ANSWERS.delete().where(_POINTS_ANSWERS.c.plan == plan_digest)
            )
            for share in shares:
                connection.execute(
                    _POINTS_ANSWERS.insert().values(
                        outlet=share.envelope.outlet,
                        plan=plan_digest,
                        scorecard=plan.scorecard,
                        released=False,
                        envelope=json.dumps(_as_json(share.envelope)),
                        vector=share.vector.tobytes(),
                    )
                )

    def unfinished_points(self, night: str) -> list[str]:
        """Points releases of other nights that were summed and have no value."""
        mine = (_RELEASES.c.night != night) & _RELEASES.c.masked_sum.is_not(None)
        with self._engine.connect() as connection:
            rows = connection.execute(
                sa.select(_RELEASES.c.release, _RELEASES.c.payload).where(mine)
            )
            return [
                row.release
                for row in rows
                if ReleasePlan.decode(row.payload).purpose is Purpose.POINTS
            ]

    def points_set(self, scorecard: str) -> frozenset[str]:
        """Who was in a scorecard's latest points release; nobody before the first."""
        query = sa.select(_POINTS_SETS.c.outlets).where(_POINTS_SETS.c.scorecard == scorecard)
        with self._engine.connect() as connection:
            found = connection.scalar(query)
        return frozenset(json.loads(found)) if found else frozenset()

    def points_released(self, plan_digest: str, outlets: Iterable[str]) -> None:
        """Lets a release's points take the place of their outlets' earlier ones."""
        mine = _POINTS_ANSWERS.c.plan == plan_digest
        with self._engine.begin() as connection:
            scorecard = connection.scalar(sa.select(_POINTS_ANSWERS.c.scorecard).where(mine))
            if scorecard is not None:
                of_card = _POINTS_SETS.c.scorecard == scorecard
                connection.execute(_POINTS_SETS.delete().where(of_card))
                connection.execute(
                    _POINTS_SETS.insert().values(
                        scorecard=scorecard, outlets=json.dumps(sorted(outlets))
                    )
                )
            fresh = sa.select(_POINTS_ANSWERS.c.outlet).where(mine)
            older = _POINTS_ANSWERS.c.outlet.in_(fresh) & ~mine
            connection.execute(_POINTS_ANSWERS.delete().where(older))
            connection.execute(_POINTS_ANSWERS.update().where(mine).values(released=True))

    def points_of(self, plan: ReleasePlan, absent: Iterable[str]) -> list[tuple[Carried, Residues]]:
        """The last masked points of outlets for a plan's scorecard, where there are any."""
        released = (_POINTS_ANSWERS.c.scorecard == plan.scorecard) & _POINTS_ANSWERS.c.released
        mine = released & _POINTS_ANSWERS.c.outlet.in_(list(absent))
        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(_POINTS_ANSWERS).where(mine)).all()
        kind = ring_type(plan.ring_bits)
        return [
            (
                Carried(_envelope(json.loads(row.envelope)), row.plan),
                np.frombuffer(row.vector, kind),
            )
            for row in rows
        ]

    def estimate_before(self, night: str) -> npt.NDArray[np.float64] | None:
        """What was known of every slot before a night, float64[slots, width]; None at first."""
        query = sa.select(_ESTIMATES).where(_ESTIMATES.c.night != night)
        with self._engine.connect() as connection:
            row = connection.execute(query.order_by(_ESTIMATES.c.at.desc()).limit(1)).one_or_none()
        if row is None:
            return None
        return np.frombuffer(row.payload, dtype="<f4").astype(np.float64).reshape(-1, row.width)

    def save_estimate(self, night: str, at: int, estimate: npt.NDArray[np.float64]) -> None:
        """Stores what is known of every slot as of a night, beside the one before it."""
        with self._engine.begin() as connection:
            latest = sa.select(_ESTIMATES.c.night).where(_ESTIMATES.c.night != night)
            last = connection.scalar(latest.order_by(_ESTIMATES.c.at.desc()).limit(1))
            connection.execute(_ESTIMATES.delete().where(_ESTIMATES.c.night != (last or "")))
            connection.execute(
                _ESTIMATES.insert().values(
                    night=night,
                    at=at,
                    width=estimate.shape[1],
                    payload=estimate.astype("<f4").tobytes(),
                )
            )

    def fine_book(self, night: str) -> bytes | None:
        """A night's fine book; None before it was made, or when a later night made its own."""
        query = sa.select(_FINE_BOOKS.c.payload).where(_FINE_BOOKS.c.night == night)
        with self._engine.connect() as connection:
            return connection.scalar(query)

    def save_fine_book(self, night: str, payload: bytes) -> None:
        """Stores a night's fine book in place of any other night's."""
        with self._engine.begin() as connection:
            connection.execute(_FINE_BOOKS.delete())
            connection.execute(_FINE_BOOKS.insert().values(night=night, payload=payload))

    def save_model(self, model: Model) -> None:
        """Stores what stands for an outcome, in place of what stood."""
        with self._engine.begin() as connection:
            mine = _MODELS.c.outcome == model.outcome
            connection.execute(_MODELS.delete().where(mine))
            connection.execute(
                _MODELS.insert().values(
                    outcome=model.outcome,
                    night=model.night,
                    at=model.at,
                    scorecard=model.scorecard,
                    second=model.second.astype("<f8").tobytes(),
                    cuts=None if model.cuts is None else json.dumps(model.cuts),
                    bands=None if model.bands is None else model.bands.astype("i1").tobytes(),
                    banded_as_of=model.banded_as_of,
                    banded_by=model.banded_by,
                )
            )

    def model(self, outcome: str) -> Model | None:
        """What stands for an outcome; None before its first training."""
        with self._engine.connect() as connection:
            row = connection.execute(
                sa.select(_MODELS).where(_MODELS.c.outcome == outcome)
            ).one_or_none()
        if row is None:
            return None
        cuts = None if row.cuts is None else tuple(json.loads(row.cuts))
        bands = None if row.bands is None else np.frombuffer(row.bands, dtype="i1")
        flat = np.frombuffer(row.second, dtype="<f8")
        second = flat.reshape(math.isqrt(len(flat)), -1)
        return Model(
            row.outcome, row.night, row.at, row.scorecard, second, cuts, bands,
            row.banded_as_of, row.banded_by,
        )  # fmt: skip

    def models(self, outcomes: Iterable[str]) -> list[Model]:
        """What stands, one an outcome; none of them before all are trained."""
        found = [self.model(outcome) for outcome in outcomes]
        return [] if None in found else [model for model in found if model is not None]

    def save_calibration(self, made: Calibrated) -> None:
        """Stores a night's calibration of an outcome, beside those of other nights."""
        mine = (_CALIBRATIONS.c.night == made.night) & (_CALIBRATIONS.c.outcome == made.outcome)
        with self._engine.begin() as connection:
            connection.execute(_CALIBRATIONS.delete().where(mine))
            connection.execute(
                _CALIBRATIONS.insert().values(
                    night=made.night,
                    outcome=made.outcome,
                    at=made.at,
                    release=made.release,
                    judgement=json.dumps(made.judgement),
                )
            )

    def calibration(self, outcome: str, before: str = "") -> Calibrated | None:
        """The latest calibration of an outcome; None where there is none.

        Args:
            outcome: Which.
            before: A night whose own calibration is passed over.
        """
        mine = (_CALIBRATIONS.c.outcome == outcome) & (_CALIBRATIONS.c.night != before)
        query = sa.select(_CALIBRATIONS).where(mine).order_by(_CALIBRATIONS.c.at.desc()).limit(1)
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        return Calibrated(row.outcome, row.night, row.at, row.release, json.loads(row.judgement))

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
        raw["vector_digest"],
        bytes.fromhex(raw["signature"]),
    )
