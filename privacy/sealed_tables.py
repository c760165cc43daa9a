"""Tables: the code of every value that HQ's share of a sum may have, one table a slot.

A sum x of small integers is shared modulo D: HQ holds Y = x + M, the office M. The office's table
for a slot has at place j the code of j - M, so the entry at Y is the code of x, for every x, M and
wrap: nothing is rounded. Entries are hidden from HQ but for the one that it transfers
(`privacy.oblivious_transfer`), and that one by a pad that only the slot's own key gives.

Invariant: an honest table has codes only, below 2^bits, so that a pad of as many bits hides them;
what anybody else puts there is as many bits too, and who reads them (`privacy.books`) reads a code.

A table is packed: `codes_a_byte` entries a byte, lower places in lower bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from privacy.errors import InvalidParameter

Codes = npt.NDArray[np.uint8]

_BYTE_BITS = 8


@dataclass(frozen=True, slots=True)
class SealTable:
    """The law from one sum to its code.

    Attributes:
        modulus: D, a power of two.
        bits: Of a code, with room: 2 up to four codes, 4 beyond.
        cuts: Where codes 1, 2 and so on begin, ascending.
        lowest: The least of the D sums that the residues stand for: -D/2 or 0.
    """

    modulus: int
    bits: int
    cuts: tuple[int, ...]
    lowest: int

    @classmethod
    def of_signed(cls, modulus: int, cuts: tuple[int, ...]) -> Self:
        """For sums from -D/2 up to below D/2."""
        return cls(modulus, _bits(cuts), cuts, -modulus // 2)

    @classmethod
    def of_counts(cls, modulus: int, cuts: tuple[int, ...]) -> Self:
        """For sums from 0 up to below D."""
        return cls(modulus, _bits(cuts), cuts, 0)

    @property
    def choice_bits(self) -> int:
        """log2 of D: one-of-two transfers a slot."""
        return self.modulus.bit_length() - 1

    @property
    def codes_a_byte(self) -> int:
        """Entries in a byte of a packed table."""
        return _BYTE_BITS // self.bits

    @property
    def inner_bits(self) -> int:
        """log2 of `codes_a_byte`: of a place, the bits that say which entry of a byte it is."""
        return self.codes_a_byte.bit_length() - 1

    @property
    def table_bytes(self) -> int:
        """Bytes of a packed table."""
        return self.modulus // self.codes_a_byte

    @property
    def all_codes(self) -> int:
        """A byte of entries that are all 1: times a code, a byte of that code."""
        return 0xFF // ((1 << self.bits) - 1)

    def codes(self, sums: npt.NDArray[np.int64]) -> Codes:
        """The codes of sums in the clear, modulo D: uint8[n]."""
        inside = (sums - self.lowest) % self.modulus + self.lowest
        return np.searchsorted(np.asarray(self.cuts), inside, side="right").astype(np.uint8)

    def packed(self) -> Codes:
        """Packed tables of all masks: uint8[D, table_bytes], row M for the mask M."""
        codes = self.codes(np.arange(self.modulus))
        shifts = np.arange(self.codes_a_byte, dtype=np.uint8) * np.uint8(self.bits)
        around = np.concatenate([codes, codes[: self.codes_a_byte - 1]])
        entries = sliding_window_view(around, self.codes_a_byte)
        bytes_from = np.bitwise_or.reduce(entries << shifts, axis=1)  # of each residue
        first = np.arange(0, self.modulus, self.codes_a_byte)
        turned = (first[None, :] - np.arange(self.modulus)[:, None]) % self.modulus
        return np.asarray(bytes_from[turned])

    def residues(self, sums: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint16]:
        """Shares in the larger ring, modulo D: uint16[n]."""
        return sums & np.uint16(self.modulus - 1)


def _bits(cuts: tuple[int, ...]) -> int:
    """Bits of a code: 2 or 4, so that a byte holds whole codes."""
    if not 1 <= len(cuts) < 1 << 4:
        raise InvalidParameter(f"cuts: got {len(cuts)}, expected 1 to 15")
    return 2 if len(cuts) < 1 << 2 else 4
