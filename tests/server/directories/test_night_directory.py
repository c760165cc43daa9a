"""A night's directory: collected, countersigned, or the last one; and over the wire."""

from __future__ import annotations

import logging
import secrets
from contextlib import ExitStack
from typing import TYPE_CHECKING

import grpc
import pytest
from typing_extensions import override

from privacy.directory import Directory, DirectoryChanges, DirectoryPosition, DirectoryRefused
from privacy.identity import PartyKind
from privacy.publications import (
    Countersigned,
    PublicationKind,
    PublicationTooSoon,
    check_published,
)
from privacy.registrations import Registration, RegistrationRefused
from privacy.tokens import TokenShare
from server.holder.errors import RefreshRefused
from server.hq.directory_announcement import (
    collect_registrations,
    network_key,
    tonights_directory,
)
from server.hq.errors import OfficeUnreachable
from server.hq.night_assembly import run_night
from server.hq.privacy_office import CollectedBatch
from server.hq.registry import Registry
from server.hq.tables import HQ
from server.wire import outlets_pb2, outlets_pb2_grpc
from tests.builders import store_at
from tests.privacy.slots import slot_key
from tests.server.directories.readings import said, whole
from tests.server.registrations import (
    HQ_SHARE,
    KEY,
    NETWORK,
    SECRETS,
    Hq,
    OfficeOf,
    Register,
    Withdraw,
    sealed,
    slot,
)
from tests.server.test_holder import Parties, refused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


pytestmark = pytest.mark.usefixtures("both_engines")


def tonight(office: OfficeOf, registry: Registry, planned: str = "") -> Directory:
    return tonights_directory(planned, office, registry, KEY, HQ_SHARE, office.key.public)


class Silent(OfficeOf):
    """An office that answers nothing, or nothing any more once it was asked for a batch."""

    relays = False

    @override
    def collect_batch(self, after: int) -> CollectedBatch:
        if not self.relays:
            raise OfficeUnreachable("UNAVAILABLE")
        return super().collect_batch(after)

    @override
    def refresh_share(self, epoch: int, delta: bytes) -> tuple[int, bytes]:
        if not self.relays:
            raise OfficeUnreachable("UNAVAILABLE")
        return super().refresh_share(epoch, delta)

    @override
    def last_directory(self) -> DirectoryPosition:
        if not self.relays or self.asked:
            raise OfficeUnreachable("UNAVAILABLE")
        return super().last_directory()


def test_a_night_has_what_was_registered_since_and_keeps_the_directory_it_was_planned_with(
    hq: Hq,
) -> None:
    office = OfficeOf({1: sealed(1, Register(0, 0)), 2: sealed(2, Register(1, 1))})
    planned = tonight(office, hq.registry)
    assert (planned.slots, planned.batch, office.asked) == (2, 2, [0, 1, 2])
    office.batches = {3: sealed(3, Register(2, 2))}
    assert tonight(office, hq.registry, planned.digest).digest == planned.digest
    assert office.asked == [0, 1, 2]
    assert tonight(office, hq.registry).slots == 3


@pytest.mark.parametrize("relays", [False, True])
def test_a_night_goes_on_with_the_last_directory_where_the_office_cannot_be_reached(
    hq: Hq, office: OfficeOf, caplog: pytest.LogCaptureFixture, *, relays: bool
) -> None:
    silent = Silent({2: sealed(2, Register(1, 1))})
    silent.relays = relays
    hq.apply(Register(0, 0))
    with pytest.raises(OfficeUnreachable):  # nothing was ever published
        tonight(silent, hq.registry)
    last = office.announce(hq.registry)
    assert tonight(silent, hq.registry).digest == last.digest
    assert "going on with the last one" in caplog.text
    assert hq.registry.last_batch() == (2 if relays else 1)


