"""What HQ's releases came to: standing scorecards with their cuts, and calibrations.

Invariant: what stands is of one calibration, all outcomes together. A scorecard that was trained
since waits until it is calibrated, and until then bands go on by the one that stands.

All of it is a function of releases, and is written anew where a night is run again.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import sqlalchemy as sa

from features.scorecard import Scorecard, encode_scorecards
from server.hq.tables import (
    CALIBRATIONS,
    HOLDS,
    SCORECARDS,
    SCORECARDS_IN_USE,
    SCORECARDS_TO_CALIBRATE,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class StandingModel:
    """What stands for an outcome, or waits for its calibration.

    Attributes:
        outcome: What its scorecard predicts.
        night: The night that trained it.
        at: When, in Unix seconds.
        scorecard: Encoded.
        second: float64[d, d], the noisy second moments of an average customer.
        cuts: Sums of parts at which bands begin, ascending; None until calibrated.
    """

    outcome: str
    night: str
    at: int
    scorecard: bytes
    second: npt.NDArray[np.float64]
    cuts: tuple[int, ...] | None


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


def scorecards_of(models: Iterable[StandingModel]) -> bytes:
    """The scorecards that stand, encoded as outlets are asked with them."""
    return encode_scorecards([Scorecard.decode(model.scorecard) for model in models])


class ModelStore:
    """Scorecards and calibrations."""

    def __init__(self, engine: sa.Engine) -> None:
        """Reads and writes one database."""
        self._engine = engine

    def save_models(self, models: Sequence[StandingModel]) -> None:
        """Lets scorecards stand in place of what stood and of what waited, all or none of them."""
        with self._engine.begin() as connection:
            _stand(connection, models)

    def save_uncalibrated(self, models: Sequence[StandingModel]) -> None:
        """Stores scorecards that wait for their calibration, in place of what waited."""
        table = SCORECARDS_TO_CALIBRATE
        with self._engine.begin() as connection:
            connection.execute(table.delete())
            connection.execute(table.insert(), [_row(model) for model in models])

    def model(self, outcome: str) -> StandingModel | None:
        """What stands for an outcome; None before its first calibration."""
        with self._engine.connect() as connection:
            row = connection.execute(
                sa.select(SCORECARDS_IN_USE).where(SCORECARDS_IN_USE.c.outcome == outcome)
            ).one_or_none()
        if row is None:
            return None
        return _model(row, None if row.cuts is None else tuple(json.loads(row.cuts)))

    def uncalibrated(self, outcomes: Iterable[str]) -> list[StandingModel]:
        """What waits for its calibration, of some outcomes in their order; held back or not."""
        with self._engine.connect() as connection:
            found = _waiting(connection)
        return [found[outcome] for outcome in outcomes if outcome in found]

    def newest_models(self, outcomes: Sequence[str]) -> list[StandingModel]:
        """The last trained, one an outcome, whether it waits or stands; none before all are."""
        waits = {model.outcome: model for model in self.uncalibrated(outcomes)}
        found = [waits.get(outcome) or self.model(outcome) for outcome in outcomes]
        return [] if None in found else [model for model in found if model is not None]

    def models(self, outcomes: Iterable[str]) -> list[StandingModel]:
        """What stands, one an outcome; none of them before all do."""
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
        """The latest calibration of an outcome that is not held back; None where there is none.

        Args:
            outcome: Which.
            before: A night whose own calibration is passed over.
        """
        unaccepted = (HOLDS.c.kind == "calibration") & HOLDS.c.accepted_at.is_(None)
        held = sa.select(HOLDS.c.night).where(unaccepted)
        mine = (CALIBRATIONS.c.outcome == outcome) & (CALIBRATIONS.c.night != before)
        mine &= CALIBRATIONS.c.night.not_in(held)
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


def cuts_stand(connection: sa.Connection, cuts: Mapping[str, tuple[int, ...]]) -> None:
    """Lets the scorecards that wait stand with these cuts, by outcome."""
    waiting = _waiting(connection)
    _stand(connection, [replace(waiting[outcome], cuts=cuts[outcome]) for outcome in cuts])


def _stand(connection: sa.Connection, models: Iterable[StandingModel]) -> None:
    for model in models:
        for table in (SCORECARDS_IN_USE, SCORECARDS_TO_CALIBRATE):
            connection.execute(table.delete().where(table.c.outcome == model.outcome))
        cuts = None if model.cuts is None else json.dumps(model.cuts)
        connection.execute(SCORECARDS_IN_USE.insert().values(**_row(model), cuts=cuts))


def _waiting(connection: sa.Connection) -> dict[str, StandingModel]:
    found = connection.execute(sa.select(SCORECARDS_TO_CALIBRATE))
    return {row.outcome: _model(row, None) for row in found}


def _row(model: StandingModel) -> dict[str, object]:
    """The columns that both tables of scorecards have."""
    return {
        "outcome": model.outcome,
        "night": model.night,
        "at": model.at,
        "scorecard": model.scorecard,
        "second": model.second.astype("<f8").tobytes(),
    }


def _model(row: sa.Row[tuple[object, ...]], cuts: tuple[int, ...] | None) -> StandingModel:
    flat = np.frombuffer(row.second, dtype="<f8")
    second = flat.reshape(math.isqrt(len(flat)), -1)
    return StandingModel(row.outcome, row.night, row.at, row.scorecard, second, cuts)
