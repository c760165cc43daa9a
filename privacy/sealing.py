"""Sealing: HQ's and the office's part of one chunk, from shares of sums to masked codes.

HQ has Y, the office M, x = Y - M is nobody's. HQ's choices name the entry at Y of each table that
the office makes of M; what HQ gets is the code of x under the office's pad. The argument, by who
looks:

**HQ alone, also if it lies.** It sees masked vectors (uniform: a quorum's fresh masks), one entry a
slot and table, and pads hide that one (`privacy.pads`). Whatever it takes for Y, and whichever
answers it leaves out or counts twice, its view can be simulated by uniform codes. It has one vector
of choices a plan, since the office stores the digest of each chunk's before it answers.
**The office alone.** Seeds, public keys, salted commitments, choices that look random
(`privacy.oblivious_transfer`), a published book under HQ's masks: all independent of x. It can
write false codes.
**An outlet.** The codes of slots whose token it has, as it should.
**HQ or the office with an outlet.** Passively the code, as the outlet alone. Actively HQ shifts a
slot by a known number, the office writes any function of x with as many values as codes: two bits a
table and release, of the outlet's own or asked-for customers, and a false band meanwhile.
**HQ and the office.** Everything. Nobody proves that a band is right.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from privacy.base_transfers import ChosenKeys, Draw, KeyPairs
from privacy.oblivious_transfer import (
    Choices,
    Rows,
    TransferFailed,
    checked_rows,
    choice_bits,
    choose,
    hidden_tables,
    picked_codes,
)
from privacy.pads import pads
from privacy.seal_plans import SealContext
from privacy.slot_keys import OneTimeKey
from privacy.voprf import SCALAR_BYTES, TokenRefused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from privacy.directory import Slots
    from privacy.seal_plans import SealPlan
    from privacy.sealed_tables import Codes

Shares = npt.NDArray[np.uint16]
"""Shares of the sums of some slots, uint16[n, width]: Y or M."""

SEED_BYTES = 32

_PADDING_DOMAIN = b"escapement/v1/choices-padding"


@dataclass(frozen=True, slots=True)
class Receiver:
    """HQ's side of a seal: everything follows from the stored seed and the office's answer.

    Attributes:
        plan: The signed plan.
        digest: Of its bytes.
        set: Digest of the set of answers.
    """

    plan: SealPlan
    digest: str
    set: str
    _padding: bytes = field(repr=False)
    _pairs: tuple[tuple[bytes, bytes], ...] = field(repr=False)

    @staticmethod
    def first_message(seed: bytes) -> bytes:
        """A, for the draft, 32 bytes.

        Args:
            seed: SEED_BYTES random bytes, drawn for this release and stored before it is sent.
        """
        return KeyPairs.of(seed).public

    @classmethod
    def of(cls, plan: SealPlan, digest: str, set_digest: str, seed: bytes, answer: bytes) -> Self:
        """Takes the office's answer to the first message.

        Raises:
            TransferFailed: If a point of it is none.
        """
        try:
            pairs = KeyPairs.of(seed).pairs(digest, answer)
        except TokenRefused as error:
            raise TransferFailed(f"release {plan.release}: {error}; it is over for good") from error
        # The check gives the office a sum of the choices under their padding. Where it answers the
        # same plan with other points, it must not get another sum under the same padding.
        padding = hashlib.sha256(_PADDING_DOMAIN + seed + answer).digest()
        return cls(plan, digest, set_digest, padding, tuple(pairs))

    def choose(self, chunk: int, sums: Shares) -> tuple[Choices, Rows]:
        """HQ's choices of a chunk; the same bytes whenever they are made.

        Args:
            chunk: Which.
            sums: Y of its slots.
        """
        chosen = np.concatenate(
            [
                choice_bits(table, table.residues(sums[:, place]))
                for place, table in enumerate(self.plan.tables())
            ]
        )
        return choose(self._pairs, self._padding, self._context(chunk), chosen)

    def pick(self, rows: Rows, sums: Shares, hidden: bytes) -> Codes:
        """The codes of a chunk under the office's pads: uint8[n, tables].

        Args:
            rows: Of `choose`.
            sums: Y of its slots.
            hidden: The office's tables, one kind after another.

        Raises:
            TransferFailed: If they are of another length.
        """
        tables, slots = self.plan.tables(), len(sums)
        if len(hidden) != self.hidden_bytes(slots):
            raise TransferFailed(
                f"release {self.plan.release}: got {len(hidden)} bytes of tables, expected "
                f"{self.hidden_bytes(slots)}"
            )
        codes, start, at = [], 0, 0
        for place, table in enumerate(tables):
            size = slots * table.table_bytes
            entries = np.frombuffer(hidden, np.uint8, size, at).reshape(slots, table.table_bytes)
            codes.append(picked_codes(rows, start, table, table.residues(sums[:, place]), entries))
            start, at = start + slots * table.choice_bits, at + size
        return np.stack(codes, axis=1)

    def hidden_bytes(self, slots: int) -> int:
        """How many bytes of tables the office sends for so many slots."""
        return slots * sum(table.table_bytes for table in self.plan.tables())

    def _context(self, chunk: int) -> bytes:
        return SealContext(self.digest, self.set, chunk).encode()


@dataclass(frozen=True, slots=True)
class SealSecrets:
    """What the office keeps of an open seal, wrapped, and deletes when it closes.

    Attributes:
        one_time: Its slot key of this seal.
        transfers: Its choice bits and the keys they chose.
    """

    one_time: OneTimeKey = field(repr=False)
    transfers: ChosenKeys = field(repr=False)

    @classmethod
    def of(cls, one_time: OneTimeKey, draw: Draw, plan: SealPlan, digest: str) -> Self:
        """Once the plan is signed.

        Args:
            one_time: The plan's `slot_key`.
            draw: Whose answer goes to HQ with it.
            plan: The plan.
            digest: Of its signed bytes.
        """
        return cls(one_time, draw.chosen(digest, bytes.fromhex(plan.transfer_key)))

    def encode(self) -> bytes:
        """For the office's own store, wrapped."""
        return self.one_time.to_bytes() + self.transfers.encode()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads `encode`'s bytes."""
        one_time = OneTimeKey.from_bytes(data[:SCALAR_BYTES])
        return cls(one_time, ChosenKeys.decode(data[SCALAR_BYTES:]))