def test_a_night_goes_on_with_the_last_directory_where_another_is_too_soon(
    hq: Hq, caplog: pytest.LogCaptureFixture
) -> None:
    office = OfficeOf({1: sealed(1, Register(0, 0))}, hours=20)
    last = tonight(office, hq.registry)
    told = hq.registry.last_statement()
    office.batches = {2: sealed(2, Register(1, 1), Withdraw(0, 0))}
    for hours in (0, 18):
        office.clock.at += hours * 3600
        assert tonight(office, hq.registry).digest == last.digest
        assert hq.registry.last_statement() == told == office.publications.latest()[0]
        assert f"directory: got another one {hours}.0 hours after number 1" in caplog.text
    assert "going on with the last one" in caplog.text
    assert hq.registry.last_batch() == 2
    office.clock.at += 3600
    assert tonight(office, hq.registry).batch == 2


def test_a_night_without_a_directory_of_its_own_ends_where_another_is_too_soon(hq: Hq) -> None:
    office = OfficeOf({1: sealed(1, Register(0, 0))}, hours=20)
    hq.apply(Register(0, 0))
    changes, evidence = hq.registry.changes_since(office.last_directory())
    office.countersign_directory(NETWORK, changes, evidence, None)  # and HQ never heard it
    hq.apply(Register(1, 1))
    with pytest.raises(PublicationTooSoon):
        tonight(office, hq.registry)


