"""Pads: the two layers over a code, one of the office and one of HQ, which a slot's key takes off.

    z = KDF(one-time key . pk; both keys, pk, layer, plan, slot)    as `privacy.slot_keys` agrees it

The office's pad of a slot and table is a PRF of its z, bound to plan, set, chunk and the digest of
the choices that HQ made of the chunk; HQ's mask of a slot's book entry is its own z. Each one-time
key is drawn for one seal and its secret half forgotten with it: who breaks into HQ or the office
later takes no layer off. Who has a slot's secret key does, from the public halves, whenever that
is; what stays closed to it are the other entries of the slot's tables, under rows that are deleted
too (`privacy.oblivious_transfer`).

Why a pad is never used twice: a slot has one pk ever (`privacy.directory`); one plan is sealed
for one set, and a chunk of it for one vector of choices, as the office stores before it answers.
Whoever makes it answer again, by an old copy of its store, has another digest in the pad.

HQ alone: pads are pseudorandom without the office's secret or the slot's. The office alone: the
published entry is under HQ's mask. HQ or the office with an outlet: codes of the slots whose token
that outlet has.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from privacy.envelopes import frame

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from privacy.directory import Slots
    from privacy.slot_keys import OneTimeKey

PAD_BYTES = 32

_OFFICE_LAYER, _HQ_LAYER = b"office", b"hq"
_PAD_DOMAIN = b"escapement/v1/pad"
_SLOT_BYTES = 8
_PIECE = 512


def office_context(hq_key: bytes, plan: str, slot: int) -> tuple[bytes, ...]:
    """What the office's z of a slot is bound to, besides its own key and pk.

    Args:
        hq_key: HQ's one-time key, 32 bytes.
        plan: Digest of the signed plan.
        slot: The slot.
    """
    return (_OFFICE_LAYER, hq_key, bytes.fromhex(plan), slot.to_bytes(_SLOT_BYTES, "big"))


def hq_context(office_key: bytes, plan: str, slot: int, nonce: bytes) -> tuple[bytes, ...]:
    """The same of HQ's z.

    Args:
        office_key: The office's one-time key, 32 bytes.
        plan: Digest of the signed plan.
        slot: The slot.
        nonce: Of the home's registration in a fine book, else empty.
    """
    place = slot.to_bytes(_SLOT_BYTES, "big")
    return (_HQ_LAYER, office_key, bytes.fromhex(plan), place, nonce)


def pad_of(z: bytes, context: bytes, choices: str, slot: int) -> bytes:
    """The office's pad of a slot, a byte a table: PAD_BYTES bytes.

    Args:
        z: What office and slot agree on.
        context: `SealContext.encode()` of the slot's chunk.
        choices: Digest of HQ's choices of the chunk, in hex.
        slot: The slot.
    """
    bound = (z, context, bytes.fromhex(choices), slot.to_bytes(_SLOT_BYTES, "big"))
    return hashlib.sha256(frame(_PAD_DOMAIN, *bound)).digest()


def pads(
    one_time: OneTimeKey, keys: Slots, first: int, width: int, *, hq_key: bytes, plan: str,
    context: bytes, choices: str,
) -> npt.NDArray[np.uint8]:  # fmt: skip
    """The office's pads of a run of slots, uint8[n, width], on all cores; random where blank.

    Args:
        one_time: The office's, of this seal.
        keys: uint8[n, KEY_BYTES], zeros where blank.
        first: The number of the first of these slots.
        width: Tables a slot.
        hq_key: HQ's one-time key.
        plan: Digest of the signed plan.
        context: Of the chunk.
        choices: Digest of HQ's choices of the chunk.
    """

    def pad(slot: int, key: bytes) -> bytes:
        z = one_time.mask_key(key, *office_context(hq_key, plan, slot))
        return pad_of(z, context, choices, slot)[:width]

    return _of_slots(pad, keys, first, width)


def masks(
    one_time: OneTimeKey, keys: Slots, width: int, *, office_key: bytes, plan: str,
    nonces: Sequence[bytes] | None,
) -> npt.NDArray[np.uint8]:  # fmt: skip
    """HQ's masks of all slots, uint8[n, width], on all cores; random where blank.

    Args:
        one_time: HQ's, of this seal.
        keys: uint8[n, KEY_BYTES], zeros where blank.
        width: Bytes of a book's entry.
        office_key: The office's one-time key.
        plan: Digest of the signed plan.
        nonces: In a fine book, of each home's registration.
    """

    def mask(slot: int, key: bytes) -> bytes:
        nonce = b"" if nonces is None else nonces[slot]
        return one_time.mask_key(key, *hq_context(office_key, plan, slot, nonce))[:width]

    return _of_slots(mask, keys, 0, width)


def _of_slots(
    made: Callable[[int, bytes], bytes], keys: Slots, first: int, width: int
) -> npt.NDArray[np.uint8]:
    """Bytes of each slot, uint8[n, width]; libsodium needs no lock."""
    live = np.asarray(keys.any(axis=1))

    def piece(start: int) -> bytes:
        return b"".join(
            made(first + place, keys[place].tobytes())
            if live[place]
            else secrets.token_bytes(width)
            for place in range(start, min(start + _PIECE, len(keys)))
        )

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        body = b"".join(threads.map(piece, range(0, len(keys), _PIECE)))
    return np.frombuffer(body, dtype=np.uint8).reshape(len(keys), width)
