"""An HQ that was restored from an older copy goes on from what the office countersigned."""

from __future__ import annotations

import logging
import shutil
from contextlib import ExitStack
from typing import TYPE_CHECKING

import grpc
import pytest
from typer.testing import CliRunner

from privacy.directory import Directory, DirectoryChanges, DirectoryRefused
from privacy.identity import PartyKind
from privacy.publications import (
    Countersigned,
    PublicationKind,
    PublicationRefused,
    check_published,
    open_publication,
)
from privacy.registrations import Registration
from privacy.tokens import TokenShare
from server.holder.directory_copy import DirectoryCopy
from server.hq.directory_announcement import tonights_directory
from server.hq.main import app
from server.hq.office_client import OfficeClient
from server.hq.privacy_office import CollectedBatch
from server.hq.registry import Registry
from server.hq.registry_adoption import AdoptedSlots
from server.hq.tables import HQ
from server.wire import office_pb2, office_pb2_grpc
from tests.builders import store_at
from tests.privacy.slots import slot_key
from tests.server.registrations import (
    KEY,
    NETWORK,
    SECRETS,
    Hq,
    OfficeOf,
    Register,
    Withdraw,
    sealed,
)
from tests.server.restored_registry.restored_histories import (
    History,
    everything,
    recovered,
    restore,
    tonight,
)
from tests.server.test_holder import Parties, refused
from tests.server.test_office_calls import close_batches

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.mark.parametrize("batch", [0, 1, 2])
def test_the_directory_is_the_offices_byte_for_byte_and_nights_go_on(
    history: History, batch: int
) -> None:
    hq, office = history.restored(batch), history.office
    counts = {0: (5, 0), 1: (3, 1), 2: (2, 0)}[batch]
    assert restore(office, hq) == AdoptedSlots(batch, 3, *counts)
    directory = tonight(office, hq)
    assert directory.encode() == history.newest.registry.directory().encode()
    assert hq.registry.directory().encode() == directory.encode()
    assert office.asked == [3]  # batches that HQ lost are not asked for
    said = hq.registry.last_statement()
    assert said == history.newest.registry.last_statement() == office.publications.latest()[0]
    office.batches = {4: sealed(4, Register(5, 6), Withdraw(3, 4), Withdraw(1, 1))}
    later = tonight(office, hq)
    alive = {row.tobytes() for row in later.keys[~later.blank]}
    assert alive == {slot_key(number).public for number in (0, 2, 5)}
    assert later.slots == directory.slots + 1
    said = hq.registry.last_statement()
    assert said is not None
    assert open_publication(said, office.key.public, PublicationKind.DIRECTORY).number == 4


def test_an_outlet_that_holds_any_directory_of_before_gets_one_that_it_accepts(
    history: History,
) -> None:
    for batch in (0, 1, 2):
        hq = history.restored(batch)
        wanted = recovered(history.office, hq)
        for held in history.past:
            published = hq.registry.published(wanted.digest, held.digest)
            assert published is not None
            said, data = Countersigned.cut_off(published)
            if DirectoryChanges.are_in(data):
                data = DirectoryChanges.decode(data).applied(held).encode()
            key = history.office.key.public
            check_published(said, key, PublicationKind.DIRECTORY, data)
            assert data == wanted.encode()


def test_an_hq_without_a_registry_of_its_own_takes_all_of_it(history: History) -> None:
    hq = Hq()
    assert recovered(history.office, hq).digest == history.past[-1].digest
    assert hq.registry.network() == NETWORK
    assert hq.apply(Withdraw(2, 2)).withdrawn == 1


@pytest.mark.parametrize("batch", [0, 1, 2])
def test_no_night_takes_over_what_an_office_that_is_ahead_says(
    history: History, batch: int
) -> None:
    """Else an office that only names a later batch ends consents, at an HQ that lost nothing."""
    hq = history.restored(batch)
    hq.registry.keep_network(NETWORK)
    before = everything(hq)
    why = f"one of batch 3, HQ's registry is of batch {batch}; .* `escapement-hq restored`; .* why"
    for _ in range(2):
        with pytest.raises(DirectoryRefused, match=why):
            tonight(history.office, hq)
        assert everything(hq) == before
    assert history.office.asked == []


def test_a_registry_that_is_no_older_copy_takes_nothing_over(history: History) -> None:
    taken = history.restored(2)
    restore(history.office, taken)
    for hq in (history.newest, taken):
        hq.registry.keep_network(NETWORK)
        before = everything(hq)
        with pytest.raises(
            DirectoryRefused, match=r"registry is of batch 3, .* no older copy; run"
        ):
            restore(history.office, hq)
        assert everything(hq) == before


