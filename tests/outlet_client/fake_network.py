"""HQ and an office in this process, over real mutual TLS, and one outlet's way to them.

They keep the rules that an outlet relies on: HQ opens no registration whose proof does not fit, and
its directory only grows; the office countersigns what HQ publishes, under numbers that go up.
"""

from __future__ import annotations

import datetime as dt
from concurrent import futures
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import grpc
import pytest
from typing_extensions import override

from outlet_client.services import Services
from privacy.directory import DirectoryChanges
from privacy.identity import Identity, PartyKind
from privacy.log_heads import SignedHead
from privacy.registrations import Registration, fresh_secret, nonce_of
from privacy.slot_keys import SlotKey
from privacy.tokens import Token, TokenShare, token, total_key
from server.office.notary import Notary
from server.wire import office_pb2, outlets_pb2, outlets_pb2_grpc
from server.wire.refusals import METADATA_KEY, STATUS
from tests.outlet_client.fake_registry import Slots
from tests.shelves import Press

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from outlet_client.people.directory_files import PublishedDirectory
    from outlet_client.people.people_store import People
    from privacy.budget import LedgerEntry
    from privacy.envelopes import SigningKey
    from privacy.identity import Card

MESSAGES = 8
"""What one submission holds."""

PHONES = [f"+65812345{i:02d}" for i in range(40)]


def refuse(context: grpc.ServicerContext, kind: str, message: str) -> None:
    refusal = office_pb2.Refusal(type=kind, message=message)
    context.set_trailing_metadata(((METADATA_KEY, refusal.SerializeToString()),))
    context.abort(STATUS.get(kind, grpc.StatusCode.INTERNAL), kind)


class Holder(outlets_pb2_grpc.TokensServicer):
    """A holder of the token key that counts what it is asked."""

    def __init__(self) -> None:
        self.share = TokenShare.generate()
        self.points: list[list[bytes]] = []
        self.quota = 10**6

    @override
    def Evaluate(
        self, request: outlets_pb2.EvaluateRequest, context: grpc.ServicerContext
    ) -> outlets_pb2.EvaluateResponse:
        self.points.append(list(request.points))
        if sum(map(len, self.points)) > self.quota:
            refuse(context, "QuotaReached", "O1: its quota is reached")
        made = self.share.evaluate(list(request.points))
        return outlets_pb2.EvaluateResponse(
            public_key=made.public, epoch=made.epoch, elements=made.elements, proof=made.proof
        )

    @property
    def asked(self) -> list[int]:
        return [len(points) for points in self.points]


class Relay(outlets_pb2_grpc.RelayServicer):
    """A relay for one outlet; `before` runs when a submission arrives, `after` when it is in."""

    def __init__(self) -> None:
        self.batch = 1
        self.taken: dict[int, list[list[bytes]]] = {}
        self.before: Callable[[], None] = lambda: None
        self.after: Callable[[grpc.ServicerContext], None] = lambda _: None
        self.refuses = False

    @override
    def OpenBatch(
        self, request: outlets_pb2.OpenBatchRequest, context: grpc.ServicerContext
    ) -> outlets_pb2.OpenBatchResponse:
        return outlets_pb2.OpenBatchResponse(batch=self.batch, messages=MESSAGES)

    @override
    def Submit(
        self, request: outlets_pb2.SubmitRequest, context: grpc.ServicerContext
    ) -> outlets_pb2.SubmitResponse:
        self.before()
        if self.refuses:
            refuse(context, "RegistrationRefused", "no")
        if request.batch != self.batch:
            refuse(context, "RegistrationRefused", "submission: another batch is open")
        mine = self.taken.setdefault(self.batch, [])
        if list(request.sealed) not in mine:
            mine.append(list(request.sealed))
        self.after(context)
        return outlets_pb2.SubmitResponse()


class Library(outlets_pb2_grpc.LibraryServicer):
    """What HQ publishes; `instead` is what it sends for a digest instead."""

    def __init__(self) -> None:
        self.directories: dict[str, PublishedDirectory] = {}
        self.instead: dict[str, bytes] = {}
        self.latest: bytes | None = None

    def directory(self, name: str, held: str) -> bytes:
        """What the office said of a directory, and what changed since the one that is held."""
        found = self.directories[name]
        before = self.directories.get(held)
        if before is None or before.number > found.number:
            body = found.directory.encode()
        else:
            body = DirectoryChanges.between(before.directory, found.directory).encode()
        return found.countersigned.encode() + body

    @override
    def Directory(
        self, request: outlets_pb2.DirectoryRequest, context: grpc.ServicerContext
    ) -> Iterator[outlets_pb2.Piece]:
        data = self.instead.get(request.digest)
        if data is None and request.digest not in self.directories:
            refuse(context, "DirectoryRefused", "directory: none of this digest")
        data = self.directory(request.digest, request.held) if data is None else data
        for start in range(0, len(data), 100):
            yield outlets_pb2.Piece(data=data[start : start + 100])

    @override
    def Book(
        self, request: outlets_pb2.BookRequest, context: grpc.ServicerContext
    ) -> Iterator[outlets_pb2.Piece]:
        if self.latest is not None:
            yield outlets_pb2.Piece(data=self.latest)


