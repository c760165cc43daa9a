"""What HQ publishes of its slots: what the office countersigned, whole or as what changed."""

from __future__ import annotations

import logging
import secrets
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import grpc
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import override

from privacy.directory import Directory, DirectoryChanges, DirectoryPosition, DirectoryRefused
from privacy.envelopes import SigningKey
from privacy.identity import PartyKind
from privacy.publications import (
    Countersigned,
    PublicationKind,
    PublicationRefused,
    PublicationTooSoon,
    check_published,
    open_publication,
)
from privacy.registrations import Registration, RegistrationAct, RegistrationRefused
from privacy.tokens import TokenShare
from server.holder.database import copy_store
from server.holder.errors import RefreshRefused
from server.hq import shelf
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
from server.office.tables import OFFICE
from server.wire import outlets_pb2, outlets_pb2_grpc
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
    sealed,
    slot,
)
from tests.server.test_holder import Parties, refused
from tests.shelves import Press, make_book

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from privacy.publications import Publication

pytestmark = pytest.mark.usefixtures("both_engines")


@pytest.fixture
def hq() -> Hq:
    return Hq()


@pytest.fixture
def office() -> OfficeOf:
    return OfficeOf()


def said(office: OfficeOf, published: bytes | None) -> tuple[Publication, bytes]:
    """What the office says of what is published, and what that is."""
    assert published is not None
    countersigned, data = Countersigned.cut_off(published)
    return open_publication(countersigned, office.key.public, PublicationKind.DIRECTORY), data


def whole(office: OfficeOf, published: bytes | None) -> Directory:
    """A published directory, as an outlet reads it."""
    assert published is not None
    countersigned, data = Countersigned.cut_off(published)
    check_published(countersigned, office.key.public, PublicationKind.DIRECTORY, data)
    return Directory.decode(data)


# --- what the office is shown ------------------------------------------------------------------


def test_the_office_is_shown_what_changed_and_a_withdrawal_of_each_slot_that_is_blank(
    hq: Hq, office: OfficeOf
) -> None:
    hq.apply(Register(1, 1))
    hq.apply(Register(0, 0))
    office.announce(hq.registry)
    hq.apply(Withdraw(0, 0), Register(2, 2))
    hq.apply(Register(0, 3, since=3))
    hq.apply(Register(3, 4))
    hq.apply(Withdraw(3, 4))
    hq.apply(Register(3, 5, since=6))
    hq.apply(Withdraw(3, 5))
    directory = office.announce(hq.registry)
    changes, evidence = office.shown[-1]
    assert (changes.batch, changes.blanked.tolist(), len(changes.added)) == (8, [1], 4)
    acts = {place: one.act for place, one in evidence.items()}
    # Slots 4 and 5 were never shown before they were blank: of them the office needs none.
    assert acts == {1: RegistrationAct.WITHDRAW, 3: RegistrationAct.REGISTER}
    assert hq.slots() == [slot(1, 1), BLANK, slot(2, 2), slot(0, 3), BLANK, BLANK]
    assert whole(office, hq.registry.published(directory.digest)).digest == directory.digest


def test_an_office_that_was_restored_from_a_copy_is_shown_all_since_and_numbers_go_on(
    hq: Hq, office: OfficeOf, tmp_path: Path
) -> None:
    hq.apply(Register(0, 0))
    office.announce(hq.registry)
    copy_store(office.publications._engine, f"sqlite:///{tmp_path / 'copy.db'}", OFFICE)
    directory = Directory.empty()
    for message in (Withdraw(0, 0), Register(0, 2, since=2), Register(2, 3)):
        hq.apply(message)
        directory = office.announce(hq.registry)
    assert said(office, hq.registry.published(directory.digest))[0].number == 4
    copy = OfficeOf(url=f"sqlite:///{tmp_path / 'copy.db'}", key=office.key)
    assert copy.announce(hq.registry).digest == directory.digest
    assert sorted(copy.shown[0][1]) == [0, 1]
    assert said(copy, hq.registry.published(directory.digest))[0].number == 5
    hq.apply(Register(3, 4))
    directory = copy.announce(hq.registry)
    assert said(copy, hq.registry.published(directory.digest))[0].number == 6


def test_a_registry_that_is_an_old_copy_says_so_instead_of_showing_nonsense(
    office: OfficeOf,
) -> None:
    newest, old = Hq(), Hq()
    for one in (newest, old):
        one.apply(Register(0, 0))
    newest.apply(Register(1, 1))
    office.announce(newest.registry)
    with pytest.raises(DirectoryRefused, match=r"batch 2, HQ's registry is at batch 1 .* restore"):
        office.announce(old.registry)
    old.apply(Register(1, 1), Register(2, 2))  # another second batch
    with pytest.raises(DirectoryRefused, match=r"has 2 slots of batch 2, .* had 3 slots then"):
        office.announce(old.registry)
    assert old.registry.last_statement() is None


def test_a_registry_that_lacks_a_withdrawal_says_so_too(office: OfficeOf) -> None:
    newest, old = Hq(), Hq()
    for one in (newest, old):
        one.apply(Register(0, 0))
    newest.apply(Withdraw(0, 0))
    office.announce(newest.registry)
    with pytest.raises(DirectoryRefused, match="HQ's registry is at batch 1"):
        office.announce(old.registry)


