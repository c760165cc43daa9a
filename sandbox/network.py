"""A network in one process: a real office, real HQ, real outlets, their messages through Flower.

Only the processes are missing. Keys are fresh; state is in memory, or under a folder.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache, partial
from hashlib import sha256
from types import MappingProxyType
from typing import TYPE_CHECKING

from features.bands import BandPolicy
from features.events import positions
from outlet_client.contribution.answer_store import AnswerStore
from outlet_client.contribution.contributions import HomeCustomers, Outlet, SlotEvents
from outlet_client.night.flower_node import client_app
from outlet_client.people.people_store import HomeKey
from outlet_client.people.person_states import keys_as_array
from outlet_client.settings import OutletSettings
from privacy.envelopes import SigningKey, digest
from privacy.publications import Publication, PublicationKind, countersign
from privacy.slot_keys import SlotKey
from privacy.units import Purpose
from sandbox.local_grid import Drop, LocalGrid
from server.hq.banding import Banding
from server.hq.due import Tonight
from server.hq.flower_link import FlowerLink
from server.hq.night import HqNight
from server.hq.settings import HqSettings
from server.hq.store import HqStore
from server.office.ledger_store import OfficeStore
from server.office.settings import OfficeSettings
from server.office.unlock import Office

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import polars as pl

    from features.events import EventFeatures
    from features.outcomes import Outcome
    from privacy.budget import Ledger
    from privacy.directory import Slots
    from privacy.publications import Countersigned
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
    Purpose.POINTS: Fraction(1),
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
        band_noise: float = 0.0,
        starting: Mapping[str, Outcome] = MappingProxyType({}),
    ) -> Settings:
        """All of a budget in one training.

        Args:
            epsilon: Of the customer sums; None trains without noise.
            delta: Its failure probability.
            rounds: Gradient rounds; the default where None.
            band_noise: Of points, as a multiple of an event's longest row; 0 for none.
            starting: The published starting scorecards that outcomes begin at.
        """
        spend = 1.0 if epsilon is None else epsilon
        silent = frozenset(Purpose) if epsilon is None else frozenset[Purpose]()
        silent = silent - {Purpose.POINTS} if band_noise else silent | {Purpose.POINTS}
        hq = HqSettings(
            epsilon=spend,
            delta=delta,
            shares=ONE_TRAINING_SHARES,
            trainings_a_year=1,
            band_noise=band_noise,
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
                event_noise=min(band_noise, 0.5) or 0.5,
                days_off=ANY_DAY,
                noiseless=silent,
            ),
            hq,
            OutletSettings(
                least_noise=0.1,
                least_event_noise=min(band_noise, 0.25) or 0.25,
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
    """An office that countersigns any book: nobody registered, and the directory never changes."""

    def countersign_book(self, directory: str, digest: str) -> Countersigned:
        """Countersigns a book."""
        said = Publication(PublicationKind.BOOK, 1, digest, directory, int(self.clock()))
        return countersign(said, self.key)


@dataclass(frozen=True, slots=True)
class Network:
    """HQ, office and outlets, ready for a night.

    Attributes:
        settings: The three roles'.
        office: The privacy office.
        hq_store: HQ's checkpoints.
        outlets: The outlets by id.
        directory: The slots' customers, in order.
        directory_digest: Its digest.
        shelf: Where band books are published.
        grid: Their Flower grid.
    """

    settings: Settings
    office: LocalOffice
    hq_store: HqStore
    outlets: Mapping[str, Outlet]
    directory: pl.Series
    directory_digest: str
    shelf: MemoryLibrary
    grid: LocalGrid

    @classmethod
    def build(
        cls,
        members: Mapping[str, Member],
        directory: pl.Series,
        settings: Settings,
        folder: Path | None = None,
        drop: Drop = lambda _node, _message: False,
        clock: Callable[[], float] = time.time,
    ) -> Network:
        """Makes a network with fresh keys.

        Args:
            members: The outlets by id.
            directory: The slots' customers, in order, no duplicates.
            settings: The three roles'.
            folder: Where state is kept; None keeps it in memory.
            drop: Tells whether a message to a Flower node is lost.
            clock: Unix seconds, for all roles.
        """
        keys = {name: SigningKey.generate() for name in members}
        directory_digest = digest("\n".join(directory.to_list()).encode())
        office_key = SigningKey.generate()
        office = LocalOffice(
            settings.office,
            OfficeStore(_url(folder, "office", "office.db"), settings.office.policy()),
            office_key,
            {name: key.public for name, key in keys.items()},
            clock,
            lambda: directory_digest,
        )
        outlets = {
            name: Outlet(
                name,
                settings.outlet,
                keys[name],
                office_key.public,
                AnswerStore(_url(folder, f"outlets/{name}", "outlet.db")),
                clock,
                member.cut_off,
                member.home,
                {
                    member.cut_off: SlotEvents(
                        member.events, positions(member.events.keys["customer"], directory)
                    )
                },
                len(directory),
                directory_digest,
                HORIZON_DAYS,
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
        hq_store = HqStore(_url(folder, "hq", "hq.db"))
        return cls(
            settings, office, hq_store, outlets, directory, directory_digest, MemoryLibrary(), grid
        )

    def night(
        self,
        name: str,
        cut_off: str,
        *outcomes: str,
        bands: bool = False,
        policy: BandPolicy | None = None,
        on_step: Callable[[ReleaseReport], None] = lambda _step: None,
    ) -> NightReport:
        """Runs one night of HQ; with `bands` it releases points and publishes a book."""
        slots = len(self.directory) if bands else 0
        banding = Banding(
            public_keys(self.directory) if bands else keys_as_array([]),
            [home_key(customer).nonce for customer in self.directory] if bands else [],
            self.shelf,
            self.hq_key,
            self.office.key.public,
            policy or BandPolicy(),
            self.office.clock,
        )
        return HqNight(
            Tonight(name, cut_off, cut_off, outcomes, self.directory_digest, slots),
            self.settings.hq,
            self.office,
            FlowerLink(self.grid, self.names, self.settings.hq.timeout),
            self.hq_store,
            {outlet.name: outlet.key.public for outlet in self.outlets.values()},
            banding if bands else None,
            self.office.clock,
            on_step,
        ).run()

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

    def next_version(self) -> int:
        """A version that no book had before."""
        return len(self.books) + 1

    def drafted(self, _directory: str) -> bytes | None:
        """No book waits here to be countersigned."""
        return None

    def draft(self, _version: int, _directory: str, _signed: bytes) -> None:
        """Nobody is killed between a book and its countersignature."""

    def add_book(self, _version: int, encoded: bytes) -> None:
        """Publishes a countersigned book."""
        self.books.append(encoded)


@cache
def home_key(customer: str) -> HomeKey:
    """Stands in for a customer's token and registration where nobody registered."""
    name = customer.encode()
    nonce = sha256(b"nonce" + name).digest()
    return HomeKey(SlotKey.of(sha256(b"token" + name).digest()), nonce)


def public_keys(directory: pl.Series) -> Slots:
    """The public slot keys of these customers, uint8[slots, KEY_BYTES]."""
    return keys_as_array([home_key(customer).slot_key.public for customer in directory])


def _ready(outlet: Outlet, _tonight: Mapping[str, str]) -> Outlet:
    """An outlet of the sandbox is ready as it was built."""
    return outlet


def _url(folder: Path | None, role: str, name: str) -> str:
    if folder is None:
        return "sqlite://"
    place = folder / role
    place.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{place / name}"
