"""The RFC's half of the tokens: points of ristretto255, and proofs that one scalar made them.

Invariant: no secret leaves this module in a message, and a proof verifies for one public key and
one list of points and elements, in their order, only. It follows the VOPRF, mode 1, over
ristretto255 and SHA-512 [RFC 9497], and holds to its test vectors. The rest of `privacy` knows
points and scalars as bytes; libsodium's names for them, through `rbcl`, are here only.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import sys
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

import rbcl as sodium

from privacy.errors import InvalidParameter, PrivacyError

if TYPE_CHECKING:
    from collections.abc import Sequence

if os.name == "posix":
    # At each start rbcl unpacks libsodium into a temporary file, of 2.8 MB, and leaves it there.
    Path(sys.modules["rbcl._sodium"].lib_path).unlink(missing_ok=True)

POINT_BYTES, SCALAR_BYTES = 32, 32

_CONTEXT = b"OPRFV1-\x01-ristretto255-SHA512"
_GROUP_DST = b"HashToGroup-" + _CONTEXT
_SCALAR_DST = b"HashToScalar-" + _CONTEXT
_SHA512_BLOCK_BYTES = 128


class TokenRefused(PrivacyError):
    """A point, an evaluation or a request for one that does not verify."""


def prove(share: bytes, points: Sequence[bytes], elements: Sequence[bytes], scalar: bytes) -> bytes:
    """GenerateProof [RFC 9497, 2.2.1]; `scalar` must be fresh and random."""
    public = multiply_base(share)
    combined = _combine(_weights(public, points, elements), points)
    challenge = _challenge(
        public,
        combined,
        multiply(share, combined),
        multiply_base(scalar),
        multiply(scalar, combined),
    )
    hidden = multiply_scalars(challenge, share)
    return challenge + subtract_scalars(scalar, hidden)


def verify(public: bytes, points: Sequence[bytes], elements: Sequence[bytes], proof: bytes) -> bool:
    """VerifyProof [RFC 9497, 2.2.2]; points, elements and public key were checked before."""
    challenge, response = proof[:SCALAR_BYTES], proof[SCALAR_BYTES:]
    if not (is_canonical(challenge) and is_canonical(response)):
        return False
    # The weights depend on the holder's public key and elements, so no half of this work can be
    # shared between two holders, and libsodium has no multi-scalar multiplication.
    weights = _weights(public, points, elements)
    try:
        combined, multiplied = _combine(weights, points), _combine(weights, elements)
        expected = _challenge(
            public,
            combined,
            multiplied,
            add(multiply_base(response), multiply(challenge, public)),
            add(multiply(response, combined), multiply(challenge, multiplied)),
        )
    except TokenRefused:  # libsodium makes no identity; an honest proof never needs one
        return False
    return hmac.compare_digest(expected, challenge)


def _weights(public: bytes, points: Sequence[bytes], elements: Sequence[bytes]) -> list[bytes]:
    """The scalars of ComputeComposites [RFC 9497, 2.2.1], one a point."""
    seed = hashlib.sha512(_short_frame(public, b"Seed-" + _CONTEXT)).digest()
    return [
        hash_to_scalar(
            _short_frame(seed)
            + index.to_bytes(2, "big")
            + _short_frame(point, element)
            + b"Composite"
        )
        for index, (point, element) in enumerate(zip(points, elements, strict=True))
    ]


def _combine(weights: Sequence[bytes], points: Sequence[bytes]) -> bytes:
    return reduce(add, map(multiply, weights, points))


def _challenge(*points: bytes) -> bytes:
    return hash_to_scalar(_short_frame(*points) + b"Challenge")


def hash_to_group(data: bytes, dst: bytes = _GROUP_DST) -> bytes:
    """HashToGroup [RFC 9497, 4.1]: a point of which nobody knows the logarithm, 32 bytes."""
    return bytes(sodium.crypto_core_ristretto255_from_hash(_expand(data, dst)))


def hash_to_scalar(data: bytes, dst: bytes = _SCALAR_DST) -> bytes:
    """HashToScalar [RFC 9497, 4.1]: 32 bytes, uniform below the group's order."""
    return bytes(sodium.crypto_core_ristretto255_scalar_reduce(_expand(data, dst)))


