"""The transfer once more: one block, bit and entry at a time, written apart from `privacy`.

Big integers and bytes only, after the papers that `privacy.oblivious_transfer` and
`privacy.base_transfers` cite. It shares nothing with them but the names of domains, which are the
wire format. It is slow: seconds a few slots of 2,048 entries.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING

import rbcl
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.hazmat.primitives.ciphers import CipherContext

COLUMNS = 128
ORDER = 2**252 + 27742317777372353535851937790883648493


def framed(*fields: bytes) -> bytes:
    out = b""
    for one in fields:
        out += len(one).to_bytes(4, "big") + one
    return out


def xor(one: bytes, other: bytes) -> bytes:
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).to_bytes(len(one), "big")


def key_of(domain: bytes, *bound: bytes) -> bytes:
    return hashlib.sha256(framed(domain, *bound)).digest()[:16]


# AES, a block at a time


@lru_cache(maxsize=4096)
def _cipher(key: bytes) -> CipherContext:
    return Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305  (single blocks)


def aes(key: bytes, block: bytes) -> bytes:
    assert len(key) == len(block) == 16
    return bytes(_cipher(key).update(block))


def stream(key: bytes, length: int) -> bytes:
    """The blocks of the counter 0, 1, 2 and so on."""
    out = b""
    for counter in range(-(-length // 16)):
        out += aes(key, counter.to_bytes(16, "big"))
    return out[:length]


# GHASH [NIST SP 800-38D, 6.3 and 6.4], bit by bit


def product(x: int, y: int) -> int:
    """Of two blocks of GF(2^128), their first bit the highest of the integer."""
    z, v = 0, y
    for bit in range(127, -1, -1):
        if x >> bit & 1:
            z ^= v
        v = v >> 1 ^ (0xE1 << 120 if v & 1 else 0)
    return z


def ghash(key: bytes, data: bytes) -> bytes:
    assert len(data) % 16 == 0
    h, y = int.from_bytes(key, "big"), 0
    for at in range(0, len(data), 16):
        y = product(y ^ int.from_bytes(data[at : at + 16], "big"), h)
    return y.to_bytes(16, "big")


def column_sum(key: bytes, column: bytes) -> bytes:
    """GHASH of a column and one block of zeros, under AES of zero."""
    return ghash(aes(key, bytes(16)), column + bytes(16))


# Base transfers [CO15]


def scalar_of(seed: bytes, dst: bytes) -> bytes:
    """HashToScalar [RFC 9497, 4.1] by expand_message_xmd [RFC 9380, 5.3.1]."""
    suffix = dst + bytes([len(dst)])
    zeroth = hashlib.sha512(bytes(128) + seed + (64).to_bytes(2, "big") + b"\x00" + suffix).digest()
    wide = hashlib.sha512(zeroth + b"\x01" + suffix).digest()
    return (int.from_bytes(wide, "little") % ORDER).to_bytes(32, "little")


def times(scalar: bytes, point: bytes) -> bytes:
    return bytes(rbcl.crypto_scalarmult_ristretto255(scalar, point))


def times_base(scalar: bytes) -> bytes:
    return bytes(rbcl.crypto_scalarmult_ristretto255_base(scalar))


def _base_key(plan: bytes, place: int, a: bytes, b: bytes, shared: bytes) -> bytes:
    fields = (b"escapement/v1/base-transfer", plan, bytes([place]), a, b, shared)
    return hashlib.sha256(framed(*fields)).digest()


@dataclass(frozen=True)
class BaseTransfers:
    """Both sides of 128 base transfers, of given coins.

    Attributes:
        public: A.
        answer: All B_i.
        pairs: HQ's keys.
        chosen: The office's.
    """

    public: bytes
    answer: bytes
    pairs: list[tuple[bytes, bytes]]
    chosen: list[bytes]


def base_transfers(
    seed: bytes, plan: bytes, bits: Sequence[int], scalars: Sequence[bytes]
) -> BaseTransfers:
    a = scalar_of(seed, b"escapement/v1/base-transfer-scalar")
    public = times_base(a)
    points, pairs, chosen = [], [], []
    for i, (bit, b) in enumerate(zip(bits, scalars, strict=True)):
        point = times_base(b)
        if bit:
            point = bytes(rbcl.crypto_core_ristretto255_add(point, public))
        other = bytes(rbcl.crypto_core_ristretto255_sub(point, public))
        points.append(point)
        pairs.append(
            (
                _base_key(plan, i, public, point, times(a, point)),
                _base_key(plan, i, public, point, times(a, other)),
            )
        )
        chosen.append(_base_key(plan, i, public, point, times(b, public)))
    return BaseTransfers(public, b"".join(points), pairs, chosen)


# The extension [IKNP03], its check [Roy22]


def _packed(bits: Sequence[int]) -> bytes:
    """The first bit is the highest of the first byte."""
    number = 0
    for bit in bits:
        number = number << 1 | bit
    return number.to_bytes(len(bits) // 8, "big")


def _bit(data: bytes, place: int) -> int:
    return data[place // 8] >> (7 - place % 8) & 1


def _rows(columns: Sequence[bytes], count: int) -> list[bytes]:
    return [_packed([_bit(column, row) for column in columns]) for row in range(count)]


@dataclass(frozen=True)
class Message:
    """What HQ sends of a chunk."""

    columns: list[bytes]
    check: bytes

    @property
    def encoded(self) -> bytes:
        return self.check + b"".join(self.columns)

    def check_key(self, context: bytes) -> bytes:
        hashed = framed(b"escapement/v1/transfer-check", context) + b"".join(self.columns)
        return hashlib.sha256(hashed).digest()[:16]

    def hash_key(self, context: bytes) -> bytes:
        digest = hashlib.sha256(self.encoded).digest()
        return key_of(b"escapement/v1/transfer-hash", digest, context)


def hq_message(
    pairs: Sequence[tuple[bytes, bytes]], seed: bytes, context: bytes, choices: Sequence[int]
) -> tuple[Message, list[bytes]]:
    """HQ's message and its rows t."""
    room = len(choices) + 128
    whole = room if room % 128 == 0 else room + 128 - room % 128
    padding = stream(key_of(b"escapement/v1/transfer-padding", seed, context), whole - len(choices))
    r = _packed([*choices, *(byte & 1 for byte in padding)])
    first, sent = [], []
    for zero, one in pairs:
        t = stream(key_of(b"escapement/v1/transfer-stream", zero, context), len(r))
        other = stream(key_of(b"escapement/v1/transfer-stream", one, context), len(r))
        first.append(t)
        sent.append(xor(xor(t, other), r))
    key = Message(sent, b"").check_key(context)
    sums = [column_sum(key, column) for column in (r, *first)]
    return Message(sent, b"".join(sums)), _rows(first, len(choices))


