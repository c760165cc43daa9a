"""Publications: what the privacy office says of the directories and books that HQ publishes.

HQ makes them; the office **countersigns** their digests, each under a number that grows by one.
Outlets take nothing else. So HQ cannot show two outlets two directories or two books of one night,
and cannot take back what it published. What the office checks before is `server.office`'s: of a
directory all of its content, of a book that there is no other one for its directory. It cannot
check what is masked in a book.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Self

from privacy.envelopes import SigningKey, VerifyKey, digest, is_digest
from privacy.errors import PrivacyError
from privacy.log_heads import LATEST

SIGNATURE_BYTES = 64

_DOMAIN = b"escapement/v1/publication"
_LARGEST = 2**53
_LENGTH_BYTES, _LONGEST = 4, 1024


class PublicationRefused(PrivacyError):
    """A publication that the privacy office did not countersign, or not this one."""


class PublicationTooSoon(PublicationRefused):
    """A new directory so few hours after the last that the office countersigned."""


class PublicationKind(StrEnum):
    """What is published."""

    DIRECTORY = "directory"
    BOOK = "book"


@dataclass(frozen=True, slots=True)
class Publication:
    """What the office says of one.

    Attributes:
        kind: What it is.
        number: Which of the office's statements about directories; a book has its directory's.
        digest: SHA-256 of the directory, or of the book as HQ signed it, in hex.
        directory: Digest of the directory, a book's own; in hex.
        at: When it was made, in Unix seconds by the office's clock.
    """

    kind: PublicationKind
    number: int
    digest: str
    directory: str
    at: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= _LARGEST or not 0 <= self.at <= LATEST:
            raise PublicationRefused("publication: its number or moment is outside its domain")
        if not (is_digest(self.digest) and is_digest(self.directory)):
            raise PublicationRefused("publication: expected digests in hex")

    def encode(self) -> bytes:
        """The canonical bytes that are signed."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads `encode`'s bytes, strictly.

        Raises:
            PublicationRefused: If they are no such bytes.
        """
        try:
            raw = json.loads(data)
            types = {"kind": str, "number": int, "digest": str, "directory": str, "at": int}
            if {name: type(value) for name, value in raw.items()} != types:
                raise PublicationRefused("publication: got other fields than expected")
            made = cls(**{**raw, "kind": PublicationKind(raw["kind"])})
        except (AttributeError, RecursionError, ValueError) as error:
            raise PublicationRefused("publication: malformed") from error
        if made.encode() != data:
            raise PublicationRefused("publication: not in canonical form")
        return made


@dataclass(frozen=True, slots=True)
class Countersigned:
    """A publication's bytes and the office's signature over them."""

    payload: bytes
    signature: bytes

    def encode(self) -> bytes:
        """Length of the payload, payload, signature."""
        return len(self.payload).to_bytes(_LENGTH_BYTES, "big") + self.payload + self.signature

    @classmethod
    def cut_off(cls, data: bytes) -> tuple[Self, bytes]:
        """Reads `encode`'s bytes, and what follows them. Nothing is verified yet.

        Raises:
            PublicationRefused: If there are too few.
        """
        end = _LENGTH_BYTES + int.from_bytes(data[:_LENGTH_BYTES], "big")
        if end > _LONGEST or len(data) < end + SIGNATURE_BYTES:
            raise PublicationRefused("publication: cut off; fetch it again")
        payload, rest = data[_LENGTH_BYTES:end], data[end:]
        return cls(payload, rest[:SIGNATURE_BYTES]), rest[SIGNATURE_BYTES:]


@dataclass(frozen=True, slots=True)
class Publishers:
    """Whose signatures make a publication: the keys that an outlet is pinned to.

    Attributes:
        hq: Signs books.
        office: Countersigns directories and books.
    """

    hq: VerifyKey
    office: VerifyKey


def countersign(publication: Publication, office: SigningKey) -> Countersigned:
    """Signs a publication; the office only."""
    payload = publication.encode()
    return Countersigned(payload, office.sign(_DOMAIN, payload))


def open_publication(
    signed: Countersigned, office: VerifyKey, kind: PublicationKind
) -> Publication:
    """Reads what the office says of a directory or of a book.

    Raises:
        PublicationRefused: If it is forged, malformed, or of the other kind.
    """
    if not office.verify(signed.signature, _DOMAIN, signed.payload):
        raise PublicationRefused(
            f"{kind}: not countersigned by the pinned privacy office; keep the last one and tell "
            "the office"
        )
    found = Publication.decode(signed.payload)
    if found.kind is not kind:
        raise PublicationRefused(f"{kind}: got what the office said of a {found.kind}")
    return found


def check_published(
    signed: Countersigned, office: VerifyKey, kind: PublicationKind, data: bytes
) -> Publication:
    """Refuses bytes that are not the ones that the office countersigned.

    Raises:
        PublicationRefused: If it countersigned others, or nothing.
    """
    found = open_publication(signed, office, kind)
    if digest(data) != found.digest:
        raise PublicationRefused(
            f"{kind}: got digest {digest(data)[:16]}, the privacy office countersigned "
            f"{found.digest[:16]}; keep the last one and tell the office"
        )
    return found
