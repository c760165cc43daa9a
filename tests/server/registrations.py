"""A registry, messages to it, and a real office's publications, in memory: for tests of HQ."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from privacy.envelopes import SealKey, SigningKey
from privacy.registrations import Registration, nonce_of, tag_of
from privacy.tokens import TokenShare, total_key
from server.hq.directory_announcement import announce
from server.hq.privacy_office import CollectedBatch
from server.hq.registry import BatchCounts, Registry
from server.office.publications import Publications
from server.office.seal_store import CompleteSeal
from server.office.tables import OFFICE
from tests.builders import Clock, store_at
from tests.privacy.slots import slot_key

if TYPE_CHECKING:
    from privacy.books import Seal
    from privacy.directory import Directory, DirectoryChanges, DirectoryPosition
    from privacy.publications import Countersigned
    from privacy.published_books import BookSummary
    from privacy.registrations import Evidence
    from server.holder.directory_copy import DirectoryCopy

KEY = SealKey.generate()
HQ_SHARE, OFFICE_SHARE = TokenShare.generate(), TokenShare.generate()
NETWORK = total_key(HQ_SHARE.public, OFFICE_SHARE.public)
SECRETS = [hashlib.sha256(b"secret %d" % number).digest() for number in range(8)]

Message = Callable[[int], Registration]
"""What a message is, once it is known for which batch."""


@dataclass(frozen=True)
class Register:
    """An outlet registers a customer."""

    key: int = 0
    secret: int = 0
    since: int = 0

    def __call__(self, batch: int) -> Registration:
        secret = SECRETS[self.secret]
        return Registration.register(NETWORK, slot_key(self.key), secret, batch, self.since)


@dataclass(frozen=True)
class Withdraw:
    """An outlet withdraws a customer, by a registration's secret."""

    key: int = 0
    secret: int = 0

    def __call__(self, batch: int) -> Registration:
        return Registration.withdraw(NETWORK, slot_key(self.key), SECRETS[self.secret], batch)


@dataclass(frozen=True)
class Dummy:
    """An outlet has nothing to say."""

    def __call__(self, batch: int) -> Registration:
        return Registration.dummy(batch)


def nonce(secret: int) -> bytes:
    return nonce_of(SECRETS[secret])


def tag(secret: int) -> bytes:
    return tag_of(nonce(secret))


def sealed(batch: int, *messages: Message) -> list[bytes]:
    return [message(batch).sealed(KEY.public) for message in messages]


@dataclass
class Hq:
    """A registry, and the messages of its next batch."""

    registry: Registry = field(default_factory=lambda: Registry("sqlite://"))

    def apply(self, *messages: Message, batch: int | None = None) -> BatchCounts:
        batch = batch or self.registry.last_batch() + 1
        return self.registry.apply(batch, sealed(batch, *messages), KEY, NETWORK)

    def slots(self) -> list[tuple[bytes, bytes, bytes]]:
        """Key, home nonce and home tag of each slot; nothing where it is blank."""
        directory = self.registry.directory()
        return [
            (b"", nonce, b"") if blank else (key.tobytes(), nonce, home.tobytes())
            for blank, key, nonce, home in zip(
                directory.blank,
                directory.keys,
                self.registry.home_nonces(),
                directory.home_tags,
                strict=True,
            )
        ]


def slot(key: int, secret: int) -> tuple[bytes, bytes, bytes]:
    """A slot as `Hq.slots` shows it: of this key, at home where this secret is."""
    return slot_key(key).public, nonce(secret), tag(secret)


BLANK = (b"", b"", b"")


@dataclass
class OfficeOf:
    """A real office's publications, batches that are ready, and what was asked for.

    Attributes:
        batches: Messages of each batch that a night may collect.
        open_batch: The relay's, which no directory can hold yet.
        sizes: Of batches that the relay closed; of others it does not know them.
        hours: After which a directory that did not change gets another number; in so few another
            one is never too soon.
        forgotten: Batches up to this one were collected before, by an HQ that lost them.
        sealed: By its plan's digest, when each seal was complete that books may be made of.
    """

    batches: Mapping[int, list[bytes]] = field(default_factory=dict)
    open_batch: int = 1000
    sizes: Mapping[int, int] = field(default_factory=dict)
    hours: float = 1.0
    url: str = "sqlite://"
    clock: Clock = field(default_factory=Clock)
    key: SigningKey = field(default_factory=SigningKey.generate)
    sealed: dict[str, CompleteSeal] = field(default_factory=dict)
    asked: list[int] = field(default_factory=list)
    forgotten: int = 0
    shown: list[tuple[DirectoryChanges, dict[int, Evidence]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.publications = Publications(
            store_at(self.url, OFFICE), self.key, self.hours, self.sealed.get
        )

    def collect_batch(self, after: int) -> CollectedBatch:
        self.asked.append(after)
        if after < self.forgotten:
            return CollectedBatch(0, [], self.forgotten)
        found = self.batches.get(after + 1)
        return CollectedBatch(0, []) if found is None else CollectedBatch(after + 1, found)

    def refresh_share(self, epoch: int, _delta: bytes) -> tuple[int, bytes]:
        return epoch, OFFICE_SHARE.public

    def last_directory(self) -> DirectoryPosition:
        return self.publications.last_directory()

    def fetch_directory(self, network: bytes, after: int) -> DirectoryCopy:
        copy = self.publications.fetch_directory(network)
        self.publications.note_loss(after, self.clock())
        return copy

    def countersign_directory(
        self,
        network: bytes,
        changes: DirectoryChanges,
        evidence: Mapping[int, Evidence],
        last: Countersigned | None,
    ) -> Countersigned:
        self.shown.append((changes, dict(evidence)))
        return self.publications.countersign_directory(
            network,
            changes,
            evidence,
            last,
            open_batch=self.open_batch,
            sizes=self.sizes,
            at=self.clock(),
        )

    def complete(self, seal: Seal) -> None:
        """Lets books be made of a seal, the newest."""
        self.sealed[seal.plan] = CompleteSeal(seal, len(self.sealed) + 1)

    def countersign_book(self, directory: str, summary: BookSummary) -> Countersigned:
        return self.publications.countersign_book(directory, summary, at=self.clock())

    def announce(self, registry: Registry) -> Directory:
        """Publishes a registry's directory as a night does."""
        return announce(self, registry, NETWORK, self.key.public)