def test_what_the_office_signed_with_another_key_or_of_something_else_is_not_published(
    hq: Hq, office: OfficeOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    hq.apply(Register(0, 0))
    stranger = replace(office, key=SigningKey.generate())
    monkeypatch.setattr(office, "publications", stranger.publications)
    with pytest.raises(PublicationRefused, match="not countersigned by the pinned"):
        office.announce(hq.registry)
    monkeypatch.undo()
    hq.apply(Register(1, 1))
    changes, evidence = hq.registry.changes_since(office.last_directory())
    other = replace(changes, added=changes.added[:1])
    monkeypatch.setattr(Registry, "changes_since", lambda *_: (other, evidence))
    with pytest.raises(PublicationRefused, match="the privacy office countersigned"):
        office.announce(hq.registry)
    assert hq.registry.latest_directory() is None


def test_a_kill_before_the_office_is_heard_is_taken_up_with_the_same_statement(
    hq: Hq, office: OfficeOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    hq.apply(Register(0, 0))
    with monkeypatch.context() as patched:
        patched.setattr(Registry, "publish", die)
        with pytest.raises(KeyboardInterrupt):
            office.announce(hq.registry)
    directory = office.announce(hq.registry)
    assert said(office, hq.registry.published(directory.digest))[0].number == 1


def test_the_registration_that_counts_is_shown_of_who_came_back_twice(
    hq: Hq, office: OfficeOf
) -> None:
    hq.apply(Register(0, 0))
    office.announce(hq.registry)
    hq.apply(Withdraw(0, 0))
    hq.apply(Register(0, 1, since=2))
    office.announce(hq.registry)
    hq.apply(Withdraw(0, 1))
    hq.apply(Register(0, 2, since=4))
    office.announce(hq.registry)
    assert hq.slots() == [BLANK, BLANK, slot(0, 2)]


# --- what outlets fetch ------------------------------------------------------------------------


def test_the_latest_three_directories_are_kept_whole_and_an_unchanged_one_is_kept_as_it_is(
    hq: Hq, office: OfficeOf
) -> None:
    digests = [office.announce(hq.registry).digest]
    first = hq.registry.published(digests[0])
    assert office.announce(hq.registry).digest == digests[0]
    assert hq.registry.published(digests[0]) == first
    for number in range(3):
        hq.apply(Register(number, number))
        digests.append(office.announce(hq.registry).digest)
    assert hq.registry.published(digests[0]) is None
    for digest in digests[1:]:
        assert whole(office, hq.registry.published(digest)).digest == digest
    assert hq.registry.published("") is None
    assert hq.registry.latest_directory() == hq.registry.published(digests[-1])


def test_the_directory_of_the_book_that_stands_is_kept_too(hq: Hq, office: OfficeOf) -> None:
    first = office.announce(hq.registry)
    version = hq.registry.next_version()
    codes = np.zeros((first.slots, 3), dtype=np.uint8)
    book = make_book(codes, first, as_of="2026-01-01", version=version)
    hq.registry.add_book(version, Press(office=office.key).book(book))
    for number in range(5):
        hq.apply(Register(number, number))
        office.announce(hq.registry)
    assert whole(office, hq.registry.published(first.digest)).digest == first.digest


def test_directories_of_long_ago_leave_no_row_and_their_holders_fetch_the_whole(
    hq: Hq, office: OfficeOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf, "ROWS_KEPT", 4)
    digests = []
    for number in range(6):
        hq.apply(Register(number, number))
        digests.append(office.announce(hq.registry).digest)
    last = digests[-1]
    full = hq.registry.published(last)
    assert full is not None
    answers = [hq.registry.published(last, held) for held in digests]
    assert [answer == full for answer in answers[:2]] == [True, True]
    assert [answer == full for answer in answers[2:]] == [False] * 4


def test_an_unchanged_directory_is_published_under_the_offices_next_number(
    hq: Hq, office: OfficeOf
) -> None:
    digests = []
    for number in range(3):
        hq.apply(Register(number, number))
        digests.append(office.announce(hq.registry).digest)
    office.clock.at += 21 * 3600
    assert office.announce(hq.registry).digest == digests[-1]
    assert said(office, hq.registry.published(digests[-1]))[0].number == 4
    assert (
        hq.registry.last_statement()
        == Countersigned.cut_off(hq.registry.latest_directory() or b"")[0]
    )
    assert hq.registry.published(digests[0]) is not None  # no other one took its place


def test_who_holds_a_directory_gets_what_changed_since_and_a_stranger_to_it_the_whole(
    hq: Hq, office: OfficeOf
) -> None:
    made = []
    for message in (Register(0, 0), Register(1, 1), Withdraw(0, 0), Register(2, 2), Register(3, 3)):
        hq.apply(message)
        made.append(office.announce(hq.registry))
    wanted = made[-1].digest
    for held in made:  # the first two are not among the latest any more: held they can be
        countersigned, data = Countersigned.cut_off(
            hq.registry.published(wanted, held.digest) or b""
        )
        assert DirectoryChanges.are_in(data)
        after = DirectoryChanges.decode(data).applied(held)
        check_published(countersigned, office.key.public, PublicationKind.DIRECTORY, after.encode())
    fresh = hq.registry.published(wanted)
    for unknown in ("", "beef", Directory.empty().digest):
        assert hq.registry.published(wanted, unknown) == fresh
    assert hq.registry.published(made[0].digest, wanted) is None
    older = hq.registry.published(made[-2].digest)
    assert hq.registry.published(made[-2].digest, wanted) == older  # of a later one, the whole


HISTORIES = st.lists(
    st.lists(
        st.one_of(
            st.builds(Register, st.integers(0, 5), st.integers(0, 5), st.integers(0, 9)),
            st.builds(Withdraw, st.integers(0, 5), st.integers(0, 5)),
        ),
        max_size=6,
    ),
    min_size=1,
    max_size=7,
)


@pytest.mark.sqlite_only
@settings(max_examples=40)
@given(history=HISTORIES, announced=st.lists(st.booleans(), min_size=7, max_size=7))
def test_what_changed_since_any_directory_makes_the_whole_of_it(
    history: Sequence[Sequence[Message]], announced: Sequence[bool]
) -> None:
    hq, office, made = Hq(), OfficeOf(), list[Directory]()
    for messages, announces in zip(history, announced, strict=False):
        hq.apply(*messages)
        if announces:
            made.append(office.announce(hq.registry))
    for wanted in made[-3:]:
        for held in made[: made.index(wanted) + 1]:
            published = hq.registry.published(wanted.digest, held.digest)
            assert published is not None
            data = Countersigned.cut_off(published)[1]
            assert DirectoryChanges.decode(data).applied(held).encode() == wanted.encode()
            assert data == DirectoryChanges.between(held, wanted).encode()
            assert hq.registry.published(wanted.digest, held.digest) == published


def test_an_answer_is_kept_for_the_next_who_asks_the_same_and_only_a_few_are(
    hq: Hq, office: OfficeOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = list[int]()
    decode = Directory.decode.__func__  # type: ignore[attr-defined]

    def counted(cls: type[Directory], data: bytes) -> Directory:
        read.append(len(data))
        return decode(cls, data)  # type: ignore[no-any-return]

    made = []
    for batch in range(12):
        hq.apply(*[Register(batch, batch)] if batch < 6 else [Dummy()])
        made.append(office.announce(hq.registry).digest)
    monkeypatch.setattr(Directory, "decode", classmethod(counted))
    for _ in range(5):
        hq.registry.published(made[-1], made[-2])
    assert len(read) == 1
    for held in made:
        hq.registry.published(made[-1], held)
    assert len(hq.registry._changes) == 8
    before = hq.registry.published(made[-1], made[-2])
    office.clock.at += 21 * 3600
    office.announce(hq.registry)
    now = hq.registry.published(made[-1], made[-2])
    assert now != before  # behind the new statement
    assert [Countersigned.cut_off(one or b"")[1] for one in (before, now)] == [
        DirectoryChanges(made[-2], 12, np.zeros(0, np.uint32), hq.registry.directory().rows[6:])
        .encode()
    ] * 2  # fmt: skip


# --- books -------------------------------------------------------------------------------------


def test_a_registry_restored_from_an_old_copy_gives_later_versions_than_it_gave_before() -> None:
    now = 1_800_000_000.5
    lost = Registry("sqlite://", clock=lambda: now)
    given = [lost.next_version() for _ in range(3)]
    assert given == [1_800_000_000, 1_800_000_001, 1_800_000_002]
    now += 86_400
    assert Registry("sqlite://", clock=lambda: now).next_version() > given[-1]


def test_no_version_of_a_book_is_given_twice_and_none_goes_back() -> None:
    registry = Registry("sqlite://", clock=lambda: 0.0)
    assert registry.latest_book() is None
    first, second = registry.next_version(), registry.next_version()
    assert (first, second) == (1, 2)
    registry.add_book(second, b"two")
    registry.add_book(second, b"two")
    for version, encoded in ((first, b"one"), (second, b"other"), (3, b"never given")):
        with pytest.raises(ValueError, match="expected 3 to 2"):
            registry.add_book(version, encoded)
    assert registry.latest_book() == b"two"
    assert registry.next_version() == 3


def test_a_draft_is_of_the_directory_as_the_office_numbered_it_last(
    hq: Hq, office: OfficeOf
) -> None:
    digest = office.announce(hq.registry).digest
    assert hq.registry.drafted(digest) is None
    hq.registry.draft(1, digest, b"one")
    hq.registry.draft(2, digest, b"two")
    office.announce(hq.registry)  # the same statement again
    assert hq.registry.drafted(digest) == b"two"
    assert hq.registry.drafted("another") is None
    office.clock.at += 21 * 3600
    office.announce(hq.registry)
    assert hq.registry.drafted(digest) is None


# --- a night's directory -----------------------------------------------------------------------


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


# --- over the wire -----------------------------------------------------------------------------


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
