"""Small seals with both parties in one place, and what tests ask of random-looking numbers."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from privacy.base_transfers import Draw
from privacy.books import Seal
from privacy.envelopes import digest
from privacy.pads import office_context, pad_of
from privacy.seal_plans import SealContext, SealKind, SealPlan
from privacy.sealing import Receiver, SealSecrets, Sender, fresh_seed
from privacy.slot_keys import KEY_BYTES, OneTimeKey, SlotKey

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from privacy.directory import Slots
    from privacy.oblivious_transfer import Choices
    from privacy.sealed_tables import Codes, SealTable
    from privacy.sealing import Shares

FALSE_ALARM = 1e-6
"""How often a test of this folder's random numbers fails though nothing is wrong."""

BAND_CUTS = ((-8, 8, 24), (10, 20))
MIDDLES = ((4,), (-8,))
SET = digest(b"everybody")
KEY = SlotKey.of(bytes(range(32)))


def is_uniform(
    values: npt.NDArray[np.integer],
    cells: int,
    shares: Sequence[float] | npt.NDArray[np.float64] | None = None,
) -> bool:
    """Chi-squared at FALSE_ALARM; of even shares where none are given."""
    counts = np.bincount(np.asarray(values).ravel().astype(np.int64), minlength=cells)
    assert len(counts) == cells
    expected = counts.sum() * (np.full(cells, 1 / cells) if shares is None else np.array(shares))
    assert expected.min() >= 5, "too few for a chi-squared test"
    return bool(stats.chisquare(counts, expected).pvalue > FALSE_ALARM)


def is_share(hits: int, trials: int, share: float, tests: int = 1) -> bool:
    """Whether so many hits are what a share would give: one of `tests`, FALSE_ALARM together."""
    return bool(stats.binomtest(hits, trials, share).pvalue > FALSE_ALARM / tests)


def keys_of(*keys: SlotKey | None) -> Slots:
    """uint8[n, KEY_BYTES]; blank where None."""
    rows = [bytes(KEY_BYTES) if key is None else key.public for key in keys]
    return np.frombuffer(b"".join(rows), np.uint8).reshape(-1, KEY_BYTES)


def plan_of(
    slots: int,
    kind: SealKind = SealKind.BAND,
    cuts: tuple[tuple[int, ...], ...] | None = None,
    **changes: object,
) -> SealPlan:
    """A plan of one or two scores, as the office would sign it."""
    own = cuts or (BAND_CUTS if kind is SealKind.BAND else MIDDLES)
    values: dict[str, object] = {
        "release": "seal-1",
        "night": digest(b"night"),
        "parent": "",
        "kind": kind,
        "slots": slots,
        "scores": len(own),
        "cuts": own,
        "quorum": 3,
        "scorecard": digest(b"scorecards"),
        "directory": digest(b"directory"),
        "as_of": "2026-03-01",
        "hq_key": KEY.public.hex(),
        "transfer_key": KEY.public.hex(),
        "key": bytes(range(32)).hex(),
        "slot_key": KEY.public.hex(),
        "expires": 1_800_000_000,
        **changes,
    }
    return SealPlan(**values)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Taken:
    """What a seal came to at HQ.

    Attributes:
        codes: uint8[n, tables], under the office's pads.
        choices: HQ's messages, a chunk each.
        hidden: The office's tables, a chunk each.
    """

    codes: Codes
    choices: tuple[Choices, ...]
    hidden: tuple[bytes, ...]

    @property
    def digests(self) -> list[str]:
        return [one.digest for one in self.choices]


