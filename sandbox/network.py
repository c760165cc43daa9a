"""A network in one process: a real office, real HQ, real outlets, their messages through Flower.

Only the processes are missing. Keys are fresh; state is in memory, or under a folder.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cache, partial
from hashlib import sha256
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from features.bands import BandPolicy, named, newcomer
from features.events import positions
from outlet_client.contribution.answer_store import AnswerStore
from outlet_client.contribution.contributions import HomeCustomers, Outlet, SlotSums
from outlet_client.database import create_databases
from outlet_client.night.flower_node import client_app
from outlet_client.people.people_store import HomeKey
from outlet_client.people.person_states import keys_as_array
from outlet_client.settings import OutletSettings
from privacy.directory import Directory
from privacy.dither import Dither
from privacy.envelopes import SigningKey
from privacy.publications import Publication, PublicationKind, Publishers, countersign
from privacy.published_books import PublishedBook, open_book
from privacy.purposes import Purpose
from privacy.registrations import TAG_BYTES
from privacy.seal_plans import SealKind
from privacy.slot_keys import SlotKey
from sandbox.local_grid import Drop, LocalGrid
from server.holder.database import MEMORY, StoreSchema, create_store, is_missing
from server.hq.banding import Banding
from server.hq.due import Tonight
from server.hq.flower_link import FlowerLink
from server.hq.known_slots import KnownSlots
from server.hq.night import HqNight
from server.hq.settings import HqSettings
from server.hq.store import HqStore
from server.hq.tables import HQ
from server.office.ledger_store import OfficeStore
from server.office.settings import OfficeSettings
from server.office.tables import OFFICE
from server.office.unlock import Office
from server.office.vault import Vault

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import polars as pl

    from features.events import EventFeatures
    from features.outcomes import Outcome
    from privacy.books import Book, Entry
    from privacy.budget import Ledger
    from privacy.directory import Slots
    from privacy.publications import Countersigned
    from privacy.published_books import BookSummary
    from server.hq.report import NightReport, ReleaseReport

FIRST_NODE = 1000
"""Flower node of the first outlet."""

HORIZON_DAYS = 180
ANY_DAY = 36_500
"""`days_off` of replays, which are about the past."""

ONE_TRAINING_SHARES: dict[Purpose, Fraction] = {
    Purpose.USUAL: Fraction("0.02"),
    Purpose.MOMENTS: Fraction("0.22"),
    Purpose.TRAINING: Fraction("0.71"),
    Purpose.EVALUATION: Fraction("0.05"),
    Purpose.CALIBRATION: Fraction(0),
}
"""Where a whole budget is for one training, as in a replay."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The three roles' settings, made to fit one another.

    Attributes:
        office: The privacy office's.
        hq: HQ's.
        outlet: Every outlet's.
    """

    office: OfficeSettings
    hq: HqSettings
    outlet: OutletSettings

    @classmethod
    def of_a_year(cls, trainings: int = 12) -> Settings:
        """The defaults: a year's policy, spread over trainings and weekly books.

        Args:
            trainings: A year's; fewer have less noise each.
        """
        return cls(
            OfficeSettings(days_off=ANY_DAY),
            HqSettings(trainings_a_year=trainings),
            OutletSettings(days_off=ANY_DAY),
        )

    @classmethod
    def one_training(
        cls,
        epsilon: float | None,
        delta: float,
        rounds: int | None = None,
        starting: Mapping[str, Outcome] = MappingProxyType({}),
    ) -> Settings:
        """All of a budget in one training.

        Args:
            epsilon: Of the customer sums; None trains without noise.
            delta: Its failure probability.
            rounds: Gradient rounds; the default where None.
            starting: The published starting scorecards that outcomes begin at.
        """
        spend = 1.0 if epsilon is None else epsilon
        silent = frozenset(ONE_TRAINING_SHARES) if epsilon is None else frozenset[Purpose]()
        hq = HqSettings(
            epsilon=spend,
            delta=delta,
            shares=ONE_TRAINING_SHARES,
            trainings_a_year=1,
            noiseless=epsilon is None,
            starting=dict(starting),
        )
        if rounds is not None:
            hq = hq.model_copy(update={"rounds": rounds})
        return cls(
            OfficeSettings(
                epsilon=spend,
                delta=delta,
                shares=ONE_TRAINING_SHARES,
                days_off=ANY_DAY,
                noiseless=silent,
            ),
            hq,
            OutletSettings(
                least_noise=0.1,
                most_epsilon=spend,
                delta=delta,
                days_off=ANY_DAY,
                noiseless=silent,
            ),
        )


@dataclass(frozen=True, slots=True)
class Member:
    """An outlet as the sandbox makes one.

    Attributes:
        cut_off: The last day in its features, ISO 8601.
        events: All its events.
        home: Its home customers with their outcomes.
    """

    cut_off: str
    events: EventFeatures
    home: HomeCustomers


class LocalOffice(Office):
    """An office that countersigns any book of a complete seal: its directory never changes."""

    def countersign_book(self, directory: str, summary: BookSummary) -> Countersigned:
        """Countersigns a book.

        Raises:
            ValueError: If it is not of a seal that came to its end here.
        """
        seal = summary.read().seal
        complete = self.store.complete_seal(seal.plan)
        if complete is None or complete.seal != seal:
            raise ValueError("book: of a seal that this office did not complete")
        said = Publication(PublicationKind.BOOK, 1, summary.digest, directory, int(self.clock()))
        return countersign(said, self.key)


@dataclass(frozen=True, slots=True)
class Network:
    """HQ, office and outlets, ready for a night.

    Attributes:
        settings: The three roles'.
        office: The privacy office.
        hq_store: HQ's checkpoints.
        outlets: The outlets by id.
        customers: Whose each slot is, in order.
        directory: Their slots.
        shelf: Where band books are published.
        grid: Their Flower grid.
    """

    settings: Settings
    office: LocalOffice
    hq_store: HqStore
    outlets: Mapping[str, Outlet]
    customers: pl.Series
    directory: Directory
    shelf: MemoryLibrary
    grid: LocalGrid

    @classmethod
    def build(
        cls,
        members: Mapping[str, Member],
        customers: pl.Series,
        settings: Settings,
        folder: Path | None = None,
        drop: Drop = lambda _node, _message: False,
        clock: Callable[[], float] = time.time,
    ) -> Network:
        """Makes a network with fresh keys.

        Args:
            members: The outlets by id.
            customers: Whose each slot is, in order, no duplicates.
            settings: The three roles'.
            folder: Where state is kept; None keeps it in memory.
            drop: Tells whether a message to a Flower node is lost.
            clock: Unix seconds, for all roles.
        """
        keys = {name: SigningKey.generate() for name in members}
        directory, office_key = directory_of(customers), SigningKey.generate()
        office = LocalOffice(
            settings.office,
            OfficeStore(_url(folder, "office", OFFICE), settings.office.policy()),
            office_key,
            {name: key.public for name, key in keys.items()},
            clock,
            lambda: directory.digest,
            lambda: directory,
            Vault(),
        )
        outlets = {
            name: Outlet(
                name,
                settings.outlet,
                keys[name],
                office_key.public,
                AnswerStore(_outlets_url(folder, name)),
                clock,
                member.cut_off,
                member.home,
                {member.cut_off: _met(member, customers)},
                directory.keys,
                directory.digest,
                HORIZON_DAYS,
                Dither.of(name.encode()),
                office.entries,
            )
            for name, member in members.items()
        }
        grid = LocalGrid(
            {
                FIRST_NODE + index: client_app(outlet.name, partial(_ready, outlet))
                for index, outlet in enumerate(outlets.values())
            },
            drop,
        )
        hq_store = HqStore(_url(folder, "hq", HQ))
        return cls(settings, office, hq_store, outlets, customers, directory, MemoryLibrary(), grid)

    def night(
        self,
        name: str,
        cut_off: str,
        *outcomes: str,
        bands: bool = False,
        policy: BandPolicy | None = None,
        as_of: str | None = None,
        on_step: Callable[[ReleaseReport], None] = lambda _step: None,
    ) -> NightReport:
        """Runs one night of HQ; with `bands` it seals what is due and publishes a book.

        Bands are as of the cut-off too where no other day is given: whatever the days are called,
        outlets have the same events on all of them.
        """
        self.shelf.begin(name)
        banding = Banding(
            self.known_slots(),
            self.shelf,
            self.hq_key,
            self.office.key.public,
            policy or BandPolicy(),
            self.office.clock,
        )
        slots = self.directory.slots if bands else 0
        return HqNight(
            Tonight(name, cut_off, as_of or cut_off, outcomes, self.directory.digest, slots),
            self.settings.hq,
            self.office,
            FlowerLink(self.grid, self.names, self.settings.hq.timeout),
            self.hq_store,
            {outlet.name: outlet.key.public for outlet in self.outlets.values()},
            banding if bands else None,
            self.office.clock,
            on_step,
        ).run()

    def known_slots(self) -> KnownSlots:
        """What HQ knows of the slots: as many registrations of each as outlets have met it."""
        registrations = np.zeros(self.directory.slots, dtype=np.int64)
        for outlet in self.outlets.values():
            for met in list(outlet.views.values())[:1]:
                registrations[met.slots] += 1
        nonces = [home_key(customer).nonce for customer in self.customers]
        return KnownSlots(self.directory.keys, nonces, registrations)

    def book(self, place: int = -1) -> Book:
        """A published book, both its signatures verified; the last one where no other is named."""
        publishers = Publishers(self.hq_key.public, self.office.key.public)
        return open_book(
            PublishedBook.decode(self.shelf.books[place]),
            publishers,
            newer_than=None,
            directory=self.directory.digest,
            not_before=0,
            kind=SealKind.BAND,
        )

    def entries(self, book: Book) -> list[Entry | None]:
        """Every customer's entry, read as an outlet reads it that can compute the token."""
        keys = [home_key(customer).slot_key for customer in self.customers]
        return [book.read(slot, key) for slot, key in enumerate(keys)]

    def bands(self, book: Book) -> list[dict[str, str]]:
        """Every customer's bands as staff read them, by scheme."""
        return [
            newcomer() if entry is None else named(entry.codes, entry.evidence)
            for entry in self.entries(book)
        ]

    @property
    def hq_key(self) -> SigningKey:
        """HQ's signing key."""
        return self.shelf.key

    @property
    def names(self) -> dict[int, str]:
        """Outlet id of each Flower node."""
        return {FIRST_NODE + index: name for index, name in enumerate(self.outlets)}

    def ledger(self) -> Ledger:
        """The office's ledger."""
        return self.office.store.ledger()

    def close(self) -> None:
        """Closes all stores."""
        self.office.store.close()
        self.hq_store.close()
        for outlet in self.outlets.values():
            outlet.answers.close()


