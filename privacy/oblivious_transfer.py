"""Oblivious transfer: HQ takes one entry of each of many tables; the office cannot see which.

128 base transfers (`privacy.base_transfers`) are extended to one a bit of HQ's choices [IKNP03],
and log2 D of those make one of D entries [NP99]:

    T      128 columns of bits: column i is the stream of HQ's first key of pair i
    u_i    = stream of first key + stream of second key + r, the bits of all choices; HQ sends them
    Q      128 columns at the office: stream of its chosen key, + u_i where s_i is 1
    row j  q_j = t_j + r_j s: HQ has t_j, the office q_j and q_j + s, one of which is t_j

Entry v of a table is hidden under the hashes of one row a bit of v, of q_j where the bit is 0 and
of q_j + s where it is 1; HQ has those of its own choice and, of every other entry, lacks one.

**Streams and rows never repeat.** A chunk's column streams are AES-128-CTR under keys that bind
base key, plan, set and chunk; a row's number is unique over slot, table and bit within the chunk,
and the hash's permutation is keyed by the chunk and the digest of HQ's message, so that choices
made anew for the same chunk, after somebody restored an old copy, meet other hashes. (The rows are
the old ones then, and keys have 128 bits: who tries 2^64 messages finds two of one key. This is the
second line; the first is that both sides store the digest before they go on.)

**HQ's choices are one vector.** A cheating HQ would put another r into some columns, and learn bits
of s from what it can open then; with all of s it opens every entry. So it sends sums of its columns
and of r under a universal hash, and the office compares them with those of Q: the check by
*columns* of SoftSpokenOT [Roy22, 4], here for one base transfer a column, its key not a message of
the office's but a hash of the chunk and u. (The check by rows of [KOS15] rested on a lemma that is
false [Roy22]; that paper has since taken over the other.) A column with another r passes if HQ
guesses s_i: c such columns, in whatever chunks, with probability 2^-c, and a failed check ends the
release for good; 128 - c bits of s stay unknown. The hash is GHASH [NIST SP 800-38D]: two different
vectors of n blocks have the same under at most n of the 2^128 keys. A chunk has n < 2^14 blocks and
2^13 pairs of columns, so that HQ, which may try one u after another before it sends any, needs
about 2^101 of them to pass without a guess.

**The check tells nothing of r.** The last PADDING_BITS bits of r or more are random and nobody's
choice: the last block is all of these, and makes the sum of r uniform whatever the choices are. The
sums of columns the office could compute itself from that one, as it checks them.

**The hash** of rows is tweakable MMO [GKWY20, 7.4], H(x, t) = p(p(x) + t) + p(x) with p AES-128
under the chunk's key, tweakable circular correlation robust in the ideal-cipher model. Row and
block are the tweak: under one key each is used for q_j and q_j + s, and never again. There are less
than 2^27 hashes under one key, so a bound that multiplies them with an attacker's own calls of AES
still leaves it about 2^101 of those.

Everything is by arrays, in pieces, on all cores (AES and big arrays run outside the lock).
"""

from __future__ import annotations

import hashlib
import hmac
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Self, TypeVar

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from privacy.base_transfers import TRANSFERS
from privacy.envelopes import frame
from privacy.errors import PrivacyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from privacy.sealed_tables import Codes, SealTable

Bytes = npt.NDArray[np.uint8]
Given = TypeVar("Given")
Made = TypeVar("Made")

BLOCK_BYTES = 16
PADDING_BITS = 128
"""Random bits after the choices, at least: one whole block of the check's hash."""

CHECK_BYTES = BLOCK_BYTES * (TRANSFERS + 1)
"""Of the sums that HQ sends: one of its choices, and one a column."""

PIECE_SLOTS = 4096
"""Slots that one core works on at once: 2 MB of tables."""

_PIECE_BITS = 2**18
_BLOCK_BITS = 8 * BLOCK_BYTES
_STREAM_DOMAIN = b"escapement/v1/transfer-stream"
_PADDING_DOMAIN = b"escapement/v1/transfer-padding"
_CHECK_DOMAIN = b"escapement/v1/transfer-check"
_HASH_DOMAIN = b"escapement/v1/transfer-hash"


class TransferFailed(PrivacyError):
    """Points, choices or tables that do not verify: the release is over, for good."""


