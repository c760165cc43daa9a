"""Slot keys: the key pair that an outlet derives from a token, and proofs that one holds it.

    sk = hash-to-scalar(domain, T),  pk = sk . G

The token T is the output of the oblivious PRF (`privacy.tokens`) and never leaves an outlet; pk
names the customer's slot to HQ and the privacy office. Over ristretto255, in which computing
discrete logarithms is assumed to be hard:

- pk tells nothing of T or of the identifier: without the token key nobody can compute T, so nobody
  can test an identifier against a list of pk (hash-to-scalar [RFC 9380] as a random oracle);
- whoever holds pk alone, as HQ and the office do, cannot act in its name: each registration and
  withdrawal carries a **proof** of sk for one context. It is Schnorr's signature [Sch91], with pk
  in the challenge so that a proof for one key is none for another [BDLSY12], unforgeable in the
  random-oracle model [PS00]. Its scalar is fresh and random: two proofs of one key share pk only;
- a mask of the key's slot is agreed by Diffie-Hellman with a one-time key of HQ: KDF(sk . B) =
  KDF(b . pk), as HPKE's KEM does it [RFC 9180, 4.1]. It is bound to both public keys and to what it
  is for, so it is the same in no two books, and a key copied into another slot reads nothing there.

Why a key pair, and not T itself: a token that HQ holds opens the slot's entry in every book, and
whoever steals HQ's registry reads every band.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Self

from privacy import voprf
from privacy.envelopes import frame
from privacy.voprf import POINT_BYTES, SCALAR_BYTES, TokenRefused

KEY_BYTES = POINT_BYTES
PROOF_BYTES = 2 * SCALAR_BYTES

_KEY_DST = b"escapement/v1/slot-key"
_PROOF_DST = b"escapement/v1/slot-proof"
_MASK_DOMAIN = b"escapement/v1/slot-mask"


@dataclass(frozen=True, slots=True, eq=False)
class SlotKey:
    """The key pair of one customer's slot; only who can compute the token has it.

    Attributes:
        public: pk, 32 bytes, never the identity.
    """

    public: bytes
    _secret: bytes = field(repr=False)

    @classmethod
    def of(cls, token: bytes) -> Self:
        """Derives the key pair from a token's 32 bytes."""
        secret = voprf.hash_to_scalar(token, _KEY_DST)
        return cls(voprf.multiply_base(secret), secret)

    def prove(self, *context: bytes) -> bytes:
        """Proves that one holds sk, for one context only.

        Args:
            context: All that the proof is bound to, in order; framed, so that no two are alike.

        Returns:
            PROOF_BYTES bytes: challenge and response.
        """
        scalar = voprf.random_scalar()  # used twice it gives sk away: drawn here, nowhere kept
        challenge = _challenge(self.public, voprf.multiply_base(scalar), context)
        hidden = voprf.multiply_scalars(challenge, self._secret)
        return challenge + voprf.subtract_scalars(scalar, hidden)

    def mask_key(self, one_time: bytes, *context: bytes) -> bytes:
        """The key of this slot's mask, for the public half of HQ's one-time key.

        Args:
            one_time: 32 bytes; signed with what is masked.
            context: What the mask is for; framed.

        Returns:
            32 bytes.

        Raises:
            TokenRefused: If `one_time` is no canonical encoding, or the identity.
        """
        return _mask_key(voprf.multiply(self._secret, one_time), one_time, self.public, context)


@dataclass(frozen=True, slots=True, eq=False)
class OneTimeKey:
    """HQ's half of the masks of one book, forgotten when the book is made.

    Attributes:
        public: What outlets need of it, 32 bytes.
    """

    public: bytes
    _secret: bytes = field(repr=False)

    @classmethod
    def generate(cls) -> Self:
        """Draws a fresh key."""
        secret = voprf.random_scalar()
        return cls(voprf.multiply_base(secret), secret)

    def to_bytes(self) -> bytes:
        """The 32 secret bytes, for the owner's store while a seal is open."""
        return self._secret

    @classmethod
    def from_bytes(cls, secret: bytes) -> Self:
        """Reads what `to_bytes` wrote."""
        return cls(voprf.multiply_base(secret), secret)

    def mask_key(self, public: bytes, *context: bytes) -> bytes:
        """The key of a slot's mask: what `SlotKey.mask_key` gives to who has the token.

        Args:
            public: The slot's pk.
            context: As at the outlet.

        Raises:
            TokenRefused: If `public` is no canonical encoding, or the identity.
        """
        return _mask_key(voprf.multiply(self._secret, public), self.public, public, context)


def check_proof(public: bytes, proof: bytes, *context: bytes) -> None:
    """Checks a proof of a slot's secret key.

    Args:
        public: pk, from outside.
        proof: PROOF_BYTES bytes of `SlotKey.prove`.
        context: As it was proved for.

    Raises:
        TokenRefused: If `public` is no point, or the proof was made with another key or for
            another context.
    """
    voprf.check_point("slot key", public)
    challenge, response = proof[:SCALAR_BYTES], proof[SCALAR_BYTES:]
    fits = voprf.is_canonical(challenge) and voprf.is_canonical(response)
    if not (fits and _verifies(public, challenge, response, context)):
        raise TokenRefused("proof of a slot key: made with another key, or for something else")


def is_point_in_hex(text: str) -> bool:
    """Whether masks can be made with a key, for all slots or for none: see `SlotKey.mask_key`."""
    try:
        raw = bytes.fromhex(text)
        voprf.check_point("key", raw)
    except (TokenRefused, ValueError):
        return False
    return raw.hex() == text


def _verifies(public: bytes, challenge: bytes, response: bytes, context: tuple[bytes, ...]) -> bool:
    """Whether the challenge is that of the commitment s.G + c.pk."""
    try:
        commitment = voprf.add(voprf.multiply_base(response), voprf.multiply(challenge, public))
    except TokenRefused:  # libsodium makes no identity; an honest proof never needs one
        return False
    return hmac.compare_digest(challenge, _challenge(public, commitment, context))


def _challenge(public: bytes, commitment: bytes, context: tuple[bytes, ...]) -> bytes:
    return voprf.hash_to_scalar(frame(public, commitment, *context), _PROOF_DST)


def _mask_key(shared: bytes, one_time: bytes, public: bytes, context: tuple[bytes, ...]) -> bytes:
    return hashlib.sha256(frame(_MASK_DOMAIN, shared, one_time, public, *context)).digest()
