"""A proof is for one key and one context, and a mask is agreed by who should and nobody else."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING

import pytest
import rbcl
from hypothesis import given
from hypothesis import strategies as st

from privacy import voprf
from privacy.envelopes import frame
from privacy.slot_keys import KEY_BYTES, PROOF_BYTES, OneTimeKey, SlotKey, check_proof
from privacy.voprf import TokenRefused
from tests.privacy.slots import NOT_POINTS, ORDER, slot_key, token_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

KEY, OTHER = slot_key(1), slot_key(2)
CONTEXT = (b"network", b"batch", b"")
PROOF = KEY.prove(*CONTEXT)
ONE_TIME = OneTimeKey.generate()

contexts = st.lists(st.binary(max_size=6), max_size=4).map(tuple)
scalars = st.integers(1, ORDER - 1).map(lambda number: number.to_bytes(32, "little"))


def number(scalar: bytes) -> int:
    return int.from_bytes(scalar, "little")


def scalar(value: int) -> bytes:
    return (value % ORDER).to_bytes(32, "little")


def commitment(public: bytes, proof: bytes) -> bytes:
    """R = s.G + c.pk, which a proof does not carry."""
    challenge, response = proof[:32], proof[32:]
    return voprf.add(voprf.multiply_base(response), voprf.multiply(challenge, public))


# Known answers: who changes one of these changes what every outlet, HQ and the office have stored


def hash_to_scalar(data: bytes, dst: bytes) -> bytes:
    """HashToScalar [RFC 9497, 4.1] by expand_message_xmd [RFC 9380, 5.3.1], written once more."""
    suffix = dst + bytes([len(dst)])
    zeroth = hashlib.sha512(bytes(128) + data + b"\x00\x40" + b"\x00" + suffix).digest()
    return scalar(int.from_bytes(hashlib.sha512(zeroth + b"\x01" + suffix).digest(), "little"))


@pytest.mark.parametrize(
    ("token", "public"),
    [
        (bytes(range(32)), "acbdce6f6f847ad28a9f73e0006e836ff8bdd999894e84a0bca30be2ff12aa5e"),
        (token_of(1), "8003549ee849af5df65626fbdeeb30d82ea8b58843292d43ae8965ab8e094902"),
    ],
)
def test_the_key_of_a_token_is_frozen(token: bytes, public: str) -> None:
    made = SlotKey.of(token)
    assert made.public.hex() == public
    secret = hash_to_scalar(token, b"escapement/v1/slot-key")
    assert made.public == rbcl.crypto_scalarmult_ristretto255_base(secret)


def test_a_proof_is_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voprf, "random_scalar", lambda: scalar(7))
    made = KEY.prove(b"one", b"", b"two")
    assert made.hex() == (
        "dc5dc37ad4a61aa41f3f54944c95c898e7753a7cf09a086433d7615f52b02d08"
        "a2ecd83260bdce497492947f936b43e324d54b943fe2ea0a25eb53ce58a62c0b"
    )
    bound = frame(KEY.public, voprf.multiply_base(scalar(7)), b"one", b"", b"two")
    assert made[:32] == hash_to_scalar(bound, b"escapement/v1/slot-proof")
    assert number(made[32:]) == (7 - number(made[:32]) * number(KEY._secret)) % ORDER


def test_a_mask_key_is_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voprf, "random_scalar", lambda: scalar(9))
    one_time = OneTimeKey.generate()
    made = one_time.mask_key(KEY.public, b"book", b"slot")
    assert made.hex() == "ad643fbcd3a55da1f752aa6f67851791ff7fec977bfd5baa66109e7b57dbd8dc"
    shared = rbcl.crypto_scalarmult_ristretto255(scalar(9), KEY.public)
    fields = (b"escapement/v1/slot-mask", shared, one_time.public, KEY.public, b"book", b"slot")
    assert made == hashlib.sha256(frame(*fields)).digest()


# Proofs


@given(st.binary(min_size=32, max_size=32), contexts)
def test_a_proof_verifies_for_its_key_and_context(token: bytes, context: tuple[bytes, ...]) -> None:
    key = SlotKey.of(token)
    check_proof(key.public, key.prove(*context), *context)


@given(contexts, contexts)
def test_a_proof_for_one_context_is_none_for_another(
    context: tuple[bytes, ...], other: tuple[bytes, ...]
) -> None:
    if context == other:
        return
    with pytest.raises(TokenRefused, match="made with another key, or for something else"):
        check_proof(KEY.public, KEY.prove(*context), *other)


@pytest.mark.parametrize(
    "other",
    [
        (b"networkb", b"atch", b""),
        (b"networkbatch", b""),
        (b"network", b"batch"),
        (b"network", b"batch", b"", b""),
        (b"batch", b"network", b""),
        (frame(b"network", b"batch"), b""),
    ],
)
def test_fields_of_a_context_cannot_be_moved_into_one_another(other: tuple[bytes, ...]) -> None:
    check_proof(KEY.public, PROOF, *CONTEXT)
    with pytest.raises(TokenRefused):
        check_proof(KEY.public, PROOF, *other)


@given(st.integers(0, PROOF_BYTES - 1), st.integers(1, 255))
def test_a_proof_of_which_a_byte_was_changed_is_refused(place: int, change: int) -> None:
    altered = bytearray(PROOF)
    altered[place] ^= change
    with pytest.raises(TokenRefused):
        check_proof(KEY.public, bytes(altered), *CONTEXT)


def test_a_proof_has_one_encoding_only() -> None:
    """libsodium takes scalars above the order and ignores their highest bit."""
    challenge, response = PROOF[:32], PROOF[32:]
    for same in (
        challenge + (number(response) + ORDER).to_bytes(32, "little"),
        challenge + (number(response) + 2**255).to_bytes(32, "little"),
        (number(challenge) + ORDER).to_bytes(32, "little") + response,
        (number(challenge) + 2**255).to_bytes(32, "little") + response,
    ):
        assert commitment(KEY.public, same) == commitment(KEY.public, PROOF)
        with pytest.raises(TokenRefused):
            check_proof(KEY.public, same, *CONTEXT)


def test_a_proof_made_with_another_key_is_refused() -> None:
    with pytest.raises(TokenRefused):
        check_proof(OTHER.public, PROOF, *CONTEXT)
    with pytest.raises(TokenRefused):
        check_proof(KEY.public, OTHER.prove(*CONTEXT), *CONTEXT)


@given(scalars)
def test_a_proof_cannot_be_moved_to_a_related_key(shift: bytes) -> None:
    """c and s - c.t fit pk + t.G at the same R: only that pk is hashed stands against it."""
    related = voprf.add(KEY.public, voprf.multiply_base(shift))
    challenge, response = PROOF[:32], PROOF[32:]
    moved = voprf.subtract_scalars(response, voprf.multiply_scalars(challenge, shift))
    assert commitment(related, challenge + moved) == commitment(KEY.public, PROOF)
    with pytest.raises(TokenRefused):
        check_proof(related, challenge + moved, *CONTEXT)


@given(scalars)
def test_a_proof_cannot_be_moved_to_a_multiple_of_its_key(factor: bytes) -> None:
    """So neither to -pk: c/t and s fit t.pk at the same R."""
    if number(factor) == 1:
        return
    challenge, response = PROOF[:32], PROOF[32:]
    fewer = voprf.multiply_scalars(challenge, voprf.invert(factor))
    related = voprf.multiply(factor, KEY.public)
    assert commitment(related, fewer + response) == commitment(KEY.public, PROOF)
    with pytest.raises(TokenRefused):
        check_proof(related, fewer + response, *CONTEXT)


def test_nobody_proves_a_key_that_was_made_to_fit_a_proof() -> None:
    """Of a chosen challenge and response a key follows, if the challenge is not over the key."""
    nobodys = voprf.hash_to_group(b"a point whose logarithm nobody knows")
    chosen, response = (
        hash_to_scalar(frame(nobodys, *CONTEXT), b"escapement/v1/slot-proof"),
        scalar(5),
    )
    rest = rbcl.crypto_core_ristretto255_sub(nobodys, voprf.multiply_base(response))
    fitted = voprf.multiply(voprf.invert(chosen), rest)
    assert commitment(fitted, chosen + response) == nobodys
    with pytest.raises(TokenRefused):
        check_proof(fitted, chosen + response, *CONTEXT)


def test_two_proofs_of_one_statement_share_nothing() -> None:
    proofs = [KEY.prove(*CONTEXT) for _ in range(50)]
    assert len({proof[:32] for proof in proofs}) == 50
    assert len({proof[32:] for proof in proofs}) == 50


def test_no_two_proofs_have_the_same_scalar_whatever_they_are_for() -> None:
    """Two challenges at one R give the key away: s1 - s2 = (c2 - c1).sk."""
    proofs = [key.prove(context) for key in (KEY, OTHER) for context in (b"", b"", b"a", b"b")]
    publics = [KEY.public] * 4 + [OTHER.public] * 4
    assert len({*map(commitment, publics, proofs)}) == len(proofs)


def test_a_scalar_that_was_used_twice_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voprf, "random_scalar", lambda: scalar(7))
    one, two = KEY.prove(b"one"), KEY.prove(b"two")
    assert commitment(KEY.public, one) == commitment(KEY.public, two)
    difference = number(one[:32]) - number(two[:32])
    found = (number(two[32:]) - number(one[32:])) * pow(difference, -1, ORDER)
    assert scalar(found) == KEY._secret


# What is no point, and no proof


@pytest.mark.parametrize("bad", NOT_POINTS, ids=lambda bad: f"{len(bad)}-{bad[:1].hex()}")
def test_what_is_no_point_is_refused_everywhere_with_one_error(bad: bytes) -> None:
    for ask in (
        lambda: check_proof(bad, PROOF, *CONTEXT),
        lambda: KEY.mask_key(bad),
        lambda: ONE_TIME.mask_key(bad),
    ):
        with pytest.raises(TokenRefused, match="no canonical encoding") as caught:
            ask()
        assert not bad or bad.hex() not in str(caught.value)


@given(st.binary(max_size=2 * PROOF_BYTES))
def test_random_bytes_prove_nothing_and_nothing_else_happens(proof: bytes) -> None:
    with pytest.raises(TokenRefused):
        check_proof(KEY.public, proof, *CONTEXT)


@given(st.binary(max_size=2 * KEY_BYTES))
def test_random_bytes_are_a_key_or_refused_and_nothing_else_happens(public: bytes) -> None:
    with pytest.raises(TokenRefused):
        check_proof(public, PROOF, *CONTEXT)
    try:
        assert len(KEY.mask_key(public)) == len(ONE_TIME.mask_key(public)) == 32
    except TokenRefused:
        with pytest.raises(TokenRefused):
            ONE_TIME.mask_key(public)


@pytest.mark.parametrize("zero", [slice(0, 32), slice(32, 64), slice(0, 64)])
def test_a_challenge_or_response_of_zero_proves_nothing(zero: slice) -> None:
    altered = bytearray(PROOF)
    altered[zero] = bytes(len(range(64)[zero]))
    with pytest.raises(TokenRefused):
        check_proof(KEY.public, bytes(altered), *CONTEXT)


def test_a_proof_whose_commitment_would_be_the_identity_is_refused() -> None:
    """s.G = -c.pk for a key that is chosen so: what libsodium says of it is no error of ours."""
    response = scalar(-3 * number(KEY._secret))
    with pytest.raises(TokenRefused):
        check_proof(KEY.public, scalar(3) + response, *CONTEXT)


# Masks


@given(st.binary(min_size=32, max_size=32), contexts)
def test_both_sides_agree_on_a_mask(token: bytes, context: tuple[bytes, ...]) -> None:
    key, one_time = SlotKey.of(token), OneTimeKey.generate()
    agreed = key.mask_key(one_time.public, *context)
    assert agreed == one_time.mask_key(key.public, *context)
    assert len(agreed) == 32


def test_a_mask_is_another_for_another_key_on_either_side_or_another_context() -> None:
    makers: Sequence[Callable[[], bytes]] = [
        partial(KEY.mask_key, ONE_TIME.public, *CONTEXT),
        partial(OTHER.mask_key, ONE_TIME.public, *CONTEXT),
        partial(KEY.mask_key, OneTimeKey.generate().public, *CONTEXT),
        partial(KEY.mask_key, ONE_TIME.public),
        partial(KEY.mask_key, ONE_TIME.public, *CONTEXT, b""),
        partial(KEY.mask_key, ONE_TIME.public, b"network", b"batc", b"h"),
        partial(KEY.mask_key, ONE_TIME.public, b"networ", b"kbatch", b""),
    ]
    assert len({make() for make in makers}) == len(makers)


def test_two_pairs_of_keys_with_one_shared_point_have_two_masks() -> None:
    """t.sk with B/t gives the point of sk with B: the mask is bound to both public keys as well."""
    factor = scalar(2)
    half = voprf.multiply(voprf.invert(factor), ONE_TIME.public)
    double = voprf.multiply_scalars(factor, KEY._secret)
    assert voprf.multiply(double, half) == voprf.multiply(KEY._secret, ONE_TIME.public)
    related = SlotKey(voprf.multiply_base(double), double)
    masks = {
        key.mask_key(one_time) for key in (KEY, related) for one_time in (half, ONE_TIME.public)
    }
    assert len(masks) == 4


def test_one_time_keys_are_fresh() -> None:
    assert len({OneTimeKey.generate().public for _ in range(50)}) == 50


def test_secrets_are_never_printed() -> None:
    for key in (KEY, ONE_TIME):
        for shown in (key._secret.hex(), repr(key._secret)[2:-1], "_secret"):
            assert shown not in repr(key)
    assert token_of(1).hex() not in repr(KEY)
