"""One key of each pair is the office's, the other only HQ's; what is no point is refused."""

from __future__ import annotations

import hashlib
import re

import numpy as np
import pytest

from privacy import voprf
from privacy.base_transfers import TRANSFERS, ChosenKeys, Draw, KeyPairs
from privacy.envelopes import digest
from privacy.oblivious_transfer import TransferFailed
from privacy.sealing import Receiver
from privacy.voprf import TokenRefused
from tests.privacy import reference_transfer as reference
from tests.privacy.seals import bits_of, is_share, plan_of
from tests.privacy.slots import NOT_POINTS

SEED = bytes(range(32))
PLAN = digest(b"plan")
HQ = KeyPairs.of(SEED)
OFFICE = Draw.fresh(HQ.public)
POINTS = [point for point in NOT_POINTS if len(point) == 32]

# [RFC 9496, A.1]: the generator, and how often it is added up.
MULTIPLES = [
    "e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76",
    "6a493210f7499cd17fecb510ae0cea23a110e8d5b901f8acadd3095c73a3b919",
    "94741f5d5d52755ece4f23f044ee27d5d1ea1e2bd196b462166b16152a9d0259",
    "da80862773358b466ffadfe0b3293ab3d9fd53c5ea6c955358f568322daf6a57",
    "e882b131016b52c1d3337080187cf768423efccbb517bb495ab812c4160ff44e",
    "f64746d3c92b13050ed8d80236a7f0007c3b3f962f5ba793d19a601ebb1df403",
    "44f53520926ec81fbd5a387845beb7df85a96a24ece18738bdcfa6a7822a176d",
    "903293d8f2287ebe10e2374dc1a53e0bc887e592699f02d077d5263cdd55601c",
    "02622ace8f7303a31cafc63f8fc48fdc16e1c8c8d234b2f0d6685282a9076031",
    "20706fd788b2720a1ed2a5dad4952b01f413bcf0e7564de8cdc816689e2db95f",
    "bce83f8ba5dd2fa572864c24ba1810f9522bc6004afe95877ac73241cafdab42",
    "e4549ee16b9aa03099ca208c67adafcafa4c3f3e4e5303de6026e3ca8ff84460",
    "aa52e000df2e16f55fb1032fc33bc42742dad6bd5a8fc0be0167436c5948501f",
    "46376b80f409b29dc2b5f6f0c52591990896e5716f41477cd30085ab7f10301e",
    "e0c418f7c8d9c4cdd7395b93ea124f3ad99021bb681dfc3302a9d99a2e53e64e",
]


def small(number: int) -> bytes:
    return number.to_bytes(32, "little")


def of_reference(draw: Draw, seed: bytes = SEED, plan: str = PLAN) -> reference.BaseTransfers:
    return reference.base_transfers(
        seed, bytes.fromhex(plan), bits_of(draw._bits), list(draw._scalars)
    )


def with_point(place: int, point: bytes) -> bytes:
    answer = OFFICE.answer
    return answer[: 32 * place] + point + answer[32 * (place + 1) :]


def test_the_group_is_that_of_rfc_9496() -> None:
    generator = bytes.fromhex(MULTIPLES[0])
    added = generator
    for number, expected in enumerate(MULTIPLES, 1):
        assert voprf.multiply_base(small(number)).hex() == expected
        assert voprf.multiply(small(number), generator).hex() == expected
        assert added.hex() == expected
        added = voprf.add(added, generator)
    assert (
        voprf.subtract(bytes.fromhex(MULTIPLES[14]), bytes.fromhex(MULTIPLES[9])).hex()
        == (MULTIPLES[4])
    )


def test_both_sides_equal_the_reference() -> None:
    expected = of_reference(OFFICE)
    assert HQ.public == expected.public
    assert OFFICE.answer == expected.answer
    assert HQ.pairs(PLAN, OFFICE.answer) == expected.pairs
    chosen = OFFICE.chosen(PLAN, HQ.public)
    assert list(chosen.keys) == expected.chosen
    assert chosen.bits == OFFICE._bits


def test_the_offices_key_is_the_one_that_its_bit_names_and_no_other() -> None:
    pairs, chosen = HQ.pairs(PLAN, OFFICE.answer), OFFICE.chosen(PLAN, HQ.public)
    for pair, key, bit in zip(pairs, chosen.keys, bits_of(chosen.bits), strict=True):
        assert pair[bit] == key != pair[1 - bit]
    assert len({key for pair in pairs for key in pair}) == 2 * TRANSFERS


