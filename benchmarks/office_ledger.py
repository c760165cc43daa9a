"""What the privacy office's part of a night takes with a short and a long ledger behind it.

    python -m benchmarks.office_ledger [--entries 100 10000] [--nights 9] [--releases 12]

Each ledger stands in a file of its own, of nights that were planned, charged and answered, a night
a day until yesterday. Then nights are signed, charged, unlocked and closed, by turns at the one
office and the other. Only the office's calls are timed; what outlets do between them is not.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from privacy.envelopes import SealKey
from privacy.loss import Rho
from privacy.plans import NightPlan, PlannedReleases, ReleasePlan, sign
from privacy.purposes import Purpose
from server.office.ledger_store import OfficeStore
from server.office.tables import OFFICE
from tests.builders import CUT_OFF, Bench, store_at

if TYPE_CHECKING:
    from collections.abc import Callable

Answer = TypeVar("Answer")

DAY = 86400
DIMENSION = 100
COST = Rho(1, 10**6)


@dataclass
class Timed:
    """An office with a ledger behind it, and what its nights took.

    Attributes:
        bench: The office, its clock, and the outlets' keys.
        entries: How many the ledger had at first.
        opening: Seconds that opening the store took, its ledger verified.
        wall: Seconds of each night by the clock.
        processor: Seconds of each night of the processor.
    """

    bench: Bench
    entries: int
    opening: float
    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    def night(self, name: str) -> None:
        """One night of the office's, timed."""
        self.bench.clock.at += DAY
        self.wall.append(0.0)
        self.processor.append(0.0)
        plan = self._timed(self.bench.night, name)
        parent = ""
        for number in range(self.bench.count):
            release = f"{name}/{number}"
            draft = self.bench.draft(plan, release, parent=parent, dimension=DIMENSION)
            signed = self._timed(self.bench.office.sign_release, draft)
            envelopes = [self.bench.share(signed, outlet).envelope for outlet in self.bench.names]
            self._timed(self.bench.office.unlock, signed.digest, envelopes)
            parent = release
        self._timed(self.bench.office.close_night, name)

    def _timed(self, call: Callable[..., Answer], *asked: object) -> Answer:
        wall, processor = time.perf_counter(), time.process_time()
        answer = call(*asked)
        self.wall[-1] += time.perf_counter() - wall
        self.processor[-1] += time.process_time() - processor
        return answer


def main() -> None:
    """Runs nights at both offices by turns, and prints what the longer ledger costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, nargs=2, default=[100, 10_000])
    parser.add_argument("--nights", type=int, default=9)
    parser.add_argument("--releases", type=int, default=12)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        short, long = (
            opened(Path(folder), entries, options.releases) for entries in options.entries
        )
        for number in range(options.nights):
            for each in (short, long) if number % 2 else (long, short):
                each.night(f"tonight-{number}")
    for each in (short, long):
        sys.stdout.write(
            f"{each.entries:6d} entries: opened in {each.opening * 1000:.0f} ms; a night of "
            f"{options.releases} releases {_of(each.wall)} by the clock, "
            f"{_of(each.processor)} of the processor\n"
        )
    clock = statistics.median(long.wall) / statistics.median(short.wall)
    processor = statistics.median(long.processor) / statistics.median(short.processor)
    sys.stdout.write(f"ratio: {clock:.2f} by the clock, {processor:.2f} of the processor\n")


def opened(folder: Path, entries: int, releases: int) -> Timed:
    """An office whose ledger has about so many entries."""
    url = f"sqlite:///{folder / f'{entries}.db'}"
    bench = Bench(url=url, rho=COST, count=releases, purpose=Purpose.TRAINING)
    _fill(bench, entries)
    bench.store.close()
    began = time.perf_counter()
    bench.store = OfficeStore(store_at(url, OFFICE), bench.settings.policy())
    opening = time.perf_counter() - began
    bench.office = replace(bench.office, store=bench.store)
    return Timed(bench, bench.store.ledger().length, opening)


def _fill(bench: Bench, entries: int) -> None:
    """Nights as they are stored after their end, without what signing and unlocking them takes."""
    nights = round(entries / (bench.count + 2))
    bench.clock.at -= nights * DAY
    costs = {bench.purpose: Rho(COST * bench.count)}
    lines = (PlannedReleases(bench.purpose, bench.count, COST),)
    with bench.store.transaction() as transaction:
        for number in range(nights):
            name, at = f"night-{number}", int(bench.clock.at)
            ledger = transaction.ledger().reserve(name, costs, at)
            plan = NightPlan(name, CUT_OFF, lines, ledger.length, ledger.head, at)
            night = sign(plan, bench.office_key)
            transaction.add_night(name, night, at)
            for which in range(bench.count):
                release, key = f"{name}/{which}", SealKey.generate()
                draft = bench.draft(night, release, dimension=DIMENSION)
                signed = sign(
                    ReleasePlan(**asdict(draft), key=key.public.hex(), expires=at),
                    bench.office_key,
                )
                transaction.add_release(
                    release=release,
                    night=night.digest,
                    purpose=bench.purpose,
                    directory=draft.directory,
                    signed=signed,
                    expires=at,
                    key=key,
                )
                ledger = ledger.charge(name, release, bench.purpose, draft.rho(), at)
                transaction.mark_charged(release, "")
                transaction.mark_answered(release, bytes(8 * DIMENSION))
            transaction.append(ledger.close(name, at))
            bench.clock.at += DAY


def _of(seconds: list[float]) -> str:
    low, middle, high = min(seconds), statistics.median(seconds), max(seconds)
    return f"{middle * 1000:.0f} ms ({low * 1000:.0f} to {high * 1000:.0f})"


if __name__ == "__main__":
    main()
