"""Which directories the office countersigns, under which numbers, and when."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path  # noqa: TC003  (pytest reads annotations)

import pytest

from privacy.directory import (
    Directory,
    DirectoryPosition,
)
from privacy.envelopes import SigningKey
from privacy.publications import (
    Countersigned,
    Publication,
    PublicationKind,
    PublicationRefused,
    PublicationTooSoon,
    countersign,
)
from server.holder.database import copy_store
from server.office.tables import OFFICE
from tests.builders import Clock
from tests.privacy.slots import rows_of
from tests.server.publications.shown_changes import HOUR, Killed, changes_of, refuse
from tests.server.slot_histories import HonestHq, PublishingOffice

pytestmark = pytest.mark.usefixtures("both_engines")


def test_a_directory_is_countersigned_by_its_content_under_the_next_number(
    office: PublishingOffice,
) -> None:
    hq = HonestHq()
    assert office.store.last_directory() == DirectoryPosition()
    assert office.store.latest_directory() == ""
    assert office.store.latest() == (None, None)
    for number, come in enumerate([(0, 1, 2), (), (3,)], start=1):
        hq.apply(come=come)
        office.clock.at += 24 * HOUR
        made = hq.directory.digest
        expected = Publication(PublicationKind.DIRECTORY, number, made, made, int(office.clock.at))
        assert office.show(hq) == expected
        position = DirectoryPosition(hq.batch, hq.directory.slots, made)
        assert office.store.last_directory() == position
        assert office.store.latest_directory() == made
        assert office.store.latest() == (hq.said, None)


def test_numbers_grow_whatever_hq_shows_as_its_last(office: PublishingOffice, hq: HonestHq) -> None:
    hq.said = None
    for number in (3, 4):
        hq.apply()
        assert office.show(hq).number == number
        hq.said = None


def test_an_empty_directory_is_one_too(office: PublishingOffice) -> None:
    hq = HonestHq()
    office.open_batch = 1
    assert office.show(hq).digest == Directory.empty().digest
    assert office.store.latest_directory() == Directory.empty().digest


def test_a_withdrawal_blanks_its_slot_and_a_return_stands_in_a_new_one(
    office: PublishingOffice, hq: HonestHq
) -> None:
    hq.apply(go=(1, 3))
    assert office.show(hq).digest == hq.directory.digest
    hq.apply(come=(3,))
    assert office.show(hq).digest == hq.directory.digest
    assert hq.slots[3] == 5
    assert hq.directory.blank.tolist() == [False, True, False, True, False, False]


def test_who_left_and_came_back_between_two_directories_is_shown_with_both_proofs(
    office: PublishingOffice, hq: HonestHq
) -> None:
    hq.apply(go=(2,))
    hq.apply(come=(2,))
    hq.apply(go=(2,))
    hq.apply(come=(2,))
    assert office.show(hq).digest == hq.directory.digest
    assert hq.slots[2] == 6


def test_a_directory_that_did_not_change_gets_another_number_after_the_hours(
    office: PublishingOffice, hq: HonestHq
) -> None:
    first, signed = office.said(hq.said), hq.said
    for hours in (0, 0.5, 0.99):
        office.clock.at = first.at + hours * HOUR
        assert office.show(hq) == first
        assert hq.said == signed
    office.clock.at = first.at + HOUR
    second = office.show(hq)
    assert second == replace(first, number=first.number + 1, at=int(office.clock.at))
    assert office.show(hq) == second


@pytest.mark.parametrize("hours", [0.0, 20.0])
def test_the_same_request_again_gets_the_same_bytes_on_whatever_day(
    tmp_path: Path, hours: float
) -> None:
    office = PublishingOffice(f"sqlite:///{tmp_path / 'publications.db'}", hours)
    hq = HonestHq()
    for _ in range(3):
        hq.apply(come=(hq.batch,))
        base = office.store.last_directory().digest or Directory.empty().digest
        asked = (hq.changes(base), hq.evidence, hq.said)
        made = office.countersign(*asked)
        for _ in range(3):
            office.reopen()  # killed after it was stored, before it was heard
            office.clock.at += 30 * HOUR
            assert office.countersign(*asked) == made
        assert office.store.last_directory().digest == hq.directory.digest
        hq.said = made


def test_hq_that_was_not_answered_asks_by_what_the_office_has_and_gets_the_same_bytes(
    tmp_path: Path,
) -> None:
    office = PublishingOffice(f"sqlite:///{tmp_path / 'publications.db'}")
    hq = HonestHq()
    office.show(hq)
    told = hq.said
    hq.apply(come=(0,))
    office.show(hq)
    made, hq.said = hq.said, told
    office.reopen()
    office.show(hq)
    assert hq.said == made


@pytest.mark.parametrize("step", ["countersign", "_write"])
def test_a_kill_before_it_is_stored_leaves_all_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    office = PublishingOffice(f"sqlite:///{tmp_path / 'publications.db'}")
    hq = HonestHq()
    hq.apply(come=(0, 1))
    office.show(hq)
    before = office.store.last_directory(), office.store.latest()
    office.clock.at += 24 * HOUR
    hq.apply(come=(2,), go=(0,))

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(f"server.office.publications.{step}", die)
        with pytest.raises(Killed):
            office.show(hq)
    office.reopen()
    assert (office.store.last_directory(), office.store.latest()) == before
    assert office.show(hq).number == 2
    office.clock.at += 24 * HOUR
    hq.apply(come=(0,))
    assert office.show(hq).number == 3


def test_a_clock_that_was_far_ahead_does_not_stop_numbers(
    office: PublishingOffice, hq: HonestHq
) -> None:
    office.clock.at += 1000 * HOUR
    number = office.show(hq).number
    office.clock.at -= 1000 * HOUR
    assert office.show(hq).number == number + 1


def test_batches_that_were_saved_up_are_one_number_and_the_next_comes_a_day_later(
    tmp_path: Path,
) -> None:
    """Else HQ shows one outlet this directory and book, and another outlet the next, in a night."""
    office = PublishingOffice(f"sqlite:///{tmp_path / 'publications.db'}")
    hq = HonestHq()
    hq.apply(come=(0,))
    first = office.show(hq)
    before = office.store.last_directory(), office.store.latest()
    hq.apply(come=(1,))
    for hours in (0, 1, 18.99):
        office.clock.at = first.at + hours * HOUR
        office.reopen()
        with pytest.raises(PublicationTooSoon, match=f"{hours:.1f} hours after number 1, .* 19.0"):
            office.show(hq)
        assert (office.store.last_directory(), office.store.latest()) == before
    hq.apply(go=(0,))
    office.clock.at = first.at + 19 * HOUR
    assert office.show(hq).number == 2
    assert office.store.latest_directory() == hq.directory.digest
    hq.apply()  # a batch in which nobody came
    office.clock.at += 18 * HOUR
    with pytest.raises(PublicationTooSoon):
        office.show(hq)


def test_the_first_slots_wait_for_nothing_and_a_clock_that_was_far_ahead_stops_nobody() -> None:
    office, hq = PublishingOffice(), HonestHq()
    assert office.show(hq).number == 1  # the first night: nobody has registered yet
    hq.apply(come=(0,))
    office.clock.at += 1000 * HOUR
    assert office.show(hq).number == 2
    office.clock.at -= 1000 * HOUR
    hq.apply(come=(1,))
    assert office.show(hq).number == 3


def test_without_hours_every_batch_has_its_number_at_once() -> None:
    office, hq = PublishingOffice(hours=0), HonestHq()
    for number in (1, 2, 3):
        hq.apply(come=(number,))
        assert office.show(hq).number == number


def restored(office: PublishingOffice, tmp_path: Path) -> PublishingOffice:
    place = tmp_path / "copy.db"
    copy_store(office.store._engine, f"sqlite:///{place}", OFFICE)
    return PublishingOffice(f"sqlite:///{place}", office.hours, clock=office.clock, key=office.key)


def test_a_restored_office_goes_on_after_the_number_that_hq_shows(
    office: PublishingOffice, hq: HonestHq, tmp_path: Path
) -> None:
    copy = restored(office, tmp_path)
    for number in (3, 4, 5):
        hq.apply(come=(number + 10,), go=(number - 3,))
        assert office.show(hq).number == number
    assert copy.show(hq).number == 6
    assert copy.store.latest_directory() == hq.directory.digest


def test_a_restored_office_gives_no_lower_number_where_nothing_changed_since(
    office: PublishingOffice, hq: HonestHq, tmp_path: Path
) -> None:
    copy = restored(office, tmp_path)
    for _ in range(2):
        office.clock.at += 20 * HOUR
        office.show(hq)
    assert office.said(hq.said).number == 4
    copy.clock = Clock()  # within the hours of its own last statement
    assert copy.show(hq).number == 5


def test_a_restored_office_remembers_who_left_before_the_copy(
    office: PublishingOffice, left: HonestHq, tmp_path: Path
) -> None:
    copy = restored(office, tmp_path)
    refuse(copy, "slot 5: its key was withdrawn", changes_of(left, 5, added=rows_of(1)))


def test_what_hq_shows_as_its_last_must_be_this_offices_about_a_directory(
    office: PublishingOffice, hq: HonestHq
) -> None:
    later = office.said(hq.said)
    assert hq.said is not None
    forged = countersign(replace(later, number=99), SigningKey.generate())
    book = office.book(hq.directory.digest)
    altered = replace(hq.said, payload=hq.said.payload.replace(b'"number":2', b'"number":9'))
    for shown in (forged, book, altered, Countersigned(b"", b"")):
        with pytest.raises(PublicationRefused):
            office.countersign(changes_of(hq, 4), {}, shown)
    assert office.store.latest() == (hq.said, book)
