"""What the office countersigns of directories and books, and every way of altering one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path  # noqa: TC003  (pytest reads annotations)
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.books import BookHeader, BookRefused
from privacy.directory import (
    SLOT_BYTES,
    Directory,
    DirectoryChanges,
    DirectoryPosition,
    DirectoryRefused,
)
from privacy.envelopes import SigningKey, digest
from privacy.oblivious_transfer import TransferFailed
from privacy.publications import (
    Countersigned,
    Publication,
    PublicationKind,
    PublicationRefused,
    PublicationTooSoon,
    Publishers,
    countersign,
)
from privacy.published_books import BookSummary, PublishedBook, open_book
from privacy.registrations import Evidence, RegistrationAct
from privacy.seal_plans import SealKind
from privacy.slot_keys import KEY_BYTES
from privacy.tokens import TokenShare
from server.holder.database import copy_store
from server.office import directory_rules
from server.office.publications import Publications
from server.office.seal_store import CompleteSeal
from server.office.tables import OFFICE
from tests.builders import Clock
from tests.privacy.slots import NOT_POINTS, rows_of, slot_key
from tests.server.seal_benches import SealBench
from tests.server.slot_histories import NETWORK, SEAL, HonestHq, PublishingOffice, seal_named

pytestmark = pytest.mark.usefixtures("both_engines")

HOUR = 3600.0


@pytest.fixture
def office() -> PublishingOffice:
    """An office whose hours are so few that another directory is never too soon."""
    return PublishingOffice(hours=1.0)


@pytest.fixture
def hq(office: PublishingOffice) -> HonestHq:
    """HQ with five customers, four in slots 0 to 3 of batch 1 and one of batch 3, all shown."""
    hq = HonestHq()
    hq.apply(come=(0, 1, 2, 3))
    office.show(hq)
    hq.apply()
    hq.apply(come=(4,))
    office.show(hq)
    return hq


def changes_of(
    hq: HonestHq,
    batch: int,
    blanked: tuple[int, ...] = (),
    added: np.ndarray | None = None,
) -> DirectoryChanges:
    """Changes of HQ's present directory that nobody checked."""
    rows = np.zeros((0, SLOT_BYTES), np.uint8) if added is None else added
    return DirectoryChanges(hq.directory.digest, batch, np.array(blanked, np.uint32), rows)


def refuse(
    office: PublishingOffice,
    why: str,
    changes: DirectoryChanges,
    evidence: dict[int, Evidence] | None = None,
    *,
    network: bytes = NETWORK,
) -> None:
    """Expects a refusal that changes nothing and shows no key."""
    before = office.store.last_directory(), office.store.latest()
    with pytest.raises(DirectoryRefused, match=why) as caught:
        office.countersign(changes, evidence or {}, network=network)
    assert (office.store.last_directory(), office.store.latest()) == before
    for row in changes.added:
        key = row[:KEY_BYTES].tobytes()
        assert key.hex() not in str(caught.value)
        assert str(key)[2:-1] not in str(caught.value)


# --- what is countersigned ----------------------------------------------------------------------


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


# --- asked again ------------------------------------------------------------------------------


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


class Killed(BaseException):
    """What ends a process."""


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


# --- too soon ---------------------------------------------------------------------------------


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


# --- a slot's key and home --------------------------------------------------------------------


def altered(directory: Directory, slot: int, start: int, end: int, by: bytes) -> Directory:
    rows = directory.rows.copy()
    rows[slot, start:end] = np.frombuffer(by, np.uint8)
    return Directory(directory.batch + 1, rows)


def tampered(hq: HonestHq) -> dict[str, Directory]:
    """Directories that do more than blank and add, by what is wrong with them."""
    standing = hq.directory
    return {
        "another key": altered(standing, 0, 0, KEY_BYTES, slot_key(9).public),
        "another home": altered(standing, 0, KEY_BYTES, SLOT_BYTES, bytes(SLOT_BYTES - KEY_BYTES)),
        "a slot less": Directory(hq.batch + 1, standing.rows[:-1]),
        "two slots exchanged": Directory(hq.batch + 1, standing.rows[[1, 0, 2, 3, 4]]),
    }


