"""An HQ that was restored from an older copy goes on from what the office countersigned."""

from __future__ import annotations

import datetime as dt
import logging
import shutil
import sqlite3
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import TYPE_CHECKING

import grpc
import numpy as np
import pytest
from typer.testing import CliRunner

from outlet_client.people.people_store import People, State
from privacy.directory import Directory, DirectoryChanges, DirectoryPosition, DirectoryRefused
from privacy.envelopes import SigningKey
from privacy.identity import PartyKind
from privacy.publications import (
    Countersigned,
    Publication,
    PublicationKind,
    PublicationRefused,
    check_published,
    countersign,
    open_publication,
)
from privacy.registration_losses import open_loss
from privacy.registrations import Registration
from privacy.seal_plans import SealKind
from privacy.tokens import Token, TokenShare
from server.holder.directory_copy import DirectoryCopy
from server.hq.directory_announcement import take_over, tonights_directory
from server.hq.main import app
from server.hq.office_client import OfficeClient
from server.hq.privacy_office import CollectedBatch
from server.hq.registry import BatchCounts, Registry
from server.hq.registry_adoption import AdoptedSlots
from server.hq.tables import HQ
from server.wire import office_pb2, office_pb2_grpc
from tests.builders import store_at
from tests.privacy.slots import slot_key
from tests.server.registrations import (
    BLANK,
    HQ_SHARE,
    KEY,
    NETWORK,
    SECRETS,
    Dummy,
    Hq,
    Message,
    OfficeOf,
    Register,
    Withdraw,
    nonce,
    sealed,
    tag,
)
from tests.server.test_holder import Parties, refused
from tests.server.test_office_calls import close_batches
from tests.shelves import make_book

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

NIGHTS: Sequence[Sequence[Message]] = [
    [Register(0, 0), Register(1, 1)],
    [Withdraw(0, 0), Register(2, 2), Register(1, 3)],
    [Register(3, 4), Register(0, 5, since=2)],
]
"""What outlets send in three batches: customer 0 leaves and comes back, 1 is known to two."""


def tonight(office: OfficeOf, hq: Hq) -> Directory:
    return tonights_directory("", office, hq.registry, KEY, HQ_SHARE, office.key.public)


def restore(office: OfficeOf, hq: Hq, share: TokenShare = HQ_SHARE) -> AdoptedSlots:
    """What `escapement-hq restored` does."""
    return take_over(office, hq.registry, share, office.key.public)


def recovered(office: OfficeOf, hq: Hq) -> Directory:
    """The directory of the first night after that."""
    restore(office, hq)
    return tonight(office, hq)


class History:
    """An HQ, its office, and a copy of HQ's database from before each night."""

    def __init__(self, folder: Path, nights: Sequence[Sequence[Message]] = NIGHTS) -> None:
        self.folder, self.office = folder, OfficeOf()
        self.newest = Hq(Registry(store_at(f"sqlite:///{folder / 'hq.db'}", HQ)))
        self.past: list[Directory] = []
        for messages in nights:
            self.copy()
            self.newest.apply(*messages)
            self.past.append(self.office.announce(self.newest.registry))
        self.office.asked.clear()

    def copy(self) -> None:
        shutil.copy(self.folder / "hq.db", self._file(self.newest.registry.last_batch()))

    def restored(self, batch: int) -> Hq:
        """HQ as it was when that was the last batch."""
        place = self.folder / f"restored-{len(list(self.folder.iterdir()))}.db"
        shutil.copy(self._file(batch), place)
        return Hq(Registry(store_at(f"sqlite:///{place}", HQ)))

    def _file(self, batch: int) -> Path:
        return self.folder / f"copy-{batch}.db"


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path)


def everything(hq: Hq) -> list[str]:
    """All that is in HQ's database."""
    file = hq.registry._engine.url.database
    assert file is not None
    with closing(sqlite3.connect(file)) as connection:
        return list(connection.iterdump())


# --- what it goes on with ----------------------------------------------------------------------


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


# --- who withdrew ------------------------------------------------------------------------------


CAME, WENT = Register(4, 4), Withdraw(4, 4)


