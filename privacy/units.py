"""The units of protection: what one neighbour differs in.

Two networks are neighbours in a unit when one can be had from the other by emptying everything
that belongs to one such unit. Every sum in this project is made of one vector per unit, so a
neighbouring sum differs by one vector, no longer than the clipping norm.
"""

from __future__ import annotations

from enum import StrEnum


class Unit(StrEnum):
    """What a privacy loss is counted for."""

    CUSTOMER = "customer"
    """One token's events and outcomes, at all outlets. Each customer is taken from one outlet only
    (its home), which is why one vector per customer and outlet is one per customer."""

    EVENT = "event"
    """One piece of one customer at one outlet with everything attached to its serial; without one,
    what was bought, or brought back, in one basket. Weaker: a customer has many."""


class Purpose(StrEnum):
    """What a release is for. The policy divides a year's rho over these."""

    USUAL = "usual"
    MOMENTS = "moments"
    TRAINING = "training"
    EVALUATION = "evaluation"
    CALIBRATION = "calibration"
    DEMAND = "demand"
    POINTS = "points"

    @property
    def unit(self) -> Unit:
        """The unit that a release of this purpose protects."""
        return Unit.EVENT if self is Purpose.POINTS else Unit.CUSTOMER
