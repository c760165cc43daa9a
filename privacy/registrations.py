"""Registrations: how a token reaches HQ, and leaves it, without HQ learning from whom.

A message is sealed to HQ and travels through the privacy office, which sees neither token nor act:
registrations, withdrawals and dummies have one size. Each names the batch that it was made for, so
one that was held back, replayed or moved into another batch is refused.

    secret -> nonce = H(secret) -> tag = H(nonce)

A registration shows HQ the nonce; its tag is what the directory publishes for a home; a withdrawal
shows the secret, which only the outlet that registered can know. A registration also says `since`
which batch its outlet knew of withdrawals when the customer consented, so that HQ can refuse a
consent that is older than a withdrawal elsewhere.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Self

from privacy.envelopes import SealKey, frame, seal
from privacy.errors import PrivacyError

SECRET_BYTES, TAG_BYTES = 32, 16
_TOKEN_BYTES, _SINCE_BYTES = 32, 8
_DOMAIN = b"escapement/v1/registration"
MESSAGE_BYTES = 1 + _TOKEN_BYTES + SECRET_BYTES + _SINCE_BYTES
SEALED_BYTES = MESSAGE_BYTES + 48
"""HPKE adds a public share and a tag."""


class RegistrationRefused(PrivacyError):
    """A sealed registration that is malformed, or made for another batch."""


class RegistrationAct(IntEnum):
    """What a registration asks for."""

    NOTHING = 0
    """A dummy, so that the number of messages tells nothing."""
    REGISTER = 1
    WITHDRAW = 2


def fresh_secret() -> bytes:
    """The secret behind one registration, for the outlet's own store."""
    return secrets.token_bytes(SECRET_BYTES)


def nonce_of(secret: bytes) -> bytes:
    """What a registration shows HQ. 32 bytes."""
    return hashlib.sha256(frame(b"escapement/v1/nonce", secret)).digest()


def tag_of(nonce: bytes) -> bytes:
    """What the directory publishes of a home's registration. TAG_BYTES bytes."""
    return hashlib.sha256(frame(b"escapement/v1/home", nonce)).digest()[:TAG_BYTES]


@dataclass(frozen=True, slots=True)
class Registration:
    """One message to HQ; its contents are never printed.

    Attributes:
        act: What it asks for.
        token: Whose; 32 bytes.
        proof: The nonce of a registration, or the secret of the one that is withdrawn.
        since: The batch of the last directory that the outlet had followed when the consent to a
            registration was recorded; 0 before any, and in other messages.
    """

    act: RegistrationAct
    token: bytes = field(repr=False)
    proof: bytes = field(repr=False)
    since: int = field(default=0, repr=False)

    @classmethod
    def register(cls, token: bytes, secret: bytes, since: int = 0) -> Self:
        """Registers a token; `secret` is fresh and kept by the outlet."""
        return cls(RegistrationAct.REGISTER, token, nonce_of(secret), since)

    @classmethod
    def withdraw(cls, token: bytes, secret: bytes) -> Self:
        """Withdraws a token everywhere, by the secret of this outlet's own registration."""
        return cls(RegistrationAct.WITHDRAW, token, secret)

    @classmethod
    def dummy(cls) -> Self:
        """A message that asks for nothing."""
        return cls(RegistrationAct.NOTHING, bytes(_TOKEN_BYTES), bytes(SECRET_BYTES))

    def sealed(self, hq: bytes, batch: int) -> bytes:
        """Seals the message to HQ's key for one batch; SEALED_BYTES bytes."""
        since = self.since.to_bytes(_SINCE_BYTES, "big")
        message = bytes([self.act]) + self.token + self.proof + since
        return seal(hq, message, _DOMAIN, batch.to_bytes(8, "big"))

    @classmethod
    def opened(cls, sealed: bytes, key: SealKey, batch: int) -> Self:
        """Opens a message that was sealed for this batch; HQ only.

        Raises:
            RegistrationRefused: If it was not, or is malformed.
        """
        try:
            message = key.open(sealed, _DOMAIN, batch.to_bytes(8, "big"))
            act = RegistrationAct(message[0])
        except (PrivacyError, ValueError, IndexError) as error:
            raise RegistrationRefused(f"registration: not one of batch {batch}") from error
        if len(message) != MESSAGE_BYTES:
            raise RegistrationRefused(f"registration: got {len(message)} bytes")
        token, rest = message[1 : 1 + _TOKEN_BYTES], message[1 + _TOKEN_BYTES :]
        return cls(act, token, rest[:SECRET_BYTES], int.from_bytes(rest[SECRET_BYTES:], "big"))
