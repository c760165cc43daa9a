"""Envelopes and signatures: who may read a seed, and who said what.

A seed is sealed with HPKE [RFC 9180] to a key that the office made for one release, bound through
`info` to the plan, the outlet and the very vector it masks; a registration is sealed to HQ, bound
to its batch. Signatures are Ed25519 [RFC 8032] over length-prefixed fields behind a domain tag, so
that no two statements share an encoding.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hpke, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from privacy.errors import AnswerRefused

_SUITE = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


def digest(data: bytes) -> str:
    """SHA-256 in hex; how plans, scorecards and vectors are named in plans and signatures."""
    return hashlib.sha256(data).hexdigest()


def is_digest(text: str) -> bool:
    """Whether text is what `digest` writes: 32 bytes in lower-case hex."""
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        return False
    return len(raw) == hashlib.sha256().digest_size and raw.hex() == text


def frame(*fields: bytes) -> bytes:
    """Joins fields so that no two lists of fields give the same bytes."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in fields)


@dataclass(frozen=True, slots=True)
class VerifyKey:
    """An Ed25519 public key that somebody is pinned to.

    Attributes:
        raw: Its 32 bytes.
        before: The owner's earlier keys: what they signed counts too.
    """

    raw: bytes
    before: tuple[bytes, ...] = field(default=(), compare=False)

    def verify(self, signature: bytes, *fields: bytes) -> bool:
        """Tells whether this key's owner signed these fields."""
        message = frame(*fields)
        return any(_is_signed(raw, signature, message) for raw in (self.raw, *self.before))


def _is_signed(raw: bytes, signature: bytes, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(raw).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An Ed25519 key; never printed.

    Attributes:
        before: Public halves of the owner's earlier keys, which `public` accepts too.
    """

    _key: Ed25519PrivateKey = field(repr=False)
    before: tuple[bytes, ...] = field(default=(), repr=False, compare=False)

    @classmethod
    def generate(cls) -> Self:
        """Makes a fresh key."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_bytes(cls, raw: bytes, before: tuple[bytes, ...] = ()) -> Self:
        """Reads what `to_bytes` wrote, and takes the public halves of earlier keys along."""
        return cls(Ed25519PrivateKey.from_private_bytes(raw), before)

    def to_bytes(self) -> bytes:
        """The 32 secret bytes, for the owner's key file only."""
        return self._key.private_bytes_raw()

    @property
    def public(self) -> VerifyKey:
        """The key that others pin."""
        return VerifyKey(self._key.public_key().public_bytes_raw(), self.before)

    def sign(self, *fields: bytes) -> bytes:
        """Signs length-prefixed fields; the first names the statement's domain."""
        return self._key.sign(frame(*fields))


@dataclass(frozen=True, slots=True)
class SealKey:
    """An HPKE key pair: the office's for one release, or HQ's for registrations.

    Attributes:
        others: Keys of the same owner that are being renewed, or renew this one: who has another
            card of the owner's seals to them.
    """

    _key: X25519PrivateKey = field(repr=False)
    others: tuple[SealKey, ...] = field(default=(), repr=False)

    @classmethod
    def generate(cls) -> Self:
        """Makes a fresh key."""
        return cls(X25519PrivateKey.generate())

    @classmethod
    def from_bytes(cls, raw: bytes, others: tuple[SealKey, ...] = ()) -> Self:
        """Reads what `to_bytes` wrote, and takes the owner's other keys along."""
        return cls(X25519PrivateKey.from_private_bytes(raw), others)

    @property
    def alone(self) -> SealKey:
        """This key without the owner's others."""
        return SealKey(self._key)

    def to_bytes(self) -> bytes:
        """The 32 secret bytes, for the owner's store only."""
        return self._key.private_bytes_raw()

    @property
    def public(self) -> bytes:
        """The 32 public bytes that a plan or a card carries."""
        return self._key.public_key().public_bytes(
            serialization.Encoding.Raw, serialization.PublicFormat.Raw
        )

    def open(self, sealed: bytes, *info: bytes) -> bytes:
        """Opens an envelope.

        Raises:
            AnswerRefused: If it was not sealed to this key, or another of its owner's, under this
                very `info`.
        """
        try:
            return _SUITE.decrypt(sealed, self._key, info=frame(*info))
        except (InvalidTag, ValueError) as error:
            for other in self.others:
                with suppress(AnswerRefused):
                    return other.open(sealed, *info)
            raise AnswerRefused("envelope: does not open under what it is bound to") from error


def seal(recipient: bytes, plaintext: bytes, *info: bytes) -> bytes:
    """Seals bytes to a public key of 32 bytes, bound to `info`."""
    return _SUITE.encrypt(
        plaintext, X25519PublicKey.from_public_bytes(recipient), info=frame(*info)
    )
