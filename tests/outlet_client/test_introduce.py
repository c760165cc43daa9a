"""A night's introductions, against HQ and an office in this process, over real mutual TLS."""

from __future__ import annotations

import datetime as dt
from concurrent import futures
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import grpc
import pytest
from typing_extensions import override

from outlet_client.errors import QuotaSpent, ServiceRefused, ServiceUnreachable
from outlet_client.people.people_store import People, State
from outlet_client.people.registration import Introduced, introduce
from outlet_client.services import HQ, OFFICE, Services
from outlet_client.settings import OutletFile
from privacy.errors import InvalidParameter
from privacy.identity import Identity, PartyKind
from privacy.log_heads import SignedHead
from privacy.registrations import Registration, RegistrationAct, nonce_of, tag_of
from privacy.tokens import Token, TokenRefused, TokenShare, token, total_key
from server.office.notary import Notary
from server.wire import office_pb2, outlets_pb2, outlets_pb2_grpc
from server.wire.refusals import METADATA_KEY, STATUS
from tests.shelves import make_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from privacy.directory import Directory
    from privacy.envelopes import SigningKey
    from privacy.identity import Card

NOW = dt.datetime(2026, 3, 1, 2, tzinfo=dt.UTC)
MESSAGES, EVALUATIONS = 8, 16
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
    """A relay for one outlet; `before` runs when a submission arrives."""

    def __init__(self) -> None:
        self.batch = 1
        self.taken: dict[int, list[list[bytes]]] = {}
        self.before: Callable[[], None] = lambda: None
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
        return outlets_pb2.SubmitResponse()


class Library(outlets_pb2_grpc.LibraryServicer):
    """What HQ publishes."""

    def __init__(self) -> None:
        self.directories: dict[str, bytes] = {}
        self.latest: bytes | None = None

    @override
    def Directory(
        self, request: outlets_pb2.DirectoryRequest, context: grpc.ServicerContext
    ) -> Iterator[outlets_pb2.Piece]:
        if request.digest not in self.directories:
            refuse(context, "DirectoryRefused", "directory: none of this digest")
        data = self.directories[request.digest]
        for start in range(0, len(data), 100):
            yield outlets_pb2.Piece(data=data[start : start + 100])

    @override
    def Book(
        self, request: outlets_pb2.BookRequest, context: grpc.ServicerContext
    ) -> Iterator[outlets_pb2.Piece]:
        if self.latest is not None:
            yield outlets_pb2.Piece(data=self.latest)


class Notaries(outlets_pb2_grpc.NotaryServicer):
    """The privacy office's notary, for the one outlet that there is; `before` runs at a call."""

    def __init__(self, signing: SigningKey) -> None:
        self.notary = Notary("sqlite://", signing)
        self.shown: list[bytes] = []
        self.before: Callable[[grpc.ServicerContext], None] = lambda _: None

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
        return outlets_pb2.CountersignResponse(statement=statement)


@dataclass
class FakeNetwork:
    """HQ, an office and one outlet's way to them."""

    hq: Identity
    outlet: Identity
    hq_card: Card
    office_card: Card
    at_hq: Holder
    at_office: Holder
    relay: Relay
    library: Library
    services: Services
    slots: dict[bytes, bytes] = field(default_factory=dict)

    @property
    def pinned(self) -> bytes:
        return total_key(self.at_hq.share.public, self.at_office.share.public)

    def token(self, identifier: str) -> Token:
        return token(identifier, self.at_hq.share, self.at_office.share)

    def apply(self) -> Directory:
        """Closes the batch and publishes the directory with it."""
        assert self.hq.sealing is not None
        for submission in self.relay.taken.get(self.relay.batch, []):
            for sealed in submission:
                act = Registration.opened(sealed, self.hq.sealing, self.relay.batch)
                if act.act is RegistrationAct.REGISTER:
                    self.slots.setdefault(act.token, act.proof)
                elif act.act is RegistrationAct.WITHDRAW and self.slots[act.token] == nonce_of(
                    act.proof
                ):
                    del self.slots[act.token]
        self.relay.batch += 1
        return self.publish(self.relay.batch - 1)

    def publish(self, batch: int) -> Directory:
        tags = [tag_of(nonce) for nonce in self.slots.values()]
        made = make_directory(map(Token, self.slots), batch=batch, tags=tags)
        self.library.directories[made.digest] = made.encode()
        return made


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


def start_network() -> FakeNetwork:
    at_hq, at_office, relay, library = Holder(), Holder(), Relay(), Library()
    today = dt.datetime.now(dt.UTC)
    outlet = Identity.generate(PartyKind.OUTLET, "O1", "", today)
    hq, office = (
        Identity.generate(kind, kind.value, "", today, token_key=holder.share.public)
        for kind, holder in ((PartyKind.HQ, at_hq), (PartyKind.OFFICE, at_office))
    )
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
    )
    services = Services.connect(outlet, hq_card, office_card, timeout=10)
    return FakeNetwork(hq, outlet, hq_card, office_card, at_hq, at_office, relay, library, services)


