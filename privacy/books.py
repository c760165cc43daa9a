"""Books: what HQ says about every slot, readable only by who can compute the slot's identifier.

A book has one entry a slot. Entry i is XORed with HKDF-SHA256 (RFC 5869) of the slot's key; the
`info` names protocol, kind of book, release, version, moment and slot. So

- an entry is unreadable without the slot's key: its token, or token and home nonce in a fine book;
- two books XORed tell nothing, because no two masks share an `info`. Versions are never used twice;
  the moment is in there too, for an HQ that was restored from a backup and counts versions again;
- HQ never learns who was looked up: outlets download the whole book and read it at home;
- a withdrawn slot holds fresh random bytes, which nobody can tell from an entry.

What a book does not promise: whoever has computed a token once can read its band until the keys
behind tokens are rotated, consent or not. A mask is not authentication: with a wrong key an entry
reads as a uniform byte. It is HQ's signature that makes a book genuine.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from privacy.envelopes import frame
from privacy.errors import InvalidParameter, PrivacyError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from privacy.envelopes import SigningKey, VerifyKey

LARGEST_SLOTS = 2**27
LARGEST_NUMBER = 2**53
"""Bounds versions and moments: whatever reads JSON keeps them exact."""

WIDEST_ENTRY = 2
LEAST_KEY_BYTES = 32
SIGNATURE_BYTES = 64

_TAG = b"escapement/v1/book"
_LENGTH_BYTES = _SLOT_BYTES = 4
_SLOT_LENGTH = _SLOT_BYTES.to_bytes(_LENGTH_BYTES, "big")
_AXES = 2
_LONGEST_NAME, _LONGEST_HEADER = 128, 1024
_HEADER = {
    "kind": str,
    "release": str,
    "version": int,
    "as_of": str,
    "made_at": int,
    "slots": int,
    "width": int,
    "directory": str,
}


class BookRefused(PrivacyError):
    """A book that is malformed, forged, stale, not newer, or of another directory."""


class BookKind(StrEnum):
    """What a book is for; part of every mask."""

    BAND = "band"
    """Bands, for every outlet that knows the customer. Its keys are tokens."""

    FINE = "fine"
    """Score bins, for the home outlet alone. Its keys are `fine_key`'s."""


def fine_key(token: bytes, home_nonce: bytes) -> bytes:
    """The key of a slot in a fine book: only HQ and the home outlet know both parts.

    Args:
        token: The slot's token, 32 bytes.
        home_nonce: The nonce of the home's registration, 32 bytes.
    """
    return frame(token, home_nonce)


