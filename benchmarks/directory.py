"""What slot keys cost: bytes and seconds of registrations, directories, changes and books.

    python -m benchmarks.directory [slots]

A directory of `slots` customers (1,000,000 by default); a day adds 1 % and blanks .1 % of them.
Processor time of all threads, beside a bare one of the same run: of libsodium's multiplications or
point checks through the same binding, of SHA-256 over the same bytes, of a dictionary.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import rbcl as sodium

from privacy import voprf
from privacy.books import Book, Seal
from privacy.directory import SLOT_BYTES, Directory, DirectoryChanges
from privacy.envelopes import SealKey, SigningKey
from privacy.publications import Publication, PublicationKind, countersign
from privacy.published_books import PublishedBook, sign_book
from privacy.registrations import SEALED_BYTES, TAG_BYTES, Registration, fresh_secret
from privacy.seal_plans import CHUNK_SLOTS, SealKind
from privacy.slot_keys import KEY_BYTES, OneTimeKey, SlotKey
from privacy.tokens import TokenShare
from server.office.publications import Publications
from server.office.settings import OfficeTokens

if TYPE_CHECKING:
    from collections.abc import Callable

    from privacy.directory import Slots

PEOPLE = 10_000
"""Of one outlet, of whom it knows the keys; and registrations in a batch."""

DAY = 86_400
_CHUNK = 4096
T = TypeVar("T")


@dataclass(frozen=True)
class Market:
    """A directory of two days.

    Attributes:
        known: The key pairs of the first slots' customers.
        before: The directory of batch 1.
        after: That of batch 2.
    """

    known: list[SlotKey]
    before: Directory
    after: Directory

    @classmethod
    def of(cls, slots: int) -> Market:
        """Draws customers; of most of them only the public key is kept."""
        known = [SlotKey.of(fresh_secret()) for _ in range(min(PEOPLE, slots))]
        keys = strangers(slots + slots // 100 - len(known))
        rows = _rows([key.public for key in known] + keys)
        blanked = np.random.default_rng(1).permutation(len(known))[: slots // 1000]
        later = rows.copy()
        later[blanked] = 0
        return cls(known, Directory(1, rows[:slots]), Directory(2, later))

    @cached_property
    def changes(self) -> DirectoryChanges:
        """What a day changes."""
        return DirectoryChanges.between(self.before, self.after)


def main() -> None:
    """Prints a table of bytes and a table of seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("slots", type=int, nargs="?", default=1_000_000)
    slots = parser.parse_args().slots
    market = Market.of(slots)
    _print_sizes(market, _masked(market))
    scalar, point = voprf.random_scalar(), market.known[0].public
    bare, _ = _timed(lambda: [_multiply(scalar, point) for _ in range(PEOPLE)])
    bare /= PEOPLE
    _write(f"a bare scalar multiplication: {bare * 1e6:.0f} microseconds")
    _print_hq(market, bare)
    _print_outlet(market, bare)
    _print_office(market, bare)


def _print_sizes(market: Market, book: Book) -> None:
    key = SigningKey.generate()
    signed = sign_book(book, key)
    name = market.before.digest
    said = Publication(PublicationKind.BOOK, 1, signed.digest, name, int(time.time()))
    published = PublishedBook(signed, countersign(said, key))
    for label, size in [
        ("a sealed registration, withdrawal or dummy", SEALED_BYTES),
        ("an outlet's submission", SEALED_BYTES * OfficeTokens().messages),
        ("the directory, whole", len(market.before.encode())),
        ("what changes in it in a day", len(market.changes.encode())),
        ("the band book, one byte a slot", len(published.encode())),
    ]:
        _write(f"{label:52s}{size:14,} bytes")


def _print_hq(market: Market, bare: float) -> None:
    slots = market.before.slots
    _row("HQ: make a book", _once(lambda: _masked(market)), bare * slots)
    hq, network = SealKey.generate(), TokenShare.generate().public
    sealed = [
        Registration.register(network, key, fresh_secret(), 1).sealed(hq.public)
        for key in market.known
    ]
    seconds, _ = _timed(lambda: [Registration.opened(one, hq, network, 1) for one in sealed])
    _row(f"HQ: open {len(sealed):,} registrations", seconds, bare * len(sealed))
    shown = [Registration.opened(one, hq, network, 1) for one in sealed]
    seconds, _ = _timed(lambda: _check(shown, network))
    _row("- of which their proofs", seconds, bare * len(shown))
    seconds, _ = _timed(lambda: DirectoryChanges.between(market.before, market.after).encode())
    _row("HQ: find what changed in a day", seconds, _sha256(market.after))


def _check(messages: list[Registration], network: bytes) -> None:
    for message in messages:
        message.evidence.check(network, message.key)


