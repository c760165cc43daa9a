"""An outlet's own floors: what it refuses to answer, whatever HQ and the office agree on."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from privacy.units import Purpose


class OutletSettings(BaseModel):
    """What the outlet decides for itself. Unknown keys are refused.

    Attributes:
        least_noise: The least noise scale / clipping norm of each server, for customer sums.
        least_event_noise: The same for points releases, whose unit is one event.
        least_quorum: The fewest outlets in a sum that it will be part of.
        most_epsilon: The most that the customer sums it answered in a rolling year may cost,
            unlocked or not. Above the office's promise, because a night that fails uses this up
            and not the office's ledger; the ledger is what holds the promise.
        delta: The failure probability that goes with it.
        noiseless: Purposes whose plans are answered without noise. **For the sandbox only.**
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    least_noise: float = Field(4.0, gt=0)
    least_event_noise: float = Field(0.25, gt=0)
    least_quorum: int = Field(3, ge=2)
    most_epsilon: float = Field(6.0, gt=0)
    delta: float = Field(1e-6, gt=0, lt=1)
    noiseless: frozenset[Purpose] = frozenset()