@dataclass(frozen=True, slots=True)
class Sender:
    """The office's side of a seal.

    Attributes:
        plan: The signed plan.
        digest: Of its bytes.
        set: Digest of the set of answers.
    """

    plan: SealPlan
    digest: str
    set: str
    _secrets: SealSecrets = field(repr=False)

    def read(self, chunk: int, encoded: bytes) -> Choices:
        """Reads HQ's message of a chunk.

        Raises:
            PlanRefused: If there is no such chunk.
            TransferFailed: If it is of another length.
        """
        return Choices.decode(encoded, self._bits(chunk))

    def rows(self, chunk: int, choices: Choices) -> Rows:
        """Checks HQ's choices of a chunk.

        Raises:
            TransferFailed: If they are not one vector.
        """
        mine = self._secrets.transfers
        context = self._context(chunk)
        return checked_rows(mine.bits, mine.keys, context, choices, self._bits(chunk))

    def tables(
        self, chunk: int, choices: Choices, rows: Rows, masks: Shares, keys: Slots, reached: int
    ) -> Iterator[bytes]:
        """The hidden tables of a chunk, one kind after another, a piece at a time.

        Args:
            chunk: Which.
            choices: HQ's, whose digest is stored.
            rows: Of `rows`.
            masks: M of its slots.
            keys: uint8[n, KEY_BYTES], zeros where blank.
            reached: How many of the seal's slots, from the first on, enough answers reach: nothing
                is told of the others.
        """
        tables = self.plan.tables()
        first = self.plan.places(chunk).start
        padding = pads(
            self._secrets.one_time, keys, first, len(tables),
            hq_key=bytes.fromhex(self.plan.hq_key), plan=self.digest,
            context=self._context(chunk), choices=choices.digest,
        )  # fmt: skip
        live, start = np.asarray(keys.any(axis=1)), 0
        told = np.arange(first, first + len(keys)) < reached
        for place, table in enumerate(tables):
            codes = padding[:, place] & np.uint8((1 << table.bits) - 1)
            residues = table.residues(masks[:, place])
            bits = self._secrets.transfers.bits
            yield from hidden_tables(rows, bits, start, table, residues, codes, live, told)
            start += len(masks) * table.choice_bits

    def _bits(self, chunk: int) -> int:
        slots = len(self.plan.places(chunk))
        return slots * sum(table.choice_bits for table in self.plan.tables())

    def _context(self, chunk: int) -> bytes:
        return SealContext(self.digest, self.set, chunk).encode()


def fresh_seed() -> bytes:
    """The seed of one release at HQ: its transfer's only secret."""
    return secrets.token_bytes(SEED_BYTES)
