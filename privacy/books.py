"""Books: what HQ says about every slot, readable only by who has the slot's secret key.

A book has one entry a slot. Entry i is XORed with bytes that HQ and the slot's holder agree on
(`privacy.slot_keys`): HQ by a one-time key that it draws for this book and forgets, whose public
half is in the book, the holder by the secret that it derives from the customer's token. The mask is
bound to protocol, kind of book, release, version, moment and slot, in a fine book also to the nonce
of the home's registration. So

- an entry is unreadable without the slot's secret key, to HQ too once the book is made; in a fine
  book without the home's nonce as well;
- two books XORed tell nothing, because no two masks share a one-time key;
- HQ never learns who was looked up: outlets download the whole book and read it at home;
- a withdrawn slot holds fresh random bytes, which nobody can tell from an entry.

What a book does not promise: whoever has computed a token once can read its band until the keys
behind tokens are rotated, consent or not. A mask is not authentication: with a wrong key an entry
reads as a uniform byte. HQ's signature and the office's countersignature make a book genuine.
"""

from __future__ import annotations

import json
import os
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from privacy.envelopes import frame
from privacy.errors import InvalidParameter, PrivacyError
from privacy.slot_keys import KEY_BYTES, OneTimeKey
from privacy.voprf import TokenRefused, check_point

if TYPE_CHECKING:
    from collections.abc import Sequence

    from privacy.directory import Slots
    from privacy.slot_keys import SlotKey

LARGEST_SLOTS = 2**27
LARGEST_NUMBER = 2**53
"""Bounds versions and moments: whatever reads JSON keeps them exact."""

WIDEST_ENTRY = 2

TAG = b"escapement/v1/book"
"""The domain of signatures and masks of books."""

_LENGTH_BYTES = _SLOT_BYTES = 4
_CHUNK = 4096
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
    "key": str,
}


class BookRefused(PrivacyError):
    """A book that is malformed, forged, stale, not newer, or of another directory."""


class BookKind(StrEnum):
    """What a book is for; part of every mask."""

    BAND = "band"
    """Bands, for every outlet that knows the customer."""

    FINE = "fine"
    """Score bins, for the home outlet alone: its masks need the nonce of its registration too."""


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
        key: Public half of the one-time key that its masks were made with, in hex.
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
    key: str
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
        if not _is_key(self.key):
            raise BookRefused(f"book: key is no point of {KEY_BYTES} bytes in hex; tell HQ")
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
        keys: Slots,
        *,
        kind: BookKind,
        release: str,
        version: int,
        as_of: str,
        made_at: int,
        directory: str,
        nonces: Sequence[bytes] | None = None,
    ) -> Self:
        """Makes a book from entries in the clear, under a one-time key that is forgotten at once.

        Args:
            entries: uint8[n, width].
            keys: uint8[n, KEY_BYTES], public slot keys; zeros where the customer has withdrawn:
                that slot gets fresh random bytes.
            kind: What the book is for.
            release: Id of the points release.
            version: A version that no book had before.
            as_of: ISO 8601 date.
            made_at: Unix seconds.
            directory: Digest of the directory.
            nonces: In a fine book, of each home's registration; anything where withdrawn.

        Raises:
            InvalidParameter: If the shapes do not fit.
            TokenRefused: If a key is no point.
            BookRefused: If a header field is outside its domain.
        """
        _check_shapes(entries, keys, nonces)
        if (kind is BookKind.FINE) != (nonces is not None):
            raise InvalidParameter("nonces: expected in a fine book, and in no other")
        slots, width = entries.shape
        one_time = OneTimeKey.generate()
        unmasked = cls(
            kind, release, version, as_of, made_at, slots, width, directory,
            one_time.public.hex(), entries.tobytes(),
        )  # fmt: skip
        masks = unmasked._masks(one_time, keys, nonces)
        return replace(unmasked, body=(entries ^ masks).tobytes())

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

    def read(self, slot: int, key: SlotKey, nonce: bytes = b"") -> bytes:
        """Reads one slot's entry.

        A wrong key is not noticed here: the bytes are then uniform.

        Args:
            slot: The customer's place in the book's directory.
            key: The slot's key pair.
            nonce: Of the home's registration, in a fine book.

        Returns:
            `width` bytes.

        Raises:
            InvalidParameter: If the book has no such slot.
        """
        if not 0 <= slot < self.slots:
            raise InvalidParameter(f"slot: outside the book, expected 0 to {self.slots - 1}")
        mask = key.mask_key(bytes.fromhex(self.key), *self._context(slot, nonce))
        masked = self.body[slot * self.width : (slot + 1) * self.width]
        return bytes(a ^ b for a, b in zip(masked, mask, strict=False))

    def _context(self, slot: int, nonce: bytes) -> tuple[bytes, ...]:
        """What a slot's mask is bound to, besides the two public keys."""
        numbers = (number.to_bytes(8, "big") for number in (self.version, self.made_at))
        place = slot.to_bytes(_SLOT_BYTES, "big")
        return (TAG, self.kind.value.encode(), self.release.encode(), *numbers, place, nonce)

    def _masks(
        self, one_time: OneTimeKey, keys: Slots, nonces: Sequence[bytes] | None
    ) -> npt.NDArray[np.uint8]:
        """The masks of all slots, uint8[slots, width]; on all cores, libsodium needs no lock."""
        live = np.asarray(keys.any(axis=1))

        def mask(slot: int) -> bytes:
            if not live[slot]:
                return secrets.token_bytes(self.width)
            context = self._context(slot, b"" if nonces is None else nonces[slot])
            return one_time.mask_key(keys[slot].tobytes(), *context)[: self.width]

        def chunk(start: int) -> bytes:
            return b"".join(map(mask, range(start, min(start + _CHUNK, self.slots))))

        with ThreadPoolExecutor(os.cpu_count()) as threads:
            masks = b"".join(threads.map(chunk, range(0, self.slots, _CHUNK)))
        return np.frombuffer(masks, dtype=np.uint8).reshape(self.slots, self.width)


def _check_shapes(
    entries: npt.NDArray[np.uint8], keys: Slots, nonces: Sequence[bytes] | None
) -> None:
    fits = entries.dtype == np.uint8 and entries.ndim == _AXES
    if not fits or not 1 <= entries.shape[1] <= WIDEST_ENTRY:
        raise InvalidParameter(
            f"entries: got {entries.dtype}{list(entries.shape)}, "
            f"expected uint8[n, 1 to {WIDEST_ENTRY}]"
        )
    if keys.shape != (len(entries), KEY_BYTES) or keys.dtype != np.uint8:
        raise InvalidParameter(f"keys: expected one a slot, uint8[{len(entries)}, {KEY_BYTES}]")
    if nonces is not None and len(nonces) != len(entries):
        raise InvalidParameter(f"nonces: got {len(nonces)}, expected one a slot, {len(entries)}")


def _is_name(text: str) -> bool:
    return 1 <= len(text) <= _LONGEST_NAME and text.isascii() and text.isprintable()


def _is_key(text: str) -> bool:
    """Whether masks can be made with it, for all slots or for none: see `SlotKey.mask_key`."""
    try:
        raw = bytes.fromhex(text)
        check_point("key", raw)
    except (TokenRefused, ValueError):
        return False
    return raw.hex() == text


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