@pytest.mark.parametrize(
    "what", ["another key", "another home", "a slot less", "two slots exchanged"]
)
def test_no_changes_lead_to_a_directory_that_does_more_than_blank_and_add(
    office: PublishingOffice, hq: HonestHq, what: str
) -> None:
    other = tampered(hq)[what]
    with pytest.raises(DirectoryRefused):
        DirectoryChanges.between(hq.directory, other)
    honest = changes_of(hq, hq.batch + 1)  # what HQ would say has changed
    made = office.said(office.countersign(honest, {}, hq.said))
    assert made.digest == Directory(hq.batch + 1, hq.directory.rows).digest != other.digest
    nothing = np.zeros(0, np.uint32), np.zeros((0, SLOT_BYTES), np.uint8)
    as_if = DirectoryChanges(other.digest, other.batch, *nothing)
    refuse(office, "got changes of .*, the last that was countersigned", as_if)


def test_a_key_does_not_return_into_its_old_slot(office: PublishingOffice, hq: HonestHq) -> None:
    before = hq.directory
    hq.apply(go=(1,))
    office.show(hq)
    back = hq.registered(1, hq.batch + 1)
    other = Directory(hq.batch + 1, before.rows)
    with pytest.raises(DirectoryRefused):
        DirectoryChanges.between(hq.directory, other)
    refuse(office, "slot 1: is blank already", changes_of(hq, hq.batch + 1, (1,)), {1: back})


def test_a_key_stands_for_one_slot_only(office: PublishingOffice, hq: HonestHq) -> None:
    for rows in (rows_of(0), rows_of(7, 8, 7)):
        later = changes_of(hq, hq.batch + 1, added=rows)
        refuse(office, "a key stands for two slots", later)
        proven = {slot: hq.registered(0, hq.batch + 1) for slot in range(5, 8)}
        refuse(office, "a key stands for two slots", later, proven)


def test_a_slot_of_a_home_without_a_key_is_refused(office: PublishingOffice, hq: HonestHq) -> None:
    row = rows_of(7).copy()
    row[0, :KEY_BYTES] = 0
    refuse(office, "a home and no key", changes_of(hq, hq.batch + 1, added=row))


@pytest.mark.parametrize("key", [key for key in NOT_POINTS if len(key) == KEY_BYTES and any(key)])
def test_a_key_that_is_no_point_is_refused(
    office: PublishingOffice, hq: HonestHq, key: bytes
) -> None:
    """Nobody could prove to have such a key, and what is masked for it nobody could read."""
    rows = rows_of(7, 8).copy()
    rows[1, :KEY_BYTES] = np.frombuffer(key, np.uint8)
    refuse(office, "slot 6: its key is no point", changes_of(hq, hq.batch + 1, added=rows))


def test_an_added_slot_may_be_blank(office: PublishingOffice, hq: HonestHq) -> None:
    """Somebody who registered and withdrew before the next directory."""
    added = changes_of(hq, hq.batch + 1, added=rows_of(None, 7, None))
    made = office.said(office.countersign(added, {}))
    assert made.digest == added.applied(hq.directory).digest
    assert office.store.last_directory().slots == 8


# --- tombstones -------------------------------------------------------------------------------


def test_a_slot_is_not_blanked_without_evidence(office: PublishingOffice, hq: HonestHq) -> None:
    later = changes_of(hq, hq.batch + 1, (1,))
    refuse(office, "slot 1: blanked without evidence of a withdrawal", later)
    other = {2: hq.withdrawn(2, hq.batch + 1)}
    refuse(office, "slot 1: blanked without evidence of a withdrawal", later, other)


@pytest.mark.parametrize("act", [RegistrationAct.REGISTER, RegistrationAct.NOTHING])
def test_a_slot_is_not_blanked_by_evidence_of_another_act(
    office: PublishingOffice, hq: HonestHq, act: RegistrationAct
) -> None:
    batch = hq.batch + 1
    shown = replace(hq.registered(1, batch), act=act)
    refuse(office, "slot 1: blanked without evidence", changes_of(hq, batch, (1,)), {1: shown})
    called = replace(shown, act=RegistrationAct.WITHDRAW)  # what it proves is a registration
    refuse(office, "slot 1: .*does not verify", changes_of(hq, batch, (1,)), {1: called})