@dataclass(frozen=True)
class Parties:
    """HQ and the office of one seal, past their base transfers."""

    plan: SealPlan
    digest: str
    set: str
    seed: bytes
    hq_key: OneTimeKey
    office: SealSecrets
    receiver: Receiver
    sender: Sender

    @classmethod
    def of(
        cls,
        plan: SealPlan,
        *,
        set_digest: str = SET,
        seed: bytes | None = None,
        hq_key: OneTimeKey | None = None,
        office_key: OneTimeKey | None = None,
        draw: Draw | None = None,
    ) -> Parties:
        """The parties of a plan, whose keys are put into it; fresh ones where none are given."""
        seed = seed or fresh_seed()
        hq_key, office_key = hq_key or OneTimeKey.generate(), office_key or OneTimeKey.generate()
        first = Receiver.first_message(seed)
        draw = draw or Draw.fresh(first)
        plan = replace(
            plan,
            hq_key=hq_key.public.hex(),
            transfer_key=first.hex(),
            slot_key=office_key.public.hex(),
        )
        plan.check()
        name = digest(plan.encode())
        office = SealSecrets.of(office_key, draw, plan, name)
        return cls(
            plan, name, set_digest, seed, hq_key, office,
            Receiver.of(plan, name, set_digest, seed, draw.answer),
            Sender(plan, name, set_digest, office),
        )  # fmt: skip

    def take(self, sums: Shares, masks: Shares, keys: Slots, reached: int | None = None) -> Taken:
        """The transfer of all chunks, over the wire's bytes; all slots told unless given."""
        codes, messages, hidden = [], [], []
        told = len(keys) if reached is None else reached
        for chunk in range(self.plan.chunks):
            places = self.plan.places(chunk)
            part = slice(places.start, places.stop)
            message, rows = self.receiver.choose(chunk, sums[part])
            read = self.sender.read(chunk, message.encode())
            checked = self.sender.rows(chunk, read)
            made = self.sender.tables(chunk, read, checked, masks[part], keys[part], told)
            tables = b"".join(made)
            codes.append(self.receiver.pick(rows, sums[part], tables))
            messages.append(message)
            hidden.append(tables)
        return Taken(np.concatenate(codes), tuple(messages), tuple(hidden))

    def pads(self, keys: Sequence[SlotKey], choices: str, chunk: int = 0) -> Codes:
        """The office's pads as an outlet with the slots' keys computes them, uint8[n, tables]."""
        first, tables = self.plan.places(chunk).start, self.plan.tables()
        office, hq = bytes.fromhex(self.plan.slot_key), bytes.fromhex(self.plan.hq_key)
        context = SealContext(self.digest, self.set, chunk).encode()
        found = []
        for slot, key in enumerate(keys, first):
            z = key.mask_key(office, *office_context(hq, self.digest, slot))
            found.append(pad_of(z, context, choices, slot)[: len(tables)])
        pads = np.frombuffer(b"".join(found), np.uint8).reshape(-1, len(tables))
        return pads & np.array([(1 << table.bits) - 1 for table in tables], np.uint8)

    def seal(self, taken: Taken) -> Seal:
        return Seal.of(self.plan, self.digest, self.set, taken.digests)


def shared(totals: npt.NDArray[np.int64], masks: Shares) -> Shares:
    """HQ's shares Y = x + M."""
    return (totals.astype(np.uint16) + masks).astype(np.uint16)


def truth(plan: SealPlan, totals: npt.NDArray[np.int64]) -> Codes:
    """The codes of sums in the clear, uint8[n, tables]."""
    tables = plan.tables()
    return np.stack([table.codes(totals[:, at]) for at, table in enumerate(tables)], axis=1)


@dataclass(frozen=True)
class Coins:
    """Base transfers' keys that nobody computed: for the extension alone.

    Attributes:
        pairs: HQ's.
        bits: s, as bytes.
        keys: The office's.
    """

    pairs: tuple[tuple[bytes, bytes], ...]
    bits: bytes
    keys: tuple[bytes, ...]

    @classmethod
    def of(cls, name: str, bits: bytes | None = None) -> Coins:
        """Made of a name, the same in every run; of fresh bits s where none are given."""

        def drawn(what: str) -> bytes:
            return hashlib.sha256(f"{name} {what}".encode()).digest()

        pairs = tuple((drawn(f"{i} zero"), drawn(f"{i} one")) for i in range(128))
        return cls(pairs, b"", ()).choosing(secrets.token_bytes(16) if bits is None else bits)

    def choosing(self, bits: bytes) -> Coins:
        """The same pairs, of which the office chose by these bits."""
        keys = tuple(pair[bit] for pair, bit in zip(self.pairs, bits_of(bits), strict=True))
        return Coins(self.pairs, bits, keys)


def bits_of(packed: bytes) -> list[int]:
    """The first bit is the highest of the first byte."""
    return [byte >> shift & 1 for byte in packed for shift in range(7, -1, -1)]


def context_of(chunk: int = 0, plan: bytes = b"plan", set_of: bytes = b"set") -> bytes:
    return SealContext(digest(plan), digest(set_of), chunk).encode()


def entries_of(table: SealTable, hidden: bytes) -> Codes:
    """All entries of packed tables, uint8[n, D]."""
    packed = np.frombuffer(hidden, np.uint8).reshape(-1, table.table_bytes)
    entries = np.empty((len(packed), table.modulus), np.uint8)
    for place in range(table.codes_a_byte):
        entries[:, place :: table.codes_a_byte] = packed >> (place * table.bits)
    return entries & np.uint8((1 << table.bits) - 1)
