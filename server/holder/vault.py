"""Keys that die: what must be gone one day is stored only wrapped, each secret under a key here.

Invariant: a secret's key is durable in the file before anybody stores what it wraps, and it is
overwritten where it is once the store has forgotten the secret. So whatever a store still holds of
a dead secret, such as PostgreSQL's write-ahead log or a copy of a database, opens nowhere.

A store and this file cannot change in one step. So who stores a secret wraps it within the
transaction, and who deletes one erases its key after that has ended; and whoever opens the store
brings both together within a transaction: a key whose secret is not stored is left by a kill and
erased, and a secret whose key is not here is of a store that was copied back, and deleted.

The file is of the role's folder, and no backup has it. It is overwritten in place, since a file
that takes its place would leave the old bytes on the disk. What a file system keeps beside is
beyond this program.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from privacy.at_rest import AtRest, SecretUnreadable
from server.holder.errors import StoreRefused

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

SECRETS_FILE = "secrets.key"

_NAME_BYTES = 32
_RECORD_BYTES = 64
_FREE = bytes(_RECORD_BYTES)
_DOMAIN = b"escapement/v1/stored-secret"


class KeyFile:
    """Keys of a store's secrets; for any number of processes.

    A secret as it is stored begins with the random name of its key.
    """

    def __init__(self, file: Path | None = None) -> None:
        """Uses a file, from the first secret on; None keeps the keys in memory."""
        self._file, self._kept = file, b""

    @classmethod
    def beside(cls, url: str) -> KeyFile:
        """The keys of a SQLite store, in its folder; in memory where the store is.

        Raises:
            StoreRefused: If the store is no file, so that its folder has to be named.
        """
        parsed = sa.make_url(url)
        if parsed.get_backend_name() != "sqlite":
            raise StoreRefused("keys: got a store on a server, expected the folder of its keys")
        place = parsed.database
        return cls(Path(place).parent / SECRETS_FILE if place else None)

    def wrapped(self, secret: bytes, place: str) -> bytes:
        """A secret as it may be stored, encrypted for one place; its key is durable."""
        return self.all_wrapped([(secret, place)])[0]

    def all_wrapped(self, found: Sequence[tuple[bytes, str]]) -> list[bytes]:
        """Several secrets, each under a key of its own, in one write."""
        records = [secrets.token_bytes(_RECORD_BYTES) for _ in found]
        with self._changing() as content:
            free = (at for at in range(0, len(content), _RECORD_BYTES) if _is_free(content, at))
            for record in records:
                at = next(free, len(content))
                content[at : at + _RECORD_BYTES] = record
        return [
            record[:_NAME_BYTES] + _cipher(record).sealed(secret, place.encode())
            for record, (secret, place) in zip(records, found, strict=True)
        ]

    def opened(self, wrapped: bytes, place: str) -> bytes:
        """Opens what was wrapped for a place.

        Raises:
            SecretUnreadable: If its key is gone, or it is of another place.
        """
        content = self._content()
        at = _place_of(content, wrapped)
        if at is None:
            raise SecretUnreadable("secret: its key is gone")
        record = content[at : at + _RECORD_BYTES]
        return _cipher(record).opened(wrapped[_NAME_BYTES:], place.encode())

    def holds(self, wrapped: Iterable[bytes]) -> list[bool]:
        """Of some wrapped secrets, which have their keys."""
        content = self._content()
        return [_place_of(content, one) is not None for one in wrapped]

    def erase(self, wrapped: Collection[bytes]) -> None:
        """Overwrites the keys of secrets that are stored no more."""
        if not wrapped:
            return
        with self._changing() as content:
            for one in wrapped:
                at = _place_of(content, one)
                if at is not None:
                    content[at : at + _RECORD_BYTES] = _FREE

    def erase_others(self, wrapped: Iterable[bytes]) -> None:
        """Overwrites every key but those of some secrets, all that are stored.

        Within a transaction only: another process may be about to store one.
        """
        names = {one[:_NAME_BYTES] for one in wrapped}
        if not self._content():
            return
        with self._changing() as content:
            for at in range(0, len(content), _RECORD_BYTES):
                if bytes(content[at : at + _NAME_BYTES]) not in names:
                    content[at : at + _RECORD_BYTES] = _FREE

    def _content(self) -> bytes:
        if self._file is None:
            return self._kept
        return _whole(self._file.read_bytes()) if self._file.exists() else b""

    @contextmanager
    def _changing(self) -> Iterator[bytearray]:
        """The records, to be changed; durable at the end, one process at a time."""
        if self._file is None:
            content = bytearray(self._kept)
            yield content
            self._kept = bytes(content)
            return
        descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            before = _whole(os.pread(descriptor, os.fstat(descriptor).st_size, 0))
            content = bytearray(before)
            yield content
            for at in range(0, len(content), _RECORD_BYTES):
                record = bytes(content[at : at + _RECORD_BYTES])
                if record != before[at : at + _RECORD_BYTES]:
                    os.pwrite(descriptor, record, at)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_in_place(file: Path, place: int, data: bytes) -> None:
    """Writes into a file where it is, durably, from a place on; it ends there."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "wb") as opened:
        opened.seek(place)
        opened.write(data)
        opened.truncate()
        opened.flush()
        os.fsync(opened.fileno())


def _cipher(record: bytes) -> AtRest:
    return AtRest(_DOMAIN, bytes(record[_NAME_BYTES:]))


def _whole(content: bytes) -> bytes:
    """The records, without one that a kill cut off."""
    return content[: len(content) - len(content) % _RECORD_BYTES]


def _is_free(content: bytearray, at: int) -> bool:
    return content[at : at + _RECORD_BYTES] == _FREE


def _place_of(content: bytes | bytearray, wrapped: bytes) -> int | None:
    """Where the key of a wrapped secret is; None where it is not."""
    at = content.find(wrapped[:_NAME_BYTES])
    return None if at < 0 or at % _RECORD_BYTES else at
