"""A mail server on this machine, with a certificate of its own: what it was sent, and by whom."""

from __future__ import annotations

import ssl
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from typing import TYPE_CHECKING

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from sandbox.enrolment import free_port
from tests.outlet_client.localhost_certificate import write_certificate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import EmailMessage
    from pathlib import Path

    from aiosmtpd.smtp import SMTP, Envelope, Session

USER, PASSWORD = "night", "long-and-secret"
MEI, BEN = "mei@shop.example", "ben@shop.example"


@dataclass
class MailServer:
    """What a server was sent, and what it refuses; `handle_*` are aiosmtpd's.

    Attributes:
        mails: For whom, and what; no server took them that was not signed in to, where it asks.
        logins: User and password of all who tried.
        over_tls: For each mail whether it came by STARTTLS.
        greetings: For each mail what the sender's machine called itself.
        refused: Recipients that it does not know.
    """

    port: int
    mails: list[tuple[list[str], EmailMessage]] = field(default_factory=list)
    logins: list[tuple[str, str]] = field(default_factory=list)
    over_tls: list[bool] = field(default_factory=list)
    greetings: list[object] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: object
    ) -> str:
        if address in self.refused:
            return f"550 5.1.1 <{address}>: no such person here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        mail = message_from_bytes(envelope.content, policy=policy.default)
        self.mails.append((list(envelope.rcpt_tos), mail))
        self.over_tls.append(session.ssl is not None)
        self.greetings.append(session.host_name)
        return "250 OK"

    def sign_in(
        self, _server: SMTP, _session: Session, _envelope: Envelope, _how: str, data: object
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append((data.login.decode(), data.password.decode()))
        return AuthResult(success=self.logins[-1] == (USER, PASSWORD), handled=False)


@contextmanager
def mail_server(folder: Path, security: str, *, asks: bool = True) -> Iterator[MailServer]:
    """Serves mail with STARTTLS, with TLS from the first byte, or with none.

    Args:
        folder: Where ca.pem and key.pem go, for `localhost`.
        security: As the outlet's settings have it.
        asks: Whether it wants user and password.
    """
    made = MailServer(free_port())
    context = _context(folder)
    control = Controller(
        made,
        hostname="127.0.0.1",
        port=made.port,
        ssl_context=context if security == "tls" else None,
        tls_context=context if security == "starttls" else None,
        require_starttls=security == "starttls",
        authenticator=made.sign_in,
        auth_required=asks,
        auth_require_tls=security == "starttls",
    )
    control.start()
    try:
        yield made
    finally:
        control.stop()


def _context(folder: Path) -> ssl.SSLContext:
    write_certificate(folder / "ca.pem", folder / "key.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "ca.pem", folder / "key.pem")
    return context
