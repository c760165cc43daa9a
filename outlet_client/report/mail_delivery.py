"""Sends one mail over SMTP within a time.

Invariant: neither text nor password leaves this machine before TLS stands and the server's
certificate is good. No error repeats what the server said, which may quote an address.
"""

from __future__ import annotations

import ipaddress
import queue
import smtplib
import socket
import ssl
import threading
from contextlib import suppress
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from typing import TYPE_CHECKING

from outlet_client.errors import OutletError
from outlet_client.moments import now

if TYPE_CHECKING:
    from outlet_client.settings import MailSettings

PATIENCE = 20.0
"""Seconds for all of a mail: name, connection, TLS, answers."""

_GREETING = "[127.0.0.1]"
"""What this machine calls itself: its own name would tell where it is, and may be slow to find."""

_OTHERS = 0o077
"""What a password's file may allow to nobody."""


class MailFailed(OutletError):
    """A mail that was not sent, to some at least."""

    def __init__(self, why: str) -> None:
        super().__init__(f"mail: {why}")


def compose_mail(settings: MailSettings, subject: str, text: str) -> EmailMessage:
    """A mail that no machine answers."""
    message = EmailMessage()
    message["From"], message["To"] = settings.sender, ", ".join(settings.to)
    message["Subject"], message["Date"] = subject, format_datetime(now())
    message["Message-ID"] = make_msgid(domain=settings.sender.rpartition("@")[2])
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text)
    return message


def deliver(settings: MailSettings, message: EmailMessage, patience: float = PATIENCE) -> None:
    """Hands a mail to the server.

    Args:
        settings: Which server, how, and to whom.
        message: What is sent.
        patience: Seconds for all of it.

    Raises:
        MailFailed: If it was not taken for everybody in that time.
    """
    password, context = _password(settings), _tls(settings)
    done: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()

    def work() -> None:
        try:
            _hand_over(settings, message, password, context, 2 * patience)
        except Exception as error:  # noqa: BLE001  (told by the caller's thread)
            done.put(error)
        else:
            done.put(None)

    # A thread, since a slow name server or one byte a second pass every limit of a socket; that
    # one is longer, and only ends a thread that nobody waits for any more.
    threading.Thread(target=work, daemon=True).start()
    try:
        error = done.get(timeout=patience)
    except queue.Empty:
        error = TimeoutError()
    if error is not None:
        raise error if isinstance(error, MailFailed) else MailFailed(_why(settings, error))


def _hand_over(
    settings: MailSettings,
    message: EmailMessage,
    password: str | None,
    context: ssl.SSLContext,
    silence: float,
) -> None:
    """Hands a mail over; a server that says nothing for `silence` seconds is left."""
    smtp = _connect(settings, context, silence)
    try:
        if settings.user is not None and password is not None:
            smtp.login(settings.user, password)
        to = list(settings.to)
        refused = smtp.send_message(message, from_addr=settings.sender, to_addrs=to)
        if refused:
            raise smtplib.SMTPRecipientsRefused(refused)
        with suppress(smtplib.SMTPException, OSError):  # it has taken the mail
            smtp.quit()
    finally:
        smtp.close()


def _connect(settings: MailSettings, context: ssl.SSLContext, silence: float) -> smtplib.SMTP:
    host, port = settings.host, settings.server_port
    if settings.security == "tls":
        return smtplib.SMTP_SSL(host, port, _GREETING, timeout=silence, context=context)
    smtp = smtplib.SMTP(host, port, _GREETING, timeout=silence)
    try:
        _secure(smtp, settings, context)
    except BaseException:
        smtp.close()
        raise
    return smtp


def _secure(smtp: smtplib.SMTP, settings: MailSettings, context: ssl.SSLContext) -> None:
    """Has TLS begin, or makes sure that no network is between.

    Raises:
        MailFailed: If the server offers no TLS, or is not this machine where there is to be none.
    """
    host = settings.host
    if settings.security == "starttls":
        smtp.ehlo_or_helo_if_needed()
        if not smtp.has_extn("starttls"):
            raise MailFailed(
                f"{host}:{settings.server_port} offers no STARTTLS; expected it, or security "
                '"tls" on its own port'
            )
        smtp.starttls(context=context)
    elif smtp.sock is None or not _is_own(smtp.sock):
        raise MailFailed(f'{host} is another machine; security "none" is for this one only')


def _is_own(connection: socket.socket) -> bool:
    """Whether a connection ends at this machine, whatever its name stands for."""
    return ipaddress.ip_address(connection.getpeername()[0]).is_loopback


def _password(settings: MailSettings) -> str | None:
    file = settings.password_file
    if file is None:
        return None
    try:
        if file.stat().st_mode & _OTHERS:
            raise MailFailed(f"{file.name}: others can read it; run chmod 600 {file.name}")
        found = file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise MailFailed(f"{file.name}: {error.strerror}; expected the password in it") from error
    except UnicodeDecodeError:
        found = ""
    if not found or not f"{settings.user}{found}".isascii():
        raise MailFailed(f"{file.name}: expected a password and a user of plain ASCII characters")
    return found


def _tls(settings: MailSettings) -> ssl.SSLContext:
    file = settings.ca_file
    try:
        return ssl.create_default_context(cafile=file)
    except OSError as error:  # also what is no certificate
        name = file.name if file else "this machine's authorities"
        raise MailFailed(f"{name}: cannot be read; expected certificates, PEM") from error


def _why(settings: MailSettings, error: Exception) -> str:
    """Why a server took no mail: the kind of its answer, and nothing of its text."""
    said = _answer(settings, error) or _connection_fault(error) or type(error).__name__
    return f"{settings.host}:{settings.server_port}: {said}"


def _answer(settings: MailSettings, error: Exception) -> str | None:
    """What an SMTP server answered."""
    match error:
        case smtplib.SMTPAuthenticationError():
            return f"refuses user or password ({error.smtp_code}); see mail.user, password_file"
        case smtplib.SMTPNotSupportedError():
            return "takes no user and password over this connection; see mail.user and security"
        case smtplib.SMTPRecipientsRefused():
            return _refused(settings, error)
        case smtplib.SMTPServerDisconnected():
            return "hung up; see mail.port and security"
        case smtplib.SMTPResponseException():
            what = "mail.sender" if isinstance(error, smtplib.SMTPSenderRefused) else "the mail"
            return f"refuses {what} ({error.smtp_code})"
        case _:
            return None


def _connection_fault(error: Exception) -> str | None:
    """Why no server was reached, or no TLS came about."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"certificate not trusted ({error.verify_message}); see mail.host and ca_file"
        case ssl.SSLError():
            return "no TLS came about; see mail.port and security"
        case TimeoutError():
            return "not done in time; see mail.host and port, and whether a firewall lets it out"
        case socket.gaierror():
            return "no such host; see mail.host"
        case OSError() if error.errno is not None:
            return f"{error.strerror}; see mail.host and port"
        case _:
            return None


def _refused(settings: MailSettings, error: smtplib.SMTPRecipientsRefused) -> str:
    """Who was refused, by place in `mail.to`, and how."""
    codes = [
        f"number {place} ({error.recipients[one][0]})"
        for place, one in enumerate(settings.to, 1)
        if one in error.recipients
    ]
    return f"refuses {', '.join(codes)} of {len(settings.to)} in mail.to"