@pytest.fixture
def network() -> Iterator[FakeNetwork]:
    made = start_network()
    yield made
    made.services.close()
    while SERVERS:
        SERVERS.pop().stop(None)


class Nights:
    """An outlet's nights."""

    def __init__(self, network: FakeNetwork, home: Path) -> None:
        self.network = network
        self.now = NOW
        self.people = People(f"sqlite:///{home / 'outlet.db'}", b"s" * 32, lambda: self.now)
        self.settings = OutletFile(ledger=home / "l.csv", evaluations_a_night=EVALUATIONS)

    def consent(self, *phones: str) -> None:
        for phone in phones:
            self.people.record_consent(self.key(phone), "n", "mei", self.now)
            self.now += dt.timedelta(seconds=1)

    def key(self, phone: str) -> str:
        return self.people.local_key(f"tel:{phone}")

    def introduce(self, pinned: bytes | None = None) -> Introduced:
        return introduce(
            self.people,
            self.network.services,
            {self.key(phone): f"tel:{phone}" for phone in PHONES},
            self.settings,
            self.network.hq_card,
            pinned or self.network.pinned,
        )

    def run(self) -> tuple[int, int, int, int]:
        done = self.introduce()
        assert done.failed is None
        return done.evaluated, done.registered, done.withdrawn, done.waiting

    def night(self) -> tuple[int, int, int, int]:
        """Runs a night: introduces, and follows the directory that comes of it."""
        done = self.run()
        self.people.follow(self.network.apply())
        self.now += dt.timedelta(days=1)
        return done

    def state(self, phone: str) -> State:
        person = self.people.person(self.key(phone))
        assert person is not None
        return person.state


@pytest.fixture
def nights(network: FakeNetwork, tmp_path: Path) -> Nights:
    return Nights(network, tmp_path)


def test_a_night_introduces_those_who_consented_and_nobody_else(
    nights: Nights, network: FakeNetwork
) -> None:
    nights.consent(*PHONES[:3])
    assert nights.night() == (3, 3, 0, 0)
    assert set(network.slots) == {network.token(f"tel:{phone}").raw for phone in PHONES[:3]}
    assert nights.people.counts()[State.LISTED] == 3


@pytest.mark.parametrize("new", [0, 1, MESSAGES, EVALUATIONS, 40])
def test_the_numbers_that_others_see_are_the_same_whatever_happened(
    nights: Nights, network: FakeNetwork, new: int
) -> None:
    nights.consent(*PHONES[:new])
    for _ in range(2):
        nights.night()
    for holder in (network.at_hq, network.at_office):
        assert holder.asked == [EVALUATIONS, EVALUATIONS]
        assert all(len(set(points)) == EVALUATIONS for points in holder.points)
    assert [len(one) for ones in network.relay.taken.values() for one in ones] == [MESSAGES] * 2


def test_what_does_not_fit_waits_for_the_next_nights(nights: Nights) -> None:
    nights.consent(*PHONES)
    assert nights.night() == (EVALUATIONS, MESSAGES, 0, 32)
    assert nights.night() == (EVALUATIONS, MESSAGES, 0, 24)
    assert nights.night() == (8, MESSAGES, 0, 16)
    assert nights.night() == (0, MESSAGES, 0, 8)
    assert nights.night() == (0, MESSAGES, 0, 0)
    assert nights.night() == (0, 0, 0, 0)
    assert nights.people.counts()[State.LISTED] == 40


def test_a_second_run_in_a_night_asks_for_nothing(nights: Nights, network: FakeNetwork) -> None:
    nights.consent(*PHONES[:2])
    assert nights.run() == (2, 2, 0, 0)
    nights.consent(PHONES[5])
    assert nights.run() == (0, 0, 0, 1)
    assert network.at_hq.asked == [EVALUATIONS]
    assert len(network.relay.taken[1]) == 1


def test_a_kill_after_the_submission_arrived_repeats_the_same_bytes(
    nights: Nights, network: FakeNetwork
) -> None:
    def killed() -> None:
        raise KeyboardInterrupt

    nights.consent(PHONES[0])
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(People, "submitted", lambda _self, _batch: killed())
        with pytest.raises(KeyboardInterrupt):
            nights.run()
    assert nights.state(PHONES[0]) is State.EVALUATED
    assert nights.run() == (0, 1, 0, 0)
    assert len(network.relay.taken[1]) == 1
    assert nights.state(PHONES[0]) is State.SENT


def test_a_kill_before_the_submission_arrived_sends_the_same_secret_next_night(
    nights: Nights, network: FakeNetwork
) -> None:
    nights.consent(PHONES[0])
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Services, "submit", lambda *_args: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            nights.run()
    stored = nights.people.submission(1, MESSAGES, bytes.fromhex(network.hq_card.sealing_key))
    assert stored is not None
    assert network.hq.sealing is not None
    nonces = {Registration.opened(one, network.hq.sealing, 1).proof for one in stored}
    nights.people.follow(network.apply())
    nights.now += dt.timedelta(days=1)
    nights.night()
    assert set(network.slots.values()) <= nonces
    assert nights.state(PHONES[0]) is State.LISTED