def _print_outlet(market: Market, bare: float) -> None:
    whole, changed = market.after.encode(), market.changes.encode()
    hashed = _sha256(market.after)
    seconds, _ = _timed(lambda: Directory.decode(whole))
    _row("outlet: read a directory, digest and order included", seconds, hashed)
    seconds, _ = _timed(market.after.encode)
    _row("outlet: write it", seconds, hashed)
    seconds, _ = _timed(lambda: DirectoryChanges.decode(changed).applied(market.before))
    _row("outlet: apply a day's changes", seconds, hashed)
    people = np.frombuffer(b"".join(key.public for key in market.known), np.uint8)
    people = people.reshape(-1, KEY_BYTES)
    listed = {row.tobytes(): slot for slot, row in enumerate(market.before.keys)}
    wanted = [key.public for key in market.known]
    in_dictionary, _ = _timed(lambda: [listed.get(key, -1) for key in wanted])
    seconds, places = _timed(lambda: market.before.places(people))
    if places.tolist() != list(range(len(wanted))):
        raise SystemExit("a person was not found in their slot")
    _row(f"outlet: place {len(wanted):,} people", seconds, in_dictionary)
    book, token = _masked(market, 1000), fresh_secret()
    seconds, _ = _timed(lambda: [book.read(0, SlotKey.of(token)) for _ in range(1000)])
    _row("outlet: one look-up: slot key of the token, entry", seconds / 1000, bare)
    seconds, _ = _timed(lambda: [market.before.places(people[:1]) for _ in range(1000)])
    _row("outlet: place one person", seconds / 1000, bare)


def _print_office(market: Market, bare: float) -> None:
    network, signing = TokenShare.generate().public, SigningKey.generate()
    office = Publications("sqlite://", signing, 20)
    empty = Directory.empty()
    first = DirectoryChanges.between(empty, market.before)
    whole = _once(
        lambda: office.countersign_directory(network, first, {}, None, open_batch=2, sizes={}, at=0)
    )
    keys = [row.tobytes() for row in market.before.keys[:PEOPLE]]
    valid = sodium.crypto_core_ristretto255_is_valid_point
    checked, _ = _timed(lambda: [valid(key) for key in keys])
    checked /= len(keys)
    _row("office: check and keep the whole directory", whole, checked * market.before.slots)
    evidence = {
        int(slot): Registration.withdraw(network, market.known[slot], fresh_secret(), 2).evidence
        for slot in market.changes.blanked
    }
    day = _once(
        lambda: office.countersign_directory(
            network,
            market.changes,
            evidence,
            office.latest()[0],
            open_batch=3,
            sizes={},
            at=DAY,
        )
    )
    if office.latest_directory() != market.after.digest:
        raise SystemExit("the office has another directory")
    beside = checked * len(market.changes.added) + bare * len(evidence)
    _row("office: check and keep a day's changes", day, beside)


def strangers(count: int) -> list[bytes]:
    """Slot keys of customers of whom nothing else is known; on all cores."""

    def chunk(size: int) -> list[bytes]:
        return [voprf.multiply_base(voprf.random_scalar()) for _ in range(size)]

    sizes = [min(_CHUNK, count - start) for start in range(0, count, _CHUNK)]
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        return [key for some in threads.map(chunk, sizes) for key in some]


def _rows(keys: list[bytes]) -> Slots:
    """uint8[n, SLOT_BYTES], with home tags of anybody."""
    rows = np.empty((len(keys), SLOT_BYTES), np.uint8)
    rows[:, :KEY_BYTES] = np.frombuffer(b"".join(keys), np.uint8).reshape(-1, KEY_BYTES)
    rows[:, KEY_BYTES:] = np.random.default_rng(2).integers(0, 256, (len(keys), TAG_BYTES))
    return rows


def _masked(market: Market, slots: int | None = None) -> Book:
    """Codes of nobody under HQ's masks: what is read is anything, and as fast as a seal's."""
    keys, name = market.before.keys[:slots], market.before.digest
    one_time, none = OneTimeKey.generate(), np.zeros(len(keys), dtype=bool)
    seal = Seal(
        SealKind.BAND, 2, len(keys), "2026-01-31", name, name,
        (name,) * -(-len(keys) // CHUNK_SLOTS), one_time.public.hex(), market.known[0].public.hex(),
    )  # fmt: skip
    entries = seal.masked(np.zeros((len(keys), 3), np.uint8), none, keys, one_time)
    return entries.book(version=1, made_at=1_800_000_000, directory=name, blank=none)


def _multiply(scalar: bytes, point: bytes) -> bytes:
    return bytes(sodium.crypto_scalarmult_ristretto255(scalar, point))


def _sha256(directory: Directory) -> float:
    encoded = directory.encode()
    return _timed(lambda: hashlib.sha256(encoded).digest())[0]


def _row(label: str, seconds: float, beside: float) -> None:
    _write(f"{label:52s}{seconds * 1e3:14,.2f} ms {seconds / beside:10.2f} x")


def _write(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _once(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    """The best of three, in seconds, and what came of it."""
    best, result = float("inf"), work()
    for _ in range(3):
        began = time.process_time()
        result = work()
        best = min(best, time.process_time() - began)
    return best, result


if __name__ == "__main__":
    main()
