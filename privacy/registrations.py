"""Registrations: how a slot key reaches HQ, and leaves it, without HQ learning from whom.

A message is sealed to HQ and travels through the privacy office, which sees neither key nor act:
registrations, withdrawals and dummies have one size. Each names the batch that it was made for, so
one that was held back, replayed or moved into another batch is refused.

    secret -> nonce = H(secret) -> tag = H(nonce)

A registration shows HQ the nonce; its tag is what the directory publishes for a home; a withdrawal
shows the secret, which only the outlet that registered can know. A registration also says `since`
which batch its outlet knew of withdrawals when the customer consented, so that HQ can refuse a
consent that is older than a withdrawal elsewhere.

A slot key is public, and whoever reads a directory could copy one. So each of the two carries a
proof of the key's secret (`privacy.slot_keys`), bound to network, batch, act, `since`, and nonce or
secret: a copied key registers and withdraws nobody. HQ shows **evidence** of it to the office, when
the directory changes: the proof, without the nonce or secret that it is bound to, and never whose
it was.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Self

from privacy.envelopes import SealKey, frame, seal
from privacy.errors import PrivacyError
from privacy.slot_keys import KEY_BYTES, PROOF_BYTES, check_proof
from privacy.voprf import TokenRefused

if TYPE_CHECKING:
    from privacy.slot_keys import SlotKey

SECRET_BYTES, TAG_BYTES = 32, 16
_SINCE_BYTES = 8
_LATEST = 2 ** (8 * _SINCE_BYTES - 1)
_DOMAIN = b"escapement/v1/registration"
MESSAGE_BYTES = 1 + KEY_BYTES + SECRET_BYTES + _SINCE_BYTES + PROOF_BYTES
SEALED_BYTES = MESSAGE_BYTES + 48
"""HPKE adds a public share and a tag."""


class RegistrationRefused(PrivacyError):
    """A sealed registration that is malformed, made for another batch, or proves nothing."""


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
class Evidence:
    """What HQ shows the privacy office of a registration or withdrawal that changed a slot.

    Attributes:
        act: Which of the two.
        batch: The batch that it came in.
        since: As the message said; 0 of a withdrawal.
        bound: H(nonce or secret): it gives neither away, nor the tag.
        proof: Of the slot key, PROOF_BYTES bytes.
    """

    act: RegistrationAct
    batch: int
    since: int
    bound: bytes = field(repr=False)
    proof: bytes = field(repr=False)

    def check(self, network: bytes, key: bytes) -> None:
        """Refuses evidence that who holds this key's secret did not make.

        Args:
            network: The network's token key, 32 bytes.
            key: The slot's pk.

        Raises:
            TokenRefused: If so, a number is none of a batch, or `key` is no point.
        """
        if not all(0 <= number < _LATEST for number in (self.batch, self.since)):
            raise TokenRefused(f"batch or `since`: expected 0 to {_LATEST - 1}")
        check_proof(key, self.proof, *_context(network, self))


@dataclass(frozen=True, slots=True)
class Registration:
    """One message to HQ; its contents are never printed.

    Attributes:
        act: What it asks for.
        key: Whose: the public slot key, 32 bytes.
        shown: The nonce of a registration, or the secret of the one that is withdrawn; 32 bytes.
        since: The batch of the last directory that the outlet had followed when the consent to a
            registration was recorded; 0 before any, and in other messages.
        batch: The batch that it is made for.
        proof: Of the key's secret, PROOF_BYTES bytes.
    """

    act: RegistrationAct
    key: bytes = field(repr=False)
    shown: bytes = field(repr=False)
    since: int = field(repr=False)
    batch: int
    proof: bytes = field(repr=False)

    @classmethod
    def register(
        cls, network: bytes, key: SlotKey, secret: bytes, batch: int, since: int = 0
    ) -> Self:
        """Registers a slot key; `secret` is fresh and kept by the outlet."""
        return cls._proved(network, RegistrationAct.REGISTER, key, nonce_of(secret), batch, since)

    @classmethod
    def withdraw(cls, network: bytes, key: SlotKey, secret: bytes, batch: int) -> Self:
        """Withdraws a slot key everywhere, by the secret of this outlet's own registration."""
        return cls._proved(network, RegistrationAct.WITHDRAW, key, secret, batch, 0)

    @classmethod
    def dummy(cls, batch: int) -> Self:
        """A message that asks for nothing, of the same size."""
        nothing = (bytes(KEY_BYTES), bytes(SECRET_BYTES), 0, batch, bytes(PROOF_BYTES))
        return cls(RegistrationAct.NOTHING, *nothing)

    @classmethod
    def _proved(
        cls,
        network: bytes,
        act: RegistrationAct,
        key: SlotKey,
        shown: bytes,
        batch: int,
        since: int,
    ) -> Self:
        unproved = Evidence(act, batch, since, _bound(shown), b"")
        return cls(act, key.public, shown, since, batch, key.prove(*_context(network, unproved)))

    @property
    def evidence(self) -> Evidence:
        """What HQ may show the office of it."""
        return Evidence(self.act, self.batch, self.since, _bound(self.shown), self.proof)

    def sealed(self, hq: bytes) -> bytes:
        """Seals the message to HQ's key, for its batch; SEALED_BYTES bytes."""
        since = self.since.to_bytes(_SINCE_BYTES, "big")
        message = bytes([self.act]) + self.key + self.shown + since + self.proof
        return seal(hq, message, _DOMAIN, self.batch.to_bytes(8, "big"))

    @classmethod
    def opened(cls, sealed: bytes, hq: SealKey, network: bytes, batch: int) -> Self:
        """Opens a message that was sealed for this batch, and checks its proof; HQ only.

        Args:
            sealed: The message.
            hq: What it is sealed to.
            network: The network's token key, 32 bytes.
            batch: The batch that it came in.

        Raises:
            RegistrationRefused: If it was sealed for another batch, is malformed, or its proof was
                made with another key, or for something else.
        """
        try:
            message = hq.open(sealed, _DOMAIN, batch.to_bytes(8, "big"))
            act = RegistrationAct(message[0])
        except (PrivacyError, ValueError, IndexError) as error:
            raise RegistrationRefused(f"registration: not one of batch {batch}") from error
        if len(message) != MESSAGE_BYTES:
            raise RegistrationRefused(f"registration: got {len(message)} bytes")
        key, shown, since, proof = _cut(message[1:], KEY_BYTES, SECRET_BYTES, _SINCE_BYTES)
        made = cls(act, key, shown, int.from_bytes(since, "big"), batch, proof)
        if act is not RegistrationAct.NOTHING:
            made._check(network)
        elif made != cls.dummy(batch):
            raise RegistrationRefused("registration: a dummy with something in it")
        return made

    def _check(self, network: bytes) -> None:
        try:
            self.evidence.check(network, self.key)
        except TokenRefused as error:
            raise RegistrationRefused(f"registration: {error}") from error


def _bound(shown: bytes) -> bytes:
    """What a proof binds itself to of a nonce or secret, without giving it away."""
    return hashlib.sha256(frame(b"escapement/v1/registration-bound", shown)).digest()


def _context(network: bytes, evidence: Evidence) -> tuple[bytes, ...]:
    """What a proof is bound to: all of a message but its key, which every proof is bound to."""
    numbers = (number.to_bytes(8, "big") for number in (evidence.batch, evidence.since))
    return (_DOMAIN, network, bytes([evidence.act]), *numbers, evidence.bound)


def _cut(data: bytes, *sizes: int) -> list[bytes]:
    """The fields of these sizes, and the rest."""
    fields = []
    for size in sizes:
        fields.append(data[:size])
        data = data[size:]
    return [*fields, data]