def test_a_slot_is_not_blanked_by_evidence_of_another_key(
    office: PublishingOffice, hq: HonestHq
) -> None:
    """HQ may take part with a customer of its own; and a proof says whose key it is of."""
    batch = hq.batch + 1
    for shown in (hq.withdrawn(2, batch), hq.withdrawn(77, batch)):
        refuse(office, "slot 1: .*does not verify", changes_of(hq, batch, (1,)), {1: shown})


def test_a_slot_is_not_blanked_by_evidence_of_another_network(
    office: PublishingOffice, hq: HonestHq
) -> None:
    """The same token in a network before, of which HQ kept everything."""
    batch, elsewhere = hq.batch + 1, HonestHq(network=TokenShare.generate().public)
    shown = {1: elsewhere.withdrawn(1, batch)}
    refuse(office, "slot 1: .*does not verify", changes_of(hq, batch, (1,)), shown)
    other = elsewhere.network
    refuse(office, "another network", changes_of(hq, batch, (1,)), shown, network=other)


@pytest.mark.parametrize(("slot", "batch"), [(1, 1), (1, 0), (4, 3), (4, 2)])
def test_a_slot_is_not_blanked_by_a_withdrawal_of_a_batch_that_is_not_after_its_opening(
    office: PublishingOffice, hq: HonestHq, slot: int, batch: int
) -> None:
    shown = {slot: hq.withdrawn(slot, batch)}
    opened = 1 if slot == 1 else 3
    refuse(
        office,
        f"slot {slot}: got evidence of a WITHDRAW in batch {batch}, expected one of batches "
        f"{opened + 1} to 4",
        changes_of(hq, 4, (slot,)),
        shown,
    )


def test_a_withdrawal_of_a_batch_before_the_last_directory_may_come_late(
    office: PublishingOffice, hq: HonestHq
) -> None:
    """HQ left it out for a while: its outlet saw that, and nothing is gained by it."""
    assert office.countersign(changes_of(hq, 4, (1,)), {1: hq.withdrawn(1, 2)}).payload


@pytest.mark.parametrize("batch", [5, 2**40, 2**64 - 1])
def test_a_slot_is_not_blanked_by_a_withdrawal_of_a_batch_to_come(
    office: PublishingOffice, hq: HonestHq, batch: int
) -> None:
    """One that the outlet sealed for a batch that is still open, in which it may not have been."""
    shown = {1: hq.withdrawn(1, batch)}
    refuse(office, "slot 1: got evidence of a WITHDRAW", changes_of(hq, 4, (1,)), shown)


@pytest.mark.parametrize(
    "changed",
    [{"batch": 4}, {"since": 1}, {"bound": bytes(32)}, {"proof": bytes(64)}, {"proof": b""}],
)
def test_evidence_of_which_a_part_was_altered_does_not_verify(
    office: PublishingOffice, hq: HonestHq, changed: dict[str, object]
) -> None:
    shown = replace(hq.withdrawn(1, 3), **changed)  # type: ignore[arg-type]
    refuse(office, "slot 1: .*does not verify", changes_of(hq, 4, (1,)), {1: shown})


def test_a_withdrawal_is_not_replayed_against_who_came_back(
    office: PublishingOffice, hq: HonestHq
) -> None:
    hq.apply(go=(1,))
    old = hq.evidence[1]
    office.show(hq)
    hq.apply(come=(1,))
    office.show(hq)
    slot = hq.slots[1]
    refuse(office, f"slot {slot}: got evidence of a WITHDRAW in batch 4, expected one of batches 6",
           changes_of(hq, hq.batch + 1, (slot,)), {slot: old})  # fmt: skip
    refuse(office, "slot 1: is blank already", changes_of(hq, hq.batch + 1, (1,)), {1: old})


@pytest.mark.parametrize("blanked", [(1, 1), (2, 1), (5,), (0, 2**32 - 1)])
def test_slots_that_are_named_twice_out_of_order_or_not_there_are_refused(
    office: PublishingOffice, hq: HonestHq, blanked: tuple[int, ...]
) -> None:
    batch = hq.batch + 1
    shown = {slot: hq.withdrawn(slot % 5, batch) for slot in blanked}
    refuse(office, "out of order, or beyond the 5", changes_of(hq, batch, blanked), shown)


# --- returns ----------------------------------------------------------------------------------


