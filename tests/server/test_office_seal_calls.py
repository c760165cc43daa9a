"""Seals at a running office, over mutual TLS: streams, their bounds, refusals, and a whole one."""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003  (pytest reads annotations)
from threading import Event
from typing import TYPE_CHECKING

import grpc
import pytest

from privacy.errors import InvalidParameter, ReleaseClosed
from privacy.identity import PartyKind
from privacy.oblivious_transfer import Choices, TransferFailed
from privacy.plans import PlannedReleases
from privacy.publications import PublicationKind, Publishers, open_publication
from privacy.published_books import PublishedBook, open_book
from privacy.purposes import Purpose
from privacy.seal_plans import (
    CHUNK_SLOTS,
    SealKind,
)
from server.hq.office_client import OfficeClient
from server.office.choice_parts import MOST_BYTES, read_choices
from server.office.vault import KEY_FILE
from server.wire import office_pb2, office_pb2_grpc
from server.wire.refusals import TIME_KEY
from tests.server.seal_benches import HonestSeal, SealBench
from tests.server.slot_histories import NETWORK, HonestHq
from tests.server.test_holder import Parties, refused
from tests.server.test_office_calls import close_batches

if TYPE_CHECKING:
    from collections.abc import Iterator

    from privacy.publications import Countersigned

DATA = b"part of the choices"


@dataclass
class Running:
    """A running office that has countersigned a directory, and HQ's calls to it."""

    parties: Parties

    def __post_init__(self) -> None:
        close_batches(self.parties, 1)  # of six messages, so that there may be six slots
        address = self.parties.run(PartyKind.OFFICE)
        self.key = self.parties.office.identity().card.verify_key
        self.channel = self.parties.channel(self.parties.hq, PartyKind.OFFICE, address)
        self.stub = office_pb2_grpc.OfficeStub(self.channel)
        outlet = self.parties.outlets["a"]
        self.at_an_outlet = office_pb2_grpc.OfficeStub(
            self.parties.channel(outlet, PartyKind.OFFICE, address)
        )
        self.bench = SealBench(names=tuple("abc"))
        self.bench.bench.clock.at = time.time()
        self.client = OfficeClient(self.channel, 60)
        self.bench.bench.office = self.client  # type: ignore[assignment]  # the same calls
        rings = self.parties.outlets.items()
        self.bench.bench.keys = {name: ring.identity().signing for name, ring in rings}
        self.hq = HonestHq()
        self.show(come=tuple(range(6)))

    def show(self, come: tuple[int, ...]) -> Countersigned:
        """Has a directory countersigned whose customers are those of the bench."""
        base = self.client.last_directory().digest or self.hq.directory.digest
        self.hq.apply(come=come)
        made = self.client.countersign_directory(
            NETWORK, self.hq.changes(base), self.hq.evidence, self.hq.said
        )
        self.hq.said = made
        self.bench.list(*range(self.hq.directory.slots), batch=self.hq.batch)
        assert self.bench.bench.directory == self.hq.directory.digest
        return made

    def seal(self, release: str, until: str = "stored") -> HonestSeal:
        """A seal in a night of its own."""
        night = self.bench.office.sign_night(
            f"night of {release}",
            self.bench.bench.cut_off,
            [PlannedReleases(Purpose.POINTS, 1, None)],
        )
        seal = self.bench.seal(release, night)
        seal.sign()
        if until == "stored":
            seal.store("abc")
        return seal

    def chunk(self, *parts: office_pb2.SealChunkPart) -> bytes:
        answer = self.stub.SealChunk(iter(parts), timeout=60, metadata=now())
        return b"".join(part.data for part in answer)


def now() -> tuple[tuple[str, str]]:
    """What HQ says with each call."""
    return ((TIME_KEY, str(int(time.time()))),)


def part(data: bytes = b"", plan_digest: str = "", chunk: int = 0) -> office_pb2.SealChunkPart:
    return office_pb2.SealChunkPart(plan_digest=plan_digest, chunk=chunk, data=data)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with ExitStack() as stack:
        yield Running(Parties(tmp_path, stack, hours=0))