def test_where_the_office_is_not_ahead_its_directory_is_not_asked_for(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(_network: bytes, _after: int) -> DirectoryCopy:
        raise AssertionError

    monkeypatch.setattr(history.office, "fetch_directory", never)
    history.office.batches = {4: sealed(4, Register(4, 0))}
    assert tonight(history.office, history.newest).batch == 4


def test_a_kill_while_it_is_taken_over_changes_nothing_and_done_again_it_is_whole(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    hq = history.restored(1)
    hq.registry.keep_network(NETWORK)
    before = everything(hq)
    for place in ("registry_adoption.make_blank", "registry_adoption._register_homes"):
        with monkeypatch.context() as patched:
            patched.setattr(f"server.hq.{place}", die)
            with pytest.raises(KeyboardInterrupt):
                restore(history.office, hq)
        assert everything(hq) == before
    with monkeypatch.context() as patched:
        patched.setattr("server.hq.registry.put_on_shelf", die)
        with pytest.raises(KeyboardInterrupt):
            restore(history.office, hq)
    assert everything(hq) == before
    assert recovered(history.office, hq).digest == history.past[-1].digest


def test_a_kill_after_it_was_taken_over_is_taken_up(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    hq = history.restored(1)
    with monkeypatch.context() as patched:
        patched.setattr("server.hq.directory_announcement.announce", die)
        with pytest.raises(KeyboardInterrupt):
            recovered(history.office, hq)
    wanted = history.past[-1].digest
    assert hq.registry.published(wanted) == history.newest.registry.published(wanted)
    after = hq.registry.home_nonces()
    assert tonight(history.office, hq).digest == wanted
    assert hq.registry.home_nonces() == after


def test_an_office_that_lost_its_publications_then_is_shown_all_and_an_older_copy_is_refused(
    history: History, tmp_path: Path
) -> None:
    early, key = tmp_path / "early.db", history.office.key
    office = OfficeOf(url=f"sqlite:///{early}", key=key)
    office.announce(history.restored(1).registry)
    hq = history.restored(1)
    recovered(history.office, hq)
    with pytest.raises(DirectoryRefused, match=r"slot \d: withdrawn in a batch that HQ lost"):
        office.announce(hq.registry)
    anew = OfficeOf(key=key)
    assert anew.announce(hq.registry).encode() == history.past[-1].encode()
    said = hq.registry.last_statement()
    assert said is not None
    assert open_publication(said, key.public, PublicationKind.DIRECTORY).number == 4


def test_a_copy_of_the_directory_travels_as_it_is_and_a_cut_one_is_refused(
    history: History,
) -> None:
    copy = history.office.fetch_directory(NETWORK, 1)
    assert len(copy.withdrawn) == 1
    data = copy.encode()
    read = DirectoryCopy.decode(data)
    assert (read.said, read.directory) == (copy.said, copy.directory)
    assert (read.hash_key, dict(read.withdrawn)) == (copy.hash_key, dict(copy.withdrawn))
    for hidden in (copy.hash_key, *copy.withdrawn):
        assert str(hidden) not in repr(copy)
    for end in range(len(data) - len(copy.directory)):
        with pytest.raises((DirectoryRefused, PublicationRefused), match="cut off"):
            DirectoryCopy.decode(data[:end])


@pytest.fixture
def parties(tmp_path: Path) -> Iterator[Parties]:
    with ExitStack() as stack:
        yield Parties(tmp_path, stack)


def test_a_restored_hq_goes_on_with_a_running_office(
    parties: Parties, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    parties.hours = 0
    close_batches(parties, 3)
    # What was in these batches is not the relay's here.
    monkeypatch.setattr(OfficeClient, "collect_batch", lambda *_: CollectedBatch(0, []))
    address, network = parties.run(PartyKind.OFFICE), parties.outlets["a"].token_key()
    office = OfficeClient(parties.channel(parties.hq, PartyKind.OFFICE, address), 60)
    key, file = parties.office.identity().card.verify_key, parties.hq.folder / "hq.db"
    share = parties.hq.token_share()
    registry = Registry(store_at(f"sqlite:///{file}", HQ))

    def night(registry: Registry) -> Directory:
        return tonights_directory("", office, registry, KEY, share, key)

    for batch, made in enumerate(
        [
            [Registration.register(network, slot_key(0), SECRETS[0], 1)],
            [Registration.withdraw(network, slot_key(0), SECRETS[0], 2)],
            [Registration.register(network, slot_key(n), SECRETS[n], 3) for n in (1, 2)],
        ],
        start=1,
    ):
        handed = [one.sealed(KEY.public) for one in made]
        registry.apply(batch, handed, KEY, network)
        if batch == 1:
            night(registry)
            shutil.copy(file, file.with_name("copy.db"))
    newest, said = night(registry), registry.last_statement()
    shutil.copy(file.with_name("copy.db"), file)
    (parties.hq.folder / "hq.toml").touch()
    command = ["restored", "--home", str(parties.hq.folder)]
    for answer in ("", "n\n"):
        asked = CliRunner().invoke(app, command, input=answer)
        assert (asked.exit_code, Registry(store_at(f"sqlite:///{file}", HQ)).last_batch()) == (1, 1)
        assert "Did you restore" in asked.output
    done = CliRunner().invoke(app, [*command, "--yes"])
    assert done.exit_code == 0, done.output
    assert "was of batch 1, and is now the privacy office's directory of batch 3: 2 " in done.output
    assert "2 slots more, 1 withdrawn." in done.output
    restored = Registry(store_at(f"sqlite:///{file}", HQ))
    assert restored.last_statement() == said
    assert night(restored).encode() == newest.encode()
    again = CliRunner().invoke(app, command, input="y\n")
    assert (again.exit_code, "it is no older copy" in again.output.replace("\n", " ")) == (1, True)
    for number in range(3):
        assert slot_key(number).public.hex() not in caplog.text
        assert str(slot_key(number).public)[2:-1] not in caplog.text
    other = TokenShare.generate().public
    with pytest.raises(DirectoryRefused, match="another network"):
        office.fetch_directory(other, 1)
    outlet = office_pb2_grpc.OfficeStub(
        parties.channel(parties.outlets["a"], PartyKind.OFFICE, address)
    )
    request = office_pb2.FetchDirectoryRequest(network=network)
    status, _ = refused(lambda: list(outlet.FetchDirectory(request, timeout=20)))
    assert status is grpc.StatusCode.PERMISSION_DENIED
    pieces = office._stub.FetchDirectory(request, timeout=20)
    assert max(len(piece.data) for piece in pieces) <= 2**20