@dataclass(frozen=True, slots=True)
class Book:
    """One entry a slot, masked.

    Attributes:
        kind: What it is for.
        release: Id of the points release that it is made of.
        version: Content version; grows with every book of any kind, and none is used twice.
        as_of: The day that the data ends with, ISO 8601 date.
        made_at: When HQ made it, in Unix seconds.
        slots: How many slots there are, withdrawn ones included.
        width: Bytes a slot, 1 or 2.
        directory: Digest of the directory that says whose slot is whose.
        body: slots * width masked bytes.
    """

    kind: BookKind
    release: str
    version: int
    as_of: str
    made_at: int
    slots: int
    width: int
    directory: str
    body: bytes = field(repr=False)

    def __post_init__(self) -> None:
        for name, least, most in [
            ("version", 0, LARGEST_NUMBER),
            ("made_at", 0, LARGEST_NUMBER),
            ("slots", 0, LARGEST_SLOTS),
            ("width", 1, WIDEST_ENTRY),
        ]:
            if not least <= getattr(self, name) <= most:
                raise BookRefused(
                    f"book: got {name} {getattr(self, name)}, expected {least} to {most}"
                )
        for name in ("release", "directory"):
            if not _is_name(getattr(self, name)):
                raise BookRefused(
                    f"book: {name} is not 1 to {_LONGEST_NAME} printable ASCII characters"
                )
        if not _is_day(self.as_of):
            raise BookRefused("book: as_of is not a day, expected YYYY-MM-DD")
        if len(self.body) != self.slots * self.width:
            raise BookRefused(
                f"book: got {len(self.body)} bytes of entries, expected {self.slots * self.width}"
            )

    @classmethod
    def masked(
        cls,
        entries: npt.NDArray[np.uint8],
        keys: Sequence[bytes | None],
        *,
        kind: BookKind,
        release: str,
        version: int,
        as_of: str,
        made_at: int,
        directory: str,
    ) -> Self:
        """Makes a book from entries in the clear.

        Args:
            entries: uint8[n, width].
            keys: One a slot; None where the customer has withdrawn.
            kind: What the book is for.
            release: Id of the points release.
            version: A version that no book had before.
            as_of: ISO 8601 date.
            made_at: Unix seconds.
            directory: Digest of the directory.

        Raises:
            InvalidParameter: If entries and keys do not fit, or a key is too short.
            BookRefused: If a header field is outside its domain.
        """
        body = mask_entries(
            entries, keys, kind=kind, release=release, version=version, made_at=made_at
        )
        slots, width = entries.shape
        return cls(kind, release, version, as_of, made_at, slots, width, directory, body)

    def encode(self) -> bytes:
        """The bytes that HQ signs: length of the header, header in canonical JSON, entries."""
        return frame(_canonical({name: getattr(self, name) for name in _HEADER})) + self.body

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads `encode`'s bytes, strictly: nothing else stands for the same book.

        Raises:
            BookRefused: If they are malformed. Nothing else is raised, whatever the bytes.
        """
        length = int.from_bytes(data[:_LENGTH_BYTES], "big")
        end = _LENGTH_BYTES + length
        if not 1 <= length <= _LONGEST_HEADER or len(data) < end:
            raise BookRefused("book: cut off, or not a book; fetch it again")
        raw = _header(data[_LENGTH_BYTES:end])
        return cls(**raw, body=data[end:])


@dataclass(frozen=True, slots=True)
class SignedBook:
    """A book's bytes and HQ's signature over them."""

    book: bytes = field(repr=False)
    signature: bytes

    def __post_init__(self) -> None:
        if len(self.signature) != SIGNATURE_BYTES:
            raise BookRefused(
                f"book: got a signature of {len(self.signature)} bytes, expected {SIGNATURE_BYTES}"
            )

    def encode(self) -> bytes:
        """The bytes that are published: the signature, then the book."""
        return self.signature + self.book

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads `encode`'s bytes. Nothing is verified yet: `open_book` does that.

        Raises:
            BookRefused: If they are too short for a signature.
        """
        return cls(data[SIGNATURE_BYTES:], data[:SIGNATURE_BYTES])


def mask_entries(
    entries: npt.NDArray[np.uint8],
    keys: Sequence[bytes | None],
    *,
    kind: BookKind,
    release: str,
    version: int,
    made_at: int,
) -> bytes:
    """Masks entries, each under its slot's key. Masking twice gives the entries back.

    Args:
        entries: uint8[n, width], width 1 or 2.
        keys: n keys of 32 bytes or more; None where the customer has withdrawn: that slot gets
            fresh random bytes.
        kind: The book's.
        release: The book's.
        version: The book's.
        made_at: The book's, in Unix seconds.

    Returns:
        n * width bytes, a book's body.

    Raises:
        InvalidParameter: If the shapes do not fit, or a key is too short.
    """
    fits = entries.dtype == np.uint8 and entries.ndim == _AXES
    if not fits or not 1 <= entries.shape[1] <= WIDEST_ENTRY:
        raise InvalidParameter(
            f"entries: got {entries.dtype}{list(entries.shape)}, "
            f"expected uint8[n, 1 to {WIDEST_ENTRY}]"
        )
    if len(keys) != len(entries):
        raise InvalidParameter(f"keys: got {len(keys)}, expected one a slot, {len(entries)}")
    width = entries.shape[1]
    info = _info(kind, release, version, made_at)
    masks = b"".join(
        secrets.token_bytes(width) if key is None else _mask(key, info, slot, width)
        for slot, key in enumerate(keys)
    )
    return (entries ^ np.frombuffer(masks, dtype=np.uint8).reshape(entries.shape)).tobytes()


