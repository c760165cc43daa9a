"""The directory: which slot belongs to whose key, without a token in it.

HQ publishes it whole or as what changed, so that asking for it reveals nothing. Per slot there is
the public slot key, and a home tag that only the home outlet recognises: 48 bytes. It only grows:
a slot never gets another key, and a withdrawn customer's slot stays, **blank**. Blank is all zero
bytes, which is no point of the curve: whatever is masked for it nobody could read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping  # noqa: TC003
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from privacy.envelopes import digest
from privacy.errors import PrivacyError
from privacy.registrations import TAG_BYTES
from privacy.slot_keys import KEY_BYTES

SLOT_BYTES = KEY_BYTES + TAG_BYTES

_WHOLE, _CHANGES = b"escapement/v1/directory\n", b"escapement/v1/directory-changes\n"
_PLACE_BYTES = 4

Slots = npt.NDArray[np.uint8]
"""uint8[slots, SLOT_BYTES]: a key and a home tag each."""


class DirectoryRefused(PrivacyError):
    """A directory that is malformed, ambiguous, or not the one that is expected."""


@dataclass(frozen=True, slots=True, eq=False)
class Directory:
    """The network's slots on one night.

    Attributes:
        batch: The last batch of registrations that is in it.
        rows: uint8[slots, SLOT_BYTES], a slot's key and home tag; zeros where it is blank.
        digest: How the directory is named in plans.

    Raises:
        DirectoryRefused: If a key stands for two slots, or only a part of a slot is blank.
    """

    batch: int
    rows: Slots = field(repr=False)
    digest: str = field(init=False)
    _order: npt.NDArray[np.int64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.rows.ndim != 2 or self.rows.shape[1] != SLOT_BYTES:  # noqa: PLR2004
            raise DirectoryRefused(f"directory: expected {SLOT_BYTES} bytes a slot")
        if (self.rows[~self.keys.any(axis=1)]).any():
            raise DirectoryRefused("directory: a slot has a home and no key; tell HQ")
        keys = _comparable(self.keys)
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
        if ((ordered[1:] == ordered[:-1]) & (ordered[1:] != b"")).any():
            raise DirectoryRefused("directory: a key stands for two slots; tell HQ")
        object.__setattr__(self, "digest", digest(self.encode()))
        object.__setattr__(self, "_order", order)

    @classmethod
    def empty(cls) -> Self:
        """The directory before the first registration."""
        return cls(0, np.zeros((0, SLOT_BYTES), dtype=np.uint8))

    @property
    def slots(self) -> int:
        """How many slots there are, blank ones included."""
        return len(self.rows)

    @property
    def keys(self) -> Slots:
        """uint8[slots, KEY_BYTES], public slot keys; zeros where blank."""
        return self.rows[:, :KEY_BYTES]

    @property
    def home_tags(self) -> Slots:
        """uint8[slots, TAG_BYTES], of each slot's first registration; zeros where blank."""
        return self.rows[:, KEY_BYTES:]

    @property
    def blank(self) -> npt.NDArray[np.bool_]:
        """bool[slots], whose customer has withdrawn."""
        return np.logical_not(self.keys.any(axis=1))

    def places(self, keys: Slots) -> npt.NDArray[np.int64]:
        """The slot of each key, int64[n]; -1 where there is none.

        Args:
            keys: uint8[n, KEY_BYTES].
        """
        if not self.slots or not len(keys):
            return np.full(len(keys), -1)
        mine, wanted = _comparable(self.keys), _comparable(keys)
        found = np.searchsorted(mine, wanted, sorter=self._order)
        places = self._order[np.minimum(found, self.slots - 1)]
        return np.where((mine[places] == wanted) & (wanted != b""), places, -1)

    def encode(self) -> bytes:
        """The bytes whose digest every plan of the night carries."""
        return _head(_WHOLE, {"batch": self.batch, "slots": self.slots}) + self.rows.tobytes()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads `encode`'s bytes, strictly.

        Raises:
            DirectoryRefused: If they are malformed or ambiguous.
        """
        raw, body = _read_head(_WHOLE, data, "batch", "slots")
        if len(body) != raw["slots"] * SLOT_BYTES:
            raise DirectoryRefused("directory: malformed; fetch it again")
        return cls(raw["batch"], _rows(body))

    def check_goes_on(self, before: Directory) -> None:
        """Refuses a directory that does more to an earlier one than blank and add slots.

        Raises:
            DirectoryRefused: If a slot has another key or home, is gone, or is no longer blank.
        """
        known = self.rows[: before.slots]
        if self.slots < before.slots or self.batch < before.batch:
            raise DirectoryRefused(
                f"directory: got {self.slots} slots of batch {self.batch}, expected at least "
                f"{before.slots} of batch {before.batch}: it went back; tell the privacy office"
            )
        same = (known == before.rows).all(axis=1)
        if not (same | ~known.any(axis=1)).all():
            raise DirectoryRefused(
                "directory: a slot that had a key has another one; tell the privacy office"
            )


@dataclass(frozen=True, slots=True)
class DirectoryPosition:
    """How far a directory is that somebody has.

    Attributes:
        batch: The last batch in it; 0 before any.
        slots: How many slots it has.
        digest: Its digest; "" of no directory at all.
    """

    batch: int = 0
    slots: int = 0
    digest: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class DirectoryChanges:
    """What a directory has more than an earlier one: 4 bytes a blanked slot, 48 a new one.

    Attributes:
        base: Digest of the earlier one; of the empty one before the first.
        batch: The last batch of registrations that is in the later one.
        blanked: uint32[n], slots that became blank, ascending.
        added: uint8[m, SLOT_BYTES], slots at the end.
    """

    base: str
    batch: int
    blanked: npt.NDArray[np.uint32]
    added: Slots

    @classmethod
    def between(cls, before: Directory, after: Directory) -> Self:
        """What is new in `after`.

        Raises:
            DirectoryRefused: If it does not go on from `before`.
        """
        after.check_goes_on(before)
        gone = after.blank[: before.slots] & ~before.blank
        blanked = np.flatnonzero(gone).astype(np.uint32)
        return cls(before.digest, after.batch, blanked, after.rows[before.slots :])

    def applied(self, before: Directory) -> Directory:
        """The later directory.

        Raises:
            DirectoryRefused: If these are changes of another one, blank a slot twice or out of
                order, or make none that goes on from it.
        """
        if before.digest != self.base:
            raise DirectoryRefused("directory: got changes of another one; fetch it whole")
        if len(self.blanked) and int(self.blanked.max()) >= before.slots:
            raise DirectoryRefused("directory: a slot is blanked that is not there; tell HQ")
        rows = np.concatenate([before.rows, self.added])
        rows[self.blanked] = 0
        after = Directory(self.batch, rows)
        if DirectoryChanges.between(before, after).encode() != self.encode():
            raise DirectoryRefused("directory: got changes that change less than they say; tell HQ")
        return after

    def encode(self) -> bytes:
        """The bytes that are published."""
        head: dict[str, int | str] = {
            "base": self.base,
            "batch": self.batch,
            "blanked": len(self.blanked),
            "added": len(self.added),
        }
        return _head(_CHANGES, head) + self.blanked.astype("<u4").tobytes() + self.added.tobytes()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads `encode`'s bytes, strictly.

        Raises:
            DirectoryRefused: If they are malformed.
        """
        raw, body = _read_head(_CHANGES, data, "batch", "blanked", "added", "base")
        end = raw["blanked"] * _PLACE_BYTES
        if len(body) != end + raw["added"] * SLOT_BYTES:
            raise DirectoryRefused("directory: malformed; fetch it again")
        blanked = np.frombuffer(body[:end], dtype="<u4").astype(np.uint32)
        return cls(raw["base"], raw["batch"], blanked, _rows(body[end:]))

    @staticmethod
    def are_in(data: bytes) -> bool:
        """Whether bytes hold changes, rather than a whole directory."""
        return data.startswith(_CHANGES)


