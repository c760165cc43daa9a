"""The outlet's connections to HQ's and the privacy office's services: gRPC, pinned TLS."""

from __future__ import annotations

import datetime as dt
import secrets
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, cast

import grpc

from outlet_client.errors import (
    CardsApart,
    QuotaSpent,
    ServiceBusy,
    ServiceRefused,
    ServiceUnreachable,
)
from outlet_client.moments import now
from privacy.budget import LedgerEntry
from privacy.errors import InvalidParameter
from privacy.identity import PartyKind
from privacy.log_heads import SignedHead
from privacy.tokens import Blinded, Evaluation, Token, blind, unblind
from server.wire import outlets_pb2, outlets_pb2_grpc
from server.wire.connections import CALLER_OPTIONS, REFUSED_FOR_NOW
from server.wire.handshakes import why_unreached
from server.wire.refusals import read_refusal
from server.wire.retries import patient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from privacy.identity import Card, Identity
    from privacy.keyring import Keyring

HQ, OFFICE = "HQ", "the privacy office"
POINTS_A_REQUEST = 1024
REPLACE_CARD = "`escapement-outlet peers replace FILE`, with its newest public.json"


class NotaryAnswer(NamedTuple):
    """What the privacy office answers about a log's head, unverified.

    Attributes:
        statement: The statement.
        directory: What the office countersigned last of a directory, `Countersigned.encode()`;
            empty before the first.
        book: The same of a book.
        loss: What it said last of registrations that HQ lost, likewise.
    """

    statement: SignedHead
    directory: bytes
    book: bytes
    loss: bytes = b""


class RelayBatch(NamedTuple):
    """The relay's open batch.

    Attributes:
        batch: Its number.
        messages: How many one submission must hold.
        epoch: Random, of the relay's store: after a loss it is another.
        last: The last batch of this epoch that this outlet handed in for; 0 where there is none.
    """

    batch: int
    messages: int
    epoch: bytes = b""
    last: int = 0


