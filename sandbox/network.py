"""A network in one process: a real office, real HQ, real outlets, their messages through Flower.

Only the processes are missing. Keys are fresh; state is in memory, or under a folder.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING

from features.events import positions
from outlet_client.answers import AnswerStore
from outlet_client.contribute import HomeCustomers, Outlet
from outlet_client.flower_node import client_app
from outlet_client.settings import OutletSettings
from privacy.envelopes import SigningKey, digest
from privacy.units import Purpose
from sandbox.local_grid import Drop, LocalGrid
from server.hq.flower_link import FlowerLink
from server.hq.night import Night, NightReport, Step
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
    from privacy.budget import Ledger

FIRST_NODE = 1000
"""Flower node of the first outlet."""

ONE_TRAINING_SHARES: dict[Purpose, Fraction] = {
    Purpose.MOMENTS: Fraction("0.15"),
    Purpose.TRAINING: Fraction("0.80"),
    Purpose.EVALUATION: Fraction("0.05"),
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
    def of_a_year(cls) -> Settings:
        """The defaults: a year's policy, spread over monthly trainings.

        Points carry no noise here until slots have tokens, so plans without noise are allowed.
        """
        points = frozenset({Purpose.POINTS})
        return cls(OfficeSettings(noiseless=points), HqSettings(), OutletSettings(noiseless=points))

    @classmethod
    def one_training(
        cls, epsilon: float | None, delta: float, rounds: int | None = None
    ) -> Settings:
        """All of a budget in one training; without noise where `epsilon` is None."""
        spend = 1.0 if epsilon is None else epsilon
        noiseless = frozenset(Purpose) if epsilon is None else frozenset({Purpose.POINTS})
        hq = HqSettings(
            epsilon=spend,
            delta=delta,
            shares=ONE_TRAINING_SHARES,
            trainings_a_year=1,
            noiseless=epsilon is None,
        )
        if rounds is not None:
            hq = hq.model_copy(update={"rounds": rounds})
        return cls(
            OfficeSettings(
                epsilon=spend, delta=delta, shares=ONE_TRAINING_SHARES, noiseless=noiseless
            ),
            hq,
            OutletSettings(least_noise=0.1, most_epsilon=spend, delta=delta, noiseless=noiseless),
        )


@dataclass(frozen=True, slots=True)
class Member:
    """An outlet as the sandbox makes one.

    Attributes:
        cut_off: The last day in its features, ISO 8601.
        outcome: What its home customers were judged for.
        events: All its events.
        home: Its home customers with their outcomes.
    """

    cut_off: str
    outcome: str
    events: EventFeatures
    home: HomeCustomers


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
        grid: Their Flower grid.
    """

    settings: Settings
    office: Office
    hq_store: HqStore
    outlets: Mapping[str, Outlet]
    directory: pl.Series
    directory_digest: str
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
        office_key = SigningKey.generate()
        office = Office(
            settings.office,
            OfficeStore(_url(folder, "office", "office.db"), settings.office.policy()),
            office_key,
            {name: key.public for name, key in keys.items()},
            clock,
        )
        directory_digest = digest("\n".join(directory.to_list()).encode())
        outlets = {
            name: Outlet(
                name,
                settings.outlet,
                keys[name],
                office_key.public,
                AnswerStore(_url(folder, f"outlets/{name}", "outlet.db")),
                clock,
                member.cut_off,
                member.outcome,
                member.home,
                member.events,
                len(directory),
                positions(member.events.keys["customer"], directory),
                directory_digest,
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
        return cls(settings, office, hq_store, outlets, directory, directory_digest, grid)

    def night(
        self,
        name: str,
        cut_off: str,
        outcome: str,
        *,
        points: bool,
        on_step: Callable[[Step], None] = lambda _step: None,
    ) -> NightReport:
        """Runs one night of HQ."""
        return Night(
            name,
            cut_off,
            outcome,
            self.settings.hq,
            self.office,
            FlowerLink(self.grid, self.names, self.settings.hq.timeout),
            self.hq_store,
            {outlet.name: outlet.key.public for outlet in self.outlets.values()},
            self.directory_digest,
            len(self.directory) if points else 0,
            on_step,
        ).run()

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


def _ready(outlet: Outlet, _cut_off: str, _outcome: str) -> Outlet:
    """An outlet of the sandbox is ready as it was built."""
    return outlet


def _url(folder: Path | None, role: str, name: str) -> str:
    if folder is None:
        return "sqlite://"
    place = folder / role
    place.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{place / name}"
