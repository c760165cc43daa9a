"""The errors of `privacy`.

    PrivacyError
    +-- InvalidParameter         a scale, norm, ring or share outside its domain
    +-- ContributionError        a customer's vector that must not be summed
    |   +-- NotFinite            NaN or infinity in it
    |   +-- SensitivityExceeded  its integer norm is over the bound after truncation
    +-- BudgetExceeded           a cost above what remains
    +-- PlanRefused              a plan that is unsigned, malformed, expired or outside a floor
    +-- AnswerRefused            a masked share or an office answer that does not verify

Messages say what, got, expected. They never carry a customer's identifier or value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from privacy.loss import Rho


class PrivacyError(Exception):
    """Base of every error that `privacy` raises on purpose."""


class InvalidParameter(PrivacyError):
    """A parameter outside the domain that the mathematics needs."""


class ContributionError(PrivacyError):
    """A contribution that must not be summed."""


class NotFinite(ContributionError):
    """A contribution holds NaN or infinity.

    Attributes:
        rows: How many rows are affected. Which ones is not said.
    """

    def __init__(self, rows: int) -> None:
        super().__init__(f"contribution: {rows} rows hold NaN or infinity; expected finite numbers")
        self.rows = rows


class SensitivityExceeded(ContributionError):
    """An integer contribution is longer than its bound.

    Attributes:
        rows: How many rows are affected.
        bound: The bound, in integer units.
    """

    def __init__(self, rows: int, bound: int) -> None:
        super().__init__(
            f"contribution: {rows} rows are longer than the bound of {bound} units after truncation"
        )
        self.rows = rows
        self.bound = bound


class BudgetExceeded(PrivacyError):
    """A cost is more than what remains.

    Attributes:
        purpose: The use whose share of the year's rho is exhausted.
        requested: The cost asked for.
        remaining: What that use may still cost.
    """

    def __init__(self, purpose: str, requested: Rho, remaining: Rho) -> None:
        super().__init__(
            f"budget for {purpose}: requested rho {float(requested):.6g}, "
            f"remaining {float(remaining):.6g}; wait for older charges to leave the rolling year, "
            "or change the policy's shares"
        )
        self.purpose = purpose
        self.requested = requested
        self.remaining = remaining


class PlanRefused(PrivacyError):
    """A plan that must not be answered."""


class AnswerRefused(PrivacyError):
    """A masked share or an office answer that does not verify."""
