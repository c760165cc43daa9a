"""HQ's registry: which slot is whose token, and what is published of it.

Invariant: what a batch of registrations does depends on the set of its messages and on a random key
that HQ keeps with the batch, neither on their order nor on how often it is applied; and nothing but
a nonce that was never seen before, of a consent that is newer than the withdrawal, can give a
withdrawn customer a slot again. Newer is what the outlet says; a lie about it is not noticed.

No outlet is named here: HQ does not know whose a registration is.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Protocol

import numpy as np
import sqlalchemy as sa

from privacy.directory import Directory
from privacy.registrations import (
    TAG_BYTES,
    Registration,
    RegistrationRefused,
)
from server.holder.database import durable_engine
from server.hq.registry_tables import (
    BOOKS,
    BURIAL_KEY,
    DIRECTORIES,
    METADATA,
    ORDERS,
    PROGRESS,
    SLOTS,
)
from server.hq.slot_changes import apply_message, order

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from privacy.envelopes import SealKey

_LOG = logging.getLogger(__name__)

DIRECTORIES_KEPT = 3
_KEY_BYTES = 32


class RegistrationSource(Protocol):
    """The office's relay, as HQ asks it for registrations."""

    def collect_batch(self, after: int) -> tuple[int, list[bytes]]:
        """The batch after the last that HQ applied, which the office forgets; 0 where none is."""


@dataclass(frozen=True, slots=True)
class BatchCounts:
    """What a batch came to; counts only.

    Attributes:
        registered: Registrations that were new, of new and of known tokens.
        withdrawn: Slots that were buried.
        nothing: Dummies, replays, and withdrawals of what was withdrawn before.
        refused: Messages that do not open, name no token, withdraw what they do not know, or
            register with a consent that is older than a withdrawal.
    """

    registered: int = 0
    withdrawn: int = 0
    nothing: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class SlotKey:
    """What an entry of a slot is masked with; never printed.

    Attributes:
        token: The customer's, 32 bytes.
        home_nonce: Of the first registration, 32 bytes.
    """

    token: bytes = field(repr=False)
    home_nonce: bytes = field(repr=False)


