"""Every way of altering a slot, a withdrawal or a return, which the office refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from privacy.directory import (
    SLOT_BYTES,
    Directory,
    DirectoryChanges,
    DirectoryRefused,
)
from privacy.registrations import RegistrationAct
from privacy.slot_keys import KEY_BYTES
from privacy.tokens import TokenShare
from tests.privacy.slots import NOT_POINTS, rows_of, slot_key
from tests.server.publications.shown_changes import changes_of, refuse
from tests.server.slot_histories import HonestHq, PublishingOffice

pytestmark = pytest.mark.usefixtures("both_engines")


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
