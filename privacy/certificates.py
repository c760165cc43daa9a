"""Certificates and node keys as files have them: made, read, and held against what we make.

There is no authority: a certificate is self-signed, and trusted because its card was imported.
"""

from __future__ import annotations

import datetime as dt

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CERTIFICATE_YEARS = 5
_NODE_KEY_BITS = 384
_PEM = serialization.Encoding.PEM


def read_certificate(pem: str) -> x509.Certificate:
    """A certificate from its PEM form."""
    return x509.load_pem_x509_certificate(pem.encode())


def check_certificate(pem: str) -> None:
    """Refuses what is not exactly one certificate that signs no others.

    Raises:
        ValueError: If so.
    """
    blocks = x509.load_pem_x509_certificates(pem.encode())
    if len(blocks) != 1 or pem.count("-----BEGIN") != 1:
        raise ValueError("expected one certificate")
    constraints = blocks[0].extensions.get_extension_for_class(x509.BasicConstraints).value
    if constraints.ca or not isinstance(blocks[0].public_key(), ec.EllipticCurvePublicKey):
        raise ValueError("expected a certificate that signs no others")


def check_node_key(text: str) -> None:
    """Refuses what is no P-384 node key in OpenSSH form.

    Raises:
        ValueError: If so.
    """
    key = serialization.load_ssh_public_key(text.encode())
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.key_size != _NODE_KEY_BITS:
        raise ValueError("expected a P-384 node key")


def node_key_pem(text: str) -> bytes:
    """A node key as Flower's link state knows it, from its OpenSSH form."""
    key = serialization.load_ssh_public_key(text.encode())
    return key.public_bytes(_PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def fresh_certificate(name: str, serial: int, at: dt.datetime) -> tuple[str, bytes]:
    """A fresh self-signed certificate and its key, both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    secret = key.private_bytes(
        _PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return _signed(key, name, serial, at), secret


def fresh_node_key() -> tuple[bytes, str]:
    """A fresh Flower node key: secret and public half, both in OpenSSH form."""
    node = ec.generate_private_key(ec.SECP384R1())
    secret = node.private_bytes(
        _PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = node.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    return secret, public.decode()


def _signed(key: ec.EllipticCurvePrivateKey, name: str, serial: int, at: dt.datetime) -> str:
    """A self-signed certificate, for server and client use.

    A renewed one has a subject of its own: of two with one subject, TLS may try the wrong one.
    """
    common = name if serial == 1 else f"{name}#{serial}"
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
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
