"""HQ's settings: how a training spends its part of the year's rho, and whom it waits for."""

from __future__ import annotations

import datetime as dt
import logging
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, ClassVar, Self

import numpy as np
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from features.bands import SCHEMES, BandPolicy, scheme_of
from features.errors import FeatureError
from features.outcomes import Outcome
from features.starting import starting_scorecard, starting_usual
from privacy.loss import EpsilonDelta, Rho
from privacy.purposes import Purpose
from server.holder.errors import HolderNotConfigured
from server.holder.settings import HolderSettings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from features.events import Vector
    from features.scorecard import Scorecard

_LOG = logging.getLogger(__name__)

Share = Annotated[Fraction, BeforeValidator(lambda value: Fraction(str(value)))]


def _published(starting: dict[str, Outcome]) -> dict[str, Outcome]:
    for outcome in starting.values():
        try:
            starting_scorecard(outcome)
        except FeatureError as error:
            raise ValueError(str(error)) from error
    return starting


def _complete(shares: dict[Purpose, Fraction]) -> dict[Purpose, Fraction]:
    needed = set(Purpose) - {Purpose.POINTS}
    if missing := sorted(needed - set(shares)):
        raise ValueError(f"shares: expected one of {', '.join(missing)} too, 0 for none")
    return shares