def _expand(data: bytes, dst: bytes) -> bytes:
    """expand_message_xmd to 64 bytes [RFC 9380, 5.3.1], which is one block of SHA-512."""
    suffix = dst + bytes([len(dst)])
    length = (64).to_bytes(2, "big")
    first = hashlib.sha512(bytes(_SHA512_BLOCK_BYTES) + data + length + b"\0" + suffix).digest()
    return hashlib.sha512(first + b"\1" + suffix).digest()


def _short_frame(*fields: bytes) -> bytes:
    """The RFC's own framing: lengths of two bytes, where `envelopes.frame` has four."""
    return b"".join(len(part).to_bytes(2, "big") + part for part in fields)


def multiply(scalar: bytes, point: bytes) -> bytes:
    """Multiplies a point by a scalar.

    Raises:
        TokenRefused: If the point is not canonical, or the product is the identity.
    """
    try:
        return bytes(sodium.crypto_scalarmult_ristretto255(scalar, point))
    except (RuntimeError, ValueError) as error:
        raise TokenRefused("point: got no canonical encoding, or the identity") from error


def multiply_base(scalar: bytes) -> bytes:
    """Multiplies the group's generator by a scalar: a secret's public key.

    Raises:
        TokenRefused: If the scalar is zero.
    """
    try:
        return bytes(sodium.crypto_scalarmult_ristretto255_base(scalar))
    except (RuntimeError, ValueError) as error:
        raise TokenRefused("scalar: got zero, expected another") from error


def add(first: bytes, second: bytes) -> bytes:
    """Adds two points that were checked before."""
    return bytes(sodium.crypto_core_ristretto255_add(first, second))


def subtract(first: bytes, second: bytes) -> bytes:
    """The first point less the second; both were checked before."""
    return bytes(sodium.crypto_core_ristretto255_sub(first, second))


def random_scalar() -> bytes:
    """Draws a secret scalar, 32 bytes; never zero."""
    return bytes(sodium.crypto_core_ristretto255_scalar_random())


def invert(scalar: bytes) -> bytes:
    """The scalar that takes a multiplication by this one back."""
    return bytes(sodium.crypto_core_ristretto255_scalar_invert(scalar))


def multiply_scalars(first: bytes, second: bytes) -> bytes:
    """The product of two scalars, reduced."""
    return bytes(sodium.crypto_core_ristretto255_scalar_mul(first, second))


def add_scalars(first: bytes, second: bytes) -> bytes:
    """The sum of two scalars, reduced."""
    return bytes(sodium.crypto_core_ristretto255_scalar_add(first, second))


def subtract_scalars(first: bytes, second: bytes) -> bytes:
    """The first scalar less the second, reduced."""
    return bytes(sodium.crypto_core_ristretto255_scalar_sub(first, second))


def is_canonical(scalar: bytes) -> bool:
    """Tells whether these are the 32 bytes of a scalar below the group's order."""
    if len(scalar) != SCALAR_BYTES:
        return False
    reduced = sodium.crypto_core_ristretto255_scalar_reduce(scalar + bytes(SCALAR_BYTES))
    return hmac.compare_digest(bytes(reduced), scalar)


def check_secret(what: str, scalar: bytes) -> None:
    """Checks a secret scalar, which the message does not show.

    Raises:
        InvalidParameter: If it is zero or not reduced.
    """
    if not is_canonical(scalar) or hmac.compare_digest(scalar, bytes(SCALAR_BYTES)):
        raise InvalidParameter(f"{what}: got zero or no scalar of {SCALAR_BYTES} reduced bytes")


def check_point(what: str, point: bytes) -> None:
    """Checks a point from outside, which the message does not show.

    Raises:
        TokenRefused: If it is the identity or no canonical encoding.
    """
    # libsodium takes the identity, which no blinding makes, for a valid point.
    fits = len(point) == POINT_BYTES and point != bytes(POINT_BYTES)
    if not (fits and sodium.crypto_core_ristretto255_is_valid_point(point)):
        raise TokenRefused(
            f"{what}: got {len(point)} bytes that are the identity or no canonical encoding, "
            f"expected another point of ristretto255 in {POINT_BYTES}"
        )
