"""The office's directory as it gives it to an HQ that was restored from an older copy.

With it go the keyed hashes of withdrawn keys: HQ knew all withdrawals, and lost those of the last
batches. Without them it would take a consent that is older than one of those, and the office would
refuse that directory, and every later one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from privacy.directory import DirectoryRefused
from privacy.publications import Countersigned

if TYPE_CHECKING:
    from collections.abc import Mapping

HASH_BYTES = 32
_BATCH_BYTES = _COUNT_BYTES = 8
_ROW_BYTES = HASH_BYTES + _BATCH_BYTES


@dataclass(frozen=True, slots=True, eq=False)
class DirectoryCopy:
    """All that the office has of its last directory.

    Attributes:
        said: Its last statement about a directory.
        directory: `Directory.encode()`, what that statement is about.
        hash_key: 32 bytes, what keys are hashed with.
        withdrawn: The batch of each withdrawn key's last withdrawal, by HMAC-SHA256 of the key.
    """

    said: Countersigned
    directory: bytes = field(repr=False)
    hash_key: bytes = field(repr=False)
    withdrawn: Mapping[bytes, int] = field(repr=False)

    def encode(self) -> bytes:
        """The bytes that travel: statement, hash key, number of hashes, hashes, directory."""
        rows = (
            name + batch.to_bytes(_BATCH_BYTES, "big") for name, batch in self.withdrawn.items()
        )
        count = len(self.withdrawn).to_bytes(_COUNT_BYTES, "big")
        return b"".join([self.said.encode(), self.hash_key, count, *rows, self.directory])

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads `encode`'s bytes. Nothing is verified yet.

        Raises:
            PublicationRefused: If they are too short for a statement.
            DirectoryRefused: If they are too short for what follows it.
        """
        said, rest = Countersigned.cut_off(data)
        start = HASH_BYTES + _COUNT_BYTES
        end = start + _ROW_BYTES * int.from_bytes(rest[HASH_BYTES:start], "big")
        if len(rest) < end:
            raise DirectoryRefused("directory: the privacy office's copy is cut off; ask again")
        rows = (rest[place : place + _ROW_BYTES] for place in range(start, end, _ROW_BYTES))
        withdrawn = {row[:HASH_BYTES]: int.from_bytes(row[HASH_BYTES:], "big") for row in rows}
        return cls(said, rest[end:], rest[:HASH_BYTES], withdrawn)