class HqSettings(BaseModel):
    """What HQ decides, within what the office allows. Unknown keys are refused.

    Attributes:
        epsilon: The year's promise to a customer, as the office's policy has it.
        delta: Its failure probability.
        shares: The office's division of the year's rho; what is asked for stays within it.
        trainings_a_year: Over how many trainings a share is spread.
        rounds: Gradient rounds in a training; without a starting scorecard the first of them sets
            the intercept alone.
        starting: The published starting scorecard that an outcome's training begins at; one that is
            not named begins at nothing.
        quorum: The least number of outlets in a sum.
        timeout: Seconds to wait for answers to one question.
        patience: Seconds to wait for the rest, once half of the asked have answered.
        train_days: A training is due when the last is so many days old.
        band_days: Bands are sealed anew when the last seal is so many days old.
        noiseless: Ask for plans without noise. **For the sandbox only**; a real office refuses.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    epsilon: float = Field(4.0, gt=0)
    delta: float = Field(1e-6, gt=0, lt=1)
    shares: Annotated[dict[Purpose, Share], AfterValidator(_complete)] = {
        Purpose.USUAL: Fraction("0.02"),
        Purpose.MOMENTS: Fraction("0.18"),
        Purpose.TRAINING: Fraction("0.46"),
        Purpose.EVALUATION: Fraction("0.04"),
        Purpose.CALIBRATION: Fraction("0.26"),
    }
    trainings_a_year: int = Field(12, ge=1)
    rounds: int = Field(6, ge=1)
    starting: Annotated[dict[str, Outcome], AfterValidator(_published)] = {
        Outcome.LOYAL.value: Outcome.LOYAL,
        Outcome.FLIPPED.value: Outcome.FLIPPED,
    }
    quorum: int = Field(3, ge=2)
    timeout: float = Field(60.0, gt=0)
    patience: float = Field(10.0, gt=0)
    train_days: float = Field(31.0, ge=0)
    band_days: float = Field(7.0, ge=0)
    noiseless: bool = False

    def starting_scorecard(self, outcome: str, usual: Vector) -> Scorecard | None:
        """The published scorecard at which the training of an outcome begins, if any.

        Args:
            outcome: Its name.
            usual: float64[r], rates of the network's usual event.

        Raises:
            CatalogueError: If the one that is named was never published.
        """
        named = self.starting.get(outcome)
        return None if named is None else starting_scorecard(named, usual)

    def starting_scorecards(self, cards: Sequence[Scorecard]) -> list[Scorecard]:
        """The published scorecards at which these were begun; none where one of them was not.

        Args:
            cards: Of one training, with the rates of its usual event.
        """
        found = [self.starting_scorecard(card.outcome, np.asarray(card.usual)) for card in cards]
        return [] if None in found else [card for card in found if card is not None]

    def starting_usual(self) -> Vector | None:
        """The published usual event, where a training begins at a published scorecard."""
        return starting_usual() if self.starting else None

    def counts(self, *, from_start: bool = False) -> dict[Purpose, int]:
        """How many releases a training of all outcomes makes for each purpose.

        Args:
            from_start: Whether the starting scorecards are evaluated too, for half of the cost.
        """
        return {
            Purpose.USUAL: 1,
            Purpose.MOMENTS: 1,
            Purpose.TRAINING: self.rounds,
            Purpose.EVALUATION: 2 if from_start else 1,
            Purpose.CALIBRATION: 1,
        }

    @property
    def releases(self) -> int:
        """How many customer sums a training makes, but for those that calibrate."""
        counts = self.counts()
        return sum(counts.values()) - counts[Purpose.CALIBRATION]

    def costs(self, *, from_start: bool = False) -> dict[Purpose, Rho | None]:
        """What one release for each purpose may cost; None without noise.

        Args:
            from_start: As for `counts`; a training costs the same.
        """
        counts = self.counts(from_start=from_start)
        if self.noiseless:
            return dict.fromkeys(counts)
        year = EpsilonDelta(self.epsilon, self.delta).rho()
        return {
            purpose: Rho(year * self.shares[purpose] / self.trainings_a_year / count)
            for purpose, count in counts.items()
        }


class HqFile(HolderSettings):
    """hq.toml: nights, services and quotas. Unknown keys are refused.

    Attributes:
        listen: `host:port` of the outlets' port; the card's address where empty.
        join_seconds: How long outlets may take to join a night.
        night_at: When `serve` begins a night, UTC.
        horizon_days: How long after the cut-off an outcome is watched.
        outcomes: What is predicted, a scorecard each.
        points: Whether bands are sealed, and books made of them.
        bands: The thresholds of bands.
        training: How a training spends its budget.
        services: `host:port` of the gRPC services; the card's service address where empty.
    """

    retired: ClassVar[frozenset[str]] = frozenset(
        {"training.band_noise", "bands.margin", "bands.least_events"}
    )

    listen: str = ""
    join_seconds: float = Field(600.0, gt=0)
    night_at: dt.time = dt.time(2, 0)
    horizon_days: int = Field(180, ge=1)
    outcomes: tuple[str, ...] = ("y_loyal", "y_flipped")
    points: bool = True
    bands: BandPolicy = BandPolicy()
    training: HqSettings = HqSettings()
    services: str = ""

    @model_validator(mode="after")
    def _outcomes_have_bands(self) -> Self:
        """Refuses outcomes without bands, or in another order than a book's, where books are made.

        A book says which score is which by their order alone.
        """
        order = tuple(outcome.value for outcome in SCHEMES)
        try:
            for outcome in self.outcomes if self.points else ():
                scheme_of(outcome, self.bands)
        except FeatureError as error:
            raise ValueError(str(error)) from error
        if self.points and self.outcomes != order[: len(self.outcomes)]:
            raise ValueError(
                f"outcomes: got {', '.join(self.outcomes)}, expected {', '.join(order)}, in this "
                "order, or the first of them alone"
            )
        return self

    def next_night(self, now: dt.datetime) -> dt.datetime:
        """When the first night after `now` begins; both UTC."""
        begins = dt.datetime.combine(now.date(), self.night_at, dt.UTC)
        return begins if begins > now else begins + dt.timedelta(days=1)


class WatchedSettings:
    """hq.toml while HQ serves: the last settings that were good.

    A typo must not end what runs, nor cost a night, without which who withdrew stays in the book:
    the settings of before hold until the file is mended. What is wrong is logged once.
    """

    def __init__(self, file: Path) -> None:
        """Reads a file.

        Raises:
            HolderNotConfigured: If it has a wrong setting.
        """
        self._file, self._there = file, file.exists()
        self._good, self._wrong = HqFile.read(file), ""

    def now(self) -> HqFile:
        """The file's settings as they are now, or else as they were when they were good."""
        wrong = ""
        try:
            if self._there and not self._file.exists():
                wrong = f"{self._file}: is gone, expected HQ's settings"
            else:
                self._good, self._there = HqFile.read(self._file), self._file.exists()
        except HolderNotConfigured as error:
            wrong = str(error)
        except OSError as error:
            wrong = f"{self._file}: {error.strerror}"
        if wrong and wrong != self._wrong:
            _LOG.error("%s; going on with the settings of before, mend the file", wrong)
        elif self._wrong and not wrong:
            _LOG.info("%s: good again", self._file)
        self._wrong = wrong
        return self._good