@pytest.mark.parametrize(
    ("nights", "left"),
    [
        ([[CAME], [WENT], [Dummy()]], 2),  # HQ's copy has the slot
        ([[Register(1, 1)], [CAME], [WENT]], 3),  # it never had it
    ],
)
def test_who_withdrew_in_a_lost_batch_stays_withdrawn_until_a_newer_consent(
    tmp_path: Path, nights: Sequence[Sequence[Message]], left: int
) -> None:
    history = History(tmp_path, nights)
    hq, office = history.restored(1), history.office
    slots = recovered(office, hq).slots
    assert BLANK in hq.slots()
    older = [Register(4, 2), Register(4, 3, since=left - 1)]
    assert hq.apply(*older) == BatchCounts(refused=2)
    assert office.announce(hq.registry).slots == slots
    assert hq.apply(Register(4, 5, since=left)) == BatchCounts(registered=1)
    directory = office.announce(hq.registry)
    assert directory.keys[-1].tobytes() == slot_key(4).public
    hq.apply(Withdraw(4, 5))
    assert hq.apply(Register(4, 6, since=left)) == BatchCounts(refused=1)
    assert office.announce(hq.registry).blank[-1]


def test_a_key_that_the_office_never_saw_alive_stays_withdrawn_too(tmp_path: Path) -> None:
    history = History(tmp_path, [[Register(1, 1)]])
    history.newest.apply(CAME)  # a night that ended before the office was shown it
    history.copy()
    history.newest.apply(WENT)
    history.office.announce(history.newest.registry)
    hq = history.restored(2)
    assert recovered(history.office, hq).blank.tolist() == [False, True]
    assert hq.apply(Register(4, 2), Register(4, 3, since=2)) == BatchCounts(refused=2)
    assert hq.apply(Register(4, 5, since=3)) == BatchCounts(registered=1)
    assert history.office.announce(hq.registry).slots == 3


def test_a_restored_hq_is_restored_once_more(history: History) -> None:
    hq = history.restored(1)
    recovered(history.office, hq)
    place = hq.registry._engine.url.database
    hq.apply(Withdraw(2, 2))
    history.office.announce(hq.registry)
    assert place is not None
    other = Hq(
        Registry(store_at(f"sqlite:///{shutil.copy(history._file(2), place + '.older')}", HQ))
    )
    assert recovered(history.office, other).encode() == hq.registry.directory().encode()
    assert other.apply(Register(2, 6, since=3)) == BatchCounts(refused=1)
    assert other.apply(Register(2, 6, since=4)) == BatchCounts(registered=1)
    assert history.office.announce(other.registry).slots == 6


def test_a_withdrawal_by_an_outlet_whose_registration_was_lost_comes_through_in_the_end(
    tmp_path: Path,
) -> None:
    office, whose = OfficeOf(), Token(TokenShare.generate().public)
    first, second = (People("sqlite://", secret * 32) for secret in (b"1", b"2"))
    at = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
    hq = Hq(Registry(store_at(f"sqlite:///{tmp_path / 'hq.db'}", HQ)))

    def night(hq: Hq) -> None:
        batch = (office.last_directory().batch or 0) + 1
        handed = list[bytes]()
        for people in (first, second):
            handed += people.submission(batch, 2, KEY.public, NETWORK) or []
            people.submitted(batch)
        office.batches = {batch: handed}
        directory = tonight(office, hq)
        for people in (first, second):
            people.follow(directory, batch)

    def consents(people: People) -> None:
        people.record_consent("anna", "n", "mei", at)
        people.keep_tokens({"anna": whose})

    def states() -> list[State]:
        found = [people.person("anna") for people in (first, second)]
        return [person.state for person in found if person is not None]

    consents(first)
    night(hq)
    shutil.copy(tmp_path / "hq.db", tmp_path / "copy.db")
    consents(second)
    night(hq)
    assert states() == [State.LISTED, State.LISTED]
    hq = Hq(Registry(store_at(f"sqlite:///{tmp_path / 'copy.db'}", HQ)))
    restore(office, hq)
    assert second.withdraw("anna") is State.WITHDRAWING
    for _ in range(3):  # refused twice, as HQ does not know the registration; then registered
        night(hq)
        assert states() == [State.LISTED, State.WITHDRAWING]
    for _ in range(9):  # each attempt after the first is within three batches
        night(hq)
    assert states() == [State.BURIED, State.WITHDRAWN]
    assert hq.slots() == [BLANK]