class Registry:
    """Slots, registrations and what was published, behind one SQLAlchemy URL."""

    def __init__(self, url: str, clock: Callable[[], float] = time.time) -> None:
        """Opens the registry, such as `sqlite:///hq.db`; `sqlite://` for memory.

        Args:
            url: Of HQ's database.
            clock: Unix seconds, the least version of a new book.
        """
        self._clock = clock
        self._engine = durable_engine(url, METADATA)
        with self._engine.begin() as connection:
            if connection.scalar(sa.select(BURIAL_KEY.c.hash_key)) is None:
                fresh = secrets.token_bytes(_KEY_BYTES)
                connection.execute(BURIAL_KEY.insert().values(hash_key=fresh))
            if connection.scalar(sa.select(PROGRESS.c.last_batch)) is None:
                connection.execute(PROGRESS.insert().values(last_batch=0, last_version=0))

    def last_batch(self) -> int:
        """The last batch that was applied; 0 before the first."""
        with self._engine.begin() as connection:
            return _last_batch(connection)

    def apply(self, batch: int, sealed: Sequence[bytes], key: SealKey) -> BatchCounts:
        """Applies a batch: registrations in an order nobody could foresee, then withdrawals.

        The order is that of the tags under a random key, drawn when the batch is there and stored
        before it is applied: no outlet can choose a tag that makes it the home.

        Args:
            batch: The one after `last_batch`; an older one changes nothing.
            sealed: Its messages, in whatever order.
            key: HQ's, which they are sealed to.

        Raises:
            RegistrationRefused: If a batch between was left out.
        """
        if batch <= self.last_batch():
            return BatchCounts()
        messages, refused = _opened(sealed, key, batch)
        order_key = self._order_key(batch)
        with self._engine.begin() as connection:
            last = _last_batch(connection)
            if batch <= last:  # another process was faster
                return BatchCounts()
            if batch != last + 1:
                raise RegistrationRefused(f"batch: got {batch}, expected {last + 1}")
            counts = Counter({"refused": refused})
            for message in sorted(messages, key=partial(order, order_key)):
                counts[apply_message(connection, message, batch)] += 1
            connection.execute(PROGRESS.update().values(last_batch=batch))
        return BatchCounts(**counts)

    def directory(self) -> Directory:
        """The network's slots as they are now."""
        with self._engine.begin() as connection:
            return _directory(connection)

    def publish(self) -> Directory:
        """Keeps the directory as it is now for outlets to fetch, with the two before it."""
        with self._engine.begin() as connection:
            directory = _directory(connection)
            mine = DIRECTORIES.c.digest == directory.digest
            last = connection.scalar(sa.select(sa.func.max(DIRECTORIES.c.number))) or 0
            connection.execute(DIRECTORIES.delete().where(mine))
            row = {"number": last + 1, "digest": directory.digest, "encoded": directory.encode()}
            connection.execute(DIRECTORIES.insert().values(**row))
            newest = sa.select(DIRECTORIES.c.number).order_by(DIRECTORIES.c.number.desc())
            kept = list(connection.scalars(newest.limit(DIRECTORIES_KEPT)))
            connection.execute(DIRECTORIES.delete().where(DIRECTORIES.c.number < kept[-1]))
            return directory

    def published(self, digest: str) -> bytes | None:
        """A published directory's bytes; None where it is not among the latest."""
        query = sa.select(DIRECTORIES.c.encoded).where(DIRECTORIES.c.digest == digest)
        with self._engine.begin() as connection:
            return connection.scalar(query)

    def keys(self) -> list[SlotKey | None]:
        """What each slot's entries are masked with; None where it is buried."""
        query = sa.select(SLOTS.c.token, SLOTS.c.home_nonce).order_by(SLOTS.c.slot)
        with self._engine.begin() as connection:
            rows = connection.execute(query).all()
        return [None if token is None else SlotKey(token, nonce) for token, nonce in rows]

    def next_version(self) -> int:
        """A version that no book has had or will have again, even if its book is never added.

        It is at least the time in seconds, so that an HQ restored from an old copy goes on above
        what it gave after that copy.
        """
        with self._engine.begin() as connection:
            last = int(connection.scalars(sa.select(PROGRESS.c.last_version)).one())
            version = max(last + 1, int(self._clock()))
            connection.execute(PROGRESS.update().values(last_version=version))
            return version

    def add_book(self, version: int, encoded: bytes) -> None:
        """Publishes a signed book in place of the one before.

        Args:
            version: From `next_version`.
            encoded: The signed bytes.

        Raises:
            ValueError: If another book of this version, or a later one, was published.
        """
        with self._engine.begin() as connection:
            row = connection.execute(sa.select(BOOKS)).one_or_none()
            if row is not None and (row.version, row.encoded) == (version, encoded):
                return
            given = int(connection.scalars(sa.select(PROGRESS.c.last_version)).one())
            least = 0 if row is None else row.version
            if not least < version <= given:
                raise ValueError(f"book: got version {version}, expected {least + 1} to {given}")
            connection.execute(BOOKS.delete())
            connection.execute(BOOKS.insert().values(version=version, encoded=encoded))

    def latest_book(self) -> bytes | None:
        """The signed bytes of the book that stands; None where there is none yet."""
        with self._engine.begin() as connection:
            return connection.scalar(sa.select(BOOKS.c.encoded))

    def close(self) -> None:
        """Closes all connections."""
        self._engine.dispose()

    def _order_key(self, batch: int) -> bytes:
        """What a batch's registrations are ordered under, the same at every attempt to apply it."""
        with self._engine.begin() as connection:
            query = sa.select(ORDERS.c.order_key).where(ORDERS.c.batch == batch)
            kept = connection.scalar(query)
            if kept is None:
                kept = _fresh_order_key()
                connection.execute(ORDERS.delete())
                connection.execute(ORDERS.insert().values(batch=batch, order_key=kept))
            return bytes(kept)


def collect_registrations(office: RegistrationSource, registry: Registry, key: SealKey) -> None:
    """Applies every batch that the office has ready. Logs counts and nothing else.

    Raises:
        RegistrationRefused: If the office answers with another batch than the next.
        HqError: If it does not answer.
    """
    while True:
        last = registry.last_batch()
        batch, sealed = office.collect_batch(last)
        if not batch:
            return
        if batch != last + 1:
            raise RegistrationRefused(f"batch: got {batch}, expected {last + 1}")
        done = registry.apply(batch, sealed, key)
        _LOG.info(
            "batch %d: %d registered, %d withdrawn, %d refused",
            batch, done.registered, done.withdrawn, done.refused,
        )  # fmt: skip


def _opened(sealed: Sequence[bytes], key: SealKey, batch: int) -> tuple[list[Registration], int]:
    """What opens, and how many do not."""
    messages = []
    for one in sealed:
        try:
            messages.append(Registration.opened(one, key, batch))
        except RegistrationRefused:
            continue
    return messages, len(sealed) - len(messages)


def _fresh_order_key() -> bytes:
    return secrets.token_bytes(_KEY_BYTES)


def _last_batch(connection: sa.Connection) -> int:
    return int(connection.scalars(sa.select(PROGRESS.c.last_batch)).one())


def _directory(connection: sa.Connection) -> Directory:
    query = sa.select(SLOTS.c.fingerprint, SLOTS.c.home_tag).order_by(SLOTS.c.slot)
    rows = connection.execute(query).all()
    fingerprints = np.frombuffer(b"".join(row.fingerprint for row in rows), dtype="<u8")
    tags = np.frombuffer(b"".join(row.home_tag for row in rows), dtype=np.uint8)
    return Directory(
        _last_batch(connection),
        fingerprints.astype(np.uint64),
        tags.reshape(len(rows), TAG_BYTES),
    )