def test_a_batch_that_closes_in_between_gets_the_same_secrets_in_the_next(
    nights: Nights, network: FakeNetwork
) -> None:
    def close_once() -> None:
        network.relay.before = lambda: None
        network.relay.batch += 1

    network.relay.before = close_once
    nights.consent(PHONES[0])
    assert nights.run() == (1, 1, 0, 0)
    assert list(network.relay.taken) == [2]
    nights.people.follow(network.apply())
    assert nights.state(PHONES[0]) is State.LISTED


def test_a_relay_that_refuses_the_open_batch_ends_the_attempt(
    nights: Nights, network: FakeNetwork
) -> None:
    nights.consent(PHONES[0])
    network.relay.refuses = True
    done = nights.introduce()
    assert isinstance(done.failed, ServiceRefused)
    assert "the privacy office: no" in str(done.failed)
    # what was asked before that is counted
    assert done == Introduced(asked=EVALUATIONS, evaluated=1, waiting=1, failed=done.failed)
    network.relay.refuses = False
    assert nights.run() == (0, 1, 0, 0)


def test_a_withdrawal_leaves_the_network_and_a_new_consent_comes_back(
    nights: Nights, network: FakeNetwork
) -> None:
    nights.consent(PHONES[0])
    nights.night()
    [first] = network.slots.values()
    nights.people.withdraw(nights.key(PHONES[0]))
    assert nights.night() == (0, 0, 1, 0)
    assert network.slots == {}
    assert nights.state(PHONES[0]) is State.WITHDRAWN
    nights.consent(PHONES[0])
    assert nights.night() == (0, 1, 0, 0)
    assert list(network.slots.values()) != [first]
    assert nights.state(PHONES[0]) is State.LISTED


def test_a_spent_quota_does_not_hold_withdrawals_back(nights: Nights, network: FakeNetwork) -> None:
    nights.consent(PHONES[0])
    nights.night()
    nights.people.withdraw(nights.key(PHONES[0]))
    nights.consent(PHONES[1])
    network.at_office.quota = EVALUATIONS
    done = nights.introduce()
    assert (done.asked, done.messages, done.withdrawn) == (EVALUATIONS, MESSAGES, 1)
    assert done.waiting == 1
    assert isinstance(done.quota, QuotaSpent)
    assert done.quota.which == OFFICE
    assert done.quota.until.time() == dt.time()
    assert "quota begins" in str(done.quota)
    assert not nights.people.asked_today()


def test_a_holder_with_another_share_is_noticed_and_no_token_is_kept(
    nights: Nights, network: FakeNetwork
) -> None:
    nights.consent(PHONES[0])
    pinned = network.pinned
    network.at_office.share = TokenShare.generate()
    done = nights.introduce(pinned)
    assert isinstance(done.failed, TokenRefused)
    assert "pinned total" in str(done.failed)
    assert (done.asked, done.evaluated, done.messages) == (EVALUATIONS, 0, MESSAGES)
    assert nights.state(PHONES[0]) is State.KNOWN
    assert len(network.relay.taken[1]) == 1


def test_tokens_are_those_of_their_identifiers_in_order_and_over_several_requests(
    network: FakeNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outlet_client.services.POINTS_A_REQUEST", 6)
    asked = [f"tel:{phone}" for phone in PHONES[:9]]
    found = network.services.tokens(asked, network.pinned, 20)
    assert found == [network.token(one) for one in asked]
    assert network.at_hq.asked == [6, 6, 6, 2]
    with pytest.raises(InvalidParameter, match="9 identifiers"):
        network.services.tokens(asked, network.pinned, 8)


def test_another_certificate_than_the_cards_is_not_spoken_to(network: FakeNetwork) -> None:
    stranger = Identity.generate(
        PartyKind.HQ, "hq", "", dt.datetime.now(dt.UTC), token_key=b"k" * 32
    )
    card = replace(stranger.card, service_address=network.hq_card.service_address)
    wrong = Services.connect(network.outlet, card, network.office_card, timeout=1)
    with pytest.raises(ServiceUnreachable, match="HQ"):
        wrong.reach(HQ)
    with pytest.raises(ServiceUnreachable, match="HQ: UNAVAILABLE"):
        wrong.book()
    wrong.reach(OFFICE)
    wrong.close()


def test_a_directory_of_another_digest_is_refused(network: FakeNetwork) -> None:
    made = network.publish(7)
    assert network.services.directory(made.digest).batch == 7
    network.library.directories["ab" * 32] = made.encode()
    with pytest.raises(ServiceRefused, match="expected abab"):
        network.services.directory("ab" * 32)
    with pytest.raises(ServiceRefused, match="none of this digest"):
        network.services.directory("cd" * 32)
    assert network.services.book() is None
