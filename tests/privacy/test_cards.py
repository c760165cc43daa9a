"""Cards and certificates: what is in them, and what others refuse."""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from privacy.cards import Card, CertificateEnded
from privacy.certificates import check_certificate, fresh_certificate, read_certificate
from privacy.errors import PrivacyError
from privacy.identity import Identity, PartyKind
from privacy.keyring import Keyring, KeyringError
from privacy.slot_keys import SlotKey

if TYPE_CHECKING:
    from pathlib import Path

AT = dt.datetime(2026, 11, 30, 12, tzinfo=dt.UTC)
SECOND = dt.timedelta(seconds=1)


@cache
def outlet() -> Card:
    return Identity.generate(PartyKind.OUTLET, "o1", "", AT).card


def made(*, ca: bool, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "o1")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(AT)
        .not_valid_after(AT + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def test_a_fingerprint_is_half_of_the_cards_digest_in_eight_groups_of_four() -> None:
    card = outlet()
    groups = card.fingerprint.split(" ")
    assert [len(group) for group in groups] == [4] * 8
    assert "".join(groups) == hashlib.sha256(card._body()).hexdigest()[:32]


def test_a_certificate_is_valid_from_its_first_second_to_its_last() -> None:
    card = outlet()
    certificate = read_certificate(card.certificate)
    first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    assert (AT - first, last - AT) == (dt.timedelta(days=1), dt.timedelta(days=5 * 365))
    for at in (first, AT, last):
        card.check_dates(at)
    for at in (first - SECOND, last + SECOND):
        with pytest.raises(CertificateEnded):
            card.check_dates(at)


@pytest.mark.parametrize(("serial", "common"), [(1, "o1"), (2, "o1#2"), (12, "o1#12")])
def test_a_certificate_names_its_party_and_renewed_ones_have_subjects_of_their_own(
    serial: int, common: str
) -> None:
    certificate = read_certificate(fresh_certificate("o1", serial, AT)[0])
    for name in (certificate.subject, certificate.issuer):
        assert [one.value for one in name] == [common]
    found = {type(one.value): one for one in certificate.extensions}
    names = found[x509.SubjectAlternativeName]
    assert names.value == x509.SubjectAlternativeName([x509.DNSName("o1")])
    usage = found[x509.ExtendedKeyUsage]
    both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    assert usage.value == x509.ExtendedKeyUsage(both)
    # A name or a use that is critical is refused by who does not know it.
    assert not names.critical
    assert not usage.critical
    assert found[x509.BasicConstraints].critical


def test_no_certificate_but_one_that_signs_no_others_is_taken() -> None:
    own, elliptic = outlet().certificate, ec.generate_private_key(ec.SECP256R1())
    check_certificate(own)
    check_certificate(made(ca=False, key=elliptic))
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    for refused in (
        own + own,
        own + made(ca=True, key=elliptic),
        own + "-----BEGIN PRIVATE KEY-----\n",
        made(ca=True, key=elliptic),
        made(ca=False, key=key),
    ):
        with pytest.raises(ValueError, match="expected"):
            check_certificate(refused)


@pytest.mark.parametrize("serial", [1, 2**31])
def test_a_card_of_any_serial_that_there_can_be_reads_back(serial: int) -> None:
    replace(outlet(), serial=serial)._check_keys()


@pytest.mark.parametrize("serial", [0, -1, 2**31 + 1])
def test_a_card_of_a_serial_that_there_cannot_be_is_malformed(serial: int) -> None:
    with pytest.raises(ValueError, match="serial"):
        replace(outlet(), serial=serial)._check_keys()


@pytest.mark.parametrize("length", [0, 31, 33, 64])
@pytest.mark.parametrize("name", ["token_key", "sealing_key"])
def test_a_holders_keys_have_32_bytes(name: str, length: int) -> None:
    card = _hq()
    card._check_keys()
    malformed: dict[str, Any] = {name: "ab" * length}
    with pytest.raises(ValueError, match="expected a s"):
        replace(card, **malformed)._check_keys()


@cache
def _hq() -> Card:
    share = SlotKey.of(b"").public
    return Identity.generate(
        PartyKind.HQ, "hq", "h:1", AT, service_address="h:2", token_key=share
    ).card


def test_keys_that_were_not_renewed_cannot_be_finished() -> None:
    identity = Identity.generate(PartyKind.OUTLET, "o1", "", AT)
    with pytest.raises(PrivacyError, match="none were renewed"):
        identity.finished()


def test_the_one_card_of_a_kind_is_none_of_no_and_none_of_two(tmp_path: Path) -> None:
    ring = Keyring(tmp_path, PartyKind.OFFICE)
    ring.create("office", "h:1", AT, "h:2")
    for number in range(3):
        if number == 1:
            assert ring.peer(PartyKind.OUTLET).name == "o0"
        else:
            words = f"got {number} cards of outlet, expected 1"
            with pytest.raises(KeyringError, match=words):
                ring.peer(PartyKind.OUTLET)
        other = Identity.generate(PartyKind.OUTLET, f"o{number}", "", AT)
        ring.trust(other.card, other.public_file())


def test_a_node_key_of_another_kind_is_none() -> None:
    identity = Identity.generate(PartyKind.OUTLET, "o1", "", AT)
    assert identity.node_private_key.curve.name == "secp384r1"
    other = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    with pytest.raises(PrivacyError, match="another kind of node key"):
        _ = replace(identity, node_key=other).node_private_key
