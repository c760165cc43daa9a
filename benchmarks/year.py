"""What a year's nights leave on the disks of HQ and of the privacy office.

    python -m benchmarks.year [weeks] [customers] [slots]

A small network (60 customers at 4 outlets, over 52 weeks, by default): bands are sealed each week,
scorecards trained and calibrated each quarter, and a directory of many more slots published each
week, with a book, through the very stores of both. Of each week it prints how large their databases
are, and how many entries the office's ledger has, which only grows.
"""

from __future__ import annotations

import argparse
import datetime as dt
import sys
import tempfile
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.directory import strangers
from features.outcomes import Outcome
from outlet_client.settings import OutletSettings
from privacy.directory import SLOT_BYTES, Directory, DirectoryChanges
from privacy.envelopes import SigningKey
from privacy.slot_keys import KEY_BYTES
from privacy.tokens import TokenShare
from sandbox.market import simulated_market
from sandbox.network import HORIZON_DAYS, Network, Settings
from sandbox.world import World
from server.hq.registry import Registry
from server.hq.settings import HqSettings
from server.office.publications import Publications
from server.office.settings import OfficeSettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

OUTCOMES = (Outcome.LOYAL.value, Outcome.FLIPPED.value)
START = dt.datetime(2027, 1, 15, 8, tzinfo=dt.UTC).timestamp()
WEEK_SECONDS = 7 * 24 * 3600
QUARTER_DAYS = 91.0


@dataclass(frozen=True, slots=True)
class Week:
    """The state after a week's night.

    Attributes:
        number: From 1.
        night: How the night ended.
        steps: How many releases it had.
        hq: Bytes of HQ's databases.
        office: Bytes of the office's.
        entries: How many entries the office's ledger has.
    """

    number: int
    night: str
    steps: int
    hq: int
    office: int
    entries: int


@dataclass(slots=True)
class Clock:
    """A clock that stands still until it is moved."""

    at: float = START

    def __call__(self) -> float:
        """Unix seconds."""
        return self.at


@dataclass(slots=True)
class Desk:
    """Directories and books as HQ publishes them and the office countersigns directories."""

    registry: Registry
    publications: Publications
    network: bytes
    directory: Directory = field(default_factory=Directory.empty)

    def publish(self, keys: Sequence[bytes], at: float) -> None:
        """Publishes a directory of some slots more."""
        rows = np.zeros((len(keys), SLOT_BYTES), np.uint8)
        rows[:, :KEY_BYTES] = np.frombuffer(b"".join(keys), np.uint8).reshape(-1, KEY_BYTES)
        batch = self.directory.batch + 1
        after = Directory(batch, np.vstack([self.directory.rows, rows]))
        said = self.publications.countersign_directory(
            self.network,
            DirectoryChanges.between(self.directory, after),
            {},
            self.registry.last_statement(),
            open_batch=batch + 1,
            sizes={},
            at=at,
        )
        self.registry.publish(after, said)
        self.directory = after

    def add_book(self, book: bytes) -> None:
        """Publishes a book."""
        version = self.registry.next_version()
        self.registry.draft(version, self.directory.digest, book)
        self.registry.add_book(version, book)


def weeks(folder: Path, count: int, customers: int, slots: int) -> Iterator[Week]:
    """Runs a network's nights, one a week, with its stores in a folder.

    Args:
        folder: An empty one.
        count: How many weeks.
        customers: How many customers are drawn, and sealed.
        slots: How many slots the directory has that is published, at first.
    """
    random, clock = np.random.default_rng(3), Clock()
    world = World.of_market(simulated_market(random, outlets=4, customers=customers), random)
    everybody = np.ones(len(world.customers), dtype=bool)
    y = {outcome: world.given[outcome] for outcome in OUTCOMES}
    hq = HqSettings(rounds=2, trainings_a_year=4, train_days=QUARTER_DAYS)
    settings = Settings(OfficeSettings(), hq, OutletSettings())
    with ExitStack() as stack:
        members = world.members(y, everybody)
        network = stack.enter_context(
            closing(Network.build(members, world.customers, settings, folder, clock=clock))
        )
        desk = Desk(
            stack.enter_context(closing(Registry(f"sqlite:///{folder}/hq/hq.db", clock))),
            stack.enter_context(
                closing(
                    Publications(f"sqlite:///{folder}/office/office.db", SigningKey.generate(), 20)
                )
            ),
            TokenShare.generate().public,
        )
        desk.publish(strangers(slots), clock.at)
        for number in range(1, count + 1):
            clock.at += WEEK_SECONDS
            today = dt.datetime.fromtimestamp(clock.at, dt.UTC).date()
            network.hq_store.forget_over(clock.at)  # as each night begins
            report = network.night(
                f"night-{today}", str(today - dt.timedelta(HORIZON_DAYS)), *OUTCOMES,
                bands=True, as_of=str(today),
            )  # fmt: skip
            desk.publish(strangers(1), clock.at)
            if network.shelf.books:
                desk.add_book(network.shelf.books[-1])
            yield Week(
                number,
                report.ended,
                len(report.steps),
                _bytes(folder / "hq"),
                _bytes(folder / "office"),
                network.ledger().length,
            )


def main() -> None:
    """Prints a line a week."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weeks", type=int, nargs="?", default=52)
    parser.add_argument("customers", type=int, nargs="?", default=60)
    parser.add_argument("slots", type=int, nargs="?", default=30_000)
    given = parser.parse_args()
    sys.stdout.write(
        f"{'week':>4} {'releases':>8} {'HQ, KiB':>9} {'office, KiB':>12} {'ledger':>7}\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        for week in weeks(Path(folder), given.weeks, given.customers, given.slots):
            sys.stdout.write(
                f"{week.number:4} {week.steps:8} {week.hq / 1024:9.0f} {week.office / 1024:12.0f} "
                f"{week.entries:7} {'' if week.night == 'complete' else week.night}\n"
            )
            sys.stdout.flush()


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*.db"))


if __name__ == "__main__":
    main()