@dataclass(frozen=True, slots=True)
class Services:
    """What an outlet asks of HQ and of the privacy office.

    Attributes:
        timeout: Seconds for one call.
        clock: Says when a day's quota ends.
        parties: This outlet's keys, and by side the other's card: where a call fails, a certificate
            that is over, or is not taken, is named. None where nobody looks.
    """

    hq: grpc.Channel
    office: grpc.Channel
    timeout: float
    clock: Callable[[], dt.datetime] = field(default=now)
    parties: tuple[Identity, Mapping[str, Card]] | None = field(default=None, repr=False)

    @classmethod
    def connect(
        cls, identity: Identity, hq_card: Card, office_card: Card, timeout: float = 30.0
    ) -> Services:
        """Opens channels on which each side accepts the other's certificate only."""
        parties = (identity, {HQ: hq_card, OFFICE: office_card})
        hq, office = _channel(identity, hq_card), _channel(identity, office_card)
        return cls(hq, office, timeout, parties=parties)

    def close(self) -> None:
        """Closes both channels."""
        self.hq.close()
        self.office.close()

    def reach(self, which: str) -> None:
        """Waits until a side's pinned certificate answered.

        Raises:
            ServiceUnreachable: If it does not in time.
            CardsApart: If one side does not take the other's certificate.
            CertificateEnded: If a certificate is over.
        """
        self._check_dates(which)  # before it waits: nobody would answer
        channel = {HQ: self.hq, OFFICE: self.office}[which]
        ready = grpc.channel_ready_future(channel)
        try:
            ready.result(timeout=self.timeout)
        except grpc.FutureTimeoutError as error:
            ready.cancel()  # else its thread fails when the channel is closed
            self._look_at_certificates(which)
            raise ServiceUnreachable(which, f"no answer in {self.timeout:g} s") from error

    def tokens(self, identifiers: Sequence[str], pinned_total: bytes, pad_to: int) -> list[Token]:
        """Asks both holders for tokens, among dummies, in a random order.

        Args:
            identifiers: Whose, without repetitions.
            pinned_total: The network's token key, `Keyring.token_key`.
            pad_to: How many evaluations are asked for, whatever the number of identifiers.

        Returns:
            One token for each identifier, in order.

        Raises:
            InvalidParameter: If there are more identifiers than evaluations.
            TokenRefused: If a holder's answer does not verify under the pinned key.
            QuotaSpent: If a holder gives no more today.
            ServiceUnreachable: If one of them is.
        """
        if len(identifiers) > pad_to:
            raise InvalidParameter(
                f"evaluations: got {len(identifiers)} identifiers, expected at most {pad_to}"
            )
        padded = blind(identifiers) + [Blinded.dummy() for _ in range(pad_to - len(identifiers))]
        order = list(range(pad_to))
        secrets.SystemRandom().shuffle(order)
        found: dict[int, Token] = {}
        for start in range(0, pad_to, POINTS_A_REQUEST):
            places = order[start : start + POINTS_A_REQUEST]
            asked = [padded[place] for place in places]
            at_hq, at_office = self._evaluate(HQ, asked), self._evaluate(OFFICE, asked)
            made = unblind(asked, at_hq, at_office, pinned_total)
            found.update(zip(places, made, strict=True))
        return [found[place] for place in range(len(identifiers))]

    def open_batch(self) -> RelayBatch:
        """The relay's open batch."""
        with self._refusals(OFFICE):
            request = outlets_pb2.OpenBatchRequest()
            answer = self._relay.OpenBatch(request, timeout=self.timeout)
        return RelayBatch(answer.batch, answer.messages, answer.epoch, answer.last)

    def submit(self, batch: int, sealed: Sequence[bytes]) -> None:
        """Hands in one submission for the open batch.

        Raises:
            ServiceRefused: If the relay does not take it, such as for a batch that closed.
        """
        with self._refusals(OFFICE):
            request = outlets_pb2.SubmitRequest(batch=batch, sealed=sealed)
            self._relay.Submit(request, timeout=self.timeout)

    def countersign(self, digest: bytes, held: SignedHead | None) -> NotaryAnswer:
        """Asks the privacy office for a statement about the log's head, unverified.

        `held` is the last statement that is here; None before the first.

        Returns:
            It, or the office's last statement if that one is not here.

        Raises:
            ServiceRefused: If the office makes none.
            ServiceUnreachable: If it is.
        """
        request = outlets_pb2.CountersignRequest(digest=digest)
        if held is not None:
            request.held.payload, request.held.signature = held.payload, held.signature
        with self._refusals(OFFICE):
            stub = outlets_pb2_grpc.NotaryStub(self.office)
            answer = stub.Countersign(request, timeout=self.timeout)
        made = SignedHead(answer.statement.payload, answer.statement.signature)
        return NotaryAnswer(made, answer.directory, answer.book, answer.loss)

    def ledger(self, after: int) -> list[LedgerEntry]:
        """The entries of the office's ledger after the first so many, each by itself verified.

        Raises:
            LedgerBroken: If one is malformed.
            ServiceRefused: If the office gives none.
            ServiceUnreachable: If it is.
        """
        with self._refusals(OFFICE):
            stub = outlets_pb2_grpc.NotaryStub(self.office)
            parts = list(stub.Ledger(outlets_pb2.LedgerRequest(after=after), timeout=self.timeout))
        return [LedgerEntry.decode(entry) for part in parts for entry in part.entries]

    def directory(self, name: str, held: str) -> bytes:
        """The directory with this digest as HQ publishes it, unverified.

        Args:
            name: Its digest.
            held: Digest of the directory that is here, "" for none: what changed is enough then.

        Returns:
            What the office said of it, and the directory whole or what changed.

        Raises:
            ServiceRefused: If HQ has none.
            ServiceUnreachable: If it is.
        """
        with self._refusals(HQ):
            request = outlets_pb2.DirectoryRequest(digest=name, held=held)
            pieces = self._library.Directory(request, timeout=self.timeout)
            return b"".join(piece.data for piece in pieces)

    def book(self) -> bytes | None:
        """The latest published band book, unverified; None where there is none."""
        with self._refusals(HQ):
            pieces = self._library.Book(outlets_pb2.BookRequest(), timeout=self.timeout)
            return b"".join(piece.data for piece in pieces) or None

    def _evaluate(self, which: str, asked: Sequence[Blinded]) -> Evaluation:
        stub = outlets_pb2_grpc.TokensStub({HQ: self.hq, OFFICE: self.office}[which])
        request = outlets_pb2.EvaluateRequest(points=[one.point for one in asked])
        with self._refusals(which):
            answer = stub.Evaluate(request, timeout=self.timeout)
        return Evaluation(answer.public_key, answer.epoch, tuple(answer.elements), answer.proof)

    @contextmanager
    def _refusals(self, which: str) -> Iterator[None]:
        """Raises what the other side refused; a certificate that is why is named."""
        try:
            with _refusals(which, self.clock):
                yield
        except ServiceBusy:
            raise
        except ServiceUnreachable:
            self._look_at_certificates(which)
            raise

    def _check_dates(self, which: str) -> None:
        """Refuses a certificate that is over, which the transport only calls unreachable.

        Raises:
            CertificateEnded: If one is.
        """
        if self.parties is not None:
            own, others = self.parties
            own.card.check_dates(self.clock(), own=True)
            others[which].check_dates(self.clock())

    def _look_at_certificates(self, which: str) -> None:
        """Says of a side that was not reached where certificates are why.

        Raises:
            CertificateEnded: If one is over.
            CardsApart: If one side does not take the other's.
        """
        self._check_dates(which)
        if self.parties is not None:
            own, others = self.parties
            if why := unreached(own, others[which]):
                raise CardsApart(which, why)

    @property
    def _relay(self) -> outlets_pb2_grpc.RelayStub:
        return outlets_pb2_grpc.RelayStub(self.office)

    @property
    def _library(self) -> outlets_pb2_grpc.LibraryStub:
        return outlets_pb2_grpc.LibraryStub(self.hq)


