"""Sealed books: what a seal says of every slot, readable only by who has the slot's secret key.

A book has one entry a slot: the codes that HQ picked, still under the office's pads, and under
HQ's masks besides (`privacy.pads`). So

- an entry is unreadable without the slot's secret key, to HQ and to the office; in a fine book
  without the home's nonce as well (HQ knows that nonce: with an outlet that has the token it reads
  the bin);
- two seals XORed tell nothing, because no two share a one-time key; between two seals each night's
  book has the same entries, byte for byte, of the slots that are live still;
- HQ never learns who was looked up: outlets download the whole book and read it at home;
- a slot that is blank or newer than the seal holds fresh random bytes;
- every byte reads as codes: whatever anybody put there, nothing is raised at the desk.

An entry of a band book is one byte, of a fine book one a score:

    band    bits 0-1, 2-3  code of each score      4-5  of the evidence    6  the mark
    fine    bits 0-3       bin of the score; beyond the last reads as it   6  the mark

The **mark** is HQ's: so many outlets registered the customer that a sum could have wrapped, and a
person looks instead. The other bits are zero and not read.

What a book does not promise: whoever has computed a token once can read its band until the keys
behind tokens are rotated, consent or not. Codes are not proved: HQ, the office or a listed outlet
can make one false. With a wrong key an entry reads as uniform codes. HQ's signature and the
office's countersignature make a book genuine.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from privacy.days import read_day
from privacy.envelopes import frame, is_digest
from privacy.errors import InvalidParameter, PrivacyError
from privacy.pads import hq_context, masks, office_context, pad_of
from privacy.seal_plans import CHUNK_SLOTS, FINE_CUTS, MOST_SCORES, SealContext, SealKind
from privacy.slot_keys import is_point_in_hex

if TYPE_CHECKING:
    from collections.abc import Sequence

    from privacy.directory import Slots
    from privacy.seal_plans import SealPlan
    from privacy.sealed_tables import Codes
    from privacy.slot_keys import OneTimeKey, SlotKey

LARGEST_SLOTS = 2**27
LARGEST_NUMBER = 2**53
"""Bounds versions and moments: whatever reads JSON keeps them exact."""

TAG = b"escapement/v1/book"
"""The domain of signatures of books."""

_LENGTH_BYTES = 4
_LONGEST_HEADER = 2**18
_MARK = 0x40
_CODE_BITS, _FINE_BITS, _EVIDENCE_SHIFT = 2, 4, 4
_LAST_BIN = len(FINE_CUTS)


class BookRefused(PrivacyError):
    """A book that is malformed, forged, stale, not newer, or of another directory."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a slot's key reads in a book.

    Attributes:
        codes: Of a band book a code a score, of a fine book a bin.
        evidence: The code of the evidence; 0 in a fine book.
        many_outlets: A sum could have wrapped: the codes stand for nothing, a person looks.
    """

    codes: tuple[int, ...]
    evidence: int
    many_outlets: bool


@dataclass(frozen=True, slots=True)
class Seal:
    """Which seal entries are of: everything that pads and masks are bound to.

    Attributes:
        kind: What it is for.
        scores: Scores a slot.
        sealed: How many slots were sealed: later ones have no entry.
        as_of: The day that the data ends with, ISO 8601 date.
        plan: Digest of the signed seal plan.
        set: Digest of the set of answers.
        choices: Digest of HQ's choices of each chunk, in hex.
        hq_key: HQ's one-time slot key, in hex.
        office_key: The office's.
    """

    kind: SealKind
    scores: int
    sealed: int
    as_of: str
    plan: str
    set: str
    choices: tuple[str, ...]
    hq_key: str
    office_key: str

    def __post_init__(self) -> None:
        _check_numbers(self, [("scores", 1, MOST_SCORES), ("sealed", 0, LARGEST_SLOTS)])
        if not all(is_digest(name) for name in (self.plan, self.set, *self.choices)):
            raise BookRefused("book: plan, set and choices are not digests in hex; tell HQ")
        if len(self.choices) != -(-self.sealed // CHUNK_SLOTS):
            raise BookRefused(
                f"book: got choices of {len(self.choices)} chunks for {self.sealed} slots; tell HQ"
            )
        if not (is_point_in_hex(self.hq_key) and is_point_in_hex(self.office_key)):
            raise BookRefused("book: a one-time key is no point in hex; tell HQ")
        if read_day(self.as_of) is None:
            raise BookRefused("book: as_of is not a day, expected YYYY-MM-DD")

    @classmethod
    def of(cls, plan: SealPlan, digest: str, set_digest: str, choices: Sequence[str]) -> Self:
        """The seal of a plan.

        Args:
            plan: Signed.
            digest: Of its bytes.
            set_digest: Of the set that it was sealed for.
            choices: Digest of HQ's choices, a chunk each.
        """
        return cls(
            plan.kind, plan.scores, plan.slots, plan.as_of, digest, set_digest, tuple(choices),
            plan.hq_key, plan.slot_key,
        )  # fmt: skip

    @property
    def width(self) -> int:
        """Bytes an entry."""
        return 1 if self.kind is SealKind.BAND else self.scores

    def masked(
        self, codes: Codes, marked: npt.NDArray[np.bool_], keys: Slots, one_time: OneTimeKey,
        nonces: Sequence[bytes] | None = None,
    ) -> SealedEntries:  # fmt: skip
        """Entries under both layers: HQ's last step, after which its one-time key goes.

        Args:
            codes: uint8[sealed, tables], as picked, under the office's pads.
            marked: bool[sealed], slots of too many outlets.
            keys: uint8[sealed, KEY_BYTES], zeros where blank.
            one_time: HQ's, whose public half is `hq_key`.
            nonces: In a fine book, of each home's registration; anything where blank.

        Raises:
            InvalidParameter: If shapes or the key do not fit.
        """
        tables = self.scores + (self.kind is SealKind.BAND)
        if codes.shape != (self.sealed, tables) or not len(marked) == len(keys) == self.sealed:
            raise InvalidParameter(f"book: expected {self.sealed} codes, marks and keys")
        if (nonces is None) != (self.kind is SealKind.BAND):
            raise InvalidParameter("nonces: expected in a fine book, and in no other")
        if nonces is not None and len(nonces) != self.sealed:
            raise InvalidParameter(f"nonces: got {len(nonces)}, expected one a slot, {self.sealed}")
        if one_time.public.hex() != self.hq_key:
            raise InvalidParameter("one-time key: expected the seal's own")
        entries = self._packed(codes) | np.where(marked, np.uint8(_MARK), np.uint8(0))[:, None]
        over = masks(
            one_time, keys, self.width, office_key=bytes.fromhex(self.office_key), plan=self.plan,
            nonces=nonces,
        )  # fmt: skip
        return SealedEntries(self, (entries ^ over).tobytes())

    def read(self, slot: int, masked: bytes, key: SlotKey, nonce: bytes = b"") -> Entry:
        """Takes both layers off an entry; a wrong key is not noticed, and gives uniform codes.

        Args:
            slot: Below `sealed`.
            masked: Its `width` bytes.
            key: The slot's key pair.
            nonce: Of the home's registration, in a fine book.
        """
        hq_key, office_key = bytes.fromhex(self.hq_key), bytes.fromhex(self.office_key)
        mask = key.mask_key(hq_key, *hq_context(office_key, self.plan, slot, nonce))
        z = key.mask_key(office_key, *office_context(hq_key, self.plan, slot))
        chunk = slot // CHUNK_SLOTS
        context = SealContext(self.plan, self.set, chunk).encode()
        pad = pad_of(z, context, self.choices[chunk], slot)
        entry = [have ^ over for have, over in zip(masked, mask, strict=False)]
        if self.kind is SealKind.FINE:
            whole = (1 << _FINE_BITS) - 1
            bins = ((byte ^ own) & whole for byte, own in zip(entry, pad, strict=False))
            return Entry(tuple(min(one, _LAST_BIN) for one in bins), 0, bool(entry[0] & _MARK))
        [byte], whole = entry, (1 << _CODE_BITS) - 1
        codes = [
            (byte >> shift ^ own) & whole for shift, own in zip(self._shifts(), pad, strict=False)
        ]
        return Entry(tuple(codes[:-1]), codes[-1], bool(byte & _MARK))

    def _packed(self, codes: Codes) -> Codes:
        """uint8[n, width]."""
        if self.kind is SealKind.FINE:
            return codes
        shifted = codes << np.array(self._shifts(), dtype=np.uint8)
        return np.asarray(np.bitwise_or.reduce(shifted, axis=1))[:, None]

    def _shifts(self) -> list[int]:
        """Where the code of each table is in a band book's byte, the evidence's last."""
        return [*(_CODE_BITS * place for place in range(self.scores)), _EVIDENCE_SHIFT]


@dataclass(frozen=True, slots=True)
class SealedEntries:
    """The masked entries of one seal, from which each night's book is made.

    Attributes:
        seal: Which.
        body: sealed * width bytes.
    """

    seal: Seal
    body: bytes = field(repr=False)

    def __post_init__(self) -> None:
        _check_body(self.body, self.seal.sealed * self.seal.width)

    def encode(self) -> bytes:
        """For HQ's own store."""
        return frame(_canonical(asdict(self.seal))) + self.body

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads `encode`'s bytes.

        Raises:
            BookRefused: If they are malformed.
        """
        header, body = _cut(data)
        return cls(Seal(**_read(Seal, header)), body)

    def book(
        self, *, version: int, made_at: int, directory: str, blank: npt.NDArray[np.bool_]
    ) -> Book:
        """The book of a night: blank slots, and those added since, hold random bytes.

        Args:
            version: A version that no book had before.
            made_at: Unix seconds.
            directory: Digest of tonight's directory, which goes on from the seal's.
            blank: bool[slots], tonight's blank slots.

        Raises:
            BookRefused: If a header field is outside its domain, or slots are gone.
        """
        slots, seal = len(blank), self.seal
        if slots < seal.sealed:
            raise BookRefused(f"book: got {slots} slots, {seal.sealed} were sealed; tell HQ")
        entries = np.frombuffer(secrets.token_bytes(slots * seal.width), np.uint8).copy()
        entries = entries.reshape(slots, seal.width)
        kept = np.flatnonzero(~blank[: seal.sealed])
        entries[kept] = np.frombuffer(self.body, np.uint8).reshape(-1, seal.width)[kept]
        return Book(seal, version, made_at, slots, directory, entries.tobytes())


@dataclass(frozen=True, slots=True)
class BookHeader:
    """All of a book but its entries; what the office reads before it countersigns.

    Attributes:
        seal: Which seal its entries are of.
        version: Content version; grows with every book of any kind, and none is used twice.
        made_at: When HQ made it, in Unix seconds.
        slots: How many slots there are, withdrawn ones and those added since the seal included.
        directory: Digest of the directory that says whose slot is whose.
    """

    seal: Seal
    version: int
    made_at: int
    slots: int
    directory: str

    def __post_init__(self) -> None:
        limits = [("version", 0, LARGEST_NUMBER), ("made_at", 0, LARGEST_NUMBER)]
        _check_numbers(self, [*limits, ("slots", self.seal.sealed, LARGEST_SLOTS)])
        if not is_digest(self.directory):
            raise BookRefused("book: directory is not a digest in hex; tell HQ")

    @property
    def kind(self) -> SealKind:
        """What it is for."""
        return self.seal.kind

    @property
    def as_of(self) -> str:
        """The day that the data ends with, ISO 8601 date."""
        return self.seal.as_of

    def encode_header(self) -> bytes:
        """The header in canonical JSON."""
        names = [entry.name for entry in fields(BookHeader) if entry.name != "seal"]
        return _canonical({**asdict(self.seal), **{name: getattr(self, name) for name in names}})

    @classmethod
    def decode_header(cls, data: bytes) -> BookHeader:
        """Reads `encode_header`'s bytes, strictly.

        Raises:
            BookRefused: If they are malformed. Nothing else is raised, whatever the bytes.
        """
        raw = _read(Seal, data, [entry for entry in fields(BookHeader) if entry.name != "seal"])
        own = {entry.name for entry in fields(Seal)}
        seal = Seal(**{name: value for name, value in raw.items() if name in own})
        rest = {name: value for name, value in raw.items() if name not in own}
        return BookHeader(seal=seal, **rest)


@dataclass(frozen=True, slots=True)
class Book(BookHeader):
    """One entry a slot, masked.

    Attributes:
        body: slots * width masked bytes.
    """

    body: bytes = field(repr=False)

    @override
    def __post_init__(self) -> None:
        BookHeader.__post_init__(self)
        _check_body(self.body, self.slots * self.seal.width)

    def encode(self) -> bytes:
        """The bytes that HQ signs: length of the header, header in canonical JSON, entries."""
        return frame(self.encode_header()) + self.body

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads `encode`'s bytes, strictly: nothing else stands for the same book.

        Raises:
            BookRefused: If they are malformed. Nothing else is raised, whatever the bytes.
        """
        header, body = _cut(data)
        read = BookHeader.decode_header(header)
        return cls(read.seal, read.version, read.made_at, read.slots, read.directory, body)

    def read(self, slot: int, key: SlotKey, nonce: bytes = b"") -> Entry | None:
        """Reads one slot's entry; None where the slot is newer than the seal.

        Args:
            slot: The customer's place in the book's directory.
            key: The slot's key pair.
            nonce: Of the home's registration, in a fine book.

        Raises:
            InvalidParameter: If the book has no such slot.
        """
        if not 0 <= slot < self.slots:
            raise InvalidParameter(f"slot: outside the book, expected 0 to {self.slots - 1}")
        if slot >= self.seal.sealed:
            return None
        width = self.seal.width
        return self.seal.read(slot, self.body[slot * width : (slot + 1) * width], key, nonce)


