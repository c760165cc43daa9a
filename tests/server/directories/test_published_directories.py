"""What HQ publishes of its slots: what the office countersigned, whole or as what changed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privacy.directory import Directory, DirectoryChanges, DirectoryRefused
from privacy.envelopes import SigningKey
from privacy.publications import (
    Countersigned,
    PublicationKind,
    PublicationRefused,
    check_published,
)
from privacy.registrations import RegistrationAct
from server.holder.database import copy_store
from server.hq import shelf
from server.hq.registry import Registry
from server.office.tables import OFFICE
from tests.server.directories.readings import said, whole
from tests.server.registrations import (
    BLANK,
    Dummy,
    Hq,
    Message,
    OfficeOf,
    Register,
    Withdraw,
    slot,
)
from tests.shelves import Press, make_book

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


pytestmark = pytest.mark.usefixtures("both_engines")


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
