"""What HQ asks the office of a chunk, honest or not, and where secrets are looked for."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from privacy.seal_plans import SealKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from server.office.seal_store import StoredSeal
    from server.office.unlock import Office
    from tests.server.seal_benches import HonestSeal, SealBench


BAND, FINE = SealKind.BAND, SealKind.FINE

KINDS = pytest.mark.parametrize("kind", [BAND, FINE])

ROOT = Path(__file__).parents[3]


def stored(bench: SealBench, release: str = "s1", kind: SealKind = BAND) -> HonestSeal:
    """A seal whose set is stored."""
    seal = bench.seal(release, bench.night(f"night of {release}"), kind)
    seal.sign()
    seal.store("abcd")
    return seal


def of(bench: SealBench, seal: HonestSeal) -> StoredSeal:
    with bench.bench.store.transaction() as transaction:
        found = transaction.seals.find(digest=seal.signed.digest)
    assert found is not None
    return found


def others(seal: HonestSeal, chunk: int = 0, slot: int = 0) -> bytes:
    """Choices that are one vector, and another one: at one slot another sum."""
    place, sums = seal.plan.places(chunk), seal.sums
    sums[place.start + slot] += 1
    return seal.receiver.choose(chunk, sums[place.start : place.stop])[0].encode()


def ask(seal: HonestSeal, choices: bytes, chunk: int = 0, office: Office | None = None) -> bytes:
    office = office or seal.at.office
    return b"".join(office.seal_chunk(seal.signed.digest, chunk, choices))


def tables_of(seal: HonestSeal, data: bytes) -> list[np.ndarray]:
    """Each slot's tables, uint8."""
    slots, found, at = seal.plan.slots, [], 0
    for table in seal.plan.tables():
        size = slots * table.table_bytes
        found.append(np.frombuffer(data, np.uint8, size, at).reshape(slots, -1))
        at += size
    assert at == len(data)
    return list(np.concatenate(found, axis=1))


def at_once(*calls: Callable[[], object]) -> list[object]:
    """What calls that are made at the same time give, or raise."""
    with ThreadPoolExecutor(len(calls)) as pool:
        futures = [pool.submit(call) for call in calls]
        return [future.exception() or future.result() for future in futures]


class Killed(BaseException):
    """What ends a process."""


def in_files(folder: Path, secret: bytes) -> list[str]:
    return [file.name for file in folder.iterdir() if secret in file.read_bytes()]