@dataclass(slots=True)
class MemoryLibrary:
    """Books in memory, and the key they are signed with.

    Attributes:
        key: HQ's signing key.
        books: Every published book so far.
    """

    key: SigningKey = field(default_factory=SigningKey.generate)
    books: list[bytes] = field(default_factory=list)
    _night: str = ""
    _draft: tuple[str, bytes] | None = None
    _version: int = 0

    def begin(self, night: str) -> None:
        """Forgets the draft of another night, as under another number of the office's."""
        if night != self._night:
            self._night, self._draft = night, None

    def next_version(self) -> int:
        """A version that no book had before."""
        self._version += 1
        return self._version

    def drafted(self, directory: str) -> bytes | None:
        """The book that was signed last for a directory in the same night."""
        known = self._draft
        return known[1] if known is not None and known[0] == directory else None

    def draft(self, _version: int, directory: str, signed: bytes) -> None:
        """Keeps a signed book until the next night."""
        self._draft = directory, signed

    def add_book(self, _version: int, encoded: bytes) -> None:
        """Publishes a countersigned book; the same again changes nothing."""
        if encoded not in self.books[-1:]:
            self.books.append(encoded)


@cache
def home_key(customer: str) -> HomeKey:
    """Stands in for a customer's token and registration where nobody registered."""
    name = customer.encode()
    nonce = sha256(b"nonce" + name).digest()
    return HomeKey(SlotKey.of(sha256(b"token" + name).digest()), nonce)


