"""Who called: a certificate is looked up on the list as it is now, at every handshake and call.

So an outlet that was just added needs no restart, and one that was taken off is refused at once,
on a channel that it still holds open too. Certificates are compared whole, byte by byte. Of a party
whose card was renewed both certificates are taken, until the end that its card states. A file that
is no card refuses its own party, and is named in the log once.
"""

from __future__ import annotations

import datetime as dt
import logging
import os
import ssl
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import grpc

from server.holder.errors import NotAllowed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from privacy.identity import Card, Identity, PartyKind
    from privacy.keyring import Keyring

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who made a call.

    Attributes:
        kind: What it is.
        name: Its name, unique among its kind.
    """

    kind: PartyKind
    name: str


@dataclass(frozen=True, slots=True)
class _List:
    """The cards of a keyring at one moment, read once.

    Attributes:
        files: What tells that moment from another: name, inode, time and size of each file.
        cards: By kind and name.
        callers: By certificate, DER.
        certificates: All of them, PEM.
        until: The first moment at which one of them is taken no more.
    """

    files: frozenset[tuple[str, int, int, int]]
    cards: Mapping[PartyKind, Mapping[str, Card]]
    callers: Mapping[bytes, Caller]
    certificates: bytes
    until: dt.datetime


class Peers:
    """A keyring's cards of some kinds, read again whenever its folder changes."""

    def __init__(
        self,
        ring: Keyring,
        *kinds: PartyKind,
        clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        """Watches a keyring.

        Args:
            ring: The holder's.
            kinds: Who may call at all.
            clock: Says which of a renewed card's certificates are taken.
        """
        self._ring, self._kinds, self._clock = ring, kinds, clock
        self._lock = threading.Lock()
        self._last: _List | None = None

    def cards(self, kind: PartyKind) -> Mapping[str, Card]:
        """The trusted cards of a kind, by name."""
        return self._now().cards[kind]

    def certificates(self) -> bytes:
        """Every certificate that may call, PEM; nothing where there is none."""
        return self._now().certificates

    def caller(self, context: grpc.ServicerContext) -> Caller:
        """Who made a call.

        Raises:
            NotAllowed: If the caller's certificate is on no list, any more or yet.
        """
        proven = cast("Mapping[str, Sequence[bytes]]", context.auth_context() or {})
        shown = proven.get("x509_pem_cert", ())
        known = self._now().callers.get(_der(shown[0].decode())) if shown else None
        if known is None:
            raise NotAllowed("caller: its certificate is on no list here; ask to be put on it")
        return known

    def require(self, context: grpc.ServicerContext, kind: PartyKind) -> Caller:
        """Who made a call that only one kind of party may make.

        Raises:
            NotAllowed: If somebody else made it.
        """
        caller = self.caller(context)
        if caller.kind is not kind:
            raise NotAllowed(f"caller: got {caller.kind} {caller.name}, expected one of {kind}")
        return caller

    def _now(self) -> _List:
        with self._lock:
            files = self._files()
            at = self._clock()
            if self._last is None or self._last.files != files or at > self._last.until:
                self._last = self._read(files, at)
            return self._last

    def _files(self) -> frozenset[tuple[str, int, int, int]]:
        try:
            with os.scandir(self._ring.folder / "peers") as entries:
                found = [(entry.name, entry.stat()) for entry in entries]
        except FileNotFoundError:  # nobody was ever added, or one was taken off this moment
            return frozenset()
        return frozenset((name, s.st_ino, s.st_mtime_ns, s.st_size) for name, s in found)

    def _read(self, files: frozenset[tuple[str, int, int, int]], at: dt.datetime) -> _List:
        if self._last is None or self._last.files != files:
            for unreadable in self._ring.unreadable(*self._kinds):
                _LOG.error("%s", unreadable)
        cards = {kind: self._ring.peers(kind) for kind in self._kinds}
        callers: dict[bytes, Caller] = {}
        certificates: list[str] = []
        ends = [dt.datetime.max.replace(tzinfo=dt.UTC)]
        for kind, named in cards.items():
            for name, card in named.items():
                accepted = card.accepted(at)
                ends += [dt.datetime.fromisoformat(card.until)] if len(accepted) > 1 else []
                certificates += accepted
                for certificate in accepted:
                    callers.setdefault(_der(certificate), Caller(kind, name))
        return _List(files, cards, callers, "".join(certificates).encode(), min(ends))


def tls_credentials(identity: Identity, peers: Peers) -> grpc.ServerCredentials:
    """Mutual TLS whose list of accepted certificates is read again at every handshake."""
    own = identity.card.certificate.encode()

    def configuration() -> grpc.ServerCertificateConfiguration:
        # An empty list would mean the system's authorities; nobody else has our own key.
        roots = peers.certificates() or own
        return grpc.ssl_server_certificate_configuration([(identity.tls_key, own)], roots)

    return grpc.dynamic_ssl_server_credentials(
        configuration(), configuration, require_client_authentication=True
    )


def _der(pem: str) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pem.strip())
