"""The errors of `privacy`.

    PrivacyError
    +-- InvalidParameter         a scale, norm, ring or share outside its domain
    +-- BudgetExceeded           a cost above what remains
    +-- PlanRefused              a plan that is unsigned, malformed, expired or outside a floor
    |   +-- ReleaseClosed        a seal that is over: its keys are deleted
    +-- AnswerRefused            a masked share or an office answer that does not verify
    +-- TransferFailed           oblivious_transfer.py: points or choices that do not verify
    +-- TokenRefused             voprf.py: a point or an evaluation that does not verify
    +-- QuotaReached             quotas.py: more evaluations than a day allows
    +-- RegistrationRefused      registrations.py: a sealed registration not made for this batch
    +-- DirectoryRefused         directory.py: a directory that is malformed, or goes back
    +-- PublicationRefused       publications.py: what the office did not countersign
    |   +-- PublicationTooSoon   what it countersigns some hours later
    +-- BookRefused              books.py: a book that is forged, stale or of another directory
    +-- SecretUnreadable         at_rest.py: a secret in a store that its folder's key does not open
    +-- HeadRefused              log_heads.py: a statement about a log that is forged or another's
    +-- ClocksApart              HQ's clock and the office's say different times
    +-- LedgerForked             budget.py: a ledger that does not go on from what was seen of it
    +-- LedgerAhead              budget.py: a ledger whose last entry is yet to come
    +-- CardRefused              cards.py: a card or key file that is malformed, or another's
    |   +-- RenewalRefused       a card that is no newer than the one that is trusted
    |       +-- RenewalUnsigned  one that the trusted key did not sign
    +-- CertificateEnded         cards.py: a certificate that is over, or not valid yet
    +-- KeyringError, LedgerBroken    keyring.py, budget.py

Messages say what, got, expected. They never carry a customer's identifier or value, and nothing
that an outlet raises while it answers may depend on a customer's value: HQ sees that it raised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fractions import Fraction


class PrivacyError(Exception):
    """Base of every error that `privacy` raises on purpose."""


class InvalidParameter(PrivacyError):
    """A parameter outside the domain that the mathematics needs."""


class BudgetExceeded(PrivacyError):
    """A cost is more than what remains.

    Attributes:
        purpose: The use whose share of the year's rho is exhausted.
        requested: The cost asked for.
        remaining: What that use may still cost.
    """

    def __init__(self, purpose: str, requested: Fraction, remaining: Fraction) -> None:
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


class ReleaseClosed(PlanRefused):
    """A seal that was closed, failed or has expired: nothing more is answered of it."""


class AnswerRefused(PrivacyError):
    """A masked share or an office answer that does not verify.

    Attributes:
        outlet: Whose share it is, where one outlet is at fault; None otherwise.
    """

    def __init__(self, message: str, outlet: str | None = None) -> None:
        super().__init__(message)
        self.outlet = outlet


class ClocksApart(PrivacyError):
    """HQ's clock and the privacy office's say times that are too far apart."""
