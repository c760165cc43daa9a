"""Losses of registrations: what the privacy office tells outlets where HQ was restored from a copy.

HQ lost the registrations of some batches, though their directory stands. Outlets hand theirs in
again, so that each can withdraw, homes read their fine bins, and HQ counts a slot's outlets.

A registration that HQ sees in two batches is of an outlet that was in both, and by many claimed
losses HQ could find out which. So HQ cannot tell outlets itself: the office signs one statement for
all of them, numbers and keeps it, and an outlet answers to few of them by itself.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Self

from privacy.errors import PrivacyError
from privacy.log_heads import LATEST
from privacy.publications import Countersigned

if TYPE_CHECKING:
    from privacy.envelopes import SigningKey, VerifyKey

_DOMAIN = b"escapement/v1/registration-loss"
_LARGEST = 2**53


class LossRefused(PrivacyError):
    """A statement about a loss that is forged or malformed."""


@dataclass(frozen=True, slots=True)
class RegistrationLoss:
    """What HQ said that it lost.

    Attributes:
        number: Which of the office's statements about losses: 1, 2, 3 and so on.
        after: The last batch whose registrations HQ has.
        upto: The last batch whose registrations it lost: that of the directory that it took over.
        at: When HQ said so, in Unix seconds by the office's clock.
    """

    number: int
    after: int
    upto: int
    at: int

    def __post_init__(self) -> None:
        if not (1 <= self.number <= _LARGEST and 0 <= self.after < self.upto <= _LARGEST):
            raise LossRefused("loss of registrations: its number or batches are outside the domain")
        if not 0 <= self.at <= LATEST:
            raise LossRefused("loss of registrations: expected a moment within 1970 to 9999")

    def encode(self) -> bytes:
        """The canonical bytes that are signed."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads `encode`'s bytes, strictly.

        Raises:
            LossRefused: If they are no such bytes.
        """
        try:
            raw = json.loads(data)
            wanted = dict.fromkeys(("number", "after", "upto", "at"), int)
            if {name: type(value) for name, value in raw.items()} != wanted:
                raise LossRefused("loss of registrations: got other fields than expected")
            made = cls(**raw)
        except (AttributeError, RecursionError, ValueError) as error:
            raise LossRefused("loss of registrations: malformed") from error
        if made.encode() != data:
            raise LossRefused("loss of registrations: not in canonical form")
        return made


def sign_loss(loss: RegistrationLoss, office: SigningKey) -> Countersigned:
    """Signs a statement; the office only."""
    payload = loss.encode()
    return Countersigned(payload, office.sign(_DOMAIN, payload))


def open_loss(signed: Countersigned, office: VerifyKey) -> RegistrationLoss:
    """Reads what the office says of a loss.

    Raises:
        LossRefused: If it is forged or malformed.
    """
    if not office.verify(signed.signature, _DOMAIN, signed.payload):
        raise LossRefused(
            "loss of registrations: not signed by the pinned privacy office; tell the office"
        )
    return RegistrationLoss.decode(signed.payload)