def read_entry(book: Book, slot: int, key: bytes) -> bytes:
    """Reads one slot's entry.

    A wrong key is not noticed here: the bytes are then uniform.

    Args:
        book: An opened book.
        slot: The customer's place in the book's directory.
        key: The token, or `fine_key` for a fine book.

    Returns:
        `book.width` bytes.

    Raises:
        InvalidParameter: If the book has no such slot, or the key is too short.
    """
    if not 0 <= slot < book.slots:
        raise InvalidParameter(f"slot: outside the book, expected 0 to {book.slots - 1}")
    info = _info(book.kind, book.release, book.version, book.made_at)
    masked = book.body[slot * book.width : (slot + 1) * book.width]
    return bytes(a ^ b for a, b in zip(masked, _mask(key, info, slot, book.width), strict=True))


def sign_book(book: Book, key: SigningKey) -> SignedBook:
    """Signs a book; HQ only."""
    data = book.encode()
    return SignedBook(data, key.sign(_TAG, data))


def open_book(
    signed: SignedBook,
    hq: VerifyKey,
    *,
    newer_than: int | None,
    directory: str | None,
    not_before: int,
    not_after: int | None = None,
    kind: BookKind | None = None,
) -> Book:
    """Reads a book that HQ signed, if it is the one to use now.

    Args:
        signed: What was downloaded.
        hq: The pinned key.
        newer_than: Version of the last book that was accepted; None for the first.
        directory: Digest of the directory that slots are looked up in; None to leave it open.
        not_before: Books made earlier are stale, in Unix seconds.
        not_after: Books made later are from a clock that is wrong, or never to grow stale.
        kind: The kind that is expected; None for any.

    Raises:
        BookRefused: If it is forged, malformed, of another kind or directory, not newer, or stale.
    """
    if not hq.verify(signed.signature, _TAG, signed.book):
        raise BookRefused("book: not signed by the pinned HQ; keep the last book and tell HQ")
    book = Book.decode(signed.book)
    if kind is not None and book.kind is not kind:
        raise BookRefused(f"book: got a {book.kind} book, expected a {kind} book; fetch that one")
    if directory is not None and book.directory != directory:
        raise BookRefused(
            f"book: got one of directory {book.directory[:16]}, expected {directory[:16]}; "
            "fetch directory and book again"
        )
    if newer_than is not None and book.version <= newer_than:
        raise BookRefused(
            f"book: got version {book.version}, expected one above {newer_than}; "
            "keep the book you have and fetch again later"
        )
    if book.made_at < not_before:
        raise BookRefused(
            f"book: stale, made {not_before - book.made_at} s before the oldest moment accepted; "
            "show no bands and ask HQ for a new book"
        )
    if not_after is not None and book.made_at > not_after:
        raise BookRefused(
            f"book: made {book.made_at - not_after} s after the latest moment accepted; keep the "
            "book you have and tell HQ that its clock is wrong"
        )
    return book


def _info(kind: BookKind, release: str, version: int, made_at: int) -> bytes:
    numbers = (number.to_bytes(8, "big") for number in (version, made_at))
    return frame(_TAG, kind.value.encode(), release.encode(), *numbers)


def _mask(key: bytes, info: bytes, slot: int, width: int) -> bytes:
    if len(key) < LEAST_KEY_BYTES:
        raise InvalidParameter(f"key of a slot: got {len(key)} bytes, expected {LEAST_KEY_BYTES}")
    place = _SLOT_LENGTH + slot.to_bytes(_SLOT_BYTES, "big")
    return HKDF(SHA256(), width, salt=None, info=info + place).derive(key)


def _is_name(text: str) -> bool:
    return 1 <= len(text) <= _LONGEST_NAME and text.isascii() and text.isprintable()


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _canonical(value: dict[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def _header(data: bytes) -> dict[str, Any]:
    """Parses a canonical header; the domains of its fields are `Book`'s to check."""
    try:
        raw = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BookRefused("book: header is not JSON; fetch it again") from error
    if not isinstance(raw, dict) or set(raw) != set(_HEADER):
        raise BookRefused(f"book: got other header fields than {', '.join(_HEADER)}")
    for name, kind in _HEADER.items():
        if type(raw[name]) is not kind:
            raise BookRefused(f"book: {name} is of another type, expected {kind.__name__}")
    if _canonical(raw) != data:
        raise BookRefused("book: header is not in canonical form; fetch it again")
    if raw["kind"] not in set(BookKind):
        raise BookRefused(f"book: of an unknown kind, expected {' or '.join(BookKind)}")
    return {**raw, "kind": BookKind(raw["kind"])}
