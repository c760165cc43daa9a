"""What a seal costs office, HQ and outlet: processor time, bytes and memory, beside noise.

    python -m benchmarks.sealing [slots ...]

Each party's work runs in a process of its own, and the other's messages come from files, so that
memory is one party's. Beside it stand as many draws of discrete Gaussian noise as a noisy release
of the same slots took of each server, the thing that sealing replaces, and a bare Diffie-Hellman a
slot. Scores have two tables of the directory's modulus each, the evidence one.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from privacy import voprf
from privacy.base_transfers import Draw
from privacy.books import Seal
from privacy.envelopes import SealKey, digest
from privacy.masks import Seed, mask
from privacy.noise import DiscreteGaussian
from privacy.seal_plans import SealKind, SealPlan
from privacy.sealing import Receiver, SealSecrets, Sender, fresh_seed
from privacy.slot_keys import KEY_BYTES, OneTimeKey, SlotKey
from privacy.two_key_sum import KeptSeed, Parts, shares_of, sum_of_masks

if TYPE_CHECKING:
    from collections.abc import Callable

    from privacy.directory import Slots
    from privacy.sealing import Shares

OUTLETS, DRAWN = 12, 300_000
SET = digest(b"everybody")
_READ = 2000
MIB = 2**20


@dataclass(frozen=True)
class Work:
    """What one party's process came to.

    Attributes:
        seconds: Of processor, all threads.
        wall: By the clock.
        memory: The most at once, in bytes, less what the process had when it began.
        found: What came of it.
    """

    seconds: float
    wall: float
    memory: int
    found: Any


@dataclass(frozen=True)
class Release:
    """A seal of so many slots, all keys and shares drawn.

    Attributes:
        plan: The plan.
        seed: HQ's.
        hq_key: HQ's one-time key.
        secrets: The office's, encoded.
        answer: Its second message.
        keys: uint8[slots, KEY_BYTES]; the first is `known`'s.
        known: Token of the first slot.
        seeds: The outlets' seeds.
        sums: What each slot adds up to, int64[slots, width].
    """

    plan: SealPlan
    seed: bytes
    hq_key: bytes
    secrets: bytes
    answer: bytes
    keys: Slots
    known: bytes
    seeds: list[bytes]
    sums: Any

    @classmethod
    def of(cls, slots: int) -> Release:
        """Draws one."""
        seed, hq, office = fresh_seed(), OneTimeKey.generate(), OneTimeKey.generate()
        first = Receiver.first_message(seed)
        plan = SealPlan(
            "n/001-points", SET, "", SealKind.BAND, slots, 2, ((10, 24), (-4, 8)), 3, SET, SET,
            "2026-01-31", hq.public.hex(), first.hex(), SealKey.generate().public.hex(),
            office.public.hex(), 2**40,
        )  # fmt: skip
        draw = Draw.fresh(first)
        secrets = SealSecrets.of(office, draw, plan, digest(plan.encode())).encode()
        known = b"known".ljust(32, b"\0")
        points = [SlotKey.of(known).public] + [
            voprf.multiply_base(voprf.random_scalar()) for _ in range(min(slots, 1000) - 1)
        ]
        keys = np.frombuffer(b"".join(points), np.uint8).reshape(-1, KEY_BYTES)
        keys = np.resize(keys, (slots, KEY_BYTES))  # keys come again: their cost is the same
        random = np.random.default_rng(1)
        sums = np.rint(random.normal(0, 20, (slots, 3))).astype(np.int64)
        sums[:, 2] = np.minimum(np.abs(sums[:, 2]), 30)
        seeds = [bytes(Seed.fresh()) for _ in range(OUTLETS)]
        return cls(plan, seed, hq.to_bytes(), secrets, draw.answer, keys, known, seeds, sums)

    @property
    def masks(self) -> Shares:
        """M, uint16[slots, width]."""
        kept = [KeptSeed(Seed.of(one), self.plan.dimension) for one in self.seeds]
        return shares_of(self.plan, sum_of_masks(self.plan, kept))


def main() -> None:
    """Prints a table for each number of slots."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("slots", type=int, nargs="*", default=[100_000, 1_000_000])
    for slots in parser.parse_args().slots:
        with tempfile.TemporaryDirectory() as folder:
            _print(slots, Path(folder))


def _print(slots: int, folder: Path) -> None:
    release = Release.of(slots)
    np.save(folder / "Y.npy", (release.sums.astype(np.uint16) + release.masks))
    bare = _bare(release.keys)
    noise = _noise(slots)
    _write(f"{slots:,} slots; a bare Diffie-Hellman {bare * 1e6:.0f} microseconds")
    _write(f"noise of each server, as it was: {noise:.1f} s of processor (from {DRAWN:,} draws)")
    _write(f"{'':46s}{'processor':>11s}{'/ noise':>9s}{'wall':>9s}{'memory':>11s}{'bytes':>16s}")
    outlet = _process(_outlet, release, folder)
    _row("outlet: mask its parts", outlet, noise, outlet.found)
    chosen = _process(_choose, release, folder)
    _row("HQ: choices, to the office", chosen, noise, chosen.found)
    tables = _process(_tables, release, folder)
    _row("office: check, masks, pads, tables, to HQ", tables, noise, tables.found)
    picked = _process(_pick, release, folder)
    _row("HQ: choose again, pick, mask the book", picked, noise, picked.found[0])
    read = _process(_read, release, folder)
    _write(f"outlet: an entry of the book, both layers: {read.found * 1e6:.0f} microseconds")
    if not picked.found[1]:
        raise SystemExit("a code is not the one of its sum")