def test_a_seal_and_its_book_over_the_wire(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    seal = running.seal("s1")
    first = seal.take()
    assert seal.take() == first
    seal.close()
    assert (seal.codes() == seal.clear()).all()
    with pytest.raises(ReleaseClosed, match="s1: closed"):
        seal.take()
    signed = seal.book()
    directory = running.hq.directory.digest
    made = running.client.countersign_book(directory, signed.summary)
    said = open_publication(made, running.key, PublicationKind.BOOK)
    assert (said.digest, said.directory) == (signed.digest, directory)
    publishers = Publishers(running.bench.hq_key.public, running.key)
    book = open_book(
        PublishedBook(signed, made), publishers, newer_than=None, directory=None, not_before=0
    )
    for slot, clear in enumerate(seal.clear().tolist()):
        codes, evidence = seal.read(book, slot) or ((), -1)
        assert [*codes, evidence] == clear
    for secret in (seal.choices(), first, seal.transfers):
        assert secret[:16].hex() not in caplog.text
        assert repr(secret[:16])[2:-1] not in caplog.text


def test_a_seal_goes_on_at_an_office_that_was_started_again(tmp_path: Path) -> None:
    with ExitStack() as stack:
        parties = Parties(tmp_path, stack, hours=0)
        first = Running(parties)
        seal = first.seal("s1")
        tables = seal.take()
    with ExitStack() as stack:
        parties.stack = stack
        address = parties.run(PartyKind.OFFICE)
        channel = parties.channel(parties.hq, PartyKind.OFFICE, address)
        first.bench.bench.office = OfficeClient(channel, 60)  # type: ignore[assignment]
        assert first.bench.office.sign_seal(seal.drafted) == (seal.signed, seal.transfers)
        assert seal.take() == tables
        assert (parties.office.folder / KEY_FILE).stat().st_mode & 0o777 == 0o600
        seal.close()


def test_refusals_of_seals_travel_by_their_type(running: Running) -> None:
    request = office_pb2.UnlockRequest(carried=[office_pb2.CarriedEnvelope()])
    status, why = refused(lambda: list(running.stub.Unlock(request, timeout=20, metadata=now())))
    assert (status, "carries nobody" in why) == (grpc.StatusCode.INVALID_ARGUMENT, True)
    seal = running.seal("s1")
    with pytest.raises(InvalidParameter, match="got 3 bytes"):
        list(running.client.seal_chunk(seal.signed.digest, 0, b"123"))
    with pytest.raises(TransferFailed, match="not the same in all columns"):
        list(running.client.seal_chunk(seal.signed.digest, 0, seal.cheating()))
    with pytest.raises(ReleaseClosed, match="s1: ended by a failed check"):
        seal.take()


def test_only_hq_seals(running: Running) -> None:
    stub = running.at_an_outlet
    for call in (
        lambda: stub.SignSeal(office_pb2.SignReleaseRequest(), timeout=20),
        lambda: stub.StoreSet(office_pb2.UnlockRequest(), timeout=20),
        lambda: list(stub.SealChunk(iter([part()]), timeout=20)),
        lambda: stub.CloseSeal(office_pb2.CloseSealRequest(), timeout=20),
    ):
        status, why = refused(call)
        assert (status, "expected one of hq" in why) == (grpc.StatusCode.PERMISSION_DENIED, True)


def test_a_paused_office_seals_nothing(running: Running) -> None:
    seal = running.seal("s1", until="signed")
    running.parties.paused = True
    stub, plan = running.stub, seal.signed.digest
    for call in (
        lambda: stub.SignSeal(
            office_pb2.SignReleaseRequest(draft=seal.drafted.encode()), timeout=20, metadata=now()
        ),
        lambda: stub.StoreSet(
            office_pb2.UnlockRequest(plan_digest=plan), timeout=20, metadata=now()
        ),
        lambda: running.chunk(part(DATA, plan)),
        lambda: stub.CloseSeal(
            office_pb2.CloseSealRequest(plan_digest=plan), timeout=20, metadata=now()
        ),
    ):
        status, why = refused(call)
        assert (status, "is paused" in why) == (grpc.StatusCode.UNAVAILABLE, True)
    running.parties.paused = False
    seal.store("abc")
    seal.take()


def test_a_set_is_one_message_that_two_thousand_outlets_fit_in_and_no_more_than_4_mb(
    running: Running,
) -> None:
    seal = running.seal("s1", until="signed")
    one = seal.share("a").envelope
    envelope = office_pb2.Envelope(
        outlet="an outlet with a name of forty letters...",
        sealed_seed=one.sealed_seed,
        commitment=one.commitment,
        signature=one.signature,
    )
    carried = office_pb2.CarriedEnvelope(envelope=envelope, plan_digest=seal.signed.digest)

    def store(outlets: int) -> object:
        plan = seal.signed.digest
        request = office_pb2.UnlockRequest(plan_digest=plan, carried=[carried] * outlets)
        return running.stub.StoreSet(request, timeout=20, metadata=now())

    status, why = refused(lambda: store(2000))
    assert (status, "an outlet is named twice" in why) == (grpc.StatusCode.INVALID_ARGUMENT, True)
    with pytest.raises(grpc.RpcError) as caught:
        store(20_000)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    seal.store("abc")


# --- the stream of choices ----------------------------------------------------------------------


def test_choices_are_put_together_however_they_were_cut(running: Running) -> None:
    seal = running.seal("s1")
    choices, plan = seal.choices(), seal.signed.digest
    whole = running.chunk(part(choices, plan))
    cut = [part(b"", plan), *(part(choices[at : at + 7]) for at in range(0, len(choices), 7))]
    assert running.chunk(*cut) == whole == seal.take()


def test_malformed_streams_are_refused_and_end_no_seal(running: Running) -> None:
    seal = running.seal("s1")
    plan = seal.signed.digest
    for parts in ([], [part(DATA)], [part(DATA, plan), part(DATA, plan)], [part(), part(DATA)]):
        status, why = refused(lambda: running.chunk(*parts))  # noqa: B023  (called at once)
        assert status is grpc.StatusCode.INVALID_ARGUMENT
        assert "choices: " in why
    seal.take()


def test_more_bytes_than_a_chunk_can_have_are_refused_while_they_arrive() -> None:
    bits = CHUNK_SLOTS * (2 * 11 + 8)
    assert len(Choices.decode(bytes(MOST_BYTES), bits).encode()) == MOST_BYTES
    arrived = []

    def parts() -> Iterator[office_pb2.SealChunkPart]:
        yield part(b"", "0" * 64)
        for number in range(100):
            arrived.append(number)
            yield part(bytes(2**20))

    with pytest.raises(InvalidParameter, match=f"more than {MOST_BYTES} bytes"):
        read_choices(parts())
    assert len(arrived) == MOST_BYTES // 2**20 + 1
    assert read_choices([part(b"", "0" * 64, 3), part(bytes(MOST_BYTES))])[:2] == ("0" * 64, 3)


def test_a_stream_that_is_broken_off_ends_no_seal(running: Running) -> None:
    seal = running.seal("s1")
    choices, plan = seal.choices(), seal.signed.digest
    go_on = Event()

    def parts() -> Iterator[office_pb2.SealChunkPart]:
        yield part(choices[:100], plan)
        go_on.wait(60)

    call = running.stub.SealChunk(parts(), timeout=60, metadata=now())
    time.sleep(0.2)
    call.cancel()
    go_on.set()
    seal.take()
    assert (seal.codes() == seal.clear()).all()


def test_who_stalls_is_cut_off_and_the_seal_goes_on(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each stream holds a thread of the office's few."""
    seal = running.seal("s1")
    choices, plan = seal.choices(), seal.signed.digest
    monkeypatch.setattr("server.holder.call_limits.STALL_SECONDS", 0.3)
    go_on = Event()

    def parts() -> Iterator[office_pb2.SealChunkPart]:
        yield part(choices[:100], plan)
        go_on.wait(60)

    began = time.monotonic()
    with pytest.raises(grpc.RpcError) as caught:
        list(running.stub.SealChunk(parts(), timeout=60, metadata=now()))
    assert caught.value.code() is grpc.StatusCode.CANCELLED
    assert time.monotonic() - began < 20
    go_on.set()
    monkeypatch.undo()
    seal.take()


def test_both_kinds_are_signed_over_the_wire(running: Running) -> None:
    running.bench.bench.clock.at = time.time()
    lines = [PlannedReleases(Purpose.POINTS, 2, None)]
    night = running.client.sign_night("n", running.bench.bench.cut_off, lines)
    for number, kind in enumerate([SealKind.FINE, SealKind.BAND]):
        seal = running.bench.seal(f"s{number}", night, kind)
        seal.sign()
        seal.store("abc")
        seal.take()
        seal.close()
        assert (seal.codes() == seal.clear()).all()
