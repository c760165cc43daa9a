"""One caller at a holder's port cannot take what others need: real servers, over mutual TLS."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path  # noqa: TC003  (pytest reads annotations)
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
import pytest
import sqlalchemy as sa

from outlet_client.errors import ServiceBusy, ServiceUnreachable
from outlet_client.services import Services
from privacy.directory import SLOT_BYTES, Directory, DirectoryChanges
from privacy.errors import PrivacyError
from privacy.identity import PartyKind
from privacy.tokens import Blinded
from server.holder import serving
from server.holder.call_limits import CALLS_A_CALLER, METHODS, CallLimits, limits_of
from server.holder.errors import TooManyCalls
from server.holder.peers import Caller
from server.hq.errors import OfficeBusy
from server.hq.office_client import OfficeClient
from server.hq.registry import Registry
from server.hq.tables import BOOKS, HQ
from server.wire import office_pb2, office_pb2_grpc, outlets_pb2, outlets_pb2_grpc
from server.wire.refusals import TIME_KEY
from tests.builders import store_at
from tests.server.test_holder import Parties, evaluate, refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

BOOK = bytes(96 * 2**20)
"""More than the windows of a connection, which grow, and the sockets hold of what nobody reads."""
HOG, OTHER = "a", "b"
HALF_SENT = ("SealChunk", "CountersignDirectory")
NO_SLOTS, NO_ROWS = np.zeros(0, np.uint32), np.zeros((0, SLOT_BYTES), np.uint8)
EVALUATE = "/escapement.v1.Tokens/Evaluate"


@pytest.fixture
def parties(tmp_path: Path) -> Iterator[Parties]:
    with ExitStack() as stack:
        yield Parties(tmp_path, stack)


def put_book(parties: Parties) -> None:
    """Has HQ publish a large book; what is in it does not matter here."""
    url = f"sqlite:///{parties.hq.folder / 'hq.db'}"
    with closing(Registry(url)) as registry, registry._engine.begin() as connection:
        connection.execute(BOOKS.insert().values(version=1, encoded=BOOK))


def book(channel: grpc.Channel) -> Any:
    """A call of which nothing is read yet."""
    return outlets_pb2_grpc.LibraryStub(channel).Book(outlets_pb2.BookRequest(), timeout=60)


def size_of(pieces: Iterable[outlets_pb2.Piece], wait: float = 0) -> int:
    """Reads a call to its end, waiting so many seconds after each piece."""
    size = 0
    for piece in pieces:
        size += len(piece.data)
        time.sleep(wait)
    return size


def evaluate_nothing(channel: Any) -> None:
    channel.stream_unary(EVALUATE)(iter(()), timeout=20)


def until(done: Callable[[], bool], seconds: float = 60) -> None:
    """Waits; a machine may do other things as well."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        time.sleep(0.02)


def statuses(calls: Iterable[Any]) -> list[grpc.StatusCode]:
    """Of those calls that ended; the others are asked without waiting."""
    return [call.code() for call in calls if not call.is_active()]


def test_one_outlets_unread_books_keep_no_other_from_books_and_tokens(parties: Parties) -> None:
    put_book(parties)
    address = parties.run(PartyKind.HQ)
    hog = parties.channel(parties.outlets[HOG], PartyKind.HQ, address)
    other = parties.channel(parties.outlets[OTHER], PartyKind.HQ, address)
    most = limits_of("/escapement.v1.Library/Book").at_once
    unread = [book(hog) for _ in range(16)]
    until(lambda: len(statuses(unread)) == 16 - most)
    assert set(statuses(unread)) == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    began = time.monotonic()
    assert size_of(book(other)) == len(BOOK)
    assert evaluate(other, [Blinded.dummy().point]).elements
    assert evaluate(hog, [Blinded.dummy().point]).elements
    assert time.monotonic() - began < 10
    status, why = refused(lambda: size_of(book(hog)))
    assert status is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert f"outlet {HOG} asks for one more while {most} are in flight" in why
    assert "read or end one of these, then ask again" in why
    read = next(call for call in unread if call.is_active())
    assert size_of(read) == len(BOOK)  # what is in flight is not cut off by what was refused
    read = next(call for call in unread if call.is_active())
    read.cancel()
    assert size_of(book(hog)) == len(BOOK)