@dataclass(frozen=True, slots=True)
class Choices:
    """HQ's message for one chunk.

    Attributes:
        columns: u, uint8[TRANSFERS, n / 8] for n bits of choices and padding.
        check: CHECK_BYTES bytes.
    """

    columns: Bytes = field(repr=False)
    check: bytes = field(repr=False)

    def encode(self) -> bytes:
        """The sums of the check, then the columns one after another."""
        return self.check + self.columns.tobytes()

    @property
    def digest(self) -> str:
        """What HQ and the office store before either goes on, in hex."""
        return hashlib.sha256(self.encode()).hexdigest()

    @classmethod
    def decode(cls, data: bytes, bits: int) -> Self:
        """Reads `encode`'s bytes.

        Args:
            data: Of one chunk.
            bits: How many bits of choices there are.

        Raises:
            TransferFailed: If they are of another length.
        """
        expected = CHECK_BYTES + TRANSFERS * padded(bits) // 8
        if len(data) != expected:
            raise TransferFailed(f"choices: got {len(data)} bytes, expected {expected}")
        columns = np.frombuffer(data, np.uint8, offset=CHECK_BYTES)
        return cls(columns.reshape(TRANSFERS, -1), data[:CHECK_BYTES])


@dataclass(frozen=True, slots=True)
class Rows:
    """What one side holds of a chunk: a row a bit of the choices.

    Attributes:
        rows: uint8[bits, BLOCK_BYTES]; t at HQ, q at the office.
        key: Of the hash, the chunk's own.
    """

    rows: Bytes = field(repr=False)
    key: bytes = field(repr=False)