def _comparable(keys: Slots) -> npt.NDArray[np.bytes_]:
    """Keys as fixed-width byte strings, which sort and compare as their bytes do.

    A view of a directory's rows, where they are: a copy at each look-up would take longest.
    """
    bytes_beside = keys if keys.strides[-1] == 1 else np.ascontiguousarray(keys)
    return bytes_beside.view(f"S{KEY_BYTES}").reshape(-1)


def _rows(body: bytes) -> Slots:
    return np.frombuffer(body, dtype=np.uint8).reshape(-1, SLOT_BYTES)


def _head(magic: bytes, fields: Mapping[str, int | str]) -> bytes:
    return magic + json.dumps(fields, sort_keys=True).encode() + b"\n"


def _read_head(magic: bytes, data: bytes, *names: str) -> tuple[dict[str, Any], bytes]:
    """The fields of a canonical head, and what follows it."""
    head, _, body = data.removeprefix(magic).partition(b"\n")
    try:
        raw = json.loads(head)
        fits = isinstance(raw, dict) and set(raw) == set(names)
        fits = fits and all(
            type(raw[name]) is str if name == "base" else _is_count(raw[name]) for name in names
        )
    except (RecursionError, ValueError) as error:
        raise DirectoryRefused("directory: malformed; fetch it again") from error
    if not fits or _head(magic, raw) + body != data:
        raise DirectoryRefused("directory: malformed; fetch it again")
    return raw, body


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= 2**53