def test_the_old_secret_of_who_withdrew_in_a_lost_batch_does_nothing(history: History) -> None:
    hq = history.restored(1)
    recovered(history.office, hq)
    assert hq.apply(Withdraw(0, 0), Register(0, 0, since=3)) == BatchCounts(nothing=2)
    assert hq.apply(Withdraw(0, 5)) == BatchCounts(withdrawn=1)


# --- fine books --------------------------------------------------------------------------------


def test_a_fine_book_hides_the_slots_that_were_taken_over_from_everybody(history: History) -> None:
    hqs = [history.restored(1), history.restored(1)]
    directory, _ = (recovered(history.office, hq) for hq in hqs)
    for hq in hqs:
        kept, taken = 0, 0
        for version in range(1, 21):
            book = make_book(
                np.full((directory.slots, 2), 3, np.uint8),
                directory,
                as_of="2026-03-01",
                kind=SealKind.FINE,
                version=version,
                nonces=hq.registry.home_nonces(),
            )
            for customer, secret in ((1, 1), (2, 2), (3, 4), (0, 5)):
                key = slot_key(customer)
                place = int(directory.places(np.frombuffer(key.public, np.uint8)[None])[0])
                entries = [book.read(place, key, shown) for shown in (nonce(secret), b"")]
                right = [entry is not None and entry.codes == (3, 3) for entry in entries]
                if customer == 1:
                    kept += right[0]
                else:
                    taken += any(right)
        # Of 120 random pairs of bins nine are right by chance at less than 1 in 10^8.
        assert (kept, taken < 9) == (20, True)
    drawn = [set(hq.registry.home_nonces()) for hq in hqs]
    assert drawn[0] & drawn[1] == {b"", nonce(1)}  # each HQ, and each slot, has its own
    assert [len(some) for some in drawn] == [5, 5]


def test_of_slots_that_were_taken_over_only_the_homes_are_counted(history: History) -> None:
    hq = history.restored(1)
    recovered(history.office, hq)
    counts, blank = hq.registry.registrations_of_slots(), hq.registry.directory().blank
    assert set(counts[~blank].tolist()) == {1}
    assert set(counts[blank].tolist()) == {0}


# --- registrations that are handed in again ----------------------------------------------------


def test_the_office_tells_outlets_once_what_an_hq_lost(history: History) -> None:
    office = history.office
    assert office.publications.last_loss() is None
    restore(office, history.restored(1))
    restore(office, history.restored(1))  # its folder was copied back twice
    restore(office, history.restored(2))
    signed = office.publications.last_loss()
    assert signed is not None
    found = open_loss(signed, office.key.public)
    assert (found.number, found.after, found.upto) == (1, 1, 3)
    restore(office, history.restored(0))
    assert [(loss.after, loss.upto) for loss in office.publications.losses()] == [(1, 3), (0, 3)]


def test_what_outlets_hand_in_again_is_all_that_hq_lost_of_live_slots(history: History) -> None:
    hq, newest = history.restored(0), history.newest
    recovered(history.office, hq)
    assert set(hq.registry.home_nonces()) & set(newest.registry.home_nonces()) == {b""}
    again = [Register(1, 1), Register(2, 2), Register(1, 3), Register(3, 4), Register(0, 5)]
    assert hq.apply(*again) == BatchCounts(registered=5)
    assert hq.slots() == newest.slots()
    assert hq.apply(*again) == BatchCounts(nothing=5)
    counts = hq.registry.registrations_of_slots()
    assert counts.tolist() == newest.registry.registrations_of_slots().tolist()
    assert hq.apply(Withdraw(1, 3)) == BatchCounts(withdrawn=1)


