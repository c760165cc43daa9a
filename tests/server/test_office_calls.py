"""Directories and books at a running office: over mutual TLS, in a backup, and begun anew."""

from __future__ import annotations

import logging
import secrets
import sqlite3
import time
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path  # noqa: TC003  (pytest reads annotations)
from typing import TYPE_CHECKING

import grpc
import pytest
from typer.testing import CliRunner

from privacy.books import BookHeader
from privacy.directory import SLOT_BYTES, Directory, DirectoryChanges, DirectoryPosition
from privacy.envelopes import digest
from privacy.identity import Card, PartyKind
from privacy.log_heads import DIGEST_BYTES
from privacy.plans import Signed
from privacy.publications import Countersigned, PublicationKind, open_publication
from privacy.registrations import SEALED_BYTES, RegistrationAct
from privacy.voprf import multiply_base, random_scalar
from server.office.directory_parts import read_directory
from server.office.directory_rules import MOST_SLOTS
from server.office.ledger_store import OfficeStore
from server.office.main import app
from server.office.publications import Publications
from server.office.relay import Relay
from server.office.settings import OfficeSettings
from server.office.tables import OFFICE
from server.office.vault import KEY_FILE
from server.wire import office_pb2, office_pb2_grpc, outlets_pb2, outlets_pb2_grpc
from server.wire.refusals import read_refusal
from tests.builders import Bench, store_at
from tests.server.seal_benches import SealBench
from tests.server.slot_histories import NETWORK, HonestHq
from tests.server.test_holder import Parties, introduce, refused
from tests.server.timed_channel import timed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from privacy.registrations import Evidence

DIRECTORY, BOOK = PublicationKind.DIRECTORY, PublicationKind.BOOK


@pytest.fixture
def parties(tmp_path: Path) -> Iterator[Parties]:
    with ExitStack() as stack:
        yield Parties(tmp_path, stack)


def close_batches(parties: Parties, count: int) -> None:
    """Has the office's relay close so many batches, before it runs."""
    place = f"sqlite:///{parties.office.folder / 'relay.db'}"
    with closing(Relay(place, parties.messages, 3, 0, time.time)) as relay:
        for batch in range(count):
            for name in "abc":
                sealed = [secrets.token_bytes(SEALED_BYTES) for _ in range(parties.messages)]
                relay.submit(name, batch + 1, sealed)
            assert relay.collect(batch)[0] == batch + 1


def raw(signed: Countersigned) -> office_pb2.CountersignedPublication:
    return office_pb2.CountersignedPublication(payload=signed.payload, signature=signed.signature)


def parts_of(
    changes: DirectoryChanges,
    evidence: Mapping[int, Evidence],
    last: Countersigned | None = None,
    network: bytes = NETWORK,
) -> Iterator[office_pb2.DirectoryPart]:
    """A directory as it travels, a slot a part."""
    head = office_pb2.DirectoryHead(network=network, base=changes.base, batch=changes.batch)
    if last is not None:
        head.last.CopyFrom(raw(last))
    yield office_pb2.DirectoryPart(head=head)
    for row in changes.added:
        yield office_pb2.DirectoryPart(added=row.tobytes())
    for slot, shown in evidence.items():
        yield office_pb2.DirectoryPart(evidence=[raw_evidence(slot, shown)])


def raw_evidence(slot: int, shown: Evidence) -> office_pb2.SlotEvidence:
    return office_pb2.SlotEvidence(
        slot=slot,
        act=shown.act,
        batch=shown.batch,
        since=shown.since,
        bound=shown.bound,
        proof=shown.proof,
    )


