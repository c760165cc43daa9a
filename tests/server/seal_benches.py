"""An office with a directory and outlets, and honest seals of it, step by step: for its tests."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from privacy.books import Book, Seal
from privacy.envelopes import SigningKey
from privacy.oblivious_transfer import CHECK_BYTES
from privacy.pads import office_context, pad_of
from privacy.plans import PlannedReleases, Signed
from privacy.published_books import sign_book
from privacy.purposes import Purpose
from privacy.seal_plans import (
    EVIDENCE_CAP,
    PART_BOUND,
    SealContext,
    SealDraft,
    SealKind,
    SealPlan,
)
from privacy.sealing import Receiver, fresh_seed
from privacy.slot_keys import OneTimeKey
from privacy.two_key_sum import Aggregate, Carried, MaskedShare, Parts, mask_share
from server.office.ledger_store import OfficeStore
from server.office.settings import OfficeSettings
from server.office.tables import OFFICE
from tests.builders import Bench, store_at, vault_beside
from tests.privacy.slots import directory_of, slot_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from privacy.fixed_point import Residues
    from privacy.published_books import SignedBook
    from privacy.sealed_tables import Codes
    from server.office.unlock import Office

DAY = 86_400
CUTS = ((-8, 8, 24), (10, 20))
MIDDLES = ((4,), (-8,))
MANY = OfficeSettings(seals_a_week=99, seals_a_year=99, calibrations_a_year=99)
"""So many seals that no test reaches them."""


@dataclass
class SealBench:
    """An office, its outlets, and the customers of its directory.

    Attributes:
        url: Of its store; its vault is beside it.
        settings: The office's.
        customers: Whose slots there are; None of a blank one.
        names: The outlets.
    """

    url: str = "sqlite://"
    settings: OfficeSettings = field(default_factory=lambda: MANY)
    customers: Sequence[int | None] = tuple(range(6))
    names: tuple[str, ...] = tuple("abcde")

    def __post_init__(self) -> None:
        self.bench = Bench(names=self.names, settings=self.settings, url=self.url)
        self.hq_key = SigningKey.generate()
        self.parents: dict[str, str] = {}
        self.list(*self.customers)

    @property
    def office(self) -> Office:
        return self.bench.office

    def list(self, *customers: int | None, batch: int = 1) -> None:
        """Has another directory be the one that was countersigned last."""
        self.customers = customers
        self.bench.listed = directory_of(batch, *customers)
        self.bench.directory = self.bench.listed.digest

    def restart(self) -> None:
        """Goes on as another process does, at the same files."""
        store = OfficeStore(store_at(self.url, OFFICE), self.settings.policy())
        self.bench.store, self.bench.vault = store, vault_beside(self.url)
        self.bench.office = self.twin()

    def twin(self, **changes: object) -> Office:
        """The office as another worker has it."""
        store = OfficeStore(store_at(self.url, OFFICE), self.settings.policy())
        changes = {"store": store, "vault": vault_beside(self.url), **changes}
        return replace(self.bench.office, **changes)  # type: ignore[arg-type]

    def night(self, name: str = "night-1", count: int = 8) -> Signed:
        """A night that plans seals alone."""
        lines = [PlannedReleases(Purpose.POINTS, count, None)]
        return self.office.sign_night(name, self.bench.cut_off, lines)

    def seal(
        self,
        release: str = "s1",
        night: Signed | None = None,
        kind: SealKind = SealKind.BAND,
        **changes: object,
    ) -> HonestSeal:
        """The next seal of a night, as HQ drafts it."""
        return HonestSeal(self, release, night or self.night(), kind, changes)

    def whole(
        self,
        release: str = "s1",
        names: str = "abc",
        *carried: tuple[HonestSeal, str],
        **given: object,
    ) -> HonestSeal:
        """A seal from draft to close."""
        seal = self.seal(release, **given)  # type: ignore[arg-type]
        seal.sign()
        seal.store(names, *carried)
        seal.take_all()
        seal.close()
        return seal


@dataclass
class HonestSeal:
    """One seal as an honest HQ goes through it.

    Attributes:
        at: The office and whom it knows.
        release: Its name.
        night: The night plan.
        kind: What it is for.
        changes: What its draft has other than an honest one's.
    """

    at: SealBench
    release: str
    night: Signed
    kind: SealKind
    changes: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.seed, self.one_time = fresh_seed(), OneTimeKey.generate()
        self.shares: dict[str, MaskedShare] = {}
        self.carried: list[tuple[Carried, Residues]] = []
        self.last: tuple[tuple[HonestSeal, str], ...] = ()
        self.answers: dict[int, bytes] = {}

    @property
    def draft(self) -> SealDraft:
        bench, listed = self.at.bench, self.at.bench.listed
        of_bands = self.kind is SealKind.BAND
        values: dict[str, object] = {
            "release": self.release,
            "night": self.night.digest,
            "parent": self.at.parents.get(self.night.digest, ""),
            "kind": self.kind,
            "slots": listed.slots,
            "scores": 2,
            "cuts": CUTS if of_bands else MIDDLES,
            "quorum": 3,
            "scorecard": "5" * 64,
            "directory": listed.digest,
            "as_of": bench.today if of_bands else bench.cut_off,
            "hq_key": self.one_time.public.hex(),
            "transfer_key": Receiver.first_message(self.seed).hex(),
        }
        return SealDraft(**{**values, **self.changes})  # type: ignore[arg-type]

    def sign(self) -> Signed:
        """Steps 1 and 2."""
        self.drafted = self.draft
        self.signed, self.transfers = self.at.office.sign_seal(self.drafted)
        self.plan = SealPlan.decode(self.signed.payload)
        return self.signed

    def share(self, name: str) -> MaskedShare:
        """Step 3: an outlet's answer."""
        parts = Parts(self.parts(name), np.arange(self.plan.slots))
        key = self.at.bench.keys[name]
        self.shares[name] = mask_share(parts, self.plan, self.signed.digest, name, key)
        return self.shares[name]

    def parts(self, name: str) -> np.ndarray:
        """What an outlet has of each slot: the same in every seal."""
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        parts = rng.integers(-PART_BOUND, PART_BOUND + 1, (self.plan.slots, self.plan.width))
        parts[:, -1] = rng.integers(0, EVIDENCE_CAP + 1, self.plan.slots)
        return parts

    def carry(self, earlier: HonestSeal, name: str) -> Carried:
        """An outlet's answer to an earlier seal."""
        share = earlier.shares[name]
        return Carried(share.envelope, earlier.signed.digest)

    def store(self, names: str = "abc", *carried: tuple[HonestSeal, str]) -> str:
        """Step 4, of fresh answers and others' last ones."""
        fresh = [self.share(name).envelope for name in names]
        self.last = carried
        self.carried = [
            (self.carry(earlier, name), earlier.shares[name].vector) for earlier, name in carried
        ]
        last = [one for one, _ in self.carried]
        self.set = self.at.office.store_set(self.signed.digest, fresh, last)
        return self.set

    @property
    def sums(self) -> np.ndarray:
        """Y, uint16[slots, width]."""
        fresh = self.shares.values()
        return Aggregate.of(self.plan, fresh, self.carried).shares()

    @property
    def receiver(self) -> Receiver:
        return Receiver.of(self.plan, self.signed.digest, self.set, self.seed, self.transfers)

    def choices(self, chunk: int = 0) -> bytes:
        """Step 5: HQ's message."""
        place = self.plan.places(chunk)
        return self.receiver.choose(chunk, self.sums[place.start : place.stop])[0].encode()

    def cheating(self, chunk: int = 0) -> bytes:
        """Choices with another bit in one column, their check as it was."""
        data = bytearray(self.choices(chunk))
        data[CHECK_BYTES] ^= 1
        return bytes(data)

    def take(self, chunk: int = 0, office: Office | None = None) -> bytes:
        """Step 6: the office's tables."""
        office = office or self.at.office
        made = office.seal_chunk(self.signed.digest, chunk, self.choices(chunk))
        self.answers[chunk] = b"".join(made)
        return self.answers[chunk]

    def take_all(self) -> None:
        for chunk in range(self.plan.chunks):
            self.take(chunk)

    def close(self) -> None:
        """Step 8."""
        self.at.office.close_seal(self.signed.digest)
        self.at.parents[self.night.digest] = self.release

    def picked(self) -> Codes:
        """Step 7: uint8[slots, tables], under the office's pads."""
        picked, receiver, sums = [], self.receiver, self.sums
        for chunk, tables in self.answers.items():
            place = self.plan.places(chunk)
            mine = sums[place.start : place.stop]
            picked.append(receiver.pick(receiver.choose(chunk, mine)[1], mine, tables))
        return np.concatenate(picked)

    def chosen(self) -> list[str]:
        """The digest of HQ's choices of each chunk."""
        sums, receiver, digests = self.sums, self.receiver, []
        for chunk in range(self.plan.chunks):
            place = self.plan.places(chunk)
            digests.append(receiver.choose(chunk, sums[place.start : place.stop])[0].digest)
        return digests

    def codes(self) -> Codes:
        """What a slot's token takes the pads off: uint8[slots, tables]; nothing where blank."""
        codes, choices = self.picked(), self.chosen()
        tables = self.plan.tables()
        for slot, number in enumerate(self.at.customers):
            chunk = next(one for one in range(self.plan.chunks) if slot in self.plan.places(one))
            if number is None:
                continue
            bound = office_context(self.one_time.public, self.signed.digest, slot)
            z = slot_key(number).mask_key(bytes.fromhex(self.plan.slot_key), *bound)
            context = SealContext(self.signed.digest, self.set, chunk).encode()
            pad = pad_of(z, context, choices[chunk], slot)
            for place, table in enumerate(tables):
                codes[slot, place] ^= pad[place] & ((1 << table.bits) - 1)
        return codes

    def clear(self) -> Codes:
        """The codes of the clear sum: uint8[slots, tables]."""
        total = np.sum([self.parts(name) for name in self.shares], axis=0)
        for earlier, name in self.last:
            total[: earlier.plan.slots] += earlier.parts(name)
        tables = self.plan.tables()
        return np.stack([t.codes(total[:, i]) for i, t in enumerate(tables)], axis=1)

    def seal(self) -> Seal:
        """What the office has to say of it."""
        return Seal.of(self.plan, self.signed.digest, self.set, self.chosen())

    def book(self, **changes: object) -> SignedBook:
        """The book of the last directory, signed by HQ."""
        listed, seal = self.at.bench.listed, self.seal()
        sealed = listed.rows[: self.plan.slots, :32]
        marked = np.zeros(self.plan.slots, dtype=bool)
        nonces = None if self.kind is SealKind.BAND else [b"nonce"] * self.plan.slots
        entries = seal.masked(self.picked(), marked, sealed, self.one_time, nonces)
        made = entries.book(version=1, made_at=1, directory=listed.digest, blank=listed.blank)
        return sign_book(replace(made, **changes), self.at.hq_key)  # type: ignore[arg-type]

    def read(self, book: Book, slot: int) -> tuple[tuple[int, ...], int] | None:
        """What the slot's outlet reads."""
        number = self.at.customers[slot]
        assert number is not None
        entry = book.read(slot, slot_key(number))
        return None if entry is None else (entry.codes, entry.evidence)