def test_nobody_who_withdrew_in_a_lost_batch_gets_a_slot_by_what_is_handed_in_again(
    tmp_path: Path,
) -> None:
    history = History(tmp_path, [[CAME], [Register(4, 5)], [WENT]])
    hq = history.restored(1)
    recovered(history.office, hq)
    assert hq.apply(CAME, Register(4, 5)) == BatchCounts(nothing=1, refused=1)
    assert hq.slots() == [BLANK]
    assert history.office.announce(hq.registry).blank.tolist() == [True]


def test_a_stranger_who_knows_a_tag_gives_a_home_no_other_nonce(history: History) -> None:
    hq = history.restored(0)
    recovered(history.office, hq)
    nonces = hq.registry.home_nonces()
    # Another outlet knows the key, and not the secret: its own nonce has another tag.
    assert hq.apply(Register(1, 6)) == BatchCounts(registered=1)
    assert hq.registry.home_nonces() == nonces


def test_batches_that_hq_had_collected_and_lost_are_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """No directory shows them, so outlets hand in again by themselves."""
    history = History(tmp_path, [[Register(1, 1)]])
    hq, office = history.newest, history.office
    office.forgotten, office.batches = 4, {5: sealed(5, Register(2, 2))}
    assert tonight(office, hq).batch == 5
    assert [one[0] for one in hq.slots()] == [slot_key(1).public, slot_key(2).public]
    assert "batches 2 to 4 were collected before and are lost" in caplog.text
    office.forgotten = 10**6
    tonight(office, hq)
    assert hq.registry.last_batch() == 5  # that far nobody is
    assert "said to be collected before, expected at most" in caplog.text


# --- what is refused ---------------------------------------------------------------------------


def statement(office: OfficeOf, directory: bytes) -> Countersigned:
    """What the office says of a directory, were it its next one."""
    name = Directory.decode(directory).digest
    return countersign(Publication(PublicationKind.DIRECTORY, 9, name, name, 1), office.key)


def changed(directory: bytes, slot: int, place: int) -> bytes:
    """A directory with another byte in a slot."""
    rows = Directory.decode(directory).rows.copy()
    rows[slot, place] ^= 1
    return Directory(Directory.decode(directory).batch, rows).encode()


def refuses(hq: Hq, history: History, copy: DirectoryCopy, why: str) -> None:
    """Expects that this copy is refused and changes nothing."""
    hq.registry.keep_network(NETWORK)  # as every night does
    before = everything(hq)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(history.office, "fetch_directory", lambda _network, _after: copy)
        with pytest.raises((DirectoryRefused, PublicationRefused), match=why) as caught:
            restore(history.office, hq)
    assert everything(hq) == before
    for row in Directory.decode(copy.directory).rows:
        assert row[:32].tobytes().hex() not in str(caught.value)
    assert recovered(history.office, hq).digest == history.past[-1].digest


def test_a_forged_or_altered_directory_is_refused_and_changes_nothing(history: History) -> None:
    hq, office = history.restored(1), history.office
    copy = office.fetch_directory(NETWORK, 1)
    stranger = replace(office, key=SigningKey.generate())
    forged = statement(stranger, copy.directory)
    name = Directory.decode(copy.directory).digest
    of_a_book = countersign(Publication(PublicationKind.BOOK, 9, name, name, 1), office.key)
    another = history.past[1].encode()
    wrong = [
        (replace(copy, said=forged), "not countersigned by the pinned"),
        (replace(copy, said=replace(copy.said, signature=bytes(64))), "not countersigned"),
        (replace(copy, said=of_a_book), "said of a book"),
        (replace(copy, directory=changed(copy.directory, 4, 40)), "the privacy office counters"),
        (replace(copy, directory=another), "the privacy office countersigned"),
    ]
    for altered, why in wrong:
        refuses(hq, history, altered, why)
        hq = history.restored(1)


def test_a_directory_that_does_not_go_on_from_hqs_is_refused_whoever_signed_it(
    history: History,
) -> None:
    copy = history.office.fetch_directory(NETWORK, 1)
    mine = Directory.decode(copy.directory)
    one = int(np.flatnonzero(~mine.blank[:2])[0])
    shorter = Directory(3, mine.rows[:1]).encode()
    for other in (changed(copy.directory, one, 0), changed(copy.directory, one, 40), shorter):
        said = statement(history.office, other)
        altered = replace(copy, said=said, directory=other)
        refuses(history.restored(1), history, altered, r"batch 3, does not go on .* of batch 1; re")