def _check_numbers(of: object, limits: Sequence[tuple[str, int, int]]) -> None:
    for name, least, most in limits:
        got = getattr(of, name)
        if not least <= got <= most:
            raise BookRefused(f"book: got {name} {got}, expected {least} to {most}")


def _check_body(body: bytes, expected: int) -> None:
    if len(body) != expected:
        raise BookRefused(f"book: got {len(body)} bytes of entries, expected {expected}")


def _canonical(value: dict[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def _cut(data: bytes) -> tuple[bytes, bytes]:
    """Header and body."""
    length = int.from_bytes(data[:_LENGTH_BYTES], "big")
    end = _LENGTH_BYTES + length
    if not 1 <= length <= _LONGEST_HEADER or len(data) < end:
        raise BookRefused("book: cut off, or not a book; fetch it again")
    return data[_LENGTH_BYTES:end], data[end:]


_TYPES = {"int": int, "str": str, "SealKind": str, "tuple[str, ...]": list}


def _read(cls: type[Any], data: bytes, more: Sequence[Any] = ()) -> dict[str, Any]:
    """Parses canonical JSON of a dataclass's fields, and more; domains are theirs to check."""
    try:
        raw = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BookRefused("book: header is not JSON; fetch it again") from error
    expected = {entry.name: _TYPES[str(entry.type)] for entry in (*fields(cls), *more)}
    if not isinstance(raw, dict) or set(raw) != set(expected):
        raise BookRefused(f"book: got other header fields than {', '.join(expected)}")
    for name, kind in expected.items():
        if type(raw[name]) is not kind:
            raise BookRefused(f"book: {name} is of another type, expected {kind.__name__}")
    if _canonical(raw) != data:
        raise BookRefused("book: header is not in canonical form; fetch it again")
    if raw["kind"] not in set(SealKind):
        raise BookRefused(f"book: of an unknown kind, expected {' or '.join(SealKind)}")
    if not all(isinstance(one, str) for one in raw["choices"]):
        raise BookRefused("book: choices are of another type, expected str")
    return {**raw, "kind": SealKind(raw["kind"]), "choices": tuple(raw["choices"])}