def test_the_keys_of_one_seed_and_one_draw_are_frozen() -> None:
    bits = bytes(range(100, 116))
    scalars = tuple(small(number) for number in range(1, TRANSFERS + 1))
    answer = reference.base_transfers(SEED, bytes.fromhex(PLAN), bits_of(bits), scalars).answer
    draw = Draw(answer, bits, scalars)
    pairs, chosen = HQ.pairs(PLAN, answer), draw.chosen(PLAN, HQ.public)
    whole = HQ.public + answer + b"".join(a + b for a, b in pairs) + chosen.encode()
    assert hashlib.sha256(whole).hexdigest() == FROZEN


FROZEN = "9d9f3fa8e1403e5800c191e65797cc6fcf1910b69603230318978dbbef1a9ccd"


def test_no_key_of_one_plan_is_one_of_another() -> None:
    other = digest(b"other plan")
    here = {key for pair in HQ.pairs(PLAN, OFFICE.answer) for key in pair}
    there = {key for pair in HQ.pairs(other, OFFICE.answer) for key in pair}
    assert not here & there
    assert not here & set(OFFICE.chosen(other, HQ.public).keys)


def test_a_transfer_that_is_moved_to_another_place_has_other_keys() -> None:
    first, second = OFFICE.answer[:32], OFFICE.answer[32:64]
    swapped = second + first + OFFICE.answer[64:]
    here = {key for pair in HQ.pairs(PLAN, OFFICE.answer)[:2] for key in pair}
    there = {key for pair in HQ.pairs(PLAN, swapped)[:2] for key in pair}
    assert not here & there


@pytest.mark.statistical
def test_the_offices_bits_are_fresh_and_even() -> None:
    """8,192 bits of 64 draws; as often as not they are those of the draw or byte before."""
    bits = np.array([bits_of(Draw.fresh(HQ.public)._bits) for _ in range(64)])
    assert is_share(int(bits.sum()), bits.size, 1 / 2, tests=3)
    for one, other in ((bits[1:], bits[:-1]), (bits[:, 8:], bits[:, :-8])):
        assert is_share(int((one == other).sum()), one.size, 1 / 2, tests=3)


def test_the_offices_points_say_nothing_of_its_bits() -> None:
    """Every point is one of either bit: of another scalar, which nobody knows."""
    bits = OFFICE._bits
    other = bytes(byte ^ 0xFF for byte in bits)
    secret = KeyPairs.of(SEED)._secret
    turned = tuple(
        voprf.add_scalars(scalar, secret) if bit else voprf.subtract_scalars(scalar, secret)
        for scalar, bit in zip(OFFICE._scalars, bits_of(bits), strict=True)
    )
    again = reference.base_transfers(SEED, bytes.fromhex(PLAN), bits_of(other), turned)
    assert again.answer == OFFICE.answer


@pytest.mark.parametrize("bad", NOT_POINTS, ids=bytes.hex)
def test_hqs_point_that_is_none_is_refused_by_the_office(bad: bytes) -> None:
    with pytest.raises(TokenRefused, match=r"^base transfer: got") as caught:
        Draw.fresh(bad)
    assert not bad or bad.hex() not in str(caught.value)


@pytest.mark.parametrize("bad", POINTS, ids=bytes.hex)
@pytest.mark.parametrize("place", [0, TRANSFERS - 1])
def test_a_point_of_the_office_that_is_none_ends_the_release(bad: bytes, place: int) -> None:
    with pytest.raises(TransferFailed, match=r"seal-1: base transfer: .* it is over for good"):
        Receiver.of(plan_of(3), PLAN, PLAN, SEED, with_point(place, bad))


def test_a_point_of_the_office_that_is_hqs_own_ends_the_release() -> None:
    """B = A: HQ's second key would be of the identity, which everybody knows."""
    with pytest.raises(TransferFailed, match="canonical encoding, or the identity"):
        Receiver.of(plan_of(3), PLAN, PLAN, SEED, with_point(5, HQ.public))


@pytest.mark.parametrize("change", [-1, 1, -32, 32])
def test_an_answer_of_another_length_ends_the_release(change: int) -> None:
    answer = (OFFICE.answer + bytes(range(32)))[: len(OFFICE.answer) + change]
    with pytest.raises(TransferFailed, match=re.escape(f"got {len(answer)} bytes, expected 4096")):
        Receiver.of(plan_of(3), PLAN, PLAN, SEED, answer)


def test_what_the_office_keeps_reads_back_and_is_not_printed() -> None:
    chosen = OFFICE.chosen(PLAN, HQ.public)
    assert ChosenKeys.decode(chosen.encode()) == chosen
    assert len(chosen.encode()) == 16 + 32 * TRANSFERS
    for secret in (chosen.bits, chosen.keys[0], OFFICE._scalars[0], HQ._secret):
        for shown in (repr(chosen), repr(OFFICE), repr(HQ)):
            assert repr(secret)[2:-1] not in shown
            assert secret.hex() not in shown


def test_another_seed_has_another_point() -> None:
    assert KeyPairs.of(SEED[::-1]).public != HQ.public
