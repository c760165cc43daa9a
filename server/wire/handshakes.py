"""One TLS handshake with a gRPC service: whether each side takes the other's certificate.

gRPC tells its caller of all this no more than that the service is unavailable.
"""

from __future__ import annotations

import socket
import ssl
import tempfile
from pathlib import Path

_EXPIRED = 10
"""OpenSSL's code for a certificate that is over."""


class HandshakeFailed(Exception):
    """A handshake that did not end in both sides taking the other's certificate.

    Attributes:
        refused: Whether the other side answered, and did not take the caller's certificate.
        stale: Whether it shows another certificate than its card that the caller has.
    """

    def __init__(self, why: str, *, refused: bool = False, stale: bool = False) -> None:
        super().__init__(why)
        self.refused = refused
        self.stale = stale


def shake_hands(
    address: str,
    accepted: str,
    certificate: str,
    key: bytes,
    seconds: float = 5.0,
    *,
    replace: str = "import its newest public file by `replace`",
) -> None:
    """Connects to a gRPC service, and leaves once it has spoken.

    Args:
        address: Its `host:port`.
        accepted: The certificates that it may show, PEM.
        certificate: The caller's, PEM.
        key: The certificate's, PEM.
        seconds: For each step.
        replace: What the caller does where its card of that side is an old one.

    Raises:
        HandshakeFailed: If nobody listens there, or one side does not take the other's certificate.
    """
    host, _, port = address.rpartition(":")
    context = _context(accepted, certificate, key)
    try:
        with (
            socket.create_connection((host, int(port)), timeout=seconds) as raw,
            context.wrap_socket(raw) as secure,
        ):
            if not secure.recv(1):  # in TLS 1.3 a refusal comes after the handshake
                raise HandshakeFailed(
                    f"{address}: it takes no connection under this certificate", refused=True
                )
    except ssl.SSLCertVerificationError as error:
        if error.verify_code == _EXPIRED:
            raise HandshakeFailed(f"{address}: the certificate that it shows is over") from error
        raise HandshakeFailed(
            f"{address} shows another certificate than its card here: {replace}", stale=True
        ) from error
    except ssl.SSLError as error:
        reason = (error.reason or "").lower()
        what = "is over" if "expired" in reason else "is on no list there"
        text = f"{address}: this side's certificate {what}"
        raise HandshakeFailed(text, refused=True) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise HandshakeFailed(f"{address}: {reason}; does it listen there?") from error


def why_unreached(
    address: str,
    accepted: str,
    certificate: str,
    key: bytes,
    seconds: float = 5.0,
    *,
    replace: str = "import its newest public file by `replace`",
) -> str:
    """Why a call did not reach a service, as far as certificates are why; "" where they are not.

    Args:
        address: See `shake_hands`, as for the others.
        accepted: The certificates that it may show, PEM.
        certificate: The caller's, PEM.
        key: The certificate's, PEM.
        seconds: For each step.
        replace: What the caller does where its card of that side is an old one.
    """
    try:
        shake_hands(address, accepted, certificate, key, seconds, replace=replace)
    except HandshakeFailed as error:
        return str(error) if error.refused or error.stale else ""
    return ""


def _context(accepted: str, certificate: str, key: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # the certificate itself is pinned
    context.load_verify_locations(cadata=accepted)
    context.set_alpn_protocols(["h2"])
    with tempfile.TemporaryDirectory() as folder:  # the ssl module reads keys from files only
        pem = Path(folder) / "key.pem"
        pem.touch(mode=0o600)
        pem.write_bytes(certificate.encode() + key)
        context.load_cert_chain(pem)
    return context
