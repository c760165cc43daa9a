"""HQ as the office sees it: who registered and withdrew in which batch, and evidence of each."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  (a dataclass reads annotations)
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from privacy.books import BookHeader, Seal
from privacy.directory import SLOT_BYTES, Directory, DirectoryChanges
from privacy.envelopes import SigningKey, digest
from privacy.publications import Publication, PublicationKind, open_publication
from privacy.published_books import BookSummary
from privacy.registrations import Evidence, Registration, fresh_secret
from privacy.seal_plans import SealKind
from privacy.tokens import TokenShare
from server.office.publications import Publications
from server.office.seal_store import CompleteSeal
from server.office.tables import OFFICE
from tests.builders import Clock, store_at
from tests.privacy.slots import slot_key, tag_for

if TYPE_CHECKING:
    from privacy.publications import Countersigned

NETWORK = TokenShare.generate().public
BLANK = bytes(SLOT_BYTES)
SEAL = Seal(
    SealKind.BAND, 2, 0, "2026-03-01", "1" * 64, "2" * 64, (), slot_key(0).public.hex(),
    slot_key(1).public.hex(),
)  # fmt: skip
"""A seal of nobody: every directory has all the slots that it sealed."""


def seal_named(name: str, **changes: object) -> Seal:
    """Another one like it, whose plan has a name."""
    return replace(SEAL, plan=digest(name.encode()), **changes)  # type: ignore[arg-type]


@dataclass
class HonestHq:
    """Slots of numbered customers, and what the office may be shown of them.

    Attributes:
        batch: The last that was applied.
        network: The token key that proofs are bound to.
        said: What the office said last of a directory.
    """

    batch: int = 0
    network: bytes = NETWORK
    said: Countersigned | None = None
    rows: list[bytes] = field(default_factory=list)
    evidence: dict[int, Evidence] = field(default_factory=dict)
    slots: dict[int, int] = field(default_factory=dict)
    left: dict[int, int] = field(default_factory=dict)
    past: dict[str, Directory] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._note()

    def apply(self, come: tuple[int, ...] = (), go: tuple[int, ...] = ()) -> None:
        """A batch: customers who register, whose outlets know of all withdrawals, and who leave."""
        self.batch += 1
        for number in come:
            if number in self.slots:
                continue
            self.slots[number] = len(self.rows)
            self.evidence[len(self.rows)] = self.registered(number)
            self.rows.append(slot_key(number).public + tag_for(number))
        for number in go:
            if number in self.slots:
                slot = self.slots.pop(number)
                self.evidence[slot], self.rows[slot] = self.withdrawn(number), BLANK
                self.left[number] = self.batch
        self._note()

    def registered(
        self, number: int, batch: int | None = None, since: int | None = None
    ) -> Evidence:
        since = self.left.get(number, 0) if since is None else since
        batch = self.batch if batch is None else batch
        made = Registration.register(self.network, slot_key(number), fresh_secret(), batch, since)
        return made.evidence

    def withdrawn(self, number: int, batch: int | None = None) -> Evidence:
        batch = self.batch if batch is None else batch
        made = Registration.withdraw(self.network, slot_key(number), fresh_secret(), batch)
        return made.evidence

    @property
    def directory(self) -> Directory:
        flat = np.frombuffer(b"".join(self.rows), np.uint8)
        return Directory(self.batch, flat.reshape(-1, SLOT_BYTES))

    def changes(self, base: str) -> DirectoryChanges:
        """What is new since a directory of the past."""
        return DirectoryChanges.between(self.past[base], self.directory)

    def _note(self) -> None:
        self.past[self.directory.digest] = self.directory


@dataclass
class PublishingOffice:
    """The office's publications, at a store that others may open too.

    Attributes:
        url: Of its store.
        hours: After which there may be another number.
        open_batch: The relay's.
        sizes: The relay's too, of every batch that it closed.
        sealed: By its plan's digest, each complete seal that books may be made of.
    """

    url: str = "sqlite://"
    hours: float = 20.0
    open_batch: int = 1000
    sizes: Mapping[int, int] = field(default_factory=lambda: dict.fromkeys(range(1, 1000), 16))
    clock: Clock = field(default_factory=Clock)
    key: SigningKey = field(default_factory=SigningKey.generate)
    sealed: dict[str, CompleteSeal] = field(
        default_factory=lambda: {SEAL.plan: CompleteSeal(SEAL, 1)}
    )

    def __post_init__(self) -> None:
        self.store = Publications(store_at(self.url, OFFICE), self.key, self.hours, self.sealed.get)

    def reopen(self) -> None:
        """As after a kill."""
        self.store.close()
        self.store = Publications(store_at(self.url, OFFICE), self.key, self.hours, self.sealed.get)

    def show(self, hq: HonestHq) -> Publication:
        """HQ shows its directory as a night does, and hears the answer."""
        base = self.store.last_directory().digest or Directory.empty().digest
        hq.said = self.countersign(hq.changes(base), hq.evidence, hq.said, network=hq.network)
        return self.said(hq.said)

    def countersign(
        self,
        changes: DirectoryChanges,
        evidence: Mapping[int, Evidence],
        last: Countersigned | None = None,
        network: bytes = NETWORK,
    ) -> Countersigned:
        return self.store.countersign_directory(
            network,
            changes,
            evidence,
            last,
            open_batch=self.open_batch,
            sizes=self.sizes,
            at=self.clock(),
        )

    def summary(self, body: bytes = b"entries", **changes: object) -> BookSummary:
        """What HQ shows of a book of the last directory, or of one that is otherwise."""
        last = self.store.last_directory()
        fields: dict[str, object] = {"slots": last.slots, "directory": last.digest, **changes}
        header = BookHeader(**{"seal": SEAL, "version": 1, "made_at": 1, **fields})  # type: ignore[arg-type]
        return BookSummary(bytes(64), header.encode_header(), digest(body))

    def book(self, directory: str, /, body: bytes = b"entries", **changes: object) -> Countersigned:
        """HQ shows a book, and hears the answer."""
        summary = self.summary(body, **changes)
        return self.store.countersign_book(directory, summary, at=self.clock())

    def said(
        self, signed: Countersigned | None, kind: PublicationKind = PublicationKind.DIRECTORY
    ) -> Publication:
        assert signed is not None
        return open_publication(signed, self.key.public, kind)
