"""The office's settings: what it promises for a year, and the floors it never goes below."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from privacy.budget import Policy
from privacy.loss import EpsilonDelta
from privacy.units import Purpose

Share = Annotated[Fraction, BeforeValidator(lambda value: Fraction(str(value)))]

DEFAULT_SHARES: dict[Purpose, Fraction] = {
    Purpose.MOMENTS: Fraction("0.14"),
    Purpose.TRAINING: Fraction("0.62"),
    Purpose.EVALUATION: Fraction("0.08"),
    Purpose.CALIBRATION: Fraction("0.08"),
    Purpose.FAIRNESS: Fraction("0.04"),
    Purpose.DEMAND: Fraction("0.04"),
    Purpose.POINTS: Fraction(1),
}


class OfficeSettings(BaseModel):
    """What the data-protection officer decides. Unknown keys are refused.

    Attributes:
        epsilon: The year's promise to a customer, over all outlets.
        event_epsilon: The year's promise for one event (points releases).
        delta: The failure probability of both.
        shares: The part of a year's rho each purpose may spend.
        minimum_outlets: No sum over fewer outlets is ever unlocked.
        night_hours: How long a night plan is valid.
        release_minutes: How long a release plan is valid; its one-time key is deleted then.
        noiseless: Purposes whose plans may be signed without noise. **For the sandbox only.**
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    epsilon: float = Field(4.0, gt=0)
    event_epsilon: float = Field(400.0, gt=0)
    delta: float = Field(1e-6, gt=0, lt=1)
    shares: dict[Purpose, Share] = DEFAULT_SHARES
    minimum_outlets: int = Field(3, ge=2)
    night_hours: int = Field(12, ge=1)
    release_minutes: int = Field(60, ge=1)
    noiseless: frozenset[Purpose] = frozenset()

    def policy(self) -> Policy:
        """The year's division of rho."""
        return Policy(
            customer=EpsilonDelta(self.epsilon, self.delta),
            event=EpsilonDelta(self.event_epsilon, self.delta),
            shares=self.shares,
        )