def padded(bits: int) -> int:
    """Choices with their padding, in whole blocks."""
    return -(-(bits + PADDING_BITS) // _BLOCK_BITS) * _BLOCK_BITS


def choose(
    pairs: Sequence[tuple[bytes, bytes]], seed: bytes, context: bytes, choices: Bytes
) -> tuple[Choices, Rows]:
    """HQ's step: hides its choices. The same arguments give the same bytes.

    Args:
        pairs: The base transfers' keys.
        seed: The release's.
        context: `SealContext.encode()`.
        choices: uint8[n] of 0 and 1.
    """
    bits = len(choices)
    padding = padded(bits) - bits
    drawn = _stream(_key(_PADDING_DOMAIN, seed, context), padding)
    packed = np.packbits(np.concatenate([choices, drawn & 1]))
    length = len(packed)
    first = _columns([_key(_STREAM_DOMAIN, pair[0], context) for pair in pairs], length)
    second = _columns([_key(_STREAM_DOMAIN, pair[1], context) for pair in pairs], length)
    second ^= first
    second ^= packed
    hashing = _universal(context, second)
    check = hashing(packed) + b"".join(_on_all_cores(hashing, list(first)))
    made = Choices(second, check)
    return made, Rows(_transposed(first, bits), _hash_key(context, made))


def checked_rows(
    bits: bytes, keys: Sequence[bytes], context: bytes, choices: Choices, count: int
) -> Rows:
    """The office's step: its rows, once HQ's choices are one vector.

    Args:
        bits: s, the office's.
        keys: Of its base transfers.
        context: As HQ's.
        choices: HQ's message.
        count: How many bits of choices there are.

    Raises:
        TransferFailed: If the choices are not the same in all columns.
    """
    columns = _columns([_key(_STREAM_DOMAIN, key, context) for key in keys], padded(count) // 8)
    chosen = np.unpackbits(np.frombuffer(bits, np.uint8)).astype(bool)
    columns[chosen] ^= choices.columns[chosen]
    hashing = _universal(context, choices.columns)
    sums = np.frombuffer(choices.check, np.uint8).reshape(TRANSFERS + 1, BLOCK_BYTES)
    expected = sums[1:] ^ np.where(chosen[:, None], sums[0], np.uint8(0))
    found = b"".join(_on_all_cores(hashing, list(columns)))
    if not hmac.compare_digest(found, expected.tobytes()):
        raise TransferFailed("choices: not the same in all columns; this release is over for good")
    return Rows(_transposed(columns, count), _hash_key(context, choices))


def hidden_tables(
    rows: Rows,
    bits: bytes,
    start: int,
    table: SealTable,
    masks: npt.NDArray[np.uint16],
    pads: Codes,
    live: npt.NDArray[np.bool_],
    told: npt.NDArray[np.bool_],
) -> Iterator[bytes]:
    """The office's tables of one kind, each entry under its rows' hashes, in order of slots.

    Args:
        rows: The office's.
        bits: s.
        start: The number of the first row of these tables.
        table: The law.
        masks: uint16[n] below D, M of each slot.
        pads: uint8[n], a code each, which every entry of a slot's table is added to.
        live: bool[n]; a slot that is not has no table, but zeros.
        told: bool[n]; a slot that is not has code 0 whatever its sum is, which reads "new".

    Yields:
        Bytes of n * table_bytes in all, a piece at a time.
    """
    packed = table.packed()
    other = np.frombuffer(bits, np.uint8)

    def piece(low: int) -> bytes:
        high = min(low + PIECE_SLOTS, len(masks))
        made = packed[masks[low:high]] * told[low:high, None]
        made ^= pads[low:high, None] * np.uint8(table.all_codes)
        for bit in range(table.choice_bits):
            numbers = _numbers(start, low, high, table.choice_bits, bit)
            zero = rows.rows[numbers.astype(np.intp)]
            for value, hashed in enumerate((zero, zero ^ other)):
                _hide(made, table, bit, value, rows.key, hashed, numbers)
        made[~live[low:high]] = 0
        return made.tobytes()

    yield from _in_order(piece, range(0, len(masks), PIECE_SLOTS))


def picked_codes(
    rows: Rows,
    start: int,
    table: SealTable,
    sums: npt.NDArray[np.uint16],
    tables: Bytes,
) -> Codes:
    """HQ's one entry of each table, padded still: uint8[n].

    Args:
        rows: HQ's.
        start: The number of the first row of these tables.
        table: The law.
        sums: uint16[n] below D, Y of each slot.
        tables: uint8[n, table_bytes], as the office sent them.
    """
    slots = len(sums)
    share = table.inner_bits
    place = sums.astype(np.intp) >> share
    within = (sums & np.uint16(table.codes_a_byte - 1)).astype(np.uint8)
    found = tables[np.arange(slots), place]
    for bit in range(table.choice_bits):
        numbers = _numbers(start, 0, slots, table.choice_bits, bit)
        at = place if bit < share else _without_bit(place, bit - share)
        inner = _permuted(rows.key, rows.rows[numbers.astype(np.intp)])
        block = _permuted(rows.key, inner ^ _tweaks(numbers, (at // BLOCK_BYTES).astype("<u8")))
        found = found ^ (block ^ inner)[np.arange(slots), at % BLOCK_BYTES]
    whole = np.uint8((1 << table.bits) - 1)
    return np.asarray(found >> (within * np.uint8(table.bits)) & whole)


def choice_bits(table: SealTable, sums: npt.NDArray[np.uint16]) -> Bytes:
    """The bits of places in tables, lowest first: uint8[n * choice_bits] of 0 and 1."""
    return (
        (sums[:, None] >> np.arange(table.choice_bits, dtype=np.uint16) & 1)
        .astype(np.uint8)
        .ravel()
    )


def _hide(
    made: Bytes, table: SealTable, bit: int, value: int, key: bytes, rows: Bytes,
    numbers: npt.NDArray[np.uint64],
) -> None:  # fmt: skip
    """Adds one row's hashes to the entries whose place has this value at this bit."""
    share = table.inner_bits
    if bit < share:  # other entries of the same bytes: every byte, with a mask
        made ^= _hashes(key, rows, numbers, table.table_bytes) & _entries(table, bit, value)
        return
    step = 1 << (bit - share)
    halves = made.reshape(len(made), -1, 2, step)[:, :, value]
    half = table.table_bytes // 2
    halves ^= _hashes(key, rows, numbers, half).reshape(halves.shape)


def _entries(table: SealTable, bit: int, value: int) -> np.uint8:
    """Of a byte, the entries whose place has a value at a bit below the byte's own."""
    whole = (1 << table.bits) - 1
    kept = sum(
        whole << (table.bits * place)
        for place in range(table.codes_a_byte)
        if place >> bit & 1 == value
    )
    return np.uint8(kept)


def _hashes(key: bytes, rows: Bytes, numbers: npt.NDArray[np.uint64], length: int) -> Bytes:
    """H of rows, as many blocks of each as make so many bytes: uint8[n, length]."""
    blocks = -(-length // BLOCK_BYTES)
    inner = _permuted(key, rows)
    tweaks = np.empty((len(rows), blocks, 2), "<u8")
    tweaks[:, :, 0] = numbers[:, None]
    tweaks[:, :, 1] = np.arange(blocks, dtype=np.uint64)
    mixed = tweaks.view(np.uint8).reshape(len(rows), blocks, BLOCK_BYTES)
    mixed ^= inner[:, None, :]
    made = _permuted(key, mixed) ^ inner[:, None, :]
    return made.reshape(len(rows), -1)[:, :length]


def _tweaks(numbers: npt.NDArray[np.uint64], blocks: npt.NDArray[np.uint64]) -> Bytes:
    """Tweaks of one block a row: the row's number, then the block's; uint8[n, BLOCK_BYTES]."""
    return np.stack([numbers.astype("<u8"), blocks], axis=1).view(np.uint8)


def _numbers(start: int, low: int, high: int, bits: int, bit: int) -> npt.NDArray[np.uint64]:
    """Numbers of the rows of one bit of slots `low` to `high`, unique in the chunk."""
    return np.arange(low, high, dtype=np.uint64) * np.uint64(bits) + np.uint64(start + bit)


def _without_bit(places: npt.NDArray[np.intp], bit: int) -> npt.NDArray[np.intp]:
    """Places with one bit taken out: where an entry is among those of the same value there."""
    low = (1 << bit) - 1
    return np.asarray(places >> (bit + 1) << bit | places & low)


def _permuted(key: bytes, blocks: Bytes) -> Bytes:
    """AES-128 of each block."""
    cipher = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305  (a permutation)
    made = cipher.update(np.ascontiguousarray(blocks).data.cast("B"))
    return np.frombuffer(made, np.uint8).reshape(blocks.shape)


def _stream(key: bytes, length: int) -> Bytes:
    """The key's one stream: a key is used for one only, so that the counter begins at zero."""
    cipher = Cipher(algorithms.AES(key), modes.CTR(bytes(BLOCK_BYTES))).encryptor()
    return np.frombuffer(cipher.update(bytes(length)), np.uint8)


def _columns(keys: Sequence[bytes], length: int) -> Bytes:
    return np.stack(_on_all_cores(partial(_stream, length=length), keys))


def _transposed(columns: Bytes, count: int) -> Bytes:
    """The rows of bits, uint8[count, BLOCK_BYTES]: bit i of a row is column i's."""

    def piece(low: int) -> Bytes:
        part = columns[:, low // 8 : (low + _PIECE_BITS) // 8]
        return np.packbits(np.unpackbits(part, axis=1).T, axis=1)

    pieces = _on_all_cores(piece, range(0, 8 * columns.shape[1], _PIECE_BITS))
    return np.concatenate(pieces)[:count]


def _universal(context: bytes, columns: Bytes) -> Callable[[Bytes], bytes]:
    """GHASH under a key that chunk and u fix: linear, so sums of columns have sums of hashes."""
    sending = hashlib.sha256(frame(_CHECK_DOMAIN, context))
    sending.update(columns.data)
    cipher = AESGCM(sending.digest()[:BLOCK_BYTES])
    nonce = bytes(12)  # one key, one nonce: the tag is GHASH plus a constant, taken off below
    empty = np.frombuffer(cipher.encrypt(nonce, b"", bytes(columns.shape[1])), np.uint8)

    def hashed(column: Bytes) -> bytes:
        tag = cipher.encrypt(nonce, b"", column.data)
        return (np.frombuffer(tag, np.uint8) ^ empty).tobytes()

    return hashed


def _hash_key(context: bytes, choices: Choices) -> bytes:
    return _key(_HASH_DOMAIN, bytes.fromhex(choices.digest), context)


def _key(domain: bytes, *bound: bytes) -> bytes:
    return hashlib.sha256(frame(domain, *bound)).digest()[:BLOCK_BYTES]


def _on_all_cores(work: Callable[[Given], Made], items: Sequence[Given]) -> list[Made]:
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        return list(threads.map(work, items))


def _in_order(work: Callable[[int], Made], items: range) -> Iterator[Made]:
    """Works on a few items ahead, and gives what they came to in order."""
    ahead = 2 * (os.cpu_count() or 1)
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        waiting = [threads.submit(work, item) for item in items[:ahead]]
        for item in [*items[ahead:], *([None] * len(waiting))]:
            done = waiting.pop(0)
            if item is not None:
                waiting.append(threads.submit(work, item))
            yield done.result()
