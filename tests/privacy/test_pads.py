"""Both layers over a code: computed alike by who should, bound to everything, never twice one."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from privacy import voprf
from privacy.envelopes import digest, frame
from privacy.pads import PAD_BYTES, hq_context, masks, office_context, pad_of, pads
from privacy.seal_plans import SealContext
from privacy.slot_keys import KEY_BYTES, OneTimeKey, SlotKey
from privacy.voprf import TokenRefused
from tests.privacy.seals import is_uniform, keys_of
from tests.privacy.slots import NOT_POINTS, slot_key

if TYPE_CHECKING:
    import numpy.typing as npt

HQ = OneTimeKey.from_bytes((5).to_bytes(32, "little"))
OFFICE = OneTimeKey.from_bytes((6).to_bytes(32, "little"))
PLAN, SET, CHOICES = digest(b"plan"), digest(b"set"), digest(b"choices")
CONTEXT = SealContext(PLAN, SET, 2).encode()
KEYS = [slot_key(1), slot_key(2), None, slot_key(3)]
SLOTS = keys_of(*KEYS)
FIRST = 100_000


def office_pads(**changes: Any) -> npt.NDArray[np.uint8]:
    values = {
        "one_time": OFFICE, "keys": SLOTS, "first": FIRST, "width": PAD_BYTES,
        "hq_key": HQ.public, "plan": PLAN, "context": CONTEXT, "choices": CHOICES,
    }  # fmt: skip
    return pads(**{**values, **changes})


def hq_masks(**changes: Any) -> npt.NDArray[np.uint8]:
    values = {"one_time": HQ, "keys": SLOTS, "width": PAD_BYTES, "office_key": OFFICE.public,
              "plan": PLAN, "nonces": None}  # fmt: skip
    return masks(**{**values, **changes})


def test_a_slots_key_computes_both_layers_from_public_halves() -> None:
    pad, mask = office_pads(), hq_masks()
    for place, key in enumerate(KEYS):
        if key is None:
            continue
        slot = FIRST + place
        z = key.mask_key(OFFICE.public, *office_context(HQ.public, PLAN, slot))
        assert pad[place].tobytes() == pad_of(z, CONTEXT, CHOICES, slot)
        own = key.mask_key(HQ.public, *hq_context(OFFICE.public, PLAN, place, b""))
        assert mask[place].tobytes() == own


def test_the_layers_are_frozen() -> None:
    shared = voprf.multiply((6).to_bytes(32, "little"), KEYS[0].public)  # type: ignore[union-attr]
    place = FIRST.to_bytes(8, "big")
    plan = bytes.fromhex(PLAN)
    bound = (OFFICE.public, SLOTS[0].tobytes(), b"office", HQ.public, plan, place)
    z = hashlib.sha256(frame(b"escapement/v1/slot-mask", shared, *bound)).digest()
    domain = b"escapement/v1/pad"
    whole = frame(domain, z, CONTEXT, bytes.fromhex(CHOICES), place)
    assert office_pads()[0].tobytes() == hashlib.sha256(whole).digest()
    assert office_pads()[0].tobytes().hex() == FROZEN_PAD
    shared = voprf.multiply((5).to_bytes(32, "little"), KEYS[0].public)  # type: ignore[union-attr]
    own = (HQ.public, SLOTS[0].tobytes(), b"hq", OFFICE.public, plan, bytes(8), b"")
    made = hashlib.sha256(frame(b"escapement/v1/slot-mask", shared, *own)).digest()
    assert hq_masks()[0].tobytes() == made
    assert made.hex() == FROZEN_MASK


FROZEN_PAD = "07be18a2f028884b1b422c74922175c2450fe0bf1f2a4490142b8fd531b54c2b"
FROZEN_MASK = "cb71ca3e2b87bb6047a3a495c0a8de24ae6e456055fade5f7c8bb831a9928774"

OTHER = OneTimeKey.from_bytes((7).to_bytes(32, "little"))


def apart(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> bool:
    """Whether no live slot has the same 32 bytes."""
    return not {row.tobytes() for row in one} & {row.tobytes() for row in other}


@pytest.mark.parametrize(
    "changes",
    [
        {"one_time": OTHER},
        {"hq_key": OTHER.public},
        {"plan": digest(b"other cuts")},
        {"context": SealContext(digest(b"other cuts"), SET, 2).encode()},
        {"context": SealContext(PLAN, digest(b"other set"), 2).encode()},
        {"context": SealContext(PLAN, SET, 3).encode()},
        {"choices": digest(b"other choices")},
        {"first": FIRST + 1},
        {"keys": keys_of(slot_key(5), slot_key(6), None, slot_key(7))},
    ],
    ids=["key", "hq", "plan", "context-plan", "set", "chunk", "choices", "slot", "customer"],
)
def test_a_pad_is_of_one_seal_choice_slot_and_customer(changes: dict[str, object]) -> None:
    assert apart(office_pads(), office_pads(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"one_time": OTHER},
        {"office_key": OTHER.public},
        {"plan": digest(b"other cuts")},
        {"nonces": [b"n"] * 4},
        {"keys": np.roll(SLOTS, 1, axis=0)},
    ],
    ids=["key", "office", "plan", "nonce", "slot"],
)
def test_a_mask_is_of_one_seal_slot_customer_and_home(changes: dict[str, object]) -> None:
    assert apart(hq_masks(), hq_masks(**changes))


def test_the_two_layers_are_apart_though_one_key_made_both() -> None:
    """Also where HQ's key were the office's."""
    one = pads(OFFICE, SLOTS, 0, PAD_BYTES, hq_key=OFFICE.public, plan=PLAN, context=CONTEXT,
               choices=CHOICES)  # fmt: skip
    other = masks(OFFICE, SLOTS, PAD_BYTES, office_key=OFFICE.public, plan=PLAN, nonces=None)
    z = [OFFICE.mask_key(key.public, *office_context(OFFICE.public, PLAN, place))
         for place, key in enumerate(KEYS) if key]  # fmt: skip
    assert apart(one, other)
    assert not {row.tobytes() for row in other} & set(z)


def test_a_blank_slot_is_random_each_time_and_moves_no_other() -> None:
    for made in (office_pads, hq_masks):
        one, other = made(), made()
        assert (one[[0, 1, 3]] == other[[0, 1, 3]]).all()
        assert (one[2] != other[2]).any()


def test_nobody_of_many_slots_is_left_out_by_the_workers() -> None:
    """More slots than two workers take at once, each with its own number and customer."""
    many = keys_of(*[slot_key(1 + place % 3) for place in range(1100)])
    made = office_pads(keys=many, width=16)
    assert made.shape == (1100, 16)
    for place in (0, 511, 512, 1099):
        key: SlotKey = slot_key(1 + place % 3)
        z = key.mask_key(OFFICE.public, *office_context(HQ.public, PLAN, FIRST + place))
        assert made[place].tobytes() == pad_of(z, CONTEXT, CHOICES, FIRST + place)[:16]
    assert len({row.tobytes() for row in made}) == 1100


@pytest.mark.statistical
def test_pads_and_masks_of_one_customer_in_every_slot_are_uniform() -> None:
    """Chi-squared over 64,000 bytes each, and over the sum of both; false alarms 1 in 10^6."""
    many = keys_of(*[slot_key(1)] * 2000)
    one, other = office_pads(keys=many, first=0), hq_masks(keys=many)
    for bytes_of in (one, other, one ^ other, one[1:] ^ one[:-1]):
        assert is_uniform(bytes_of, 256)


def test_no_slots_have_no_layers() -> None:
    none = np.zeros((0, KEY_BYTES), np.uint8)
    assert office_pads(keys=none).shape == hq_masks(keys=none).shape == (0, PAD_BYTES)


@pytest.mark.parametrize("bad", [bad for bad in NOT_POINTS if len(bad) == 32 and any(bad)],
                         ids=bytes.hex)  # fmt: skip
def test_a_slot_whose_key_is_no_point_is_refused_without_naming_it(bad: bytes) -> None:
    keys = np.frombuffer(slot_key(1).public + bad, np.uint8).reshape(2, KEY_BYTES)
    for made in (office_pads, hq_masks):
        with pytest.raises(TokenRefused) as caught:
            made(keys=keys)
        assert bad.hex() not in str(caught.value)
