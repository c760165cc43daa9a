"""Base transfers: 128 pairs of keys for HQ, one of each pair for the office, who knows which.

Chou and Orlandi's oblivious transfer [CO15] over ristretto255 [RFC 9496]. HQ draws a and sends
A = a.G; the office draws for each i a bit s_i and a scalar b_i and answers B_i = b_i.G + s_i.A.

    HQ's pair       H(i, A, B_i, a.B_i),  H(i, A, B_i, a.(B_i - A))
    the office's    H(i, A, B_i, b_i.A), which is the s_i-th of the pair

B_i is uniform whatever s_i is, so that HQ learns nothing of the bits. Whoever asks the oracle H
for both keys of a pair knows a.B_i and a.(B_i - A), whose difference is a.A, the Diffie-Hellman
value of A with itself: the office cannot, if gap Diffie-Hellman is hard in the group [HL17], and
one key of each pair looks random to it whenever it asks for the other.

That much is used: HQ's choices look random to the office, and its bits are hidden from HQ. It is
less than a proof by simulation, which [CO15] lacks for want of a moment at which the office's bits
could be extracted [HL17], and is not known to have under an extension [CSW20]; but the bits are the
office's own coins, are told to nobody, and stand for nothing.

The keys are also bound to the plan's digest, and so is A, which the signed plan names: no key of
one release is one of another. Both check the other's points; the identity, what is no canonical
encoding, and B_i = A end the release.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from typing import Self

from privacy import voprf
from privacy.envelopes import frame
from privacy.voprf import POINT_BYTES, TokenRefused

TRANSFERS = 128
"""The computational security parameter of the extension: what the office's bits hide behind."""

_KEY_BYTES = 32
_SCALAR_DST = b"escapement/v1/base-transfer-scalar"
_KEY_DOMAIN = b"escapement/v1/base-transfer"


@dataclass(frozen=True, slots=True)
class KeyPairs:
    """HQ's side, derived from the release's one seed: nothing but the seed has to be kept.

    Attributes:
        public: A, which goes into the seal plan; 32 bytes.
    """

    public: bytes
    _secret: bytes = field(repr=False)

    @classmethod
    def of(cls, seed: bytes) -> Self:
        """From the release's seed, 32 bytes that were drawn for it."""
        secret = voprf.hash_to_scalar(seed, _SCALAR_DST)
        return cls(voprf.multiply_base(secret), secret)

    def pairs(self, plan: str, answer: bytes) -> list[tuple[bytes, bytes]]:
        """Both keys of each transfer.

        Args:
            plan: Digest of the signed plan.
            answer: The office's points, TRANSFERS * 32 bytes.

        Raises:
            TokenRefused: If a point is none, or the difference of two is the identity.
        """
        points = _points(answer)
        both = []
        for place, point in enumerate(points):
            voprf.check_point("base transfer", point)
            other = voprf.subtract(point, self.public)
            both.append(
                (
                    _key(plan, place, self.public, point, voprf.multiply(self._secret, point)),
                    _key(plan, place, self.public, point, voprf.multiply(self._secret, other)),
                )
            )
        return both


@dataclass(frozen=True, slots=True)
class ChosenKeys:
    """The office's side.

    Attributes:
        bits: s, TRANSFERS / 8 bytes, the first transfer's in the highest bit.
        keys: The chosen key of each transfer, 32 bytes.
    """

    bits: bytes = field(repr=False)
    keys: tuple[bytes, ...] = field(repr=False)

    def encode(self) -> bytes:
        """Of one length, for the office's own store."""
        return self.bits + b"".join(self.keys)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads `encode`'s bytes."""
        start = TRANSFERS // 8
        keys = (data[at : at + _KEY_BYTES] for at in range(start, len(data), _KEY_BYTES))
        return cls(data[:start], tuple(keys))


@dataclass(frozen=True, slots=True)
class Draw:
    """The office's coins of one release, before there is a plan.

    Attributes:
        answer: The points for HQ, TRANSFERS * 32 bytes.
    """

    answer: bytes
    _bits: bytes = field(repr=False)
    _scalars: tuple[bytes, ...] = field(repr=False)

    @classmethod
    def fresh(cls, public: bytes) -> Self:
        """Draws from the operating system.

        Args:
            public: A, HQ's point.

        Raises:
            TokenRefused: If it is none.
        """
        voprf.check_point("base transfer", public)
        bits = secrets.token_bytes(TRANSFERS // 8)
        scalars = tuple(voprf.random_scalar() for _ in range(TRANSFERS))
        points = []
        for place, scalar in enumerate(scalars):
            point = voprf.multiply_base(scalar)
            # Computed in both cases, so that time tells little; the office is not timed closely.
            shifted = voprf.add(point, public)
            points.append(shifted if _bit(bits, place) else point)
        return cls(b"".join(points), bits, scalars)

    def chosen(self, plan: str, public: bytes) -> ChosenKeys:
        """The chosen keys, once the plan is signed.

        Args:
            plan: Its digest.
            public: A, as at `fresh`.
        """
        keys = tuple(
            _key(plan, place, public, point, voprf.multiply(scalar, public))
            for place, (point, scalar) in enumerate(
                zip(_points(self.answer), self._scalars, strict=True)
            )
        )
        return ChosenKeys(self._bits, keys)


def _bit(bits: bytes, place: int) -> int:
    return bits[place // 8] >> (7 - place % 8) & 1


def _points(answer: bytes) -> list[bytes]:
    if len(answer) != TRANSFERS * POINT_BYTES:
        raise TokenRefused(
            f"base transfers: got {len(answer)} bytes, expected {TRANSFERS * POINT_BYTES}"
        )
    return [answer[at : at + POINT_BYTES] for at in range(0, len(answer), POINT_BYTES)]


def _key(plan: str, place: int, first: bytes, second: bytes, shared: bytes) -> bytes:
    bound = (bytes.fromhex(plan), bytes([place]), first, second, shared)
    return hashlib.sha256(frame(_KEY_DOMAIN, *bound)).digest()