def office_rows(
    s: Sequence[int], keys: Sequence[bytes], context: bytes, message: Message, count: int
) -> list[bytes] | None:
    """The office's rows q; None where the check fails."""
    key = message.check_key(context)
    sums = [message.check[at : at + 16] for at in range(0, len(message.check), 16)]
    columns = []
    for i, (bit, own) in enumerate(zip(s, keys, strict=True)):
        sent = message.columns[i]
        column = stream(key_of(b"escapement/v1/transfer-stream", own, context), len(sent))
        expected = sums[1 + i]
        if bit:
            column, expected = xor(column, sent), xor(expected, sums[0])
        if column_sum(key, column) != expected:
            return None
        columns.append(column)
    return _rows(columns, count)


# One of D [NP99], under tweakable MMO [GKWY20]


@lru_cache(maxsize=2**17)
def row_hash(key: bytes, row: bytes, number: int, block: int) -> bytes:
    """p(p(x) + tweak) + p(x)."""
    inner = aes(key, row)
    tweak = number.to_bytes(8, "little") + block.to_bytes(8, "little")
    return xor(aes(key, xor(inner, tweak)), inner)


@dataclass(frozen=True)
class Law:
    """A table's law in plain numbers.

    Attributes:
        modulus: D.
        bits: Of a code in a table.
        cuts: Where codes 1, 2 and so on begin.
        lowest: The least sum.
    """

    modulus: int
    bits: int
    cuts: tuple[int, ...]
    lowest: int

    @property
    def choice_bits(self) -> int:
        return len(bin(self.modulus)) - 3

    def code(self, total: int) -> int:
        """How many cuts the sum reaches, once it is wrapped."""
        while total < self.lowest:
            total += self.modulus
        while total >= self.lowest + self.modulus:
            total -= self.modulus
        return sum(total >= cut for cut in self.cuts)

    def place(self, entry: int) -> tuple[int, int]:
        """The byte of an entry, and the lowest bit of its code there."""
        return entry * self.bits // 8, entry * self.bits % 8

    def choices(self, totals: Sequence[int]) -> list[int]:
        return [total >> bit & 1 for total in totals for bit in range(self.choice_bits)]


@cache
def _ranks(law: Law, bit: int, value: int) -> dict[int, int]:
    """Where the byte of each entry with this value at a bit is in that row's stream."""
    having = sorted(
        {law.place(entry)[0] for entry in range(law.modulus) if entry >> bit & 1 == value}
    )
    return {byte: rank for rank, byte in enumerate(having)}


def _entry_hash(law: Law, entry: int, bit: int, key: bytes, row: bytes, number: int) -> int:
    byte, shift = law.place(entry)
    at = _ranks(law, bit, entry >> bit & 1)[byte]
    return row_hash(key, row, number, at // 16)[at % 16] >> shift & ((1 << law.bits) - 1)


def office_table(
    law: Law, key: bytes, s: bytes, rows: Sequence[bytes], start: int, mask: int, pad: int
) -> bytes:
    """One slot's table.

    Args:
        law: Of it.
        key: Of the hash.
        s: The office's bits, packed.
        rows: Of this slot and table, a choice bit each.
        start: The number of the first of them.
        mask: M.
        pad: A code.
    """
    table = bytearray(law.modulus * law.bits // 8)
    for entry in range(law.modulus):
        hidden = law.code(entry - mask) ^ pad
        for bit in range(law.choice_bits):
            row = xor(rows[bit], s) if entry >> bit & 1 else rows[bit]
            hidden ^= _entry_hash(law, entry, bit, key, row, start + bit)
        byte, shift = law.place(entry)
        table[byte] |= hidden << shift
    return bytes(table)


def hq_pick(
    law: Law, key: bytes, rows: Sequence[bytes], start: int, total: int, table: bytes
) -> int:
    """HQ's entry of one slot's table."""
    byte, shift = law.place(total)
    found = table[byte] >> shift & ((1 << law.bits) - 1)
    for bit in range(law.choice_bits):
        found ^= _entry_hash(law, total, bit, key, rows[bit], start + bit)
    return found
