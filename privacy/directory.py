"""The directory: which slot belongs to whose token, without a token in it.

HQ publishes it whole, so that asking for it reveals nothing. Per slot there is an 8-byte
fingerprint of the token, and a home tag that only the home outlet recognises. A withdrawn
customer's slot stays, with random bytes in it, so that slots never change their meaning.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from privacy.envelopes import digest
from privacy.errors import PrivacyError
from privacy.registrations import TAG_BYTES

_MAGIC = b"escapement/v1/directory\n"


class DirectoryRefused(PrivacyError):
    """A directory that is malformed, ambiguous, or not the night's."""


@dataclass(frozen=True, slots=True, eq=False)
class Directory:
    """The network's slots on one night.

    Attributes:
        batch: The last batch of registrations that is in it.
        fingerprints: uint64[slots], of tokens; random where a slot is withdrawn or empty.
        home_tags: uint8[slots, TAG_BYTES], of the first registration; random likewise.
    """

    batch: int
    fingerprints: npt.NDArray[np.uint64]
    home_tags: npt.NDArray[np.uint8]

    def __post_init__(self) -> None:
        if self.home_tags.shape != (len(self.fingerprints), TAG_BYTES):
            raise DirectoryRefused("directory: got other home tags than one a slot")
        ordered = np.sort(self.fingerprints)
        if (ordered[1:] == ordered[:-1]).any():
            raise DirectoryRefused("directory: a fingerprint stands for two slots; tell HQ")

    @property
    def slots(self) -> int:
        """How many slots there are, withdrawn ones included."""
        return len(self.fingerprints)

    def places(self, fingerprints: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        """The slot of each fingerprint, int64[n]; -1 where there is none."""
        if not self.slots:
            return np.full(len(fingerprints), -1)
        order = np.argsort(self.fingerprints)
        found = np.searchsorted(self.fingerprints, fingerprints, sorter=order)
        places = order[np.minimum(found, self.slots - 1)]
        return np.where(self.fingerprints[places] == fingerprints, places, -1)

    def encode(self) -> bytes:
        """The bytes that are published and whose digest every plan of the night carries."""
        head = json.dumps({"batch": self.batch, "slots": self.slots}, sort_keys=True).encode()
        body = self.fingerprints.astype("<u8").tobytes() + self.home_tags.tobytes()
        return _MAGIC + head + b"\n" + body

    @property
    def digest(self) -> str:
        """How the directory is named in plans."""
        return digest(self.encode())

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads `encode`'s bytes, strictly.

        Raises:
            DirectoryRefused: If they are malformed, or a fingerprint stands for two slots.
        """
        head, _, body = data.removeprefix(_MAGIC).partition(b"\n")
        try:
            raw = json.loads(head)
            batch, slots = int(raw["batch"]), int(raw["slots"])
        except (KeyError, OverflowError, RecursionError, TypeError, ValueError) as error:
            raise DirectoryRefused("directory: malformed; fetch it again") from error
        if not data.startswith(_MAGIC) or len(body) != slots * (8 + TAG_BYTES):
            raise DirectoryRefused("directory: malformed; fetch it again")
        fingerprints = np.frombuffer(body[: 8 * slots], dtype="<u8").astype(np.uint64)
        tags = np.frombuffer(body[8 * slots :], dtype=np.uint8).reshape(slots, TAG_BYTES)
        return cls(batch, fingerprints, tags)
