"""Who is who: the keys that each party makes for itself, and the public card that others import.

There is no certificate authority. Each party makes a self-signed TLS certificate (P-256, because
gRPC refuses Ed25519), a signing key (Ed25519) and, at an outlet, a Flower node key (P-384, Flower's
own form), HQ and the privacy office a share of the token key, HQ a key for sealed registrations;
each writes one public **card**. Others import it after comparing its fingerprint by another way,
and from then on trust that very certificate and no other. Taking a card off a list is the
revocation.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Self

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from privacy.envelopes import SealKey, SigningKey, VerifyKey, digest
from privacy.errors import PrivacyError

CERTIFICATE_YEARS = 5
_NODE_KEY_BITS, _KEY_BYTES = 384, 32
_CARD_DOMAIN = b"escapement/v1/card"
_PEM = serialization.Encoding.PEM


class CardRefused(PrivacyError):
    """A public card that is malformed, of another kind, or not signed by its own key."""


class PartyKind(StrEnum):
    """What a party is."""

    OUTLET = "outlet"
    HQ = "hq"
    OFFICE = "office"


@dataclass(frozen=True, slots=True)
class Card:
    """What a party tells the others about itself; all of it public.

    Attributes:
        kind: What it is.
        name: Its name, unique among its kind.
        address: `host:port` where it listens; "" for an outlet.
        certificate: Its TLS certificate, PEM.
        signing_key: Its Ed25519 public key, hex.
        node_key: Its Flower node key in OpenSSH form; "" unless an outlet.
        service_address: `host:port` of its gRPC services for outlets; "" for an outlet.
        token_key: Public half of its share of the token key, hex; "" for an outlet.
        sealing_key: HPKE key that registrations are sealed to, hex; "" unless HQ.
    """

    kind: PartyKind
    name: str
    address: str
    certificate: str
    signing_key: str
    node_key: str
    service_address: str = ""
    token_key: str = ""
    sealing_key: str = ""

    @property
    def verify_key(self) -> VerifyKey:
        """The key that its statements are checked with."""
        return VerifyKey(bytes.fromhex(self.signing_key))

    @property
    def node_key_pem(self) -> bytes:
        """The Flower node key as Flower's link state knows it."""
        key = serialization.load_ssh_public_key(self.node_key.encode())
        return key.public_bytes(_PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    @property
    def fingerprint(self) -> str:
        """The first 128 bits of the card's digest, in groups to be read over the telephone."""
        text = digest(self._body())[:32]
        return " ".join(text[start : start + 4] for start in range(0, 32, 4))

    def encode(self, key: SigningKey) -> bytes:
        """The public file, signed by the party's own key: a card cannot be half exchanged."""
        body = {**asdict(self), "signature": key.sign(_CARD_DOMAIN, self._body()).hex()}
        return json.dumps(body, indent=2).encode() + b"\n"

    @classmethod
    def decode(cls, data: bytes, kind: PartyKind) -> Self:
        """Reads a public file.

        Raises:
            CardRefused: If it is malformed, of another kind, or not signed by its own key.
        """
        try:
            raw: dict[str, Any] = json.loads(data)
            signature = bytes.fromhex(raw.pop("signature"))
            card = cls(**{**raw, "kind": PartyKind(raw["kind"])})
            fits = all(isinstance(value, str) for value in asdict(card).values())
            signed = fits and card.verify_key.verify(signature, _CARD_DOMAIN, card._body())
            card._check_keys()
        except (
            AttributeError,
            KeyError,
            TypeError,
            ValueError,
            UnsupportedAlgorithm,
            x509.ExtensionNotFound,
        ) as error:
            raise CardRefused(
                "card: malformed; expected the public file of an enrolment"
            ) from error
        if not signed:
            raise CardRefused("card: not signed by its own key")
        if card.kind is not kind:
            raise CardRefused(f"card: got one of {card.kind}, expected one of {kind}")
        return card

    def _check_keys(self) -> None:
        """Refuses a name, certificate or node key that would trip others up later.

        Raises:
            ValueError: If one of them is not what `Identity.generate` makes.
        """
        check_name(self.name)
        blocks = x509.load_pem_x509_certificates(self.certificate.encode())
        if len(blocks) != 1 or self.certificate.count("-----BEGIN") != 1:
            raise ValueError("expected one certificate")
        constraints = blocks[0].extensions.get_extension_for_class(x509.BasicConstraints).value
        if constraints.ca or not isinstance(blocks[0].public_key(), ec.EllipticCurvePublicKey):
            raise ValueError("expected a certificate that signs no others")
        if self.kind is PartyKind.OUTLET:
            key = serialization.load_ssh_public_key(self.node_key.encode())
            if not isinstance(key, ec.EllipticCurvePublicKey) or key.key_size != _NODE_KEY_BITS:
                raise ValueError("expected a P-384 node key")
        elif len(bytes.fromhex(self.token_key)) != _KEY_BYTES:
            raise ValueError("expected a share of the token key")
        if self.kind is PartyKind.HQ and len(bytes.fromhex(self.sealing_key)) != _KEY_BYTES:
            raise ValueError("expected a sealing key")

    def _body(self) -> bytes:
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Identity:
    """A party's own keys and card. Its secrets are never printed.

    Attributes:
        card: What others may know.
        signing: Signs its statements.
        tls_key: PEM of its certificate's key.
        node_key: OpenSSH form of its Flower node key; empty unless an outlet.
        sealing: Opens sealed registrations; None unless HQ.
    """

    card: Card
    signing: SigningKey = field(repr=False)
    tls_key: bytes = field(repr=False)
    node_key: bytes = field(repr=False)
    sealing: SealKey | None = field(repr=False)

    @classmethod
    def generate(
        cls,
        kind: PartyKind,
        name: str,
        address: str,
        at: dt.datetime,
        *,
        service_address: str = "",
        token_key: bytes = b"",
    ) -> Self:
        """Makes fresh keys and a certificate valid from `at`.

        Args:
            kind: What the party is.
            name: Its name, unique among its kind.
            address: `host:port` where it listens; "" for an outlet.
            at: From when its certificate is valid.
            service_address: `host:port` of its gRPC services for outlets; "" for an outlet.
            token_key: Public half of its share of the token key; nothing for an outlet.

        Raises:
            CardRefused: If the name is not plain.
        """
        try:
            check_name(name)
        except ValueError as error:
            raise CardRefused(f"name: got '{name}', {error}") from error
        signing = SigningKey.generate()
        tls_key = ec.generate_private_key(ec.SECP256R1())
        certificate = _certificate(tls_key, f"{name}.{kind}", at)
        secret = public = b""
        if kind is PartyKind.OUTLET:
            node = ec.generate_private_key(ec.SECP384R1())
            secret = node.private_bytes(
                _PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
            )
            public = node.public_key().public_bytes(
                serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
            )
        sealing = SealKey.generate() if kind is PartyKind.HQ else None
        card = Card(
            kind,
            name,
            address,
            certificate,
            signing.public.raw.hex(),
            public.decode(),
            service_address,
            token_key.hex(),
            "" if sealing is None else sealing.public.hex(),
        )
        key_pem = tls_key.private_bytes(
            _PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return cls(card, signing, key_pem, secret, sealing)

    @property
    def node_private_key(self) -> ec.EllipticCurvePrivateKey:
        """The Flower node key, for Flower's own client."""
        key = serialization.load_ssh_private_key(self.node_key, None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise CardRefused("identity: got another kind of node key, expected an EC key")
        return key

    def encode(self) -> bytes:
        """The secret file, for the owner's eyes only."""
        body = {
            "card": json.loads(self.card.encode(self.signing)),
            "signing": self.signing.to_bytes().hex(),
            "tls_key": self.tls_key.decode(),
            "node_key": self.node_key.decode(),
            "sealing": "" if self.sealing is None else self.sealing.to_bytes().hex(),
        }
        return json.dumps(body, indent=2).encode() + b"\n"

    @classmethod
    def decode(cls, data: bytes, kind: PartyKind) -> Self:
        """Reads what `encode` wrote.

        Raises:
            CardRefused: If it is malformed or of another kind.
        """
        try:
            raw = json.loads(data)
            card = Card.decode(json.dumps(raw["card"]).encode(), kind)
            signing = SigningKey.from_bytes(bytes.fromhex(raw["signing"]))
            sealing = SealKey.from_bytes(bytes.fromhex(raw["sealing"])) if raw["sealing"] else None
            return cls(card, signing, raw["tls_key"].encode(), raw["node_key"].encode(), sealing)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise CardRefused("identity: malformed key file; restore it from a backup") from error


def check_name(name: str) -> None:
    """Refuses a name that could be mistaken for another, or for a path.

    Raises:
        ValueError: If it is not 1 to 40 ASCII letters, digits and inner hyphens.
    """
    if not re.fullmatch(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,38}[A-Za-z0-9])?", name, re.ASCII):
        raise ValueError("expected 1 to 40 ASCII letters, digits and inner hyphens")


def _certificate(key: ec.EllipticCurvePrivateKey, name: str, at: dt.datetime) -> str:
    """A self-signed certificate, for server and client use."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    usage = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(at - dt.timedelta(days=1))
        .not_valid_after(at + dt.timedelta(days=365 * CERTIFICATE_YEARS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.ExtendedKeyUsage(usage), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(_PEM).decode()