class Notaries(outlets_pb2_grpc.NotaryServicer):
    """The privacy office's notary, for the one outlet that there is; `before` runs at a call.

    `directory` and `book` are what it countersigned last for HQ.
    """

    def __init__(self, signing: SigningKey) -> None:
        self.notary = Notary("sqlite://", signing)
        self.shown: list[bytes] = []
        self.before: Callable[[grpc.ServicerContext], None] = lambda _: None
        self.directory = self.book = b""
        self.ledger: list[LedgerEntry] = []

    @override
    def Countersign(
        self, request: outlets_pb2.CountersignRequest, context: grpc.ServicerContext
    ) -> outlets_pb2.CountersignResponse:
        self.before(context)
        self.shown.append(request.digest)
        held = None
        if request.HasField("held"):
            held = SignedHead(request.held.payload, request.held.signature)
        at = dt.datetime.now(dt.UTC).timestamp()
        made = self.notary.countersign("outlet", request.digest, held, at)
        statement = outlets_pb2.LogStatement(payload=made.payload, signature=made.signature)
        return outlets_pb2.CountersignResponse(
            statement=statement, directory=self.directory, book=self.book
        )

    @override
    def Ledger(
        self, request: outlets_pb2.LedgerRequest, context: grpc.ServicerContext
    ) -> Iterator[outlets_pb2.LedgerPart]:
        for entry in self.ledger[request.after :]:
            yield outlets_pb2.LedgerPart(entries=[entry.encode()])


@dataclass
class FakeNetwork:
    """HQ, an office and one outlet's way to them."""

    hq: Identity
    office: Identity
    outlet: Identity
    hq_card: Card
    office_card: Card
    at_hq: Holder
    at_office: Holder
    relay: Relay
    library: Library
    services: Services
    slots: Slots = field(default_factory=Slots)

    @property
    def pinned(self) -> bytes:
        """The network's token key."""
        return total_key(self.at_hq.share.public, self.at_office.share.public)

    @property
    def press(self) -> Press:
        return Press(self.hq.signing, self.office.signing)

    @property
    def sealing_key(self) -> bytes:
        return bytes.fromhex(self.hq_card.sealing_key)

    def token(self, identifier: str) -> Token:
        return token(identifier, self.at_hq.share, self.at_office.share)

    def key(self, identifier: str) -> bytes:
        """The public slot key of a customer."""
        return SlotKey.of(self.token(identifier).raw).public

    def elsewhere(self, *identifiers: str) -> None:
        """Another outlet registered these."""
        for one in identifiers:
            self.slots.register(self.key(one), nonce_of(fresh_secret()))

    def withdrawn_elsewhere(self, *identifiers: str) -> None:
        """Another outlet withdrew these."""
        for one in identifiers:
            self.slots.blank(self.key(one), self.relay.batch)

    def opened(self, batch: int) -> list[Registration]:
        """What was handed in for a batch, as HQ opens it."""
        assert self.hq.sealing is not None
        return [
            Registration.opened(sealed, self.hq.sealing, self.pinned, batch)
            for submission in self.relay.taken.get(batch, [])
            for sealed in submission
        ]

    def apply(self) -> PublishedDirectory:
        """Closes the batch and publishes the directory with it."""
        batch = self.relay.batch
        for act in sorted(self.opened(batch), key=lambda one: one.act):  # withdrawals last
            self.slots.apply(act)
        self.relay.batch += 1
        return self.publish(batch)

    def publish(self, batch: int) -> PublishedDirectory:
        """The directory of the slots as they are, countersigned; the same where it was before."""
        made = self.slots.directory(batch)
        number = len(self.library.directories) + 1
        return self.library.directories.setdefault(made.digest, self.press.directory(made, number))

    def shown(self, people: People, batch: int | None = None) -> PublishedDirectory:
        """Publishes the directory, with the open batch where none is said, and follows it."""
        found = self.apply() if batch is None else self.publish(batch)
        people.follow(found.directory, found.number)
        return found


def serve(identity: Identity, outlet: Identity, *add: Callable[[grpc.Server], None]) -> Card:
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
    for one in add:
        one(server)
    credentials = grpc.ssl_server_credentials(
        [(identity.tls_key, identity.card.certificate.encode())],
        root_certificates=outlet.card.certificate.encode(),
        require_client_auth=True,
    )
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    SERVERS.append(server)
    return replace(identity.card, service_address=f"127.0.0.1:{port}")


SERVERS: list[grpc.Server] = []


def stop_servers() -> None:
    while SERVERS:
        SERVERS.pop().stop(None)


def serve_network(
    hq: Identity, office: Identity, outlet: Identity, at_hq: Holder, at_office: Holder
) -> tuple[FakeNetwork, Notaries]:
    """Serves what an outlet asks HQ and the office for."""
    relay, library, notaries = Relay(), Library(), Notaries(office.signing)
    hq_card = serve(
        hq,
        outlet,
        lambda server: outlets_pb2_grpc.add_TokensServicer_to_server(at_hq, server),
        lambda server: outlets_pb2_grpc.add_LibraryServicer_to_server(library, server),
    )
    office_card = serve(
        office,
        outlet,
        lambda server: outlets_pb2_grpc.add_TokensServicer_to_server(at_office, server),
        lambda server: outlets_pb2_grpc.add_RelayServicer_to_server(relay, server),
        lambda server: outlets_pb2_grpc.add_NotaryServicer_to_server(notaries, server),
    )
    services = Services.connect(outlet, hq_card, office_card, timeout=10)
    made = FakeNetwork(
        hq, office, outlet, hq_card, office_card, at_hq, at_office, relay, library, services
    )
    return made, notaries


def start_network() -> FakeNetwork:
    at_hq, at_office = Holder(), Holder()
    today = dt.datetime.now(dt.UTC)
    outlet = Identity.generate(PartyKind.OUTLET, "O1", "", today)
    hq, office = (
        Identity.generate(kind, kind.value, "", today, token_key=holder.share.public)
        for kind, holder in ((PartyKind.HQ, at_hq), (PartyKind.OFFICE, at_office))
    )
    return serve_network(hq, office, outlet, at_hq, at_office)[0]


@pytest.fixture
def network() -> Iterator[FakeNetwork]:
    made = start_network()
    yield made
    made.services.close()
    stop_servers()
