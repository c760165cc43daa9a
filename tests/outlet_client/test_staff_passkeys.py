"""Passkeys: whose they are, where they are good, and what a hostile device may send."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, Any

import cbor2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outlet_client.staff.accounts import Account, Accounts, Role, SignInRefused, StaffRefused
from outlet_client.staff.passkeys import MOST_EACH, Passkeys, host_of
from outlet_client.staff.staff_store import StaffStore
from tests.outlet_client.authenticator import Device, text
from tests.outlet_client.desk_site import CHEAP, MEI, NOON, RAFAEL, URL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("databases")

HOST = host_of(URL)


class Staff:
    """Two people and their passkeys."""

    def __init__(self, store: StaffStore) -> None:
        self.accounts, self.passkeys = Accounts(store, b"s" * 32, CHEAP), Passkeys(store)
        for name in (MEI, RAFAEL):
            self.accounts.add(name, Role.ASSOCIATE, NOON)

    def account(self, name: str = MEI) -> Account:
        found = self.accounts.find(name)
        assert found is not None
        return found

    def make(self, device: Device, name: str = MEI, origin: str = URL) -> None:
        options, challenge = self.passkeys.registration(self.account(name), host_of(origin))
        answer = device.create(options)
        self.passkeys.register(self.account(name), answer, challenge, origin, " Tablet ", NOON)

    def who(self, device: Device, origin: str = URL, claimed: Device | None = None) -> str:
        options, challenge = self.passkeys.authentication(host_of(origin))
        credential = (claimed or device).credential.hex()
        return self.passkeys.authenticate(credential, device.get(options), challenge, origin)


@pytest.fixture
def staff(tmp_path: Path) -> Iterator[Staff]:
    with closing(StaffStore(tmp_path)) as store:
        yield Staff(store)


def test_a_passkey_says_whose_it_is(staff: Staff) -> None:
    mei, rafael = Device(URL), Device(URL)
    staff.make(mei)
    staff.make(rafael, RAFAEL)
    assert (staff.who(mei), staff.who(rafael)) == (MEI, RAFAEL)
    [(credential, label, since)] = staff.passkeys.of(MEI)
    assert (credential, label, since[:10]) == (mei.credential.hex(), "Tablet", "2026-03-02")


def test_a_passkey_signs_for_its_own_credential_only(staff: Staff) -> None:
    mei, rafael = Device(URL), Device(URL)
    staff.make(mei)
    staff.make(rafael, RAFAEL)
    with pytest.raises(SignInRefused):
        staff.who(mei, claimed=rafael)
    with pytest.raises(SignInRefused):
        staff.who(Device(URL))


def test_another_challenge_is_not_answered_by_it(staff: Staff) -> None:
    device = Device(URL)
    staff.make(device)
    options, _ = staff.passkeys.authentication(HOST)
    _, other = staff.passkeys.authentication(HOST)
    with pytest.raises(SignInRefused):
        staff.passkeys.authenticate(device.credential.hex(), device.get(options), other, URL)
    asked, _ = staff.passkeys.registration(staff.account(), HOST)
    with pytest.raises(StaffRefused):
        staff.passkeys.register(staff.account(), Device(URL).create(asked), other, URL, "", NOON)


ELSEWHERE = [
    "http://localhost:9999", "https://localhost:8480", "http://localhost.evil.example:8480",
    "http://evil.example:8480", "http://127.0.0.1:8480",
]  # fmt: skip


@pytest.mark.parametrize("origin", ELSEWHERE)
def test_what_was_signed_for_another_address_is_refused(staff: Staff, origin: str) -> None:
    device = Device(URL)
    staff.make(device)
    device.origin = origin
    with pytest.raises(SignInRefused):
        staff.who(device)
    with pytest.raises(StaffRefused):
        staff.make(Device(origin))


def test_a_device_that_does_not_make_sure_of_its_user_is_refused(staff: Staff) -> None:
    device = Device(URL)
    staff.make(device)
    device.verifies = False
    with pytest.raises(SignInRefused):
        staff.who(device)
    with pytest.raises(StaffRefused):
        staff.make(Device(URL, verifies=False))


def test_a_passkey_that_seems_to_have_been_copied_is_refused(staff: Staff) -> None:
    device = Device(URL, uses=5)
    staff.make(device)
    device.uses = 7
    assert staff.who(device) == MEI
    for uses in (7, 6, 1):
        device.uses = uses
        with pytest.raises(SignInRefused):
            staff.who(device)


@pytest.mark.parametrize("credential", ["", "zz", "a", "é", "\x00", "00" * 40_000])
def test_what_is_no_credential_is_nobodys(staff: Staff, credential: str) -> None:
    staff.make(Device(URL))
    with pytest.raises(SignInRefused):
        staff.passkeys.authenticate(credential, "{}", b"c", URL)
    with pytest.raises(StaffRefused):
        staff.passkeys.remove(MEI, credential)
    assert len(staff.passkeys.of(MEI)) == 1


def test_nobody_takes_anothers_passkey_away_or_over(staff: Staff) -> None:
    device = Device(URL)
    staff.make(device)
    with pytest.raises(StaffRefused, match="none of yours"):
        staff.passkeys.remove(RAFAEL, device.credential.hex())
    with pytest.raises(StaffRefused, match="known here already"):
        staff.make(Device(URL, credential=device.credential), RAFAEL)
    assert staff.who(device) == MEI
    staff.passkeys.remove(MEI, device.credential.hex())
    with pytest.raises(SignInRefused):
        staff.who(device)


def test_a_person_has_a_handful(staff: Staff) -> None:
    for _ in range(MOST_EACH):
        staff.make(Device(URL))
    with pytest.raises(StaffRefused, match="take one away first"):
        staff.make(Device(URL))
    staff.make(Device(URL), RAFAEL)


STRANGE: list[Any] = [
    None,
    1,
    True,
    1e400,
    [],
    {},
    [{}],
    "",
    "A",
    "AA==",
    "é",
    "\x00",
    "A" * 50_000,
]
WHERE = ["id", "rawId", "type", "response", "attestationObject", "clientDataJSON", "transports",
         "authenticatorData", "signature"]  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    where=st.sampled_from(WHERE),
    what=st.one_of(st.sampled_from(STRANGE), st.binary(max_size=80).map(text)),
)
def test_whatever_a_device_answers_is_taken_or_refused(
    staff: Staff, where: str, what: object
) -> None:
    device = Device(URL)
    asked, challenge = staff.passkeys.registration(staff.account(), HOST)
    other, second = staff.passkeys.authentication(HOST)
    made, got = (json.loads(one) for one in (device.create(asked), device.get(other)))
    for answer in (made, got):
        (answer["response"] if where in answer["response"] else answer)[where] = what
    try:
        staff.passkeys.register(staff.account(), json.dumps(made), challenge, URL, "", NOON)
    except StaffRefused:
        pass
    else:
        staff.passkeys.remove(MEI, staff.passkeys.of(MEI)[-1][0])
    staff.make(device, RAFAEL)
    try:
        credential = device.credential.hex()
        assert staff.passkeys.authenticate(credential, json.dumps(got), second, URL) == RAFAEL
    except SignInRefused:
        pass
    staff.passkeys.remove(RAFAEL, device.credential.hex())


@pytest.mark.parametrize(
    "answer", ["", "null", "[]", "1", '"a"', "[" * 60_000, '{"a":' * 10_000, "{", "\ud7ff"]
)
def test_what_is_no_answer_is_refused(staff: Staff, answer: str) -> None:
    device = Device(URL)
    staff.make(device)
    with pytest.raises(SignInRefused):
        staff.passkeys.authenticate(device.credential.hex(), answer, b"c", URL)
    with pytest.raises(StaffRefused):
        staff.passkeys.register(staff.account(), answer, b"c", URL, "", NOON)


def test_a_key_that_is_none_is_refused(staff: Staff) -> None:
    asked, challenge = staff.passkeys.registration(staff.account(), HOST)
    for attested in (b"\x81" * 30_000 + b"\x00", cbor2.dumps({"fmt": "none"}), cbor2.dumps([])):
        made = json.loads(Device(URL).create(asked))
        made["response"]["attestationObject"] = text(attested)
        with pytest.raises(StaffRefused):
            staff.passkeys.register(staff.account(), json.dumps(made), challenge, URL, "", NOON)