@pytest.fixture
def left(office: PublishingOffice, hq: HonestHq) -> HonestHq:
    """Customer 1 has withdrawn in batch 4, which the office saw."""
    hq.apply(go=(1,))
    office.show(hq)
    return hq


def test_a_withdrawn_key_does_not_return_without_a_registration(
    office: PublishingOffice, left: HonestHq
) -> None:
    later = changes_of(left, 5, added=rows_of(7, 1))
    for shown in ({}, {5: left.registered(7, 5)}, {6: left.withdrawn(1, 5)}):
        refuse(
            office,
            "slot 6: its key was withdrawn in batch 4, and there is no evidence",
            later,
            shown,
        )


@pytest.mark.parametrize("batch", [1, 4])
def test_a_withdrawn_key_does_not_return_by_a_registration_that_is_no_later(
    office: PublishingOffice, left: HonestHq, batch: int
) -> None:
    shown = {5: left.registered(1, batch, since=4)}
    why = f"slot 5: got evidence of a REGISTER in batch {batch}, expected one of batches 5 to 5"
    refuse(office, why, changes_of(left, 5, added=rows_of(1)), shown)


@pytest.mark.parametrize("since", [0, 3])
def test_a_withdrawn_key_does_not_return_by_a_consent_from_before(
    office: PublishingOffice, left: HonestHq, since: int
) -> None:
    shown = {5: left.registered(1, 5, since=since)}
    why = f"slot 5: .*withdrawn in batch 4, and registered by a consent as of batch {since}"
    refuse(office, why, changes_of(left, 5, added=rows_of(1)), shown)


def test_a_withdrawn_key_does_not_return_by_a_registration_of_another_key_or_network(
    office: PublishingOffice, left: HonestHq
) -> None:
    later = changes_of(left, 5, added=rows_of(1))
    elsewhere = HonestHq(network=TokenShare.generate().public)
    altered = replace(left.registered(1, 5, since=3), since=4)
    for shown in (left.registered(7, 5, since=4), elsewhere.registered(1, 5, since=4), altered):
        refuse(office, "slot 5: .*does not verify", later, {5: shown})


def test_a_key_that_leaves_and_is_back_in_the_same_changes_needs_both_proofs(
    office: PublishingOffice, hq: HonestHq
) -> None:
    later = changes_of(hq, 6, (1,), rows_of(1))
    gone = {1: hq.withdrawn(1, 5)}
    refuse(
        office, "slot 5: its key was withdrawn in batch 5, and there is no evidence", later, gone
    )
    early = {**gone, 5: hq.registered(1, 5, since=5)}
    refuse(office, "slot 5: got evidence of a REGISTER in batch 5", later, early)
    assert office.countersign(later, {**gone, 5: hq.registered(1, 6, since=5)}).payload


def test_a_second_withdrawal_counts_as_the_first(office: PublishingOffice, left: HonestHq) -> None:
    left.apply(come=(1,))
    office.show(left)
    left.apply(go=(1,))
    office.show(left)
    later = changes_of(left, 7, added=rows_of(1))
    refuse(office, "withdrawn in batch 6", later, {6: left.registered(1, 7, since=4)})
    refuse(office, "REGISTER in batch 5", later, {6: left.registered(1, 5, since=6)})
    assert office.countersign(later, {6: left.registered(1, 7, since=6)}).payload


# --- batches, networks, sizes -------------------------------------------------------------------


@pytest.mark.parametrize("batch", [4, 5, 2**53])
def test_a_directory_holds_no_batch_that_the_relay_has_not_closed(
    office: PublishingOffice, hq: HonestHq, batch: int
) -> None:
    office.open_batch = 4
    later = changes_of(hq, batch, added=rows_of(7))
    refuse(office, f"got batch {batch}, expected 3, as countersigned last, to 3, as closed", later)
    office.open_batch = batch + 1
    if batch < 2**32:
        assert office.countersign(later, {}).payload
    else:  # of which nothing is kept in four bytes
        refuse(office, f"got batch {batch}, expected 3, .* to {2**32 - 1}", later)


def test_a_directory_does_not_go_back_to_an_earlier_batch(
    office: PublishingOffice, hq: HonestHq
) -> None:
    refuse(office, "got batch 2, expected 3", changes_of(hq, 2))


