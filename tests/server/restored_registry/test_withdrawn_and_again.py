"""After a restore: who withdrew stays so, fine books hide, outlets hand in again."""

from __future__ import annotations

import datetime as dt
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest

from outlet_client.people.people_store import People, State
from privacy.registration_losses import open_loss
from privacy.seal_plans import SealKind
from privacy.tokens import Token, TokenShare
from server.hq.registry import BatchCounts, Registry
from server.hq.tables import HQ
from tests.builders import store_at
from tests.privacy.slots import slot_key
from tests.server.registrations import (
    BLANK,
    KEY,
    NETWORK,
    Dummy,
    Hq,
    Message,
    OfficeOf,
    Register,
    Withdraw,
    nonce,
    sealed,
)
from tests.server.restored_registry.restored_histories import (
    History,
    recovered,
    restore,
    tonight,
)
from tests.shelves import make_book

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


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
