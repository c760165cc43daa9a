"""A message is for one key, network, batch and act; and what evidence of it gives away."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy import voprf
from privacy.envelopes import SealKey, frame, seal
from privacy.registrations import (
    MESSAGE_BYTES,
    SEALED_BYTES,
    TAG_BYTES,
    Evidence,
    Registration,
    RegistrationAct,
    RegistrationRefused,
    fresh_secret,
    nonce_of,
    tag_of,
)
from privacy.slot_keys import SlotKey, check_proof
from privacy.voprf import TokenRefused
from tests.privacy.slots import NOT_POINTS, altered, slot_key, token_of

if TYPE_CHECKING:
    from collections.abc import Callable

HQ = SealKey.generate()
NETWORK, ELSEWHERE = slot_key(100).public, slot_key(101).public
KEY, OTHER = slot_key(1), slot_key(2)
SECRET = hashlib.sha256(b"secret").digest()
BATCH, SINCE = 5, 3
REGISTER = Registration.register(NETWORK, KEY, SECRET, BATCH, SINCE)
WITHDRAW = Registration.withdraw(NETWORK, KEY, SECRET, BATCH)
DUMMY = Registration.dummy(BATCH)

DOMAIN = b"escapement/v1/registration"
FIELDS = {
    "act": slice(0, 1),
    "key": slice(1, 33),
    "shown": slice(33, 65),
    "since": slice(65, 73),
    "proof": slice(73, 137),
}
"""Where each is in a message."""


def bound_of(shown: bytes) -> bytes:
    return hashlib.sha256(frame(b"escapement/v1/registration-bound", shown)).digest()


def plain(message: Registration) -> bytes:
    """What HQ finds in the envelope."""
    return HQ.open(message.sealed(HQ.public), DOMAIN, message.batch.to_bytes(8, "big"))


def sealed(plaintext: bytes, batch: int = BATCH) -> bytes:
    return seal(HQ.public, plaintext, DOMAIN, batch.to_bytes(8, "big"))


def opened(
    envelope: bytes, hq: SealKey = HQ, network: bytes = NETWORK, batch: int = BATCH
) -> Registration:
    return Registration.opened(envelope, hq, network, batch)


# The format


def test_the_chain_of_secret_nonce_and_tag_is_frozen() -> None:
    nonce = nonce_of(SECRET)
    assert nonce.hex() == "3676b519101e157496f2511f9845b91cd79e92edea0717b4060ef5340f9d085b"
    assert tag_of(nonce).hex() == "d01bd6c76a88df71b2e1938f7dc31f0d"
    assert nonce == hashlib.sha256(frame(b"escapement/v1/nonce", SECRET)).digest()


def test_the_layout_of_a_registration_is_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voprf, "random_scalar", lambda: (7).to_bytes(32, "little"))
    message = plain(Registration.register(NETWORK, KEY, SECRET, BATCH, SINCE))
    assert message[:73] == b"\x01" + KEY.public + nonce_of(SECRET) + b"\0\0\0\0\0\0\0\x03"
    assert message[73:].hex() == (
        "a1a215058c7da8e2e4906aaffe5152d656a76b164fcf52e78c880b772ee9260c"
        "16f6e1de0de1819cb449c698911de8b3253f82e4147f6a3db84142cc60af3903"
    )


def test_the_layout_of_a_withdrawal_is_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voprf, "random_scalar", lambda: (7).to_bytes(32, "little"))
    message = plain(Registration.withdraw(NETWORK, KEY, SECRET, BATCH))
    assert message[:73] == b"\x02" + KEY.public + SECRET + bytes(8)
    assert message[73:].hex() == (
        "ca1b4c4f82cd1088bdcdd6b68010ba023c7d4449d1f73af21cafbfc02852eb08"
        "08566e834091894a38a9bd1e5292fe74af3f7e7cf81b489673325d385cb3be05"
    )


def test_a_proof_is_over_network_act_batch_since_and_a_hash_of_what_is_shown() -> None:
    for message, since, shown in ((REGISTER, SINCE, nonce_of(SECRET)), (WITHDRAW, 0, SECRET)):
        numbers = (number.to_bytes(8, "big") for number in (BATCH, since))
        context = (DOMAIN, NETWORK, bytes([message.act]), *numbers, bound_of(shown))
        check_proof(KEY.public, message.proof, *context)


def test_a_dummy_is_all_zeros() -> None:
    assert plain(DUMMY) == bytes(MESSAGE_BYTES)


@given(
    st.sampled_from([REGISTER, WITHDRAW, DUMMY]),
    st.integers(0, 2**63 - 1),
)
def test_all_three_have_one_size_whatever_is_in_them(message: Registration, batch: int) -> None:
    assert len(plain(message)) == MESSAGE_BYTES == 137
    assert len(replace(message, batch=batch).sealed(HQ.public)) == SEALED_BYTES == 185


@given(st.binary(min_size=32, max_size=32), st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1))
def test_every_message_is_read_as_it_was_made(token: bytes, batch: int, since: int) -> None:
    key, secret = SlotKey.of(token), fresh_secret()
    for message in (
        Registration.register(NETWORK, key, secret, batch, since),
        Registration.withdraw(NETWORK, key, secret, batch),
        Registration.dummy(batch),
    ):
        assert opened(message.sealed(HQ.public), batch=batch) == message


@given(st.binary(min_size=32, max_size=32))
def test_no_message_has_a_token_in_it_and_no_registration_its_secret(token: bytes) -> None:
    key, secret = SlotKey.of(token), fresh_secret()
    register = plain(Registration.register(NETWORK, key, secret, BATCH))
    withdraw = plain(Registration.withdraw(NETWORK, key, secret, BATCH))
    for message, kept in ((register, [secret]), (withdraw, [])):
        windows = {message[start : start + 32] for start in range(len(message) - 31)}
        for never in (token, key._secret, *kept):
            assert never not in windows
    assert nonce_of(secret) in register


def test_secrets_are_fresh() -> None:
    assert len({fresh_secret() for _ in range(50)}) == 50


# What HQ refuses


@pytest.mark.parametrize("message", [REGISTER, WITHDRAW, DUMMY], ids=lambda one: one.act.name)
@pytest.mark.parametrize("field", FIELDS)
def test_each_bit_of_each_field_counts(message: Registration, field: str) -> None:
    genuine = plain(message)
    places = range(*FIELDS[field].indices(MESSAGE_BYTES))
    assert opened(sealed(genuine)) == message
    for place in places:
        for bit in range(8):
            flipped = bytearray(genuine)
            flipped[place] ^= 1 << bit
            with pytest.raises(RegistrationRefused):
                opened(sealed(bytes(flipped)))


@given(
    st.sampled_from([REGISTER, WITHDRAW]),
    st.sampled_from(list(FIELDS)),
    st.binary(min_size=64, max_size=64),
)
def test_a_field_of_another_value_is_refused(
    message: Registration, field: str, value: bytes
) -> None:
    genuine, place = plain(message), FIELDS[field]
    other = value[: len(genuine[place])]
    if other == genuine[place]:
        return
    with pytest.raises(RegistrationRefused):
        opened(sealed(genuine[: place.start] + other + genuine[place.stop :]))


@given(st.sampled_from([REGISTER, WITHDRAW, DUMMY]).map(plain).flatmap(altered))
def test_an_altered_message_is_refused_and_nothing_else_happens(plaintext: bytes) -> None:
    with pytest.raises(RegistrationRefused):
        opened(sealed(plaintext))


@given(st.sampled_from([REGISTER, WITHDRAW, DUMMY]), st.data())
def test_an_altered_envelope_is_refused_and_nothing_else_happens(
    message: Registration, data: st.DataObject
) -> None:
    with pytest.raises(RegistrationRefused, match="not one of batch 5"):
        opened(data.draw(altered(message.sealed(HQ.public))))


@given(st.binary(max_size=2 * MESSAGE_BYTES))
def test_random_bytes_are_refused_and_nothing_else_happens(data: bytes) -> None:
    for envelope in (data, sealed(data)):
        with pytest.raises(RegistrationRefused):
            opened(envelope)


@given(st.sampled_from([1, 2]), st.binary(min_size=MESSAGE_BYTES - 1, max_size=MESSAGE_BYTES - 1))
def test_random_fields_are_refused_and_nothing_else_happens(act: int, rest: bytes) -> None:
    with pytest.raises(RegistrationRefused):
        opened(sealed(bytes([act]) + rest))


@pytest.mark.parametrize("bad", [bad for bad in NOT_POINTS if len(bad) == 32], ids=bytes.hex)
def test_a_key_that_is_no_point_is_refused(bad: bytes) -> None:
    for message in (REGISTER, WITHDRAW):
        with pytest.raises(RegistrationRefused, match="identity or no canonical encoding"):
            opened(sealed(plain(replace(message, key=bad))))


def test_a_copied_key_registers_and_withdraws_nobody() -> None:
    """Keys are public: who reads a directory has every one of them, and proofs of its own."""
    mine = SlotKey(KEY.public, OTHER._secret)  # claims the copied key, has the secret of another
    for forged in (
        Registration.register(NETWORK, mine, fresh_secret(), BATCH),
        Registration.withdraw(NETWORK, mine, fresh_secret(), BATCH),
        replace(Registration.register(NETWORK, OTHER, SECRET, BATCH, SINCE), key=KEY.public),
        replace(REGISTER, key=OTHER.public),
    ):
        with pytest.raises(RegistrationRefused, match="made with another key"):
            opened(forged.sealed(HQ.public))


def test_a_message_is_refused_in_another_batch_and_by_another_hq() -> None:
    envelope = REGISTER.sealed(HQ.public)
    for batch in (BATCH - 1, BATCH + 1, 0):
        with pytest.raises(RegistrationRefused, match=f"not one of batch {batch}"):
            opened(envelope, batch=batch)
    with pytest.raises(RegistrationRefused):
        opened(envelope, hq=SealKey.generate())


@pytest.mark.parametrize("message", [REGISTER, WITHDRAW], ids=lambda one: one.act.name)
def test_what_hq_opened_it_cannot_use_in_another_batch_or_network(message: Registration) -> None:
    """HQ reads a message and can seal it again, for any batch that it likes."""
    again = replace(message, batch=BATCH + 1)
    with pytest.raises(RegistrationRefused, match="for something else"):
        opened(again.sealed(HQ.public), batch=BATCH + 1)
    with pytest.raises(RegistrationRefused, match="for something else"):
        opened(message.sealed(HQ.public), network=ELSEWHERE)


def test_a_registration_is_no_withdrawal_and_the_other_way_round() -> None:
    """Also where HQ has seen the secret, so that bound and nonce could be made to fit."""
    acts = RegistrationAct.REGISTER, RegistrationAct.WITHDRAW
    for message, act in zip((REGISTER, WITHDRAW), reversed(acts), strict=True):
        for shown in (message.shown, SECRET, nonce_of(SECRET)):
            for since in (0, SINCE):
                forged = replace(message, act=act, shown=shown, since=since)
                with pytest.raises(RegistrationRefused):
                    opened(forged.sealed(HQ.public))


def test_since_ends_where_a_database_does() -> None:
    latest = Registration.register(NETWORK, KEY, SECRET, BATCH, 2**63 - 1)
    assert opened(latest.sealed(HQ.public)).since == 2**63 - 1
    for since in (2**63, 2**64 - 1):
        beyond = Registration.register(NETWORK, KEY, SECRET, BATCH, since)
        with pytest.raises(RegistrationRefused, match="`since`: expected 0 to 9223372036854775807"):
            opened(beyond.sealed(HQ.public))


# Evidence


@pytest.mark.parametrize("message", [REGISTER, WITHDRAW], ids=lambda one: one.act.name)
def test_evidence_of_a_message_that_hq_opened_is_good(message: Registration) -> None:
    evidence = opened(message.sealed(HQ.public)).evidence
    assert (evidence.act, evidence.batch, evidence.since) == (message.act, BATCH, message.since)
    evidence.check(NETWORK, KEY.public)


CHANGES: list[Callable[[Evidence], Evidence]] = [
    lambda one: replace(one, act=RegistrationAct(3 - one.act)),
    lambda one: replace(one, act=RegistrationAct.NOTHING),
    lambda one: replace(one, batch=one.batch + 1),
    lambda one: replace(one, batch=one.since, since=one.batch),
    lambda one: replace(one, since=one.since + 1),
    lambda one: replace(one, bound=bytes(32)),
    lambda one: replace(one, bound=b""),
    lambda one: replace(one, bound=one.bound + b"\0"),
    lambda one: replace(one, proof=one.proof[:-1]),
    lambda one: replace(one, proof=one.proof + b"\0"),
    lambda one: replace(one, proof=OTHER.prove()),
    lambda one: replace(one, proof=b""),
]


@pytest.mark.parametrize("message", [REGISTER, WITHDRAW], ids=lambda one: one.act.name)
@pytest.mark.parametrize("change", CHANGES)
def test_evidence_that_says_something_else_is_refused(
    message: Registration, change: Callable[[Evidence], Evidence]
) -> None:
    with pytest.raises(TokenRefused):
        change(message.evidence).check(NETWORK, KEY.public)


def test_evidence_is_for_one_key_and_one_network() -> None:
    for message in (REGISTER, WITHDRAW):
        for network, key in ((ELSEWHERE, KEY.public), (NETWORK, OTHER.public), (b"", KEY.public)):
            with pytest.raises(TokenRefused):
                message.evidence.check(network, key)
        for bad in NOT_POINTS:
            with pytest.raises(TokenRefused):
                message.evidence.check(NETWORK, bad)


@given(
    st.sampled_from(RegistrationAct),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**64 - 1),
    st.binary(max_size=40),
    st.binary(max_size=80),
    st.binary(max_size=40),
)
def test_whatever_evidence_says_it_is_refused_with_one_error(
    act: RegistrationAct, batch: int, since: int, bound: bytes, proof: bytes, key: bytes
) -> None:
    made = Evidence(act, batch, since, bound, proof)
    for public in (key, KEY.public):
        with pytest.raises(TokenRefused):
            made.check(NETWORK, public)


@pytest.mark.parametrize("field", ["batch", "since"])
@pytest.mark.parametrize("number", [-1, 2**64, 2**80])
def test_a_number_outside_its_domain_is_refused_with_the_same_error(
    field: str, number: int
) -> None:
    made = replace(REGISTER.evidence, **{field: number})  # type: ignore[arg-type]
    with pytest.raises(TokenRefused):
        made.check(NETWORK, KEY.public)


def test_evidence_gives_neither_nonce_nor_secret_nor_home_tag_away() -> None:
    """The office has every tag in the directory, and must not find whose evidence it is shown."""
    nonce, tag = nonce_of(SECRET), tag_of(nonce_of(SECRET))
    for message in (REGISTER, WITHDRAW):
        shown = message.evidence
        carried = b"".join(
            [shown.bound, shown.proof, *(n.to_bytes(8, "big") for n in (shown.batch, shown.since))]
        )
        for never in (SECRET, nonce, tag):
            assert never not in carried
        for step in (shown.bound, nonce_of(shown.bound)):  # nor is it a link of the chain
            assert tag_of(step) != tag
    assert len(tag) == TAG_BYTES


def test_evidence_of_one_outlets_registration_and_withdrawal_share_nothing() -> None:
    """One secret is behind both; the office sees two hashes of which neither leads to the other."""
    first, then = REGISTER.evidence.bound, WITHDRAW.evidence.bound
    assert first != then
    for forwards in (nonce_of(then), bound_of(then), bound_of(nonce_of(then))):
        assert forwards != first


def test_a_second_secret_makes_another_bound() -> None:
    bounds = {
        Registration.withdraw(NETWORK, KEY, fresh_secret(), BATCH).evidence.bound for _ in range(20)
    }
    assert len(bounds) == 20


def test_contents_are_never_printed() -> None:
    for message in (REGISTER, WITHDRAW):
        for shown in (repr(message), repr(message.evidence)):
            for never in (message.key, message.shown, message.proof, message.evidence.bound):
                assert never.hex() not in shown
                assert repr(never)[2:-1] not in shown
            assert token_of(1).hex() not in shown


def test_an_error_names_no_key() -> None:
    with pytest.raises(RegistrationRefused) as caught:
        opened(replace(REGISTER, key=OTHER.public).sealed(HQ.public))
    for never in (KEY.public, OTHER.public, REGISTER.shown, REGISTER.proof):
        assert never.hex() not in str(caught.value)
        assert repr(never)[2:-1] not in str(caught.value)
