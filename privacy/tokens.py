"""Tokens: one pseudonym a customer at all outlets, which no party can compute alone.

T = (k_hq + k_office) . H(identifier), a verifiable oblivious PRF [RFC 9497] in its mode 1 over
ristretto255 and SHA-512, stopped at the group element before Finalize, its key split additively
between HQ and the privacy office. Who learns what:

- an outlet learns the tokens of identifiers that it already holds, and nothing of the keys; a token
  stays there, HQ and the office see the public slot key made of it (`privacy.slot_keys`);
- HQ and the office see blinded points, uniform whatever the identifier: neither an identifier nor
  a token, nor whether two requests are about one customer;
- one holder alone cannot compute a token, not even with a list of every phone number. **Both
  together can, so the argument needs HQ and the office not to collude**;
- a holder that answers under another key is noticed: each proves its answer under its public key,
  and the two public keys must add up to the total that outlets pin.

Whoever may ask may guess identifiers: quotas stand against that, and they are not kept here.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field
from functools import reduce
from typing import TYPE_CHECKING, Literal, Self

from typing_extensions import override

from privacy import voprf
from privacy.voprf import POINT_BYTES, TokenRefused

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "MOST_POINTS",
    "Blinded",
    "Evaluation",
    "Token",
    "TokenRefused",
    "TokenShare",
    "blind",
    "fresh_delta",
    "token",
    "total_key",
    "unblind",
]

MOST_POINTS = 4096
"""In one request; a proof covers all of them."""

_HOLDERS = ("HQ", "the privacy office")


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Token:
    """A customer's pseudonym, which never leaves an outlet; never printed.

    Attributes:
        raw: The 32 bytes of the group element.

    Raises:
        TokenRefused: If they are the identity or no canonical encoding.
    """

    raw: bytes

    def __post_init__(self) -> None:
        voprf.check_point("token", self.raw)

    @override
    def __repr__(self) -> str:
        return "Token(<secret>)"

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Token) and hmac.compare_digest(self.raw, other.raw)

    @override
    def __hash__(self) -> int:
        return hash(self.raw)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One holder's answer to a request, with one proof for all its points.

    Attributes:
        public: The holder's public key, 32 bytes.
        epoch: How often the shares were refreshed; for messages only, the proof does not cover it.
        elements: The share times each point, in the request's order, 32 bytes each.
        proof: Equality of discrete logarithms [RFC 9497, 2.2], 64 bytes.
    """

    public: bytes
    epoch: int
    elements: tuple[bytes, ...] = field(repr=False)
    proof: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class TokenShare:
    """One holder's share of the key; never printed.

    Attributes:
        epoch: How often the shares were refreshed. The two holders' must be the same.

    Raises:
        InvalidParameter: If the scalar is zero or not reduced.
    """

    _scalar: bytes = field(repr=False)
    epoch: int

    def __post_init__(self) -> None:
        voprf.check_secret("share", self._scalar)

    @classmethod
    def generate(cls) -> Self:
        """Makes a fresh share, in epoch 0."""
        return cls(voprf.random_scalar(), 0)

    @classmethod
    def from_bytes(cls, raw: bytes, epoch: int) -> Self:
        """Reads what `to_bytes` wrote.

        Raises:
            InvalidParameter: If the scalar is zero or not reduced.
        """
        return cls(raw, epoch)

    def to_bytes(self) -> bytes:
        """The 32 secret bytes, for the holder's key file only."""
        return self._scalar

    @property
    def public(self) -> bytes:
        """The share's public key, 32 bytes."""
        return voprf.multiply_base(self._scalar)

    def evaluate(self, points: Sequence[bytes]) -> Evaluation:
        """Multiplies each point by the share and proves it, once for all points.

        Args:
            points: 1 to `MOST_POINTS` blinded points, 32 bytes each.

        Raises:
            TokenRefused: If there are more or none, or one is the identity or not canonical.
        """
        _check_count("request", len(points))
        for number, point in enumerate(points, 1):
            voprf.check_point(f"request: point {number} of {len(points)}", point)
        elements = tuple(voprf.multiply(self._scalar, point) for point in points)
        # A proof scalar used twice gives the share away: it is drawn here and nowhere kept.
        proof = voprf.prove(self._scalar, points, elements, voprf.random_scalar())
        return Evaluation(self.public, self.epoch, elements, proof)

    def refreshed(self, delta: bytes, sign: Literal[1, -1]) -> Self:
        """Moves to the next epoch: one holder adds what the other subtracts, so the sum stays.

        Args:
            delta: A secret scalar of `fresh_delta`, the same at both holders.
            sign: 1 at one holder, -1 at the other.

        Raises:
            InvalidParameter: If delta is zero or not reduced.
        """
        voprf.check_secret("delta", delta)
        combine = {1: voprf.add_scalars, -1: voprf.subtract_scalars}[sign]
        return type(self)(combine(self._scalar, delta), self.epoch + 1)