def public_keys(customers: pl.Series) -> Slots:
    """The public slot keys of these customers, uint8[slots, KEY_BYTES]."""
    return keys_as_array([home_key(customer).slot_key.public for customer in customers])


def directory_of(customers: pl.Series) -> Directory:
    """The slots of these customers, whose homes nobody has to find by it."""
    keys = public_keys(customers)
    tags = np.zeros((len(keys), TAG_BYTES), dtype=np.uint8)
    return Directory(1, np.hstack([keys, tags]))


def _met(member: Member, customers: pl.Series) -> SlotSums:
    places = positions(member.events.keys["customer"], customers)
    return SlotSums.of(member.events, places, member.home.slots)


def _ready(outlet: Outlet, tonight: Mapping[str, str]) -> Outlet:
    """An outlet of the sandbox has the same events on whatever day it is asked for."""
    [met] = {id(view): view for view in outlet.views.values()}.values()
    days = [tonight["cut_off"], tonight["as_of"]]
    return replace(outlet, cut_off=days[0], views=dict.fromkeys(days, met))


def _url(folder: Path | None, role: str, schema: StoreSchema) -> str:
    """Of HQ's or the office's store, which is made where it is not there."""
    if folder is None:
        return MEMORY
    place = folder / role
    place.mkdir(parents=True, exist_ok=True)
    url = schema.url(place)
    if is_missing(url, schema):
        create_store(url, schema)
    return url


def _outlets_url(folder: Path | None, name: str) -> str:
    if folder is None:
        return MEMORY
    place = folder / "outlets" / name
    place.mkdir(parents=True, exist_ok=True)
    create_databases(place)
    return f"sqlite:///{place / 'outlet.db'}"