def test_a_batch_that_is_not_the_next_stops_no_night(
    hq: Hq, office: OfficeOf, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    hq.apply(Register(0, 0))
    monkeypatch.setattr(office, "collect_batch", lambda _after: CollectedBatch(7, []))
    assert tonight(office, hq.registry).slots == 1
    assert "got 7, expected 2; going on with the directory as it is" in caplog.text


def test_a_directory_that_the_office_refuses_ends_the_night(hq: Hq, office: OfficeOf) -> None:
    hq.apply(Register(0, 0))
    office.announce(hq.registry)
    office.open_batch = 2
    hq.apply(Register(1, 1))  # a batch that the relay never closed
    with pytest.raises(DirectoryRefused):
        tonight(office, hq.registry)


def test_every_batch_that_is_ready_is_collected_and_logs_hold_counts_only(
    hq: Hq, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    ready = {batch: [*sealed(batch, Register(batch, batch)), b"broken"] for batch in (1, 2)}
    office = OfficeOf(ready)
    directory = tonight(office, hq.registry)
    assert hq.slots() == [slot(1, 1), slot(2, 2)]
    assert "batch 2: 1 registered, 0 withdrawn, 1 refused" in caplog.text
    assert "directory: 2 slots, number 1" in caplog.text
    for hidden in (directory.digest, *(slot_key(batch).public.hex() for batch in (1, 2))):
        assert hidden not in caplog.text


@pytest.mark.parametrize("says", [1, 3])
def test_another_batch_than_the_next_is_refused_instead_of_asked_for_without_end(
    hq: Hq, office: OfficeOf, monkeypatch: pytest.MonkeyPatch, says: int
) -> None:
    hq.apply(Register(0, 0))
    monkeypatch.setattr(office, "collect_batch", lambda _after: CollectedBatch(says, []))
    with pytest.raises(RegistrationRefused, match=f"got {says}, expected 2"):
        collect_registrations(office, hq.registry, KEY, NETWORK)


def test_the_networks_key_is_kept_and_held_against_shares_of_one_epoch(
    hq: Hq, office: OfficeOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(office, "refresh_share", lambda *_: (1, HQ_SHARE.public))
        with pytest.raises(RefreshRefused, match="the office is in epoch 1, HQ in 0"):
            network_key(hq.registry, HQ_SHARE, office)
    assert hq.registry.network() is None
    assert network_key(hq.registry, HQ_SHARE, office) == NETWORK
    with pytest.raises(RefreshRefused, match="add up to another key than this network's"):
        network_key(hq.registry, TokenShare.generate(), office)
    assert hq.registry.network() == NETWORK
    monkeypatch.setattr(office, "refresh_share", lambda *_: (1, HQ_SHARE.public))
    assert network_key(hq.registry, HQ_SHARE, office) == NETWORK  # a refresh is under way


@pytest.fixture
def parties(tmp_path: Path) -> Iterator[Parties]:
    with ExitStack() as stack:
        yield Parties(tmp_path, stack)


def test_outlets_fetch_directory_and_book_and_hq_gives_them_to_outlets_only(
    parties: Parties, office: OfficeOf
) -> None:
    address = parties.run(PartyKind.HQ)
    registry = Registry(store_at(f"sqlite:///{parties.hq.folder / 'hq.db'}", HQ))
    stub = outlets_pb2_grpc.LibraryStub(
        parties.channel(parties.outlets["a"], PartyKind.HQ, address)
    )
    assert list(stub.Book(outlets_pb2.BookRequest(), timeout=20)) == []
    hq = Hq(registry)
    hq.apply(Register(0, 0), Register(1, 1))
    before = office.announce(registry)
    hq.apply(Withdraw(0, 0))
    directory = office.announce(registry)

    def fetched(held: str) -> bytes | None:
        request = outlets_pb2.DirectoryRequest(digest=directory.digest, held=held)
        return b"".join(piece.data for piece in stub.Directory(request, timeout=20))

    assert whole(office, fetched("")).digest == directory.digest
    changes = said(office, fetched(before.digest))[1]
    assert DirectoryChanges.decode(changes).applied(before).digest == directory.digest
    book = secrets.token_bytes(2**21 + 5)
    registry.add_book(registry.next_version(), book)
    pieces = [piece.data for piece in stub.Book(outlets_pb2.BookRequest(), timeout=20)]
    assert b"".join(pieces) == book
    assert [len(piece) for piece in pieces] == [2**20, 2**20, 5]
    unknown = outlets_pb2.DirectoryRequest(digest="beef", held=directory.digest)
    status, message = refused(lambda: list(stub.Directory(unknown, timeout=20)))
    assert status is grpc.StatusCode.NOT_FOUND
    assert "not among the latest" in message
    parties.hq.distrust(PartyKind.OUTLET, "a")
    status, _ = refused(lambda: list(stub.Book(outlets_pb2.BookRequest(), timeout=20)))
    assert status is grpc.StatusCode.PERMISSION_DENIED


def test_a_night_publishes_what_outlets_registered_before_it_asks_anybody(
    parties: Parties,
) -> None:
    address, home = parties.run(PartyKind.OFFICE), parties.hq.folder
    sealing = parties.hq.identity().sealing
    assert sealing is not None
    network = parties.outlets["a"].token_key()
    for number, ring in enumerate(parties.outlets.values()):
        stub = outlets_pb2_grpc.RelayStub(parties.channel(ring, PartyKind.OFFICE, address))
        messages = [
            Registration.register(network, slot_key(number), SECRETS[number], 1),
            Registration.withdraw(network, slot_key(3), SECRETS[3], 1),
        ]
        handed = [one.sealed(sealing.public) for one in messages]
        stub.Submit(outlets_pb2.SubmitRequest(batch=1, sealed=handed), timeout=20)
    (home / "hq.toml").write_text('listen = "127.0.0.1:0"\njoin_seconds = 0.1\n')
    report = run_night(home, "n1", None)
    assert report.ended.startswith("QuorumNotMet")  # nobody joined; registrations count the same
    registry = Registry(store_at(f"sqlite:///{home / 'hq.db'}", HQ))
    directory = registry.directory()
    assert {key.tobytes() for key in directory.keys} == {slot_key(n).public for n in range(3)}
    assert registry.network() == network
    published = registry.published(directory.digest)
    assert published is not None
    countersigned, data = Countersigned.cut_off(published)
    key = parties.office.identity().card.verify_key
    check_published(countersigned, key, PublicationKind.DIRECTORY, data)
    assert Directory.decode(data).batch == 1