class Hq:
    """An honest HQ that shows its directories to a running office, and books of a seal of before.

    Attributes:
        seal: What the office has to say of it, of one slot.
    """

    def __init__(self, parties: Parties) -> None:
        seals = SealBench(f"sqlite:///{parties.office.folder / 'office.db'}", customers=(0,))
        seals.bench.clock.at = time.time()  # the running office's days do not go back
        self.seal = seals.whole().seal()
        seals.bench.store.close()
        address = parties.run(PartyKind.OFFICE)
        self.model = HonestHq()
        self.key = parties.office.identity().card.verify_key
        self.office = office_pb2_grpc.OfficeStub(
            timed(parties.channel(parties.hq, PartyKind.OFFICE, address))
        )
        self.notary = outlets_pb2_grpc.NotaryStub(
            parties.channel(parties.outlets["a"], PartyKind.OFFICE, address)
        )
        self.at_an_outlet = office_pb2_grpc.OfficeStub(
            parties.channel(parties.outlets["a"], PartyKind.OFFICE, address)
        )

    def last(self) -> DirectoryPosition:
        made = self.office.LastDirectory(office_pb2.LastDirectoryRequest(), timeout=20)
        return DirectoryPosition(made.batch, made.slots, made.digest)

    def changes(self) -> tuple[DirectoryChanges, dict[int, Evidence]]:
        changes = self.model.changes(self.last().digest or Directory.empty().digest)
        blanked = set(changes.blanked.tolist())
        return changes, {
            slot: shown
            for slot, shown in self.model.evidence.items()
            if shown.act is RegistrationAct.REGISTER or slot in blanked
        }

    def show(self) -> Countersigned:
        return self.ask(*self.changes(), self.model.said)

    def ask(
        self,
        changes: DirectoryChanges,
        evidence: Mapping[int, Evidence],
        last: Countersigned | None = None,
    ) -> Countersigned:
        parts = parts_of(changes, evidence, last)
        made = self.office.CountersignDirectory(parts, timeout=20)
        self.model.said = Countersigned(made.payload, made.signature)
        return self.model.said

    def book(self, body: bytes) -> Countersigned:
        """Of the last directory that HQ made."""
        listed = self.model.directory
        header = BookHeader(self.seal, 1, 1, listed.slots, listed.digest)
        request = office_pb2.CountersignBookRequest(
            directory=listed.digest,
            signature=bytes(64),
            header=header.encode_header(),
            body=digest(body),
        )
        made = self.office.CountersignBook(request, timeout=20)
        return Countersigned(made.payload, made.signature)

    def heard(self) -> tuple[bytes, bytes]:
        """What an outlet hears from the office itself."""
        request = outlets_pb2.CountersignRequest(digest=secrets.token_bytes(DIGEST_BYTES))
        answer = self.notary.Countersign(request, timeout=20)
        return answer.directory, answer.book


def kind_of_refusal(call: grpc.RpcError) -> str:
    refusal = read_refusal(call)
    assert refusal is not None
    return refusal.type


