"""What HQ's releases came to: standing scorecards, calibrations, estimates, the night's fine book.

All of it is a function of releases, and is written anew where a night is run again.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import sqlalchemy as sa

from server.hq.store_tables import CALIBRATIONS, ESTIMATES, FINE_BOOKS, MODELS, SCORECARDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class StandingModel:
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


class ModelStore:
    """Scorecards, calibrations, estimates and fine books."""

    def __init__(self, engine: sa.Engine) -> None:
        """Reads and writes one database."""
        self._engine = engine

    def estimate_before(self, night: str) -> npt.NDArray[np.float64] | None:
        """What was known of every slot before a night, float64[slots, width]; None at first."""
        query = sa.select(ESTIMATES).where(ESTIMATES.c.night != night)
        with self._engine.connect() as connection:
            row = connection.execute(query.order_by(ESTIMATES.c.at.desc()).limit(1)).one_or_none()
        if row is None:
            return None
        return np.frombuffer(row.payload, dtype="<f4").astype(np.float64).reshape(-1, row.width)

    def save_estimate(self, night: str, at: int, estimate: npt.NDArray[np.float64]) -> None:
        """Stores what is known of every slot as of a night, beside the one before it."""
        with self._engine.begin() as connection:
            latest = sa.select(ESTIMATES.c.night).where(ESTIMATES.c.night != night)
            last = connection.scalar(latest.order_by(ESTIMATES.c.at.desc()).limit(1))
            connection.execute(ESTIMATES.delete().where(ESTIMATES.c.night != (last or "")))
            connection.execute(
                ESTIMATES.insert().values(
                    night=night,
                    at=at,
                    width=estimate.shape[1],
                    payload=estimate.astype("<f4").tobytes(),
                )
            )

    def fine_book(self, night: str) -> bytes | None:
        """A night's fine book; None before it was made, or when a later night made its own."""
        query = sa.select(FINE_BOOKS.c.payload).where(FINE_BOOKS.c.night == night)
        with self._engine.connect() as connection:
            return connection.scalar(query)

    def save_fine_book(self, night: str, payload: bytes) -> None:
        """Stores a night's fine book in place of any other night's."""
        with self._engine.begin() as connection:
            connection.execute(FINE_BOOKS.delete())
            connection.execute(FINE_BOOKS.insert().values(night=night, payload=payload))

    def save_model(self, model: StandingModel) -> None:
        """Stores what stands for an outcome, in place of what stood."""
        with self._engine.begin() as connection:
            mine = MODELS.c.outcome == model.outcome
            connection.execute(MODELS.delete().where(mine))
            connection.execute(
                MODELS.insert().values(
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

    def model(self, outcome: str) -> StandingModel | None:
        """What stands for an outcome; None before its first training."""
        with self._engine.connect() as connection:
            row = connection.execute(
                sa.select(MODELS).where(MODELS.c.outcome == outcome)
            ).one_or_none()
        if row is None:
            return None
        cuts = None if row.cuts is None else tuple(json.loads(row.cuts))
        bands = None if row.bands is None else np.frombuffer(row.bands, dtype="i1")
        flat = np.frombuffer(row.second, dtype="<f8")
        second = flat.reshape(math.isqrt(len(flat)), -1)
        return StandingModel(
            row.outcome, row.night, row.at, row.scorecard, second, cuts, bands,
            row.banded_as_of, row.banded_by,
        )  # fmt: skip

    def models(self, outcomes: Iterable[str]) -> list[StandingModel]:
        """What stands, one an outcome; none of them before all are trained."""
        found = [self.model(outcome) for outcome in outcomes]
        return [] if None in found else [model for model in found if model is not None]

    def save_calibration(self, made: Calibrated) -> None:
        """Stores a night's calibration of an outcome, beside those of other nights."""
        mine = (CALIBRATIONS.c.night == made.night) & (CALIBRATIONS.c.outcome == made.outcome)
        with self._engine.begin() as connection:
            connection.execute(CALIBRATIONS.delete().where(mine))
            connection.execute(
                CALIBRATIONS.insert().values(
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
        mine = (CALIBRATIONS.c.outcome == outcome) & (CALIBRATIONS.c.night != before)
        query = sa.select(CALIBRATIONS).where(mine).order_by(CALIBRATIONS.c.at.desc()).limit(1)
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        return Calibrated(row.outcome, row.night, row.at, row.release, json.loads(row.judgement))

    def save_scorecard(self, night: str, outcome: str, payload: bytes) -> None:
        """Stores the scorecard after a step; the last one of a night stands."""
        with self._engine.begin() as connection:
            mine = (SCORECARDS.c.night == night) & (SCORECARDS.c.outcome == outcome)
            connection.execute(SCORECARDS.delete().where(mine))
            connection.execute(
                SCORECARDS.insert().values(night=night, outcome=outcome, payload=payload)
            )

    def scorecard(self, night: str, outcome: str) -> bytes | None:
        """The scorecard after a night's last step so far."""
        mine = (SCORECARDS.c.night == night) & (SCORECARDS.c.outcome == outcome)
        with self._engine.connect() as connection:
            return connection.scalar(sa.select(SCORECARDS.c.payload).where(mine))