def test_a_book_is_read_from_the_store_once_however_many_fetch_it(tmp_path: Path) -> None:
    url = store_at(f"sqlite:///{tmp_path / 'hq.db'}", HQ)
    with closing(Registry(url)) as registry, closing(Registry(url)) as night:
        reads: list[str] = []
        sa.event.listen(
            registry._engine, "before_cursor_execute", lambda *said: reads.append(said[2])
        )
        assert registry.latest_book() is None
        for number, book in enumerate((BOOK, BOOK[:-1]), 1):  # another process publishes them
            with night._engine.begin() as connection:
                connection.execute(BOOKS.delete())
                connection.execute(BOOKS.insert().values(version=number, encoded=book))
            with ThreadPoolExecutor(8) as outlets:
                got = list(outlets.map(lambda _: registry.latest_book(), range(8)))
            assert got[0] == book
            assert len({id(one) for one in got}) == 1  # and one copy in memory
            assert len([said for said in reads if "books.encoded" in said]) == number


def services(parties: Parties, hq: str, seconds: float) -> Services:
    """What an outlet asks HQ through, as its programs do."""
    ring = parties.outlets[HOG]
    card = replace(parties.hq.identity().card, service_address=hq)
    made = Services.connect(ring.identity(), card, parties.office.identity().card, seconds)
    parties.stack.callback(made.close)
    return made


def test_an_outlet_waits_until_its_own_calls_are_over_and_asks_again(parties: Parties) -> None:
    put_book(parties)
    address = parties.run(PartyKind.HQ)
    hog = parties.channel(parties.outlets[HOG], PartyKind.HQ, address)
    unread = [book(hog) for _ in range(2)]
    until(lambda: all(next(pieces).data for pieces in unread))
    threading.Timer(1.0, unread[0].cancel).start()
    began = time.monotonic()
    assert len(services(parties, address, 20).book() or b"") == len(BOOK)
    assert 1.0 < time.monotonic() - began < 10


def test_a_short_call_is_made_again_too(parties: Parties) -> None:
    address = parties.run(PartyKind.HQ)
    hog = parties.channel(parties.outlets[HOG], PartyKind.HQ, address)
    never = threading.Event()

    def nothing() -> Iterator[bytes]:
        never.wait()
        yield b""

    silent: Any = hog.stream_unary(EVALUATE)
    calls = [silent.future(nothing(), timeout=60) for _ in range(CALLS_A_CALLER)]

    def all_are_held() -> bool:
        """Asks whether one more is refused; what is asked may itself have kept one of them out."""
        status = refused(lambda: evaluate_nothing(hog))[0]
        ended = [call for call in calls if not call.is_active()]
        calls[:] = [call for call in calls if call not in ended]
        calls.extend(silent.future(nothing(), timeout=60) for _ in ended)
        return status is grpc.StatusCode.RESOURCE_EXHAUSTED and not ended

    until(all_are_held)
    threading.Timer(0.5, calls[0].cancel).start()
    asked = [Blinded.dummy()]
    assert services(parties, address, 20)._evaluate("HQ", asked).elements
    never.set()


def test_an_outlet_that_waited_in_vain_says_that_its_own_calls_are_why(parties: Parties) -> None:
    put_book(parties)
    address = parties.run(PartyKind.HQ)
    hog = parties.channel(parties.outlets[HOG], PartyKind.HQ, address)
    unread = [book(hog) for _ in range(2)]
    until(lambda: all(next(pieces).data for pieces in unread))
    began = time.monotonic()
    with pytest.raises(ServiceBusy, match="HQ: too busy with calls of this outlet, after waiting"):
        services(parties, address, 1).book()
    assert 0.2 < time.monotonic() - began < 3
    assert issubclass(ServiceBusy, ServiceUnreachable)  # a night goes on without