def test_a_batch_has_one_content(office: PublishingOffice, hq: HonestHq) -> None:
    why = "got other content than was countersigned of batch 3"
    refuse(office, why, changes_of(hq, 3, added=rows_of(7)))
    refuse(office, why, changes_of(hq, 3, (1,)), {1: hq.withdrawn(1, 3)})
    office.clock.at += 100 * HOUR
    refuse(office, why, changes_of(hq, 3, added=rows_of(7)))


def test_before_the_first_batch_there_is_nobody(office: PublishingOffice) -> None:
    nobody = HonestHq()
    refuse(office, "other content .* of batch 0", changes_of(nobody, 0, added=rows_of(7)))


def test_changes_are_of_the_last_directory_and_not_of_an_earlier_one(
    office: PublishingOffice, hq: HonestHq
) -> None:
    for base in [name for name in hq.past if name != hq.directory.digest]:
        changes = replace(changes_of(hq, 4), base=base)
        refuse(office, f"got changes of {base[:16]}, expected of", changes)


@pytest.mark.parametrize(
    "network", [b"", bytes(32), b"\xff" * 32, NETWORK[:-1]], ids=["none", "zeros", "ones", "cut"]
)
def test_the_first_network_is_a_token_key_and_stays(
    office: PublishingOffice, network: bytes
) -> None:
    hq = HonestHq()
    refuse(office, "its network is no token key", changes_of(hq, 1), network=network or b"x")
    office.show(hq)
    refuse(office, "of another network", changes_of(hq, 1), network=network)
    refuse(office, "of another network", changes_of(hq, 1), network=TokenShare.generate().public)


def test_more_slots_than_a_row_holds_are_refused(
    office: PublishingOffice, hq: HonestHq, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory_rules, "MOST_SLOTS", 6)
    refuse(office, "got 7 slots, expected at most 6", changes_of(hq, 4, added=rows_of(7, 8)))
    assert office.countersign(changes_of(hq, 4, added=rows_of(7)), {}).payload


@pytest.mark.parametrize("rows", [rows_of(*range(10, 19)), rows_of(*[None] * 9)])
def test_a_directory_grows_by_no_more_slots_than_there_were_messages_in_its_batches(
    office: PublishingOffice, hq: HonestHq, rows: np.ndarray
) -> None:
    """Blank slots and keys of nobody would be in it for good, until nothing more has room."""
    office.sizes = {**dict.fromkeys(range(1, 4), 99), 4: 4, 5: 4, 6: 99}
    why = "got 9 new slots, expected at most 8, one a message of batches 4 to 5"
    refuse(office, why, changes_of(hq, 5, added=rows))
    assert office.countersign(changes_of(hq, 5, added=rows[:8]), {}).payload


@pytest.mark.parametrize("unknown", [4, 5])
def test_after_a_relay_was_lost_nobody_knows_how_many_can_have_registered(
    office: PublishingOffice, hq: HonestHq, unknown: int
) -> None:
    office.sizes = {batch: 1 for batch in range(1, 9) if batch != unknown}
    assert office.countersign(changes_of(hq, 5, added=rows_of(10, 11, 12)), {}).payload


# --- numbers after a restore --------------------------------------------------------------------


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


# --- books ------------------------------------------------------------------------------------


def test_a_book_is_countersigned_once_a_number_and_again_by_the_same_bytes(
    tmp_path: Path,
) -> None:
    office = PublishingOffice(f"sqlite:///{tmp_path / 'publications.db'}")
    hq = HonestHq()
    for number in (1, 2):
        hq.apply(come=(number,))
        office.show(hq)
        directory, name = hq.directory.digest, office.summary().digest
        made = office.book(directory)
        said = office.said(made, PublicationKind.BOOK)
        at = int(office.clock.at)
        assert said == Publication(PublicationKind.BOOK, number, name, directory, at)
        office.reopen()
        office.clock.at += 100 * HOUR
        assert office.book(directory) == made
        assert office.store.latest() == (hq.said, made)
        for other in ({"body": b"other entries"}, {"version": 2}):
            with pytest.raises(
                PublicationRefused, match=f"countersigned for directory number {number}"
            ):
                office.book(directory, **other)
        assert office.store.latest() == (hq.said, made)


