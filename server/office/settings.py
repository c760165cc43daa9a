"""The office's settings: what it promises for a year, and the floors it never goes below."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from privacy.budget import Policy
from privacy.loss import EpsilonDelta
from privacy.purposes import Purpose
from server.holder.settings import HolderSettings, TokenSettings

Share = Annotated[Fraction, BeforeValidator(lambda value: Fraction(str(value)))]

DEFAULT_SHARES: dict[Purpose, Fraction] = {
    Purpose.USUAL: Fraction("0.02"),
    Purpose.MOMENTS: Fraction("0.18"),
    Purpose.TRAINING: Fraction("0.46"),
    Purpose.EVALUATION: Fraction("0.04"),
    Purpose.CALIBRATION: Fraction("0.26"),
}


class OfficeSettings(BaseModel):
    """What the data-protection officer decides. Unknown keys are refused.

    Attributes:
        epsilon: The year's promise to a customer, over all outlets and all that is ever opened.
        delta: Its failure probability.
        shares: The part of a year's rho each purpose may spend.
        minimum_outlets: No sum over fewer outlets is ever unlocked or sealed.
        seals_a_week: How many seals of one kind 7 days may have.
        seals_a_year: How many seals for bands a rolling year may have. An honest year has up to
            59; what is more, for seals that fail, HQ could make and show nobody.
        calibrations_a_year: How many seals for calibration a rolling year may have.
        cut_days: How many days bands have their scorecards and begin where they do, at least.
        night_hours: How long a night plan is valid.
        release_minutes: How long a release or seal plan is valid; its keys are deleted then.
        horizon_days: How long after the cut-off HQ watches outcomes: by so much a cut-off lies
            before today.
        days_off: How many days a release's last day may lie off what it should be. More for
            replays of old ledgers, **in the sandbox only**.
        noiseless: Purposes whose plans may be signed without noise. **For the sandbox only.**
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    epsilon: float = Field(4.0, gt=0)
    delta: float = Field(1e-6, gt=0, lt=1)
    shares: dict[Purpose, Share] = DEFAULT_SHARES
    minimum_outlets: int = Field(3, ge=2)
    seals_a_week: int = Field(2, ge=1)
    seals_a_year: int = Field(66, ge=1)
    calibrations_a_year: int = Field(14, ge=1)
    cut_days: int = Field(28, ge=0)
    night_hours: int = Field(12, ge=1)
    release_minutes: int = Field(60, ge=1)
    horizon_days: int = Field(180, ge=0, le=36_500)
    days_off: int = Field(7, ge=0, le=36_500)
    noiseless: frozenset[Purpose] = frozenset()

    def policy(self) -> Policy:
        """The year's division of rho."""
        return Policy(EpsilonDelta(self.epsilon, self.delta), self.shares)


class OfficeTokens(TokenSettings):
    """The section `[tokens]`: quotas, and the relay's submissions. Unknown keys are refused.

    Attributes:
        outlet_a_day: Evaluations a day (UTC) to one outlet, dummies included.
        network_a_day: To all outlets together.
        outlets: To an outlet by name instead, such as one with a large first load.
        messages: How many registrations one submission holds, dummies included.
        batch_hours: How many hours lie between two batches at least, and between two directories
            with their books. 0 **for the sandbox only**.
    """

    messages: int = Field(512, ge=1, le=16384)
    batch_hours: float = Field(20, ge=0)


class OfficeFile(HolderSettings):
    """office.toml. Unknown keys are refused.

    Attributes:
        listen: `host:port` to listen at; the card's address where empty.
        promise: What the office promises, and its floors.
        tokens: Quotas, and the relay's submissions.
    """

    retired: ClassVar[frozenset[str]] = frozenset(
        {
            "promise.event_noise",
            "promise.scorecards_a_year",
            "promise.points_a_year",
            "promise.shares.demand",
            "promise.shares.points",
        }
    )

    listen: str = ""
    promise: OfficeSettings = OfficeSettings()
    tokens: OfficeTokens = OfficeTokens()