def test_long_calls_have_workers_of_their_own(
    parties: Parties, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many callers do not read, short calls are answered."""
    for workers in ("WORKERS", "LONG_WORKERS"):
        monkeypatch.setattr(serving, workers, 2)
    put_book(parties)
    address = parties.run(PartyKind.HQ)
    hog = parties.channel(parties.outlets[HOG], PartyKind.HQ, address)
    unread = [book(hog) for _ in range(2)]
    for pieces in unread:
        assert next(pieces).data  # both have their worker
    other = parties.channel(parties.outlets[OTHER], PartyKind.HQ, address)
    assert evaluate(other, [Blinded.dummy().point]).elements


def test_calls_that_never_send_their_request_keep_no_other_out(parties: Parties) -> None:
    """Over several connections, so that HTTP/2's own limit of one holds nobody back."""
    address = parties.run(PartyKind.HQ)
    never = threading.Event()

    def nothing() -> Iterator[bytes]:
        never.wait()
        yield b""

    calls = []
    for number in range(5):
        identity = parties.outlets[HOG].identity()
        card = parties.hq.identity().card
        options = [
            ("grpc.ssl_target_name_override", f"{card.name}.{card.kind}"),
            ("grpc.channel_id", number),  # else they would share one connection
        ]
        credentials = grpc.ssl_channel_credentials(
            card.certificate.encode(), identity.tls_key, identity.card.certificate.encode()
        )
        channel = parties.stack.enter_context(grpc.secure_channel(address, credentials, options))
        silent: Any = channel.stream_unary(EVALUATE)
        calls += [silent.future(nothing(), timeout=60) for _ in range(16)]
    until(lambda: len([call for call in calls if call.done()]) == 80 - CALLS_A_CALLER)
    other = parties.channel(parties.outlets[OTHER], PartyKind.HQ, address)
    assert evaluate(other, [Blinded.dummy().point]).elements
    never.set()


def test_who_does_not_read_is_ended_and_may_call_again(
    parties: Parties, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("server.holder.call_limits.STALL_SECONDS", 0.5)
    put_book(parties)
    hog = parties.channel(parties.outlets[HOG], PartyKind.HQ, parties.run(PartyKind.HQ))
    unread = [book(hog), book(hog)]
    said = f"Book of outlet {HOG}: ended; too slow, or its caller does not read"
    until(lambda: caplog.text.count(said) == len(unread))
    assert size_of(book(hog)) == len(BOOK)
    for pieces in unread:
        with pytest.raises(grpc.RpcError) as caught:
            size_of(pieces)
        assert caught.value.code() is grpc.StatusCode.CANCELLED


def test_a_call_that_waits_for_its_own_side_is_not_ended_as_stalled(
    parties: Parties, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a holder computes, or waits for its disk, is not its caller's fault."""
    monkeypatch.setattr("server.holder.call_limits.STALL_SECONDS", 0.2)
    put_book(parties)
    slow = Registry.latest_book

    def latest_book(self: Registry) -> bytes | None:
        time.sleep(1)
        return slow(self)

    monkeypatch.setattr(Registry, "latest_book", latest_book)
    channel = parties.channel(parties.outlets[HOG], PartyKind.HQ, parties.run(PartyKind.HQ))
    assert size_of(book(channel)) == len(BOOK)


def test_a_call_takes_no_longer_than_its_method_may(
    parties: Parties, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However steadily it moves."""
    limits = METHODS["Library/Book"]
    monkeypatch.setitem(METHODS, "Library/Book", type(limits)(2, 0.5, 4096, is_long=True))
    put_book(parties)
    hog = parties.channel(parties.outlets[HOG], PartyKind.HQ, parties.run(PartyKind.HQ))
    pieces = book(hog)
    with pytest.raises(grpc.RpcError) as caught:
        size_of(pieces, wait=0.1)
    assert caught.value.code() is grpc.StatusCode.CANCELLED


def test_hqs_calls_at_the_office_are_few_at_a_time_and_outlets_still_served(
    parties: Parties,
) -> None:
    """Neither half-sent requests nor answers that are not read hold all workers."""
    address = parties.run(PartyKind.OFFICE)
    hq = office_pb2_grpc.OfficeStub(parties.channel(parties.hq, PartyKind.OFFICE, address))
    never, now = threading.Event(), ((TIME_KEY, str(int(time.time()))),)

    def choices() -> Iterator[office_pb2.SealChunkPart]:
        yield office_pb2.SealChunkPart(plan_digest="d" * 64, chunk=0, data=bytes(2**20))
        never.wait()

    def slots() -> Iterator[office_pb2.DirectoryPart]:
        yield office_pb2.DirectoryPart(head=office_pb2.DirectoryHead(network=bytes(32)))
        yield office_pb2.DirectoryPart(added=bytes(48 * 2**14))
        never.wait()

    most = [limits_of(f"/escapement.v1.Office/{name}").at_once for name in HALF_SENT]
    chunks: Any = [hq.SealChunk(choices(), timeout=60, metadata=now) for _ in range(6)]
    directories: Any = [
        hq.CountersignDirectory.future(slots(), timeout=60, metadata=now) for _ in range(6)
    ]
    until(lambda: len(statuses(chunks)) == 6 - most[0])
    until(lambda: len([call for call in directories if call.done()]) == 6 - most[1])
    status, why = refused(lambda: list(hq.SealChunk(choices(), timeout=60, metadata=now)))
    assert status is grpc.StatusCode.RESOURCE_EXHAUSTED
    said = f"hq hq asks for one more while {most[0]} are in flight"
    assert f"calls of Office/SealChunk: {said}" in why
    hq.LastDirectory(office_pb2.LastDirectoryRequest(), timeout=20)
    outlet = parties.channel(parties.outlets[OTHER], PartyKind.OFFICE, address)
    relay = outlets_pb2_grpc.RelayStub(outlet)
    assert relay.OpenBatch(outlets_pb2.OpenBatchRequest(), timeout=20).batch == 1
    never.set()


def test_hq_waits_until_its_own_calls_at_the_office_are_over_also_with_a_stream(
    parties: Parties,
) -> None:
    address = parties.run(PartyKind.OFFICE)
    stub = office_pb2_grpc.OfficeStub(parties.channel(parties.hq, PartyKind.OFFICE, address))
    never, now = threading.Event(), ((TIME_KEY, str(int(time.time()))),)

    def slots() -> Iterator[office_pb2.DirectoryPart]:
        yield office_pb2.DirectoryPart(head=office_pb2.DirectoryHead(network=bytes(32)))
        yield office_pb2.DirectoryPart(added=bytes(48 * 2**14))
        never.wait()

    def refused_now() -> bool:
        sent: Any = stub.CountersignDirectory
        with pytest.raises(grpc.RpcError) as caught:
            sent(iter(()), timeout=20, metadata=now)
        return caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED

    sent: Any = stub.CountersignDirectory
    held = sent.future(slots(), timeout=60, metadata=now)
    while not refused_now() or not held.is_active():
        if not held.is_active():  # what asked was first
            held = sent.future(slots(), timeout=60, metadata=now)
    card = replace(parties.office.identity().card, address=address)

    def countersign(seconds: float) -> None:
        with closing(OfficeClient.connect(parties.hq.identity(), card, seconds)) as office:
            changes = DirectoryChanges(Directory.empty().digest, 1, NO_SLOTS, NO_ROWS)
            office.countersign_directory(bytes(32), changes, {}, None)

    with pytest.raises(OfficeBusy, match="privacy office: too busy with HQ's calls"):
        countersign(1)
    threading.Timer(0.5, held.cancel).start()
    with pytest.raises(PrivacyError):  # the office read it, and has no such network
        countersign(20)
    never.set()


def test_a_request_larger_than_its_methods_is_refused_with_its_size(parties: Parties) -> None:
    office = parties.run(PartyKind.OFFICE)
    outlet = parties.channel(parties.outlets[HOG], PartyKind.OFFICE, office)
    notary = outlets_pb2_grpc.NotaryStub(outlet)
    large = outlets_pb2.CountersignRequest(digest=bytes(2**18))
    status, why = refused(lambda: notary.Countersign(large, timeout=20))
    assert status is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert f"got {large.ByteSize()} bytes or more, expected at most {2**18}" in why


def test_a_request_of_no_message_is_refused(parties: Parties) -> None:
    address = parties.run(PartyKind.HQ)
    channel = parties.channel(parties.outlets[HOG], PartyKind.HQ, address)
    with pytest.raises(grpc.RpcError) as caught:
        evaluate_nothing(channel)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_every_named_method_exists_and_every_existing_one_has_limits() -> None:
    services = {
        name.removesuffix("Stub"): stub
        for module in (office_pb2_grpc, outlets_pb2_grpc)
        for name, stub in vars(module).items()
        if name.endswith("Stub") and name != "DeskStub"
    }
    with grpc.insecure_channel("127.0.0.1:1") as channel:
        there = {f"{name}/{m}" for name, stub in services.items() for m in vars(stub(channel))}
    assert set(METHODS) <= there
    most = max(limits_of(f"/escapement.v1.{name}").at_once for name in there)
    assert most * 3 <= serving.WORKERS
    long = sum(one.at_once for name, one in METHODS.items() if one.is_long and "Office" not in name)
    assert long * 3 <= serving.LONG_WORKERS


def test_a_place_is_free_again_once_its_call_has_ended_however_it_ended() -> None:
    limits, one, two = CallLimits(), Caller(PartyKind.OUTLET, "a"), Caller(PartyKind.OUTLET, "b")
    for _ in range(3):
        with ExitStack() as stack:
            for _ in range(CALLS_A_CALLER):
                stack.enter_context(limits.place(one, EVALUATE))
            with pytest.raises(TooManyCalls, match="expected at most 8"):
                stack.enter_context(limits.place(one, EVALUATE))
            stack.enter_context(limits.place(two, EVALUATE))
        with pytest.raises(RuntimeError), limits.place(one, EVALUATE):
            raise RuntimeError
    assert not limits._all
    assert not limits._of_method