def fresh_delta() -> bytes:
    """Draws what a refresh moves between the shares: 32 secret bytes, to be sent sealed."""
    return voprf.random_scalar()


@dataclass(frozen=True, slots=True, eq=False)
class Blinded:
    """An identifier on its way to the holders. Only who made it can take the blinding off.

    Attributes:
        point: What the holders see, 32 bytes, uniform whatever the identifier.
    """

    point: bytes = field(repr=False)
    _scalar: bytes = field(repr=False)

    @classmethod
    def of(cls, data: bytes) -> Self:
        """Blinds one input with a fresh scalar."""
        scalar = voprf.random_scalar()
        return cls(voprf.multiply(scalar, voprf.hash_to_group(data)), scalar)

    @classmethod
    def dummy(cls) -> Self:
        """Blinds a random input: padding, so that the number of requests tells nothing."""
        return cls.of(secrets.token_bytes(POINT_BYTES))

    def unblinded(self, element: bytes) -> Token:
        """Takes the blinding off the sum of both holders' elements, once their proofs verified."""
        return Token(voprf.multiply(voprf.invert(self._scalar), element))


def blind(identifiers: Sequence[str]) -> list[Blinded]:
    """Blinds identifiers, each with a fresh scalar.

    Args:
        identifiers: With their purpose tag, such as "tel:+6581234567".
    """
    return [Blinded.of(_encoded(identifier)) for identifier in identifiers]


def total_key(hq_public: bytes, office_public: bytes) -> bytes:
    """Adds the holders' public keys up: what outlets pin, and no refresh changes.

    Raises:
        TokenRefused: If one of them, or the sum, is the identity or not canonical.
    """
    for holder, public in zip(_HOLDERS, (hq_public, office_public), strict=True):
        voprf.check_point(f"{holder}: public key", public)
    total = voprf.add(hq_public, office_public)
    voprf.check_point("public keys: sum", total)
    return total


def unblind(
    blinded: Sequence[Blinded], first: Evaluation, second: Evaluation, pinned_total: bytes
) -> list[Token]:
    """Verifies both holders' answers and makes tokens of them.

    Args:
        blinded: What was asked, in order.
        first: HQ's answer.
        second: The privacy office's answer.
        pinned_total: The `total_key` that the outlet was enrolled with.

    Returns:
        One token for each of `blinded`, in order.

    Raises:
        TokenRefused: If counts or epochs differ, the public keys do not add up to the pinned
            total, or a proof does not verify. No token is made then.
    """
    _check_count("request", len(blinded))
    answers = list(zip(_HOLDERS, (first, second), strict=True))
    for holder, answer in answers:
        _check_elements(holder, answer, len(blinded))
    if first.epoch != second.epoch:
        raise TokenRefused(
            f"epochs: got {first.epoch} from {_HOLDERS[0]} and {second.epoch} from {_HOLDERS[1]}, "
            "expected the same; one of them has refreshed its share and the other has not"
        )
    if not hmac.compare_digest(total_key(first.public, second.public), pinned_total):
        raise TokenRefused(
            f"public keys: those of {_HOLDERS[0]} and {_HOLDERS[1]} do not add up to the pinned "
            "total; one of them does not use the share that the total was made with"
        )
    points = [one.point for one in blinded]
    for holder, answer in answers:
        if not voprf.verify(answer.public, points, answer.elements, answer.proof):
            raise TokenRefused(
                f"{holder}: its proof for {len(points)} points does not verify under its public key"
            )
    return [
        one.unblinded(voprf.add(*elements))
        for one, *elements in zip(blinded, first.elements, second.elements, strict=True)
    ]


def token(identifier: str, *shares: TokenShare) -> Token:
    """Computes a token directly, on a machine that holds every share: the sandbox only.

    Raises:
        TokenRefused: If there is no share, or the shares are of several epochs.
    """
    if len({share.epoch for share in shares}) != 1:
        raise TokenRefused(f"shares: got {len(shares)}, expected at least 1, all of one epoch")
    point = voprf.hash_to_group(_encoded(identifier))
    return Token(reduce(voprf.add, [voprf.multiply(share.to_bytes(), point) for share in shares]))


def _encoded(identifier: str) -> bytes:
    # Lone surrogates too: an error here would carry the identifier, and tell HQ about it.
    return identifier.encode("utf-8", "surrogatepass")


def _check_count(what: str, count: int) -> None:
    if not 1 <= count <= MOST_POINTS:
        raise TokenRefused(f"{what}: got {count} points, expected 1 to {MOST_POINTS}")


def _check_elements(holder: str, answer: Evaluation, count: int) -> None:
    if len(answer.elements) != count:
        raise TokenRefused(f"{holder}: got {len(answer.elements)} elements, expected {count}")
    for number, element in enumerate(answer.elements, 1):
        voprf.check_point(f"{holder}: element {number} of {count}", element)