def _outlet(release: Release, _folder: Path) -> int:
    met = np.arange(0, release.plan.slots, 10)
    parts = np.clip(release.sums[met], -60, 60)
    parts[:, 2] = np.minimum(parts[:, 2], 6)
    sums = Parts(parts, met).sums(release.plan).astype(np.uint16)
    return (sums + mask(release.seeds[0], release.plan.dimension, 16)).nbytes


def _receiver(release: Release) -> Receiver:
    name = digest(release.plan.encode())
    return Receiver.of(release.plan, name, SET, release.seed, release.answer)


def _choose(release: Release, folder: Path) -> int:
    receiver, sums, total = _receiver(release), np.load(folder / "Y.npy"), 0
    for chunk in range(release.plan.chunks):
        places = release.plan.places(chunk)
        choices, _ = receiver.choose(chunk, sums[places.start : places.stop])
        data = choices.encode()
        total += (folder / f"choices{chunk}").write_bytes(data)
    return total


def _tables(release: Release, folder: Path) -> int:
    name = digest(release.plan.encode())
    sender = Sender(release.plan, name, SET, SealSecrets.decode(release.secrets))
    masks, total = release.masks, 0
    for chunk in range(release.plan.chunks):
        places = release.plan.places(chunk)
        choices = sender.read(chunk, (folder / f"choices{chunk}").read_bytes())
        rows, part = sender.rows(chunk, choices), slice(places.start, places.stop)
        shares, keys, reached = masks[part], release.keys[part], release.plan.slots
        with (folder / f"tables{chunk}").open("wb") as file:
            for piece in sender.tables(chunk, choices, rows, shares, keys, reached):
                total += file.write(piece)
    return total


def _pick(release: Release, folder: Path) -> tuple[int, bool]:
    receiver, sums = _receiver(release), np.load(folder / "Y.npy")
    codes, names = [], []
    for chunk in range(release.plan.chunks):
        places = release.plan.places(chunk)
        mine = sums[places.start : places.stop]
        choices, rows = receiver.choose(chunk, mine)
        names.append(choices.digest)
        codes.append(receiver.pick(rows, mine, (folder / f"tables{chunk}").read_bytes()))
    seal = Seal.of(release.plan, digest(release.plan.encode()), SET, names)
    unmarked = np.zeros(release.plan.slots, bool)
    one_time = OneTimeKey.from_bytes(release.hq_key)
    entries = seal.masked(np.concatenate(codes), unmarked, release.keys, one_time)
    book = entries.book(version=1, made_at=1, directory=SET, blank=unmarked)
    (folder / "book").write_bytes(book.encode())
    known = np.flatnonzero((release.keys == release.keys[0]).all(axis=1))[:_READ]
    key = SlotKey.of(release.known)
    told = [book.read(int(slot), key) for slot in known]
    found = [(*entry.codes, entry.evidence) for entry in told if entry is not None]
    law = [table.codes(release.sums[known, at]) for at, table in enumerate(release.plan.tables())]
    return len(book.encode()), bool((np.array(found) == np.stack(law, axis=1)).all())


def _read(release: Release, folder: Path) -> float:
    from privacy.books import Book

    book, key = Book.decode((folder / "book").read_bytes()), SlotKey.of(release.known)
    began = time.process_time()
    for _ in range(_READ):
        book.read(0, key)
    return (time.process_time() - began) / _READ


def _bare(keys: Slots) -> float:
    """Seconds of one Diffie-Hellman."""
    scalar, point = voprf.random_scalar(), keys[0].tobytes()
    began = time.process_time()
    for _ in range(_READ):
        voprf.multiply(scalar, point)
    return (time.process_time() - began) / _READ


def _noise(slots: int) -> float:
    """Processor seconds of one server's noise for three numbers a slot."""
    gaussian = DiscreteGaussian(128)
    began = time.process_time()
    gaussian.draw(DRAWN)
    return (time.process_time() - began) / DRAWN * 3 * slots


def _process(work: Callable[[Release, Path], Any], release: Release, folder: Path) -> Work:
    """Runs one party's work in a process of its own."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_measured, args=(theirs, work, release, folder))
    process.start()
    found: Work = ours.recv()
    process.join()
    return found


def _measured(
    pipe: Any, work: Callable[[Release, Path], Any], release: Release, folder: Path
) -> None:
    before, began, processor = _memory(), time.monotonic(), time.process_time()
    found = work(release, folder)
    seconds, wall = time.process_time() - processor, time.monotonic() - began
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    pipe.send(Work(seconds, wall, max(most - before, 0), found))


def _memory() -> int:
    """Resident bytes now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def _row(label: str, work: Work, noise: float, size: int) -> None:
    _write(
        f"{label:46s}{work.seconds:9.1f} s{work.seconds / noise:8.2f}x{work.wall:7.1f} s"
        f"{work.memory / MIB:7.0f} MiB{size:16,}"
    )


def _write(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