@pytest.mark.parametrize("batch", [4, 2**32, 2**62, 2**63 + 5, 2**64 - 1])
def test_a_withdrawal_of_a_batch_that_is_not_in_the_directory_is_refused(
    history: History, batch: int
) -> None:
    """No consent would ever be newer than such a one."""
    copy = history.office.fetch_directory(NETWORK, 1)
    withdrawn = {**copy.withdrawn, bytes(32): batch}
    why = f"a withdrawal of batch {batch}, expected at most 3, its own; ask the office"
    refuses(history.restored(1), history, replace(copy, withdrawn=withdrawn), why)
    read = DirectoryCopy.decode(replace(copy, withdrawn=withdrawn).encode())
    refuses(history.restored(1), history, read, why)


@pytest.mark.parametrize("batch", [10_002, 2**32, 2**50, 2**53])
def test_a_directory_of_a_batch_that_cannot_be_is_refused(history: History, batch: int) -> None:
    """HQ would ask for the batch after that one, and outlets would seal for it."""
    copy = history.office.fetch_directory(NETWORK, 1)
    other = Directory(batch, Directory.decode(copy.directory).rows).encode()
    altered = replace(copy, said=statement(history.office, other), directory=other)
    why = f"is of batch {batch}, expected at most 10001, 10000 after HQ's registry"
    refuses(history.restored(1), history, altered, why)


@pytest.mark.parametrize("batch", [2**63, 2**64 - 1])
def test_whatever_batch_the_office_names_hq_says_what_is_wrong(
    history: History, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    there = DirectoryPosition(batch, 5, "00" * 32)
    monkeypatch.setattr(history.office, "last_directory", lambda: there)
    with pytest.raises(DirectoryRefused, match=f"one of batch {batch}"):
        tonight(history.office, history.newest)
    with pytest.raises(DirectoryRefused, match=f"has 5 slots of batch {batch}"):
        history.office.announce(history.newest.registry)


def test_a_home_tag_of_another_registration_is_refused(history: History) -> None:
    copy = history.office.fetch_directory(NETWORK, 1)
    rows = Directory.decode(copy.directory).rows.copy()
    for known in (tag(1), tag(0), rows[3, 32:].tobytes()):  # of a slot, of a dead one, of a new one
        rows[4, 32:] = np.frombuffer(known, np.uint8)
        other = Directory(3, rows).encode()
        altered = replace(copy, said=statement(history.office, other), directory=other)
        refuses(history.restored(1), history, altered, "home tag of another registration")


def test_a_registry_of_the_same_batch_with_other_content_is_refused(history: History) -> None:
    other = Hq(Registry("sqlite://"))
    for _ in NIGHTS:
        other.apply(Dummy())
    with pytest.raises(DirectoryRefused, match=r"has 5 slots .* had 0 slots then.* restore the n"):
        tonight(history.office, other)
    hq = history.restored(2)
    hq.apply(Register(4, 6), Register(5, 7))
    assert hq.registry.directory().slots == 5  # as many, of others
    asked = len(history.office.shown)
    with pytest.raises(DirectoryRefused, match="or other ones; restore the newest copies"):
        tonight(history.office, hq)
    assert len(history.office.shown) == asked


def test_a_renewed_hq_does_not_take_the_old_networks_directory(history: History) -> None:
    hq = Hq()
    with pytest.raises(DirectoryRefused, match=r"another network .* tokens renew"):
        restore(history.office, hq, TokenShare.generate())
    assert (hq.registry.last_batch(), hq.registry.directory().slots) == (0, 0)


def test_an_office_that_countersigned_nothing_gives_no_directory() -> None:
    with pytest.raises(DirectoryRefused, match="none was countersigned yet"):
        OfficeOf().fetch_directory(NETWORK, 1)


# --- kills, and an office that is a copy too ----------------------------------------------------


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


# --- over the wire -----------------------------------------------------------------------------


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