def test_a_night_of_directory_and_book_over_the_wire(
    parties: Parties, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    parties.hours = 0
    close_batches(parties, 4)
    hq = Hq(parties)
    assert hq.last() == DirectoryPosition()
    assert hq.heard() == (b"", b"")
    for number, (come, go) in enumerate([((0, 1, 2), ()), ((3,), (1,)), ((1,), (0,))], start=1):
        hq.model.apply(come=come, go=go)
        said, directory = hq.show(), hq.model.directory
        found = open_publication(said, hq.key, DIRECTORY)
        assert (found.number, found.digest) == (number, directory.digest)
        assert hq.last() == DirectoryPosition(directory.batch, directory.slots, directory.digest)
        made = hq.book(b"book %d" % number)
        assert open_publication(made, hq.key, BOOK).number == number
        assert hq.heard() == (said.encode(), made.encode())
    for row in hq.model.directory.keys:
        assert row.tobytes().hex() not in caplog.text
        assert str(row.tobytes())[2:-1] not in caplog.text


def test_refusals_of_directories_and_books_travel_by_their_type(parties: Parties) -> None:
    close_batches(parties, 1)
    hq = Hq(parties)
    hq.model.apply(come=(0,))
    changes, evidence = hq.changes()
    later = replace(changes, batch=2)
    with pytest.raises(grpc.RpcError) as caught:
        hq.ask(later, evidence)
    assert kind_of_refusal(caught.value) == "DirectoryRefused"
    assert "got batch 2, expected 0" in refused(lambda: hq.ask(later, evidence))[1]
    said = hq.ask(changes, evidence)
    with pytest.raises(grpc.RpcError) as caught:
        hq.ask(changes, evidence, replace(said, payload=b"{}"))
    assert kind_of_refusal(caught.value) == "PublicationRefused"
    hq.book(b"a book")
    status, why = refused(lambda: hq.book(b"another"))
    assert status is grpc.StatusCode.FAILED_PRECONDITION
    assert "countersigned for directory number 1" in why
    with pytest.raises(grpc.RpcError) as caught:
        hq.office.CountersignBook(office_pb2.CountersignBookRequest(header=b"{}"), timeout=20)
    assert kind_of_refusal(caught.value) == "BookRefused"


def test_a_second_directory_of_one_night_is_too_soon_and_as_large_as_its_batches_at_most(
    parties: Parties,
) -> None:
    """The hours and the sizes of batches are those of the office's settings and of its relay."""
    close_batches(parties, 2)
    hq = Hq(parties)
    hq.model.apply(come=tuple(range(3 * parties.messages + 1)))
    with pytest.raises(grpc.RpcError) as caught:
        hq.show()
    assert kind_of_refusal(caught.value) == "DirectoryRefused"
    assert "got 7 new slots, expected at most 6" in refused(hq.show)[1]
    hq.model = HonestHq()
    hq.model.apply(come=(0,))
    hq.show()
    hq.model.apply(come=(1,))
    with pytest.raises(grpc.RpcError) as caught:
        hq.show()
    assert kind_of_refusal(caught.value) == "PublicationTooSoon"
    status, why = refused(hq.show)
    assert status is grpc.StatusCode.FAILED_PRECONDITION
    assert "0.0 hours after number 1, expected at least 19.0" in why


def test_a_relay_that_never_closed_a_batch_begins_near_the_directory_only(
    parties: Parties,
) -> None:
    model = HonestHq(batch=3)
    model.apply()
    with closing(publications(parties.office.folder, parties)) as store:
        changes = replace(model.changes(model.directory.digest), base=Directory.empty().digest)
        store.countersign_directory(NETWORK, changes, {}, None, open_batch=5, sizes={}, at=1e9)
    hq = Hq(parties)

    def collected(after: int) -> None:
        list(hq.office.CollectBatch(office_pb2.CollectBatchRequest(after=after), timeout=20))

    for after in (405, 2**40, 2**64 - 1):
        status, why = refused(lambda: collected(after))  # noqa: B023  (called at once)
        assert status is grpc.StatusCode.FAILED_PRECONDITION
        assert f"batch {after}: got it as the last that HQ applied, expected at most 404" in why
    collected(404)


def test_only_hq_asks_for_countersignatures(parties: Parties) -> None:
    hq = Hq(parties)
    book = office_pb2.CountersignBookRequest()
    for call in (
        lambda: hq.at_an_outlet.LastDirectory(office_pb2.LastDirectoryRequest(), timeout=20),
        lambda: hq.at_an_outlet.CountersignDirectory(parts_of(*hq.changes()), timeout=20),
        lambda: hq.at_an_outlet.CountersignBook(book, timeout=20),
    ):
        status, why = refused(call)
        assert (status, "expected one of hq" in why) == (grpc.StatusCode.PERMISSION_DENIED, True)


def test_a_paused_office_countersigns_no_directory_and_no_book(parties: Parties) -> None:
    hq = Hq(parties)
    hq.model.apply(come=(0,))
    asked = hq.changes()
    parties.paused = True
    for call in (hq.last, lambda: hq.ask(*asked), lambda: hq.book(b"")):
        status, why = refused(call)
        assert (status, "is paused" in why) == (grpc.StatusCode.UNAVAILABLE, True)


def test_a_first_release_is_of_the_directory_that_the_running_office_countersigned(
    parties: Parties,
) -> None:
    """The field of the office that signs is filled from what is countersigned."""
    hq = Hq(parties)
    hq.show()
    bench = Bench()
    bench.clock.at = time.time()
    lines = [office_pb2.PlannedReleases(purpose="moments", count=1, rho="1/1000")]
    request = office_pb2.SignNightRequest(night="n", cut_off=bench.cut_off, releases=lines)
    night = hq.office.SignNight(request, timeout=20)
    for name, signed in (("e" * 64, False), (hq.model.directory.digest, True)):
        draft = bench.draft(Signed(night.payload, night.signature), directory=name)
        release = office_pb2.SignReleaseRequest(draft=draft.encode())
        if signed:
            assert hq.office.SignRelease(release, timeout=20).payload
        else:
            why = refused(lambda: hq.office.SignRelease(release, timeout=20))[1]  # noqa: B023  (called at once)
            assert "expected " + hq.model.directory.digest[:16] in why


# --- parts ------------------------------------------------------------------------------------


def test_parts_are_put_together_however_they_were_cut() -> None:
    hq = HonestHq()
    hq.apply(come=(0, 1, 2))
    before = hq.directory
    hq.apply(come=(3, 4), go=(2, 0))
    changes = DirectoryChanges.between(before, hq.directory)
    shown = {slot: hq.evidence[slot] for slot in (2, 0, 3)}
    last = Countersigned(b"payload", b"signature")
    cut = list(parts_of(changes, shown, last))
    whole = office_pb2.DirectoryPart()
    for part in cut:
        whole.MergeFrom(office_pb2.DirectoryPart(head=part.head, evidence=part.evidence))
    whole.added = changes.added.tobytes()
    odd = [office_pb2.DirectoryPart(added=bytes([byte])) for byte in changes.added.tobytes()]
    for parts in (cut, [whole], [cut[0], *odd, *cut[-3:]]):
        network, found, evidence, told = read_directory(parts)
        assert (network, evidence, told) == (NETWORK, shown, last)
        assert found.encode() == changes.encode()
        assert found.applied(before).digest == hq.directory.digest
    assert read_directory(parts_of(changes, shown))[3] is None


def malformed() -> dict[str, list[office_pb2.DirectoryPart]]:
    """What is no directory, by why."""
    hq = HonestHq()
    hq.apply(come=(0,))
    head, added = list(parts_of(hq.changes(Directory.empty().digest), {}))
    proof = raw_evidence(0, hq.withdrawn(0))
    far, act = raw_evidence(MOST_SLOTS, hq.withdrawn(0)), raw_evidence(1, hq.withdrawn(0))
    act.act = 9
    return {
        "no part": [],
        "no head": [added],
        "a head too late": [added, head],
        "two heads": [head, head],
        "a part of a slot": [head, office_pb2.DirectoryPart(added=bytes(SLOT_BYTES - 1))],
        "evidence twice": [head, office_pb2.DirectoryPart(evidence=[proof, proof])],
        "a slot that cannot be": [head, office_pb2.DirectoryPart(evidence=[far])],
        "another act": [head, office_pb2.DirectoryPart(evidence=[act])],
    }


@pytest.mark.parametrize("what", malformed())
def test_malformed_parts_are_refused(what: str) -> None:
    with pytest.raises(Exception, match=r"directory|slot \d+") as caught:
        read_directory(malformed()[what])
    assert type(caught.value).__name__ == "DirectoryRefused"


def test_more_slots_than_the_office_holds_are_refused_while_they_arrive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("server.office.directory_parts.MOST_SLOTS", 3)
    head = next(parts_of(HonestHq().changes(Directory.empty().digest), {}))
    arrived = []

    def parts() -> Iterator[office_pb2.DirectoryPart]:
        yield head
        for number in range(100):
            arrived.append(number)
            yield office_pb2.DirectoryPart(added=bytes(SLOT_BYTES))

    with pytest.raises(Exception, match="more than 3 slots"):
        read_directory(parts())
    assert len(arrived) == 4


# --- backup and renewal -------------------------------------------------------------------------


def run(*words: object, code: int = 0, answer: str = "") -> str:
    done = CliRunner().invoke(app, [*map(str, words)], input=answer)
    assert done.exit_code == code, done.output
    return done.output


def publications(folder: Path, parties: Parties) -> Publications:
    signing = parties.office.identity().signing
    return Publications(store_at(f"sqlite:///{folder / 'office.db'}", OFFICE), signing, 20)


def test_a_backup_goes_on_from_the_directory_that_was_countersigned(
    parties: Parties, tmp_path: Path
) -> None:
    hq = HonestHq()
    hq.apply(come=(0, 1))
    with closing(publications(parties.office.folder, parties)) as store:
        changes = hq.changes(Directory.empty().digest)
        said = store.countersign_directory(
            NETWORK, changes, {}, None, open_batch=2, sizes={}, at=1e9
        )
        run("backup", tmp_path / "copy", "--home", parties.office.folder)
        position = store.last_directory()
    with closing(publications(tmp_path / "copy", parties)) as copy:
        assert copy.last_directory() == position
        assert copy.latest() == (said, None)
    held = b"".join(file.read_bytes() for file in (tmp_path / "copy").rglob("publications*"))
    assert parties.office.token_share().to_bytes() not in held


@pytest.fixture
def standing(parties: Parties) -> Path:
    """An office's folder with a ledger, kept seeds, an open seal, registrations and a directory."""
    home = parties.office.folder
    seals = SealBench(f"sqlite:///{home / 'office.db'}")
    seals.whole()
    seals.bench.night("sums")
    opened = seals.seal("s2", seals.night("night-2"))
    opened.sign()
    opened.store()
    seals.bench.store.close()
    close_batches(parties, 2)
    with closing(publications(home, parties)) as store:
        empty = HonestHq().changes(Directory.empty().digest)
        store.countersign_directory(NETWORK, empty, {}, None, open_batch=1, sizes={}, at=1e9)
    (home / "relay.db-journal").write_bytes(b"of a kill")
    return home


def test_a_renewal_makes_a_fresh_share_and_keeps_the_ledger(
    parties: Parties, standing: Path
) -> None:
    ring, old = parties.office, parties.office.token_share()
    policy = OfficeSettings().policy()
    with closing(
        OfficeStore(store_at(f"sqlite:///{standing / 'office.db'}", OFFICE), policy)
    ) as store:
        ledger = store.ledger()
    assert secrets_in(standing) == (3, 1)
    key = (standing / KEY_FILE).read_bytes()
    said = run("tokens", "renew", "--yes", "--home", standing)
    assert ring.token_share().to_bytes() != old.to_bytes()
    assert ring.token_share().epoch == 0
    card = ring.identity().card
    assert card.token_key == ring.token_share().public.hex()
    assert card == Card.decode(ring.public_file.read_bytes(), PartyKind.OFFICE)
    assert "escapement-hq tokens renew" in said
    assert card.fingerprint in said
    assert str(ring.public_file) in said
    assert not list(standing.glob("relay.db*"))
    assert not list(standing.glob("publications.db*"))
    assert secrets_in(standing) == (0, 0)
    assert (standing / KEY_FILE).read_bytes() != key
    with closing(
        OfficeStore(store_at(f"sqlite:///{standing / 'office.db'}", OFFICE), policy)
    ) as store:
        assert store.ledger() == ledger
        assert ledger.length == 1


def secrets_in(home: Path) -> tuple[int, int]:
    """How many kept seeds, and how many open seals' secrets there are."""
    with closing(sqlite3.connect(home / "office.db")) as connection:
        (kept,) = connection.execute("SELECT COUNT(*) FROM kept_seeds").fetchone()
        (opened,) = connection.execute("SELECT COUNT(secrets) FROM seals").fetchone()
        return kept, opened


def test_a_backup_of_a_folder_has_neither_the_vaults_key_nor_what_it_wraps(
    parties: Parties, standing: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    run("backup", copy, "--home", standing)
    assert (standing / KEY_FILE).exists()
    assert not list(copy.rglob(KEY_FILE))
    assert secrets_in(copy) == (0, 0)
    key = (standing / KEY_FILE).read_bytes()
    assert not any(key in file.read_bytes() for file in copy.rglob("*") if file.is_file())


def test_a_renewed_office_countersigns_the_first_directory_of_another_network(
    parties: Parties, standing: Path
) -> None:
    other = HonestHq(network=multiply_base(random_scalar()))
    changes = other.changes(Directory.empty().digest)

    def asked(store: Publications) -> Countersigned:
        return store.countersign_directory(
            other.network, changes, {}, None, open_batch=1, sizes={}, at=1e9
        )

    with closing(publications(standing, parties)) as store, pytest.raises(Exception, match="renew"):
        asked(store)
    run("tokens", "renew", "--yes", "--home", standing)
    with closing(publications(standing, parties)) as store:
        made = asked(store)
        assert store.last_directory().slots == 0
    key = parties.office.identity().card.verify_key
    assert open_publication(made, key, DIRECTORY).number == 1


def test_the_ledger_prints_one_promise_and_no_points(standing: Path) -> None:
    said = run("ledger", "--home", standing)
    assert "epsilon 0.000 of 4 at delta 1e-06" in said.splitlines()
    assert all(purpose in said for purpose in OfficeSettings().shares)
    assert "points" not in said


def test_an_office_is_not_renewed_without_a_word(parties: Parties, standing: Path) -> None:
    share = parties.office.token_share().to_bytes()
    before = {file: file.read_bytes() for file in standing.iterdir() if file.is_file()}
    for answer in ("", "n\n"):
        run("tokens", "renew", "--home", standing, code=1, answer=answer)
    assert {file: file.read_bytes() for file in standing.iterdir() if file.is_file()} == before
    run("tokens", "renew", "--home", standing, answer="y\n")
    assert parties.office.token_share().to_bytes() != share


def test_an_outlet_takes_the_renewed_card_in_place_of_the_one_before(
    parties: Parties, standing: Path
) -> None:
    outlet = parties.outlets["a"]
    before = outlet.token_key()
    run("tokens", "renew", "--yes", "--home", standing)
    introduce(outlet, parties.office)
    assert outlet.token_key() != before