def unreached(identity: Identity, card: Card, seconds: float = 5.0) -> str:
    """Why services were not reached, as far as certificates are why; "" where they are not."""
    accepted, own = "".join(card.accepted(now())), identity.card.certificate
    return why_unreached(
        card.service_address, accepted, own, identity.tls_key, seconds, replace=REPLACE_CARD
    )


def _channel(identity: Identity, card: Card) -> grpc.Channel:
    credentials = grpc.ssl_channel_credentials(
        root_certificates="".join(card.accepted(now())).encode(),
        private_key=identity.tls_key,
        certificate_chain=identity.card.certificate.encode(),
    )
    name = f"{card.name}.{card.kind}"  # the certificate is pinned; its name is its own
    options = [("grpc.ssl_target_name_override", name), *CALLER_OPTIONS]
    return patient(grpc.secure_channel(card.service_address, credentials, options))


@contextmanager
def _refusals(which: str, clock: Callable[[], dt.datetime]) -> Iterator[None]:
    """Raises what the other side refused, as an error of this side."""
    try:
        yield
    except grpc.RpcError as error:
        refusal = read_refusal(error)
        if refusal is None:
            code = cast("grpc.Call", error).code()
            slow = code is grpc.StatusCode.CANCELLED
            why = "ended there: too slow" if slow else str(code.name)
            raise ServiceUnreachable(which, why) from error
        if refusal.type in REFUSED_FOR_NOW:
            raise ServiceBusy(which, refusal.message) from error
        if refusal.type == "OfficePaused":
            raise ServiceUnreachable(which, "paused") from error
        if refusal.type == "QuotaReached":
            midnight = dt.datetime.combine(clock().astimezone(dt.UTC), dt.time(), dt.UTC)
            until = midnight + dt.timedelta(days=1)
            raise QuotaSpent(which, refusal.message, until) from error
        raise ServiceRefused(which, refusal.type, refusal.message) from error


def services_of(ring: Keyring, timeout: float = 30.0) -> Services:
    """Connects to HQ's and the office's services as the outlet whose keyring this is."""
    hq, office = ring.peer(PartyKind.HQ), ring.peer(PartyKind.OFFICE)
    return Services.connect(ring.identity(), hq, office, timeout)