def test_an_unchanged_directory_has_another_book_with_its_next_number(
    office: PublishingOffice, hq: HonestHq
) -> None:
    directory = hq.directory.digest
    office.book(directory)
    office.clock.at += 20 * HOUR
    with pytest.raises(PublicationRefused, match="directory number 2"):
        office.book(directory, b"another")
    office.show(hq)
    said = office.said(office.book(directory, b"another"), PublicationKind.BOOK)
    assert (said.number, said.digest) == (3, office.summary(b"another").digest)


def test_a_book_of_another_directory_than_the_last_is_refused(
    office: PublishingOffice, hq: HonestHq
) -> None:
    for directory in (*hq.past, "", "x"):
        if directory != hq.directory.digest:
            with pytest.raises(PublicationRefused, match="the last that was countersigned"):
                office.book(directory)
    with pytest.raises(PublicationRefused, match="expected none yet"):
        PublishingOffice().book(hq.directory.digest, directory=hq.directory.digest)


def test_a_book_of_a_number_stays_when_the_next_directory_comes(
    office: PublishingOffice, hq: HonestHq
) -> None:
    made = office.book(hq.directory.digest)
    hq.apply(come=(9,))
    office.show(hq)
    assert office.store.latest() == (hq.said, made)


def refuse_book(office: PublishingOffice, why: str, **changes: object) -> None:
    """Expects a refusal of a book of the last directory, which changes nothing."""
    before = office.store.latest()
    with pytest.raises(PublicationRefused, match=why):
        office.book(office.store.latest_directory(), **changes)  # type: ignore[arg-type]
    assert office.store.latest() == before


def test_a_header_of_another_directory_or_number_of_slots_is_refused(
    office: PublishingOffice, hq: HonestHq
) -> None:
    earlier = next(name for name in hq.past if name != hq.directory.digest)
    for changes in ({"directory": earlier}, {"slots": 4}, {"slots": 6}):
        refuse_book(office, "its header is of another directory, .* of 5 slots", **changes)
    assert office.book(hq.directory.digest).payload


@pytest.mark.parametrize("name", ["plan", "set", "as_of", "scores", "hq_key", "office_key"])
def test_a_book_says_of_its_seal_what_the_office_stored(
    office: PublishingOffice, hq: HonestHq, name: str
) -> None:
    other = {
        "as_of": "2027-01-16",
        "scores": 1,
        "hq_key": slot_key(9).public.hex(),
        "office_key": slot_key(9).public.hex(),
    }.get(name, digest(b"another"))
    seal = replace(SEAL, **{name: other})  # type: ignore[arg-type]
    refuse_book(office, "not one that this office completed", seal=seal)
    assert office.book(hq.directory.digest).payload


def test_the_slots_and_choices_of_a_book_are_its_seals(
    office: PublishingOffice, hq: HonestHq
) -> None:
    choices = (digest(b"of chunk 0"),)
    seal = seal_named("of slots", sealed=5, choices=choices)
    office.sealed[seal.plan] = CompleteSeal(seal, 2)
    for changes in ({"sealed": 4}, {"choices": (digest(b"others"),)}):
        other = replace(seal, **changes)
        refuse_book(office, "not one that this office completed", seal=other)
    assert office.book(hq.directory.digest, seal=seal).payload


def test_fine_bins_are_never_published(office: PublishingOffice, hq: HonestHq) -> None:
    seal = seal_named("fine", kind=SealKind.FINE)
    office.sealed[seal.plan] = CompleteSeal(seal, 2)
    refuse_book(office, "got a fine book, expected one of bands", seal=seal)
    assert office.book(hq.directory.digest).payload


def test_books_go_back_to_no_older_seal_also_after_a_restart(tmp_path: Path) -> None:
    office = PublishingOffice(f"sqlite:///{tmp_path / 'publications.db'}", hours=0)
    hq = HonestHq()
    for at, name in enumerate(["old", "middle", "new"]):
        seal = seal_named(name)
        office.sealed[seal.plan] = CompleteSeal(seal, 10 + at)
    for number, name in enumerate(["middle", "middle", "old", "new", "middle", "new"]):
        hq.apply(come=(number,))
        office.show(hq)
        office.reopen()
        if (number, name) in [(2, "old"), (4, "middle")]:
            refuse_book(office, "its seal is older than the last book's", seal=seal_named(name))
        else:
            assert office.book(hq.directory.digest, seal=seal_named(name)).payload


@pytest.mark.parametrize("header", [b"", b"{}", b"[]", b"\xff"])
def test_a_malformed_header_is_refused(
    office: PublishingOffice, hq: HonestHq, header: bytes
) -> None:
    summary = replace(office.summary(), header=header)
    with pytest.raises(BookRefused):
        office.store.countersign_book(hq.directory.digest, summary, at=0)


def test_without_seals_there_is_no_book(hq: HonestHq) -> None:
    """As in a store that is opened to copy it."""
    store = Publications("sqlite://", SigningKey.generate(), 0)
    changes = hq.changes(Directory.empty().digest)
    store.countersign_directory(
        NETWORK, changes, hq.evidence, None, open_batch=1000, sizes={}, at=0
    )
    header = BookHeader(seal_named("a plan"), 1, 1, hq.directory.slots, hq.directory.digest)
    summary = BookSummary(bytes(64), header.encode_header(), digest(b"entries"))
    with pytest.raises(PublicationRefused, match="not one that this office completed"):
        store.countersign_book(hq.directory.digest, summary, at=0)


# --- books of real seals ------------------------------------------------------------------------


@pytest.fixture
def sealing(office: PublishingOffice, hq: HonestHq) -> SealBench:
    """An office that seals what it countersigns."""
    bench = SealBench(customers=tuple(range(5)))
    office.store = Publications("sqlite://", office.key, 0, bench.bench.store.complete_seal)
    hq.said = None
    show_from_the_start(office, hq, bench)
    return bench


def show_from_the_start(office: PublishingOffice, hq: HonestHq, bench: SealBench) -> None:
    """Has the directory countersigned, and seals be of it."""
    base = office.store.last_directory().digest or Directory.empty().digest
    hq.said = office.countersign(hq.changes(base), hq.evidence, hq.said)
    bench.bench.listed = office.store.directory()
    bench.bench.directory = office.store.latest_directory()
    assert bench.bench.directory == bench.bench.listed.digest == hq.directory.digest


@pytest.mark.parametrize("end", ["closed", "expired"])
def test_a_book_of_a_complete_seal_is_countersigned_and_read_by_outlets(
    office: PublishingOffice, hq: HonestHq, sealing: SealBench, end: str
) -> None:
    seal = sealing.seal()
    seal.sign()
    seal.store()
    directory = hq.directory.digest
    for taken in (False, True):
        if taken:
            seal.take_all()
        summary = seal.book().summary if taken else office.summary(seal=seal.seal())
        with pytest.raises(PublicationRefused, match="not one that this office completed"):
            office.store.countersign_book(directory, summary, at=0)
    if end == "closed":
        seal.close()
    else:
        sealing.bench.clock.at += sealing.settings.release_minutes * 60
        sealing.night("later")
    signed = seal.book()
    made = office.store.countersign_book(directory, signed.summary, at=0)
    publishers = Publishers(sealing.hq_key.public, office.key.public)
    book = open_book(
        PublishedBook(signed, made), publishers, newer_than=None, directory=directory, not_before=0
    )
    clear = seal.clear()
    for slot in range(5):
        codes, evidence = seal.read(book, slot) or ((), -1)
        assert [*codes, evidence] == clear[slot].tolist()


def test_between_two_seals_a_later_directory_has_a_book_of_the_last_one(
    office: PublishingOffice, hq: HonestHq, sealing: SealBench
) -> None:
    seal = sealing.whole()
    office.store.countersign_book(hq.directory.digest, seal.book().summary, at=0)
    hq.apply(come=(7,), go=(0,))
    show_from_the_start(office, hq, sealing)
    signed = seal.book()
    made = office.store.countersign_book(hq.directory.digest, signed.summary, at=0)
    publishers = Publishers(sealing.hq_key.public, office.key.public)
    book = open_book(
        PublishedBook(signed, made), publishers, newer_than=1, directory=None, not_before=0
    )
    assert book.read(5, slot_key(7)) is None
    codes, evidence = seal.read(book, 1) or ((), -1)
    assert [*codes, evidence] == seal.clear()[1].tolist()


@pytest.mark.parametrize("how", ["given up", "failed", "calibration"])
def test_a_seal_that_came_to_no_end_or_is_not_of_bands_has_no_book(
    office: PublishingOffice, hq: HonestHq, sealing: SealBench, how: str
) -> None:
    seal = sealing.seal(kind=SealKind.FINE if how == "calibration" else SealKind.BAND)
    seal.sign()
    seal.store()
    if how == "failed":
        with pytest.raises(TransferFailed):
            sealing.office.seal_chunk(seal.signed.digest, 0, seal.cheating())
    elif how == "calibration":
        seal.take_all()
    seal.close()
    why = "got a fine book" if how == "calibration" else "not one that this office completed"
    with pytest.raises(PublicationRefused, match=why):
        office.store.countersign_book(hq.directory.digest, office.summary(seal=seal.seal()), at=0)


# --- what is kept -------------------------------------------------------------------------------


@pytest.mark.sqlite_only
def test_of_a_withdrawn_key_a_hash_stays_that_is_another_one_at_each_office(
    tmp_path: Path,
) -> None:
    kept, key = [], slot_key(1).public
    for name in ("one", "two"):
        file = tmp_path / f"{name}.db"
        office, hq = PublishingOffice(f"sqlite:///{file}", 0), HonestHq()
        hq.apply(come=(0, 1))
        office.show(hq)
        assert key in file.read_bytes()
        hq.apply(go=(1,))
        office.show(hq)
        assert key not in file.read_bytes()
        with closing(sqlite3.connect(file)) as store:
            kept += store.execute("SELECT key_hash, batch FROM withdrawn").fetchall()
    assert [batch for _, batch in kept] == [2, 2]
    assert len({name for name, _ in kept}) == 2
    assert {len(name) for name, _ in kept} == {32}


@pytest.mark.sqlite_only
def test_what_is_asked_every_night_reads_nothing_that_is_long(tmp_path: Path) -> None:
    """`latest_directory` and `latest` are asked by each outlet and for each release."""
    office, hq = PublishingOffice(f"sqlite:///{tmp_path / 'p.db'}"), HonestHq()
    hq.apply(come=(0, 1, 2))
    office.show(hq)
    with closing(sqlite3.connect(tmp_path / "p.db")) as store:
        store.execute("UPDATE state SET encoded = x'00'")  # whatever reads it finds it malformed
        store.commit()
    assert office.store.latest_directory() == hq.directory.digest
    assert office.store.latest() == (hq.said, None)
    office.book(hq.directory.digest)
    with pytest.raises(DirectoryRefused, match="malformed"):
        office.show(hq)


# --- honest histories -----------------------------------------------------------------------------

Customers = st.sets(st.integers(0, 5), max_size=4).map(lambda some: tuple(sorted(some)))
Steps = st.lists(
    st.one_of(
        st.tuples(st.just("batch"), Customers, Customers),
        st.tuples(st.sampled_from(["show", "lose", "kill", "wait", "book"])),
    ),
    max_size=25,
)


@pytest.mark.sqlite_only
@given(Steps)
def test_every_honest_history_is_accepted_and_the_office_has_hqs_directory(
    steps: list[tuple[object, ...]],
) -> None:
    """Customers come, leave and return; answers are lost, the office dies, days go by."""
    with TemporaryDirectory() as folder:
        office, hq = PublishingOffice(f"sqlite:///{folder}/publications.db"), HonestHq()
        made = [office.show(hq)]
        for name, *of in steps:
            told = hq.said
            if name == "batch":
                hq.apply(*of)  # type: ignore[arg-type]
            elif name == "wait":
                office.clock.at += 13 * HOUR
            elif name == "kill":
                office.reopen()
            else:
                try:
                    made.append(office.show(hq))
                except PublicationTooSoon:  # the night goes on with the last one
                    assert office.store.latest_directory() == made[-1].digest
                    continue
                assert office.store.latest_directory() == hq.directory.digest
            if name == "book":
                office.book(hq.directory.digest, hq.said.payload)  # type: ignore[union-attr]
            elif name == "lose":
                hq.said = told
        office.clock.at += 19 * HOUR
        assert office.show(hq).digest == hq.directory.digest
        shown = [one for one in made if hq.past[one.digest].slots]
        assert all(0 <= after.number - before.number <= 1 for before, after in pairwise(made))
        assert all(
            after == before or after.at - before.at >= 19 * HOUR
            for before, after in pairwise(shown)
        )
        office.store.close()
